/* SPDX-License-Identifier: Apache-2.0 */
/* internal: struct node and what its files share. Not for anybody outside src/node.
 *
 *   node.c      the door: new, free, step, wake          identity.c  recovery, start, records of what the node is
 *   commit.c    appends, publishing, snapshots           peering.c   links, handshake, frames to their handlers
 *   gossip.c    digests, wants, blocks that come in      lanes.c     what goes out on a link, and when
 *   fork.c      two histories of one replica             chase.c     what is missing, and whom to ask
 *   roster.c    members: dialling, heartbeats, verdicts  view.c      the picture for workers
 *   orders.c    forget and leave
 *   salvage.c   a journal with a hole
 *
 * Running out of memory anywhere sets `failed`, and the step ends with ERR_NOMEM: half-done work of a node that is
 * about to end does not matter, since nothing that was not appended has been answered. */
#ifndef QUIPU_NODE_INTERNAL_H
#define QUIPU_NODE_INTERNAL_H

#include "base/random.h"
#include "cluster/frame.h"
#include "cluster/membership.h"
#include "cluster/message.h"
#include "cluster/recent.h"
#include "count/block.h"
#include "count/replicas.h"
#include "node/commit.h"
#include "node/node.h"
#include "node/orders.h"
#include "node/peer_link.h"
#include "node/replica_sync.h"
#include "node/roster.h"
#include "node/salvage.h"

#define LINK_WINDOW_BYTES (128u << 10) /* bulk waits while more than this has not left the process */
#define PACE_MS 10u                    /* a busy link gets at most one fresh block and one digest in this time */
/* Larger entries of peers are refused. A block is cut after the entry that reaches the goal, so whatever came in can go
 * out again in one frame. */
#define PEER_ENTRY_BYTES_MAX (1u << 20)
/* A commit's block that reaches this is followed by another: a record of the journal has an end, a commit has none. */
#define COMMIT_BLOCK_BYTES_MAX (32u << 20)
#define GOSSIP_MS 1000u
#define GOSSIP_JITTER_PERCENT 20u
#define INCOMING_BYTES_MAX (16u << 20) /* more than this unwritten from peers: links are not read */
#define READY_AFTER_MS 10000u
#define SNAPSHOT_BYTES_DEFAULT (16u << 20)
#define HANDSHAKES_MAX 128u
#define HANDSHAKE_BYTES_MAX 4096u           /* of a frame from somebody who has not said who it is */
#define LINK_ANSWERS_BYTES_MAX (256u << 10) /* with more than this unread a peer's questions are not answered */
#define LINK_UNREAD_BYTES_MAX (16u << 20)   /* with more than this unread the link ends */

struct node {
    char name[ADDRESS_BYTES_MAX], cluster[CLUSTER_BYTES_MAX + 1];
    uint32_t heartbeat_ms;
    bool durability_sync, started, failed, fenced, ready, stopping, stopped;
    bool identity_recovered, journal_full;
    bool pledges_due;              /* some are to be written */
    bool splits_due, commits_held; /* no commit may begin */
    bool identity_changed;         /* to be written to the journal */
    bool members_changed;          /* to be written to the journal */
    struct orders orders;
    uint64_t snapshot_bytes, journal_bytes, journal_snapshot_bytes;
    struct stats *stats;
    struct random random;
    struct replicas *replicas;
    struct keyspace *keyspace;
    struct id128 replica_offered;
    uint32_t own;
    uint64_t own_seq, nonce;    /* seq given last */
    uint64_t append_seq;        /* seq given last before the newest append */
    uint64_t boot_start;        /* seq after which this boot began */
    uint64_t unpledged_to;      /* own entries up to this seq left before the pledge was made */
    uint64_t own_recovered;     /* the highest seq that a recovered block of own entries goes to */
    struct replica_sync *syncs; /* by replica index */
    uint32_t syncs_count;
    struct membership members;
    struct peer_link **links;
    uint32_t links_count, links_cap;
    link_id link_last; /* odd ones */
    struct commits commits;
    struct incoming_list incoming; /* for the next append */
    struct fresh fresh;
    struct salvage salvage;
    uint64_t now_ms, now_us, wall_ms, started_ms, tick_ms, gossip_at_ms, stop_by_ms, pause_ms_max;
    uint64_t pump_at_ms;   /* not before this, a link may want to send without anything having come on it */
    uint64_t told_as_seen; /* of members.told_as: links were looked through for it */
    uint64_t member_wake_ms, member_wake_version; /* when members are to be looked after; as of members.version */
    bool caught_up;
    uint64_t view_version, members_version_seen;
    struct actions *actions; /* of the step under way */
};

/* actions.c */
struct action *node_act(struct node *n, enum action_kind kind); /* NULL: no memory, `failed` is set */
void node_notice(struct node *n, enum notice_kind kind, const char *node, uint64_t number, const char *detail);
void node_send(struct node *n, struct peer_link *l, struct shared *frame); /* takes over one hold; NULL: no memory */
void node_send_body(struct node *n, struct peer_link *l, enum frame_kind kind, struct buffer *body); /* empties it */
/* False for a peer that asks and does not read: more answers would only pile up here. */
bool node_may_answer(const struct peer_link *l);
void node_fail(struct node *n, enum err err); /* ERR_OK is fine; ERR_NOMEM is remembered; else broken logic */

/* identity.c */
struct record identity_pledges_record(struct node *n, uint64_t append);
struct record identity_split_record(struct node *n, uint32_t replica, uint64_t fork, uint64_t nonce);
void identity_records(struct node *n, struct record *records, uint32_t *count, bool with_vector);
#define IDENTITY_RECORDS_MAX 5u
void record_from(struct node *n, uint8_t kind, struct buffer *body, struct record *ret_record);

/* commit.c */
void commit_begin(struct node *n); /* if there is something to append and it may */
void commit_written(struct node *n, uint64_t append);
void commit_synced(struct node *n, uint64_t append);
void commit_judge_writes(struct node *n);
MUST_USE enum err commit_hold_split(struct node *n, uint32_t replica, uint64_t fork, uint64_t nonce);
void commit_journal(struct node *n, const struct event *event);
void commit_rotated(struct node *n, uint64_t segment);
void commit_snapshot_ended(struct node *n, enum err result);
void commits_release(struct node *n);
void incoming_release(struct incoming_list *list);
MUST_USE enum err incoming_add(struct incoming_list *list, const struct incoming *item);

/* lanes.c */
void lanes_pump(struct node *n, struct peer_link *l);
void lanes_serve(struct node *n, struct peer_link *l, uint32_t replica, uint64_t from);
uint64_t lanes_wake_at_ms(const struct node *n, const struct peer_link *l);
void lanes_release(struct peer_link *l);

/* peering.c */
struct peer_link *link_find(struct node *n, link_id id);
void link_up(struct node *n, link_id id, const char *address);
void link_bytes(struct node *n, struct peer_link *l, struct bytes bytes);
void link_down(struct node *n, struct peer_link *l, const char *reason);
void link_close(struct node *n, struct peer_link *l, const char *why);
void link_broken(struct node *n, struct peer_link *l, const char *what);
void link_dial(struct node *n, struct contact *c);
const char *link_name(const struct node *n, const struct peer_link *l);

/* node.c */
void node_stop(struct node *n); /* goodbye follows when all is durable */

#endif
