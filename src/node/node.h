/* SPDX-License-Identifier: Apache-2.0 */
/* node: one Quipu node as a state machine. Events and the time go in, actions come out; no socket, file, clock, thread
 * or randomness of its own. The replica thread owns it; workers use the other door (counters.h).
 *
 * Life: node_new, node_recover for each record that the journal hands out, node_start, then node_step for each event.
 *  (1) Actions are to be carried out in the order of the list; an append comes before what relies on it.
 *  (2) Appends are numbered 1, 2, 3 ... without a gap. Append n is commit n: replies gated on commits up to n may leave
 *      when it was written (`async`) or synced (`sync`), which the shell may act on before it tells the node.
 *  (3) Nothing of this node's own is sent before the append that holds it was synced.
 *  (4) A peer's block is shown, and claimed in digests, after the append that holds it was written. */
#ifndef QUIPU_NODE_NODE_H
#define QUIPU_NODE_NODE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/stats.h"
#include "cluster/link.h"
#include "node/action.h"
#include "node/counters.h"
#include "node/event.h"
#include "node/view.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

struct node_options {
    const char *name, *cluster; /* name is the advertised address, host:port */
    const char *const *seeds;   /* addresses to contact until they answer */
    uint32_t seeds_count;
    uint32_t heartbeat_ms, peer_timeout_ms, backoff_ms_min, backoff_ms_max;
    bool durability_sync;
    uint32_t shards;         /* of the keyspace: a power of two */
    uint64_t snapshot_bytes; /* journal size at which a snapshot is asked for; 0: the default */
    /* Entropy from outside. */
    uint64_t hash_seed, random_seed, nonce; /* nonce: of this boot, not 0 */
    struct id128 replica;                   /* the id to take if the journal holds none */
    struct stats *stats;
};

/* Copies the options. ERR_NOMEM, ERR_INVALID. */
MUST_USE enum err node_new(const struct node_options *options, struct node **ret_node);
void node_free(struct node *n);
struct keyspace *node_keyspace(struct node *n);
const struct replicas *node_replicas(const struct node *n);

/* As journal_sink: ERR_CORRUPT for a record this version could not have written, ERR_INVALID when the journal belongs
 * to another cluster, ERR_NOMEM. */
MUST_USE enum err node_recover(void *node, uint8_t kind, struct bytes record);

/* After recovery: makes identity and boot durable (append 1) and begins to look for peers. */
MUST_USE enum err node_start(struct node *n, uint64_t now_ms, uint64_t wall_ms, struct actions *actions);
/* ERR_NOMEM: the event was not taken in full and the process must end (nothing unanswered is lost by that). */
MUST_USE enum err node_step(struct node *n, const struct event *event, struct actions *actions);
/* When the next EVENT_TICK is due. */
uint64_t node_wake_at_ms(const struct node *n);
/* False while so much from peers waits to be written that no more should be read from links. */
bool node_takes_bytes(const struct node *n);

/* Rises whenever the peer list, a member's state, readiness or stopping changed. */
uint64_t node_view_version(const struct node *n);
MUST_USE enum err node_view(const struct node *n, uint64_t now_ms, const struct view **ret_view);

#endif
