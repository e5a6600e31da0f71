/* SPDX-License-Identifier: Apache-2.0 */
/* machine: what stands around one core: its disk, its journal thread, its life. */
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define FULL_RETRY_MS 500u
#define HELD_AGAIN_MS 5u

static void schedule_for(struct sim *s, uint32_t node, enum happening_kind kind, uint32_t delay_ms)
{
    sim_schedule(s,
                 &(struct happening){
                     .at_ms = s->now_ms + delay_ms, .kind = kind, .node = node, .life = sim_machine(s, node)->life });
}

static struct id128 random_id(struct sim *s)
{
    struct id128 id;
    for (unsigned i = 0; i < sizeof id.bytes; i++) id.bytes[i] = (uint8_t)random_u64(&s->random);
    id.bytes[0] |= 1;
    return id;
}

static struct node *make_node(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    char names[3][24];
    const char *seeds[3];
    uint32_t count = s->options.seeds ? s->options.seeds : 1;
    for (uint32_t i = 0; i < count && i < 3; i++) {
        snprintf(names[i], sizeof names[i], "n%u:1", i);
        seeds[i] = names[i];
    }
    struct node_options options = { .name = m->name,
                                    .cluster = "sim",
                                    .seeds = seeds,
                                    .seeds_count = s->options.no_seeds ? 0 : count,
                                    .heartbeat_ms = SIM_HEARTBEAT_MS,
                                    .peer_timeout_ms = SIM_PEER_TIMEOUT_MS,
                                    .backoff_ms_min = SIM_BACKOFF_MS_MIN,
                                    .backoff_ms_max = s->options.backoff_ms_max,
                                    .durability_sync = !s->options.async,
                                    .shards = SIM_SHARDS,
                                    .snapshot_bytes = s->options.snapshot_bytes,
                                    .hash_seed = random_u64(&s->random),
                                    .random_seed = random_u64(&s->random),
                                    .nonce = random_u64(&s->random) | 1,
                                    .replica = random_id(s),
                                    .stats = &m->stats };
    struct node *made;
    REQUIRE(node_new(&options, &made) == ERR_OK);
    return made;
}

/* A start can fail as it would in the product: the disk is full, or breaks. */
enum err machine_start(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    REQUIRE(!m->up);
    m->life++;
    m->node = make_node(s, node);
    struct journal_options options = { .storage = disk_storage(m->disk),
                                       .id = random_id(s),
                                       .segment_bytes = s->options.segment_bytes };
    struct journal_report report;
    enum err err = journal_open(&options, node_recover, m->node, &m->journal, &report);
    if (err != ERR_OK) {
        if (err != ERR_FULL && err != ERR_IO)
            oracle_fail(s, node, "RECOVERED", "the journal does not open: %s in %s at %llu", err_text(err), report.file,
                        (unsigned long long)report.offset);
        node_free(m->node);
        m->node = NULL;
        return err;
    }
    if (report.holes > 0 && !s->damaged)
        oracle_fail(s, node, "RECOVERED", "a hole in %s at %llu", report.hole[0].file,
                    (unsigned long long)report.hole[0].offset);
    m->up = true;
    m->paused = false;
    m->appended = m->written = m->synced = 0;
    m->write_scheduled = m->sync_scheduled = m->retry_scheduled = false;
    m->wake_ms = UINT64_MAX;
    return ERR_OK;
}

void machine_end(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    if (!m->up) return;
    m->up = m->paused = false;
    m->life++;
    snapshot_free(m->snapshot);
    m->snapshot = NULL;
    journal_close(m->journal);
    m->journal = NULL;
    node_free(m->node);
    m->node = NULL;
    for (uint32_t i = 0; i < m->jobs_count; i++) action_release(&m->jobs[i]);
    m->jobs_count = m->held_count = 0;
    m->blow = BLOW_NONE;
}

/* The process ends, as the server does, when its disk fails; the machine too if the power went out in the middle. */
static void disk_failed(struct sim *s, uint32_t node)
{
    if (disk_is_dark(sim_machine(s, node)->disk))
        sim_power_cut(s, node);
    else
        sim_kill(s, node);
}

/* The journal thread does its jobs in order. */
void machine_job(struct sim *s, uint32_t node, struct action *action)
{
    struct machine *m = sim_machine(s, node);
    if (action->kind == ACTION_APPEND) oracle_append(s, node, action);
    m->jobs = sim_grow(m->jobs, &m->jobs_cap, m->jobs_count, sizeof *m->jobs);
    m->jobs[m->jobs_count++] = *action;
    action->as.append.records = NULL;
    action->as.append.count = 0;
    if (m->write_scheduled) return;
    m->write_scheduled = true;
    schedule_for(s, node, HAPPEN_WRITE, sim_random(s, s->options.write_ms_max));
}

static void tell_journal(struct sim *s, uint32_t node, bool full)
{
    struct machine *m = sim_machine(s, node);
    struct event event = { .kind = EVENT_JOURNAL };
    event.as.journal.full = full || journal_is_full(m->journal);
    event.as.journal.bytes = journal_bytes(m->journal);
    event.as.journal.snapshot_bytes = journal_snapshot_bytes(m->journal);
    sim_event(s, node, &event);
}

static void done_event(struct sim *s, uint32_t node, enum event_kind kind, uint64_t append)
{
    struct event event = { .kind = kind };
    event.as.done.append = append;
    sim_event(s, node, &event);
}

static void append_records(struct machine *m, const struct action *a)
{
    for (uint32_t k = 0; k < a->as.append.count; k++) {
        const struct record *r = &a->as.append.records[k];
        struct bytes bytes = bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip);
        REQUIRE(journal_append(m->journal, r->kind, bytes) == ERR_OK);
    }
    m->appended = a->as.append.number;
}

static enum err snapshot_start(struct machine *m, const struct action *a)
{
    struct snapshot_options options = { .journal = m->journal,
                                        .keyspace = node_keyspace(m->node),
                                        .replicas = node_replicas(m->node),
                                        .segment = a->as.append.segment,
                                        .entries_kind = RECORD_ENTRIES };
    enum err err = snapshot_begin(&options, &m->snapshot);
    for (uint32_t i = 0; err == ERR_OK && i < a->as.append.count; i++) {
        const struct record *r = &a->as.append.records[i];
        err = snapshot_append(m->snapshot, r->kind, bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip));
    }
    return err;
}

/* What the jobs brought beside appends, to be told to the node after the write. */
struct outcome {
    struct event event; /* ROTATED, or SNAPSHOT when that failed at its beginning */
    bool has_event;
    enum err err; /* of the disk: the process ends */
};

static void do_job(struct sim *s, uint32_t node, struct action *a, struct outcome *o)
{
    struct machine *m = sim_machine(s, node);
    uint64_t segment;
    enum err err = ERR_OK;
    if (a->kind == ACTION_APPEND) {
        append_records(m, a);
    } else if (a->kind == ACTION_ROTATE) {
        err = journal_rotate(m->journal, &segment);
        o->has_event = true;
        o->event.kind = err == ERR_OK ? EVENT_ROTATED : EVENT_SNAPSHOT;
        if (err == ERR_OK)
            o->event.as.rotated.segment = segment;
        else
            o->event.as.snapshot.result = err;
        if (err != ERR_OK && err != ERR_FULL) o->err = err;
    } else {
        err = snapshot_start(m, a);
        if (err == ERR_OK) {
            schedule_for(s, node, HAPPEN_SNAPSHOT, 1);
            return;
        }
        snapshot_free(m->snapshot);
        m->snapshot = NULL;
        o->has_event = true;
        o->event.kind = EVENT_SNAPSHOT;
        o->event.as.snapshot.result = err;
    }
}

static void do_jobs(struct sim *s, uint32_t node, struct outcome *o)
{
    struct machine *m = sim_machine(s, node);
    for (uint32_t i = 0; i < m->jobs_count; i++) {
        if (o->err == ERR_OK) do_job(s, node, &m->jobs[i], o);
        action_release(&m->jobs[i]);
    }
    m->jobs_count = 0;
}

static void retry_later(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    if (m->retry_scheduled) return;
    m->retry_scheduled = true;
    schedule_for(s, node, HAPPEN_RETRY, FULL_RETRY_MS);
}

static void write_done(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    uint32_t life = m->life;
    m->written = m->appended;
    oracle_in_file(s, node, m->written);
    if (!m->sync_scheduled) {
        m->sync_scheduled = true;
        schedule_for(s, node, HAPPEN_SYNC, sim_random(s, s->options.sync_ms_max));
    }
    done_event(s, node, EVENT_WRITTEN, m->written);
    if (m->life == life) tell_journal(s, node, false);
}

static void happen_write(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    uint32_t life = m->life;
    struct outcome outcome = { 0 };
    m->write_scheduled = false;
    do_jobs(s, node, &outcome);
    enum err err = outcome.err;
    if (err == ERR_OK) err = journal_write(m->journal);
    if (err == ERR_FULL || (err == ERR_OK && journal_is_full(m->journal))) retry_later(s, node);
    if (err != ERR_OK && err != ERR_FULL) {
        disk_failed(s, node);
        return;
    }
    if (err == ERR_FULL)
        tell_journal(s, node, true);
    else if (m->written < m->appended)
        write_done(s, node);
    else
        tell_journal(s, node, false);
    if (outcome.has_event && m->life == life) sim_event(s, node, &outcome.event);
}

/* As the server: room is sought again, then what waits is written. */
static void happen_retry(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    m->retry_scheduled = false;
    enum err err = journal_is_full(m->journal) ? journal_reserve(m->journal) : ERR_OK;
    if (err == ERR_OK || err == ERR_FULL)
        happen_write(s, node);
    else
        disk_failed(s, node);
}

static void happen_sync(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    m->sync_scheduled = false;
    if (journal_sync(m->journal) != ERR_OK) {
        disk_failed(s, node);
        return;
    }
    m->synced = m->written;
    oracle_on_disk(s, node, m->synced);
    done_event(s, node, EVENT_SYNCED, m->synced);
}

static void snapshot_ended(struct sim *s, uint32_t node, enum err err)
{
    struct machine *m = sim_machine(s, node);
    snapshot_free(m->snapshot);
    m->snapshot = NULL;
    struct event event = { .kind = EVENT_SNAPSHOT };
    event.as.snapshot.result = err;
    sim_event(s, node, &event);
}

static void happen_snapshot(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    bool done = false;
    enum err err = snapshot_step(m->snapshot, 16, &done);
    if (err == ERR_OK && !done) {
        schedule_for(s, node, HAPPEN_SNAPSHOT, 1);
        return;
    }
    if (err == ERR_OK && journal_sync(m->journal) != ERR_OK) {
        disk_failed(s, node);
        return;
    }
    if (err == ERR_OK) err = snapshot_finish(m->snapshot);
    snapshot_ended(s, node, err);
}

void machine_happen(struct sim *s, const struct happening *h)
{
    if (sim_machine(s, h->node)->disk_held) {
        struct happening later = *h;
        later.at_ms = s->now_ms + HELD_AGAIN_MS;
        sim_schedule(s, &later);
        return;
    }
    switch (h->kind) {
    case HAPPEN_WRITE:
        happen_write(s, h->node);
        return;
    case HAPPEN_SYNC:
        happen_sync(s, h->node);
        return;
    case HAPPEN_RETRY:
        happen_retry(s, h->node);
        return;
    case HAPPEN_SNAPSHOT:
        happen_snapshot(s, h->node);
        return;
    case HAPPEN_WAKE:
    case HAPPEN_CONNECT:
    case HAPPEN_REFUSE:
    case HAPPEN_UP:
    case HAPPEN_DELIVER:
    case HAPPEN_SENT:
    case HAPPEN_DOWN:
    case HAPPEN_AUDIT:
    case HAPPEN_PLAN:
        break;
    }
    require_failed("a happening of the machine", __FILE__, __LINE__);
}
