/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/backoff.h"

uint64_t backoff_fail(struct backoff *b, struct random *random)
{
    uint64_t delay = b->ms_min;
    for (uint32_t i = 0; i < b->failures && delay < b->ms_max; i++) delay *= 2;
    if (delay > b->ms_max) delay = b->ms_max;
    if (b->failures < UINT32_MAX) b->failures++;
    return random_jitter(random, delay, BACKOFF_JITTER_PERCENT);
}

void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}
