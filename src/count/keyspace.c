/* SPDX-License-Identifier: Apache-2.0 */
/* What any thread may call, and the life of a keyspace. keyspace_commit.c has the replica thread's side,
 * keyspace_shard.h the layout. */
#include "count/keyspace_replica.h"

#include "base/alloc.h"
#include "base/force.h"
#include "count/block.h"
#include "count/keyspace_shard.h"
#include "count/keyspace_table.h"
#include "count/replicas.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SHARDS_MAX 65536u

enum err keyspace_new(const struct keyspace_options *options, struct keyspace **ret_keyspace)
{
    REQUIRE(options->shards > 0 && options->shards <= SHARDS_MAX);
    REQUIRE((options->shards & (options->shards - 1)) == 0);
    struct keyspace *k = mem_alloc_zero(1, sizeof *k);
    void *memory = mem_alloc_zero(options->shards + 1, sizeof(struct shard)); /* one more, to align the others */
    struct older *olders = mem_alloc_zero(options->shards, sizeof *olders);
    if (!k || !memory || !olders) {
        mem_free(olders);
        mem_free(memory);
        mem_free(k);
        return ERR_NOMEM;
    }
    uintptr_t align = _Alignof(struct shard);
    k->shards = (struct shard *)(((uintptr_t)memory + align - 1) / align * align);
    k->memory = memory;
    k->olders = olders;
    k->replicas = options->replicas;
    k->hash_seed = options->hash_seed;
    k->count = options->shards;
    k->shift = 63 - (uint32_t)__builtin_ctz(options->shards);
    for (uint32_t i = 0; i < k->count; i++) {
        k->shards[i].number = 1;
        table_init(&k->shards[i]);
    }
    *ret_keyspace = k;
    return ERR_OK;
}

static void shard_release(struct shard *s)
{
    for (uint32_t number = 1; number <= s->cells.used; number++) {
        struct cell *c = shard_cell(s, number);
        if (cell_is_full(c)) full_free(c->full);
        if (c->kind & CELL_NAME_LONG) mem_free(c->name_long.bytes);
    }
    pool_release(&s->cells);
    pool_release(&s->opens);
    table_release(s);
}

void keyspace_free(struct keyspace *k)
{
    if (!k) return;
    for (uint32_t i = 0; i < k->count; i++) {
        shard_release(&k->shards[i]);
        older_release(&k->olders[i]);
    }
    mem_free(k->olders);
    mem_free(k->memory);
    mem_free(k);
}

void keyspace_set_own(struct keyspace *k, uint32_t replica)
{
    REQUIRE(replica != REPLICA_NONE && replica <= REPLICAS_MAX);
    atomic_store_explicit(&k->own, replica, memory_order_relaxed);
}

uint64_t keyspace_hash(const struct keyspace *k, struct bytes name)
{
    return XXH3_64bits_withSeed(name.ptr, name.len, k->hash_seed);
}

/* The slot of the newest table: while a shard grows that may be the wrong one, and the two fields may be of different
 * tables. So the address is only a number here, and nothing is read from it. */
void keyspace_prefetch(const struct keyspace *k, uint64_t hash)
{
    const struct shard *s = keyspace_shard(k, hash);
    uintptr_t slots = (uintptr_t)atomic_load_explicit(&s->table.slots, memory_order_relaxed);
    uint32_t cap = atomic_load_explicit(&s->table.cap, memory_order_relaxed);
    __builtin_prefetch((const void *)(slots + table_home(cap, hash) * sizeof(uint32_t)));
}

void keyspace_prefetch_cell(const struct keyspace *k, uint64_t hash)
{
    struct shard *s = keyspace_shard(k, hash);
    spinlock_take(&s->lock);
    uint32_t number = table_guess(s, hash);
    if (number > 0) __builtin_prefetch(shard_cell(s, number), 1);
    spinlock_give(&s->lock);
}

static void cell_prefetch_rest(const struct shard *s, const struct cell *c)
{
    if (c->kind & CELL_NAME_LONG) __builtin_prefetch(c->name_long.bytes);
    if (c->open) __builtin_prefetch(shard_open_record(s, c->open), 1);
}

void keyspace_prefetch_rest(const struct keyspace *k, uint64_t hash)
{
    struct shard *s = keyspace_shard(k, hash);
    spinlock_take(&s->lock);
    uint32_t number = table_guess(s, hash);
    if (number > 0) cell_prefetch_rest(s, shard_cell(s, number));
    spinlock_give(&s->lock);
}

void keyspace_refuse_writes(struct keyspace *k, enum err reason)
{
    atomic_store_explicit(&k->refused, (int)reason, memory_order_relaxed);
}

enum err keyspace_writes_refused(const struct keyspace *k)
{
    return (enum err)atomic_load_explicit(&k->refused, memory_order_relaxed);
}

bool keyspace_is_dirty(const struct keyspace *k)
{
    return atomic_load_explicit(&k->dirty, memory_order_relaxed);
}

/* Adding. Everything that can fail comes before the first change. */

static enum err shard_add_first(struct keyspace *k, struct shard *s, uint64_t hash, struct bytes name, int64_t delta,
                                uint32_t own, struct seen *ret_seen, void **ret_retired)
{
    uint32_t number;
    enum err err = shard_open_reserve(s);
    if (err == ERR_OK) err = shard_create(k, s, hash, name, &number, ret_retired);
    if (err != ERR_OK) return err;
    struct cell *c = shard_cell(s, number);
    c->replica = (uint16_t)own;
    shard_open(s, number, c);
    c->net = delta;
    s->existing++;
    shard_mark_dirty(k, s, c);
    shard_see(s, c, ret_seen);
    return ERR_OK;
}

static enum err shard_add_full(struct keyspace *k, struct shard *s, uint32_t number, int64_t delta, uint32_t own,
                               struct seen *ret_seen)
{
    struct cell *c = shard_cell(s, number);
    enum err err = c->open ? ERR_OK : shard_open_reserve(s);
    if (err == ERR_OK && !cell_is_full(c)) err = shard_spill(s, c, own);
    if (err != ERR_OK) return err;
    const bool existed = c->full->exists;
    if (c->full->own == FULL_OWN_UNKNOWN) {
        const size_t bytes_before = full_bytes(c->full);
        err = full_own(&c->full, own);
        if (err != ERR_OK) return err;
        shard_account(s, c->full, bytes_before, existed);
    }
    err = full_add(c->full, delta);
    if (err == ERR_OK) {
        s->existing += !existed;
        if (!c->open) shard_open(s, number, c);
        shard_mark_dirty(k, s, c);
    }
    shard_see(s, c, ret_seen);
    return err;
}

static inline enum err shard_add(struct keyspace *k, struct shard *s, uint32_t number, int64_t delta, uint32_t own,
                                 struct seen *ret_seen)
{
    struct cell *c = shard_cell(s, number);
    if (cell_is_full(c) || c->replica != own || FORCE(SPILL)) return shard_add_full(k, s, number, delta, own, ret_seen);
    int64_t net;
    if (__builtin_add_overflow(c->net, delta, &net)) {
        shard_see(s, c, ret_seen);
        return ERR_RANGE;
    }
    if (!c->open) {
        enum err err = shard_open_reserve(s);
        if (err != ERR_OK) return err;
        shard_open(s, number, c);
    }
    c->net = net;
    shard_mark_dirty(k, s, c);
    *ret_seen = (struct seen){ .value = net, .exists = true, .commit = s->number };
    return ERR_OK;
}

/* Whether writes are refused, and whose they are, is read under the lock: once every shard's list was drained after a
 * refusal, nothing is pending any more. */
static enum err shard_add_any(struct keyspace *k, struct shard *s, uint64_t hash, struct bytes name, int64_t delta,
                              struct seen *ret_seen, void **ret_retired)
{
    enum err err = keyspace_writes_refused(k);
    if (err != ERR_OK) return err;
    const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
    REQUIRE(own != REPLICA_NONE);
    uint32_t number = table_find(s, hash, name);
    if (number > 0) return shard_add(k, s, number, delta, own, ret_seen);
    return shard_add_first(k, s, hash, name, delta, own, ret_seen, ret_retired);
}

enum err keyspace_add(struct keyspace *k, uint64_t hash, struct bytes name, int64_t delta, struct seen *ret_seen)
{
    if (name.len == 0 || name.len > NAME_BYTES_MAX) return ERR_INVALID;
    struct shard *s = keyspace_shard(k, hash);
    void *retired = NULL;
    spinlock_take(&s->lock);
    enum err err = shard_add_any(k, s, hash, name, delta, ret_seen, &retired);
    spinlock_give(&s->lock);
    if (retired) mem_free(retired);
    return err;
}

/* Reading */

void keyspace_get(struct keyspace *k, uint64_t hash, struct bytes name, struct seen *ret_seen)
{
    *ret_seen = (struct seen){ 0 };
    struct shard *s = keyspace_shard(k, hash);
    spinlock_take(&s->lock);
    uint32_t number = table_find(s, hash, name);
    if (number > 0) shard_see(s, shard_cell(s, number), ret_seen);
    spinlock_give(&s->lock);
}

uint64_t keyspace_count(const struct keyspace *k)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        struct shard *s = &k->shards[i];
        spinlock_take(&s->lock);
        count += s->existing;
        spinlock_give(&s->lock);
    }
    return count;
}

uint64_t keyspace_bytes(const struct keyspace *k)
{
    uint64_t bytes = sizeof *k + (k->count + (size_t)1) * sizeof(struct shard) + k->count * sizeof *k->olders;
    for (uint32_t i = 0; i < k->count; i++) {
        struct shard *s = &k->shards[i];
        spinlock_take(&s->lock);
        bytes += pool_bytes(&s->cells, pool_of_cells) + pool_bytes(&s->opens, pool_of_opens);
        bytes += table_bytes(s) + s->heap_bytes + older_bytes(&k->olders[i]);
        spinlock_give(&s->lock);
    }
    return bytes;
}

static void shard_visit(const struct keyspace *k, const struct shard *s, uint32_t number, keyspace_visitor *visitor,
                        void *context)
{
    const struct cell *c = shard_cell(s, number);
    struct seen seen;
    shard_see(s, c, &seen);
    struct visit visit = {
        .name = cell_name(c),
        .cell = cell_ref_of(k, s, number),
        .value = seen.value,
        .exists = seen.exists,
        .older = keyspace_older(k, s),
    };
    struct share only = { .replica = c->replica, .entry = { .seq = c->seq } };
    if (cell_is_full(c)) {
        visit.shares = c->full->shares;
        visit.count = full_count_durable(c->full);
    } else {
        only.entry.net = c->open ? shard_open_record(s, c->open)->net_durable : c->net;
        visit.shares = &only;
        visit.count = c->seq > 0;
    }
    visitor(context, &visit);
}

uint32_t visit_older(const struct visit *visit, const struct share *share, struct entry ret_older[BLOCK_OLDER_MAX])
{
    return older_find(visit->older, (uint32_t)visit->cell, share->replica, share->entry.seq, ret_older);
}

/* New cells have higher numbers than all others, so a number says what was visited. */
static uint32_t shard_walk(const struct keyspace *k, struct shard *s, uint32_t from, uint32_t cells_max,
                           keyspace_visitor *visitor, void *context)
{
    spinlock_take(&s->lock);
    uint32_t left = s->cells.used - from;
    uint32_t count = left < cells_max ? left : cells_max;
    for (uint32_t i = 1; i <= count; i++) cell_prefetch_rest(s, shard_cell(s, from + i));
    for (uint32_t i = 1; i <= count; i++) shard_visit(k, s, from + i, visitor, context);
    spinlock_give(&s->lock);
    return count;
}

bool keyspace_walk(struct keyspace *k, struct walk *walk, uint32_t cells_max, keyspace_visitor *visitor, void *context)
{
    while (cells_max > 0 && walk->shard < k->count) {
        uint32_t want = cells_max < SLICE_ITEMS ? cells_max : SLICE_ITEMS;
        uint32_t got = shard_walk(k, &k->shards[walk->shard], walk->cell, want, visitor, context);
        cells_max -= got;
        walk->cell += got;
        if (got == want) continue;
        *walk = (struct walk){ .shard = walk->shard + 1 };
        cells_max--; /* many shards may be empty, and a slice is to be short */
    }
    return walk->shard < k->count;
}
