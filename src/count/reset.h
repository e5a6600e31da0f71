/* SPDX-License-Identifier: Apache-2.0 */
/* reset: what an owner does to its own entry: add, observe a reset, take over a foreign base, commit.
 *
 * A change has no seq before its commit, yet a self base names the one it will get. Until then seq_open stands for it:
 * above every seq that a commit has given this entry, not above the one that the next will give, and the same for all
 * changes up to entry_seal. Read with its seq_open, a changed entry is what its own node shows; it never leaves. */
#ifndef QUIPU_COUNT_RESET_H
#define QUIPU_COUNT_RESET_H

#include "count/entry.h"

/* An increment. ERR_RANGE: net would leave NET_MAX, nothing changes. */
MUST_USE enum err entry_add(struct entry *own, uint64_t seq_open, int64_t delta);

/* Clears everything that is in own and in others, and assigns. `due` is the caller's to set; `later` is emptied, since
 * the bases cover it now. others: without own, in any order, as this node knows them. ERR_NOMEM changes nothing. */
MUST_USE enum err entry_observe_reset(struct entry *own, uint64_t seq_open, const struct share *others, uint32_t count,
                                      const struct assignment *assigned);

/* Makes the highest base that others hold for own_replica its self base, if it is not below the present one. That
 * changes neither value nor existence. *ret_changed: the entry is different and wants a commit. ERR_NOMEM changes
 * nothing. */
MUST_USE enum err entry_take_over(struct entry *own, uint64_t seq_open, uint32_t own_replica,
                                  const struct share *others, uint32_t count, bool *ret_changed);

/* Moves a share that was found behind a hole of this node's journal into `own`, whose replica is new: own gets what the
 * share adds, a base that says so, and what the share's resets had observed. `lost` is (replica, entry); `shares` are
 * all that this node has of the counter, own among them and without `lost` itself, though an older version may be
 * there.
 *
 * With the base for (seq, net) of `lost`, whatever anybody holds of that replica comes to the same: a version up to seq
 * counts 0 beside it, a newer one what it has more. If a base up to that seq is known already the share was moved
 * before, or a reset has cleared it, and nothing is added: so the same share can be moved any number of times, and of
 * several versions the newest is to be moved first (it knows of the share's own resets).
 * That holds as long as only one replica moves it, which is why a node does so with its own former shares only: of two
 * bases for one share the higher counts, yet both amounts would.
 *
 * Observations (bases, assignment, deadline) are taken over where they are later than what is known. Two things are
 * not kept: a counter that had been deleted may be there again, with the value 0; and what a reset had observed of the
 * share, one elsewhere or in a version of it that was lost, counts again if this node does not know of that reset.
 *
 * *ret_changed: own is different. ERR_RANGE: net would leave NET_MAX. After an error nothing has changed. */
MUST_USE enum err entry_inherit(struct entry *own, uint32_t own_replica, const struct replicas *replicas,
                                const struct share *lost, const struct share *shares, uint32_t count,
                                bool *ret_changed);

/* The commit's seq takes the place of seq_open. Only for an entry that was changed since the last seal. */
void entry_seal(struct entry *own, uint64_t seq_open, uint64_t seq);

#endif
