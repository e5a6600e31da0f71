/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include "base/bytes.h"

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* splitmix64: spreads one seed over the whole state, which must not be all zero. */
static uint64_t seed_next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void random_init(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) r->state[i] = seed_next(&seed);
}

uint64_t random_u64(struct random *r)
{
    uint64_t *s = r->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* The high half of a product is nearly uniform; draws whose low half is in the uneven rest are drawn again. */
uint64_t random_below(struct random *r, uint64_t below)
{
    REQUIRE(below > 0);
    const uint64_t uneven = (0 - below) % below;
    uint128 product;
    do {
        product = (uint128)random_u64(r) * below;
    } while ((uint64_t)product < uneven);
    return (uint64_t)(product >> 64);
}

uint64_t random_jitter(struct random *r, uint64_t value, uint32_t percent)
{
    REQUIRE(percent <= 100);
    uint64_t spread = value / 100 * percent + value % 100 * percent / 100;
    if (spread > UINT64_MAX - value) spread = UINT64_MAX - value; /* the result must fit */
    return value - spread + random_below(r, 2 * spread + 1);
}
