/* SPDX-License-Identifier: Apache-2.0 */
/* A line is built on the stack and written with one call, so lines of several threads do not mix and no memory is
 * asked for. A line that does not fit is cut between characters, and stays valid JSON. */
#include "server/log.h"

#include "server/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MS_PER_LINE (1000 / LOG_LINES_PER_S)
#define MESSAGE_BYTES_MAX 1400 /* of the line; fields share the rest */
#define LINE_END_BYTES 2       /* "}\n" */

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static enum log_format format_now = LOG_TEXT;
static enum log_level level_now = LOG_INFO;
static _Atomic(struct log_site *) sites_listed; /* those that ever kept lines back; none ever leaves */

void log_setup(enum log_format format, enum log_level level)
{
    format_now = format;
    level_now = level;
}

bool log_wants(enum log_level level)
{
    return level <= level_now;
}

/* Line */

struct line {
    char text[LOG_LINE_BYTES_MAX];
    size_t len, limit; /* limit: how far the part that is being written may go */
    bool cut;          /* something did not fit, and nothing follows it */
};

/* All of it or nothing. */
static void line_put(struct line *l, const char *text, size_t len)
{
    l->cut = l->cut || len > l->limit - l->len;
    if (l->cut) return;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void line_text(struct line *l, const char *text)
{
    line_put(l, text, strlen(text));
}

static void line_json(struct line *l, struct bytes text)
{
    line_text(l, "\"");
    while (text.len > 0 && !l->cut) {
        size_t shown = text_shown_bytes(text), taken = shown > 0 ? shown : 1;
        char escaped[8];
        if (*text.ptr == '"' || *text.ptr == '\\') {
            line_put(l, (const char[]){ '\\', (char)*text.ptr }, 2);
        } else if (shown > 0) {
            line_put(l, (const char *)text.ptr, shown);
        } else {
            /* One byte of no character: what it was cannot be said in JSON, unless it is ASCII. */
            snprintf(escaped, sizeof escaped, "\\u%04x", *text.ptr < 0x80 ? *text.ptr : 0xfffd);
            line_text(l, escaped);
        }
        text = bytes_of(text.ptr + taken, text.len - taken);
    }
    line_text(l, "\"");
}

static void line_shown(struct line *l, struct bytes text, bool quoted)
{
    while (text.len > 0 && !l->cut) {
        char shown[TEXT_CHARACTER_BYTES_MAX];
        bool is_quote = quoted && *text.ptr == '"', is_backslash = !quoted && *text.ptr == '\\';
        size_t len = text_show_next(&text, shown);
        if (is_quote)
            line_text(l, "\\\"");
        else
            line_put(l, shown, is_backslash ? 1 : len);
    }
}

static void line_value(struct line *l, struct bytes text)
{
    bool quoted = text.len == 0;
    for (size_t i = 0; i < text.len && !quoted; i++) quoted = text.ptr[i] <= ' ' || strchr("\"=\\", text.ptr[i]);
    if (quoted) line_text(l, "\"");
    line_shown(l, text, quoted);
    if (quoted) line_text(l, "\"");
}

/* A field that does not fit whole is left out, with those behind it. */
static void line_field(struct line *l, const struct log_field *f)
{
    bool json = format_now == LOG_JSON;
    size_t before = l->len;
    char number[24];
    line_text(l, json ? ",\"" : " ");
    line_text(l, f->key);
    line_text(l, json ? "\":" : "=");
    if (f->is_number) {
        snprintf(number, sizeof number, "%" PRId64, f->number);
        line_text(l, number);
    } else if (json) {
        line_json(l, f->text);
    } else {
        line_value(l, f->text);
    }
    if (l->cut) l->len = before;
}

static void line_time(struct line *l)
{
    struct timespec now = { 0 };
    struct tm parts = { 0 };
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    char date[24], whole[40];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(whole, sizeof whole, "%s.%03dZ", date, (int)(now.tv_nsec / 1000000));
    line_text(l, whole);
}

static void line_head(struct line *l, enum log_level level, struct bytes message)
{
    bool json = format_now == LOG_JSON;
    l->limit = MESSAGE_BYTES_MAX;
    line_text(l, json ? "{\"time\":\"" : "");
    line_time(l);
    line_text(l, json ? "\",\"level\":\"" : " ");
    line_text(l, level_names[level]);
    if (json) {
        line_text(l, "\",\"message\":");
        line_json(l, message);
    } else {
        line_text(l, strlen(level_names[level]) == 4 ? "  " : " "); /* messages stand in one column */
        line_shown(l, message, false);
    }
    l->limit = sizeof l->text - LINE_END_BYTES;
    if (l->cut) {
        l->cut = false;
        line_text(l, json ? "...\"" : "...");
    }
}

/* Nobody is left to tell when standard error does not take it. */
static void line_write(const struct line *l)
{
    int errno_before = errno;
    for (size_t at = 0; at < l->len;) {
        ssize_t written = write(STDERR_FILENO, l->text + at, l->len - at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) break;
        at += (size_t)written;
    }
    errno = errno_before;
}

static void write_line(enum log_level level, struct bytes message, const struct log_field *fields, size_t count,
                       uint64_t suppressed)
{
    struct line line = { .len = 0 };
    line_head(&line, level, message);
    for (size_t i = 0; i < count && !line.cut; i++) line_field(&line, &fields[i]);
    if (suppressed > 0 && !line.cut) {
        struct log_field field = log_number("suppressed", (int64_t)suppressed);
        line_field(&line, &field);
    }
    line.cut = false;
    line.limit = sizeof line.text;
    line_text(&line, format_now == LOG_JSON ? "}\n" : "\n");
    line_write(&line);
}

/* Sites */

static uint64_t monotonic_ms(void)
{
    struct timespec now = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1; /* never 0 */
}

static void site_refill(struct log_site *s, uint64_t now_ms)
{
    if (s->filled_at_ms == 0) {
        s->tokens = LOG_BURST;
        s->filled_at_ms = now_ms;
        return;
    }
    uint64_t more = now_ms > s->filled_at_ms ? (now_ms - s->filled_at_ms) / MS_PER_LINE : 0;
    s->tokens = more < LOG_BURST - s->tokens ? s->tokens + (uint32_t)more : LOG_BURST;
    s->filled_at_ms += more * MS_PER_LINE;
}

static void site_list(struct log_site *s)
{
    if (s->listed) return;
    s->listed = true;
    s->next = atomic_load(&sites_listed);
    while (!atomic_compare_exchange_weak(&sites_listed, &s->next, s)) continue;
}

/* Whether the site may write a line now; then also how many it kept back since the last. */
static bool site_take(struct log_site *s, uint64_t *ret_suppressed)
{
    uint64_t now_ms = monotonic_ms();
    spinlock_take(&s->lock);
    site_refill(s, now_ms);
    bool may = s->tokens > 0;
    if (may) {
        s->tokens--;
        *ret_suppressed = s->suppressed;
        s->suppressed = 0;
    } else {
        s->suppressed++;
        site_list(s);
    }
    spinlock_give(&s->lock);
    return may;
}

void log_tell_suppressed(void)
{
    for (struct log_site *s = atomic_load(&sites_listed); s; s = s->next) {
        spinlock_take(&s->lock);
        uint64_t suppressed = s->suppressed;
        s->suppressed = 0;
        spinlock_give(&s->lock);
        if (suppressed == 0) continue;
        char message[160];
        const char *place = s->place ? s->place : "one place", *slash = strrchr(place, '/');
        snprintf(message, sizeof message, "%" PRIu64 " more lines from %s were kept back", suppressed,
                 slash ? slash + 1 : place);
        write_line(LOG_WARN, bytes_of_text(message), NULL, 0, 0);
    }
}

void log_line_at(struct log_site *site, enum log_level level, const char *format, ...)
{
    uint64_t suppressed = 0;
    if (!log_wants(level) || !site_take(site, &suppressed)) return;
    char message[MESSAGE_BYTES_MAX]; /* what this cuts would not have fitted the line */
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    write_line(level, bytes_of_text(message), NULL, 0, suppressed);
}

void log_event_at(struct log_site *site, enum log_level level, const char *message, const struct log_field *fields,
                  size_t fields_count)
{
    uint64_t suppressed = 0;
    if (!log_wants(level) || !site_take(site, &suppressed)) return;
    write_line(level, bytes_of_text(message), fields, fields_count, suppressed);
}
