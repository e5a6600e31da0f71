/* SPDX-License-Identifier: Apache-2.0 */
/* replicas: every replica id this process has met, by a small index that never changes while it runs, and how much of
 * each it knows: the version vector.
 *
 * Ids are appended and never removed, so replicas_id and replicas_count may be called from any thread for an index it
 * was handed; all else belongs to the replica thread. Index 0 is no replica, so that a zeroed field names nobody.
 *  (1) known: every live entry of the replica up to this seq is in the keyspace, at that seq or a later one.
 *  (2) durable <= known: the same, and also on this node's disk.
 *  (3) nonce: of the owner's boot that wrote seq `known`; 0 when nobody remembers.
 *  (4) print: a fingerprint of the entries that are held: equal sets of seqs have equal ones. Whoever knows as much has
 *      the same entries, once it has all that superseded what it was not sent any more; see node/chase.c.
 *  (5) A replica may be split: what its last boot wrote becomes a replica of its own, see trail.h. That alone lowers
 *      `known`. */
#ifndef QUIPU_COUNT_REPLICAS_H
#define QUIPU_COUNT_REPLICAS_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/trail.h"

#include <stdint.h>

#define REPLICAS_MAX 65535 /* an index fits 16 bits in a keyspace cell */
#define REPLICA_NONE 0u

struct known {
    uint64_t known, durable, nonce, print;
};

struct replicas;

MUST_USE enum err replicas_new(struct replicas **ret_replicas);
void replicas_free(struct replicas *r);

/* Index of id, which is added if it is new. ERR_INVALID for the zero id, ERR_TOO_LONG past REPLICAS_MAX. */
MUST_USE enum err replicas_intern(struct replicas *r, const struct id128 *id, uint32_t *ret_index);
/* REPLICA_NONE if the id was never met. */
uint32_t replicas_find(const struct replicas *r, const struct id128 *id);
/* The zero id for REPLICA_NONE. */
const struct id128 *replicas_id(const struct replicas *r, uint32_t index);
/* One past the highest index. */
uint32_t replicas_count(const struct replicas *r);

const struct known *replicas_known(const struct replicas *r, uint32_t index);
/* Raise only; a lower seq changes nothing. The nonce is taken with a rise of known. */
void replicas_raise_known(struct replicas *r, uint32_t index, uint64_t seq, uint64_t nonce);
/* seq: at most known. */
void replicas_raise_durable(struct replicas *r, uint32_t index, uint64_t seq);

/* An entry of seq `before` is now one of seq `after`; 0: there was none, or is none. */
void replicas_note_entry(struct replicas *r, uint32_t index, uint64_t before, uint64_t after);

/* Which boots wrote what is known, and what was accepted beyond it. Good until ids are added. */
struct trail *replicas_trail(const struct replicas *r, uint32_t index);
/* What the last boot of the trail wrote becomes `to`'s. ERR_NOMEM changes nothing. */
MUST_USE enum err replicas_split_last(struct replicas *r, uint32_t index, uint32_t to);

#endif
