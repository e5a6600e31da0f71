/* SPDX-License-Identifier: Apache-2.0 */
#include "server/keeper.h"

#include "base/alloc.h"
#include "server/files.h"
#include "server/histogram.h"
#include "server/jobs.h"
#include "server/log.h"

#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define SYNC_PERIOD_MS 10
#define FULL_RETRY_MS 500
#define SLICE_CELLS 1024
#define SLICE_PERIOD_NS 5000000 /* of a snapshot, while appends keep coming */

struct keeper {
    struct keeper_options options;
    struct journal *journal;
    uv_loop_t loop;
    uv_async_t async;
    uv_thread_t thread;
    bool is_started;

    uv_mutex_t lock;
    struct jobs given;     /* under the lock */
    bool is_quit_asked;    /* under the lock */
    atomic_bool has_given; /* a hint, for the snapshot to step aside */

    /* The journal thread only. */
    struct jobs jobs;  /* taken from given and not done yet */
    uint64_t appended; /* last append handed to the journal */
    struct keeper_progress progress;
    uv_timer_t sync_timer, retry_timer;
    uv_idle_t idle; /* active while there is a snapshot */
    uv_work_t sync_work;
    struct journal_sync sync; /* while is_syncing: read by the pool's thread */
    enum err sync_result;
    uint64_t sync_append, sync_began_ns, sync_ended_ns;
    bool is_syncing, is_quitting, has_synced;
    struct snapshot *snapshot;
    uv_work_t snapshot_work; /* while is_snapshot_syncing: the pool's thread syncs the snapshot's file */
    enum err snapshot_sync_result;
    bool is_snapshot_syncing;
    uint64_t slice_ended_ns;
    bool was_all_durable;

    /* Written by the journal thread, read by all. */
    atomic_uint_fast64_t bytes, snapshot_bytes;
    struct histogram sync_times;
    struct stats stats;
};

/* What the system said where it said something. */
static const char *cause_of(const struct keeper *k, enum err err)
{
    int number = k->options.files ? files_last_error(k->options.files) : 0;
    return number != 0 ? uv_strerror(-number) : err_text(err);
}

static _Noreturn void keeper_die(const struct keeper *k, const char *what, enum err err)
{
    log_line(LOG_ERROR, "the journal in %s cannot be trusted any more, so this node ends: %s: %s",
             k->options.directory ? k->options.directory : "memory", what, cause_of(k, err));
    _exit(1); /* nothing that still waits for an answer gets one */
}

/* Progress */

static void on_retry(uv_timer_t *timer);

static void retry_later(struct keeper *k)
{
    if (uv_is_active((uv_handle_t *)&k->retry_timer)) return;
    uv_update_time(&k->loop);
    REQUIRE(uv_timer_start(&k->retry_timer, on_retry, FULL_RETRY_MS, 0) == 0);
}

/* Whoever is told that the disk is full hands out no appends any more, so that trying again is up to us. */
static void tell(struct keeper *k)
{
    k->progress.is_full = journal_is_full(k->journal) || k->progress.written < k->appended;
    k->progress.bytes = journal_bytes(k->journal);
    k->progress.snapshot_bytes = journal_snapshot_bytes(k->journal);
    atomic_store_explicit(&k->bytes, k->progress.bytes, memory_order_relaxed);
    atomic_store_explicit(&k->snapshot_bytes, k->progress.snapshot_bytes, memory_order_relaxed);
    k->options.progress(k->options.context, &k->progress);
    k->progress.has_rotated = false;
    k->progress.has_snapshot_ended = false;
    if (k->progress.is_full) retry_later(k);
}

/* Sync */

static void note_sync_time(struct keeper *k, uint64_t began_ns, uint64_t ended_ns)
{
    histogram_add(&k->sync_times, (ended_ns - began_ns) / 1000);
    stats_add(&k->stats, STAT_journal_syncs, 1);
}

static void sync_now(struct keeper *k)
{
    if (k->progress.synced == k->progress.written) return;
    uint64_t began_ns = uv_hrtime();
    enum err err = journal_sync(k->journal);
    if (err != ERR_OK) keeper_die(k, "fdatasync", err);
    note_sync_time(k, began_ns, uv_hrtime());
    k->progress.synced = k->progress.written;
}

static void sync_beside(struct keeper *k);
static void quit_if_done(struct keeper *k);

static void in_pool_sync(uv_work_t *work)
{
    struct keeper *k = work->data;
    k->sync_result = k->options.storage.ops->sync(k->sync.file);
    k->sync_ended_ns = uv_hrtime();
    if (k->sync_result != ERR_OK) keeper_die(k, "fdatasync", k->sync_result); /* here, where errno was kept */
}

static void after_sync(uv_work_t *work, int status)
{
    struct keeper *k = work->data;
    REQUIRE(status == 0);
    k->is_syncing = false;
    journal_sync_end(k->journal, &k->sync);
    note_sync_time(k, k->sync_began_ns, k->sync_ended_ns);
    if (k->sync_append > k->progress.synced) k->progress.synced = k->sync_append;
    tell(k);
    sync_beside(k);
    quit_if_done(k);
}

static void on_sync_timer(uv_timer_t *timer)
{
    sync_beside(timer->data);
}

/* Begins a sync in the pool when the time has come, or arms the timer for it. */
static void sync_beside(struct keeper *k)
{
    if (k->is_syncing || k->is_quitting || k->progress.synced == k->progress.written) return;
    uint64_t since_ms = (uv_hrtime() - k->sync_began_ns) / 1000000;
    if (k->has_synced && since_ms < SYNC_PERIOD_MS) {
        uv_update_time(&k->loop);
        REQUIRE(uv_timer_start(&k->sync_timer, on_sync_timer, SYNC_PERIOD_MS - since_ms, 0) == 0);
        return;
    }
    k->sync_append = k->progress.written;
    k->sync_began_ns = uv_hrtime();
    k->has_synced = true;
    if (!journal_sync_begin(k->journal, &k->sync)) { /* a rotation has synced it all */
        k->progress.synced = k->sync_append;
        tell(k);
        return;
    }
    k->is_syncing = true;
    REQUIRE(uv_queue_work(&k->loop, &k->sync_work, in_pool_sync, after_sync) == 0);
}

/* Write */

/* Writes what was appended; false while the disk is full. */
static bool write_appended(struct keeper *k)
{
    if (k->progress.written == k->appended) return true;
    enum err err = journal_write(k->journal);
    if (err != ERR_OK && err != ERR_FULL) keeper_die(k, "write", err);
    if (err == ERR_OK) {
        k->progress.written = k->appended;
        if (!k->options.durability_sync) gate_raise(k->options.gate, k->progress.written);
    }
    tell(k);
    if (err != ERR_OK) return false;
    if (k->options.durability_sync) {
        sync_now(k);
        gate_raise(k->options.gate, k->progress.synced);
        tell(k);
    } else {
        sync_beside(k);
    }
    return true;
}

/* Snapshot */

static void snapshot_end(struct keeper *k, enum err result)
{
    snapshot_free(k->snapshot);
    k->snapshot = NULL;
    (void)uv_idle_stop(&k->idle); /* always 0 */
    k->progress.has_snapshot_ended = true;
    k->progress.snapshot_result = result;
    tell(k);
}

static void in_pool_snapshot_sync(uv_work_t *work)
{
    struct keeper *k = work->data;
    k->snapshot_sync_result = k->options.storage.ops->sync(snapshot_file(k->snapshot));
}

static void after_snapshot_sync(uv_work_t *work, int status)
{
    struct keeper *k = work->data;
    REQUIRE(status == 0);
    k->is_snapshot_syncing = false;
    enum err err = k->snapshot_sync_result;
    enum err journal_err = err == ERR_OK ? journal_sync(k->journal) : ERR_OK;
    if (journal_err != ERR_OK) keeper_die(k, "fdatasync", journal_err);
    if (err == ERR_OK) err = snapshot_finish(k->snapshot);
    snapshot_end(k, err);
    quit_if_done(k);
}

/* Most of the file reaches the disk while appends go on; snapshot_finish, for which they wait, has little left to sync.
 */
static void snapshot_sync_beside(struct keeper *k)
{
    (void)uv_idle_stop(&k->idle); /* always 0 */
    k->is_snapshot_syncing = true;
    REQUIRE(uv_queue_work(&k->loop, &k->snapshot_work, in_pool_snapshot_sync, after_snapshot_sync) == 0);
}

static void on_idle(uv_idle_t *idle)
{
    struct keeper *k = idle->data;
    bool has_company = atomic_load_explicit(&k->has_given, memory_order_relaxed);
    if (has_company && uv_hrtime() - k->slice_ended_ns < SLICE_PERIOD_NS) return;
    bool is_complete = false;
    enum err err = snapshot_step(k->snapshot, SLICE_CELLS, &is_complete);
    k->slice_ended_ns = uv_hrtime();
    if (err != ERR_OK)
        snapshot_end(k, err);
    else if (is_complete)
        snapshot_sync_beside(k);
}

static enum err snapshot_start(struct keeper *k, const struct job *job)
{
    struct snapshot_options options = {
        .journal = k->journal,
        .keyspace = k->options.keyspace,
        .replicas = k->options.replicas,
        .segment = job->segment,
        .entries_kind = RECORD_ENTRIES,
    };
    enum err err = snapshot_begin(&options, &k->snapshot);
    for (uint32_t i = 0; err == ERR_OK && i < job->count; i++) {
        const struct record *r = &job->records[i];
        err = snapshot_append(k->snapshot, r->kind, bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip));
    }
    if (err == ERR_OK) REQUIRE(uv_idle_start(&k->idle, on_idle) == 0);
    return err;
}

/* Jobs */

static void append(struct keeper *k, const struct job *job)
{
    REQUIRE(job->number == k->appended + 1);
    for (uint32_t i = 0; i < job->count; i++) {
        const struct record *r = &job->records[i];
        struct bytes bytes = bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip);
        enum err err = journal_append(k->journal, r->kind, bytes);
        if (err != ERR_OK) keeper_die(k, "append", err);
        stats_add(&k->stats, STAT_journal_bytes, bytes.len);
    }
    k->appended = job->number;
}

static void rotate(struct keeper *k)
{
    enum err err = journal_rotate(k->journal, &k->progress.segment);
    if (err != ERR_OK && err != ERR_FULL) keeper_die(k, "rotation", err);
    if (err == ERR_FULL) { /* no snapshot then; appends go on while there is room for them */
        k->progress.has_snapshot_ended = true;
        k->progress.snapshot_result = err;
    } else {
        k->progress.has_rotated = true;
    }
    tell(k);
}

/* What is not an append waits until all before it is in the file. */
static bool do_job(struct keeper *k, const struct job *job)
{
    if (job->kind == ACTION_APPEND) {
        append(k, job);
        return true;
    }
    if (!write_appended(k)) return false;
    if (job->kind == ACTION_ROTATE) {
        rotate(k);
        return true;
    }
    REQUIRE(job->kind == ACTION_SNAPSHOT && !k->snapshot);
    enum err err = snapshot_start(k, job);
    if (err != ERR_OK) snapshot_end(k, err);
    return true;
}

static void do_jobs(struct keeper *k)
{
    for (const struct job *job; (job = jobs_first(&k->jobs)); jobs_drop_first(&k->jobs))
        if (!do_job(k, job)) return;
    (void)write_appended(k); /* when full, the timer tries again */
}

static void on_async(uv_async_t *async)
{
    struct keeper *k = async->data;
    uv_mutex_lock(&k->lock);
    atomic_store_explicit(&k->has_given, false, memory_order_relaxed);
    enum err err = jobs_move(&k->jobs, &k->given);
    bool asked_to_quit = k->is_quit_asked;
    uv_mutex_unlock(&k->lock);
    if (err != ERR_OK) keeper_die(k, "queue", err);
    do_jobs(k);
    if (asked_to_quit) k->is_quitting = true;
    quit_if_done(k);
}

static void on_retry(uv_timer_t *timer)
{
    struct keeper *k = timer->data;
    enum err err = journal_is_full(k->journal) ? journal_reserve(k->journal) : ERR_OK;
    if (err != ERR_OK && err != ERR_FULL) keeper_die(k, "reservation", err);
    do_jobs(k);
    tell(k);
}

/* Life */

static void handles_close(struct keeper *k)
{
    uv_close((uv_handle_t *)&k->async, NULL);
    uv_close((uv_handle_t *)&k->sync_timer, NULL);
    uv_close((uv_handle_t *)&k->retry_timer, NULL);
    uv_close((uv_handle_t *)&k->idle, NULL);
}

static void quit_if_done(struct keeper *k)
{
    if (!k->is_quitting || k->is_syncing || k->is_snapshot_syncing || uv_is_closing((uv_handle_t *)&k->async)) return;
    snapshot_free(k->snapshot);
    k->snapshot = NULL;
    sync_now(k);
    k->was_all_durable = k->progress.synced == k->appended && jobs_is_empty(&k->jobs);
    handles_close(k);
}

static void run(void *context)
{
    struct keeper *k = context;
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
}

static enum err loop_init(struct keeper *k)
{
    if (uv_loop_init(&k->loop) != 0) return ERR_NOMEM;
    if (uv_async_init(&k->loop, &k->async, on_async) != 0) {
        REQUIRE(uv_loop_close(&k->loop) == 0);
        return ERR_NOMEM;
    }
    REQUIRE(uv_timer_init(&k->loop, &k->sync_timer) == 0);
    REQUIRE(uv_timer_init(&k->loop, &k->retry_timer) == 0);
    REQUIRE(uv_idle_init(&k->loop, &k->idle) == 0);
    k->async.data = k;
    k->sync_timer.data = k;
    k->retry_timer.data = k;
    k->idle.data = k;
    k->sync_work.data = k;
    k->snapshot_work.data = k;
    return ERR_OK;
}

enum err keeper_new(const struct keeper_options *options, struct keeper **ret_keeper)
{
    struct keeper *k = aligned_alloc(_Alignof(struct keeper), sizeof *k);
    if (!k) return ERR_NOMEM;
    memset(k, 0, sizeof *k);
    k->options = *options;
    k->journal = options->journal;
    if (uv_mutex_init(&k->lock) != 0) goto failed;
    if (loop_init(k) != ERR_OK) goto failed_lock;
    *ret_keeper = k;
    return ERR_OK;
failed_lock:
    uv_mutex_destroy(&k->lock);
failed:
    free(k);
    return ERR_NOMEM;
}

enum err keeper_start(struct keeper *k)
{
    if (uv_thread_create(&k->thread, run, k) != 0) return ERR_NOMEM;
    k->is_started = true;
    return ERR_OK;
}

void keeper_free(struct keeper *k)
{
    if (!k) return;
    if (!k->is_started) {
        handles_close(k);
        run(k);
    }
    REQUIRE(uv_loop_close(&k->loop) == 0);
    jobs_release(&k->jobs);
    jobs_release(&k->given);
    uv_mutex_destroy(&k->lock);
    journal_close(k->journal);
    free(k);
}

/* From other threads */

enum err keeper_give(struct keeper *k, struct action *action)
{
    uv_mutex_lock(&k->lock);
    enum err err = jobs_add(&k->given, action);
    atomic_store_explicit(&k->has_given, true, memory_order_relaxed);
    uv_mutex_unlock(&k->lock);
    if (err == ERR_OK) uv_async_send(&k->async);
    return err;
}

bool keeper_quit(struct keeper *k)
{
    if (!k->is_started) return true;
    uv_mutex_lock(&k->lock);
    k->is_quit_asked = true;
    uv_mutex_unlock(&k->lock);
    uv_async_send(&k->async);
    (void)uv_thread_join(&k->thread);
    return k->was_all_durable;
}

const struct stats *keeper_stats(const struct keeper *k)
{
    return &k->stats;
}

uint64_t keeper_sync_p99_us(const struct keeper *k)
{
    return histogram_percentile(&k->sync_times, 99);
}

void keeper_sizes(const struct keeper *k, uint64_t *ret_bytes, uint64_t *ret_snapshot_bytes)
{
    *ret_bytes = atomic_load_explicit(&k->bytes, memory_order_relaxed);
    *ret_snapshot_bytes = atomic_load_explicit(&k->snapshot_bytes, memory_order_relaxed);
}
