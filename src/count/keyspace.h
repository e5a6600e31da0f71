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
 * A counter never moves: a cell reference stays good for the life of the process. */
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

/* ---- Any thread ---- */

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

/* ---- The replica thread only ---- */

/* Which replica the entries of this node belong to; set before the first keyspace_add, and by a split. */
void keyspace_set_own(struct keyspace *k, uint32_t replica);

/* One commit's changes, kept until they are published. Zero-initialised is empty. */
struct batch_item {
    cell_ref cell;
    uint64_t seq;
    int128 net;
};
struct batch {
    struct batch_item *items;
    uint32_t count, cap;
    size_t block_bytes_max; /* from the caller: about how long a block may get; 0: any length */
    size_t *blocks;         /* where in the buffer the second block begins, the third ... */
    uint32_t blocks_count, blocks_cap;
};
void batch_release(struct batch *b);

/* Takes all dirty lists for commit number `commit` (the first is 1, then one above the last), gives seqs from
 * seq_first on, writes each entry to the block and its seq and net to the batch. Afterwards every shard's number is
 * commit + 1. The block writer was begun with from = seq_first - 1; nothing dirty leaves batch and block empty.
 *
 * Invariant (4) does not let a commit leave anything for the next one: a reply that was told the number of this commit
 * would go before its change is on disk. So a commit has no size bound, and what is bounded is a block. When the one
 * being written has reached batch->block_bytes_max, it is ended before the next shard and another begun behind it in
 * the same buffer; all are deltas that join without a gap, and all must be in the journal before the commit is
 * complete. A block is longer than the bound by the list of one shard at most; the writer is left in the last one.
 *
 * ERR_NOMEM: a part may be in batch and block, whole and sound; the commit is complete, and may be answered, only after
 * another call with the very same arguments has returned OK. */
struct block_writer;
MUST_USE enum err keyspace_take(struct keyspace *k, uint64_t commit, uint64_t seq_first, struct batch *batch,
                                struct block_writer *block);
/* The batch's commit is durable: its seqs and nets become what leaves the node. In the order of commits. */
void keyspace_publish(struct keyspace *k, const struct batch *batch);

/* Takes in an entry that is in this node's journal. The higher seq wins, so order and repeats change nothing. The
 * keyspace takes over entry->extras, also when the entry was old. An entry of the own replica is taken in at recovery
 * only. ERR_NOMEM: nothing changed and the extras are the caller's. *ret_cell is where the counter is. */
MUST_USE enum err keyspace_join(struct keyspace *k, uint32_t replica, uint64_t hash, struct bytes name,
                                struct entry *entry, cell_ref *ret_cell);
/* The same with the older versions that came along, falling in seq, which take the place of those kept so far. They
 * too are taken over, and zeroed. */
MUST_USE enum err keyspace_join_older(struct keyspace *k, uint32_t replica, uint64_t hash, struct bytes name,
                                      struct entry *entry, struct entry *older, uint32_t older_count,
                                      cell_ref *ret_cell);

/* The replica's boots from this trail on are loose no more: drops the older versions that are of no use now. */
void keyspace_prune(struct keyspace *k, uint32_t replica);
/* Takes everything that the replica's entries got above fork off them and makes it `to`'s: an entry of seq q above fork,
 * which was (p, net) when the fork's boot began, becomes that again, and `to` gets (q, what net rose by). No value
 * changes. Of the own replica: only while writes are refused and nothing is pending or on its way, and
 * keyspace_set_own is to follow. ERR_NOMEM: a part is done, and the same call goes on with it. */
MUST_USE enum err keyspace_split(struct keyspace *k, uint32_t replica, uint64_t fork, uint32_t to);

/* Writes the cell's durable entry of `replica` to the block if its seq is exactly `seq`, or the older version of it that
 * is kept and has that seq: who is to know the replica up to there needs it as well, should the boots since be split off.
 * False if it has moved on. */
bool keyspace_put_entry(struct keyspace *k, cell_ref cell, uint32_t replica, uint64_t seq, struct block_writer *block);

#endif
