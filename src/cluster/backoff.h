/* SPDX-License-Identifier: Apache-2.0 */
/* backoff: the wait before the next attempt: min, 2 min, 4 min ... max, each changed by up to 20 % either way so that
 * nodes which lost the same peer do not come back in step. It never gives up. */
#ifndef QUIPU_CLUSTER_BACKOFF_H
#define QUIPU_CLUSTER_BACKOFF_H

#include "base/random.h"

#include <stdint.h>

#define BACKOFF_JITTER_PERCENT 20u

struct backoff {
    uint32_t ms_min, ms_max;
    uint32_t failures; /* in a row */
};

/* Counts a failure and returns the milliseconds to wait. */
uint64_t backoff_fail(struct backoff *b, struct random *random);
void backoff_reset(struct backoff *b);

#endif
