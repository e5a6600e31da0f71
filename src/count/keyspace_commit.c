/* SPDX-License-Identifier: Apache-2.0 */
/* The replica thread's side: commits go out, foreign entries come in.
 *
 * A commit takes a shard's dirty list with one short hold of the lock, which also raises the shard's number; the list
 * is then encoded in slices. What workers add in between is in the taken commit already, as net is read late, and the
 * counter is on the next list all the same: their replies wait for that one, and it costs one record too many. Room
 * for a whole list is made before it is taken, so that encoding cannot fail half way. */
#include "base/alloc.h"
#include "count/block.h"
#include "count/keyspace_replica.h"
#include "count/keyspace_shard.h"
#include "count/keyspace_table.h"
#include "count/replicas.h"

#define BATCH_ITEMS_MIN 64u

static struct shard *cell_ref_shard(const struct keyspace *k, cell_ref ref)
{
    REQUIRE(ref >> 32 < k->count);
    return &k->shards[ref >> 32];
}

static struct cell *cell_ref_cell(const struct shard *s, cell_ref ref)
{
    REQUIRE((uint32_t)ref > 0 && (uint32_t)ref <= s->cells.used);
    return shard_cell(s, (uint32_t)ref);
}

void batch_release(struct batch *b)
{
    mem_free(b->items);
    mem_free(b->blocks);
    *b = (struct batch){ 0 };
}

/* Taking */

static bool batch_reserve(struct batch *b, uint32_t count)
{
    if (count <= b->cap - b->count) return true;
    uint64_t cap = b->cap > 0 ? b->cap : BATCH_ITEMS_MIN;
    while (cap < (uint64_t)b->count + count) cap *= 2;
    if (cap > UINT32_MAX) return false;
    struct batch_item *items = mem_resize(b->items, cap * sizeof *items);
    if (!items) return false;
    b->items = items;
    b->cap = (uint32_t)cap;
    return true;
}

/* Unlike buffer_reserve a failure leaves the buffer usable: nothing that was to be written is lost. */
static bool block_reserve(struct buffer *out, size_t len)
{
    if (out->failed) return false;
    out->failed = buffer_reserve(out, len) == NULL;
    bool has_room = !out->failed;
    out->failed = false;
    return has_room;
}

/* A commit that is being taken. */
struct taking {
    uint64_t commit, seq_first;
    struct batch *batch;
    struct block_writer *block;
    const struct trail *loose; /* the own trail while a boot of it is loose; else NULL */
};

/* Takes the shard's list, in *ret_list, or finds that an earlier call has done so. */
static enum err shard_drain(struct keyspace *k, struct shard *s, const struct taking *taking, struct buffer *out,
                            uint32_t *ret_list)
{
    struct batch *batch = taking->batch;
    const uint64_t commit = taking->commit;
    struct older *older = taking->loose ? keyspace_older(k, s) : NULL;
    for (;;) {
        spinlock_take(&s->lock);
        REQUIRE(s->number == commit || s->number == commit + 1);
        const uint32_t count = s->number == commit ? s->dirty_count : 0;
        const size_t bytes = s->dirty_bytes + (older ? older_block_bytes(older, count) : 0);
        const bool has_room = count <= batch->cap - batch->count && !out->failed && bytes <= out->cap - out->len;
        if (older && count > 0 && older_reserve(older, count) != ERR_OK) {
            spinlock_give(&s->lock);
            return ERR_NOMEM;
        }
        if (count == 0 || has_room) {
            *ret_list = count > 0 ? s->dirty : 0;
            if (s->number == commit) {
                s->number = commit + 1;
                s->dirty = s->dirty_count = 0;
                s->dirty_bytes = 0;
            }
            spinlock_give(&s->lock);
            return ERR_OK;
        }
        spinlock_give(&s->lock);
        if (!batch_reserve(batch, count) || !block_reserve(out, bytes)) return ERR_NOMEM;
    }
}

/* The own entry as it is durable; seq 0: there is none. Its extras stay where they are. */
static struct entry cell_durable(const struct shard *s, const struct cell *c)
{
    if (cell_is_full(c)) return c->full->shares[c->full->own].entry;
    return (struct entry){ .seq = c->seq, .net = c->open ? shard_open_record(s, c->open)->net_durable : c->net };
}

/* What the cell's own entry is to carry along when this seq supersedes it; the durable one is kept from now on if it
 * stood when a loose boot began. */
static enum err cell_keep_older(struct older *o, const struct taking *taking, uint32_t cell, uint32_t own,
                                const struct entry *durable, uint64_t seq, struct entry ret_older[BLOCK_OLDER_MAX],
                                uint32_t *ret_count)
{
    struct entry versions[BLOCK_OLDER_MAX + 1];
    versions[0] = *durable;
    uint32_t count = older_find(o, cell, own, seq, versions + 1);
    bool is_new = durable->seq > 0 && (count == 0 || versions[1].seq < durable->seq);
    struct entry *first = is_new ? versions : versions + 1;
    count = older_select(first, count + is_new, seq, taking->loose);
    if (is_new && count > 0 && first[0].seq == durable->seq) {
        struct older_row row;
        struct entry copy = *durable;
        enum err err = extras_copy(durable->extras, &copy.extras);
        if (err == ERR_OK) err = older_make(cell, own, &copy, &row);
        if (err != ERR_OK) {
            if (copy.extras != durable->extras) extras_free(copy.extras);
            return err;
        }
        older_add(o, &row);
    }
    older_retain(o, cell, own, first, count);
    REQUIRE(count <= BLOCK_OLDER_MAX);
    memcpy(ret_older, first, count * sizeof *first);
    *ret_count = count;
    return ERR_OK;
}

static enum err shard_encode_cell(struct keyspace *k, struct shard *s, struct open_record *record,
                                  const struct taking *taking, struct batch_item *item)
{
    struct cell *c = shard_cell(s, record->cell);
    struct extras scratch;
    struct entry entry = { .seq = item->seq }, older[BLOCK_OLDER_MAX];
    uint32_t older_count = 0;
    if (taking->loose) {
        const struct entry durable = cell_durable(s, c);
        const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
        enum err err =
            cell_keep_older(keyspace_older(k, s), taking, record->cell, own, &durable, item->seq, older, &older_count);
        if (err != ERR_OK) return err;
    }
    if (cell_is_full(c)) {
        entry = full_take(c->full, item->seq, &scratch);
    } else {
        entry.net = c->net;
    }
    block_put_older(taking->block, k->replicas, cell_name(c), &entry, older, older_count);
    item->cell = cell_ref_of(k, s, record->cell);
    item->net = entry.net;
    c->kind &= (uint8_t)~dirty_bit(taking->commit);
    record->commit = taking->commit;
    record->in_flight++;
    return ERR_OK;
}

/* Encodes the head of a taken list and moves *list to the rest of it. */
static enum err shard_encode_slice(struct keyspace *k, struct shard *s, const struct taking *taking, uint32_t *list)
{
    struct open_record *records[SLICE_ITEMS];
    uint32_t count = 0;
    enum err err = ERR_OK;
    spinlock_take(&s->lock);
    for (; *list > 0 && count < SLICE_ITEMS; count++) {
        records[count] = shard_open_record(s, *list);
        __builtin_prefetch(shard_cell(s, records[count]->cell));
        *list = records[count]->next[taking->commit % 2];
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct cell *c = shard_cell(s, records[i]->cell);
        if (c->kind & CELL_NAME_LONG) __builtin_prefetch(c->name_long.bytes);
    }
    struct batch *batch = taking->batch;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        struct batch_item *item = &batch->items[batch->count];
        item->seq = taking->seq_first + batch->count++;
        err = shard_encode_cell(k, s, records[i], taking, item);
    }
    spinlock_give(&s->lock);
    return err;
}

/* Ends a block that is long enough, and begins the next. */
static enum err batch_cut_block(struct batch *b, struct block_writer *block)
{
    struct buffer *out = block->out;
    const bool is_long = b->block_bytes_max > 0 && out->len - block->at >= b->block_bytes_max;
    if (!is_long || block->count == 0) return ERR_OK;
    if (b->blocks_count == b->blocks_cap) {
        uint32_t cap = b->blocks_cap > 0 ? 2 * b->blocks_cap : 4;
        size_t *blocks = mem_resize(b->blocks, cap * sizeof *blocks);
        if (!blocks) return ERR_NOMEM;
        b->blocks = blocks;
        b->blocks_cap = cap;
    }
    if (!block_reserve(out, 2 * BLOCK_HEAD_BYTES)) return ERR_NOMEM;
    struct block_head head = block->head;
    head.from = block->seq_last;
    head.base = head.nonce; /* this very boot wrote up to there */
    block_end(block, block->seq_last);
    b->blocks[b->blocks_count++] = out->len;
    block_begin(block, out, &head);
    return ERR_OK;
}

enum err keyspace_take(struct keyspace *k, uint64_t commit, uint64_t seq_first, struct batch *batch,
                       struct block_writer *block)
{
    struct taking taking = { commit, seq_first, batch, block, NULL };
    const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
    if (own != REPLICA_NONE) taking.loose = replicas_trail(k->replicas, own);
    if (taking.loose && !trail_is_loose(taking.loose, 0, UINT64_MAX)) taking.loose = NULL;
    /* Before the first lock: what is changed after its shard was drained sets it again. */
    atomic_store_explicit(&k->dirty, false, memory_order_relaxed);
    for (uint32_t i = 0; i < k->count; i++) {
        struct shard *s = &k->shards[i];
        uint32_t list;
        enum err err = batch_cut_block(batch, block);
        if (err == ERR_OK) err = shard_drain(k, s, &taking, block->out, &list);
        while (err == ERR_OK && list > 0) err = shard_encode_slice(k, s, &taking, &list);
        if (err != ERR_OK) {
            atomic_store_explicit(&k->dirty, true, memory_order_relaxed);
            return err;
        }
    }
    REQUIRE(!block->out->failed);
    return ERR_OK;
}

/* Publishing */

static void shard_publish(const struct keyspace *k, struct shard *s, const struct batch_item *item)
{
    struct cell *c = cell_ref_cell(s, item->cell);
    REQUIRE(c->open);
    struct open_record *record = shard_open_record(s, c->open);
    REQUIRE(record->in_flight > 0);
    const bool is_last = --record->in_flight == 0 && (c->kind & (CELL_DIRTY_EVEN | CELL_DIRTY_ODD)) == 0;
    const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
    replicas_note_entry(k->replicas, own, cell_durable(s, c).seq, item->seq);
    if (cell_is_full(c)) {
        const bool existed = c->full->exists;
        full_publish(c->full, k->replicas, item->seq, item->net, is_last);
        s->existing += (uint64_t)c->full->exists - existed;
    } else {
        REQUIRE(item->seq > c->seq);
        c->seq = item->seq;
        record->net_durable = (int64_t)item->net;
    }
    if (is_last) shard_close(s, c);
}

void keyspace_publish(struct keyspace *k, const struct batch *batch)
{
    uint32_t at = 0;
    while (at < batch->count) {
        struct shard *s = cell_ref_shard(k, batch->items[at].cell);
        uint32_t end = at;
        spinlock_take(&s->lock);
        for (; end < batch->count && end - at < SLICE_ITEMS; end++) {
            if (cell_ref_shard(k, batch->items[end].cell) != s) break;
            __builtin_prefetch(cell_ref_cell(s, batch->items[end].cell));
        }
        for (uint32_t i = at; i < end; i++)
            __builtin_prefetch(shard_open_record(s, cell_ref_cell(s, batch->items[i].cell)->open), 1);
        for (; at < end; at++) shard_publish(k, s, &batch->items[at]);
        spinlock_give(&s->lock);
    }
}

/* Joining */

static bool entry_is_compact(const struct entry *entry)
{
    return !entry->extras && entry->net >= INT64_MIN && entry->net <= INT64_MAX;
}

static void cell_set_compact(struct cell *c, uint32_t replica, const struct entry *entry)
{
    c->replica = (uint16_t)replica;
    c->seq = entry->seq;
    c->net = (int64_t)entry->net;
}

static enum err shard_join_first(const struct keyspace *k, struct shard *s, uint64_t hash, struct bytes name,
                                 uint32_t replica, struct entry *entry, uint32_t *ret_number, void **ret_retired)
{
    struct full *f = NULL;
    if (!entry_is_compact(entry)) {
        f = full_new(1);
        if (!f) return ERR_NOMEM;
    }
    enum err err = shard_create(k, s, hash, name, ret_number, ret_retired);
    if (err != ERR_OK) {
        full_free(f);
        return err;
    }
    struct cell *c = shard_cell(s, *ret_number);
    if (f) {
        full_join(f, k->replicas, replica, entry);
        c->full = f;
        c->kind |= CELL_FULL;
        shard_account(s, f, 0, false);
    } else {
        cell_set_compact(c, replica, entry);
        s->existing++;
    }
    return ERR_OK;
}

/* The seq of the durable entry that the cell has of this replica; 0 if there is none. */
static uint64_t cell_seq(const struct cell *c, uint32_t replica)
{
    if (!cell_is_full(c)) return c->replica == replica ? c->seq : 0;
    const struct share *share = full_find(c->full, replica);
    return share ? share->entry.seq : 0;
}

static enum err shard_join(const struct keyspace *k, struct shard *s, struct cell *c, uint32_t replica,
                           struct entry *entry)
{
    if (entry->seq <= cell_seq(c, replica)) {
        extras_free(entry->extras);
        return ERR_OK;
    }
    const uint32_t own = atomic_load_explicit(&k->own, memory_order_relaxed);
    REQUIRE(replica != own || !c->open);
    if (!cell_is_full(c)) {
        if (c->replica == replica && entry_is_compact(entry)) {
            cell_set_compact(c, replica, entry);
            return ERR_OK;
        }
        enum err err = shard_spill(s, c, own);
        if (err != ERR_OK) return err;
    }
    const size_t bytes_before = full_bytes(c->full);
    if (!full_find(c->full, replica)) {
        enum err err = full_reserve(&c->full);
        if (err != ERR_OK) return err;
    }
    const bool existed = c->full->exists;
    full_join(c->full, k->replicas, replica, entry);
    shard_account(s, c->full, bytes_before, existed);
    return ERR_OK;
}

/* Rows for the older versions that come along, ready to be added under the shard's lock. */
struct older_rows {
    struct older_row rows[BLOCK_OLDER_MAX];
    uint32_t count;
};

static void older_rows_drop(struct older_rows *rows, struct entry *older)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].kind == OLDER_WIDE) older[i].extras = rows->rows[i].wide->extras;
        if (rows->rows[i].kind == OLDER_WIDE) rows->rows[i].wide->extras = NULL;
        older_unmake(&rows->rows[i]);
    }
    rows->count = 0;
}

static enum err older_rows_make(struct older *o, uint32_t replica, const struct entry *older, uint32_t count,
                                struct older_rows *ret_rows)
{
    enum err err = count > 0 ? older_reserve(o, count) : ERR_OK;
    for (ret_rows->count = 0; err == ERR_OK && ret_rows->count < count; ret_rows->count++) {
        err = older_make(0, replica, &older[ret_rows->count], &ret_rows->rows[ret_rows->count]);
        if (err != ERR_OK) break;
    }
    return err;
}

/* The entry was taken in: its older versions take the place of those kept so far. */
static void older_rows_join(struct older *o, uint32_t cell, uint32_t replica, struct older_rows *rows)
{
    older_retain(o, cell, replica, NULL, 0);
    for (uint32_t i = 0; i < rows->count; i++) {
        rows->rows[i].cell = cell;
        older_add(o, &rows->rows[i]);
    }
    rows->count = 0;
}

/* *ret_is_new is false if the entry was old; it is gone then as well. */
static enum err shard_join_any(struct keyspace *k, struct shard *s, uint32_t replica, uint64_t hash, struct bytes name,
                               struct entry *entry, uint32_t *ret_number, bool *ret_is_new, void **ret_retired)
{
    const uint64_t seq = entry->seq;
    *ret_number = table_find(s, hash, name);
    const uint64_t before = *ret_number > 0 ? cell_seq(shard_cell(s, *ret_number), replica) : 0;
    *ret_is_new = seq > before;
    enum err err = *ret_number > 0 ? shard_join(k, s, shard_cell(s, *ret_number), replica, entry)
                                   : shard_join_first(k, s, hash, name, replica, entry, ret_number, ret_retired);
    if (err == ERR_OK && *ret_is_new) replicas_note_entry(k->replicas, replica, before, seq);
    return err;
}

enum err keyspace_join_older(struct keyspace *k, uint32_t replica, uint64_t hash, struct bytes name,
                             struct entry *entry, struct entry *older, uint32_t older_count, cell_ref *ret_cell)
{
    REQUIRE(name.len > 0 && name.len <= NAME_BYTES_MAX);
    REQUIRE(replica != REPLICA_NONE && replica <= REPLICAS_MAX);
    REQUIRE(entry->seq > 0 && older_count <= BLOCK_OLDER_MAX);
    struct shard *s = keyspace_shard(k, hash);
    struct older *o = keyspace_older(k, s);
    struct older_rows rows = { .count = 0 };
    void *retired = NULL;
    uint32_t number = 0;
    bool is_new = false;
    spinlock_take(&s->lock);
    enum err err = older_rows_make(o, replica, older, older_count, &rows);
    if (err == ERR_OK) err = shard_join_any(k, s, replica, hash, name, entry, &number, &is_new, &retired);
    if (err == ERR_OK && is_new) older_rows_join(o, number, replica, &rows);
    older_rows_drop(&rows, older);
    spinlock_give(&s->lock);
    if (retired) mem_free(retired);
    if (err != ERR_OK) return err;
    for (uint32_t i = 0; i < older_count; i++) {
        if (!is_new) extras_free(older[i].extras);
        older[i].extras = NULL;
    }
    entry->extras = NULL; /* the counter's now, or gone */
    *ret_cell = cell_ref_of(k, s, number);
    return ERR_OK;
}

enum err keyspace_join(struct keyspace *k, uint32_t replica, uint64_t hash, struct bytes name, struct entry *entry,
                       cell_ref *ret_cell)
{
    return keyspace_join_older(k, replica, hash, name, entry, NULL, 0, ret_cell);
}

/* The version of that seq: the durable entry, or one that is kept beside it. seq 0: there is none. */
static struct entry cell_version(const struct keyspace *k, const struct shard *s, cell_ref ref, uint32_t replica,
                                 uint64_t seq)
{
    const struct cell *c = cell_ref_cell(s, ref);
    if (cell_seq(c, replica) == seq) {
        if (cell_is_full(c)) return full_find(c->full, replica)->entry;
        return (struct entry){ .seq = seq, .net = c->open ? shard_open_record(s, c->open)->net_durable : c->net };
    }
    struct entry older[BLOCK_OLDER_MAX];
    bool is_kept = older_find(keyspace_older(k, s), (uint32_t)ref, replica, seq + 1, older) > 0 && older[0].seq == seq;
    return is_kept ? older[0] : (struct entry){ .seq = 0 };
}

bool keyspace_put_entry(struct keyspace *k, cell_ref cell, uint32_t replica, uint64_t seq, struct block_writer *block)
{
    REQUIRE(seq > 0);
    struct shard *s = cell_ref_shard(k, cell);
    spinlock_take(&s->lock);
    const struct entry entry = cell_version(k, s, cell, replica, seq);
    if (entry.seq > 0) {
        struct entry older[BLOCK_OLDER_MAX];
        uint32_t older_count = older_find(keyspace_older(k, s), (uint32_t)cell, replica, seq, older);
        block_put_older(block, k->replicas, cell_name(cell_ref_cell(s, cell)), &entry, older, older_count);
    }
    spinlock_give(&s->lock);
    return entry.seq > 0;
}
