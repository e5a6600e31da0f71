/* SPDX-License-Identifier: Apache-2.0 */
/* discovery: finding nodes of the same cluster on this machine, without a list, by broadcasts on 127.255.255.255 that
 * never leave the loopback interface (docs/FORMATS.md, "Discovery datagram"). What comes in is a rumour: all it does
 * is to name an address worth contacting. Everything happens on the loop given to discovery_start. */
#ifndef QUIPU_SERVER_DISCOVERY_H
#define QUIPU_SERVER_DISCOVERY_H

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

struct discovery;

struct discovery_options {
    const char *node, *cluster; /* copied */
    uint16_t port;
    uint64_t nonce;       /* of this boot, not 0 */
    uint64_t random_seed; /* for the jitter */
};

/* node is a well-formed host:port that is not this node's own, good for the call; at most once in 5 s for each. */
typedef void discovery_found(void *context, const char *node);
typedef void discovery_closed(void *context);

/* Announces this node at once, and from then on listens and announces. ERR_IO after a warning in the log, ERR_NOMEM:
 * the node goes on without; *ret_discovery is then NULL, and what was begun leaves the loop when it turns next. */
MUST_USE enum err discovery_start(uv_loop_t *loop, const struct discovery_options *options, discovery_found *found,
                                  void *context, struct discovery **ret_discovery);
/* No more calls of `found`. `closed` is called once all handles have left the loop and d is gone; for NULL at once. */
void discovery_stop(struct discovery *d, discovery_closed *closed, void *context);

/* Datagrams that were not what this version sends, since the start. */
uint64_t discovery_bad_count(const struct discovery *d);

#endif
