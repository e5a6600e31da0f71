/* SPDX-License-Identifier: Apache-2.0 */
/* clock: the two clocks of the process. Everything is timed by the monotonic one. */
#ifndef QUIPU_SERVER_CLOCK_H
#define QUIPU_SERVER_CLOCK_H

#include <stdint.h>
#include <time.h>
#include <uv.h>

static inline uint64_t clock_ms(void)
{
    return uv_hrtime() / 1000000;
}

static inline uint64_t clock_us(void)
{
    return uv_hrtime() / 1000;
}

/* Since 1970. */
static inline uint64_t clock_wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

#endif
