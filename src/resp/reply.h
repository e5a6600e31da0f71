/* SPDX-License-Identifier: Apache-2.0 */
/* reply: values in the Redis protocol, versions 2 and 3, written straight into the output. */
#ifndef QUIPU_RESP_REPLY_H
#define QUIPU_RESP_REPLY_H

#include "base/bytes.h"

#include <stdarg.h>
#include <stdint.h>

#define REPLY_NUMBER_BYTES_MAX 24u /* type, sign, 19 digits, CR LF */

/* An output and the protocol version that its client speaks. */
struct reply {
    struct buffer *out;
    uint8_t version; /* 2 or 3 */
    uint64_t errors; /* written so far */
};

/* Room that was reserved before costs a compare. NULL if there is no memory. */
static inline uint8_t *reply_room(struct reply *r, size_t len)
{
    struct buffer *out = r->out;
    if (out->cap - out->len >= len && !out->failed) return out->ptr + out->len;
    return buffer_reserve(out, len);
}

/* Text of a whole reply, with its line end. */
static inline void reply_raw(struct reply *r, const char *text, size_t len)
{
    uint8_t *room = reply_room(r, len);
    if (!room) return;
    memcpy(room, text, len);
    r->out->len += len;
}
#define reply_literal(r, text) reply_raw((r), (text), sizeof(text) - 1)

static inline void reply_ok(struct reply *r)
{
    reply_literal(r, "+OK\r\n");
}

void reply_integer(struct reply *r, int64_t value);
void reply_null(struct reply *r);
void reply_bulk(struct reply *r, struct bytes value);
void reply_bulk_text(struct reply *r, const char *text);
void reply_bulk_integer(struct reply *r, int64_t value);
/* Text for people: a verbatim string in version 3. */
void reply_verbatim(struct reply *r, struct bytes text);
/* The same, and releases the text; the reply fails if it did. */
void reply_owned(struct reply *r, struct buffer *text);
void reply_status(struct reply *r, const char *text);
/* Heads; what they hold follows. A map of version 2 is an array of twice the length, a set is an array. */
void reply_array(struct reply *r, uint64_t count);
void reply_map(struct reply *r, uint64_t count);
void reply_set(struct reply *r, uint64_t count);
/* code and text: "ERR syntax error". Line ends inside become blanks. */
void reply_error(struct reply *r, const char *text);
void reply_errorf(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Precision for a "%.*s" that shows at most len_max bytes of a client's argument, up to a NUL. */
int reply_shown(struct bytes text, size_t len_max);

#endif
