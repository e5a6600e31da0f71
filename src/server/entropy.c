/* SPDX-License-Identifier: Apache-2.0 */
#include "server/entropy.h"

#include <errno.h>
#include <sys/random.h>

static void fill(void *into, size_t len)
{
    ssize_t got;
    do got = getrandom(into, len, 0); /* so few bytes come whole or not at all */
    while (got < 0 && errno == EINTR);
    REQUIRE(got == (ssize_t)len);
}

uint64_t entropy_u64(void)
{
    uint64_t value = 0;
    while (value == 0) fill(&value, sizeof value);
    return value;
}

struct id128 entropy_id(void)
{
    struct id128 id = { { 0 } };
    while (id128_is_zero(&id)) fill(id.bytes, sizeof id.bytes);
    return id;
}
