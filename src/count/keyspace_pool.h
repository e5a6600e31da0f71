/* SPDX-License-Identifier: Apache-2.0 */
/* pool: items of one size by number, from 1 up, in chunks that never move. Private to the keyspace.
 * Reserving is apart from taking, so that a caller can make sure of all it needs before it changes anything. */
#ifndef QUIPU_COUNT_KEYSPACE_POOL_H
#define QUIPU_COUNT_KEYSPACE_POOL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Always a constant, so that it costs nothing. */
struct pool_shape {
    uint32_t item_bytes, chunk_shift; /* 1 << chunk_shift items to a chunk */
};

/* Zero-initialised is empty. */
struct pool {
    uint8_t **chunks;
    uint32_t used; /* the highest number given out */
    uint32_t held; /* chunks */
};

void pool_release(struct pool *p);
/* After ERR_OK the next pool_take cannot fail. ERR_NOMEM changes nothing. */
MUST_USE enum err pool_reserve(struct pool *p, struct pool_shape shape);
size_t pool_bytes(const struct pool *p, struct pool_shape shape);

/* The number of a new item, whose bytes are undefined. Only after pool_reserve. */
static inline uint32_t pool_take(struct pool *p)
{
    return ++p->used;
}

static inline void *pool_at(const struct pool *p, uint32_t number, struct pool_shape shape)
{
    uint32_t in_chunk = number & ((1u << shape.chunk_shift) - 1);
    return p->chunks[number >> shape.chunk_shift] + (size_t)in_chunk * shape.item_bytes;
}

#endif
