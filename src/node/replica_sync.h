/* SPDX-License-Identifier: Apache-2.0 */
/* replica_sync: what a node keeps of a replica beside what it knows (count/replicas.h): what is on its way, what was
 * asked for, what is to be settled. Private to src/node. */
#ifndef QUIPU_NODE_REPLICA_SYNC_H
#define QUIPU_NODE_REPLICA_SYNC_H

#include "cluster/link.h"
#include "cluster/recent.h"

#include <stdbool.h>
#include <stdint.h>

#define RECENT_OWN_MAX (1u << 20)
#define RECENT_PEER_MAX (1u << 16)

struct replica_sync {
    uint64_t accepted;               /* as known, with blocks that wait for the journal */
    uint64_t want_ms, want_accepted; /* when this replica was asked for last, and how far it was known then */
    uint64_t seen_accepted;          /* at the last round of gossip */
    uint32_t stalled_rounds;
    link_id mending; /* over which older entries are taken in as well */
    uint64_t mend_ms, seen_print;
    bool split_due; /* it is to be split at `fork`; nothing of it is taken in until then */
    uint64_t fork;
    uint64_t pledge_due, firm_due; /* for the trail, once that is on disk */
    uint64_t pledge_append;        /* by which it is; 0: it is to be written */
    struct recent recent;
};

struct node;
/* NULL: no memory, `failed` is set. */
struct replica_sync *sync_of(struct node *n, uint32_t replica);

#endif
