/* SPDX-License-Identifier: Apache-2.0 */
/* link: a connection between two nodes as the core sees it: numbered, ordered, reliable while it lasts, and able to
 * break at any byte. Two implementations: TCP over libuv (server/links.c), and the simulator's network.
 *
 * The core never calls a link. It hands out actions (connect, send, close), and hears of events (up, bytes, sent,
 * down); see node.h. Numbers are never used twice: the ones that the core dials are odd, those that come in are even.
 * Every link ends with exactly one down event, also one the core itself closed or could not open. */
#ifndef QUIPU_CLUSTER_LINK_H
#define QUIPU_CLUSTER_LINK_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdint.h>

/* The first bytes on a link, from the side that dials. */
#define LINK_GREETING "QUIPU/1\n"
#define LINK_GREETING_BYTES 8u

#define ADDRESS_BYTES_MAX 261 /* host name of 253, brackets or colon, port of 5, NUL */

typedef uint64_t link_id;

/* Bytes that go to several links and the journal without being copied. */
struct shared {
    atomic_uint holders;
    size_t len;
    uint8_t ptr[];
};

MUST_USE struct shared *shared_new(size_t len); /* one holder; NULL without memory */
MUST_USE struct shared *shared_copy(struct bytes bytes);
struct shared *shared_hold(struct shared *s);
void shared_drop(struct shared *s); /* frees with the last holder; NULL is fine; any thread */

#endif
