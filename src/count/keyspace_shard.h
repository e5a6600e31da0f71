/* SPDX-License-Identifier: Apache-2.0 */
/* shard: a part of the keyspace under one lock. Private to the keyspace. What a counter costs, with a 14-byte name:
 *
 *   cell            40    never moves; numbers are handed out in rising order and never taken back
 *   slot            5.0   4 bytes each, 0.72 to 0.9 full, see keyspace_table.c; shards grow at different times
 *   chunk not full  0.3   half of 64 cells, at 4,000 counters a shard
 *   chunk list      0.2
 *
 * An increment of a counter that is there, and was changed since the last commit, touches the shard's first line, the
 * slot's line and the cell (16 of 40 bytes are the name; half of all cells lie on two lines). The first change since a
 * commit touches an open record and the shard's second line as well. Neither asks for memory once the pool of open
 * records has reached its peak. */
#ifndef QUIPU_COUNT_KEYSPACE_SHARD_H
#define QUIPU_COUNT_KEYSPACE_SHARD_H

#include "base/lock.h"
#include "count/keyspace.h"
#include "count/keyspace_cell.h"
#include "count/keyspace_older.h"
#include "count/keyspace_pool.h"

#include <stdatomic.h>

#define LINE_BYTES 64
/* Cells, records or entries handled under one taking of the lock: some microseconds. */
#define SLICE_ITEMS 32u

/* Open addressing. slots and cap are read without the lock by keyspace_prefetch, which follows neither. */
struct table {
    _Atomic(uint32_t *) slots;
    atomic_uint cap;
    uint8_t cell_bits; /* low bits of a slot: the cell's number; the others: a tag out of the hash. 0 is empty */
    bool is_growing;   /* some hashes are still at home in `before` */
};

struct shard {
    _Alignas(2 * LINE_BYTES) struct spinlock lock; /* neighbouring lines are fetched in pairs */
    uint32_t dirty;                                /* head of the dirty list, an open record */
    uint64_t number;                               /* of the commit that will take the dirty list */
    struct table table;
    struct pool cells;
    struct pool opens;

    _Alignas(LINE_BYTES) size_t dirty_bytes; /* at most so many bytes in a block */
    uint32_t dirty_count;
    uint32_t opens_free; /* linked by next[0] */
    struct table before; /* while the table grows */
    uint32_t moved;      /* slots of `before` whose homes are no longer there */
    uint32_t zeroed;     /* slots of the table that were given their first zero */
    uint64_t existing;   /* counters that exist */
    uint64_t heap_bytes; /* long names and full counters */
};
_Static_assert(offsetof(struct shard, dirty_bytes) == LINE_BYTES, "what every operation needs is on one line");
_Static_assert(sizeof(struct shard) == 2 * LINE_BYTES, "a shard shares no pair of lines with its neighbour");

struct keyspace {
    struct shard *shards;
    void *memory; /* shards before alignment */
    struct older *olders; /* by shard */
    struct replicas *replicas;
    uint64_t hash_seed;
    uint32_t count;
    uint32_t shift; /* a shard is the hash's top bits: hash >> 1 >> shift, as one shard would be a shift by 64 */
    atomic_uint own;
    atomic_int refused;
    uint8_t apart[LINE_BYTES];
    atomic_bool dirty; /* some dirty list may not be empty. Changes with every commit, unlike what is above */
};

/* What a shard has not filled yet is small: half a chunk of cells is 1.3 KB, of records 256 bytes. */
static const struct pool_shape pool_of_cells = { sizeof(struct cell), 6 };
static const struct pool_shape pool_of_opens = { sizeof(struct open_record), 4 };

static inline struct cell *shard_cell(const struct shard *s, uint32_t number)
{
    return pool_at(&s->cells, number, pool_of_cells);
}

static inline struct open_record *shard_open_record(const struct shard *s, uint32_t number)
{
    return pool_at(&s->opens, number, pool_of_opens);
}

static inline struct shard *keyspace_shard(const struct keyspace *k, uint64_t hash)
{
    return &k->shards[hash >> 1 >> k->shift];
}

static inline struct older *keyspace_older(const struct keyspace *k, const struct shard *s)
{
    return &k->olders[s - k->shards];
}

static inline cell_ref cell_ref_of(const struct keyspace *k, const struct shard *s, uint32_t number)
{
    return (uint64_t)(s - k->shards) << 32 | number;
}

/* What a read of the counter shows, and the commit that the reply has to wait for. */
void shard_see(const struct shard *s, const struct cell *c, struct seen *ret_seen);
/* Makes a cell without any entry, which is to get one under the same lock. *ret_retired is memory to be freed when the
 * lock was given back, also after an error. ERR_NOMEM: there is no new counter. */
MUST_USE enum err shard_create(const struct keyspace *k, struct shard *s, uint64_t hash, struct bytes name,
                               uint32_t *ret_number, void **ret_retired);
/* Turns a compact cell into a full one that says the same. ERR_NOMEM changes nothing. */
MUST_USE enum err shard_spill(struct shard *s, struct cell *c, uint32_t own);
/* After a full counter changed its size, and perhaps its existence; with what they were before. */
void shard_account(struct shard *s, const struct full *f, size_t bytes_before, bool existed);

/* After ERR_OK the next shard_open cannot fail. */
MUST_USE enum err shard_open_reserve(struct shard *s);
/* Gives the cell an open record, before its first pending change. */
void shard_open(struct shard *s, uint32_t number, struct cell *c);
/* Everything of the cell is durable. */
void shard_close(struct shard *s, struct cell *c);
/* Around a change of what the cell's own entry needs in a block, which may be on the dirty list. */
void shard_unmark_room(struct shard *s, const struct cell *c);
void shard_mark_room(struct shard *s, const struct cell *c);
/* Puts the cell, which has an open record, on the dirty list unless it is there. */
void shard_mark_dirty(struct keyspace *k, struct shard *s, struct cell *c);

#endif
