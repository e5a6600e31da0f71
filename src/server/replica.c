/* SPDX-License-Identifier: Apache-2.0 */
#include "server/replica.h"

#include "base/alloc.h"
#include "server/clock.h"
#include "server/links.h"
#include "server/log.h"
#include "server/notices.h"
#include "server/views.h"

#include <stdlib.h>
#include <unistd.h>

#define VIEW_PERIOD_MS 250

/* Comes back from the node with the result of an order. */
struct ticket {
    replica_ordered *done;
    void *context;
};

/* A thing that must not be merged with another: a seed, a peer that connected, an order. */
struct post {
    struct post *next;
    int fd;                /* -1: no peer */
    struct ticket *ticket; /* NULL: no order */
    enum order_kind order;
    bool from_discovery;
    char address[ADDRESS_BYTES_MAX];
    size_t first_bytes;
    uint8_t first[];
};

/* What others have for the replica thread. All but `dirty` under the lock. */
struct inbox {
    uv_mutex_t lock;
    struct post *first, **last;
    struct keeper_progress progress;
    bool has_progress, refuse_writes, stop, quit;
    atomic_bool dirty;
};

struct replica {
    struct replica_options options;
    struct node *node;
    struct keeper *keeper;
    struct inbox inbox;
    uv_loop_t loop;
    uv_async_t async;
    uv_timer_t wake, view_timer;
    uv_thread_t thread;
    bool is_started, is_joined;
    /* The replica thread only. */
    struct links *links;
    struct actions actions;
    struct keeper_progress told; /* to the node */
    uint64_t wake_armed_ms;
    bool is_refusing, is_stop_asked;
    uint64_t view_version;
    struct views views;
};

static _Noreturn void replica_die(const char *what, enum err err)
{
    log_line(LOG_ERROR, "this node ends: %s: %s", what, err_text(err));
    _exit(1); /* what was not answered yet never is; what was answered is in the journal */
}

/* Actions and events */

static void on_links_stopped(void *context)
{
    struct replica *r = context;
    r->options.stopped(r->options.context);
}

static void ticket_redeem(const struct action *a)
{
    struct ticket *t = (struct ticket *)(uintptr_t)a->as.ordered.ticket;
    t->done(t->context, a->as.ordered.result);
    mem_free(t);
}

static enum err carry_out_link(struct replica *r, struct action *a)
{
    if (a->kind == ACTION_CONNECT) return links_connect(r->links, a->as.link.link, a->as.link.address);
    if (a->kind == ACTION_CLOSE) {
        links_close(r->links, a->as.link.link);
        return ERR_OK;
    }
    struct shared *bytes = a->as.link.bytes;
    a->as.link.bytes = NULL;
    return links_send(r->links, a->as.link.link, bytes);
}

static enum err carry_out(struct replica *r, struct action *a)
{
    switch (a->kind) {
    case ACTION_APPEND:
    case ACTION_ROTATE:
    case ACTION_SNAPSHOT:
        return keeper_give(r->keeper, a);
    case ACTION_CONNECT:
    case ACTION_SEND:
    case ACTION_CLOSE:
        return carry_out_link(r, a);
    case ACTION_NOTICE:
        notice_log(&a->as.notice);
        return ERR_OK;
    case ACTION_ORDERED:
        ticket_redeem(a);
        return ERR_OK;
    case ACTION_STOPPED:
        links_flush(r->links);
        links_stop(r->links, on_links_stopped);
        return ERR_OK;
    }
    return ERR_OK;
}

static void carry_out_all(struct replica *r)
{
    for (uint32_t i = 0; i < r->actions.count; i++) {
        enum err err = carry_out(r, &r->actions.items[i]);
        if (err != ERR_OK) replica_die("an action could not be carried out", err);
    }
    actions_clear(&r->actions);
    /* The node takes writes again when the disk has room again, also while the process drains. */
    struct keyspace *keyspace = node_keyspace(r->node);
    if (r->is_refusing && keyspace_writes_refused(keyspace) != ERR_CLOSED) keyspace_refuse_writes(keyspace, ERR_CLOSED);
}

static void step(struct replica *r, struct event *event)
{
    event->now_us = clock_us();
    event->now_ms = event->now_us / 1000;
    event->wall_ms = clock_wall_us() / 1000;
    enum err err = node_step(r->node, event, &r->actions);
    if (err != ERR_OK) replica_die("an event could not be taken in", err);
    carry_out_all(r);
}

/* Views */

static void publish_view(struct replica *r)
{
    const struct view *fresh = NULL;
    uint64_t version = node_view_version(r->node), ticket = views_wanted(&r->views);
    if (node_view(r->node, clock_ms(), &fresh) != ERR_OK) {
        log_line(LOG_WARN, "the view of the cluster is not up to date: out of memory");
        return;
    }
    views_replace(&r->views, fresh);
    views_serve(&r->views, ticket);
    r->view_version = version;
}

/* Ages, lags and vectors change without a new version. */
static void on_view_timer(uv_timer_t *timer)
{
    publish_view(timer->data);
}

const struct view *replica_view(struct replica *r)
{
    return views_hold(&r->views);
}

void replica_refresh_view(struct replica *r)
{
    uint64_t ticket = views_want(&r->views);
    uv_async_send(&r->async);
    views_wait(&r->views, ticket);
}

/* After each turn */

static void on_wake(uv_timer_t *timer);

static void settle(struct replica *r)
{
    links_flush(r->links);
    links_set_reading(r->links, node_takes_bytes(r->node));
    if (node_view_version(r->node) != r->view_version || views_is_wanted(&r->views)) publish_view(r);
    uint64_t wake_ms = node_wake_at_ms(r->node), now_ms = clock_ms();
    if (wake_ms == r->wake_armed_ms && uv_is_active((uv_handle_t *)&r->wake)) return;
    r->wake_armed_ms = wake_ms;
    uv_update_time(&r->loop);
    REQUIRE(uv_timer_start(&r->wake, on_wake, wake_ms > now_ms ? wake_ms - now_ms : 1, 0) == 0);
}

static void on_wake(uv_timer_t *timer)
{
    struct replica *r = timer->data;
    struct event event = { .kind = EVENT_TICK };
    step(r, &event);
    settle(r);
}

static void on_link_event(void *context, struct event *event)
{
    struct replica *r = context;
    step(r, event);
    settle(r);
}

/* The inbox */

/* Events of what the keeper has done since it was last heard. */
static void take_progress(struct replica *r, const struct keeper_progress *p)
{
    struct event event = { .kind = EVENT_WRITTEN };
    event.as.done.append = p->written;
    if (p->written > r->told.written) step(r, &event);
    event = (struct event){ .kind = EVENT_SYNCED };
    event.as.done.append = p->synced;
    if (p->synced > r->told.synced) step(r, &event);
    event = (struct event){ .kind = EVENT_JOURNAL };
    event.as.journal.full = p->is_full;
    event.as.journal.bytes = p->bytes;
    event.as.journal.snapshot_bytes = p->snapshot_bytes;
    step(r, &event);
    event = (struct event){ .kind = EVENT_ROTATED };
    event.as.rotated.segment = p->segment;
    if (p->has_rotated) step(r, &event);
    event = (struct event){ .kind = EVENT_SNAPSHOT };
    event.as.snapshot.result = p->snapshot_result;
    if (p->has_snapshot_ended) step(r, &event);
    r->told = *p;
}

static void take_post(struct replica *r, struct post *post)
{
    struct event event = { 0 };
    if (post->fd >= 0) {
        links_accept(r->links, post->fd, bytes_of(post->first, post->first_bytes), post->address);
    } else if (post->ticket) {
        event.kind = EVENT_ORDER;
        event.as.order.kind = post->order;
        event.as.order.ticket = (uintptr_t)post->ticket;
        event.as.order.name = bytes_of_text(post->address);
        step(r, &event);
    } else {
        event.kind = EVENT_SEED;
        event.as.seed.address = post->address;
        event.as.seed.from_discovery = post->from_discovery;
        step(r, &event);
    }
}

static void take_posts(struct replica *r, struct post *post)
{
    while (post) {
        struct post *next = post->next;
        take_post(r, post);
        mem_free(post);
        post = next;
    }
}

static void handles_close(struct replica *r)
{
    uv_close((uv_handle_t *)&r->async, NULL);
    uv_close((uv_handle_t *)&r->wake, NULL);
    uv_close((uv_handle_t *)&r->view_timer, NULL);
}

static void take_wishes(struct replica *r, bool refuse_writes, bool stop)
{
    if (refuse_writes && !r->is_refusing) {
        r->is_refusing = true;
        keyspace_refuse_writes(node_keyspace(r->node), ERR_CLOSED);
    }
    if (!stop || r->is_stop_asked) return;
    r->is_stop_asked = true;
    struct event event = { .kind = EVENT_STOP };
    step(r, &event);
}

static void on_async(uv_async_t *async)
{
    struct replica *r = async->data;
    struct inbox *in = &r->inbox;
    bool is_dirty = atomic_exchange(&in->dirty, false);
    uv_mutex_lock(&in->lock);
    struct post *posts = in->first;
    in->first = NULL;
    in->last = &in->first;
    struct keeper_progress progress = in->progress;
    bool has_progress = in->has_progress, refuse_writes = in->refuse_writes, stop = in->stop, asked_to_quit = in->quit;
    in->has_progress = false;
    in->progress.has_rotated = false;
    in->progress.has_snapshot_ended = false;
    uv_mutex_unlock(&in->lock);
    if (has_progress) take_progress(r, &progress);
    struct event event = { .kind = EVENT_DIRTY };
    if (is_dirty) step(r, &event);
    take_posts(r, posts);
    take_wishes(r, refuse_writes, stop);
    if (asked_to_quit) {
        handles_close(r);
    } else {
        settle(r);
    }
}

/* Life */

static void run(void *context)
{
    struct replica *r = context;
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    r->options.ended(r->options.context);
}

static enum err loop_init(struct replica *r)
{
    if (uv_loop_init(&r->loop) != 0) return ERR_NOMEM;
    if (uv_async_init(&r->loop, &r->async, on_async) != 0) {
        REQUIRE(uv_loop_close(&r->loop) == 0);
        return ERR_NOMEM;
    }
    REQUIRE(uv_timer_init(&r->loop, &r->wake) == 0);
    REQUIRE(uv_timer_init(&r->loop, &r->view_timer) == 0);
    REQUIRE(uv_timer_start(&r->view_timer, on_view_timer, VIEW_PERIOD_MS, VIEW_PERIOD_MS) == 0);
    r->async.data = r;
    r->wake.data = r;
    r->view_timer.data = r;
    return ERR_OK;
}

static enum err parts_init(struct replica *r)
{
    struct links_options links = {
        .loop = &r->loop,
        .event = on_link_event,
        .context = r,
        .random_seed = r->options.random_seed,
    };
    enum err err = links_new(&links, &r->links);
    if (err != ERR_OK) return err;
    const struct view *first = NULL;
    err = node_view(r->node, clock_ms(), &first);
    if (err != ERR_OK) goto failed_links;
    err = views_init(&r->views, first);
    if (err != ERR_OK) {
        view_drop(first);
        goto failed_links;
    }
    err = loop_init(r);
    if (err == ERR_OK) return ERR_OK;
    views_release(&r->views);
failed_links:
    links_free(r->links);
    return err;
}

enum err replica_new(const struct replica_options *options, struct replica **ret_replica)
{
    struct replica *r = aligned_alloc(_Alignof(struct replica), sizeof *r);
    if (!r) return ERR_NOMEM;
    memset(r, 0, sizeof *r);
    r->options = *options;
    r->node = options->node;
    r->inbox.last = &r->inbox.first;
    if (uv_mutex_init(&r->inbox.lock) != 0) goto failed;
    if (parts_init(r) != ERR_OK) goto failed_inbox;
    *ret_replica = r;
    return ERR_OK;
failed_inbox:
    uv_mutex_destroy(&r->inbox.lock);
failed:
    free(r);
    return ERR_NOMEM;
}

void replica_set_keeper(struct replica *r, struct keeper *keeper)
{
    r->keeper = keeper;
}

enum err replica_start(struct replica *r)
{
    enum err err = node_start(r->node, clock_ms(), clock_wall_us() / 1000, &r->actions);
    if (err != ERR_OK) return err;
    carry_out_all(r);
    settle(r);
    if (uv_thread_create(&r->thread, run, r) != 0) return ERR_NOMEM;
    r->is_started = true;
    return ERR_OK;
}

static void posts_free(struct post *post)
{
    while (post) {
        struct post *next = post->next;
        if (post->fd >= 0) (void)close(post->fd);
        mem_free(post->ticket);
        mem_free(post);
        post = next;
    }
}

void replica_free(struct replica *r)
{
    if (!r) return;
    if (!r->is_started) {
        handles_close(r);
        (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    }
    REQUIRE(uv_loop_close(&r->loop) == 0);
    links_free(r->links);
    actions_release(&r->actions);
    posts_free(r->inbox.first);
    views_release(&r->views);
    uv_mutex_destroy(&r->inbox.lock);
    free(r);
}

/* From other threads */

void replica_note_dirty(void *replica)
{
    struct replica *r = replica;
    if (!atomic_exchange(&r->inbox.dirty, true)) uv_async_send(&r->async);
}

void replica_note_progress(void *replica, const struct keeper_progress *progress)
{
    struct replica *r = replica;
    struct inbox *in = &r->inbox;
    uv_mutex_lock(&in->lock);
    struct keeper_progress before = in->progress;
    in->progress = *progress;
    if (before.has_rotated && !progress->has_rotated) {
        in->progress.has_rotated = true;
        in->progress.segment = before.segment;
    }
    if (before.has_snapshot_ended && !progress->has_snapshot_ended) {
        in->progress.has_snapshot_ended = true;
        in->progress.snapshot_result = before.snapshot_result;
    }
    in->has_progress = true;
    uv_mutex_unlock(&in->lock);
    uv_async_send(&r->async);
}

static void inbox_post(struct replica *r, struct post *post)
{
    uv_mutex_lock(&r->inbox.lock);
    *r->inbox.last = post;
    r->inbox.last = &post->next;
    uv_mutex_unlock(&r->inbox.lock);
    uv_async_send(&r->async);
}

static struct post *post_new(const char *address, struct bytes first)
{
    struct post *post = mem_alloc_zero(1, sizeof *post + first.len);
    size_t len = strlen(address);
    if (!post || len >= sizeof post->address) {
        mem_free(post);
        return NULL;
    }
    memcpy(post->address, address, len);
    post->fd = -1;
    post->first_bytes = first.len;
    if (first.len > 0) memcpy(post->first, first.ptr, first.len);
    return post;
}

void replica_take_peer(void *replica, int fd, struct bytes first, const char *address)
{
    struct post *post = post_new(address, first);
    if (!post) {
        (void)close(fd);
        return;
    }
    post->fd = fd;
    inbox_post(replica, post);
}

enum err replica_seed(struct replica *r, const char *address, bool from_discovery)
{
    struct post *post = post_new(address, bytes_of(NULL, 0));
    if (!post) return ERR_NOMEM;
    post->from_discovery = from_discovery;
    inbox_post(r, post);
    return ERR_OK;
}

enum err replica_order(struct replica *r, enum order_kind kind, struct bytes name, replica_ordered *done, void *context)
{
    struct post *post = post_new("", bytes_of(NULL, 0));
    struct ticket *ticket = mem_alloc(sizeof *ticket);
    if (!post || !ticket) {
        mem_free(post);
        mem_free(ticket);
        return ERR_NOMEM;
    }
    *ticket = (struct ticket){ done, context };
    post->ticket = ticket;
    post->order = kind;
    /* What is longer, or holds a NUL, is no member's name. */
    bool fits = name.len > 0 && name.len < sizeof post->address && !memchr(name.ptr, '\0', name.len);
    if (fits) memcpy(post->address, name.ptr, name.len);
    inbox_post(r, post);
    return ERR_OK;
}

static void note_wish(struct replica *r, bool *which)
{
    uv_mutex_lock(&r->inbox.lock);
    *which = true;
    uv_mutex_unlock(&r->inbox.lock);
    uv_async_send(&r->async);
}

void replica_refuse_writes(struct replica *r)
{
    note_wish(r, &r->inbox.refuse_writes);
}

void replica_stop(struct replica *r)
{
    note_wish(r, &r->inbox.stop);
}

void replica_quit(struct replica *r)
{
    note_wish(r, &r->inbox.quit);
}

void replica_join(struct replica *r)
{
    if (!r->is_started || r->is_joined) return;
    r->is_joined = true;
    (void)uv_thread_join(&r->thread);
}
