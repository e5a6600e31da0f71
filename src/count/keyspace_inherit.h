/* SPDX-License-Identifier: Apache-2.0 */
/* The keyspace after a hole in the journal, before the first keyspace_add: entries behind the hole are not joined,
 * since no claim covers them. Those of this node's own former replicas go to its new one; see entry_inherit in reset.h.
 */
#ifndef QUIPU_COUNT_KEYSPACE_INHERIT_H
#define QUIPU_COUNT_KEYSPACE_INHERIT_H

#include "count/keyspace.h"

/* Moves an entry of one of this node's former replicas to its own, which is new: a pending change like an increment.
 * *ret_moved: it was not there yet. ERR_NOMEM, ERR_RANGE. */
MUST_USE enum err keyspace_inherit(struct keyspace *k, uint32_t replica, uint64_t hash, struct bytes name,
                                   const struct entry *entry, bool *ret_moved);
/* Takes out every entry whose seq is above what is known of its replica, since nobody could ever ask for it. Those of
 * the replicas in `former` are moved as above, and counted. */
MUST_USE enum err keyspace_drop_unclaimed(struct keyspace *k, const uint32_t *former, uint32_t former_count,
                                          uint64_t *moved);

#endif
