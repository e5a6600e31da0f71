/* SPDX-License-Identifier: Apache-2.0 */
/* entry: one replica's part of one counter. Its invariants:
 *  (1) Only its owner writes it; all others copy it.
 *  (2) seq is given at commit and never given twice, so the higher seq is the newer truth.
 *  (3) net is absolute: applying an entry twice is applying it once.
 *  (4) It outlives its owner: dropping it would change the value.
 *  (5) What must be atomic at a receiver is inside one entry: net, bases, assignment and deadline travel together.
 *
 * Almost every entry is compact: a seq and a net. The rest is in extras, which resets, assignments and deadlines need.
 * Replicas are named by their index in this process's replica table; on disk and wire by their 128-bit id. */
#ifndef QUIPU_COUNT_ENTRY_H
#define QUIPU_COUNT_ENTRY_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* No net, a base's neither, is beyond this: the parts of 65,535 shares then sum up within 128 bits. One client that
 * adds 2^63 and resets, a million times a second, needs four years to get there. */
#define NET_MAX (((int128)1 << 110) - 1)

/* What a reset saw of a share: all of net up to seq is cleared. seq 0: nothing was seen. */
struct base {
    uint64_t seq;
    int128 net;
};

struct replica_base {
    uint32_t replica;
    struct base base;
};

/* A hybrid logical clock reading; time 0 is "never happened". Later time wins, ties by replica id. */
struct stamp {
    uint64_t time;
    uint32_t replica;
};

struct assignment {
    struct stamp stamp;
    bool has_value; /* false: the assignment is "none", as a DEL writes it */
    int64_t value;
};

#define DEADLINE_NEVER UINT64_MAX
struct deadline {
    struct stamp set;
    uint64_t at_ms; /* wall clock, or DEADLINE_NEVER */
};

/* Bases sorted by replica index, each replica at most once. Owned by the extras they are in. */
struct base_list {
    struct replica_base *items;
    uint32_t count;
};

/* Says nothing, and neither travels nor makes a difference: after without a self base, fresh and later without due. */
struct extras {
    uint64_t add_seq;      /* seq of the commit of the last increment */
    bool after;            /* an increment came after the self base */
    struct base self_base; /* seq 0: none */
    struct assignment assigned;
    struct deadline due;
    bool fresh;             /* the share began after due had ended */
    struct base_list bases; /* what this owner's resets saw of other shares */
    struct base_list later; /* the same, holding once due has passed */
};

struct entry {
    uint64_t seq;
    int128 net;
    struct extras *extras; /* NULL: compact, which means add_seq = seq and nothing else */
};

struct share {
    uint32_t replica;
    struct entry entry;
};

void extras_free(struct extras *extras); /* NULL is fine */
/* A deep copy; NULL of NULL. ERR_NOMEM leaves *ret_copy alone. */
MUST_USE enum err extras_copy(const struct extras *extras, struct extras **ret_copy);
/* Equal in what they say. NULL equals only NULL, since what it says hangs on the entry's seq. */
bool extras_equal(const struct extras *a, const struct extras *b);
MUST_USE enum err base_list_copy(const struct base_list *list, struct base_list *ret_copy);
void base_list_sort(struct base_list *list);
/* The item for replica, or NULL. */
struct replica_base *base_list_find(const struct base_list *list, uint32_t replica);

/* --- The algebra over all shares of one counter (DESIGN.md, State; ../shared/model/reset.py is it as a program) ---
 * shares: any order, each replica at most once. Deadlines are carried but not yet judged: no clock is involved. */

struct replicas;
/* Stamps are compared by time, then by the id of the replica, so every node orders them alike. */
bool stamp_is_later(const struct replicas *replicas, struct stamp a, struct stamp b);

/* Of what the others' resets saw of replica's share, the highest by seq; seq 0 if none saw it. */
struct base shares_foreign_base(const struct share *shares, uint32_t count, uint32_t replica);
/* The base that holds for shares[which]: the highest by seq of its self base and all others' bases for it; at equal
 * seq a foreign base beats the self base, since the foreigner saw the whole commit. */
struct base shares_base(const struct share *shares, uint32_t count, uint32_t which, bool *ret_is_foreign);
/* What shares[which] adds to the value: 0 when the base that holds is above its seq, else net - base.net. */
int128 shares_part(const struct share *shares, uint32_t count, uint32_t which);
/* The assignment that holds, "none" before a value at the same stamp; time 0 if there is none. */
struct assignment shares_assigned(const struct replicas *replicas, const struct share *shares, uint32_t count);
/* Sum of the parts, and the assigned value if there is one. */
int128 shares_value(const struct replicas *replicas, const struct share *shares, uint32_t count);
/* A counter exists if the assignment that holds is a value, or some share's add_seq is above the foreign base that
 * holds for it, or its self base holds and `after` is set. */
bool shares_exist(const struct replicas *replicas, const struct share *shares, uint32_t count);

/* Values beyond 64 bits are shown as the nearest bound. */
int64_t value_shown(int128 value);

#endif
