/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/recent.h"

#include "base/alloc.h"
#include "base/force.h"
#include "count/block.h"
#include "count/keyspace_replica.h"
#include "count/replicas.h"

#define CAP_MIN 64u

void recent_init(struct recent *r, uint32_t cap_max, uint64_t floor)
{
    REQUIRE(cap_max >= CAP_MIN && (cap_max & (cap_max - 1)) == 0);
    *r = (struct recent){ .cap_max = cap_max, .floor = floor, .top = floor };
}

void recent_release(struct recent *r)
{
    mem_free(r->places);
    r->places = NULL;
    r->count = r->cap = 0;
}

static struct recent_place *place_at(const struct recent *r, uint32_t index)
{
    return &r->places[(r->first + index) & (r->cap - 1)];
}

static void forget_oldest(struct recent *r)
{
    r->floor = place_at(r, 0)->seq;
    r->first = (r->first + 1) & (r->cap - 1);
    r->count--;
}

static enum err grow(struct recent *r)
{
    uint32_t cap = r->cap ? r->cap * 2 : CAP_MIN;
    struct recent_place *places = mem_alloc(cap * sizeof *places);
    if (!places) return ERR_NOMEM;
    for (uint32_t i = 0; i < r->count; i++) places[i] = *place_at(r, i);
    mem_free(r->places);
    r->places = places;
    r->first = 0;
    r->cap = cap;
    return ERR_OK;
}

void recent_add(struct recent *r, uint64_t seq, cell_ref cell)
{
    REQUIRE(seq > r->top);
    while (r->count > 0 && FORCE(RECENT_FORGET)) forget_oldest(r);
    if (r->count == r->cap && (r->cap >= r->cap_max || grow(r) != ERR_OK)) {
        if (r->cap == 0) {
            r->floor = r->top = seq;
            return;
        }
        forget_oldest(r);
    }
    r->count++;
    *place_at(r, r->count - 1) = (struct recent_place){ seq, cell };
    r->top = seq;
}

void recent_raise(struct recent *r, uint64_t top)
{
    if (top > r->top) r->top = top;
}

/* Index of the first place with a seq above from. */
static uint32_t first_above(const struct recent *r, uint64_t from)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (place_at(r, middle)->seq > from)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

enum err recent_write_delta(const struct recent *r, const struct recent_request *request, struct buffer *out,
                            uint64_t *ret_to)
{
    REQUIRE(request->from >= r->floor && request->from < r->top);
    const struct trail *trail = replicas_trail(request->replicas, request->replica);
    struct block_head head = { .kind = BLOCK_DELTA,
                               .replica = *replicas_id(request->replicas, request->replica),
                               .nonce = trail_nonce_at(trail, request->from + 1),
                               .base = trail_nonce_at(trail, request->from),
                               .firm = trail->firm,
                               .pledged = trail->pledged,
                               .from = request->from };
    struct block_writer writer;
    size_t start = out->len;
    block_begin(&writer, out, &head);
    uint64_t boot_end = trail_end_after(trail, request->from);
    uint64_t to = boot_end < r->top ? boot_end : r->top;
    for (uint32_t i = first_above(r, request->from); i < r->count; i++) {
        const struct recent_place *place = place_at(r, i);
        if (place->seq > to) break;
        keyspace_put_entry(request->keyspace, place->cell, request->replica, place->seq, &writer);
        if (out->len - start >= request->bytes_goal && i + 1 < r->count) {
            to = place->seq;
            break;
        }
    }
    block_end(&writer, to);
    enum err err = buffer_end(out);
    if (err == ERR_OK) *ret_to = to;
    return err;
}
