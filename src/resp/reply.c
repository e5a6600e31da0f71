/* SPDX-License-Identifier: Apache-2.0 */
#include "resp/reply.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

/* "00" to "99": half the divisions of going digit by digit. */
static const char pairs[] = "0001020304050607080910111213141516171819"
                            "2021222324252627282930313233343536373839"
                            "4041424344454647484950515253545556575859"
                            "6061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

/* Writes value so that it ends before `end`; returns where it begins. */
static char *decimal_before(char *end, int64_t value)
{
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    while (rest >= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (rest % 100), 2);
        rest /= 100;
    }
    if (rest >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * rest, 2);
    } else {
        *--end = (char)('0' + rest);
    }
    if (value < 0) *--end = '-';
    return end;
}

static inline void reply_number(struct reply *r, char type, int64_t value)
{
    uint8_t *room = reply_room(r, REPLY_NUMBER_BYTES_MAX);
    if (!room) return;
    if (value >= 0 && value <= 9) {
        const char short_form[4] = { type, (char)('0' + value), '\r', '\n' };
        memcpy(room, short_form, sizeof short_form);
        r->out->len += sizeof short_form;
        return;
    }
    char text[REPLY_NUMBER_BYTES_MAX], *end = text + sizeof text - 2;
    memcpy(end, "\r\n", 2);
    char *start = decimal_before(end, value);
    *--start = type;
    size_t len = (size_t)(text + sizeof text - start);
    memcpy(room, start, len);
    r->out->len += len;
}

void reply_integer(struct reply *r, int64_t value)
{
    reply_number(r, ':', value);
}

void reply_null(struct reply *r)
{
    if (r->version >= 3) {
        reply_literal(r, "_\r\n");
    } else {
        reply_literal(r, "$-1\r\n");
    }
}

void reply_bulk(struct reply *r, struct bytes value)
{
    reply_number(r, '$', (int64_t)value.len);
    uint8_t *room = reply_room(r, value.len + 2);
    if (!room) return;
    if (value.len > 0) memcpy(room, value.ptr, value.len);
    memcpy(room + value.len, "\r\n", 2);
    r->out->len += value.len + 2;
}

void reply_bulk_text(struct reply *r, const char *text)
{
    reply_bulk(r, bytes_of_text(text));
}

void reply_bulk_integer(struct reply *r, int64_t value)
{
    char text[REPLY_NUMBER_BYTES_MAX], *end = text + sizeof text;
    const char *start = decimal_before(end, value);
    reply_bulk(r, bytes_of(start, (size_t)(end - start)));
}

void reply_verbatim(struct reply *r, struct bytes text)
{
    if (r->version < 3) {
        reply_bulk(r, text);
        return;
    }
    reply_number(r, '=', (int64_t)text.len + 4);
    reply_literal(r, "txt:");
    buffer_bytes(r->out, text);
    reply_literal(r, "\r\n");
}

void reply_owned(struct reply *r, struct buffer *text)
{
    if (text->failed) {
        r->out->failed = true;
    } else {
        reply_verbatim(r, buffer_view(text));
    }
    buffer_release(text);
}

void reply_status(struct reply *r, const char *text)
{
    reply_literal(r, "+");
    buffer_text(r->out, text);
    reply_literal(r, "\r\n");
}

void reply_array(struct reply *r, uint64_t count)
{
    reply_number(r, '*', (int64_t)count);
}

void reply_map(struct reply *r, uint64_t count)
{
    if (r->version >= 3) {
        reply_number(r, '%', (int64_t)count);
    } else {
        reply_array(r, count * 2);
    }
}

void reply_set(struct reply *r, uint64_t count)
{
    reply_number(r, r->version >= 3 ? '~' : '*', (int64_t)count);
}

/* Ends an error that began at `from`. */
static void error_end(struct reply *r, size_t from)
{
    struct buffer *out = r->out;
    if (!out->failed) {
        for (size_t i = from; i < out->len; i++) {
            if (out->ptr[i] == '\r' || out->ptr[i] == '\n') out->ptr[i] = ' ';
        }
    }
    reply_literal(r, "\r\n");
    r->errors++;
}

void reply_error(struct reply *r, const char *text)
{
    reply_literal(r, "-");
    size_t from = r->out->len;
    buffer_text(r->out, text);
    error_end(r, from);
}

void reply_errorf(struct reply *r, const char *format, ...)
{
    char text[1024]; /* arguments shown are cut, so all texts fit */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    REQUIRE(len >= 0);
    reply_error(r, text);
}

int reply_shown(struct bytes text, size_t len_max)
{
    size_t len = text.len < len_max ? text.len : len_max;
    const uint8_t *nul = len > 0 ? memchr(text.ptr, 0, len) : NULL;
    return (int)(nul ? (size_t)(nul - text.ptr) : len);
}
