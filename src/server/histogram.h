/* SPDX-License-Identifier: Apache-2.0 */
/* histogram: how often a duration fell where, in steps of a quarter of an octave (19 % at most). One thread adds, any
 * thread reads. */
#ifndef QUIPU_SERVER_HISTOGRAM_H
#define QUIPU_SERVER_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_STEPS 160 /* to 2^40 microseconds */

struct histogram {
    atomic_uint_fast64_t counts[HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *h, uint64_t us);
/* The upper end of the step in which that part of all, in percent, is reached; 0 if there is none. */
uint64_t histogram_percentile(const struct histogram *h, uint32_t percent);

#endif
