/* SPDX-License-Identifier: Apache-2.0 */
/* The main thread: it opens everything, accepts connections, hears signals, and takes everything apart in this order:
 *
 *   RUNNING    SIGTERM or SIGINT, or the node has left: no more connections, no more writes
 *   FINISHING  each worker answers what has come and closes its connections (10 s at most)
 *   STOPPING   the node says goodbye and makes all durable, the links are flushed and closed
 *   ENDING     the journal thread ends, then the workers (it wakes them), then the replica thread (it tells that one)
 *
 * Threads report by counting up and waking the main loop, which looks at the counts. The first signal gives the signals
 * back to the system, so that the second one ends the process whatever the main thread does. */
#include "server/serve.h"

#include "base/alloc.h"
#include "server/boot.h"
#include "server/clock.h"
#include "server/discovery.h"
#include "server/entropy.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/service.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define FINISH_MS 10000
#define STOP_MS 10000
#define END_MS 2000
#define HOUSEKEEPING_MS 5000

enum serve_phase { SERVE_RUNNING, SERVE_FINISHING, SERVE_STOPPING, SERVE_ENDING, SERVE_ENDED };

struct serve {
    struct server server;
    struct boot boot;
    struct listener *listener;
    struct discovery *discovery;
    uv_loop_t loop;
    uv_async_t report;
    uv_signal_t sigterm, sigint;
    uv_timer_t housekeeping, deadline;
    enum serve_phase phase;
    uint32_t worker_next;
    int status;
    /* Reports. */
    atomic_uint workers_finished;
    atomic_bool replica_has_stopped, replica_has_ended;
};

/* What the threads call */

static void report_worker_finished(void *context)
{
    struct serve *s = context;
    atomic_fetch_add(&s->workers_finished, 1);
    uv_async_send(&s->report);
}

static void report_replica_stopped(void *context)
{
    struct serve *s = context;
    atomic_store(&s->replica_has_stopped, true);
    uv_async_send(&s->report);
}

static void report_replica_ended(void *context)
{
    struct serve *s = context;
    atomic_store(&s->replica_has_ended, true);
    uv_async_send(&s->report);
}

/* Connections */

static void on_accepted(void *context, int fd, const struct sockaddr_storage *from)
{
    struct serve *s = context;
    struct server *server = &s->server;
    bool has_room = atomic_fetch_add(&server->traffic.open, 1) < CONNECTIONS_MAX + CONNECTIONS_EXTRA;
    struct worker *w = server->workers[s->worker_next++ % server->workers_count];
    if (has_room && worker_take(w, fd, from) == ERR_OK) return;
    atomic_fetch_sub(&server->traffic.open, 1);
    stats_add(&server->main_stats, STAT_connections_refused, 1);
    (void)close(fd);
}

static void on_found(void *context, const char *node)
{
    struct serve *s = context;
    if (replica_seed(s->server.replica, node, true) != ERR_OK)
        log_line(LOG_WARN, "%s was found and is not contacted: out of memory", node);
}

/* The end */

static _Noreturn void exit_undone(int status)
{
    log_tell_suppressed();
    _exit(status);
}

static void on_deadline(uv_timer_t *timer)
{
    struct serve *s = timer->data;
    if (s->phase == SERVE_ENDING) exit_undone(s->status); /* all is durable; a name's lookup hangs */
    log_line(LOG_ERROR, "not everything could be made durable in %d s", STOP_MS / 1000);
    exit_undone(1);
}

static void deadline_set(struct serve *s, uint64_t ms)
{
    uv_update_time(&s->loop);
    REQUIRE(uv_timer_start(&s->deadline, on_deadline, ms, 0) == 0);
}

static void on_discovery_closed(void *context)
{
    (void)context;
}

static void finish(struct serve *s)
{
    struct server *server = &s->server;
    s->phase = SERVE_FINISHING;
    listener_stop(s->listener);
    discovery_stop(s->discovery, on_discovery_closed, s);
    s->discovery = NULL;
    keyspace_refuse_writes(node_keyspace(s->boot.node), ERR_CLOSED);
    replica_refuse_writes(server->replica); /* and it stays so */
    for (uint32_t i = 0; i < server->workers_count; i++) worker_finish(server->workers[i], clock_ms() + FINISH_MS);
}

static void end(struct serve *s)
{
    struct server *server = &s->server;
    s->phase = SERVE_ENDING;
    if (!keeper_quit(server->keeper)) {
        log_line(LOG_ERROR, "not everything could be made durable");
        s->status = 1;
    }
    for (uint32_t i = 0; i < server->workers_count; i++) worker_quit(server->workers[i]);
    replica_quit(server->replica);
    deadline_set(s, END_MS);
}

/* The next one ends the process whatever this thread does. */
static void signals_give_back(struct serve *s)
{
    (void)uv_signal_stop(&s->sigterm); /* always 0 */
    (void)uv_signal_stop(&s->sigint);
}

static void handles_close(struct serve *s)
{
    uv_close((uv_handle_t *)&s->report, NULL);
    uv_close((uv_handle_t *)&s->sigterm, NULL);
    uv_close((uv_handle_t *)&s->sigint, NULL);
    uv_close((uv_handle_t *)&s->housekeeping, NULL);
    uv_close((uv_handle_t *)&s->deadline, NULL);
}

static void on_report(uv_async_t *async)
{
    struct serve *s = async->data;
    if (s->phase == SERVE_RUNNING && atomic_load(&s->replica_has_stopped)) {
        log_line(LOG_INFO, "this node has left the cluster: stopping");
        signals_give_back(s);
        finish(s);
    }
    if (s->phase == SERVE_FINISHING && atomic_load(&s->workers_finished) == s->server.workers_count) {
        s->phase = SERVE_STOPPING;
        replica_stop(s->server.replica);
        deadline_set(s, STOP_MS);
    }
    if (s->phase == SERVE_STOPPING && atomic_load(&s->replica_has_stopped)) end(s);
    if (s->phase == SERVE_ENDING && atomic_load(&s->replica_has_ended)) {
        s->phase = SERVE_ENDED;
        replica_join(s->server.replica);
        handles_close(s);
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct serve *s = signal->data;
    if (s->phase != SERVE_RUNNING) return;
    log_line(LOG_INFO, "%s: stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    signals_give_back(s);
    finish(s);
}

static void on_housekeeping(uv_timer_t *timer)
{
    (void)timer;
    log_tell_suppressed();
}

/* The start */

/* Recovery can be left at any point, and nothing was answered yet: a signal during the start ends the process well. */
static void on_early_signal(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static void process_setup(void)
{
    (void)signal(SIGTERM, on_early_signal); /* until the main loop listens for them; these two cannot fail */
    (void)signal(SIGINT, on_early_signal);
    struct rlimit limit;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a full disk */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) log_line(LOG_WARN, "the limit on open files could not be raised");
}

static enum err loop_init(struct serve *s)
{
    if (uv_loop_init(&s->loop) != 0) return ERR_NOMEM;
    if (uv_async_init(&s->loop, &s->report, on_report) != 0) {
        REQUIRE(uv_loop_close(&s->loop) == 0);
        return ERR_NOMEM;
    }
    REQUIRE(uv_signal_init(&s->loop, &s->sigterm) == 0);
    REQUIRE(uv_signal_init(&s->loop, &s->sigint) == 0);
    REQUIRE(uv_timer_init(&s->loop, &s->housekeeping) == 0);
    REQUIRE(uv_timer_init(&s->loop, &s->deadline) == 0);
    s->report.data = s->sigterm.data = s->sigint.data = s->housekeeping.data = s->deadline.data = s;
    return ERR_OK;
}

static enum err make_replica_and_keeper(struct serve *s)
{
    struct server *server = &s->server;
    server->keyspace = node_keyspace(s->boot.node);
    struct replica_options replica = {
        .node = s->boot.node,
        .random_seed = entropy_u64(),
        .stopped = report_replica_stopped,
        .ended = report_replica_ended,
        .context = s,
    };
    enum err err = replica_new(&replica, &server->replica);
    if (err != ERR_OK) return err;
    struct keeper_options keeper = {
        .journal = s->boot.journal,
        .storage = s->boot.storage,
        .files = s->boot.files,
        .directory = s->boot.files ? server->settings->data_dir : NULL,
        .keyspace = node_keyspace(s->boot.node),
        .replicas = node_replicas(s->boot.node),
        .durability_sync = server->settings->durability_sync,
        .gate = &server->gate,
        .progress = replica_note_progress,
        .context = server->replica,
    };
    err = keeper_new(&keeper, &server->keeper);
    if (err != ERR_OK) return err;
    replica_set_keeper(server->replica, server->keeper);
    return ERR_OK;
}

static enum err make_worker(struct serve *s, uint32_t number)
{
    struct server *server = &s->server;
    struct worker_options options = {
        .ops = &server_service_ops,
        .server = server,
        .keyspace = node_keyspace(s->boot.node),
        .random_seed = entropy_u64(),
        .gate = &server->gate,
        .waiter = &server->gate.waiters[number],
        .traffic = &server->traffic,
        .peer = replica_take_peer,
        .peer_context = server->replica,
        .dirty = replica_note_dirty,
        .dirty_context = server->replica,
        .finished = report_worker_finished,
        .finished_context = s,
    };
    return worker_new(&options, &server->workers[number]);
}

static enum err make_threads(struct serve *s)
{
    struct server *server = &s->server;
    uint32_t wanted = server->settings->workers;
    enum err err = make_replica_and_keeper(s);
    server->workers = mem_alloc_zero(wanted, sizeof(struct worker *));
    server->gate.waiters = aligned_alloc(_Alignof(struct gate_waiter), wanted * sizeof(struct gate_waiter));
    if (!server->workers || !server->gate.waiters) err = ERR_NOMEM;
    while (err == ERR_OK && server->workers_count < wanted) {
        err = make_worker(s, server->workers_count);
        if (err == ERR_OK) server->workers_count++;
    }
    server->gate.waiters_count = server->workers_count;
    return err;
}

/* Nothing was accepted yet, so a failure among these may simply end the process. */
static enum err start_threads(struct serve *s)
{
    struct server *server = &s->server;
    enum err err = keeper_start(server->keeper);
    if (err == ERR_OK) err = replica_start(server->replica);
    for (uint32_t i = 0; err == ERR_OK && i < server->workers_count; i++) err = worker_start(server->workers[i]);
    return err;
}

static void start_discovery(struct serve *s)
{
    const struct settings *settings = s->server.settings;
    if (settings->discover == DISCOVER_OFF) return;
    struct discovery_options options = {
        .node = settings->node.text,
        .cluster = settings->cluster,
        .port = settings->discover_port,
        .nonce = s->boot.nonce,
        .random_seed = entropy_u64(),
    };
    if (discovery_start(&s->loop, &options, on_found, s, &s->discovery) != ERR_OK)
        log_line(LOG_WARN, "this node neither finds others nor is found by them, except by its list of peers");
}

static enum err start(struct serve *s)
{
    REQUIRE(uv_signal_start(&s->sigterm, on_signal, SIGTERM) == 0);
    REQUIRE(uv_signal_start(&s->sigint, on_signal, SIGINT) == 0);
    REQUIRE(uv_timer_start(&s->housekeeping, on_housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS) == 0);
    enum err err = start_threads(s);
    if (err == ERR_OK) err = listener_start(s->listener, &s->loop, on_accepted, s);
    if (err != ERR_OK) return err;
    start_discovery(s);
    log_line(LOG_INFO, "listening on %s", s->server.settings->listen.text);
    return ERR_OK;
}

static void release(struct serve *s)
{
    struct server *server = &s->server;
    for (uint32_t i = 0; i < server->workers_count; i++) worker_free(server->workers[i]);
    mem_free(server->workers);
    free(server->gate.waiters);
    if (server->keeper) s->boot.journal = NULL; /* the keeper's */
    keeper_free(server->keeper);
    replica_free(server->replica);
    boot_release(&s->boot);
    listener_free(s->listener);
}

/* From an open port and a recovered node on. */
static void run(struct serve *s)
{
    s->status = 1;
    if (loop_init(s) != ERR_OK) {
        log_line(LOG_ERROR, "cannot start: %s", err_text(ERR_NOMEM));
        return;
    }
    if (make_threads(s) != ERR_OK) {
        log_line(LOG_ERROR, "cannot start: %s", err_text(ERR_NOMEM));
        handles_close(s);
    } else if (start(s) != ERR_OK) {
        log_line(LOG_ERROR, "cannot start: no more threads or file descriptors");
        exit_undone(1);
    } else {
        s->status = 0;
    }
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    REQUIRE(uv_loop_close(&s->loop) == 0);
}

int serve_run(const struct settings *settings)
{
    struct serve s = { .server = { .settings = settings }, .status = 1 };
    s.server.started_ms = clock_ms();
    s.server.started_at_s = clock_wall_us() / 1000000;
    log_setup(settings->log_format, settings->log_level);
    process_setup();
    char error[BOOT_ERROR_BYTES];
    /* The port first: who does not get it must not touch the data of the process that has it. */
    enum err err = listener_open(&settings->listen, &s.listener, error);
    if (err == ERR_OK) err = boot_open(settings, &s.server.node_stats, &s.boot, error);
    if (err != ERR_OK) {
        log_line(LOG_ERROR, "%s", error);
    } else {
        run(&s);
    }
    release(&s);
    log_tell_suppressed();
    if (err == ERR_OK && s.status == 0) log_line(LOG_INFO, "stopped");
    return s.status;
}
