/* SPDX-License-Identifier: Apache-2.0 */
#include "server/links_private.h"

#include "base/alloc.h"
#include "server/log.h"

#include <stdio.h>
#include <unistd.h>

static struct tcp_link *find(struct links *l, link_id id)
{
    for (struct tcp_link *k = l->all; k; k = k->next)
        if (k->id == id) return k; /* members are few hundred at most */
    return NULL;
}

static struct tcp_link *tcp_link_new(struct links *l, link_id id)
{
    struct tcp_link *k = mem_alloc_zero(1, sizeof *k);
    if (!k) return NULL;
    k->links = l;
    k->id = id;
    k->next = l->all;
    if (l->all) l->all->prev = k;
    l->all = k;
    l->count++;
    REQUIRE(uv_timer_init(l->options.loop, &k->timer) == 0);
    k->timer.data = k;
    k->tcp.data = k;
    k->handles = 1;
    return k;
}

void tcp_link_report(struct tcp_link *k, struct event *event)
{
    event->as.link.link = k->id;
    k->links->options.event(k->links->options.context, event);
}

/* The end */

static void tcp_link_forget(struct tcp_link *k)
{
    struct links *l = k->links;
    if (k->prev) k->prev->next = k->next;
    if (k->next) k->next->prev = k->prev;
    if (l->all == k) l->all = k->next;
    mem_free(k);
}

/* Tells whoever stops the links when the last one has been reported down; lookups are not waited for. */
static void stop_advance(struct links *l)
{
    if (!l->stopped || l->is_stopped_told || l->count > 0) return;
    l->is_stopped_told = true;
    l->stopped(l->options.context);
}

static void tell_down(struct tcp_link *k)
{
    if (k->is_down_told) return;
    k->is_down_told = true;
    struct event event = { .kind = EVENT_LINK_DOWN };
    event.as.link.reason = k->has_reason ? k->reason : NULL;
    tcp_link_report(k, &event);
    k->links->count--;
}

void tcp_link_advance_end(struct tcp_link *k)
{
    struct links *l = k->links;
    if (k->handles > 0) return;
    tell_down(k);
    if (!k->is_looking_up) tcp_link_forget(k);
    stop_advance(l);
}

void tcp_link_handle_closed(uv_handle_t *handle)
{
    struct tcp_link *k = handle->data;
    k->handles--;
    tcp_link_advance_end(k);
}

static void stranger_note(struct tcp_link *k, bool is_stranger)
{
    if (k->is_stranger == is_stranger) return;
    k->is_stranger = is_stranger;
    if (is_stranger) {
        k->links->strangers_count++;
    } else {
        k->links->strangers_count--;
    }
}

static void unflush(struct tcp_link *k)
{
    if (!k->is_unflushed) return;
    struct tcp_link **at = &k->links->unflushed;
    while (*at != k) at = &(*at)->next_unflushed;
    *at = k->next_unflushed;
    k->is_unflushed = false;
}

void tcp_link_end(struct tcp_link *k, const char *reason)
{
    if (k->state == LINK_ENDED) return;
    bool has_socket = k->state != LINK_RESOLVING;
    k->state = LINK_ENDED;
    stranger_note(k, false);
    k->has_reason = reason != NULL;
    if (reason) (void)snprintf(k->reason, sizeof k->reason, "%s", reason);
    unflush(k);
    if (k->addresses) uv_freeaddrinfo(k->addresses);
    k->addresses = NULL;
    if (k->is_looking_up) (void)uv_cancel((uv_req_t *)&k->lookup); /* if it has begun, it is waited for */
    if (!k->is_writing) tcp_queue_release(&k->queue);
    uv_close((uv_handle_t *)&k->timer, tcp_link_handle_closed);
    if (has_socket && !uv_is_closing((uv_handle_t *)&k->tcp)) uv_close((uv_handle_t *)&k->tcp, tcp_link_handle_closed);
}

/* Calls of the replica thread */

enum err links_new(const struct links_options *options, struct links **ret_links)
{
    struct links *l = mem_alloc_zero(1, sizeof *l);
    if (!l) return ERR_NOMEM;
    l->options = *options;
    l->is_reading = true;
    random_init(&l->random, options->random_seed);
    *ret_links = l;
    return ERR_OK;
}

void links_free(struct links *l)
{
    if (!l) return;
    REQUIRE(!l->all);
    mem_free(l);
}

enum err links_connect(struct links *l, link_id id, const char *address)
{
    if (l->stopped) return ERR_OK;
    struct tcp_link *k = tcp_link_new(l, id);
    if (!k) return ERR_NOMEM;
    k->state = LINK_RESOLVING;
    enum err err = tcp_link_dial(k, address);
    if (err == ERR_INVALID) tcp_link_end(k, "not an address");
    return err == ERR_INVALID ? ERR_OK : err;
}

void tcp_link_up(struct tcp_link *k, const char *address)
{
    k->state = LINK_UP;
    (void)uv_tcp_nodelay(&k->tcp, 1); /* fails only on a socket that is broken already; reading tells */
    struct event event = { .kind = EVENT_LINK_UP };
    event.as.link.address = address;
    tcp_link_report(k, &event);
    if (k->state == LINK_UP && k->links->is_reading) tcp_link_read_start(k);
}

/* A handshake that came in is answered as soon as its first frame is read, most often in links_accept. Who does not
 * send a whole one must not keep others out: the oldest such link makes way. The core hears of it at once, since it
 * counts them too, and many may come in one turn. */
static void strangers_make_room(struct links *l)
{
    if (l->stopped || l->strangers_count < LINK_STRANGERS_MAX) return;
    struct tcp_link *oldest = NULL;
    for (struct tcp_link *k = l->all; k; k = k->next)
        if (k->is_stranger) oldest = k; /* new ones are put in front */
    REQUIRE(oldest);
    log_line(LOG_WARN, "too many links on which nobody has said who it is: the oldest is ended");
    tcp_link_end(oldest, "it did not say who it is");
    tell_down(oldest);
}

void links_accept(struct links *l, int fd, struct bytes first, const char *address)
{
    strangers_make_room(l);
    bool has_room = !l->stopped && l->count < LINKS_MAX;
    struct tcp_link *k = has_room ? tcp_link_new(l, l->id_last + 2) : NULL;
    if (!k) {
        log_line(LOG_WARN, "link from %s refused: %s", address, l->stopped ? "stopping" : "too many links");
        (void)close(fd);
        return;
    }
    l->id_last += 2;
    REQUIRE(uv_tcp_init(l->options.loop, &k->tcp) == 0);
    k->handles++;
    k->state = LINK_UP;
    stranger_note(k, true);
    int status = uv_tcp_open(&k->tcp, fd);
    if (status != 0) (void)close(fd);
    tcp_link_up(k, address);
    if (status != 0) tcp_link_end(k, uv_strerror(status));
    if (k->state != LINK_UP || first.len == 0) return;
    struct event event = { .kind = EVENT_LINK_BYTES };
    event.as.link.bytes = first;
    tcp_link_report(k, &event);
}

enum err links_send(struct links *l, link_id id, struct shared *bytes)
{
    struct tcp_link *k = find(l, id);
    if (!k || k->state != LINK_UP) {
        shared_drop(bytes);
        return ERR_OK;
    }
    stranger_note(k, false);
    enum err err = tcp_queue_add(&k->queue, bytes);
    if (err != ERR_OK) {
        shared_drop(bytes);
        return err;
    }
    if (k->is_unflushed) return ERR_OK;
    k->is_unflushed = true;
    k->next_unflushed = l->unflushed;
    l->unflushed = k;
    return ERR_OK;
}

static void on_close_time(uv_timer_t *timer)
{
    tcp_link_end(timer->data, NULL);
}

void links_close(struct links *l, link_id id)
{
    struct tcp_link *k = find(l, id);
    if (!k || k->state == LINK_CLOSING || k->state == LINK_ENDED) return;
    if (k->state != LINK_UP) {
        tcp_link_end(k, NULL);
        return;
    }
    k->state = LINK_CLOSING;
    stranger_note(k, false);
    uv_update_time(l->options.loop);
    REQUIRE(uv_timer_start(&k->timer, on_close_time, LINK_CLOSE_MS, 0) == 0);
    tcp_link_read_start(k); /* what comes now is thrown away; its end is waited for */
    if (!k->is_unflushed && k->state == LINK_CLOSING) tcp_link_said_all(k);
}

void links_flush(struct links *l)
{
    while (l->unflushed) {
        struct tcp_link *k = l->unflushed;
        l->unflushed = k->next_unflushed;
        k->is_unflushed = false;
        tcp_link_write_start(k);
        if (k->state == LINK_CLOSING) tcp_link_said_all(k);
    }
}

void links_set_reading(struct links *l, bool is_reading)
{
    if (l->is_reading == is_reading) return;
    l->is_reading = is_reading;
    for (struct tcp_link *k = l->all; k; k = k->next) {
        if (k->state != LINK_UP) continue;
        if (is_reading) {
            tcp_link_read_start(k);
        } else {
            k->is_reading = false;
            (void)uv_read_stop((uv_stream_t *)&k->tcp); /* always 0 */
        }
    }
}

void links_stop(struct links *l, void (*stopped)(void *context))
{
    l->stopped = stopped;
    struct tcp_link *next;
    for (struct tcp_link *k = l->all; k; k = next) {
        next = k->next; /* links are freed from the loop only */
        links_close(l, k->id);
    }
    stop_advance(l);
}
