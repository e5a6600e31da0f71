/* SPDX-License-Identifier: Apache-2.0 */
/* A client's session on a real keyspace, with the rest of the server played: fixed times, a fixed view of the cluster.
 * Needs no test library, so that the fuzz target and the benchmark use it too. */
#ifndef QUIPU_TEST_UNIT_RESP_FIXTURE_H
#define QUIPU_TEST_UNIT_RESP_FIXTURE_H

#include "count/replicas.h"
#include "resp/session.h"
#include "test/unit/order_fixture.h"

#include <string.h>

struct resp_fixture {
    struct played_orders orders;
    struct replicas *replicas;
    struct stats stats;
    struct service service;
    struct peer_info peer;
    struct view_member members[3];
    struct view view;
    char joined[64]; /* the last address that was to be joined */
};

static const struct view *fixture_view(void *server)
{
    struct resp_fixture *f = server;
    return view_hold(&f->view);
}

static enum err fixture_join(void *server, struct bytes address)
{
    struct resp_fixture *f = server;
    bool has_port = address.len > 0 && address.len < sizeof f->joined && memchr(address.ptr, ':', address.len);
    if (!has_port) return ERR_INVALID;
    memcpy(f->joined, address.ptr, address.len);
    f->joined[address.len] = 0;
    return ERR_OK;
}

static void fixture_info(void *server, struct service_info *ret_info)
{
    (void)server;
    *ret_info = (struct service_info){ .version = "0.1.0",
                                       .pid = 4711,
                                       .port = 8000,
                                       .uptime_ms = 90000000,
                                       .workers = 2,
                                       .clients = 1,
                                       .memory_bytes = 3 << 20,
                                       .cpu_user_us = 1500000,
                                       .cpu_system_us = 250000,
                                       .journal_bytes = 77,
                                       .durability_sync = true };
}

static uint64_t fixture_stat(void *server, enum stats_item stat)
{
    struct resp_fixture *f = server;
    return stats_get(&f->stats, stat);
}

static uint64_t fixture_wall_us(void *server)
{
    (void)server;
    return UINT64_C(1795394852186623);
}

static const struct service_ops fixture_ops = { .view = fixture_view,
                                                .join = fixture_join,
                                                .info = fixture_info,
                                                .stat = fixture_stat,
                                                .wall_us = fixture_wall_us,
                                                .order = played_order,
                                                .order_cancel = played_order_cancel };

static inline struct view_member fixture_member(const char *node, enum member_state state)
{
    struct view_member m = { .state = state, .heard = state == MEMBER_ALIVE };
    memcpy(m.node, node, strlen(node));
    memcpy(m.address, node, strlen(node));
    return m;
}

/* f must stay where it is until fixture_release. */
static inline void resp_fixture_init(struct resp_fixture *f)
{
    static const struct id128 own = { { 0xab, 1 } };
    memset(f, 0, sizeof *f);
    uint32_t index;
    REQUIRE(replicas_new(&f->replicas) == ERR_OK);
    REQUIRE(replicas_intern(f->replicas, &own, &index) == ERR_OK);
    const struct keyspace_options options = { .shards = 16, .hash_seed = 7, .replicas = f->replicas };
    f->service = (struct service){ .ops = &fixture_ops, .server = f, .worker = f, .stats = &f->stats };
    REQUIRE(keyspace_new(&options, &f->service.keyspace) == ERR_OK);
    keyspace_set_own(f->service.keyspace, index);
    f->peer = (struct peer_info){
        .id = 3, .address = "127.0.0.1:50000", .local = "127.0.0.1:8000", .connected_ms = UINT64_C(1795394842000)
    };
    f->members[0] = fixture_member("localhost:8000", MEMBER_ALIVE);
    f->members[0].is_self = true;
    f->members[0].heard = false;
    f->members[1] = fixture_member("localhost:8001", MEMBER_ALIVE);
    f->members[1].rtt_us = 1250;
    f->members[2] = fixture_member("localhost:8002", MEMBER_DOWN);
    atomic_init(&f->view.holders, 1);
    memcpy(f->view.node, "localhost:8000", sizeof "localhost:8000");
    memcpy(f->view.cluster, "quipu", sizeof "quipu");
    f->view.replica = own;
    f->view.ready = true;
    f->view.members = f->members;
    f->view.members_count = 3;
}

static inline void resp_fixture_release(struct resp_fixture *f)
{
    REQUIRE(atomic_load(&f->view.holders) == 1); /* every view was given back */
    keyspace_free(f->service.keyspace);
    replicas_free(f->replicas);
}

/* What a connection came to. */
struct outcome {
    struct buffer out;
    uint64_t gate;
    size_t consumed;
    bool close;
};

/* Plays the server's part: feeds until the session needs more input or ends. The input is shown from where the last
 * call's consumption ended. */
static inline void resp_feed_all(struct resp_session *s, struct bytes input, struct outcome *o)
{
    for (;;) {
        struct session_result result;
        struct bytes rest = bytes_of(input.ptr + o->consumed, input.len - o->consumed);
        resp_session_feed(s, rest, &o->out, &result);
        REQUIRE(result.consumed <= rest.len);
        REQUIRE(!result.wait);
        o->consumed += result.consumed;
        if (result.gate > o->gate) o->gate = result.gate;
        o->close = result.close;
        if (result.close || result.consumed == 0 || o->consumed == input.len) return;
    }
}

#endif
