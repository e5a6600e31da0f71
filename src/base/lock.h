/* SPDX-License-Identifier: Apache-2.0 */
/* lock: a spin lock for sections of at most some microseconds. It spins, then yields the core to a holder that was
 * put to sleep; the yield is the one call that this header makes outside of C11. */
#ifndef QUIPU_BASE_LOCK_H
#define QUIPU_BASE_LOCK_H

#include <stdatomic.h>

struct spinlock {
    atomic_uint held;
};

void spinlock_wait(struct spinlock *l); /* the slow path */

static inline void spinlock_take(struct spinlock *l)
{
    if (atomic_exchange_explicit(&l->held, 1, memory_order_acquire) != 0) spinlock_wait(l);
}

static inline void spinlock_give(struct spinlock *l)
{
    atomic_store_explicit(&l->held, 0, memory_order_release);
}

#endif
