/* SPDX-License-Identifier: Apache-2.0 */
/* event: what can happen to a node. Views and texts in an event are good for the call. */
#ifndef QUIPU_NODE_EVENT_H
#define QUIPU_NODE_EVENT_H

#include "base/bytes.h"
#include "base/err.h"
#include "cluster/link.h"
#include "node/order.h"

#include <stdbool.h>
#include <stdint.h>

enum event_kind {
    EVENT_TICK,       /* the time asked for by node_wake_at_ms has come, or any time */
    EVENT_DIRTY,      /* a worker changed a counter */
    EVENT_WRITTEN,    /* all appends up to `append` are in the journal file */
    EVENT_SYNCED,     /* ... and on disk */
    EVENT_JOURNAL,    /* how the journal is: full or not, and its sizes; also after each write */
    EVENT_ROTATED,    /* the segment asked for by ACTION_ROTATE begins with the next append */
    EVENT_SNAPSHOT,   /* the snapshot asked for has ended, well or not */
    EVENT_LINK_UP,    /* a dialled link is connected, or a link came in (its greeting read and removed) */
    EVENT_LINK_BYTES, /* bytes came; views are good for the call */
    EVENT_LINK_SENT,  /* `bytes` of what was to be sent have left this process */
    EVENT_LINK_DOWN,  /* the end of a link */
    EVENT_SEED,       /* an address to contact: from a command, or found by discovery */
    EVENT_ORDER,      /* of a person; ACTION_ORDERED follows, at once or later */
    EVENT_STOP,       /* say goodbye to the peers; ACTION_STOPPED follows when all is durable */
};

struct event {
    uint64_t now_ms;  /* monotonic, never smaller than before */
    uint64_t now_us;  /* the same clock, for round-trip times only */
    uint64_t wall_ms; /* since 1970; orders nothing but SETs and deadlines */
    enum event_kind kind;
    union {
        struct {
            uint64_t append;
        } done; /* WRITTEN, SYNCED */
        struct {
            bool full;
            uint64_t bytes, snapshot_bytes;
        } journal;
        struct {
            uint64_t segment;
        } rotated;
        struct {
            enum err result;
        } snapshot;
        struct {
            link_id link;
            struct bytes bytes;  /* BYTES */
            uint64_t sent;       /* SENT */
            const char *reason;  /* DOWN: one line for the log, or NULL */
            const char *address; /* UP, of a link that came in: where from */
        } link;
        struct {
            const char *address;
            bool from_discovery;
        } seed;
        struct {
            enum order_kind kind;
            uint64_t ticket;   /* comes back with the result */
            struct bytes name; /* FORGET: of the member */
        } order;
    } as;
};

#endif
