/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a process that takes orders, played. It stands at the front of what a fixture gives as its worker. */
#ifndef QUIPU_TEST_UNIT_ORDER_FIXTURE_H
#define QUIPU_TEST_UNIT_ORDER_FIXTURE_H

#include "node/service.h"

struct played_orders {
    char name[64]; /* in the last one */
    enum order_kind kind;
    enum order_result result; /* what comes of it, at once, or */
    bool waits;               /* ... when the test calls this: */
    order_done *done;
    void *context;
    uint32_t cancelled;
};

static inline void *played_order(void *worker, enum order_kind kind, struct bytes name, order_done *done, void *context)
{
    struct played_orders *o = worker;
    size_t len = name.len < sizeof o->name ? name.len : sizeof o->name - 1;
    if (len > 0) memcpy(o->name, name.ptr, len);
    o->name[len] = '\0';
    o->kind = kind;
    o->done = done;
    o->context = context;
    if (!o->waits) done(context, o->result);
    return o;
}

static inline void played_order_cancel(void *handle)
{
    struct played_orders *o = handle;
    o->cancelled++;
}

#endif
