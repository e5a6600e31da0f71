/* SPDX-License-Identifier: Apache-2.0 */
/* played: peers of a measured node that speak the protocol and hold nothing, so that there can be a thousand. They
 * answer a dial (HELLO, members, whole digest) and each PING, send PINGs, their own increments as blocks (at most one
 * in 10 ms, as a node does), say what they have of the measured node's, and each second a random one of those they
 * talk to gets a digest of what changed, which is the measured node once in a second on average. What they claim of
 * each other's replicas is as old as the last round, so it is never more than their owners have pushed already. */
#ifndef QUIPU_SIM_PLAYED_H
#define QUIPU_SIM_PLAYED_H

#include "sim/mesh.h"

struct played *played_new(struct mesh *m, uint32_t node);
void played_free(struct played *p);
void played_bytes(struct mesh *m, uint32_t node, struct wire *w, const struct shared *frame);
void played_tick(struct mesh *m, uint32_t node);
void played_add(struct mesh *m, uint32_t node, uint32_t counter);

#endif
