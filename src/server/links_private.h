/* SPDX-License-Identifier: Apache-2.0 */
/* What links.c (the table, calls of the core), links_dial.c (the way to a connected socket) and links_io.c (bytes)
 * share.
 *
 *   RESOLVING -> CONNECTING -> UP -> CLOSING -> ENDED
 *
 * ENDED from any state: handles are being closed. The link is reported down and freed once its handles have left the
 * loop and no lookup of its name is under way (a lookup cannot be called off; the report does not wait for it). */
#ifndef QUIPU_SERVER_LINKS_PRIVATE_H
#define QUIPU_SERVER_LINKS_PRIVATE_H

#include "base/random.h"
#include "server/links.h"

#define LINK_WRITE_BUFS_MAX 64
#define LINK_WRITE_BYTES_MAX (256u << 10) /* so that what has left is known in steps */
#define LINKS_MAX 2048                    /* past that, none is taken in */
/* Of those that came in and to which the core has not said a word; fewer than the core takes (HANDSHAKES_MAX). */
#define LINK_STRANGERS_MAX 64
#define LINK_READ_BYTES (64u << 10)
#define LINK_CONNECT_MS 5000 /* for an address, before the next one is tried */
#define LINK_CLOSE_MS 1000
#define LINK_REASON_BYTES 128

enum tcp_link_state { LINK_RESOLVING, LINK_CONNECTING, LINK_UP, LINK_CLOSING, LINK_ENDED };

/* What is to be sent, a ring that grows. `sent`: of the first, bytes that are gone already. */
struct tcp_queue {
    struct shared **items;
    uint32_t first, count, cap; /* cap is a power of two, or 0 */
    size_t sent;
};

struct tcp_link {
    struct links *links;
    link_id id;
    enum tcp_link_state state;
    struct tcp_link *next, *prev;
    struct tcp_link *next_unflushed;
    bool is_unflushed, is_writing, is_reading, is_down_told, is_looking_up, has_said_end;
    bool is_stranger;
    uint32_t handles; /* open, the socket's and the timer's */

    uv_tcp_t tcp;
    uv_timer_t timer; /* connecting, and closing */
    uv_connect_t connect;
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses;
    uint32_t addresses_count, address_first, addresses_tried;
    int last_error; /* of the address tried last */

    struct tcp_queue queue;
    uv_write_t write;
    uint32_t writing_bufs;
    size_t writing_bytes;
    uv_shutdown_t shutdown;
    bool has_reason;
    char reason[LINK_REASON_BYTES];
};

struct links {
    struct links_options options;
    struct tcp_link *all, *unflushed;
    uint32_t count; /* not reported down yet */
    uint32_t strangers_count;
    bool is_stopped_told;
    link_id id_last; /* even: of those that came in */
    bool is_reading;
    struct random random;
    void (*stopped)(void *context);
    uint8_t read_buffer[LINK_READ_BYTES];
};

void tcp_link_report(struct tcp_link *k, struct event *event);
/* Ends it, for a reason (NULL: as the core wished); the report comes later. Nothing happens when it has ended. */
void tcp_link_end(struct tcp_link *k, const char *reason);
void tcp_link_up(struct tcp_link *k, const char *address);
/* links_dial.c */
MUST_USE enum err tcp_link_dial(struct tcp_link *k, const char *address);
/* links_io.c */
void tcp_link_read_start(struct tcp_link *k);
void tcp_link_write_start(struct tcp_link *k);
void tcp_link_said_all(struct tcp_link *k); /* CLOSING: says the end if nothing is left to send */
MUST_USE enum err tcp_queue_add(struct tcp_queue *q, struct shared *bytes);
void tcp_queue_release(struct tcp_queue *q);
/* links.c */
void tcp_link_handle_closed(uv_handle_t *handle);
void tcp_link_advance_end(struct tcp_link *k); /* a handle or the lookup of a link that has ended is gone */

#endif
