/* SPDX-License-Identifier: Apache-2.0 */
/* The way in: bytes, the choice of a protocol, and feeding of the session; and how a connection ends. */
#include "server/connection.h"

#include "cluster/link.h"
#include "server/log.h"
#include "server/sniff.h"

#include <errno.h>
#include <fcntl.h>

#define READ_ROOM_MIN (16u << 10)

static const char too_many_resp[] = "-ERR max number of clients reached\r\n";
static const char too_many_http[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                                    "Connection: close\r\n\r\n";

/* The end */

static void on_closed(uv_handle_t *handle)
{
    connections_forget(handle->data);
}

static void session_free(struct connection *c)
{
    if (c->protocol == PROTOCOL_RESP) resp_session_free(c->session.resp);
    if (c->protocol == PROTOCOL_HTTP) http_session_free(c->session.http);
    if (c->protocol != PROTOCOL_UNKNOWN) atomic_fetch_sub(&c->set->options.traffic->clients, 1);
    c->protocol = PROTOCOL_UNKNOWN;
}

void connection_close(struct connection *c)
{
    if (c->phase == PHASE_CLOSED) return;
    c->phase = PHASE_CLOSED;
    connections_unwait(c);
    session_free(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* To close with input unread would make the kernel throw away replies that are still on their way. */
static void connection_linger(struct connection *c)
{
    uv_os_fd_t fd = -1;
    bool can_wait = !c->has_ended && uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0 && shutdown(fd, SHUT_WR) == 0;
    if (!can_wait) {
        connection_close(c);
        return;
    }
    c->phase = PHASE_LINGERING;
    c->since_ms = uv_now(c->set->options.loop);
    c->in_at = c->in.len;
}

/* Which protocol */

static void on_wake(void *context);

static void refuse_client(struct connection *c, enum sniff kind)
{
    buffer_text(&c->out.bytes, kind == SNIFF_HTTP ? too_many_http : too_many_resp);
    outbox_close(&c->out, 0, gate_released(c->set->options.gate));
    stats_add(c->set->options.service.stats, STAT_connections_refused, 1);
    c->phase = PHASE_FLUSHING;
}

static void begin_session(struct connection *c, enum sniff kind)
{
    struct connections *set = c->set;
    if (atomic_fetch_add(&set->options.traffic->clients, 1) >= CONNECTIONS_MAX) {
        atomic_fetch_sub(&set->options.traffic->clients, 1);
        refuse_client(c, kind);
        return;
    }
    bool is_made;
    if (kind == SNIFF_HTTP) {
        c->session.http = http_session_new(&set->options.service, &c->peer, on_wake, c);
        is_made = c->session.http != NULL;
    } else {
        c->session.resp = resp_session_new(&set->options.service, &c->peer);
        is_made = c->session.resp != NULL;
        if (is_made) resp_session_set_wake(c->session.resp, on_wake, c);
    }
    if (is_made) {
        c->protocol = kind == SNIFF_HTTP ? PROTOCOL_HTTP : PROTOCOL_RESP;
        return;
    }
    atomic_fetch_sub(&set->options.traffic->clients, 1);
    log_line(LOG_WARN, "connection from %s closed: out of memory", c->peer.address);
    connection_close(c);
}

/* The socket changes its thread as a second descriptor; this one's loop closes its own. */
static void hand_over_peer(struct connection *c, struct bytes first)
{
    uv_os_fd_t fd = -1;
    int moved = uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (moved < 0) {
        log_line(LOG_WARN, "connection of the peer at %s closed: %s", c->peer.address, uv_strerror(-errno));
    } else {
        struct bytes rest = bytes_of(first.ptr + LINK_GREETING_BYTES, first.len - LINK_GREETING_BYTES);
        c->set->options.peer(c->set->options.peer_context, moved, rest, c->peer.address);
    }
    connection_close(c);
}

/* True once there is a session to feed. */
static bool choose_protocol(struct connection *c, struct bytes first)
{
    enum sniff kind = sniff_protocol(first);
    switch (kind) {
    case SNIFF_MORE:
        return false;
    case SNIFF_TLS:
        log_line(LOG_INFO, "connection from %s closed: TLS is not in this version yet", c->peer.address);
        connection_close(c);
        return false;
    case SNIFF_PEER:
        /* Its first frame comes along, so that who says nothing more stays here, where patience ends. */
        if (first.len > LINK_GREETING_BYTES) hand_over_peer(c, first);
        return false;
    case SNIFF_HTTP:
    case SNIFF_RESP:
        begin_session(c, kind);
        return c->protocol != PROTOCOL_UNKNOWN;
    }
    return false;
}

/* Feeding */

static void feed_once(struct connection *c, struct bytes input, struct session_result *ret_result)
{
    *ret_result = (struct session_result){ 0 };
    struct buffer *out = &c->out.bytes;
    if (!out->ptr) *out = connections_get_buffer(c->set);
    size_t before = out->len;
    bool was_in_head = c->head_since_ms > 0;
    if (c->protocol == PROTOCOL_RESP) {
        resp_session_feed(c->session.resp, input, out, ret_result);
    } else {
        http_session_feed(c->session.http, input, out, ret_result);
        bool in_head = http_session_in_head(c->session.http);
        bool is_another = !was_in_head || out->len > before;
        if (!in_head) c->head_since_ms = 0;
        if (in_head && is_another) c->head_since_ms = uv_now(c->set->options.loop);
    }
    REQUIRE(ret_result->consumed <= input.len);
    outbox_close(&c->out, ret_result->gate, gate_released(c->set->options.gate));
    c->set->fed = true;
}

/* Feeds as long as that leads anywhere. Returns how much of the input is done with. */
static size_t feed(struct connection *c, struct bytes input)
{
    size_t at = 0;
    if (c->protocol == PROTOCOL_UNKNOWN && !choose_protocol(c, input)) return 0;
    for (;;) {
        struct session_result result;
        feed_once(c, bytes_of(input.len > at ? input.ptr + at : NULL, input.len - at), &result);
        at += result.consumed;
        if (c->out.bytes.failed) {
            log_line(LOG_WARN, "connection from %s closed: out of memory", c->peer.address);
            connection_close(c);
            return at;
        }
        c->is_held = result.wait;
        c->is_paused = connection_unread_bytes(c) > UNREAD_BYTES_MAX;
        if (result.close) c->phase = PHASE_FLUSHING;
        bool goes_on = result.consumed > 0 && at < input.len && !result.close && !result.wait && !c->is_paused;
        if (!goes_on) return at;
    }
}

/* Keeps what the session left of input, which is in the shared read buffer or the connection's own. */
static void keep_rest(struct connection *c, struct bytes input, size_t consumed)
{
    bool is_own = c->in.len > 0;
    if (c->phase != PHASE_OPEN) consumed = input.len;
    if (is_own) {
        c->in_at += consumed;
    } else if (consumed < input.len) {
        if (!c->in.ptr) c->in = connections_get_buffer(c->set);
        buffer_bytes(&c->in, bytes_of(input.ptr + consumed, input.len - consumed));
    }
    if (c->in.failed || c->in.len - c->in_at > INPUT_BYTES_MAX) {
        log_line(LOG_WARN, "connection from %s closed: %s", c->peer.address,
                 c->in.failed ? "out of memory" : "a command is too large");
        connection_close(c);
    }
    if (c->in_at == c->in.len && c->in.ptr) {
        connections_give_buffer(c->set, &c->in);
        c->in = (struct buffer){ 0 };
        c->in_at = 0;
    }
}

static void take_input(struct connection *c, struct bytes input)
{
    size_t consumed = feed(c, input);
    if (c->phase == PHASE_CLOSED) return;
    keep_rest(c, input, consumed);
}

static struct bytes rest_of_input(const struct connection *c)
{
    return bytes_of(c->in.len > c->in_at ? c->in.ptr + c->in_at : NULL, c->in.len - c->in_at);
}

/* The answer that the session waited for is there. */
static void on_wake(void *context)
{
    struct connection *c = context;
    if (c->phase == PHASE_CLOSED || !c->is_held) return;
    c->is_held = false;
    take_input(c, rest_of_input(c));
    if (c->phase != PHASE_CLOSED) connection_go_on(c);
}

/* Reading */

void connection_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct connection *c = handle->data;
    size_t left = c->in.len - c->in_at;
    if (left == 0) {
        *ret_buf = uv_buf_init((char *)c->set->read_buffer, READ_BYTES);
        return;
    }
    if (c->in_at >= left) { /* moves each byte at most once for each byte that was done with */
        buffer_drop(&c->in, c->in_at);
        c->in_at = 0;
    }
    uint8_t *room = buffer_reserve(&c->in, READ_ROOM_MIN);
    size_t room_bytes = room ? c->in.cap - c->in.len : 0; /* no room: libuv reports ENOBUFS */
    *ret_buf = uv_buf_init((char *)room, room_bytes < READ_BYTES ? (unsigned)room_bytes : READ_BYTES);
}

void connection_on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    if (got == 0) return;
    if (got == UV_EOF) { /* it may still want its replies */
        c->has_ended = true;
        connection_go_on(c);
        return;
    }
    if (got < 0) {
        connection_close(c);
        return;
    }
    stats_add(c->set->options.service.stats, STAT_bytes_in, (uint64_t)got);
    if (c->phase != PHASE_OPEN) return; /* lingering */
    bool is_own = c->in.len > 0;
    if (is_own) c->in.len += (size_t)got;
    take_input(c, is_own ? rest_of_input(c) : bytes_of(buf->base, (size_t)got));
    if (c->phase != PHASE_CLOSED) connection_go_on(c);
}

static void set_reading(struct connection *c)
{
    bool wants =
        c->phase == PHASE_LINGERING || (c->phase == PHASE_OPEN && !c->has_ended && !c->is_held && !c->is_paused);
    if (wants == c->is_reading) return;
    c->is_reading = wants;
    if (!wants) {
        (void)uv_read_stop((uv_stream_t *)&c->tcp); /* always 0 */
        return;
    }
    if (uv_read_start((uv_stream_t *)&c->tcp, connection_alloc, connection_on_read) != 0) connection_close(c);
}

void connection_go_on(struct connection *c)
{
    while (connection_flush(c)) {
        bool resumes = c->phase == PHASE_OPEN && c->is_paused && connection_unread_bytes(c) < UNREAD_BYTES_RESUME;
        if (!resumes) break;
        c->is_paused = false;
        c->head_since_ms = 0;
        if (rest_of_input(c).len > 0) take_input(c, rest_of_input(c));
    }
    if (c->phase == PHASE_CLOSED) return;
    bool has_said_all = outbox_is_empty(&c->out) && !c->is_writing && !c->is_held;
    if (has_said_all && c->phase == PHASE_FLUSHING) connection_linger(c);
    if (has_said_all && c->has_ended && !c->is_paused) connection_close(c);
    if (c->phase != PHASE_CLOSED) set_reading(c);
}
