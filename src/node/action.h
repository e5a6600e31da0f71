/* SPDX-License-Identifier: Apache-2.0 */
/* action: what a node wants done, in the order of the list. */
#ifndef QUIPU_NODE_ACTION_H
#define QUIPU_NODE_ACTION_H

#include "base/bytes.h"
#include "cluster/link.h"
#include "node/notice.h"
#include "node/order.h"

#include <stdint.h>

/* Kinds of journal records; docs/FORMATS.md has their contents. */
enum record_kind {
    RECORD_IDENTITY = 1, /* which replica this node is */
    RECORD_BOOT = 2,     /* a boot's nonce and the seq it began after */
    RECORD_OWN = 3,      /* a block of own entries */
    RECORD_PEER = 4,     /* a block of another replica's entries */
    RECORD_MEMBERS = 5,  /* members known */
    RECORD_VECTOR = 6,   /* how much of each replica is known */
    RECORD_ENTRIES = 7,  /* a snapshot's block of entries */
    RECORD_TRAILS = 8,   /* which boots wrote what is known */
    RECORD_SPLIT = 9,    /* a replica was split at a fork */
    RECORD_PLEDGES = 10, /* boots that are not to be split off */
};
enum action_kind {
    ACTION_APPEND,   /* write these records to the journal as append `number`; sync at once, or soon under async */
    ACTION_ROTATE,   /* journal_rotate, after the appends before it; answer EVENT_ROTATED */
    ACTION_SNAPSHOT, /* write a snapshot that stands before `segment`; `records` go into it first */
    ACTION_CONNECT,  /* dial; the greeting is sent by the shell; answer EVENT_LINK_UP or _DOWN */
    ACTION_SEND,     /* queue these bytes on the link, in order; the shell takes over one hold */
    ACTION_CLOSE,    /* send what is queued within a second, then close */
    ACTION_NOTICE,   /* something that an operator may want to read */
    ACTION_ORDERED,  /* what came of the EVENT_ORDER of this ticket; exactly one for each */
    ACTION_STOPPED,  /* after EVENT_STOP, or once this node has left: goodbyes are queued, all is durable */
};

struct record {
    uint8_t kind;
    struct shared *bytes; /* held by the action; whoever carries it out drops it */
    size_t skip;          /* bytes at the front that are not part of the record (a frame head for the wire) */
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
        struct {
            uint64_t ticket;
            enum order_result result;
        } ordered;
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

#endif
