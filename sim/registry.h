/* SPDX-License-Identifier: Apache-2.0 */
/* registry: the truth about a run, kept outside of all cores: every counter by name, and for every replica id what its
 * owner handed to its journal, entry by entry. Whatever a node shows, sends or keeps is compared with this. */
#ifndef QUIPU_SIM_REGISTRY_H
#define QUIPU_SIM_REGISTRY_H

#include "base/bytes.h"
#include "count/replicas.h"

#include <stdbool.h>
#include <stdint.h>

/* One counter and what clients were told of it. */
struct fate {
    char *name;
    uint32_t name_len;
    int128 answered;
    int128 maybe_min, maybe_max; /* of those never answered */
};

struct line_entry {
    int128 net;
    uint32_t counter;
    uint32_t extras; /* a digest of what is beyond net; 0: nothing is */
};

struct boot_mark {
    uint64_t nonce, after; /* began after this seq */
};

/* One replica's entries; seq 1 is entries[0]. */
struct line {
    struct line_entry *entries;
    uint64_t count, cap;
    uint64_t written, synced; /* up to here in its owner's file, on its owner's disk */
    struct boot_mark *boots;
    uint32_t boots_count, boots_cap;
    uint32_t owner; /* machine */
};

struct registry {
    struct fate *fates;
    uint32_t fates_count, fates_cap;
    uint32_t *table; /* by name: one above the counter; 0 is free */
    uint32_t table_slots;
    struct replicas *replicas; /* a line for each, at the same index */
    struct line *lines;
    uint32_t lines_count, lines_cap;
};

void registry_init(struct registry *r);
void registry_release(struct registry *r);
uint32_t registry_counter(struct registry *r, struct bytes name); /* made if there is none */
uint32_t registry_line(struct registry *r, const struct id128 *id);
/* The entry, or NULL if the owner never wrote one of that seq. */
const struct line_entry *line_entry_at(const struct line *l, uint64_t seq);
void line_append(struct line *l, const struct line_entry *entry);
void line_boot(struct line *l, uint64_t nonce, uint64_t after);
/* The number of the boot that wrote `seq`, and of the one with that nonce; UINT32_MAX if there is none. */
uint32_t line_boot_of(const struct line *l, uint64_t seq);
uint32_t line_boot_find(const struct line *l, uint64_t nonce);

/* Room for index `need`, new places zeroed. */
void *sim_grow(void *items, uint32_t *cap, uint32_t need, size_t item_bytes);

#endif
