/* SPDX-License-Identifier: Apache-2.0 */
#include "count/keyspace_pool.h"

#include "base/alloc.h"

#include <stdbool.h>

void pool_release(struct pool *p)
{
    for (uint32_t i = 0; i < p->held; i++) mem_free(p->chunks[i]);
    mem_free(p->chunks);
    *p = (struct pool){ 0 };
}

/* The list of chunks has room for the next power of two, so its size need not be kept. */
static bool pool_list_is_full(const struct pool *p)
{
    return (p->held & (p->held - 1)) == 0;
}

static size_t pool_list_bytes(const struct pool *p)
{
    size_t cap = p->held > 0 ? 1 : 0;
    while (cap < p->held) cap *= 2;
    return cap * sizeof *p->chunks;
}

enum err pool_reserve(struct pool *p, struct pool_shape shape)
{
    if ((uint64_t)p->used + 1 < (uint64_t)p->held << shape.chunk_shift) return ERR_OK;
    if (p->held == UINT32_MAX >> shape.chunk_shift) return ERR_NOMEM; /* numbers have 32 bits */
    if (pool_list_is_full(p)) {
        size_t cap = p->held > 0 ? (size_t)p->held * 2 : 1;
        uint8_t **chunks = mem_resize(p->chunks, cap * sizeof *chunks);
        if (!chunks) return ERR_NOMEM;
        p->chunks = chunks;
    }
    uint8_t *chunk = mem_alloc((size_t)shape.item_bytes << shape.chunk_shift);
    if (!chunk) return ERR_NOMEM;
    p->chunks[p->held++] = chunk;
    return ERR_OK;
}

size_t pool_bytes(const struct pool *p, struct pool_shape shape)
{
    return pool_list_bytes(p) + ((size_t)p->held * shape.item_bytes << shape.chunk_shift);
}
