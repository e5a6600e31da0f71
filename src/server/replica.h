/* SPDX-License-Identifier: Apache-2.0 */
/* replica: the thread that owns `struct node`: commits, peers, membership. Whatever others have for it goes through its
 * inbox; what the node wants done goes to the links (same thread), the keeper (its jobs), and the log.
 *
 * Who wakes whom:
 *   worker  --dirty-->  replica  --append-->  keeper  --gate-->  workers
 *                       replica <--progress-- keeper
 * `dirty` is one flag: a worker that finds it set need do nothing, because the replica thread takes it down before it
 * looks at the keyspace; both use read-modify-writes, so what was done before it was found set is seen after it was
 * taken down. */
#ifndef QUIPU_SERVER_REPLICA_H
#define QUIPU_SERVER_REPLICA_H

#include "node/node.h"
#include "server/keeper.h"

struct replica;

struct replica_options {
    struct node *node; /* recovered, not started; the replica thread's from replica_start to replica_quit */
    uint64_t random_seed;
    /* On the replica's thread. */
    void (*stopped)(void *context); /* all is durable, the peers know, links are closed; also when the node left */
    void (*ended)(void *context);   /* the thread is about to end */
    void *context;
};

MUST_USE enum err replica_new(const struct replica_options *options, struct replica **ret_replica);
/* Before replica_start; the keeper must run already by then. */
void replica_set_keeper(struct replica *r, struct keeper *keeper);
/* Starts the node, then the thread: once this has returned, workers may use the keyspace. */
MUST_USE enum err replica_start(struct replica *r);
/* After replica_quit, or when it was never started. NULL is fine. */
void replica_free(struct replica *r);

/* --- Any thread, from start to quit --- */

/* Some counter has changes that no commit has taken. Takes a struct replica. */
void replica_note_dirty(void *replica);
/* Takes a struct replica and what the keeper reports. */
void replica_note_progress(void *replica, const struct keeper_progress *progress);
/* A peer that connected; takes over fd. */
void replica_take_peer(void *replica, int fd, struct bytes first, const char *address);
/* ERR_NOMEM. */
MUST_USE enum err replica_seed(struct replica *r, const char *address, bool from_discovery);
/* An order for the node. Exactly one call of done follows, on the replica's thread, before that ends. ERR_NOMEM: none
 * will. A name that is no member's is fine. */
typedef void replica_ordered(void *context, enum order_result result);
MUST_USE enum err replica_order(struct replica *r, enum order_kind kind, struct bytes name, replica_ordered *done,
                                void *context);
/* Refuses writes from now on. */
void replica_refuse_writes(struct replica *r);
/* Says goodbye and makes all durable; `stopped` is called. */
void replica_stop(struct replica *r);
/* Ends the thread. replica_join waits for it. */
void replica_quit(struct replica *r);
void replica_join(struct replica *r);

/* The view of this moment, held for the caller. */
const struct view *replica_view(struct replica *r);
/* Any other thread, which waits: from now on replica_view gives nothing older than this call. */
void replica_refresh_view(struct replica *r);

#endif
