/* SPDX-License-Identifier: Apache-2.0 */
/* fork: two histories of one replica; fork.c says how they become two replicas. Private to src/node. */
#ifndef QUIPU_NODE_FORK_H
#define QUIPU_NODE_FORK_H

#include "cluster/message.h"
#include "node/commit.h"
#include "node/peer_link.h"

struct node;
/* Whether what a peer claims, asks for or sends belongs to the history that is here. If not it is told. */
bool fork_claim_fits(struct node *n, struct peer_link *l, const struct digest_item *item, uint32_t replica);
bool fork_want_fits(struct node *n, struct peer_link *l, const struct want *want, uint32_t replica);
bool fork_block_fits(struct node *n, struct peer_link *l, const struct incoming *item, uint64_t accepted);
void fork_trail(struct node *n, struct peer_link *l, struct bytes body);
void fork_copy_met(struct node *n, struct peer_link *l); /* another process runs under the own replica's id */
void fork_own_trail(struct node *n);
void fork_verify(struct node *n);
void fork_pledge(struct node *n, uint32_t replica, uint64_t pledged, uint64_t firm);
void fork_pledged(struct node *n, uint64_t append); /* up to this one appends are on disk */
void fork_step(struct node *n);
MUST_USE enum err fork_split(struct node *n, uint32_t replica, uint64_t fork, uint64_t own_nonce);

#endif
