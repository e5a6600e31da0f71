/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: serving a peer that is too far behind for recent places, by a walk over the whole keyspace. Entries go out as
 * they are met, claiming nothing; when the walk has ended, a last block for each replica claims all that was durable or
 * known when it began. The receiver's old values stay readable throughout, so nothing dips. One at a time a link; if
 * the link breaks the sweep is void, and what arrived is kept for what it is worth. */
#ifndef QUIPU_CLUSTER_SWEEP_H
#define QUIPU_CLUSTER_SWEEP_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/collector.h"

#include <stdbool.h>
#include <stdint.h>

struct sweep;

/* Copies wants: each (replica, from, to], to being what will be claimed. */
MUST_USE enum err sweep_new(struct keyspace *keyspace, const struct replicas *replicas,
                            const struct collector_want *wants, uint32_t count, struct sweep **ret_sweep);
void sweep_free(struct sweep *s); /* NULL is fine */
/* Whether the replica is among its wants. */
bool sweep_covers(const struct sweep *s, uint32_t replica);
/* Walks at most cells_max cells further and hands over full blocks, and at the end the claims. */
MUST_USE enum err sweep_step(struct sweep *s, uint32_t cells_max, collector_sink *sink, void *context, bool *ret_done);

#endif
