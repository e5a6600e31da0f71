/* SPDX-License-Identifier: Apache-2.0 */
/* trail: which boots of a node wrote which seqs of one replica. Each process life draws a nonce, so (seq, nonce of the
 * boot that wrote it) names a whole history, as a commit's hash does in a version control system. A disk that went back
 * in time, or was copied, makes two histories of one replica: their trails tell where they part (the fork).
 *  (1) Boots rise in start; a boot wrote the seqs above its start, up to the start of the next.
 *  (2) Only the latest TRAIL_BOOTS_MAX are told apart. Older ones are one boot with nonce 0, which fits any other.
 *  (3) firm: a boot that starts below it stays with the replica for good. One that starts at or above it is loose: its
 *      entries travel with the versions that they superseded (keyspace_older.h), so that whoever holds them can take
 *      them off the replica again. At most TRAIL_LOOSE_MAX boots are loose.
 *  (4) pledged >= firm: a boot that starts below it is not taken off by whoever holds this trail, unless somebody who
 *      had not pledged yet did so. Once all have pledged, nobody can, and the boot becomes firm. */
#ifndef QUIPU_COUNT_TRAIL_H
#define QUIPU_COUNT_TRAIL_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TRAIL_BOOTS_MAX 64u
#define TRAIL_LOOSE_MAX 32u

struct boot {
    uint64_t start, nonce;
};

/* Zero-initialised is empty. */
struct trail {
    struct boot *boots;
    uint32_t count, cap;
    uint64_t firm, pledged;
};

void trail_release(struct trail *t);
/* The boot that wrote seq; 0 if that is not known, as of seq 0. */
uint64_t trail_nonce_at(const struct trail *t, uint64_t seq);
/* Up to where the boot that wrote seq + 1 wrote; UINT64_MAX for the last one. */
uint64_t trail_end_after(const struct trail *t, uint64_t seq);
/* The boot that begins exactly there, or NULL. */
const struct boot *trail_boot_from(const struct trail *t, uint64_t start);
/* A boot begins after start, which is not below any other's. One without a seq of its own gives its place to the new
 * one, which is loose whatever that was. ERR_NOMEM changes nothing. */
MUST_USE enum err trail_extend(struct trail *t, uint64_t start, uint64_t nonce);
/* Both raise only. */
void trail_set_firm(struct trail *t, uint64_t firm);
void trail_set_pledged(struct trail *t, uint64_t pledged);
/* Raises firm until at most loose_max boots are loose. */
void trail_limit_loose(struct trail *t, uint32_t loose_max);
/* Whether a loose boot starts in [from, to): an entry of seq `from` that one of seq `to` supersedes is to be kept. */
bool trail_is_loose(const struct trail *t, uint64_t from, uint64_t to);

/* Both are good up to what is known by them. *ret_fork is the last seq of their common part; true if both go on from
 * there and differ. */
bool trail_fork(const struct trail *a, uint64_t a_known, const struct trail *b, uint64_t b_known, uint64_t *ret_fork);
/* Takes the last boot off; ret_rest is the trail of what it wrote, once that is a replica of its own: the boot
 * alone, from 0 on, firm. ERR_NOMEM changes nothing. */
MUST_USE enum err trail_split_last(struct trail *t, struct trail *ret_rest);
/* The id of what boot `nonce` wrote, once that was taken off the replica. The same on every node. */
struct id128 trail_split_id(const struct id128 *replica, uint64_t nonce);

#endif
