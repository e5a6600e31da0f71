/* SPDX-License-Identifier: Apache-2.0 */
#include "server/worker.h"

#include "base/alloc.h"
#include "base/random.h"
#include "server/log.h"
#include "server/verifier.h"

#include <stdlib.h>
#include <unistd.h>

#define SWEEP_MS 1000
#define FINISH_MOMENT_MS 200 /* for requests that are on their way when the end is announced */
#define FINISH_SWEEP_MS 20

struct arrival {
    int fd;
    struct sockaddr_storage from;
};

/* What others have for the worker. Under the lock. */
struct worker_inbox {
    uv_mutex_t lock;
    struct arrival *arrivals;
    uint32_t count, cap;
    uint64_t finish_deadline_ms; /* 0: not asked */
    bool quit;
};

struct worker {
    struct worker_options options;
    struct worker_inbox inbox;
    uv_loop_t loop;
    uv_async_t async;
    uv_timer_t sweep;
    uv_prepare_t prepare;
    uv_thread_t thread;
    bool is_started;
    /* The worker's thread only. */
    struct connections connections;
    struct verifier verifier;
    struct arrival *arrivals; /* changes places with the inbox's */
    uint32_t arrivals_cap;
    struct random random;
    uint64_t finish_since_ms, finish_deadline_ms; /* 0: not asked */
    bool is_input_over, is_finish_told;
    /* Written by the worker's thread, read by all. */
    struct stats stats;
};

static uint64_t monotonic_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* The end */

static void finish_check(struct worker *w)
{
    if (w->finish_deadline_ms == 0) return;
    uint64_t now_ms = monotonic_ms();
    if (!w->is_input_over && now_ms - w->finish_since_ms >= FINISH_MOMENT_MS) {
        w->is_input_over = true;
        connections_finish(&w->connections);
    }
    if (now_ms >= w->finish_deadline_ms) connections_close_all(&w->connections);
    if (w->connections.count > 0 || w->is_finish_told) return;
    w->is_finish_told = true;
    w->options.finished(w->options.finished_context);
}

static void on_sweep(uv_timer_t *timer);

static void finish_begin(struct worker *w, uint64_t deadline_ms)
{
    if (deadline_ms == 0 || w->finish_deadline_ms > 0) return;
    w->finish_since_ms = monotonic_ms();
    w->finish_deadline_ms = deadline_ms;
    REQUIRE(uv_timer_start(&w->sweep, on_sweep, FINISH_SWEEP_MS, FINISH_SWEEP_MS) == 0);
    finish_check(w);
}

static void quit(struct worker *w)
{
    connections_close_all(&w->connections);
    uv_close((uv_handle_t *)&w->async, NULL);
    uv_close((uv_handle_t *)&w->sweep, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
}

/* The loop's calls */

static void on_sweep(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    connections_sweep(&w->connections);
    finish_check(w);
    if (w->connections.count == 0 && w->finish_deadline_ms == 0) (void)uv_timer_stop(timer);
}

/* Before the loop sleeps: one wake-up of the replica thread for all that was fed in this turn. (A check handle would
 * not do: callbacks of writes feed too, and may run between the check and the sleep.) */
static void on_prepare(uv_prepare_t *prepare)
{
    struct worker *w = prepare->data;
    if (!w->connections.fed) return;
    w->connections.fed = false;
    if (keyspace_is_dirty(w->options.keyspace)) w->options.dirty(w->options.dirty_context);
}

static void take_arrivals(struct worker *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) connections_take(&w->connections, w->arrivals[i].fd, &w->arrivals[i].from);
    if (count > 0 && !uv_is_active((uv_handle_t *)&w->sweep))
        REQUIRE(uv_timer_start(&w->sweep, on_sweep, SWEEP_MS, SWEEP_MS) == 0);
}

static void on_async(uv_async_t *async)
{
    struct worker *w = async->data;
    struct worker_inbox *in = &w->inbox;
    uv_mutex_lock(&in->lock);
    struct arrival *arrivals = in->arrivals;
    uint32_t count = in->count, cap = in->cap;
    in->arrivals = w->arrivals;
    in->cap = w->arrivals_cap;
    in->count = 0;
    uint64_t finish_deadline_ms = in->finish_deadline_ms;
    bool asked_to_quit = in->quit;
    uv_mutex_unlock(&in->lock);
    w->arrivals = arrivals;
    w->arrivals_cap = cap;
    take_arrivals(w, count);
    connections_pass_gate(&w->connections);
    finish_begin(w, finish_deadline_ms);
    if (asked_to_quit) quit(w);
}

static void run(void *context)
{
    struct worker *w = context;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
}

/* Life */

static enum err loop_init(struct worker *w)
{
    if (uv_loop_init(&w->loop) != 0) return ERR_NOMEM;
    bool is_made = uv_async_init(&w->loop, &w->async, on_async) == 0;
    if (!is_made) {
        REQUIRE(uv_loop_close(&w->loop) == 0);
        return ERR_NOMEM;
    }
    REQUIRE(uv_timer_init(&w->loop, &w->sweep) == 0);
    REQUIRE(uv_prepare_init(&w->loop, &w->prepare) == 0);
    REQUIRE(uv_prepare_start(&w->prepare, on_prepare) == 0);
    w->async.data = w;
    w->sweep.data = w;
    w->prepare.data = w;
    return ERR_OK;
}

static void loop_release(struct worker *w)
{
    if (!w->is_started) {
        quit(w);
        run(w);
    }
    REQUIRE(uv_loop_close(&w->loop) == 0);
}

static enum err connections_open(struct worker *w)
{
    const struct worker_options *o = &w->options;
    struct connections_options options = {
        .loop = &w->loop,
        .service = { .ops = o->ops,
                     .server = o->server,
                     .worker = w,
                     .keyspace = o->keyspace,
                     .stats = &w->stats,
                     .random = &w->random },
        .gate = o->gate,
        .waiter = o->waiter,
        .traffic = o->traffic,
        .peer = o->peer,
        .peer_context = o->peer_context,
    };
    return connections_init(&w->connections, &options);
}

enum err worker_new(const struct worker_options *options, struct worker **ret_worker)
{
    struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof *w);
    if (!w) return ERR_NOMEM;
    memset(w, 0, sizeof *w);
    w->options = *options;
    random_init(&w->random, options->random_seed);
    verifier_init(&w->verifier, &w->loop, options->server);
    if (uv_mutex_init(&w->inbox.lock) != 0) goto failed;
    if (connections_open(w) != ERR_OK) goto failed_lock;
    if (loop_init(w) != ERR_OK) goto failed_connections;
    atomic_store(&options->waiter->wanted, GATE_NOTHING);
    options->waiter->wake = &w->async;
    *ret_worker = w;
    return ERR_OK;
failed_connections:
    connections_release(&w->connections);
failed_lock:
    uv_mutex_destroy(&w->inbox.lock);
failed:
    free(w);
    return ERR_NOMEM;
}

enum err worker_start(struct worker *w)
{
    if (uv_thread_create(&w->thread, run, w) != 0) return ERR_NOMEM;
    w->is_started = true;
    return ERR_OK;
}

void worker_free(struct worker *w)
{
    if (!w) return;
    loop_release(w);
    verifier_release(&w->verifier);
    connections_release(&w->connections);
    for (uint32_t i = 0; i < w->inbox.count; i++) (void)close(w->inbox.arrivals[i].fd);
    mem_free(w->inbox.arrivals);
    mem_free(w->arrivals);
    uv_mutex_destroy(&w->inbox.lock);
    free(w);
}

/* From other threads */

static enum err inbox_grow(struct worker_inbox *in)
{
    uint32_t cap = in->cap > 0 ? 2 * in->cap : 16;
    struct arrival *grown = mem_resize(in->arrivals, cap * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    in->arrivals = grown;
    in->cap = cap;
    return ERR_OK;
}

enum err worker_take(struct worker *w, int fd, const struct sockaddr_storage *from)
{
    struct worker_inbox *in = &w->inbox;
    uv_mutex_lock(&in->lock);
    enum err err = in->count < in->cap ? ERR_OK : inbox_grow(in);
    if (err == ERR_OK) in->arrivals[in->count++] = (struct arrival){ fd, *from };
    uv_mutex_unlock(&in->lock);
    if (err == ERR_OK) uv_async_send(&w->async);
    return err;
}

void worker_finish(struct worker *w, uint64_t deadline_ms)
{
    uv_mutex_lock(&w->inbox.lock);
    w->inbox.finish_deadline_ms = deadline_ms;
    uv_mutex_unlock(&w->inbox.lock);
    uv_async_send(&w->async);
}

void worker_quit(struct worker *w)
{
    if (!w->is_started) return;
    uv_mutex_lock(&w->inbox.lock);
    w->inbox.quit = true;
    uv_mutex_unlock(&w->inbox.lock);
    uv_async_send(&w->async);
    (void)uv_thread_join(&w->thread);
}

const struct stats *worker_stats(const struct worker *w)
{
    return &w->stats;
}

uv_loop_t *worker_loop(struct worker *w)
{
    return &w->loop;
}

struct server *worker_server(struct worker *w)
{
    return w->options.server;
}

struct verifier *worker_verifier(struct worker *w)
{
    return &w->verifier;
}
