/* SPDX-License-Identifier: Apache-2.0 */
#include "count/keyspace_shard.h"

#include "base/alloc.h"
#include "count/block.h"
#include "count/keyspace_table.h"

struct bytes cell_name(const struct cell *c)
{
    bool is_long = c->kind & CELL_NAME_LONG;
    return is_long ? bytes_of(c->name_long.bytes, c->name_long.len) : bytes_of(c->name, c->name_len);
}

/* The commit that will make durable all that is pending. */
static uint64_t shard_commit_of(const struct shard *s, const struct cell *c)
{
    if (!c->open) return 0;
    if (c->kind & dirty_bit(s->number)) return s->number;
    if (c->kind & dirty_bit(s->number - 1)) return s->number - 1; /* its list was taken, but not encoded so far */
    return shard_open_record(s, c->open)->commit;
}

void shard_see(const struct shard *s, const struct cell *c, struct seen *ret_seen)
{
    bool is_full = cell_is_full(c);
    ret_seen->value = is_full ? value_shown(c->full->shown) : c->net;
    ret_seen->exists = is_full ? c->full->exists : true;
    ret_seen->commit = shard_commit_of(s, c);
}

static enum err cell_set_name(struct cell *c, uint64_t hash, struct bytes name)
{
    if (name.len <= NAME_INLINE_MAX) {
        c->name_len = (uint8_t)name.len;
        memcpy(c->name, name.ptr, name.len);
        return ERR_OK;
    }
    uint8_t *copy = mem_alloc(name.len);
    if (!copy) return ERR_NOMEM;
    memcpy(copy, name.ptr, name.len);
    c->kind = CELL_NAME_LONG;
    c->name_long.bytes = copy;
    c->name_long.hash = (uint32_t)hash;
    c->name_long.len = (uint16_t)name.len;
    return ERR_OK;
}

enum err shard_create(const struct keyspace *k, struct shard *s, uint64_t hash, struct bytes name, uint32_t *ret_number,
                      void **ret_retired)
{
    *ret_retired = NULL;
    enum err err = table_reserve(k, s, ret_retired);
    if (err == ERR_OK) err = pool_reserve(&s->cells, pool_of_cells);
    struct cell cell = { 0 };
    if (err == ERR_OK) err = cell_set_name(&cell, hash, name);
    if (err != ERR_OK) return err;
    if (cell.kind & CELL_NAME_LONG) s->heap_bytes += name.len;
    *ret_number = pool_take(&s->cells);
    *shard_cell(s, *ret_number) = cell;
    table_insert(s, hash, *ret_number);
    return ERR_OK;
}

void shard_account(struct shard *s, const struct full *f, size_t bytes_before, bool existed)
{
    s->heap_bytes += full_bytes(f) - bytes_before;
    s->existing += (uint64_t)f->exists - existed;
}

enum err shard_spill(struct shard *s, struct cell *c, uint32_t own)
{
    struct full *f = full_new(2);
    if (!f) return ERR_NOMEM;
    f->shown = f->net = c->net;
    f->exists = true;
    f->count = 1;
    f->shares[0] = (struct share){ .replica = c->replica, .entry = { .seq = c->seq, .net = c->net } };
    if (c->open) {
        REQUIRE(c->replica == own);
        f->shares[0].entry.net = shard_open_record(s, c->open)->net_durable;
        f->own = 0;
        f->pending = true;
    }
    c->full = f;
    c->kind |= CELL_FULL;
    s->heap_bytes += full_bytes(f);
    return ERR_OK;
}

enum err shard_open_reserve(struct shard *s)
{
    return s->opens_free ? ERR_OK : pool_reserve(&s->opens, pool_of_opens);
}

void shard_open(struct shard *s, uint32_t number, struct cell *c)
{
    uint32_t open = s->opens_free ? s->opens_free : pool_take(&s->opens);
    struct open_record *record = shard_open_record(s, open);
    if (open == s->opens_free) s->opens_free = record->next[0];
    *record = (struct open_record){ .cell = number, .net_durable = cell_is_full(c) ? 0 : c->net };
    c->open = open;
}

void shard_close(struct shard *s, struct cell *c)
{
    shard_open_record(s, c->open)->next[0] = s->opens_free;
    s->opens_free = c->open;
    c->open = 0;
}

/* Room that the cell's own entry may need in a block. */
static size_t cell_block_bytes(const struct cell *c)
{
    struct entry entry = { 0 };
    if (cell_is_full(c)) entry.extras = c->full->shares[c->full->own].entry.extras;
    return block_put_bytes(cell_name(c), &entry);
}

void shard_unmark_room(struct shard *s, const struct cell *c)
{
    if (c->kind & dirty_bit(s->number)) s->dirty_bytes -= cell_block_bytes(c);
}

void shard_mark_room(struct shard *s, const struct cell *c)
{
    if (c->kind & dirty_bit(s->number)) s->dirty_bytes += cell_block_bytes(c);
}

void shard_mark_dirty(struct keyspace *k, struct shard *s, struct cell *c)
{
    const uint8_t bit = dirty_bit(s->number);
    if (c->kind & bit) return;
    c->kind |= bit;
    shard_open_record(s, c->open)->next[s->number % 2] = s->dirty;
    s->dirty = c->open;
    s->dirty_count++;
    s->dirty_bytes += cell_block_bytes(c);
    bool is_known = atomic_load_explicit(&k->dirty, memory_order_relaxed);
    if (!is_known) atomic_store_explicit(&k->dirty, true, memory_order_relaxed);
}
