/* SPDX-License-Identifier: Apache-2.0 */
/* connection: the clients of one worker. All of it belongs to that worker's thread; the only things shared with others
 * are the gate, the counts in `struct traffic`, and the keyspace behind the sessions.
 *
 * A connection's input is read into one buffer that all connections of the worker share, and is fed to the session from
 * there; only what the session leaves (an incomplete command) is copied to the connection. Replies collect in the
 * outbox and leave with one write per batch. At steady state nothing is allocated for a request: connections and their
 * buffers come from free lists. */
#ifndef QUIPU_SERVER_CONNECTION_H
#define QUIPU_SERVER_CONNECTION_H

#include "base/bytes.h"
#include "base/err.h"
#include "http/session.h"
#include "node/service.h"
#include "resp/session.h"
#include "server/gate.h"
#include "server/outbox.h"

#include <sys/socket.h>
#include <uv.h>

#define CONNECTIONS_MAX 10000
#define CONNECTIONS_EXTRA 256 /* so that peers get in when clients fill the house */
#define READ_BYTES (64u << 10)
#define INPUT_BYTES_MAX (72u << 20) /* one command: 65,536 arguments that are names */
#define UNREAD_BYTES_MAX (8u << 20) /* of replies: no more is read from the client */
#define UNREAD_BYTES_RESUME (4u << 20)
#define PATIENCE_MS 10000 /* for the first bytes, a request head, a client that reads nothing */
#define LINGER_MS 2000

/* Of the whole process. */
struct traffic {
    atomic_uint open;    /* accepted and not closed, peers not among them */
    atomic_uint clients; /* those that speak HTTP or RESP */
    atomic_uint_fast64_t id_last;
};

/* Where a connection goes that turns out to be a peer. Takes over fd; first holds what came behind the greeting. */
typedef void connections_peer(void *context, int fd, struct bytes first, const char *address);

struct connections_options {
    uv_loop_t *loop;
    struct service service;
    const struct gate *gate;
    struct gate_waiter *waiter;
    struct traffic *traffic;
    connections_peer *peer;
    void *peer_context;
};

struct connection;

#define SPARE_BUFFERS_MAX 256
#define SPARE_BUFFER_BYTES_MIN (16u << 10)
#define SPARE_BUFFER_BYTES_MAX (256u << 10)

struct connections {
    struct connections_options options;
    uint8_t *read_buffer; /* READ_BYTES */
    struct connection *all, *waiting, *spare;
    uint32_t count, spare_count;
    struct buffer spare_buffers[SPARE_BUFFERS_MAX];
    uint32_t spare_buffers_count;
    bool fed; /* a session was fed since the worker last looked */
};

MUST_USE enum err connections_init(struct connections *set, const struct connections_options *options);
void connections_release(struct connections *set); /* all must have been closed */

/* Takes over fd. */
void connections_take(struct connections *set, int fd, const struct sockaddr_storage *from);
/* The gate was raised: sends what may leave. */
void connections_pass_gate(struct connections *set);
/* Closes those that have been waited for long enough; once a second. */
void connections_sweep(struct connections *set);
/* No more input is taken; each closes as soon as its replies have left. */
void connections_finish(struct connections *set);
void connections_close_all(struct connections *set);

/* --- For connection*.c --- */

enum connection_phase {
    PHASE_OPEN,
    PHASE_FLUSHING,  /* takes no more input; ends when all replies have left */
    PHASE_LINGERING, /* all was sent and the end said; waits for the other side, so that it sees the last reply */
    PHASE_CLOSED,    /* uv_close was called; nothing but its callback may touch it */
};
enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_RESP, PROTOCOL_HTTP };

struct connection {
    uv_tcp_t tcp;
    uv_write_t write;
    struct connections *set;
    struct connection *next, *prev; /* in all, or spare (next alone) */
    struct connection *next_waiting, *prev_waiting;
    enum connection_phase phase;
    enum protocol protocol;
    union {
        struct resp_session *resp;
        struct http_session *http;
    } session;
    bool is_waiting; /* for the gate: is in set->waiting */
    bool is_held;    /* the session waits for its wake */
    bool is_paused;  /* too many unread replies */
    bool is_reading, is_writing;
    bool has_ended;   /* no more input will come */
    struct buffer in; /* what the session left, from in_at on */
    size_t in_at;
    struct outbox out;
    struct buffer writing;                    /* while is_writing: owned by libuv */
    size_t writing_bytes;                     /* of that, at first */
    size_t stalled_bytes;                     /* what was not taken at the last sweep */
    uint64_t since_ms;                        /* accepted, or began to linger */
    uint64_t head_since_ms, stalled_since_ms; /* 0: not so */
    struct peer_info peer;
};

void connection_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf);
void connection_on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);
/* Whatever may have changed: writes, goes on feeding, closes. The connection may be gone afterwards. */
void connection_go_on(struct connection *c);
void connection_close(struct connection *c);
/* connection_output.c: writes what may leave. False: the connection was closed. */
MUST_USE bool connection_flush(struct connection *c);
size_t connection_unread_bytes(const struct connection *c);
/* connections.c */
void connections_give_buffer(struct connections *set, struct buffer *buffer);
struct buffer connections_get_buffer(struct connections *set);
void connections_forget(struct connection *c); /* its handle is closed */
void connections_wait(struct connection *c);
void connections_unwait(struct connection *c);

#endif
