/* SPDX-License-Identifier: Apache-2.0 */
/* recent: where the latest entries of one replica are, in order of seq, so that what a peer misses can be read from
 * the keyspace without searching it. It holds places, not entries: an entry that was written anew since is skipped, for
 * its newer version comes later in the same order.
 *  (1) Every live entry with floor < seq <= top is at a place in here.
 *  (2) Bounded: the oldest places are forgotten, which raises the floor. Who is behind the floor needs a sweep. */
#ifndef QUIPU_CLUSTER_RECENT_H
#define QUIPU_CLUSTER_RECENT_H

#include "base/err.h"
#include "count/keyspace.h"

#include <stdbool.h>
#include <stdint.h>

struct recent_place {
    uint64_t seq;
    cell_ref cell;
};

struct recent {
    struct recent_place *places; /* a ring of cap places, a power of two */
    uint32_t first, count, cap, cap_max;
    uint64_t floor, top;
};

/* cap_max: a power of two. Nothing is known of what lies at or below floor. */
void recent_init(struct recent *r, uint32_t cap_max, uint64_t floor);
void recent_release(struct recent *r);
/* seq above all before. Without memory the oldest place is forgotten instead. */
void recent_add(struct recent *r, uint64_t seq, cell_ref cell);
/* Every live entry up to top was added. */
void recent_raise(struct recent *r, uint64_t top);

/* Writes a DELTA block of `replica` from `from` on (floor <= from < top) to out, of about bytes_goal, cut between
 * entries, and where another boot begins; *ret_to is how far it goes. */
struct recent_request {
    struct keyspace *keyspace;
    const struct replicas *replicas;
    uint32_t replica;
    uint64_t from;
    uint32_t bytes_goal;
};
MUST_USE enum err recent_write_delta(const struct recent *r, const struct recent_request *request, struct buffer *out,
                                     uint64_t *ret_to);

#endif
