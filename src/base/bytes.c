/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>

#define BUFFER_BYTES_MIN 64
#define VARINT_BYTES_MAX 19 /* 128 bits in groups of 7 */

void id128_hex(const struct id128 *id, char ret_text[33])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof id->bytes; i++) {
        ret_text[2 * i] = digits[id->bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    ret_text[2 * sizeof id->bytes] = '\0';
}

/* To the order of bytes in a record, and back; its first bytes are then the low ones on every machine. */
static inline uint64_t little_endian(uint64_t value)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : __builtin_bswap64(value);
}

/* Reader */

void reader_init(struct reader *r, struct bytes input)
{
    static const uint8_t nothing[1]; /* arithmetic on NULL is undefined, even by 0 */
    const uint8_t *start = input.len > 0 ? input.ptr : nothing;
    *r = (struct reader){ .ptr = start, .end = start + input.len };
}

size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->ptr);
}

/* The next len bytes, or NULL after a failure or if there are fewer. */
static const uint8_t *reader_take(struct reader *r, size_t len)
{
    if (r->failed || len > (size_t)(r->end - r->ptr)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *taken = r->ptr;
    r->ptr += len;
    return taken;
}

static inline uint64_t reader_fixed(struct reader *r, size_t len)
{
    const uint8_t *taken = reader_take(r, len);
    uint64_t value = 0;
    if (taken) memcpy(&value, taken, len);
    return little_endian(value);
}

uint8_t reader_u8(struct reader *r)
{
    return (uint8_t)reader_fixed(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
    return (uint16_t)reader_fixed(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
    return (uint32_t)reader_fixed(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
    return reader_fixed(r, 8);
}

static uint128 reader_varint_wide(struct reader *r, unsigned bits)
{
    uint128 value = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t byte = reader_u8(r);
        uint8_t group = byte & 0x7f;
        bool too_long = byte == 0 && shift > 0;
        bool too_large = bits - shift < 7 && group >> (bits - shift) != 0;
        if (r->failed || too_long || too_large) break;
        value |= (uint128)group << shift;
        if (byte < 0x80) return value;
    }
    r->failed = true;
    return 0;
}

uint64_t reader_varint(struct reader *r)
{
    if (!r->failed && r->ptr < r->end && *r->ptr < 0x80) return *r->ptr++;
    return (uint64_t)reader_varint_wide(r, 64);
}

int128 reader_signed(struct reader *r)
{
    uint128 zigzag = reader_varint_wide(r, 128);
    return (int128)((zigzag >> 1) ^ (0 - (zigzag & 1)));
}

struct id128 reader_id(struct reader *r)
{
    struct id128 id = { { 0 } };
    const uint8_t *taken = reader_take(r, sizeof id.bytes);
    if (taken) memcpy(id.bytes, taken, sizeof id.bytes);
    return id;
}

struct bytes reader_bytes(struct reader *r, size_t len)
{
    const uint8_t *taken = reader_take(r, len);
    return bytes_of(taken, taken ? len : 0);
}

struct bytes reader_string(struct reader *r, size_t len_max)
{
    uint64_t len = reader_varint(r);
    if (len > len_max) r->failed = true;
    return reader_bytes(r, (size_t)len);
}

enum err reader_end(const struct reader *r)
{
    return r->failed || r->ptr != r->end ? ERR_CORRUPT : ERR_OK;
}

/* Buffer */

void buffer_release(struct buffer *b)
{
    mem_free(b->ptr);
    *b = (struct buffer){ 0 };
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
    b->failed = false;
}

static bool buffer_grow(struct buffer *b, size_t len)
{
    if (len > SIZE_MAX / 2 - b->len) return false;
    size_t cap = b->cap > 0 ? b->cap : BUFFER_BYTES_MIN;
    while (cap < b->len + len) cap *= 2;
    uint8_t *grown = mem_resize(b->ptr, cap);
    if (!grown) return false;
    b->ptr = grown;
    b->cap = cap;
    return true;
}

uint8_t *buffer_reserve(struct buffer *b, size_t len)
{
    if (b->failed) return NULL;
    bool fits = b->ptr && len <= b->cap - b->len;
    if (!fits && !buffer_grow(b, len)) {
        b->failed = true;
        return NULL;
    }
    return b->ptr + b->len;
}

static inline void buffer_fixed(struct buffer *b, uint64_t value, size_t len)
{
    uint8_t *room = buffer_reserve(b, len);
    if (!room) return;
    value = little_endian(value);
    memcpy(room, &value, len);
    b->len += len;
}

void buffer_u8(struct buffer *b, uint8_t value)
{
    buffer_fixed(b, value, 1);
}

void buffer_u16(struct buffer *b, uint16_t value)
{
    buffer_fixed(b, value, 2);
}

void buffer_u32(struct buffer *b, uint32_t value)
{
    buffer_fixed(b, value, 4);
}

void buffer_u64(struct buffer *b, uint64_t value)
{
    buffer_fixed(b, value, 8);
}

static void buffer_varint_wide(struct buffer *b, uint128 value)
{
    uint8_t *room = buffer_reserve(b, VARINT_BYTES_MAX);
    if (!room) return;
    size_t len = 0;
    for (; value >= 0x80; value >>= 7) room[len++] = (uint8_t)(value | 0x80);
    room[len++] = (uint8_t)value;
    b->len += len;
}

void buffer_varint(struct buffer *b, uint64_t value)
{
    buffer_varint_wide(b, value);
}

void buffer_signed(struct buffer *b, int128 value)
{
    uint128 sign = value < 0 ? ~(uint128)0 : 0;
    buffer_varint_wide(b, ((uint128)value << 1) ^ sign);
}

void buffer_id(struct buffer *b, const struct id128 *id)
{
    buffer_bytes(b, bytes_of(id->bytes, sizeof id->bytes));
}

void buffer_bytes(struct buffer *b, struct bytes bytes)
{
    uint8_t *room = buffer_reserve(b, bytes.len);
    if (!room || bytes.len == 0) return;
    memcpy(room, bytes.ptr, bytes.len);
    b->len += bytes.len;
}

void buffer_string(struct buffer *b, struct bytes bytes)
{
    buffer_varint(b, bytes.len);
    buffer_bytes(b, bytes);
}

void buffer_text(struct buffer *b, const char *text)
{
    buffer_bytes(b, bytes_of_text(text));
}

void buffer_decimal(struct buffer *b, int64_t value)
{
    char text[20]; /* "-9223372036854775808" */
    size_t at = sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) text[--at] = '-';
    buffer_bytes(b, bytes_of(text + at, sizeof text - at));
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    REQUIRE(len >= 0);
    uint8_t *room = buffer_reserve(b, (size_t)len + 1); /* vsnprintf ends with a NUL, which is not kept */
    if (room) b->len += (size_t)vsnprintf((char *)room, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
}

void buffer_drop(struct buffer *b, size_t len)
{
    REQUIRE(len <= b->len);
    b->len -= len;
    if (b->len > 0 && len > 0) memmove(b->ptr, b->ptr + len, b->len);
}

void buffer_patch_u32(struct buffer *b, size_t at, uint32_t value)
{
    if (b->failed) return;
    REQUIRE(b->len >= 4 && at <= b->len - 4);
    uint64_t patch = little_endian(value);
    memcpy(b->ptr + at, &patch, sizeof value);
}

enum err buffer_end(const struct buffer *b)
{
    return b->failed ? ERR_NOMEM : ERR_OK;
}

/* Text */

enum err bytes_to_int64(struct bytes text, int64_t *ret_value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t at = negative;
    if (at == text.len) return ERR_INVALID;
    if (text.ptr[at] == '0' && text.len > 1) return ERR_INVALID; /* "-0" and "007" */
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t value = 0;
    bool in_range = true;
    for (; at < text.len; at++) {
        if (text.ptr[at] < '0' || text.ptr[at] > '9') return ERR_INVALID;
        uint64_t digit = (uint64_t)(text.ptr[at] - '0');
        in_range = in_range && value <= (limit - digit) / 10;
        value = value * 10 + digit;
    }
    if (!in_range) return ERR_RANGE;
    *ret_value = (int64_t)(negative ? 0 - value : value);
    return ERR_OK;
}
