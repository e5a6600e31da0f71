/* SPDX-License-Identifier: Apache-2.0 */
/* keyspace, the replica thread's side: commits go out, foreign entries come in, replicas are split. Nobody else calls
 * this; keyspace.h has the invariants. */
#ifndef QUIPU_COUNT_KEYSPACE_REPLICA_H
#define QUIPU_COUNT_KEYSPACE_REPLICA_H

#include "count/block.h"
#include "count/keyspace.h"

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
/* Takes everything that the replica's entries got above fork off them and makes it `to`'s: an entry of seq q above
 * fork, which was (p, net) when the fork's boot began, becomes that again, and `to` gets (q, what net rose by). No
 * value changes. Of the own replica: only while writes are refused and nothing is pending or on its way, and
 * keyspace_set_own is to follow. ERR_NOMEM: a part is done, and the same call goes on with it. */
MUST_USE enum err keyspace_split(struct keyspace *k, uint32_t replica, uint64_t fork, uint32_t to);

/* Writes the cell's durable entry of `replica` to the block if its seq is exactly `seq`, or the older version of it
 * that is kept and has that seq: who is to know the replica up to there needs it as well, should the boots since be
 * split off. False if it has moved on. */
bool keyspace_put_entry(struct keyspace *k, cell_ref cell, uint32_t replica, uint64_t seq, struct block_writer *block);

#endif
