/* SPDX-License-Identifier: Apache-2.0 */
/* collector: sorts the shares met on a walk over the keyspace into blocks of one replica each, for snapshots and for
 * sweeps to peers. Blocks are BLOCK_SWEEP: entries in the order of the walk, nothing claimed. */
#ifndef QUIPU_COUNT_COLLECTOR_H
#define QUIPU_COUNT_COLLECTOR_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/keyspace.h"

/* Which entries are wanted: those of a replica with from < seq <= to. */
struct collector_want {
    uint32_t replica;
    uint64_t from, to;
};

/* A finished block; the bytes are good until the call returns. */
typedef enum err collector_sink(void *context, uint32_t replica, struct bytes block);

struct collector;

/* wants is copied; NULL wants everything of every replica. A block is handed to the sink when it holds block_bytes or
 * more, and when the walk has ended. */
MUST_USE enum err collector_new(struct keyspace *keyspace, const struct replicas *replicas,
                                const struct collector_want *wants, uint32_t wants_count, uint32_t block_bytes,
                                struct collector **ret_collector);
void collector_free(struct collector *c);
/* Walks at most cells_max cells further and hands over full blocks. *ret_done is true once everything was handed over.
 * An error of the sink, or ERR_NOMEM, ends the collection: only collector_free is allowed afterwards. */
MUST_USE enum err collector_step(struct collector *c, uint32_t cells_max, collector_sink *sink, void *context,
                                 bool *ret_done);

#endif
