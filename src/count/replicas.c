/* SPDX-License-Identifier: Apache-2.0 */
/* Ids live in chunks that never move, so that another thread can read one while the replica thread adds more: it was
 * handed the index after the id was written, and a store of count (release) follows each id. The hash table and the
 * version vector are the replica thread's alone. */
#include "count/replicas.h"

#include "base/alloc.h"

#include <stdatomic.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHUNK_SLOTS 256u
#define CHUNKS_MAX ((REPLICAS_MAX + CHUNK_SLOTS) / CHUNK_SLOTS)
#define TABLE_SLOTS_MIN 64u

struct chunk {
    struct id128 ids[CHUNK_SLOTS];
    struct known known[CHUNK_SLOTS];
    struct trail trails[CHUNK_SLOTS];
};

struct replicas {
    _Atomic uint32_t count; /* one past the highest index; at most REPLICAS_MAX + 1 */
    struct chunk *chunks[CHUNKS_MAX];
    uint16_t *table; /* open addressing, linear probing, at most half full; REPLICA_NONE is free */
    uint32_t table_slots;
};

static uint32_t replicas_count_own(const struct replicas *r)
{
    return atomic_load_explicit(&r->count, memory_order_relaxed);
}

enum err replicas_new(struct replicas **ret_replicas)
{
    struct replicas *r = mem_alloc_zero(1, sizeof *r);
    if (!r) return ERR_NOMEM;
    atomic_init(&r->count, 1);
    r->chunks[0] = mem_alloc_zero(1, sizeof *r->chunks[0]);
    r->table = mem_alloc_zero(TABLE_SLOTS_MIN, sizeof *r->table);
    r->table_slots = TABLE_SLOTS_MIN;
    if (!r->chunks[0] || !r->table) {
        replicas_free(r);
        return ERR_NOMEM;
    }
    *ret_replicas = r;
    return ERR_OK;
}

void replicas_free(struct replicas *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < CHUNKS_MAX; i++) {
        for (uint32_t k = 0; r->chunks[i] && k < CHUNK_SLOTS; k++) trail_release(&r->chunks[i]->trails[k]);
        mem_free(r->chunks[i]);
    }
    mem_free(r->table);
    mem_free(r);
}

static struct chunk *chunk_of(const struct replicas *r, uint32_t index)
{
    return r->chunks[index / CHUNK_SLOTS];
}

/* The slot that holds id, or the free one where it belongs. */
static uint32_t table_slot(const struct replicas *r, const uint16_t *table, uint32_t slots, const struct id128 *id)
{
    uint32_t slot = (uint32_t)XXH3_64bits(id->bytes, sizeof id->bytes) & (slots - 1);
    while (table[slot] != REPLICA_NONE && !id128_equal(replicas_id(r, table[slot]), id))
        slot = (slot + 1) & (slots - 1);
    return slot;
}

static enum err table_grow(struct replicas *r)
{
    uint32_t slots = r->table_slots * 2;
    uint16_t *table = mem_alloc_zero(slots, sizeof *table);
    if (!table) return ERR_NOMEM;
    for (uint32_t i = 1; i < replicas_count_own(r); i++) {
        table[table_slot(r, table, slots, replicas_id(r, i))] = (uint16_t)i;
    }
    mem_free(r->table);
    r->table = table;
    r->table_slots = slots;
    return ERR_OK;
}

/* Makes room for the id that will have this index. */
static enum err replicas_reserve(struct replicas *r, uint32_t index)
{
    if (index > REPLICAS_MAX) return ERR_TOO_LONG;
    if (!chunk_of(r, index)) {
        struct chunk *chunk = mem_alloc_zero(1, sizeof *chunk);
        if (!chunk) return ERR_NOMEM;
        r->chunks[index / CHUNK_SLOTS] = chunk;
    }
    return index * 2 > r->table_slots ? table_grow(r) : ERR_OK;
}

enum err replicas_intern(struct replicas *r, const struct id128 *id, uint32_t *ret_index)
{
    if (id128_is_zero(id)) return ERR_INVALID;
    uint32_t index = replicas_find(r, id);
    if (index == REPLICA_NONE) {
        index = replicas_count_own(r);
        enum err err = replicas_reserve(r, index);
        if (err != ERR_OK) return err;
        chunk_of(r, index)->ids[index % CHUNK_SLOTS] = *id;
        r->table[table_slot(r, r->table, r->table_slots, id)] = (uint16_t)index;
        atomic_store_explicit(&r->count, index + 1, memory_order_release);
    }
    *ret_index = index;
    return ERR_OK;
}

uint32_t replicas_find(const struct replicas *r, const struct id128 *id)
{
    return r->table[table_slot(r, r->table, r->table_slots, id)];
}

uint32_t replicas_count(const struct replicas *r)
{
    return atomic_load_explicit(&r->count, memory_order_acquire);
}

const struct id128 *replicas_id(const struct replicas *r, uint32_t index)
{
    REQUIRE(index < replicas_count(r));
    return &chunk_of(r, index)->ids[index % CHUNK_SLOTS];
}

static struct known *known_of(const struct replicas *r, uint32_t index)
{
    REQUIRE(index < replicas_count_own(r));
    return &chunk_of(r, index)->known[index % CHUNK_SLOTS];
}

const struct known *replicas_known(const struct replicas *r, uint32_t index)
{
    return known_of(r, index);
}

void replicas_raise_known(struct replicas *r, uint32_t index, uint64_t seq, uint64_t nonce)
{
    REQUIRE(index != REPLICA_NONE);
    struct known *known = known_of(r, index);
    if (seq <= known->known) return;
    known->known = seq;
    known->nonce = nonce;
}

void replicas_raise_durable(struct replicas *r, uint32_t index, uint64_t seq)
{
    REQUIRE(index != REPLICA_NONE);
    struct known *known = known_of(r, index);
    REQUIRE(seq <= known->known);
    if (seq > known->durable) known->durable = seq;
}

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t print_of(uint64_t seq)
{
    if (seq == 0) return 0;
    seq = (seq ^ seq >> 30) * 0xbf58476d1ce4e5b9u;
    seq = (seq ^ seq >> 27) * 0x94d049bb133111ebu;
    return seq ^ seq >> 31;
}

void replicas_note_entry(struct replicas *r, uint32_t index, uint64_t before, uint64_t after)
{
    known_of(r, index)->print ^= print_of(before) ^ print_of(after);
}

struct trail *replicas_trail(const struct replicas *r, uint32_t index)
{
    REQUIRE(index != REPLICA_NONE && index < replicas_count_own(r));
    return &chunk_of(r, index)->trails[index % CHUNK_SLOTS];
}

enum err replicas_split_last(struct replicas *r, uint32_t index, uint32_t to)
{
    struct known *from = known_of(r, index), *rest = known_of(r, to);
    struct trail *trail = replicas_trail(r, index), *rest_trail = replicas_trail(r, to);
    REQUIRE(trail->count > 0);
    const uint64_t start = trail->boots[trail->count - 1].start;
    struct trail split;
    enum err err = trail_split_last(trail, &split);
    if (err != ERR_OK) return err;
    if (rest_trail->count == 0) { /* else more was heard of it already */
        trail_release(rest_trail);
        *rest_trail = split;
    } else {
        trail_release(&split);
    }
    if (from->known > start && from->known > rest->known) rest->known = from->known;
    if (from->durable > start && from->durable > rest->durable) rest->durable = from->durable;
    rest->nonce = trail_nonce_at(rest_trail, rest->known);
    if (from->known > start) from->known = start;
    if (from->durable > start) from->durable = start;
    from->nonce = trail_nonce_at(trail, from->known);
    return ERR_OK;
}
