/* SPDX-License-Identifier: Apache-2.0 */
#include "count/keyspace_older.h"

#include "base/alloc.h"

#define CAP_MIN 16u

static bool row_lives(const struct older_row *row)
{
    return row->kind >= OLDER_COMPACT;
}

static size_t wide_bytes(const struct entry *wide)
{
    return block_older_bytes(wide) - block_older_bytes(&(struct entry){ .extras = NULL });
}

static void row_release(struct older *o, struct older_row *row)
{
    if (row->kind == OLDER_WIDE) {
        o->extras_bytes -= wide_bytes(row->wide);
        older_unmake(row);
    }
    row->kind = OLDER_GONE;
    o->live--;
}

void older_release(struct older *o)
{
    for (uint32_t i = 0; i < o->cap; i++) {
        if (row_lives(&o->rows[i])) row_release(o, &o->rows[i]);
    }
    mem_free(o->rows);
    *o = (struct older){ 0 };
}

size_t older_bytes(const struct older *o)
{
    return o->cap * sizeof *o->rows + o->extras_bytes;
}

size_t older_block_bytes(const struct older *o, uint32_t more)
{
    return ((size_t)o->live + more) * block_older_bytes(&(struct entry){ .extras = NULL }) + o->extras_bytes;
}

static uint32_t row_home(uint32_t cap, uint32_t cell, uint32_t replica)
{
    uint64_t mixed = ((uint64_t)cell << 16 | replica) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(mixed >> 32) & (cap - 1);
}

static void row_insert(struct older *o, const struct older_row *row)
{
    uint32_t at = row_home(o->cap, row->cell, row->replica);
    while (o->rows[at].kind != OLDER_FREE) at = (at + 1) & (o->cap - 1);
    o->rows[at] = *row;
    o->used++;
    o->live++;
}

/* Moves all that lives to rows of this many, a power of two above twice as many. */
static enum err older_move(struct older *o, uint32_t cap)
{
    struct older_row *rows = cap > 0 ? mem_alloc_zero(cap, sizeof *rows) : NULL;
    if (cap > 0 && !rows) return ERR_NOMEM;
    struct older before = *o;
    o->rows = rows;
    o->cap = cap;
    o->used = o->live = 0;
    for (uint32_t i = 0; i < before.cap; i++) {
        if (row_lives(&before.rows[i])) row_insert(o, &before.rows[i]);
    }
    mem_free(before.rows);
    return ERR_OK;
}

enum err older_reserve(struct older *o, uint32_t more)
{
    if (((uint64_t)o->used + more) * 2 <= o->cap) return ERR_OK;
    uint64_t cap = CAP_MIN;
    while (cap < ((uint64_t)o->live + more) * 2) cap *= 2;
    return cap <= UINT32_MAX ? older_move(o, (uint32_t)cap) : ERR_NOMEM;
}

uint32_t older_find(const struct older *o, uint32_t cell, uint32_t replica, uint64_t below,
                    struct entry ret_older[BLOCK_OLDER_MAX])
{
    uint32_t count = 0;
    if (o->live == 0) return 0;
    for (uint32_t at = row_home(o->cap, cell, replica); o->rows[at].kind != OLDER_FREE; at = (at + 1) & (o->cap - 1)) {
        const struct older_row *row = &o->rows[at];
        if (!row_lives(row) || row->cell != cell || row->replica != replica || row->seq >= below) continue;
        struct entry version = { .seq = row->seq, .net = row->kind == OLDER_COMPACT ? row->net : 0 };
        if (row->kind == OLDER_WIDE) version = *row->wide;
        uint32_t place = count++;
        REQUIRE(count <= BLOCK_OLDER_MAX);
        for (; place > 0 && ret_older[place - 1].seq < version.seq; place--) ret_older[place] = ret_older[place - 1];
        ret_older[place] = version;
    }
    return count;
}

enum err older_make(uint32_t cell, uint32_t replica, const struct entry *version, struct older_row *ret_row)
{
    *ret_row =
        (struct older_row){ .cell = cell, .replica = (uint16_t)replica, .kind = OLDER_COMPACT, .seq = version->seq };
    if (!version->extras && version->net <= INT64_MAX && version->net >= INT64_MIN) {
        ret_row->net = (int64_t)version->net;
        return ERR_OK;
    }
    struct entry *wide = mem_alloc(sizeof *wide);
    if (!wide) return ERR_NOMEM;
    *wide = *version;
    ret_row->kind = OLDER_WIDE;
    ret_row->wide = wide;
    return ERR_OK;
}

void older_unmake(struct older_row *row)
{
    if (row->kind != OLDER_WIDE) return;
    extras_free(row->wide->extras);
    mem_free(row->wide);
}

void older_add(struct older *o, const struct older_row *row)
{
    REQUIRE(((uint64_t)o->used + 1) * 2 <= o->cap);
    if (row->kind == OLDER_WIDE) o->extras_bytes += wide_bytes(row->wide);
    row_insert(o, row);
}

static bool is_among(const struct entry *versions, uint32_t count, uint64_t seq)
{
    for (uint32_t i = 0; i < count; i++) {
        if (versions[i].seq == seq) return true;
    }
    return false;
}

void older_retain(struct older *o, uint32_t cell, uint32_t replica, const struct entry *versions, uint32_t count)
{
    if (o->live == 0) return;
    for (uint32_t at = row_home(o->cap, cell, replica); o->rows[at].kind != OLDER_FREE; at = (at + 1) & (o->cap - 1)) {
        struct older_row *row = &o->rows[at];
        bool is_its = row_lives(row) && row->cell == cell && row->replica == replica;
        if (is_its && !is_among(versions, count, row->seq)) row_release(o, row);
    }
}

void older_prune(struct older *o, uint32_t replica, const struct trail *trail)
{
    for (uint32_t i = 0; i < o->cap && o->live > 0; i++) {
        struct older_row *row = &o->rows[i];
        if (row_lives(row) && row->replica == replica && !trail_is_loose(trail, row->seq, UINT64_MAX))
            row_release(o, row);
    }
    if (o->live > 0 || o->cap == 0) return;
    mem_free(o->rows);
    *o = (struct older){ 0 };
}

uint32_t older_select(struct entry *versions, uint32_t count, uint64_t seq, const struct trail *trail)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!trail_is_loose(trail, versions[i].seq, seq)) continue;
        seq = versions[i].seq;
        versions[kept++] = versions[i];
    }
    return kept;
}
