/* SPDX-License-Identifier: Apache-2.0 */
/* bytes: a borrowed view, a cursor that reads one, and an owned buffer that is written to.
 *
 * Reader and buffer remember the first failure and go quiet: code reads or writes a whole record and asks once at
 * the end (reader_end, buffer_end). All integers are little-endian. A varint is LEB128 in its shortest form; anything
 * longer is damage. A signed number is a zigzag varint of up to 128 bits. */
#ifndef QUIPU_BASE_BYTES_H
#define QUIPU_BASE_BYTES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* A view: whoever holds it never frees it. */
struct bytes {
    const uint8_t *ptr;
    size_t len;
};

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
    return (struct bytes){ (const uint8_t *)ptr, len };
}
static inline struct bytes bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* 128 random bits that name a replica for ever; all zero means none. */
struct id128 {
    uint8_t bytes[16];
};
static inline bool id128_equal(const struct id128 *a, const struct id128 *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
static inline bool id128_is_zero(const struct id128 *id)
{
    static const struct id128 zero;
    return id128_equal(id, &zero);
}
/* Writes 32 hex digits and a NUL. */
void id128_hex(const struct id128 *id, char ret_text[33]);

struct reader {
    const uint8_t *ptr, *end;
    bool failed;
};

void reader_init(struct reader *r, struct bytes input);
size_t reader_left(const struct reader *r); /* 0 after a failure, so a loop until the end does end */
/* After a failure each of these returns 0 or an empty view and moves nothing. */
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint64_t reader_varint(struct reader *r);
int128 reader_signed(struct reader *r);
struct id128 reader_id(struct reader *r);
struct bytes reader_bytes(struct reader *r, size_t len);
/* A varint length, then that many bytes; longer than len_max fails. */
struct bytes reader_string(struct reader *r, size_t len_max);
/* ERR_CORRUPT if anything failed or bytes are left over. */
MUST_USE enum err reader_end(const struct reader *r);

/* An owned, growing run of bytes. Zero-initialised is empty and valid. */
struct buffer {
    uint8_t *ptr;
    size_t len, cap;
    bool failed; /* out of memory at some point: contents are not to be used */
};

void buffer_release(struct buffer *b);
void buffer_clear(struct buffer *b); /* keeps the memory, forgets a failure */
/* Room for len more bytes, to be filled by the caller, who then adds to b->len; NULL if there is no memory. */
MUST_USE uint8_t *buffer_reserve(struct buffer *b, size_t len);
void buffer_u8(struct buffer *b, uint8_t value);
void buffer_u16(struct buffer *b, uint16_t value);
void buffer_u32(struct buffer *b, uint32_t value);
void buffer_u64(struct buffer *b, uint64_t value);
void buffer_varint(struct buffer *b, uint64_t value);
void buffer_signed(struct buffer *b, int128 value);
void buffer_id(struct buffer *b, const struct id128 *id);
void buffer_bytes(struct buffer *b, struct bytes bytes);
void buffer_string(struct buffer *b, struct bytes bytes);
void buffer_text(struct buffer *b, const char *text); /* without its NUL */
void buffer_decimal(struct buffer *b, int64_t value);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Removes the first len bytes; what follows moves to the front. */
void buffer_drop(struct buffer *b, size_t len);
/* Overwrites four bytes written earlier, for lengths and counts that are known late. */
void buffer_patch_u32(struct buffer *b, size_t at, uint32_t value);
static inline struct bytes buffer_view(const struct buffer *b)
{
    return bytes_of(b->ptr, b->len);
}
/* ERR_NOMEM if any write failed. */
MUST_USE enum err buffer_end(const struct buffer *b);

/* Strict decimal, as Redis's string2ll: optional '-', no '+', no leading zero, no space, no "-0"; the whole view.
 * ERR_INVALID for other text, ERR_RANGE outside 64 bits. */
MUST_USE enum err bytes_to_int64(struct bytes text, int64_t *ret_value);

#endif
