/* SPDX-License-Identifier: Apache-2.0 */
/* full: a counter that one compact cell cannot hold: several replicas' shares, extras, or a net beyond 64 bits.
 * Private to the keyspace; always used under the shard's lock.
 *  (1) shares holds durable entries only, each replica once. This node's own share is there from its first pending
 *      increment on, with seq 0 until it is durable, and then stands last.
 *  (2) While pending is set, net is the own net with everything pending. What is pending adds to the value and makes
 *      the counter exist, whatever was reset: nobody can have observed it. The own share's extras count as soon as they
 *      are there: they change only before its first commit, with what is then pending.
 *  (3) shown and exists are what a read shows, at any time. */
#ifndef QUIPU_COUNT_KEYSPACE_FULL_H
#define QUIPU_COUNT_KEYSPACE_FULL_H

#include "count/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FULL_OWN_UNKNOWN UINT32_MAX

struct full {
    int128 net, shown;
    uint32_t count, cap;
    uint32_t own;         /* where the own share is; unknown until the first own increment */
    uint32_t with_extras; /* shares that have extras; with none the value is a plain sum */
    bool pending, exists;
    struct share shares[];
};

struct replicas;

/* Empty, with room for cap shares; NULL if there is no memory. */
MUST_USE struct full *full_new(uint32_t cap);
void full_free(struct full *f); /* with all extras; NULL is fine */
/* As the allocator was asked, extras included. */
size_t full_bytes(const struct full *f);
/* Room for one more share. May move the counter; ERR_NOMEM leaves it as it is. */
MUST_USE enum err full_reserve(struct full **f);

struct share *full_find(struct full *f, uint32_t replica);
/* Takes in an entry and its extras. The caller has made sure that it is newer, and that there is room. */
void full_join(struct full *f, const struct replicas *replicas, uint32_t replica, const struct entry *entry);
uint32_t full_count_durable(const struct full *f);
/* The share of `from`, which there is, becomes `before` (seq 0: it goes), and `after` is joined as the share of `to`.
 * Takes over and zeroes the extras of both. May move the counter; ERR_NOMEM leaves it as it is. */
MUST_USE enum err full_split(struct full **f, const struct replicas *replicas, uint32_t from, struct entry *before,
                             uint32_t to, struct entry *after);

/* Makes sure of the own share, before full_add. May move the counter. */
MUST_USE enum err full_own(struct full **f, uint32_t own);
/* An own increment. ERR_RANGE changes nothing: the value would leave 64 bits, or net what an entry can hold. */
MUST_USE enum err full_add(struct full *f, int64_t delta);

/* Takes a share out; the extras are the caller's. */
struct entry full_take_out(struct full *f, const struct replicas *replicas, uint32_t replica);
/* Moves a share that is not in f into the own one, by entry_inherit. The own share is made sure of, and may not be
 * durable. May move the counter. *ret_changed: there is something pending now. ERR_NOMEM, ERR_RANGE. */
MUST_USE enum err full_inherit(struct full **f, uint32_t own, const struct replicas *replicas, const struct share *lost,
                               bool *ret_changed);

/* The own entry as a commit with this seq writes it. Its extras, if any, are in *scratch and borrow all lists. */
struct entry full_take(const struct full *f, uint64_t seq, struct extras *scratch);
/* That entry is durable; is_last: and nothing is pending any more. */
void full_publish(struct full *f, const struct replicas *replicas, uint64_t seq, int128 net, bool is_last);

#endif
