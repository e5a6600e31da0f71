/* SPDX-License-Identifier: Apache-2.0 */
/* view: what a node knows of its cluster at one moment, made by the replica thread and then never changed, so that
 * workers can answer from it. Counted by holders; any thread. */
#ifndef QUIPU_NODE_VIEW_H
#define QUIPU_NODE_VIEW_H

#include "base/bytes.h"
#include "cluster/link.h"
#include "cluster/member_state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct view_member {
    char node[ADDRESS_BYTES_MAX], address[ADDRESS_BYTES_MAX];
    enum member_state state;
    bool is_self;
    bool heard;             /* on the peer list: heard directly, its state is alive */
    struct id128 replica;   /* zero while unknown */
    uint64_t rtt_us;        /* 0 while unknown */
    uint64_t last_heard_ms; /* since then; 0 for the node itself */
    uint64_t lag_entries;   /* own seqs that it has not confirmed on its disk */
    uint64_t lag_ms;        /* for how long there have been such */
};

struct view_replica {
    struct id128 id;
    uint64_t known, durable;
};

struct view {
    atomic_uint holders;
    char node[ADDRESS_BYTES_MAX], cluster[256];
    struct id128 replica;
    bool ready; /* recovered, and has met a peer or waited long enough for one */
    bool stopping;
    struct view_member *members; /* by name, the node itself among them */
    uint32_t members_count;
    struct view_replica *replicas; /* by id */
    uint32_t replicas_count;
};

const struct view *view_hold(const struct view *v);
void view_drop(const struct view *v); /* NULL is fine */

#endif
