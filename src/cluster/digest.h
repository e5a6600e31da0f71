/* SPDX-License-Identifier: Apache-2.0 */
/* digest: what one peer says it knows of each replica, and what it was told that this node knows. One table a link, as
 * long as the replica table or at most twice; it is forgotten with the link. */
#ifndef QUIPU_CLUSTER_DIGEST_H
#define QUIPU_CLUSTER_DIGEST_H

#include "base/bytes.h"
#include "base/err.h"
#include "cluster/message.h"
#include "count/replicas.h"

#include <stdbool.h>
#include <stdint.h>

struct claim {
    uint64_t known, durable, nonce, print;                                  /* said by the peer */
    uint64_t told_known, told_durable, told_firm, told_pledged, told_print; /* said to the peer */
    uint64_t trail_told_ms; /* when the peer was sent the replica's trail last */
    bool gone;              /* it claims what was split off the replica: it is no source */
};

struct digest {
    struct claim *claims; /* by replica index */
    uint32_t count;
    bool heard_whole; /* the peer's first, whole digest has come */
    bool told_whole;
};

void digest_release(struct digest *d);
/* What the peer claims of a replica; zeroes if it said nothing of it. */
struct claim digest_claim(const struct digest *d, uint32_t replica);

/* What this node says of a replica. */
struct digest_item digest_item_of(const struct replicas *replicas, uint32_t replica);
/* Takes in a digest frame's body. Replicas not met before are added to the table. ERR_CORRUPT, ERR_NOMEM, ERR_TOO_LONG:
 * the table is full. After an error the link is to end. */
MUST_USE enum err digest_take(struct digest *d, struct replicas *replicas, struct bytes body);
/* Writes what this node knows: everything the first time, then what rose since it was last told, of one replica or of
 * all (REPLICA_NONE). The node's own replica stands in the table as known as far as it is durable, so that nothing
 * is claimed that a crash could take back. *ret_count is the number of items; with 0 of a digest that is not the first
 * nothing need be sent. */
MUST_USE enum err digest_tell(struct digest *d, const struct replicas *replicas, uint32_t only, struct buffer *out,
                              uint32_t *ret_count);

#endif
