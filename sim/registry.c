/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/registry.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void *sim_grow(void *items, uint32_t *cap, uint32_t need, size_t item_bytes)
{
    if (need < *cap) return items;
    uint32_t more = *cap ? *cap : 8;
    while (more <= need) more *= 2;
    uint8_t *grown = realloc(items, more * item_bytes);
    REQUIRE(grown);
    memset(grown + *cap * item_bytes, 0, (more - *cap) * item_bytes);
    *cap = more;
    return grown;
}

void registry_init(struct registry *r)
{
    *r = (struct registry){ .table_slots = 256 };
    r->table = calloc(r->table_slots, sizeof *r->table);
    REQUIRE(r->table && replicas_new(&r->replicas) == ERR_OK);
    r->lines = sim_grow(NULL, &r->lines_cap, 0, sizeof *r->lines);
    r->lines_count = 1;
}

void registry_release(struct registry *r)
{
    for (uint32_t i = 0; i < r->fates_count; i++) free(r->fates[i].name);
    for (uint32_t i = 0; i < r->lines_count; i++) {
        free(r->lines[i].entries);
        free(r->lines[i].boots);
    }
    free(r->fates);
    free(r->table);
    free(r->lines);
    replicas_free(r->replicas);
}

static uint64_t name_hash(struct bytes name)
{
    return XXH3_64bits(name.ptr, name.len);
}

/* Where the name is, or would be. */
static uint32_t *slot_of(const struct registry *r, struct bytes name)
{
    uint32_t at = (uint32_t)name_hash(name) & (r->table_slots - 1);
    for (; r->table[at] != 0; at = (at + 1) & (r->table_slots - 1)) {
        const struct fate *f = &r->fates[r->table[at] - 1];
        if (f->name_len == name.len && memcmp(f->name, name.ptr, name.len) == 0) break;
    }
    return &r->table[at];
}

static void table_grow(struct registry *r)
{
    free(r->table);
    r->table_slots *= 2;
    r->table = calloc(r->table_slots, sizeof *r->table);
    REQUIRE(r->table);
    for (uint32_t i = 0; i < r->fates_count; i++) *slot_of(r, bytes_of(r->fates[i].name, r->fates[i].name_len)) = i + 1;
}

uint32_t registry_counter(struct registry *r, struct bytes name)
{
    uint32_t *slot = slot_of(r, name);
    if (*slot > 0) return *slot - 1;
    uint32_t counter = r->fates_count++;
    r->fates = sim_grow(r->fates, &r->fates_cap, counter, sizeof *r->fates);
    struct fate *f = &r->fates[counter];
    f->name = calloc(1, name.len + 1);
    REQUIRE(f->name);
    memcpy(f->name, name.ptr, name.len);
    f->name_len = (uint32_t)name.len;
    *slot = counter + 1;
    if (r->fates_count * 2 > r->table_slots) table_grow(r);
    return counter;
}

uint32_t registry_line(struct registry *r, const struct id128 *id)
{
    uint32_t line = replicas_find(r->replicas, id);
    if (line == REPLICA_NONE) REQUIRE(replicas_intern(r->replicas, id, &line) == ERR_OK);
    r->lines = sim_grow(r->lines, &r->lines_cap, line, sizeof *r->lines);
    uint32_t count = replicas_count(r->replicas);
    for (; r->lines_count < count; r->lines_count++) {
        r->lines = sim_grow(r->lines, &r->lines_cap, r->lines_count, sizeof *r->lines);
        r->lines[r->lines_count].owner = UINT32_MAX;
    }
    return line;
}

const struct line_entry *line_entry_at(const struct line *l, uint64_t seq)
{
    return seq > 0 && seq <= l->count ? &l->entries[seq - 1] : NULL;
}

void line_append(struct line *l, const struct line_entry *entry)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->entries = realloc(l->entries, l->cap * sizeof *l->entries);
        REQUIRE(l->entries);
    }
    l->entries[l->count++] = *entry;
}

void line_boot(struct line *l, uint64_t nonce, uint64_t after)
{
    l->boots = sim_grow(l->boots, &l->boots_cap, l->boots_count, sizeof *l->boots);
    l->boots[l->boots_count++] = (struct boot_mark){ nonce, after };
}

uint32_t line_boot_of(const struct line *l, uint64_t seq)
{
    for (uint32_t i = l->boots_count; i-- > 0;) {
        if (l->boots[i].after < seq) return i;
    }
    return UINT32_MAX;
}

uint32_t line_boot_find(const struct line *l, uint64_t nonce)
{
    for (uint32_t i = l->boots_count; i-- > 0;) {
        if (l->boots[i].nonce == nonce) return i;
    }
    return UINT32_MAX;
}
