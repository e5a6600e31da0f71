/* SPDX-License-Identifier: Apache-2.0 */
/* log: lines for the operator on standard error, as text or JSON, each with one write. Any thread.
 *
 * What strangers send can make a line but cannot flood the log or forge one: each call site has a budget (a burst of
 * LOG_BURST lines, then LOG_LINES_PER_S a second), what it kept back is counted and said, and whatever is not printable
 * is escaped. */
#ifndef QUIPU_SERVER_LOG_H
#define QUIPU_SERVER_LOG_H

#include "base/bytes.h"
#include "base/lock.h"

#include <stdbool.h>
#include <stdint.h>

#define LOG_BURST 20
#define LOG_LINES_PER_S 4
#define LOG_LINE_BYTES_MAX 2048

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Once, before there are threads; until then text at info. */
void log_setup(enum log_format format, enum log_level level);
bool log_wants(enum log_level level);

/* The budget of one place in the code. Zero-initialised is full; lives as long as the process. */
struct log_site {
    struct spinlock lock;
    uint64_t filled_at_ms; /* monotonic; 0: never used */
    uint32_t tokens;
    uint64_t suppressed; /* since the last line that came through */
    const char *place;   /* file:line, for the summary */
    struct log_site *next;
    bool listed;
};

struct log_field {
    const char *key;
    bool is_number;
    struct bytes text;
    int64_t number;
};

/* For a site that several kinds of lines share, each kind with a budget of its own: hand in its own static site. */
void log_line_at(struct log_site *site, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_event_at(struct log_site *site, enum log_level level, const char *message, const struct log_field *fields,
                  size_t fields_count);

#define LOG_STRINGIFY_(x) #x
#define LOG_STRINGIFY(x) LOG_STRINGIFY_(x)
#define LOG_SITE_INIT                                                                                                  \
    {                                                                                                                  \
        .place = __FILE__ ":" LOG_STRINGIFY(__LINE__)                                                                  \
    }

/* log_line(LOG_WARN, "cannot bind %s", text) */
#define log_line(level, ...)                                                                                           \
    do {                                                                                                               \
        static struct log_site log_site_here = LOG_SITE_INIT;                                                          \
        log_line_at(&log_site_here, level, __VA_ARGS__);                                                               \
    } while (0)

/* log_event(LOG_INFO, "listening", log_text("address", text), log_number("workers", 2)) */
#define log_event(level, message, ...)                                                                                 \
    do {                                                                                                               \
        static struct log_site log_site_here = LOG_SITE_INIT;                                                          \
        const struct log_field log_fields_here[] = { __VA_ARGS__ };                                                    \
        log_event_at(&log_site_here, level, message, log_fields_here,                                                  \
                     sizeof log_fields_here / sizeof *log_fields_here);                                                \
    } while (0)

static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){ .key = key, .text = bytes_of_text(text) };
}
static inline struct log_field log_bytes(const char *key, struct bytes bytes)
{
    return (struct log_field){ .key = key, .text = bytes };
}
static inline struct log_field log_number(const char *key, int64_t number)
{
    return (struct log_field){ .key = key, .is_number = true, .number = number };
}

/* One line for each site that has kept lines back and is quiet by now. Call it every few seconds, and at the end. */
void log_tell_suppressed(void);

#endif
