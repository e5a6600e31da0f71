/* SPDX-License-Identifier: Apache-2.0 */
/* roster: the members as the node lives with them. Private to src/node. */
#ifndef QUIPU_NODE_ROSTER_H
#define QUIPU_NODE_ROSTER_H

#include "cluster/message.h"
#include "node/peer_link.h"

#define ASKED_MAX 3u
#define MEMBERS_PACE_MS 100u /* a link gets at most one list of changed members in this time */

struct node;
void roster_tick(struct node *n);
void roster_tell_members(struct node *n, struct peer_link *l); /* all of them */
void roster_tell_changes(struct node *n, struct peer_link *l);
/* A node said hello on this link. ERR_TOO_LONG: too many members; ERR_RANGE: its name cannot come back; ERR_NOMEM. */
MUST_USE enum err roster_admit(struct node *n, struct peer_link *l, const struct hello *hello, uint32_t *ret_member);
/* Hearsay; l: where from, NULL from a command. */
MUST_USE enum err roster_hear_of(struct node *n, const struct peer_link *l, const struct member_item *item);
/* Frames. */
void roster_members(struct node *n, struct peer_link *l, struct bytes body);
void roster_ask(struct node *n, struct peer_link *l, struct bytes body);
void roster_heard(struct node *n, struct peer_link *l, struct bytes body);
void roster_goodbye(struct node *n, struct peer_link *l, struct bytes body);
void roster_leave(struct node *n, struct peer_link *l, struct bytes body);

#endif
