/* SPDX-License-Identifier: Apache-2.0 */
/* worker: a thread with a loop that serves clients. The main thread hands it connections; the journal thread wakes it
 * when replies may leave; it wakes the replica thread when counters changed.
 *
 * Life: worker_new, worker_start, worker_take ..., worker_finish, worker_quit, worker_free. It must outlive the journal
 * thread, which wakes it. */
#ifndef QUIPU_SERVER_WORKER_H
#define QUIPU_SERVER_WORKER_H

#include "base/err.h"
#include "server/connection.h"

struct server;
struct verifier;
struct worker;

struct worker_options {
    const struct service_ops *ops;
    struct server *server;
    struct keyspace *keyspace;
    uint64_t random_seed;
    const struct gate *gate;
    struct gate_waiter *waiter; /* worker_new sets its wake */
    struct traffic *traffic;
    connections_peer *peer;
    void *peer_context;
    void (*dirty)(void *context); /* wakes the replica thread */
    void *dirty_context;
    void (*finished)(void *context); /* called on the worker's thread once worker_finish has closed all connections */
    void *finished_context;
};

MUST_USE enum err worker_new(const struct worker_options *options, struct worker **ret_worker);
MUST_USE enum err worker_start(struct worker *w);
/* After worker_quit, or when it was never started. NULL is fine. */
void worker_free(struct worker *w);

/* --- Any thread, from start to quit --- */
/* Takes over fd, an accepted socket. ERR_NOMEM: the caller still owns it. */
MUST_USE enum err worker_take(struct worker *w, int fd, const struct sockaddr_storage *from);
/* A moment for what was sent already, then no more input; replies get until deadline_ms (of uv_hrtime) to leave. */
void worker_finish(struct worker *w, uint64_t deadline_ms);
/* Ends the thread; all connections that are left are closed. Waits for it. */
void worker_quit(struct worker *w);

const struct stats *worker_stats(const struct worker *w);
/* For service_ops, on the worker's thread, where a session's calls come from. */
uv_loop_t *worker_loop(struct worker *w);
struct server *worker_server(struct worker *w);
struct verifier *worker_verifier(struct worker *w);

#endif
