/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/harness.h"

#include "node/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FENCE_BYTES ((size_t)16 << 20)

static uint8_t *fence_new(void)
{
    uint8_t *map = mmap(NULL, FENCE_BYTES + (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(map != MAP_FAILED);
    REQUIRE(munmap(map + FENCE_BYTES, (size_t)sysconf(_SC_PAGESIZE)) == 0);
    return map + FENCE_BYTES;
}

struct bytes fence_copy(unsigned slot, struct bytes bytes)
{
    static uint8_t *ends[FENCE_SLOTS];
    REQUIRE(slot < FENCE_SLOTS);
    REQUIRE(bytes.len <= FENCE_BYTES);
    if (!ends[slot]) ends[slot] = fence_new();
    uint8_t *start = ends[slot] - bytes.len;
    if (bytes.len > 0) memcpy(start, bytes.ptr, bytes.len);
    return bytes_of(start, bytes.len);
}

void cuts_init(struct cuts *c, uint8_t how, size_t len)
{
    *c = (struct cuts){ .len = len, .step_max = how == 0 ? 1 : 1 + len / (1 + how % 8u) };
    random_init(&c->random, how);
}

size_t cuts_next(struct cuts *c)
{
    c->at += 1 + (size_t)random_below(&c->random, c->step_max);
    if (c->at > c->len) c->at = c->len;
    return c->at;
}

void mutate_buffer(struct buffer *b)
{
    size_t cap = b->len + 16;
    if (!LLVMFuzzerMutate || !buffer_reserve(b, 16)) return;
    b->len = LLVMFuzzerMutate(b->ptr, b->len, cap);
}

size_t mutator_finish(struct buffer *b, uint8_t *data, size_t size_max)
{
    size_t len = b->failed ? 0 : b->len < size_max ? b->len : size_max;
    if (len > 0) memcpy(data, b->ptr, len);
    buffer_release(b);
    return len;
}

static void state_number(uint64_t *state, uint64_t number)
{
    *state = XXH3_64bits_withSeed(&number, sizeof number, *state);
}

static void state_bytes(uint64_t *state, struct bytes bytes)
{
    *state = XXH3_64bits_withSeed(bytes.len > 0 ? bytes.ptr : (const uint8_t *)"", bytes.len, *state);
}

struct state_walk {
    uint64_t state;
    const struct replicas *replicas;
};

static void state_visit(void *context, const struct visit *visit)
{
    struct state_walk *w = context;
    state_bytes(&w->state, visit->name);
    state_number(&w->state, (uint64_t)visit->value);
    state_number(&w->state, visit->exists);
    for (uint32_t i = 0; i < visit->count; i++) {
        const struct share *share = &visit->shares[i];
        const struct id128 *id = replicas_id(w->replicas, share->replica);
        state_bytes(&w->state, bytes_of(id->bytes, sizeof id->bytes));
        state_number(&w->state, share->entry.seq);
        state_bytes(&w->state, bytes_of(&share->entry.net, sizeof share->entry.net));
    }
}

uint64_t node_state(struct node *n)
{
    struct state_walk w = { .replicas = n->replicas };
    struct walk walk = { 0 };
    while (keyspace_walk(n->keyspace, &walk, 64, state_visit, &w)) continue;
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        const struct known *known = replicas_known(n->replicas, i);
        state_bytes(&w.state, bytes_of(replicas_id(n->replicas, i)->bytes, sizeof(struct id128)));
        state_number(&w.state, known->known);
        state_number(&w.state, known->durable);
        state_number(&w.state, known->nonce);
    }
    for (uint32_t i = 0; i < n->members.members_count; i++) {
        state_bytes(&w.state, bytes_of_text(n->members.members[i].name));
        state_bytes(&w.state, bytes_of(n->members.members[i].replica.bytes, sizeof(struct id128)));
        state_number(&w.state, n->members.members[i].state);
    }
    state_bytes(&w.state, bytes_of(replicas_id(n->replicas, n->own)->bytes, sizeof(struct id128)));
    return w.state;
}
