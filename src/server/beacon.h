/* SPDX-License-Identifier: Apache-2.0 */
/* beacon: the datagram by which a node announces itself; docs/FORMATS.md, "Discovery datagram". */
#ifndef QUIPU_SERVER_BEACON_H
#define QUIPU_SERVER_BEACON_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

#define BEACON_BYTES_MAX 1024

struct beacon {
    uint64_t nonce; /* of the sender's boot, not 0 */
    struct bytes cluster, node;
};

/* ERR_NOMEM */
MUST_USE enum err beacon_encode(const struct beacon *beacon, struct buffer *out);
/* The views point into datagram; node is a well-formed host:port. ERR_CORRUPT for anything that beacon_encode does not
 * make of a node's settings. */
MUST_USE enum err beacon_decode(struct bytes datagram, struct beacon *ret_beacon);

#endif
