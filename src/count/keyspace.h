/* SPDX-License-Identifier: Apache-2.0 */
/* keyspace: all counters of this node, in shards that workers and the replica thread share.
 *
 * A counter's entry of this node's own replica is {seq, net_durable, pending}: workers add to pending and put the
 * counter on its shard's dirty list; the replica thread takes the lists for a commit, which gives out sequence
 * numbers, and publishes seq and net once the commit is durable. Invariants:
 *  (1) Only (seq, net_durable) ever leaves the node; a seq is never given to a value that is not in a commit's block.
 *  (2) A read shows durable and pending together: the node's own writes at once.
 *  (3) A counter is on its shard's dirty list at most once, and on it whenever it has a change that no commit has
 *      taken.
 *  (4) A shard knows, under its lock, the number of the commit that will take its dirty list. That number, or the one
 *      of the commit that has taken the change and is not on disk yet, is what `commit` in a result says. It always
 *      comes.
 *  (5) Several commits may be under way; they are published in order.
 * A counter never moves: a cell reference stays good for the life of the process.
 * Any thread may call what is here; what only the replica thread may is in keyspace_replica.h. */
#ifndef QUIPU_COUNT_KEYSPACE_H
#define QUIPU_COUNT_KEYSPACE_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/block.h"
#include "count/entry.h"

#include <stdbool.h>
#include <stdint.h>

struct keyspace;
struct replicas;

struct keyspace_options {
    uint32_t shards;           /* a power of two, 1 to 65,536 */
    uint64_t hash_seed;        /* secret, so that nobody can choose names that collide */
    struct replicas *replicas; /* outlives the keyspace */
};

MUST_USE enum err keyspace_new(const struct keyspace_options *options, struct keyspace **ret_keyspace);
void keyspace_free(struct keyspace *k);

uint64_t keyspace_hash(const struct keyspace *k, struct bytes name);
/* Start loading what an operation on this hash will touch; hints only. For a batch: the first for each of its hashes,
 * then the second for each, then the third, then the operations. The first takes no lock; the others take the shard's
 * for a moment, to read what the one before has loaded: the table's slot, the cell, a long name and the open record. */
void keyspace_prefetch(const struct keyspace *k, uint64_t hash);
void keyspace_prefetch_cell(const struct keyspace *k, uint64_t hash);
void keyspace_prefetch_rest(const struct keyspace *k, uint64_t hash);

/* What an operation saw. commit: the reply must not leave before this commit was written or synced; 0 if it need not
 * wait. */
struct seen {
    int64_t value;
    bool exists;
    uint64_t commit;
};

/* Adds delta to this node's own share and shows the value after it; makes the counter if there is none, also with a
 * delta of 0.
 * ERR_RANGE: the value shown would leave 64 bits; nothing changes, ret_seen holds the value as it is.
 * ERR_FULL, ERR_FENCED, ERR_CLOSED: writes are refused. ERR_NOMEM. ERR_INVALID: name empty or over NAME_BYTES_MAX. */
MUST_USE enum err keyspace_add(struct keyspace *k, uint64_t hash, struct bytes name, int64_t delta,
                               struct seen *ret_seen);
void keyspace_get(struct keyspace *k, uint64_t hash, struct bytes name, struct seen *ret_seen);
/* Counters that exist. */
uint64_t keyspace_count(const struct keyspace *k);
/* Bytes held for counters, as the allocator was asked. */
uint64_t keyspace_bytes(const struct keyspace *k);
/* From now on writes end with this error; ERR_OK takes them again. */
void keyspace_refuse_writes(struct keyspace *k, enum err reason);
MUST_USE enum err keyspace_writes_refused(const struct keyspace *k);
/* True if some dirty list may not be empty. */
bool keyspace_is_dirty(const struct keyspace *k);

/* Where a counter is: shard and cell. */
typedef uint64_t cell_ref;

/* A slow pass over everything, in slices, while others go on. Each counter that is there throughout is visited exactly
 * once. The visitor runs under the shard's lock: it must be brief and must not call the keyspace.
 * shares: durable entries only, any order; value and exists: as a read would show them. */
struct walk {
    uint32_t shard, cell;
};
struct visit {
    struct bytes name;
    cell_ref cell;
    const struct share *shares;
    uint32_t count; /* 0 when nothing of the counter is durable yet */
    int64_t value;
    bool exists;
    const struct older *older;
};
typedef void keyspace_visitor(void *context, const struct visit *visit);
/* Visits at most cells_max cells from *walk (start with zeroes) on. False when the end was reached. */
MUST_USE bool keyspace_walk(struct keyspace *k, struct walk *walk, uint32_t cells_max, keyspace_visitor *visitor,
                            void *context);

/* In a visit: the versions of a share's entry that are kept beside it (keyspace_older.h), falling in seq; their extras
 * stay where they are. Returns how many. */
uint32_t visit_older(const struct visit *visit, const struct share *share, struct entry ret_older[BLOCK_OLDER_MAX]);

#endif
