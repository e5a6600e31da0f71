/* SPDX-License-Identifier: Apache-2.0 */
#include "count/keyspace_inherit.h"

#include "base/alloc.h"
#include "count/block.h"
#include "count/keyspace_shard.h"
#include "count/keyspace_table.h"
#include "count/replicas.h"

static enum err shard_inherit(struct keyspace *k, struct shard *s, uint32_t number, const struct share *lost,
                              bool *ret_moved)
{
    struct cell *c = shard_cell(s, number);
    const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
    enum err err = c->open ? ERR_OK : shard_open_reserve(s);
    if (err == ERR_OK && !cell_is_full(c)) err = shard_spill(s, c, own);
    if (err != ERR_OK) return err;
    const size_t bytes_before = full_bytes(c->full);
    const bool existed = c->full->exists;
    shard_unmark_room(s, c);
    err = full_inherit(&c->full, own, k->replicas, lost, ret_moved);
    shard_account(s, c->full, bytes_before, existed);
    shard_mark_room(s, c);
    if (err != ERR_OK || !*ret_moved) return err;
    if (!c->open) shard_open(s, number, c);
    shard_mark_dirty(k, s, c);
    return ERR_OK;
}

/* A counter with no share at all, which does not exist so far. */
static enum err shard_create_empty(const struct keyspace *k, struct shard *s, uint64_t hash, struct bytes name,
                                   uint32_t *ret_number, void **ret_retired)
{
    struct full *f = full_new(1);
    if (!f) return ERR_NOMEM;
    enum err err = shard_create(k, s, hash, name, ret_number, ret_retired);
    if (err != ERR_OK) {
        full_free(f);
        return err;
    }
    struct cell *c = shard_cell(s, *ret_number);
    c->full = f;
    c->kind |= CELL_FULL;
    shard_account(s, f, 0, false);
    return ERR_OK;
}

enum err keyspace_inherit(struct keyspace *k, uint32_t replica, uint64_t hash, struct bytes name,
                          const struct entry *entry, bool *ret_moved)
{
    REQUIRE(name.len > 0 && name.len <= NAME_BYTES_MAX);
    const struct share lost = { replica, *entry };
    struct shard *s = keyspace_shard(k, hash);
    void *retired = NULL;
    enum err err = ERR_OK;
    spinlock_take(&s->lock);
    uint32_t number = table_find(s, hash, name);
    if (number == 0) err = shard_create_empty(k, s, hash, name, &number, &retired);
    if (err == ERR_OK) err = shard_inherit(k, s, number, &lost, ret_moved);
    spinlock_give(&s->lock);
    if (retired) mem_free(retired);
    return err;
}

/* Which share of the cell is above what is known of its replica; REPLICA_NONE if none is. */
static uint32_t cell_unclaimed(const struct keyspace *k, const struct cell *c)
{
    if (!cell_is_full(c)) {
        const bool is_claimed = c->seq <= replicas_known(k->replicas, c->replica)->known;
        return is_claimed ? REPLICA_NONE : c->replica;
    }
    for (uint32_t i = 0; i < full_count_durable(c->full); i++) {
        const struct share *share = &c->full->shares[i];
        if (share->entry.seq > replicas_known(k->replicas, share->replica)->known) return share->replica;
    }
    return REPLICA_NONE;
}

static bool is_among(uint32_t replica, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i] == replica) return true;
    }
    return false;
}

static enum err shard_drop(struct keyspace *k, struct shard *s, uint32_t number, uint32_t replica, bool moves,
                           uint64_t *moved)
{
    struct cell *c = shard_cell(s, number);
    const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
    enum err err = cell_is_full(c) ? ERR_OK : shard_spill(s, c, own);
    if (err != ERR_OK) return err;
    const size_t bytes_before = full_bytes(c->full);
    const bool existed = c->full->exists;
    const struct share lost = { replica, full_take_out(c->full, k->replicas, replica) };
    replicas_note_entry(k->replicas, replica, lost.entry.seq, 0);
    older_retain(keyspace_older(k, s), number, replica, NULL, 0);
    shard_account(s, c->full, bytes_before, existed);
    bool has_moved = false;
    if (moves) err = shard_inherit(k, s, number, &lost, &has_moved);
    extras_free(lost.entry.extras);
    *moved += has_moved;
    return err;
}

enum err keyspace_drop_unclaimed(struct keyspace *k, const uint32_t *former, uint32_t former_count, uint64_t *moved)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < k->count && err == ERR_OK; i++) {
        struct shard *s = &k->shards[i];
        spinlock_take(&s->lock);
        for (uint32_t number = 1; number <= s->cells.used && err == ERR_OK; number++) {
            uint32_t replica;
            while (err == ERR_OK && (replica = cell_unclaimed(k, shard_cell(s, number))) != REPLICA_NONE)
                err = shard_drop(k, s, number, replica, is_among(replica, former, former_count), moved);
        }
        spinlock_give(&s->lock);
    }
    return err;
}
