/* SPDX-License-Identifier: Apache-2.0 */
/* machine: what stands around one core: its disk, its journal thread, its life. */
#include "sim/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FULL_RETRY_MS 500u

static void schedule_for(struct sim *s, uint32_t node, enum happening_kind kind, uint32_t delay_ms)
{
    sim_schedule(s, &(struct happening){
                        .at_ms = s->now_ms + delay_ms, .kind = kind, .node = node, .life = s->machines[node].life });
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
    char name[16];
    const char *seed = "n0:1";
    snprintf(name, sizeof name, "n%u:1", node);
    struct node_options options = { .name = name,
                                    .cluster = "sim",
                                    .seeds = &seed,
                                    .seeds_count = s->options.no_seeds ? 0 : 1,
                                    .heartbeat_ms = 500,
                                    .peer_timeout_ms = 3000,
                                    .backoff_ms_min = 500,
                                    .backoff_ms_max = 30000,
                                    .durability_sync = !s->options.async,
                                    .shards = 4,
                                    .snapshot_bytes = s->options.snapshot_bytes,
                                    .hash_seed = random_u64(&s->random),
                                    .random_seed = random_u64(&s->random),
                                    .nonce = random_u64(&s->random) | 1,
                                    .replica = random_id(s),
                                    .stats = &s->machines[node].stats };
    struct node *made;
    REQUIRE(node_new(&options, &made) == ERR_OK);
    return made;
}

void machine_start(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    REQUIRE(!m->up);
    m->life++;
    m->node = make_node(s, node);
    struct journal_options options = { .storage = disk_storage(m->disk),
                                       .id = random_id(s),
                                       .segment_bytes = s->options.segment_bytes };
    struct journal_report report;
    enum err err = journal_open(&options, node_recover, m->node, &m->journal, &report);
    if (err != ERR_OK)
        fprintf(stderr, "sim: n%u: %s in %s at %llu\n", node, err_text(err), report.file,
                (unsigned long long)report.offset);
    REQUIRE(err == ERR_OK);
    m->up = true;
    m->paused = false;
    m->appended = m->written = m->synced = 0;
    m->write_scheduled = m->sync_scheduled = m->retry_scheduled = false;
    m->wake_ms = UINT64_MAX;
}

void machine_end(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    if (!m->up) return;
    m->up = false;
    m->life++;
    snapshot_free(m->snapshot);
    m->snapshot = NULL;
    journal_close(m->journal);
    m->journal = NULL;
    node_free(m->node);
    m->node = NULL;
    for (uint32_t i = 0; i < m->appends_count; i++) action_release(&m->appends[i]);
    m->appends_count = 0;
    sim_fate_known(s, node);
}

void machine_append(struct sim *s, uint32_t node, struct action *action)
{
    struct machine *m = &s->machines[node];
    if (m->appends_count == m->appends_cap) {
        m->appends_cap = m->appends_cap ? m->appends_cap * 2 : 8;
        m->appends = realloc(m->appends, m->appends_cap * sizeof *m->appends);
        REQUIRE(m->appends);
    }
    m->appends[m->appends_count++] = *action;
    action->as.append.records = NULL;
    action->as.append.count = 0;
    if (m->write_scheduled) return;
    m->write_scheduled = true;
    schedule_for(s, node, HAPPEN_WRITE, sim_random(s, s->options.write_ms_max));
}

static void tell_journal(struct sim *s, uint32_t node, bool full)
{
    struct machine *m = &s->machines[node];
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

static void take_records(struct machine *m)
{
    for (uint32_t i = 0; i < m->appends_count; i++) {
        struct action *a = &m->appends[i];
        for (uint32_t k = 0; k < a->as.append.count; k++) {
            const struct record *r = &a->as.append.records[k];
            struct bytes bytes = bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip);
            REQUIRE(journal_append(m->journal, r->kind, bytes) == ERR_OK);
        }
        m->appended = a->as.append.number;
        action_release(a);
    }
    m->appends_count = 0;
}

static void retry_later(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    if (m->retry_scheduled) return;
    m->retry_scheduled = true;
    schedule_for(s, node, HAPPEN_RETRY, FULL_RETRY_MS);
}

static void happen_write(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    uint32_t life = m->life;
    m->write_scheduled = false;
    take_records(m);
    enum err err = journal_write(m->journal);
    if (err == ERR_FULL || (err == ERR_OK && journal_is_full(m->journal))) retry_later(s, node);
    if (err == ERR_FULL) {
        tell_journal(s, node, true);
        return;
    }
    if (err != ERR_OK) { /* the process ends, as the server does */
        sim_kill(s, node);
        return;
    }
    m->written = m->appended;
    if (!m->sync_scheduled) {
        m->sync_scheduled = true;
        schedule_for(s, node, HAPPEN_SYNC, sim_random(s, s->options.sync_ms_max));
    }
    done_event(s, node, EVENT_WRITTEN, m->written);
    if (m->life == life) tell_journal(s, node, false);
}

/* As the server: room is sought again, then what waits is written. */
static void happen_retry(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    m->retry_scheduled = false;
    enum err err = journal_is_full(m->journal) ? journal_reserve(m->journal) : ERR_OK;
    if (err == ERR_OK || err == ERR_FULL)
        happen_write(s, node);
    else
        sim_kill(s, node);
}

static void happen_sync(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    m->sync_scheduled = false;
    if (journal_sync(m->journal) != ERR_OK) {
        sim_kill(s, node);
        return;
    }
    m->synced = m->written;
    done_event(s, node, EVENT_SYNCED, m->synced);
}

void machine_rotate(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    uint64_t segment;
    take_records(m); /* what was asked for before belongs to the old segment */
    enum err err = journal_rotate(m->journal, &segment);
    struct event event = { .kind = EVENT_ROTATED };
    if (err == ERR_OK) {
        event.as.rotated.segment = segment;
    } else {
        event.kind = EVENT_SNAPSHOT;
        event.as.snapshot.result = err;
    }
    sim_event(s, node, &event);
}

static void snapshot_ended(struct sim *s, uint32_t node, enum err err)
{
    struct machine *m = &s->machines[node];
    snapshot_free(m->snapshot);
    m->snapshot = NULL;
    struct event event = { .kind = EVENT_SNAPSHOT };
    event.as.snapshot.result = err;
    sim_event(s, node, &event);
}

void machine_snapshot(struct sim *s, uint32_t node, struct action *action)
{
    struct machine *m = &s->machines[node];
    struct snapshot_options options = { .journal = m->journal,
                                        .keyspace = node_keyspace(m->node),
                                        .replicas = node_replicas(m->node),
                                        .segment = action->as.append.segment,
                                        .entries_kind = RECORD_ENTRIES };
    enum err err = snapshot_begin(&options, &m->snapshot);
    for (uint32_t i = 0; err == ERR_OK && i < action->as.append.count; i++) {
        const struct record *r = &action->as.append.records[i];
        err = snapshot_append(m->snapshot, r->kind, bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip));
    }
    if (err == ERR_OK)
        schedule_for(s, node, HAPPEN_SNAPSHOT, 1);
    else
        snapshot_ended(s, node, err);
}

static void happen_snapshot(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    bool done = false;
    enum err err = snapshot_step(m->snapshot, 16, &done);
    if (err == ERR_OK && !done) {
        schedule_for(s, node, HAPPEN_SNAPSHOT, 1);
        return;
    }
    if (err == ERR_OK) err = snapshot_finish(m->snapshot);
    snapshot_ended(s, node, err);
}

void machine_happen(struct sim *s, const struct happening *h)
{
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
        break;
    }
    require_failed("a happening of the machine", __FILE__, __LINE__);
}
