/* SPDX-License-Identifier: Apache-2.0 */
/* commit: appends under way, from the dirty counters to the disk. Private to src/node. */
#ifndef QUIPU_NODE_COMMIT_H
#define QUIPU_NODE_COMMIT_H

#include "cluster/link.h"
#include "count/block.h"
#include "count/keyspace.h"

#include <stdbool.h>
#include <stdint.h>

/* A peer's block between link and keyspace. */
struct incoming {
    struct shared *bytes; /* the block */
    uint32_t replica;
    struct block_head head;
};

struct incoming_list {
    struct incoming *items;
    uint32_t count, cap;
    uint64_t bytes;
};

/* An append under way. */
struct commit {
    uint64_t number;
    bool written;
    struct batch batch;
    uint64_t seq_from, seq_to; /* own entries (from, to] */
    struct shared *frame;      /* FRAME_BLOCK around them; NULL if there are none, or several blocks */
    struct shared **blocks;    /* those */
    uint32_t blocks_count;
    struct incoming_list incoming;
};

enum snapshot_stage { SNAPSHOT_NONE, SNAPSHOT_ROTATING, SNAPSHOT_WAITING, SNAPSHOT_RUNNING };

struct commits {
    struct commit *items; /* a ring of cap, oldest first */
    uint32_t first, count, cap;
    uint64_t appended, written, synced;
    uint64_t gate; /* no further append before this one is synced, in both modes */
    uint64_t drain; /* this append is made also with nothing to write; 0: none */
    struct record *held; /* records that the next append begins with */
    uint32_t held_count;
    enum snapshot_stage snapshot;
    uint64_t snapshot_after;   /* append that must be synced before the walk begins */
    uint64_t snapshot_segment; /* the boundary of the one under way, or of one that failed; 0: none */
    uint64_t snapshot_retry_ms;
};

/* The newest published commit as one frame, to be sent as it is to a peer that has all before it. */
struct fresh {
    struct shared *frame;
    uint64_t from, to;
};

#endif
