/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "server/connection.h"
#include "server/log.h"

#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define SPARE_CONNECTIONS_MAX 1024
#define KEEPALIVE_S 60

enum err connections_init(struct connections *set, const struct connections_options *options)
{
    *set = (struct connections){ .options = *options, .read_buffer = mem_alloc(READ_BYTES) };
    return set->read_buffer ? ERR_OK : ERR_NOMEM;
}

void connections_release(struct connections *set)
{
    REQUIRE(!set->all);
    while (set->spare) {
        struct connection *c = set->spare;
        set->spare = c->next;
        mem_free(c);
    }
    while (set->spare_buffers_count > 0) buffer_release(&set->spare_buffers[--set->spare_buffers_count]);
    mem_free(set->read_buffer);
    set->read_buffer = NULL;
}

/* Buffers: the one given back last is the one still in the processor's cache. */

struct buffer connections_get_buffer(struct connections *set)
{
    if (set->spare_buffers_count > 0) return set->spare_buffers[--set->spare_buffers_count];
    struct buffer fresh = { .ptr = mem_alloc(SPARE_BUFFER_BYTES_MIN) };
    if (fresh.ptr) fresh.cap = SPARE_BUFFER_BYTES_MIN;
    return fresh; /* an empty one asks again when it is written to, and says so if that fails */
}

void connections_give_buffer(struct connections *set, struct buffer *buffer)
{
    bool is_kept = buffer->cap >= SPARE_BUFFER_BYTES_MIN && buffer->cap <= SPARE_BUFFER_BYTES_MAX &&
                   set->spare_buffers_count < SPARE_BUFFERS_MAX;
    if (is_kept) {
        buffer_clear(buffer);
        set->spare_buffers[set->spare_buffers_count++] = *buffer;
        *buffer = (struct buffer){ 0 };
    } else {
        buffer_release(buffer);
    }
}

/* Coming and going */

static void address_text(const struct sockaddr_storage *address, char *ret_text, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    bool is_v6 = address->ss_family == AF_INET6;
    if (is_v6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        (void)uv_ip6_name(v6, host, sizeof host);
        port = ntohs(v6->sin6_port);
    } else if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        (void)uv_ip4_name(v4, host, sizeof host);
        port = ntohs(v4->sin_port);
    }
    (void)snprintf(ret_text, cap, is_v6 ? "[%s]:%u" : "%s:%u", host, port);
}

static void fill_peer_info(struct connection *c, int fd, const struct sockaddr_storage *from)
{
    const struct service *service = &c->set->options.service;
    struct sockaddr_storage local = { 0 };
    socklen_t local_bytes = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &local_bytes) != 0) local.ss_family = AF_UNSPEC;
    c->peer.id = atomic_fetch_add(&c->set->options.traffic->id_last, 1) + 1;
    c->peer.connected_ms = service->ops->wall_us(service->server) / 1000;
    address_text(from, c->peer.address, sizeof c->peer.address);
    address_text(&local, c->peer.local, sizeof c->peer.local);
}

static struct connection *connection_new(struct connections *set)
{
    struct connection *c = set->spare;
    if (c) {
        set->spare = c->next;
        set->spare_count--;
    } else {
        c = mem_alloc(sizeof *c);
    }
    if (!c) return NULL;
    memset(c, 0, sizeof *c);
    c->set = set;
    return c;
}

static void connection_recycle(struct connection *c)
{
    struct connections *set = c->set;
    if (set->spare_count >= SPARE_CONNECTIONS_MAX) {
        mem_free(c);
        return;
    }
    c->next = set->spare;
    set->spare = c;
    set->spare_count++;
}

void connections_take(struct connections *set, int fd, const struct sockaddr_storage *from)
{
    struct connection *c = connection_new(set);
    if (!c || uv_tcp_init(set->options.loop, &c->tcp) != 0) {
        log_line(LOG_WARN, "a connection was closed at once: out of memory");
        if (c) connection_recycle(c);
        (void)close(fd);
        atomic_fetch_sub(&set->options.traffic->open, 1);
        return;
    }
    c->tcp.data = c;
    c->since_ms = uv_now(set->options.loop);
    fill_peer_info(c, fd, from);
    c->next = set->all;
    if (set->all) set->all->prev = c;
    set->all = c;
    set->count++;
    stats_add(set->options.service.stats, STAT_connections, 1);
    if (uv_tcp_open(&c->tcp, fd) != 0) {
        (void)close(fd);
        connection_close(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1); /* fails only on a socket that is broken already; reading tells */
    (void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    connection_go_on(c);
}

void connections_forget(struct connection *c)
{
    struct connections *set = c->set;
    if (c->prev) c->prev->next = c->next;
    if (c->next) c->next->prev = c->prev;
    if (set->all == c) set->all = c->next;
    set->count--;
    if (c->out.bytes.ptr) connections_give_buffer(set, &c->out.bytes);
    if (c->in.ptr) connections_give_buffer(set, &c->in);
    if (c->writing.ptr) connections_give_buffer(set, &c->writing);
    atomic_fetch_sub(&set->options.traffic->open, 1);
    connection_recycle(c);
}

/* Waiting for the gate */

void connections_wait(struct connection *c)
{
    struct connections *set = c->set;
    if (c->is_waiting) return;
    c->is_waiting = true;
    c->prev_waiting = NULL;
    c->next_waiting = set->waiting;
    if (set->waiting) set->waiting->prev_waiting = c;
    set->waiting = c;
}

void connections_unwait(struct connection *c)
{
    if (!c->is_waiting) return;
    c->is_waiting = false;
    if (c->prev_waiting) c->prev_waiting->next_waiting = c->next_waiting;
    if (c->next_waiting) c->next_waiting->prev_waiting = c->prev_waiting;
    if (c->set->waiting == c) c->set->waiting = c->next_waiting;
}

/* Lets out what may leave. Returns the lowest commit that is still waited for. */
static uint64_t pass_once(struct connections *set)
{
    uint64_t lowest = GATE_NOTHING;
    struct connection *next;
    for (struct connection *c = set->waiting; c; c = next) {
        next =
            c->next_waiting; /* going on takes at most this one from the list; one that is put on it is put in front */
        if (outbox_waits_for(&c->out) <= gate_released(set->options.gate)) connection_go_on(c);
    }
    for (struct connection *c = set->waiting; c; c = c->next_waiting) {
        uint64_t commit = outbox_waits_for(&c->out);
        if (commit < lowest) lowest = commit;
    }
    return lowest;
}

void connections_pass_gate(struct connections *set)
{
    uint64_t lowest;
    do lowest = pass_once(set);
    while (!gate_wait_anew(set->options.gate, set->options.waiter, lowest));
}

/* Patience */

/* A client that does not take its replies, while they keep us from going on. */
static bool is_stalled(struct connection *c, uint64_t now_ms)
{
    bool matters = c->is_writing && (c->is_paused || c->has_ended || c->phase == PHASE_FLUSHING);
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    if (!matters || left != c->stalled_bytes || c->stalled_since_ms == 0) {
        c->stalled_bytes = left;
        c->stalled_since_ms = matters ? now_ms : 0;
        return false;
    }
    return now_ms - c->stalled_since_ms >= PATIENCE_MS;
}

static const char *patience_ends(struct connection *c, uint64_t now_ms)
{
    if (c->phase == PHASE_LINGERING) return now_ms - c->since_ms >= LINGER_MS ? "lingering" : NULL;
    if (is_stalled(c, now_ms)) return "did not read its replies";
    if (c->phase != PHASE_OPEN || c->is_paused) return NULL;
    if (c->protocol == PROTOCOL_UNKNOWN && now_ms - c->since_ms >= PATIENCE_MS) return "did not say which protocol";
    if (c->head_since_ms > 0 && now_ms - c->head_since_ms >= PATIENCE_MS) return "did not complete its request head";
    return NULL;
}

void connections_sweep(struct connections *set)
{
    uint64_t now_ms = uv_now(set->options.loop);
    for (struct connection *c = set->all; c; c = c->next) {
        if (c->phase == PHASE_CLOSED) continue;
        const char *reason = patience_ends(c, now_ms);
        if (!reason) continue;
        if (c->phase != PHASE_LINGERING)
            log_line(LOG_INFO, "connection from %s closed: it %s", c->peer.address, reason);
        connection_close(c);
    }
}

void connections_finish(struct connections *set)
{
    for (struct connection *c = set->all; c; c = c->next) {
        if (c->phase == PHASE_CLOSED) continue;
        c->has_ended = true;
        if (c->phase == PHASE_LINGERING) {
            connection_close(c);
        } else {
            connection_go_on(c);
        }
    }
}

void connections_close_all(struct connections *set)
{
    for (struct connection *c = set->all; c; c = c->next)
        if (c->phase != PHASE_CLOSED) connection_close(c);
}
