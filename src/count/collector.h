/* SPDX-License-Identifier: Apache-2.0 */
/* collector: sorts the shares met on a walk over the keyspace into blocks of one replica each, for snapshots. Blocks
 * are BLOCK_SNAPSHOT: entries in the order of the walk, nothing claimed. */
#ifndef QUIPU_COUNT_COLLECTOR_H
#define QUIPU_COUNT_COLLECTOR_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/keyspace.h"

/* A finished block; the bytes are good until the call returns. */
typedef enum err collector_sink(void *context, uint32_t replica, struct bytes block);

struct collector;

/* A block is handed to the sink when it holds block_bytes or more, and when the walk has ended. */
MUST_USE enum err collector_new(struct keyspace *keyspace, const struct replicas *replicas, uint32_t block_bytes,
                                struct collector **ret_collector);
void collector_free(struct collector *c);
/* Walks at most cells_max cells further and hands over full blocks. *ret_done is true once everything was handed over.
 * An error of the sink, or ERR_NOMEM, ends the collection: only collector_free is allowed afterwards. */
MUST_USE enum err collector_step(struct collector *c, uint32_t cells_max, collector_sink *sink, void *context,
                                 bool *ret_done);

#endif
