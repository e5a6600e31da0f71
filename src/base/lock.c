/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <stdbool.h>
#include <threads.h>

#define SPINS_MAX 100 /* some microseconds: longer than any section, so the holder is likely to be asleep */

static inline void core_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void spinlock_wait(struct spinlock *l)
{
    for (unsigned spins = 0;; spins++) {
        /* Looking first keeps the line shared among those who wait. */
        bool looks_free = atomic_load_explicit(&l->held, memory_order_relaxed) == 0;
        if (looks_free && atomic_exchange_explicit(&l->held, 1, memory_order_acquire) == 0) return;
        if (spins < SPINS_MAX) {
            core_pause();
        } else {
            thrd_yield();
        }
    }
}
