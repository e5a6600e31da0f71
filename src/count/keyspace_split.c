/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting a replica at a fork: two processes wrote on from the same state of it, so what they wrote since must be
 * told apart. The older versions that were kept since the fork's boot began make that possible anywhere, at any time,
 * without asking anybody: an entry (q, net) that was (p, base) before is taken apart into (p, base) of the replica and
 * (q, net - base) of the one that the fork is from now on. Both together add up to what the entry did. */
#include "base/alloc.h"
#include "count/keyspace_shard.h"
#include "count/replicas.h"

struct split {
    struct keyspace *k;
    uint32_t from, to;
    uint64_t fork;
    bool is_own;
};

/* An entry taken apart: what it was at the fork (seq 0: nothing), and the versions since, newest first, of which nets are
 * counted from the fork. */
struct parts {
    struct entry before;
    struct entry after[BLOCK_OLDER_MAX + 1];
    uint32_t after_count;
    struct entry kept[BLOCK_OLDER_MAX]; /* older than `before` */
    uint32_t kept_count;
};

/* What an entry's extras say of its own share is counted from the fork as its net is. */
static void version_rebase(struct entry *version, const struct entry *before)
{
    version->net -= before->net;
    if (version->extras && version->extras->self_base.seq > 0) version->extras->self_base.net -= before->net;
}

static enum err parts_of(const struct split *split, const struct older *o, uint32_t cell, const struct entry *entry,
                         struct parts *p)
{
    struct entry versions[BLOCK_OLDER_MAX + 1] = { *entry };
    uint32_t count = 1 + older_find(o, cell, split->from, entry->seq, versions + 1);
    *p = (struct parts){ .before = { 0 } };
    for (uint32_t i = 0; i < count; i++) {
        struct entry copy = versions[i];
        enum err err = extras_copy(versions[i].extras, &copy.extras);
        if (err != ERR_OK) return err;
        if (copy.seq > split->fork)
            p->after[p->after_count++] = copy;
        else if (p->before.seq == 0)
            p->before = copy;
        else
            p->kept[p->kept_count++] = copy;
    }
    for (uint32_t i = 0; i < p->after_count; i++) version_rebase(&p->after[i], &p->before);
    return ERR_OK;
}

static void parts_release(struct parts *p)
{
    extras_free(p->before.extras);
    for (uint32_t i = 0; i < p->after_count; i++) extras_free(p->after[i].extras);
    for (uint32_t i = 0; i < p->kept_count; i++) extras_free(p->kept[i].extras);
}

/* The versions become rows of the replica; their extras are taken over. */
static enum err rows_put(struct older *o, uint32_t cell, uint32_t replica, struct entry *versions, uint32_t count)
{
    older_retain(o, cell, replica, NULL, 0);
    enum err err = count > 0 ? older_reserve(o, count) : ERR_OK;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        struct older_row row;
        err = older_make(cell, replica, &versions[i], &row);
        if (err != ERR_OK) break;
        versions[i].extras = NULL;
        older_add(o, &row);
    }
    return err;
}

static enum err cell_split_compact(const struct split *split, struct shard *s, struct cell *c, struct parts *p)
{
    const bool fits = p->after[0].net <= INT64_MAX && p->after[0].net >= INT64_MIN;
    if (p->before.seq > 0 || !fits || p->after[0].extras || split->to > UINT16_MAX) return shard_spill(s, c, split->from);
    c->replica = (uint16_t)split->to; /* all of it is the fork's */
    return ERR_OK;
}

static enum err cell_split(const struct split *split, struct shard *s, uint32_t number, struct cell *c,
                           const struct entry *entry)
{
    struct older *o = keyspace_older(split->k, s);
    const struct share *there = cell_is_full(c) ? full_find(c->full, split->to) : NULL;
    const uint64_t to_before = there ? there->entry.seq : 0;
    struct parts p;
    enum err err = parts_of(split, o, number, entry, &p);
    if (err == ERR_OK && !cell_is_full(c)) err = cell_split_compact(split, s, c, &p);
    if (err == ERR_OK && cell_is_full(c)) {
        const size_t bytes_before = full_bytes(c->full);
        const bool existed = c->full->exists;
        err = full_split(&c->full, split->k->replicas, split->from, &p.before, split->to, &p.after[0]);
        shard_account(s, c->full, bytes_before, existed);
    }
    if (err == ERR_OK) {
        replicas_note_entry(split->k->replicas, split->from, entry->seq, p.before.seq);
        if (to_before < p.after[0].seq) replicas_note_entry(split->k->replicas, split->to, to_before, p.after[0].seq);
    }
    if (err == ERR_OK) err = rows_put(o, number, split->from, p.kept, p.kept_count);
    if (err == ERR_OK) err = rows_put(o, number, split->to, p.after + 1, p.after_count - 1);
    parts_release(&p);
    return err;
}

static enum err shard_split_cell(const struct split *split, struct shard *s, uint32_t number)
{
    struct cell *c = shard_cell(s, number);
    REQUIRE(!split->is_own || !c->open);
    struct entry entry = { .seq = 0 };
    if (cell_is_full(c)) {
        if (split->is_own) c->full->own = FULL_OWN_UNKNOWN;
        const struct share *share = full_find(c->full, split->from);
        if (share) entry = share->entry;
    } else if (c->replica == split->from) {
        entry = (struct entry){ .seq = c->seq, .net = c->net };
    }
    return entry.seq > split->fork ? cell_split(split, s, number, c, &entry) : ERR_OK;
}

enum err keyspace_split(struct keyspace *k, uint32_t replica, uint64_t fork, uint32_t to)
{
    struct split split = { .k = k, .from = replica, .to = to, .fork = fork };
    split.is_own = atomic_load_explicit(&k->own, memory_order_relaxed) == replica;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < k->count && err == ERR_OK; i++) {
        struct shard *s = &k->shards[i];
        uint32_t number = 1;
        while (err == ERR_OK && number <= s->cells.used) {
            spinlock_take(&s->lock);
            for (uint32_t n = 0; n < SLICE_ITEMS && number <= s->cells.used && err == ERR_OK; n++, number++)
                err = shard_split_cell(&split, s, number);
            spinlock_give(&s->lock);
        }
    }
    return err;
}

void keyspace_prune(struct keyspace *k, uint32_t replica)
{
    const struct trail *trail = replicas_trail(k->replicas, replica);
    for (uint32_t i = 0; i < k->count; i++) {
        struct shard *s = &k->shards[i];
        spinlock_take(&s->lock);
        older_prune(keyspace_older(k, s), replica, trail);
        spinlock_give(&s->lock);
    }
}
