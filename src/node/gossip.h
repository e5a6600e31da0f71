/* SPDX-License-Identifier: Apache-2.0 */
/* gossip: what comes in (gossip.c), and what is asked for (chase.c). Private to src/node. */
#ifndef QUIPU_NODE_GOSSIP_H
#define QUIPU_NODE_GOSSIP_H

#include "node/commit.h"
#include "node/peer_link.h"

struct node;
void gossip_digest(struct node *n, struct peer_link *l, struct bytes body);
void gossip_wants(struct node *n, struct peer_link *l, struct bytes body);
void gossip_block(struct node *n, struct peer_link *l, struct bytes body);
void gossip_tell(struct node *n, struct peer_link *l, uint32_t only);
void gossip_round(struct node *n);
bool gossip_is_behind(struct node *n);
MUST_USE enum err gossip_join(struct node *n, const struct incoming *item);

void chase_want(struct node *n, struct peer_link *l, uint32_t replica);
bool chase_mends(const struct node *n, const struct peer_link *l, const struct incoming *item);
void chase_mended(struct node *n, uint32_t replica, uint64_t print_before);

#endif
