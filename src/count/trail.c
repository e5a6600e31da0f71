/* SPDX-License-Identifier: Apache-2.0 */
#include "count/trail.h"

#include "base/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

void trail_release(struct trail *t)
{
    mem_free(t->boots);
    *t = (struct trail){ 0 };
}

/* One above the index of the last boot that starts below seq; 0 if there is none. */
static uint32_t boots_below(const struct trail *t, uint64_t seq)
{
    uint32_t count = t->count;
    while (count > 0 && t->boots[count - 1].start >= seq) count--;
    return count;
}

uint64_t trail_nonce_at(const struct trail *t, uint64_t seq)
{
    uint32_t count = boots_below(t, seq);
    return count > 0 ? t->boots[count - 1].nonce : 0;
}

uint64_t trail_end_after(const struct trail *t, uint64_t seq)
{
    uint32_t count = seq < UINT64_MAX ? boots_below(t, seq + 1) : t->count;
    return count < t->count ? t->boots[count].start : UINT64_MAX;
}

const struct boot *trail_boot_from(const struct trail *t, uint64_t start)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->boots[i].start == start) return &t->boots[i];
    }
    return NULL;
}

static enum err trail_reserve(struct trail *t, uint32_t count)
{
    if (count <= t->cap) return ERR_OK;
    uint32_t cap = t->cap > 0 ? 2 * t->cap : 2;
    if (cap < count) cap = count;
    struct boot *boots = mem_resize(t->boots, cap * sizeof *boots);
    if (!boots) return ERR_NOMEM;
    t->boots = boots;
    t->cap = cap;
    return ERR_OK;
}

/* The two oldest become one that is known by nothing but its place. */
static void forget_oldest(struct trail *t)
{
    t->boots[0].nonce = 0;
    memmove(t->boots + 1, t->boots + 2, (t->count - 2) * sizeof *t->boots);
    t->count--;
}

enum err trail_extend(struct trail *t, uint64_t start, uint64_t nonce)
{
    REQUIRE(t->count == 0 || start >= t->boots[t->count - 1].start);
    enum err err = trail_reserve(t, t->count + 1);
    if (err != ERR_OK) return err;
    if (t->count > 0 && t->boots[t->count - 1].start == start) t->count--;
    if (t->count == TRAIL_BOOTS_MAX) forget_oldest(t);
    t->boots[t->count++] = (struct boot){ start, nonce };
    if (t->firm > start) t->firm = start;
    if (t->pledged > start) t->pledged = start;
    return ERR_OK;
}

void trail_set_firm(struct trail *t, uint64_t firm)
{
    if (firm > t->firm) t->firm = firm;
    trail_set_pledged(t, firm);
}

void trail_set_pledged(struct trail *t, uint64_t pledged)
{
    if (pledged > t->pledged) t->pledged = pledged;
}

void trail_limit_loose(struct trail *t, uint32_t loose_max)
{
    if (t->count > loose_max) trail_set_firm(t, t->boots[t->count - loose_max - 1].start + 1);
}

bool trail_is_loose(const struct trail *t, uint64_t from, uint64_t to)
{
    if (from < t->firm) from = t->firm;
    for (uint32_t i = t->count; i > 0 && t->boots[i - 1].start >= from; i--) {
        if (t->boots[i - 1].start < to) return true;
    }
    return false;
}

bool trail_fork(const struct trail *a, uint64_t a_known, const struct trail *b, uint64_t b_known, uint64_t *ret_fork)
{
    uint64_t common = a_known < b_known ? a_known : b_known;
    uint64_t at = 0;
    while (at < common) {
        uint64_t a_nonce = trail_nonce_at(a, at + 1), b_nonce = trail_nonce_at(b, at + 1);
        if (a_nonce != b_nonce && a_nonce != 0 && b_nonce != 0) break;
        uint64_t a_end = trail_end_after(a, at), b_end = trail_end_after(b, at);
        uint64_t end = a_end < b_end ? a_end : b_end;
        at = end < common ? end : common;
    }
    *ret_fork = at;
    return at < common;
}

enum err trail_split_last(struct trail *t, struct trail *ret_rest)
{
    struct trail rest = { 0 };
    REQUIRE(t->count > 0);
    enum err err = trail_extend(&rest, 0, t->boots[t->count - 1].nonce);
    if (err != ERR_OK) return err;
    trail_set_firm(&rest, 1); /* nobody but that boot can begin this id */
    t->count--;
    *ret_rest = rest;
    return ERR_OK;
}

struct id128 trail_split_id(const struct id128 *replica, uint64_t nonce)
{
    struct {
        struct id128 replica;
        uint8_t nonce[8];
    } bytes = { .replica = *replica };
    for (unsigned i = 0; i < sizeof bytes.nonce; i++) bytes.nonce[i] = (uint8_t)(nonce >> (8 * i));
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(&bytes, sizeof bytes));
    struct id128 id;
    memcpy(id.bytes, canonical.digest, sizeof id.bytes);
    if (id128_is_zero(&id)) id.bytes[0] = 1; /* no replica has that id */
    return id;
}
