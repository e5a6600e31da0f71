/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/frame.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static bool kind_is_known(uint8_t kind)
{
    switch (kind) {
#define X(name, number) case number:
        FRAME_KIND_LIST(X)
#undef X
        return true;
    default:
        return false;
    }
}

static uint64_t body_checksum(uint8_t kind, struct bytes body)
{
    return XXH3_64bits_withSeed(body.ptr, body.len, kind);
}

/* Of length and kind, which are the first five bytes. */
static uint32_t head_check(const uint8_t *head)
{
    return XXH3_64bits(head, 5) & 0xffffff;
}

enum err frame_read(struct bytes input, struct frame *ret_frame, size_t *ret_bytes)
{
    if (input.len < FRAME_HEAD_BYTES) return ERR_PARTIAL;
    struct reader r;
    reader_init(&r, input);
    uint32_t len = reader_u32(&r);
    uint8_t kind = reader_u8(&r);
    uint32_t check = reader_u16(&r);
    check |= (uint32_t)reader_u8(&r) << 16;
    uint64_t checksum = reader_u64(&r);
    if (check != head_check(input.ptr) || !kind_is_known(kind) || len > FRAME_BODY_BYTES_MAX) return ERR_CORRUPT;
    if (reader_left(&r) < len) return ERR_PARTIAL;
    struct bytes body = reader_bytes(&r, len);
    if (body_checksum(kind, body) != checksum) return ERR_CORRUPT;
    *ret_frame = (struct frame){ (enum frame_kind)kind, body };
    *ret_bytes = FRAME_HEAD_BYTES + len;
    return ERR_OK;
}

static void put_le(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> (8 * i));
}

void frame_seal(uint8_t head[FRAME_HEAD_BYTES], enum frame_kind kind, struct bytes body)
{
    REQUIRE(body.len <= FRAME_BODY_BYTES_MAX);
    put_le(head, body.len, 4);
    put_le(head + 4, (uint64_t)kind, 1);
    put_le(head + 5, head_check(head), 3);
    put_le(head + 8, body_checksum((uint8_t)kind, body), 8);
}

struct shared *frame_new(enum frame_kind kind, struct bytes body)
{
    struct shared *s = shared_new(FRAME_HEAD_BYTES + body.len);
    if (!s) return NULL;
    if (body.len > 0) memcpy(s->ptr + FRAME_HEAD_BYTES, body.ptr, body.len);
    frame_seal(s->ptr, kind, body);
    return s;
}
