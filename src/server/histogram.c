/* SPDX-License-Identifier: Apache-2.0 */
#include "server/histogram.h"

/* Steps 0 to 3 are 0 to 3 us; from there on four to an octave: the two bits below the highest one. */
static uint32_t step_of(uint64_t us)
{
    if (us < 4) return (uint32_t)us;
    uint32_t octave = 63 - (uint32_t)__builtin_clzll(us);
    uint32_t step = 4 * (octave - 1) + ((uint32_t)(us >> (octave - 2)) & 3);
    return step < HISTOGRAM_STEPS ? step : HISTOGRAM_STEPS - 1;
}

static uint64_t step_end(uint32_t step)
{
    if (step < 4) return step;
    uint32_t octave = step / 4 + 1;
    return ((UINT64_C(4) + step % 4 + 1) << (octave - 2)) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    atomic_fetch_add_explicit(&h->counts[step_of(us)], 1, memory_order_relaxed);
}

uint64_t histogram_percentile(const struct histogram *h, uint32_t percent)
{
    uint64_t total = 0, below = 0;
    for (uint32_t i = 0; i < HISTOGRAM_STEPS; i++) total += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
    if (total == 0) return 0;
    for (uint32_t i = 0; i < HISTOGRAM_STEPS; i++) {
        below += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        if (below * 100 >= total * percent) return step_end(i);
    }
    return step_end(HISTOGRAM_STEPS - 1);
}
