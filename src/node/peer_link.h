/* SPDX-License-Identifier: Apache-2.0 */
/* peer_link: a link as the node keeps it, from the first byte to the last. Private to src/node. */
#ifndef QUIPU_NODE_PEER_LINK_H
#define QUIPU_NODE_PEER_LINK_H

#include "cluster/digest.h"
#include "cluster/link.h"
#include "cluster/sweep.h"

#include <stdbool.h>
#include <stdint.h>

enum link_stage {
    LINK_DIALLING, /* not connected yet */
    LINK_OPENING,  /* connected; HELLO has not come */
    LINK_TALKING,  /* the member's one link */
    LINK_CLOSING,  /* nothing is read or sent any more; the down event is to come */
};

/* A replica that this link's peer asked for, served from recent places up to what is known. */
struct serving {
    uint32_t replica;
    uint64_t cursor;
};

struct peer_link {
    link_id id;
    enum link_stage stage;
    bool dialled, to_self, to_copy, tell_due, sweep_more, rollback_told;
    uint32_t member;
    char remote[ADDRESS_BYTES_MAX]; /* dialled address, or where it came from */
    char why[160];                  /* why this side closed it */
    uint64_t nonce;                 /* of the peer's boot */
    uint64_t opened_ms, talking_ms, heard_ms, ping_ms, told_ms, fresh_ms, rtt_us;
    uint64_t outstanding; /* bytes handed out and not yet gone */
    struct buffer input;  /* the front part of a frame whose rest has not come */
    struct digest digest;
    uint64_t members_told; /* changes of members up to this one were told, */
    uint64_t members_ms;   /* ... last at this time */
    uint64_t sweep_own_to; /* where the cursor is once a sweep of own entries has gone out */
    uint64_t cursor;       /* own entries up to this seq were sent; reset from the peer's digest and wants */
    struct serving *serving;
    struct sweep *sweep;
    struct sweep_want *sweep_wants; /* for the next sweep */
    uint32_t serving_count, serving_cap, wants_count, wants_cap;
};

#endif
