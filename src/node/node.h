/* SPDX-License-Identifier: Apache-2.0 */
/* node: one Quipu node as a state machine. Events and the time go in, actions come out; no socket, file, clock, thread
 * or randomness of its own. The replica thread owns it; workers use the other door (counters.h).
 *
 * Life: node_new, node_recover for each record that the journal hands out, node_start, then node_step for each event.
 *  (1) Actions are to be carried out in the order of the list; an append comes before what relies on it.
 *  (2) Appends are numbered 1, 2, 3 ... without a gap. Append n is commit n: replies gated on commits up to n may leave
 *      when it was written (`async`) or synced (`sync`), which the shell may act on before it tells the node.
 *  (3) Nothing of this node's own is sent before the append that holds it was synced.
 *  (4) A peer's block is shown, and claimed in digests, after the append that holds it was written. */
#ifndef QUIPU_NODE_NODE_H
#define QUIPU_NODE_NODE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/stats.h"
#include "cluster/link.h"
#include "node/counters.h"
#include "node/view.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

struct node_options {
    const char *name, *cluster; /* name is the advertised address, host:port */
    const char *const *seeds;   /* addresses to contact until they answer */
    uint32_t seeds_count;
    uint32_t heartbeat_ms, peer_timeout_ms, backoff_ms_min, backoff_ms_max;
    bool durability_sync;
    uint32_t shards;        /* of the keyspace: a power of two */
    uint64_t snapshot_bytes; /* journal size at which a snapshot is asked for; 0: the default */
    /* Entropy from outside. */
    uint64_t hash_seed, random_seed, nonce; /* nonce: of this boot, not 0 */
    struct id128 replica;                   /* the id to take if the journal holds none */
    struct stats *stats;
};

/* Copies the options. ERR_NOMEM, ERR_INVALID. */
MUST_USE enum err node_new(const struct node_options *options, struct node **ret_node);
void node_free(struct node *n);
struct keyspace *node_keyspace(struct node *n);
const struct replicas *node_replicas(const struct node *n);

/* Kinds of journal records; docs/FORMATS.md has their contents. */
enum record_kind {
    RECORD_IDENTITY = 1, /* which replica this node is */
    RECORD_BOOT = 2,     /* a boot's nonce and the seq it began after */
    RECORD_OWN = 3,      /* a block of own entries */
    RECORD_PEER = 4,     /* a block of another replica's entries */
    RECORD_MEMBERS = 5,  /* members known */
    RECORD_VECTOR = 6,   /* how much of each replica is known */
    RECORD_ENTRIES = 7,  /* a snapshot's block of entries */
};
/* As journal_sink: ERR_CORRUPT for a record this version could not have written, ERR_INVALID when the journal belongs
 * to another cluster, ERR_NOMEM. */
MUST_USE enum err node_recover(void *node, uint8_t kind, struct bytes record);

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
    EVENT_STOP,       /* say goodbye to the peers; ACTION_STOPPED follows when all is durable */
};

struct event {
    uint64_t now_ms;  /* monotonic, never smaller than before */
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
            struct bytes bytes;   /* BYTES */
            uint64_t sent;        /* SENT */
            const char *reason;   /* DOWN: one line for the log, or NULL */
            const char *address;  /* UP, of a link that came in: where from */
        } link;
        struct {
            const char *address;
            bool from_discovery;
        } seed;
    } as;
};

enum action_kind {
    ACTION_APPEND,   /* write these records to the journal as append `number`; sync at once, or soon under async */
    ACTION_ROTATE,   /* journal_rotate, after the appends before it; answer EVENT_ROTATED */
    ACTION_SNAPSHOT, /* write a snapshot that stands before `segment`; `records` go into it first */
    ACTION_CONNECT,  /* dial; the greeting is sent by the shell; answer EVENT_LINK_UP or _DOWN */
    ACTION_SEND,     /* queue these bytes on the link, in order; the shell takes over one hold */
    ACTION_CLOSE,    /* send what is queued within a second, then close */
    ACTION_NOTICE,   /* something that an operator may want to read */
    ACTION_STOPPED,  /* after EVENT_STOP: goodbyes are queued, all is durable */
};

struct record {
    uint8_t kind;
    struct shared *bytes; /* held by the action; whoever carries it out drops it */
    size_t skip;          /* bytes at the front that are not part of the record (a frame head for the wire) */
};

#define NOTICE_LIST(X)                                                                                                 \
    X(STARTED, INFO)       /* node: own name; number: counters recovered; detail: replica id */                        \
    X(PEER_UP, INFO)       /* first heard, or again */                                                                 \
    X(PEER_DOWN, WARN)     /* off the peer list; detail: why */                                                        \
    X(PEER_INDIRECT, WARN) /* off the peer list; others hear it */                                                     \
    X(PEER_LEFT, INFO)                                                                                                 \
    X(MEMBER_NEW, INFO)    /* a member met for the first time; detail: from whom */                                    \
    X(RETRY, INFO)         /* node: address; number: milliseconds to the next attempt; detail: what failed */          \
    X(LINK_REFUSED, WARN)  /* detail: why, as of another cluster or version */                                         \
    X(LINK_BROKEN, WARN)   /* a frame was damaged or not understood; detail: which */                                  \
    X(ROLLBACK, ERROR)     /* a peer knows more of this replica than this node's disk; number: its seq */              \
    X(CLONE, ERROR)        /* another process runs under this node's replica id or name */                             \
    X(PAUSED, WARN)        /* this process stood still; number: for how many milliseconds */                           \
    X(WRITES_REFUSED, ERROR) /* detail: why */                                                                         \
    X(WRITES_TAKEN, INFO)                                                                                              \
    X(SNAPSHOT_FAILED, ERROR)                                                                                          \
    X(CAUGHT_UP, INFO)     /* holds all that its peers had; number: milliseconds since it began */

#define X(name, level) NOTICE_##name,
enum notice_kind { NOTICE_LIST(X) NOTICE_COUNT };
#undef X

struct notice {
    enum notice_kind kind;
    char node[ADDRESS_BYTES_MAX];
    char detail[160];
    uint64_t number;
};

struct action {
    enum action_kind kind;
    union {
        struct {
            uint64_t number, segment; /* segment: of a snapshot */
            struct record *records;   /* owned by the action */
            uint32_t count;
        } append; /* APPEND, SNAPSHOT */
        struct {
            link_id link;
            char address[ADDRESS_BYTES_MAX]; /* CONNECT */
            struct shared *bytes;            /* SEND */
        } link;
        struct notice notice;
    } as;
};

/* Filled by a step; the shell empties it. */
struct actions {
    struct action *items;
    uint32_t count, cap;
};
/* Drops what the actions still hold. */
void actions_clear(struct actions *a);
void actions_release(struct actions *a);
void action_release(struct action *a); /* drops what one action holds */

/* After recovery: makes identity and boot durable (append 1) and begins to look for peers. */
MUST_USE enum err node_start(struct node *n, uint64_t now_ms, uint64_t wall_ms, struct actions *actions);
/* ERR_NOMEM: the event was not taken in full and the process must end (nothing unanswered is lost by that). */
MUST_USE enum err node_step(struct node *n, const struct event *event, struct actions *actions);
/* When the next EVENT_TICK is due. */
uint64_t node_wake_at_ms(const struct node *n);
/* False while so much from peers waits to be written that no more should be read from links. */
bool node_takes_bytes(const struct node *n);

/* Rises whenever the peer list, a member's state, readiness or stopping changed. */
uint64_t node_view_version(const struct node *n);
MUST_USE enum err node_view(const struct node *n, uint64_t now_ms, const struct view **ret_view);

#endif
