/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing over 32-bit slots. A slot is a cell's number and, in the bits that are left, a tag out of the hash: in
 * a table of 20,000 slots 17 bits, so that a probe hardly ever looks at the wrong cell and 0.9 full is no burden.
 *
 * Growing is by a quarter and never stops anybody: a home is the hash's low half scaled to the size of the table, so
 * both tables are in the same order, and slots move over from the front:
 *
 *   before  [ moved already ............ |moved  still at home here ...... ]
 *   table   [ at home here ............... |zeroed   not touched yet ......... ]
 *
 *  (1) A hash whose home in `before` is under `moved` is at home in the table, any other in `before`. One look at one
 *      table finds it.
 *  (2) `moved` stands where a run of slots ends, so nothing from before it was pushed beyond it.
 *  (3) What was pushed over the end of `before` to its front, and so has its home after its slot, moves last.
 *  (4) Nothing in `before` is erased; it is freed as a whole.
 *  (5) All that a look at the table can reach is under `zeroed`: clearing a large table at once would be a pause too.
 * Counters are never removed, so there are no tombstones. */
#include "count/keyspace_table.h"

#include "base/alloc.h"
#include "base/force.h"

#define CAP_FIRST 64u
#define CAP_MAX (1u << 31)
#define STEP_SLOTS 48u /* a growth by a quarter is over after 1/48 of its size in new counters */

/* An empty slot to look at where there is no table yet. Never written. */
static uint32_t no_slots[1];

static uint32_t *table_slots(const struct table *t)
{
    return atomic_load_explicit(&t->slots, memory_order_relaxed);
}

static uint32_t table_cap(const struct table *t)
{
    return atomic_load_explicit(&t->cap, memory_order_relaxed);
}

static void table_set(struct table *t, uint32_t *slots, uint32_t cap)
{
    atomic_store_explicit(&t->slots, slots, memory_order_relaxed);
    atomic_store_explicit(&t->cap, cap, memory_order_relaxed);
    t->cell_bits = (uint8_t)(32 - __builtin_clz(cap));
}

void table_init(struct shard *s)
{
    table_set(&s->table, no_slots, 1);
    table_set(&s->before, NULL, 1);
}

void table_release(struct shard *s)
{
    uint32_t *slots = table_slots(&s->table);
    if (slots != no_slots) mem_free(slots);
    mem_free(table_slots(&s->before));
}

size_t table_bytes(const struct shard *s)
{
    size_t slots = table_slots(&s->table) != no_slots ? table_cap(&s->table) : 0;
    if (s->table.is_growing) slots += table_cap(&s->before);
    return slots * sizeof(uint32_t);
}

static const struct table *table_of(const struct shard *s, uint64_t hash)
{
    if (!s->table.is_growing) return &s->table;
    return table_home(table_cap(&s->before), hash) < s->moved ? &s->table : &s->before;
}

static inline bool cell_is(const struct cell *c, uint64_t hash, struct bytes name)
{
    if (!(c->kind & CELL_NAME_LONG)) return c->name_len == name.len && memcmp(c->name, name.ptr, name.len) == 0;
    return c->name_long.hash == (uint32_t)hash && bytes_equal(cell_name(c), name);
}

static inline uint32_t slot_of(const struct table *t, uint64_t hash, uint32_t number)
{
    return (uint32_t)(hash >> 32) << t->cell_bits | number;
}

static inline uint32_t slot_number(const struct table *t, uint32_t slot)
{
    return slot & ((1u << t->cell_bits) - 1);
}

uint32_t table_find(const struct shard *s, uint64_t hash, struct bytes name)
{
    const struct table *t = table_of(s, hash);
    const uint32_t *slots = table_slots(t);
    const uint32_t cap = table_cap(t), want = slot_of(t, hash, 0);
    for (uint32_t at = table_home(cap, hash); slots[at] != 0; at = at + 1 < cap ? at + 1 : 0) {
        if ((slots[at] ^ want) >> t->cell_bits != 0) continue;
        uint32_t number = slot_number(t, slots[at]);
        if (cell_is(shard_cell(s, number), hash, name)) return number;
    }
    return 0;
}

uint32_t table_guess(const struct shard *s, uint64_t hash)
{
    const struct table *t = table_of(s, hash);
    const uint32_t *slots = table_slots(t);
    const uint32_t cap = table_cap(t), want = slot_of(t, hash, 0);
    for (uint32_t at = table_home(cap, hash); slots[at] != 0; at = at + 1 < cap ? at + 1 : 0) {
        if ((slots[at] ^ want) >> t->cell_bits == 0) return slot_number(t, slots[at]);
    }
    return 0;
}

/* Keeps invariant (5) for looks that begin before `end`, and for one slot after what is there. */
static void table_zero(struct shard *s, uint64_t end)
{
    uint32_t cap = table_cap(&s->table);
    if (end > cap) end = cap;
    if (end <= s->zeroed) return;
    memset(table_slots(&s->table) + s->zeroed, 0, (end - s->zeroed) * sizeof(uint32_t));
    s->zeroed = (uint32_t)end;
}

static void table_put(struct shard *s, const struct table *t, uint64_t hash, uint32_t number)
{
    uint32_t *slots = table_slots(t);
    const uint32_t cap = table_cap(t);
    uint32_t at = table_home(cap, hash);
    if (t == &s->table) table_zero(s, (uint64_t)at + 2);
    while (slots[at] != 0) {
        at = at + 1 < cap ? at + 1 : 0;
        if (t == &s->table) table_zero(s, (uint64_t)at + 2);
    }
    slots[at] = slot_of(t, hash, number);
}

void table_insert(struct shard *s, uint64_t hash, uint32_t number)
{
    table_put(s, table_of(s, hash), hash, number);
}

/* Moves the slot if it is, or is not, one of those that were pushed over the end. */
static void table_move(const struct keyspace *k, struct shard *s, uint32_t at, bool is_pushed_over)
{
    uint32_t number = slot_number(&s->before, table_slots(&s->before)[at]);
    uint64_t hash = keyspace_hash(k, cell_name(shard_cell(s, number)));
    bool was_pushed_over = table_home(table_cap(&s->before), hash) > at;
    if (was_pushed_over == is_pushed_over) table_put(s, &s->table, hash, number);
}

static void table_prefetch_step(const struct shard *s)
{
    const uint32_t *slots = table_slots(&s->before);
    const uint32_t left = table_cap(&s->before) - s->moved;
    for (uint32_t i = 0; i < STEP_SLOTS && i < left; i++) {
        uint32_t number = slot_number(&s->before, slots[s->moved + i]);
        if (number > 0) __builtin_prefetch(&shard_cell(s, number)->name);
    }
}

/* Moves some slots, up to the end of a run. */
static void table_step(const struct keyspace *k, struct shard *s, void **ret_retired)
{
    uint32_t *slots = table_slots(&s->before);
    const uint32_t cap = table_cap(&s->before), start = s->moved;
    table_prefetch_step(s);
    uint32_t at = start;
    for (; at < cap && (at - start < STEP_SLOTS || slots[at] != 0); at++) {
        if (slots[at] != 0) table_move(k, s, at, false);
    }
    s->moved = at;
    table_zero(s, (uint64_t)at * table_cap(&s->table) / cap + 2);
    if (at < cap) return;
    for (at = 0; slots[at] != 0; at++) table_move(k, s, at, true);
    table_set(&s->before, NULL, 1);
    s->table.is_growing = false;
    *ret_retired = slots;
}

/* The first tables differ in size by shard, and so do all later ones: shards that get equal shares of all names do not
 * all grow, and are not all at their emptiest, at the same time. */
static uint32_t table_cap_first(const struct keyspace *k, const struct shard *s)
{
    return CAP_FIRST + (uint32_t)((uint64_t)(s - k->shards) * (CAP_FIRST / 4) / k->count);
}

static enum err table_grow(const struct keyspace *k, struct shard *s)
{
    uint32_t *before = table_slots(&s->table);
    const uint32_t cap_before = table_cap(&s->table);
    const bool is_first = before == no_slots;
    const uint32_t cap = is_first ? table_cap_first(k, s) : cap_before + cap_before / 4;
    if (cap > CAP_MAX - 1) return ERR_NOMEM;
    uint32_t *slots = mem_alloc(cap * sizeof *slots);
    if (!slots) return ERR_NOMEM;
    if (!is_first) table_set(&s->before, before, cap_before);
    table_set(&s->table, slots, cap);
    s->table.is_growing = !is_first;
    s->moved = s->zeroed = 0;
    if (is_first) table_zero(s, cap);
    return ERR_OK;
}

enum err table_reserve(const struct keyspace *k, struct shard *s, void **ret_retired)
{
    bool is_crowded = ((uint64_t)s->cells.used + 1) * 10 > (uint64_t)table_cap(&s->table) * 9;
    if (!s->table.is_growing) return is_crowded || FORCE(TABLE_GROWS) ? table_grow(k, s) : ERR_OK;
    REQUIRE(!is_crowded);
    table_step(k, s, ret_retired);
    return ERR_OK;
}
