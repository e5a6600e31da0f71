/* SPDX-License-Identifier: Apache-2.0 */
/* salvage: what becomes of a node whose journal has a hole. What stands behind a hole is sound, but no claim reaches
 * it:
 *
 *   (1) A block still proves itself: from what is known on, it is joined and claimed. What a damaged snapshot claims is
 *       not believed; its entries are joined, and taken out again at the end where nothing has claimed them since.
 *   (2) Blocks of others that do not follow on are dropped: their owners have them, and so may others.
 *   (3) Unclaimed entries of this node's own may be nowhere else. The node takes a new replica id, and that replica
 *       takes them over (entry_inherit). The old one is a replica like any other from now on, without an owner: what
 *       peers have of it is fetched, and comes to the same beside what was taken over.
 *
 * What was taken over goes out with the first append, beside the new identity. The hole is found again at each start
 * until a snapshot has replaced it, and is judged anew: entries that were taken over have their bases by then, so
 * nothing is taken twice, and an append of which a part got to the disk is completed. The id stays if the journal
 * shows that nothing of it can be missing (a boot behind the last hole began with a seq that is known), and if there
 * is nothing more to take.
 *
 * Only its own replicas, by (3): two nodes that took over the same entry of a third would count it twice. Which they
 * are is said by the records of identity and by own blocks. If all of those were lost too, it may have been any, and
 * all are taken over: that is better than to lose them.
 *
 * A split (fork.c) of what was kept behind a hole cannot be carried out, and under the old id its seqs may be
 * those of another history; so that is dropped.
 * Private to src/node. */
#ifndef QUIPU_NODE_SALVAGE_H
#define QUIPU_NODE_SALVAGE_H

#include "node/commit.h"

#include <stdbool.h>
#include <stdint.h>

/* What a hole in the journal leaves to do, while the node recovers. */
struct salvage {
    bool is_damaged;
    uint64_t holes, moved; /* told of; entries taken over */
    char where[104];       /* the first hole */
    bool own_is_whole;     /* nothing of the last own replica can be missing */
    bool is_unrepaired;    /* until a snapshot has replaced what is damaged */
    uint32_t replica_before;
    uint32_t *former; /* replicas that were this node's own */
    uint32_t former_count, former_cap;
    struct incoming_list aside; /* own blocks behind a hole */
};

struct node;

void salvage_hole(struct node *n, struct bytes where);
MUST_USE enum err salvage_note_own(struct node *n, uint32_t replica);
void salvage_note_boot(struct node *n, const struct id128 *replica, uint64_t seq);
/* Whether this block lies behind a hole; then it is kept or dropped instead of joined. */
bool salvage_takes_block(const struct node *n, const struct incoming *item);
void salvage_forget_split(struct node *n, uint32_t replica, uint64_t fork); /* what was kept of it above the fork */
MUST_USE enum err salvage_keep_block(struct node *n, uint8_t kind, const struct incoming *item);
/* At the start, before anything is made of what was recovered. */
MUST_USE enum err salvage_finish(struct node *n);
void salvage_notice(struct node *n);
void salvage_release(struct node *n);

#endif
