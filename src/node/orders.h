/* SPDX-License-Identifier: Apache-2.0 */
/* orders: what people have told this node about its cluster and wait for. Private to src/node. */
#ifndef QUIPU_NODE_ORDERS_H
#define QUIPU_NODE_ORDERS_H

#include "node/event.h"
#include "node/order.h"

#include <stdint.h>

#define LEAVE_WITHIN_MS 10000u

/* Waits for its answer. */
struct order {
    enum order_kind kind;
    uint64_t ticket;
    uint64_t append; /* FORGET: done when this one is synced */
};

/* AGREED: the peers have all of this node; it says so and stops. */
enum leave_stage { LEAVE_NONE, LEAVE_WANTED, LEAVE_AGREED };

struct orders {
    struct order *items;
    uint32_t count, cap;
    enum leave_stage leave;
    uint64_t leave_by_ms;
    uint32_t epoch; /* of this node's own name, as others have told */
};

struct node;
void orders_take(struct node *n, const struct event *event);
void orders_judge(struct node *n);
void orders_end(struct node *n); /* the node stops: whoever waits still hears what has become of it */

#endif
