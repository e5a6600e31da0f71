/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: serving a peer that is too far behind for recent places, by a walk over the whole keyspace.
 *
 * The walk gathers the places of all live entries that the peer lacks, in runs that are sorted as they fill; when it
 * has ended, each replica's runs are merged, and its entries go out in order of seq, as BLOCK_DELTAs that claim what
 * they hold like any other. So a link that breaks in between loses nothing, a peer never holds entries that its own
 * claims do not cover, and its old values stay readable throughout: nothing dips.
 *
 * A delta holds what one boot wrote, so there is at least one for each boot in between.
 *
 * It costs 16 bytes for each entry that is missing, for as long as it lasts. An entry that is written anew meanwhile is
 * skipped: its newer version lies beyond what the sweep claims. */
#ifndef QUIPU_CLUSTER_SWEEP_H
#define QUIPU_CLUSTER_SWEEP_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/keyspace.h"

#include <stdbool.h>
#include <stdint.h>

/* The peer knows the replica up to `from` and is to know it up to `to`, up to which this node knows it. */
struct sweep_want {
    uint32_t replica;
    uint64_t from, to;
};

struct sweep;

/* Copies wants, of which each names another replica. */
MUST_USE enum err sweep_new(struct keyspace *keyspace, const struct replicas *replicas, const struct sweep_want *wants,
                            uint32_t count, struct sweep **ret_sweep);
void sweep_free(struct sweep *s); /* NULL is fine */
/* Whether some of the replica's entries are still to go out. */
bool sweep_is_pending(const struct sweep *s, uint32_t replica);
/* Walks at most cells_max cells further. *ret_walked is true when the walk has ended: sweep_write_delta may be called.
 */
MUST_USE enum err sweep_walk(struct sweep *s, uint32_t cells_max, bool *ret_walked);
/* Writes the next DELTA block to out, of about bytes_goal; *ret_done is true if it was the last of all. */
MUST_USE enum err sweep_write_delta(struct sweep *s, uint32_t bytes_goal, struct buffer *out, bool *ret_done);

#endif
