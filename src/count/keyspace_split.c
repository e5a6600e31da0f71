/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting a replica at a fork: two processes wrote on from the same state of it, so what they wrote since must be
 * told apart. The older versions that were kept since the fork's boot began make that possible anywhere, at any time,
 * without asking anybody: an entry (q, net) that was (p, base) before is taken apart into (p, base) of the replica and
 * (q, net - base) of the one that the fork is from now on. Both together add up to what the entry did. */
#include "base/alloc.h"
#include "count/keyspace_replica.h"
#include "count/keyspace_shard.h"
#include "count/replicas.h"

struct split {
    struct keyspace *k;
    uint32_t from, to;
    uint64_t fork;
    bool is_own;
};

/* An entry taken apart: what it was at the fork (seq 0: nothing), and the versions since, newest first, whose nets are
 * counted from there. */
struct parts {
    struct entry before;
    struct entry after[BLOCK_OLDER_MAX + 1];
    uint32_t after_count;
    struct entry kept[BLOCK_OLDER_MAX]; /* older than `before` */
    uint32_t kept_count;
};

/* The fork's share goes on from nothing: what its extras say of the owner's share is counted from there as well. A
 * reset before the fork is the replica's affair. One since then cleared also what the replica had at the fork: that is
 * not the own share any more, and takes a base like any other's. */
static enum err version_rebase(struct entry *version, const struct entry *before, uint32_t from)
{
    struct extras *x = version->extras;
    version->net -= before->net;
    if (!x) return ERR_OK;
    if (x->add_seq <= before->seq) x->add_seq = 0;
    if (x->self_base.seq <= before->seq) {
        x->self_base = (struct base){ 0 };
        x->after = false;
        return ERR_OK;
    }
    x->self_base.net -= before->net;
    if (before->seq == 0) return ERR_OK;
    struct base_list *bases = &x->bases;
    struct replica_base *items = mem_resize(bases->items, (bases->count + (size_t)1) * sizeof *items);
    if (!items) return ERR_NOMEM;
    items[bases->count++] = (struct replica_base){ from, { before->seq, before->net } };
    bases->items = items;
    base_list_sort(bases);
    return ERR_OK;
}

static enum err parts_of(const struct split *split, const struct older *o, uint32_t cell, const struct entry *entry,
                         struct parts *p)
{
    struct entry versions[BLOCK_OLDER_MAX + 1];
    versions[0] = *entry;
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
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < p->after_count && err == ERR_OK; i++)
        err = version_rebase(&p->after[i], &p->before, split->from);
    return err;
}

static void parts_release(struct parts *p)
{
    extras_free(p->before.extras);
    for (uint32_t i = 0; i < p->after_count; i++) extras_free(p->after[i].extras);
    for (uint32_t i = 0; i < p->kept_count; i++) extras_free(p->kept[i].extras);
}

/* Rows for both replicas, ready to be added: whatever can fail comes before the first change. */
struct part_rows {
    struct older_row rows[2 * BLOCK_OLDER_MAX];
    uint32_t count;
};

/* The versions' extras are taken over. */
static enum err rows_make(struct part_rows *rows, uint32_t cell, uint32_t replica, struct entry *versions,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        enum err err = older_make(cell, replica, &versions[i], &rows->rows[rows->count]);
        if (err != ERR_OK) return err;
        versions[i].extras = NULL;
        rows->count++;
    }
    return ERR_OK;
}

static enum err rows_of(const struct split *split, struct older *o, uint32_t cell, struct parts *p,
                        struct part_rows *rows)
{
    rows->count = 0;
    enum err err = rows_make(rows, cell, split->from, p->kept, p->kept_count);
    if (err == ERR_OK) err = rows_make(rows, cell, split->to, p->after + 1, p->after_count - 1);
    if (err == ERR_OK && rows->count > 0) err = older_reserve(o, rows->count);
    return err;
}

static void rows_put(const struct split *split, struct older *o, uint32_t cell, struct part_rows *rows, bool is_newer)
{
    older_retain(o, cell, split->from, NULL, 0);
    if (is_newer) older_retain(o, cell, split->to, NULL, 0);
    for (uint32_t i = 0; i < rows->count; i++) {
        if (is_newer || rows->rows[i].replica == split->from)
            older_add(o, &rows->rows[i]);
        else
            older_unmake(&rows->rows[i]);
    }
    rows->count = 0;
}

/* A compact cell all of which is the fork's only changes hands. */
static bool cell_is_all_of(const struct cell *c, const struct parts *p)
{
    return !cell_is_full(c) && p->before.seq == 0 && !p->after[0].extras;
}

static enum err cell_take_apart(const struct split *split, struct shard *s, struct cell *c, struct parts *p)
{
    if (cell_is_all_of(c, p)) {
        c->replica = (uint16_t)split->to;
        return ERR_OK;
    }
    enum err err = cell_is_full(c) ? ERR_OK : shard_spill(s, c, split->from);
    if (err != ERR_OK) return err;
    const size_t bytes_before = full_bytes(c->full);
    const bool existed = c->full->exists;
    err = full_split(&c->full, split->k->replicas, split->from, &p->before, split->to, &p->after[0]);
    shard_account(s, c->full, bytes_before, existed);
    return err;
}

static enum err cell_split(const struct split *split, struct shard *s, uint32_t number, struct cell *c,
                           const struct entry *entry)
{
    struct older *o = keyspace_older(split->k, s);
    const struct share *there = cell_is_full(c) ? full_find(c->full, split->to) : NULL;
    const uint64_t to_before = there ? there->entry.seq : 0;
    struct parts p;
    struct part_rows rows = { .count = 0 };
    enum err err = parts_of(split, o, number, entry, &p);
    if (err == ERR_OK) err = rows_of(split, o, number, &p, &rows);
    if (err == ERR_OK) err = cell_take_apart(split, s, c, &p);
    if (err == ERR_OK) {
        rows_put(split, o, number, &rows, to_before < entry->seq);
        replicas_note_entry(split->k->replicas, split->from, entry->seq, p.before.seq);
        if (to_before < entry->seq) replicas_note_entry(split->k->replicas, split->to, to_before, entry->seq);
    }
    for (uint32_t i = 0; i < rows.count; i++) older_unmake(&rows.rows[i]);
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
