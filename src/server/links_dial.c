/* SPDX-License-Identifier: Apache-2.0 */
/* From host:port to a connected socket: the name is looked up in libuv's pool, then its addresses are tried in turn,
 * beginning at a random one, each with a socket of its own. */
#include "server/links_private.h"

#include "base/alloc.h"
#include "server/endpoint.h"

#include <stdio.h>
#include <sys/socket.h>

static void try_address(struct tcp_link *k);

/* The address did not work: the next one, or the end. */
static void give_up_address(struct tcp_link *k, int error)
{
    k->last_error = error;
    if (k->addresses_tried < k->addresses_count) {
        try_address(k);
    } else {
        tcp_link_end(k, uv_strerror(error));
    }
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct tcp_link *k = handle->data;
    if (k->state == LINK_ENDED) {
        tcp_link_handle_closed(handle);
        return;
    }
    k->handles--;
    k->state = LINK_RESOLVING; /* no socket */
    give_up_address(k, k->last_error);
}

static void drop_attempt(struct tcp_link *k, int error)
{
    k->last_error = error;
    (void)uv_timer_stop(&k->timer);
    if (!uv_is_closing((uv_handle_t *)&k->tcp)) uv_close((uv_handle_t *)&k->tcp, on_attempt_closed);
}

static void on_connect_time(uv_timer_t *timer)
{
    drop_attempt(timer->data, UV_ETIMEDOUT);
}

/* The first bytes into an empty socket buffer: the kernel takes them all. */
static int say_greeting(struct tcp_link *k)
{
    char greeting[] = LINK_GREETING;
    uv_buf_t buf = uv_buf_init(greeting, LINK_GREETING_BYTES);
    int wrote = uv_try_write((uv_stream_t *)&k->tcp, &buf, 1);
    if (wrote < 0) return wrote;
    return (unsigned)wrote == LINK_GREETING_BYTES ? 0 : UV_EIO;
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct tcp_link *k = connect->data;
    if (k->state == LINK_ENDED || uv_is_closing((uv_handle_t *)&k->tcp)) return;
    if (status == 0) status = say_greeting(k);
    if (status != 0) {
        drop_attempt(k, status);
        return;
    }
    (void)uv_timer_stop(&k->timer);
    uv_freeaddrinfo(k->addresses);
    k->addresses = NULL;
    tcp_link_up(k, NULL);
}

static const struct sockaddr *address_at(const struct tcp_link *k, uint32_t which)
{
    const struct addrinfo *a = k->addresses;
    for (uint32_t i = 0; i < which; i++) a = a->ai_next;
    return a->ai_addr;
}

static void try_address(struct tcp_link *k)
{
    struct links *l = k->links;
    uint32_t which = (k->address_first + k->addresses_tried++) % k->addresses_count;
    REQUIRE(uv_tcp_init(l->options.loop, &k->tcp) == 0);
    k->tcp.data = k;
    k->connect.data = k;
    k->handles++;
    k->state = LINK_CONNECTING;
    int status = uv_tcp_connect(&k->connect, &k->tcp, address_at(k, which), on_connected);
    if (status != 0) {
        drop_attempt(k, status);
        return;
    }
    uv_update_time(l->options.loop);
    REQUIRE(uv_timer_start(&k->timer, on_connect_time, LINK_CONNECT_MS, 0) == 0);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses)
{
    struct tcp_link *k = lookup->data;
    k->is_looking_up = false;
    if (k->state == LINK_ENDED) {
        uv_freeaddrinfo(addresses); /* NULL is fine */
        tcp_link_advance_end(k);
        return;
    }
    if (status != 0) {
        tcp_link_end(k, uv_strerror(status));
        return;
    }
    k->addresses = addresses;
    for (const struct addrinfo *a = addresses; a; a = a->ai_next) k->addresses_count++;
    k->address_first = (uint32_t)random_below(&k->links->random, k->addresses_count);
    try_address(k);
}

enum err tcp_link_dial(struct tcp_link *k, const char *address)
{
    struct endpoint endpoint;
    if (endpoint_parse(bytes_of_text(address), &endpoint) != ERR_OK) return ERR_INVALID;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", endpoint.port);
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    k->lookup.data = k;
    if (uv_getaddrinfo(k->links->options.loop, &k->lookup, on_looked_up, endpoint.host, port, &hints) != 0)
        return ERR_NOMEM;
    k->is_looking_up = true;
    return ERR_OK;
}
