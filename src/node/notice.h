/* SPDX-License-Identifier: Apache-2.0 */
/* notice: something that an operator may want to read. The core does not log: the shell words it and decides who hears.
 */
#ifndef QUIPU_NODE_NOTICE_H
#define QUIPU_NODE_NOTICE_H

#include "cluster/link.h"

#include <stdint.h>

/* kind, level */
#define NOTICE_LIST(X)                                                                                                 \
    X(STARTED, INFO)         /* node: own name; number: counters recovered; detail: replica id */                      \
    X(PEER_UP, INFO)         /* first heard, or again */                                                               \
    X(PEER_DOWN, WARN)       /* off the peer list; detail: why */                                                      \
    X(PEER_INDIRECT, WARN)   /* off the peer list; others hear it */                                                   \
    X(PEER_LEFT, INFO)       /* no member any more; detail: who said so */                                             \
    X(MEMBER_NEW, INFO)      /* a member met for the first time, or after it had left; detail: from whom */            \
    X(RETRY, INFO)           /* node: address; number: milliseconds to the next attempt; detail: what failed */        \
    X(LINK_REFUSED, WARN)    /* detail: why, as of another cluster or version */                                       \
    X(LINK_BROKEN, WARN)     /* a frame was damaged or not understood; detail: which */                                \
    X(ROLLBACK, ERROR)       /* this disk went back in time or was copied; number: the last seq that is shared; detail: */ \
                             /* old and new replica id */                                                              \
    X(SPLIT, WARN)           /* another node's replica has two histories, told apart now; as above */                  \
    X(HISTORIES, ERROR)      /* ... that cannot be told apart; node: who has the other one; detail: replica id */      \
    X(CLONE, ERROR)          /* another process runs under this node's replica id or name */                           \
    X(PAUSED, WARN)          /* this process stood still; number: for how many milliseconds */                         \
    X(WRITES_REFUSED, ERROR) /* detail: why */                                                                         \
    X(WRITES_TAKEN, INFO)                                                                                              \
    X(LEAVING, INFO)      /* this node is to leave: writes are refused until its peers have all of it */               \
    X(LEAVE_FAILED, WARN) /* detail: why; writes are taken again */                                                    \
    X(DAMAGED, ERROR)     /* the journal had holes; number: how many; detail: the first, and what the replica is */    \
    X(SNAPSHOT_FAILED, ERROR)                                                                                          \
    X(CAUGHT_UP, INFO) /* holds all that its peers had; number: milliseconds since it began */

#define X(name, level) NOTICE_##name,
enum notice_kind { NOTICE_LIST(X) NOTICE_COUNT };
#undef X

struct notice {
    enum notice_kind kind;
    char node[ADDRESS_BYTES_MAX];
    char detail[160];
    uint64_t number;
};

#endif
