/* SPDX-License-Identifier: Apache-2.0 */
/* Out of file descriptors: a descriptor kept in reserve is given up to accept the connection and close it, so that the
 * client hears of it and the socket is not reported ready for ever; without even that, accepting pauses for a moment.
 */
#include "server/listener.h"

#include "base/alloc.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define BACKLOG 4096
#define SOCKETS_MAX 32
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 100

struct listening {
    struct listener *listener;
    int fd;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    uv_poll_t poll;
};

struct listener {
    struct listening sockets[SOCKETS_MAX];
    uint32_t count;
    int reserve_fd;
    listener_accepted *accepted;
    void *context;
    uv_timer_t pause;
    bool is_started, is_stopped;
};

/* Binding */

/* 0, or errno. */
static int bind_one(const struct addrinfo *address, int *ret_fd)
{
    const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    bool is_v6 = address->ai_family == AF_INET6;
    bool is_bound = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                    (!is_v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
                    bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    if (is_bound) {
        *ret_fd = fd;
        return 0;
    }
    int error = errno;
    (void)close(fd);
    return error;
}

static bool is_bound_already(const struct listener *l, const struct addrinfo *address)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const struct listening *s = &l->sockets[i];
        if (s->address_bytes == address->ai_addrlen && memcmp(&s->address, address->ai_addr, address->ai_addrlen) == 0)
            return true;
    }
    return false;
}

/* An address that this machine does not have is passed over if another one of the host's works. */
static bool is_absent(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == EPROTONOSUPPORT;
}

/* 0, or errno of what forbids the start. */
static int bind_all(struct listener *l, const struct addrinfo *addresses)
{
    int passed_over = EADDRNOTAVAIL;
    for (const struct addrinfo *a = addresses; a && l->count < SOCKETS_MAX; a = a->ai_next) {
        if (is_bound_already(l, a)) continue;
        struct listening *s = &l->sockets[l->count];
        int error = bind_one(a, &s->fd);
        if (error != 0 && !is_absent(error)) return error;
        if (error != 0) {
            passed_over = error;
            continue;
        }
        memcpy(&s->address, a->ai_addr, a->ai_addrlen);
        s->address_bytes = a->ai_addrlen;
        s->listener = l;
        l->count++;
    }
    return l->count > 0 ? 0 : passed_over;
}

static enum err listen_on(struct listener *l, const struct endpoint *endpoint, char ret_error[LISTENER_ERROR_BYTES])
{
    char port[8];
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *addresses = NULL;
    (void)snprintf(port, sizeof port, "%u", endpoint->port);
    int status = getaddrinfo(endpoint->host, port, &hints, &addresses);
    if (status != 0) {
        (void)snprintf(ret_error, LISTENER_ERROR_BYTES, "cannot listen on %s: %s", endpoint->text,
                       gai_strerror(status));
        return ERR_IO;
    }
    int error = bind_all(l, addresses);
    freeaddrinfo(addresses);
    if (error == 0) return ERR_OK;
    (void)snprintf(ret_error, LISTENER_ERROR_BYTES, "cannot listen on %s: %s", endpoint->text,
                   error == EADDRINUSE ? "the port is taken by another process" : uv_strerror(-error));
    return ERR_IO;
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum err listener_open(const struct endpoint *endpoint, struct listener **ret_listener,
                       char ret_error[LISTENER_ERROR_BYTES])
{
    struct listener *l = mem_alloc_zero(1, sizeof *l);
    if (!l) {
        (void)snprintf(ret_error, LISTENER_ERROR_BYTES, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    l->reserve_fd = open_reserve();
    enum err err = listen_on(l, endpoint, ret_error);
    if (err != ERR_OK) {
        listener_free(l);
        return err;
    }
    *ret_listener = l;
    return ERR_OK;
}

/* Accepting */

static void on_readable(uv_poll_t *poll, int status, int events);

static void poll_all(struct listener *l)
{
    for (uint32_t i = 0; i < l->count; i++) REQUIRE(uv_poll_start(&l->sockets[i].poll, UV_READABLE, on_readable) == 0);
}

static void on_pause_over(uv_timer_t *timer)
{
    poll_all(timer->data);
}

static void pause_all(struct listener *l)
{
    for (uint32_t i = 0; i < l->count; i++) (void)uv_poll_stop(&l->sockets[i].poll); /* always 0 */
    REQUIRE(uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0) == 0);
}

/* False: nothing more can be accepted for now. */
static bool out_of_descriptors(struct listener *l, int listening_fd, int error)
{
    log_line(LOG_WARN, "connections are turned away: %s", uv_strerror(-error));
    bool has_reserve = (error == EMFILE || error == ENFILE) && l->reserve_fd >= 0;
    if (has_reserve) {
        (void)close(l->reserve_fd);
        int fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) (void)close(fd);
        l->reserve_fd = open_reserve();
    }
    if (has_reserve && l->reserve_fd >= 0) return true;
    if (l->reserve_fd < 0) l->reserve_fd = open_reserve();
    pause_all(l);
    return false;
}

/* True: there may be more. */
static bool accept_one(struct listener *l, int listening_fd)
{
    struct sockaddr_storage from = { 0 };
    socklen_t from_bytes = sizeof from;
    int fd = accept4(listening_fd, (struct sockaddr *)&from, &from_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        l->accepted(l->context, fd, &from);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        return out_of_descriptors(l, listening_fd, errno);
    return true; /* a connection that was given up before it was accepted, or an interruption */
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listening *s = poll->data;
    for (uint32_t i = 0; i < ACCEPTS_PER_TURN && accept_one(s->listener, s->fd);) i++;
}

/* Life */

enum err listener_start(struct listener *l, uv_loop_t *loop, listener_accepted *accepted, void *context)
{
    l->accepted = accepted;
    l->context = context;
    for (uint32_t i = 0; i < l->count; i++) {
        struct listening *s = &l->sockets[i];
        if (uv_poll_init(loop, &s->poll, s->fd) != 0) return ERR_IO;
        s->poll.data = s;
    }
    REQUIRE(uv_timer_init(loop, &l->pause) == 0);
    l->pause.data = l;
    l->is_started = true;
    poll_all(l);
    return ERR_OK;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct listening *s = handle->data;
    (void)close(s->fd);
    s->fd = -1;
}

void listener_stop(struct listener *l)
{
    if (!l->is_started || l->is_stopped) return;
    l->is_stopped = true;
    uv_close((uv_handle_t *)&l->pause, NULL);
    for (uint32_t i = 0; i < l->count; i++) uv_close((uv_handle_t *)&l->sockets[i].poll, on_poll_closed);
}

void listener_free(struct listener *l)
{
    if (!l) return;
    for (uint32_t i = 0; !l->is_started && i < l->count; i++) (void)close(l->sockets[i].fd);
    if (l->reserve_fd >= 0) (void)close(l->reserve_fd);
    mem_free(l);
}
