/* SPDX-License-Identifier: Apache-2.0 */
/* service: what a client's session can ask of the process it lives in, and what it hands back. resp and http are
 * written against this; server implements it, and so can a test without sockets. */
#ifndef QUIPU_NODE_SERVICE_H
#define QUIPU_NODE_SERVICE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/stats.h"
#include "node/counters.h"
#include "node/order.h"
#include "node/view.h"

#include <stdbool.h>
#include <stdint.h>

/* For INFO, CONFIG GET and metrics. Texts live as long as the service. */
struct service_info {
    const char *version; /* of Quipu: "0.1.0" */
    uint64_t pid, port, uptime_ms, started_at_s, workers;
    uint64_t clients;      /* connected now */
    uint64_t memory_bytes; /* resident */
    uint64_t cpu_user_us, cpu_system_us;
    uint64_t journal_bytes, snapshot_bytes;
    bool durability_sync, data_dir_none;
    uint64_t journal_sync_p99_us;
};

/* The answer to verify: a digest over names and values as shown, equal on converged nodes. */
struct verify_result {
    uint64_t digest[2], counters;
};
typedef void verify_done(void *context, const struct verify_result *result);

typedef void order_done(void *context, enum order_result result);

struct service_ops {
    /* The view of this moment; give it back with view_drop. Never NULL. */
    const struct view *(*view)(void *server);
    /* Asks the node to contact host:port; answers at once. ERR_INVALID: not an address. */
    enum err (*join)(void *server, struct bytes address);
    void (*info)(void *server, struct service_info *ret_info);
    /* Sum over all threads. */
    uint64_t (*stat)(void *server, enum stats_item stat);
    /* Walks all counters away from the loops and calls done on the caller's own loop, unless the returned handle was
     * cancelled before. NULL: no memory. */
    void *(*verify)(void *worker, verify_done *done, void *context);
    void (*verify_cancel)(void *handle);
    /* Wall clock, microseconds since 1970. */
    uint64_t (*wall_us)(void *server);
    /* Gives the node an order and calls done as verify does; a cancelled order is carried out all the same. name: of
     * the member to forget, empty for others. NULL: no memory. */
    void *(*order)(void *worker, enum order_kind kind, struct bytes name, order_done *done, void *context);
    void (*order_cancel)(void *handle);
};

/* One per worker. */
struct service {
    const struct service_ops *ops;
    void *server, *worker;
    struct keyspace *keyspace;
    struct stats *stats;
    struct random *random;
};

/* Who is at the other end. */
struct peer_info {
    uint64_t id;           /* of the connection, rising from 1 */
    char address[64];      /* ip:port */
    char local[64];        /* the end on this side */
    uint64_t connected_ms; /* wall clock */
};

/* What a session did with its input. */
struct session_result {
    size_t consumed; /* bytes of input that are done with; the rest is shown again with more behind it */
    uint64_t gate;   /* highest commit that the replies appended to `out` in this call must wait for; 0: none */
    bool close;      /* send what is in `out`, then close; input is not looked at any more */
    bool wait;       /* an answer is under way elsewhere: no more input until the session calls its wake function */
};

#endif
