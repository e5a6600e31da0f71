/* SPDX-License-Identifier: Apache-2.0 */
/* A process around an HTTP session without a socket: real counters, and a view, a clock and a verify that the test
 * sets. Answers are compared as a trace, one line each: status, then body. */
#ifndef QUIPU_TEST_UNIT_TEST_HTTP_WORLD_H
#define QUIPU_TEST_UNIT_TEST_HTTP_WORLD_H

#include "testing.h"

#include "count/replicas.h"
#include "http/session.h"

#include <stdio.h>

struct world {
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
        .version = "0.1.0", .workers = 2, .clients = 3, .memory_bytes = 4096, .cpu_user_us = 1500000,
        .cpu_system_us = 20, .started_at_s = 1700000000, .journal_sync_p99_us = 1250,
    };
}

static inline uint64_t world_stat(void *server, enum stats_item stat)
{
    struct world *w = server;
    return stats_get(&w->stats, stat);
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
    struct world *w = handle;
    w->verifies_cancelled++;
}

static inline uint64_t world_wall_us(void *server)
{
    (void)server;
    return UINT64_C(784111777) * 1000000; /* the date in RFC 9110's example */
}

static inline void world_woken(void *context)
{
    struct world *w = context;
    w->woken++;
}

static inline void world_init(struct world *w)
{
    static const struct service_ops ops = { world_view,   world_join,          world_info,   world_stat,
                                            world_verify, world_verify_cancel, world_wall_us };
    static const struct peer_info peer = { .id = 1, .address = "127.0.0.1:5000", .local = "127.0.0.1:8000" };
    *w = (struct world){ 0 };
    assert_ok(replicas_new(&w->replicas));
    struct keyspace_options options = { .shards = 1, .hash_seed = 5, .replicas = w->replicas };
    assert_ok(keyspace_new(&options, &w->service.keyspace));
    uint32_t own;
    struct id128 id = { { 1 } };
    assert_ok(replicas_intern(w->replicas, &id, &own));
    keyspace_set_own(w->service.keyspace, own);
    w->members[0] = (struct view_member){ .node = "localhost:8000", .address = "127.0.0.1:8000", .state = MEMBER_ALIVE,
                                          .is_self = true, .heard = true };
    w->members[1] = (struct view_member){ .node = "localhost:8001", .address = "127.0.0.1:8001", .state = MEMBER_ALIVE,
                                          .heard = true, .rtt_us = 1234, .last_heard_ms = 250, .lag_entries = 3,
                                          .lag_ms = 40 };
    w->members[2] = (struct view_member){ .node = "localhost:8002", .address = "127.0.0.1:8002", .state = MEMBER_DOWN,
                                          .last_heard_ms = 9000 };
    w->members[3] = (struct view_member){ .node = "localhost:8003", .address = "127.0.0.1:8003", .state = MEMBER_ALIVE,
                                          .heard = true };
    w->view_replicas[0] = (struct view_replica){ .id = id, .known = 9, .durable = 8 };
    w->view = (struct view){ .holders = 1, .node = "localhost:8000", .cluster = "quipu", .replica = id, .ready = true,
                             .members = w->members, .members_count = 4, .replicas = w->view_replicas,
                             .replicas_count = 1 };
    w->service = (struct service){ .ops = &ops, .server = w, .worker = w, .keyspace = w->service.keyspace,
                                   .stats = &w->stats };
    w->session = http_session_new(&w->service, &peer, world_woken, w);
    assert_non_null(w->session);
}

static inline void world_release(struct world *w)
{
    http_session_free(w->session);
    assert_int_equal(w->view.holders, 1); /* every view was given back */
    keyspace_free(w->service.keyspace);
    replicas_free(w->replicas);
    buffer_release(&w->pending);
    buffer_release(&w->out);
}

/* One call of feed, with input that ends where its memory ends. Returns how much was consumed. */
static inline size_t world_feed(struct world *w)
{
    struct session_result result = { 0 };
    struct fenced fenced = { 0 };
    uint8_t *copy = NULL;
    struct bytes input = buffer_view(&w->pending);
    if (input.len > 64) {
        fenced = fenced_copy(input);
        input = fenced.bytes;
    } else {
        copy = malloc(input.len + !input.len); /* many small ones: ASan sees these */
        assert_non_null(copy);
        if (input.len > 0) memcpy(copy, input.ptr, input.len);
        input.ptr = copy;
    }
    http_session_feed(w->session, input, &w->out, &result);
    if (fenced.map) fenced_release(&fenced);
    free(copy);
    assert_false(w->out.failed);
    assert_true(result.consumed <= w->pending.len);
    buffer_drop(&w->pending, result.consumed);
    if (result.gate > w->gate) w->gate = result.gate;
    w->closed = result.close;
    w->waits = result.wait;
    return result.consumed;
}

static inline void world_send(struct world *w, struct bytes bytes)
{
    if (w->closed) return;
    buffer_bytes(&w->pending, bytes);
    while (world_feed(w) > 0 && !w->closed && !w->waits && w->pending.len > 0) continue;
}

static inline void world_send_text(struct world *w, const char *text)
{
    world_send(w, bytes_of_text(text));
}

/* Where text begins in bytes, or NULL. */
static inline const uint8_t *find_text(struct bytes bytes, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at + len <= bytes.len; at++) {
        if (memcmp(bytes.ptr + at, text, len) == 0) return bytes.ptr + at;
    }
    return NULL;
}

/* The answers so far as a trace. */
static inline void world_trace(const struct world *w, struct buffer *trace)
{
    struct bytes rest = buffer_view(&w->out);
    while (rest.len > 0) {
        const uint8_t *end = find_text(rest, "\r\n\r\n");
        assert_non_null(end);
        size_t head_len = (size_t)(end - rest.ptr) + 4;
        const char *length_at = (const char *)find_text(bytes_of(rest.ptr, head_len), "Content-Length: ");
        size_t body_len = length_at ? (size_t)strtoul(length_at + 16, NULL, 10) : 0;
        assert_true(head_len + body_len <= rest.len);
        assert_memory_equal(rest.ptr, "HTTP/1.1 ", 9);
        buffer_bytes(trace, bytes_of(rest.ptr + 9, 3));
        if (body_len > 0) buffer_u8(trace, ' ');
        buffer_bytes(trace, bytes_of(rest.ptr + head_len, body_len));
        buffer_u8(trace, '\n');
        rest = bytes_of(rest.ptr + head_len + body_len, rest.len - head_len - body_len);
    }
    if (w->closed) buffer_text(trace, "closed\n");
}

static inline void world_expect(const struct world *w, const char *expected)
{
    struct buffer trace = { 0 };
    world_trace(w, &trace);
    buffer_u8(&trace, 0);
    assert_ok(buffer_end(&trace));
    assert_string_equal((const char *)trace.ptr, expected);
    buffer_release(&trace);
}

/* Sends input in pieces that end at each of the cuts: 0 for none, SIZE_MAX for one byte at a time. */
static inline void transcript(struct bytes input, size_t cut, struct world *w)
{
    world_init(w);
    if (cut == SIZE_MAX) {
        for (size_t at = 0; at < input.len; at++) world_send(w, bytes_of(input.ptr + at, 1));
    } else {
        if (cut > 0) world_send(w, bytes_of(input.ptr, cut));
        world_send(w, bytes_of(input.ptr + cut, input.len - cut));
    }
}

static inline void assert_same_transcript(struct bytes input, size_t cut, const struct world *wanted)
{
    struct world w;
    transcript(input, cut, &w);
    assert_int_equal(w.out.len, wanted->out.len);
    if (w.out.len > 0) assert_memory_equal(w.out.ptr, wanted->out.ptr, w.out.len);
    assert_int_equal(w.closed, wanted->closed);
    assert_int_equal(w.gate, wanted->gate);
    assert_int_equal(keyspace_count(w.service.keyspace), keyspace_count(wanted->service.keyspace));
    world_release(&w);
}

/* Sends input to fresh sessions, whole, cut in two at every place, and byte by byte: all must give this trace. */
static inline void expect_bytes(struct bytes input, const char *expected)
{
    struct world whole;
    transcript(input, 0, &whole);
    world_expect(&whole, expected);
    for (size_t cut = 1; cut < input.len; cut += 1 + input.len / 400) assert_same_transcript(input, cut, &whole);
    assert_same_transcript(input, SIZE_MAX, &whole);
    world_release(&whole);
}

static inline void expect(const char *input, const char *expected)
{
    expect_bytes(bytes_of_text(input), expected);
}

/* As expect, for one request: lines are fields, each ended by \r\n. */
static inline void expect_request(const char *line, const char *fields, const char *body, const char *expected)
{
    struct buffer input = { 0 };
    buffer_printf(&input, "%s HTTP/1.1\r\nHost: localhost:8000\r\n%s", line, fields);
    if (body) buffer_printf(&input, "Content-Length: %zu\r\n", strlen(body));
    buffer_printf(&input, "\r\n%s", body ? body : "");
    assert_ok(buffer_end(&input));
    expect_bytes(buffer_view(&input), expected);
    buffer_release(&input);
}

static inline void expect_get(const char *target, const char *expected)
{
    char line[4096];
    snprintf(line, sizeof line, "GET %s", target);
    expect_request(line, "", NULL, expected);
}

static inline void expect_post(const char *target, const char *body, const char *expected)
{
    char line[4096];
    snprintf(line, sizeof line, "POST %s", target);
    expect_request(line, "", body, expected);
}

/* Only the status, and "closed" where it applies, for a body whose wording is of no interest. */
static inline void expect_status(const char *input, const char *expected)
{
    struct world w;
    transcript(bytes_of_text(input), 0, &w);
    struct buffer trace = { 0 };
    assert_true(w.out.len > 12);
    buffer_bytes(&trace, bytes_of(w.out.ptr + 9, 3));
    buffer_text(&trace, w.closed ? " closed" : "");
    buffer_u8(&trace, 0);
    assert_string_equal((const char *)trace.ptr, expected);
    buffer_release(&trace);
    struct bytes input_bytes = bytes_of_text(input);
    for (size_t cut = 1; cut < input_bytes.len; cut++) assert_same_transcript(input_bytes, cut, &w);
    assert_same_transcript(input_bytes, SIZE_MAX, &w);
    assert_int_equal(keyspace_count(w.service.keyspace), 0); /* nothing was counted */
    world_release(&w);
}

#endif
