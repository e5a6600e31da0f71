/* SPDX-License-Identifier: Apache-2.0 */
/* random: a small seeded generator (xoshiro256**, Blackman and Vigna). The core gets its seed from outside, so a
 * run can be repeated. Not for secrets; ids and nonces are drawn by the shell and come in as events. */
#ifndef QUIPU_BASE_RANDOM_H
#define QUIPU_BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state[4];
};

void random_init(struct random *r, uint64_t seed);
uint64_t random_u64(struct random *r);
/* Uniform in [0, below); below must not be 0. */
uint64_t random_below(struct random *r, uint64_t below);
/* value, changed by up to percent either way; percent at most 100. */
uint64_t random_jitter(struct random *r, uint64_t value, uint32_t percent);

#endif
