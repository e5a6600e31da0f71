/* SPDX-License-Identifier: Apache-2.0 */
/* A process around an HTTP session, no socket: real counters; the test sets view, clock and verify. For fuzzing too. */
#ifndef QUIPU_TEST_UNIT_HTTP_FIXTURE_H
#define QUIPU_TEST_UNIT_HTTP_FIXTURE_H

#include "count/keyspace_replica.h"
#include "count/replicas.h"
#include "http/session.h"
#include "test/unit/order_fixture.h"

struct world {
    struct played_orders orders;
    struct service service;
    struct stats stats;
    struct replicas *replicas;
    struct view view;
    struct view_member members[4];
    struct view_replica view_replicas[1];
    char joined[64]; /* what ops->join was asked last */
    verify_done *verify_done;
    void *verify_context;
    uint32_t verifies_cancelled, woken;
    bool verify_at_once; /* done before ops->verify returns */
    struct http_session *session;
    struct buffer pending, out; /* what the session has not consumed; what it answered */
    uint64_t gate;
    bool closed, waits;
};

static inline const struct view *world_view(void *server)
{
    struct world *w = server;
    return view_hold(&w->view);
}

static inline enum err world_join(void *server, struct bytes address)
{
    struct world *w = server;
    if (address.len >= sizeof w->joined || !memchr(address.ptr, ':', address.len)) return ERR_INVALID;
    memcpy(w->joined, address.ptr, address.len);
    w->joined[address.len] = '\0';
    return ERR_OK;
}

static inline void world_info(void *server, struct service_info *ret_info)
{
    (void)server;
    *ret_info = (struct service_info){
        .version = "0.1.0",
        .workers = 2,
        .clients = 3,
        .memory_bytes = 4096,
        .cpu_user_us = 1500000,
        .cpu_system_us = 20,
        .started_at_s = 1700000000,
        .journal_sync_p99_us = 1250,
    };
}

static inline uint64_t world_stat(void *server, enum stats_item stat)
{
    return stats_get(&((struct world *)server)->stats, stat);
}

static const struct verify_result world_verify_result = { { 0xabc, 0xdef }, 7 };

static inline void *world_verify(void *worker, verify_done *done, void *context)
{
    struct world *w = worker;
    w->verify_done = done;
    w->verify_context = context;
    if (w->verify_at_once) done(context, &world_verify_result);
    return w;
}

static inline void world_verify_cancel(void *handle)
{
    ((struct world *)handle)->verifies_cancelled++;
}

static inline uint64_t world_wall_us(void *server)
{
    (void)server;
    return UINT64_C(784111777) * 1000000; /* the date in RFC 9110's example */
}

static inline void world_woken(void *context)
{
    ((struct world *)context)->woken++;
}

static inline void world_init(struct world *w)
{
    static const struct service_ops ops = { world_view,    world_join,   world_info,
                                            world_stat,    world_verify, world_verify_cancel,
                                            world_wall_us, played_order, played_order_cancel };
    static const struct peer_info peer = { .id = 1, .address = "127.0.0.1:5000", .local = "127.0.0.1:8000" };
    *w = (struct world){ 0 };
    REQUIRE(replicas_new(&w->replicas) == ERR_OK);
    struct keyspace_options options = { .shards = 1, .hash_seed = 5, .replicas = w->replicas };
    REQUIRE(keyspace_new(&options, &w->service.keyspace) == ERR_OK);
    uint32_t own;
    struct id128 id = { { 1 } };
    REQUIRE(replicas_intern(w->replicas, &id, &own) == ERR_OK);
    keyspace_set_own(w->service.keyspace, own);
    w->members[0] = (struct view_member){
        .node = "localhost:8000", .address = "127.0.0.1:8000", .state = MEMBER_ALIVE, .is_self = true, .heard = true
    };
    w->members[1] = (struct view_member){ .node = "localhost:8001",
                                          .address = "127.0.0.1:8001",
                                          .state = MEMBER_ALIVE,
                                          .heard = true,
                                          .rtt_us = 1234,
                                          .last_heard_ms = 250,
                                          .lag_entries = 3,
                                          .lag_ms = 40 };
    w->members[2] = (struct view_member){
        .node = "localhost:8002", .address = "127.0.0.1:8002", .state = MEMBER_DOWN, .last_heard_ms = 9000
    };
    w->members[3] = (struct view_member){
        .node = "localhost:8003", .address = "127.0.0.1:8003", .state = MEMBER_ALIVE, .heard = true
    };
    w->view_replicas[0] = (struct view_replica){ .id = id, .known = 9, .durable = 8 };
    w->view = (struct view){ .holders = 1,
                             .node = "localhost:8000",
                             .cluster = "quipu",
                             .replica = id,
                             .ready = true,
                             .members = w->members,
                             .members_count = 4,
                             .replicas = w->view_replicas,
                             .replicas_count = 1 };
    w->service =
        (struct service){ .ops = &ops, .server = w, .worker = w, .keyspace = w->service.keyspace, .stats = &w->stats };
    w->session = http_session_new(&w->service, &peer, world_woken, w);
    REQUIRE(w->session);
}

static inline void world_release(struct world *w)
{
    http_session_free(w->session);
    REQUIRE(w->view.holders == 1); /* every view was given back */
    keyspace_free(w->service.keyspace);
    replicas_free(w->replicas);
    buffer_release(&w->pending);
    buffer_release(&w->out);
}

#endif
