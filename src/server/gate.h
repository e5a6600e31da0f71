/* SPDX-License-Identifier: Apache-2.0 */
/* gate: which replies may leave. The journal thread raises it to the last commit that is written (`async`) or synced
 * (`sync`); workers keep replies back until the commit that they have seen is let through.
 *
 * No wake-up is lost: a worker first says what it wants and then looks at the gate, the journal thread first raises the
 * gate and then looks at what is wanted, all in one total order (seq_cst). One of the two sees the other. */
#ifndef QUIPU_SERVER_GATE_H
#define QUIPU_SERVER_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define GATE_NOTHING UINT64_MAX

/* One per worker. Written by the worker, read by the journal thread. */
struct gate_waiter {
    _Alignas(64) atomic_uint_fast64_t wanted; /* lowest commit that a reply waits for, or GATE_NOTHING */
    uv_async_t *wake;
};

struct gate {
    _Alignas(64) atomic_uint_fast64_t released;
    struct gate_waiter *waiters;
    uint32_t waiters_count;
};

static inline uint64_t gate_released(const struct gate *g)
{
    return atomic_load_explicit(&g->released, memory_order_acquire);
}

/* Journal thread. Wakes the workers that wait for what is let through now, and no others. */
static inline void gate_raise(struct gate *g, uint64_t commit)
{
    atomic_store(&g->released, commit);
    for (uint32_t i = 0; i < g->waiters_count; i++)
        if (atomic_load(&g->waiters[i].wanted) <= commit) uv_async_send(g->waiters[i].wake);
}

/* Worker. True: its wake will be called once commit is let through. False: it is let through already. */
static inline bool gate_wait(const struct gate *g, struct gate_waiter *w, uint64_t commit)
{
    if (commit < atomic_load_explicit(&w->wanted, memory_order_relaxed)) atomic_store(&w->wanted, commit);
    return atomic_load(&g->released) < commit;
}

/* Worker, after it has gone through all its waiting replies: the lowest commit that is left. As gate_wait. */
static inline bool gate_wait_anew(const struct gate *g, struct gate_waiter *w, uint64_t commit)
{
    atomic_store(&w->wanted, commit);
    return atomic_load(&g->released) < commit;
}

#endif
