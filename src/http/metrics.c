/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text, format 0.0.4. Base units; one label per peer, never one per counter. */
#include "http/exchange.h"

#include <inttypes.h>

static void write_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_gauge(struct buffer *out, const char *name, uint64_t value, const char *help)
{
    write_head(out, name, "gauge", help);
    buffer_printf(out, "%s %" PRIu64 "\n", name, value);
}

/* Shown as a decimal fraction with all its digits. */
struct fraction {
    uint64_t value, per_one; /* per_one: 1,000 or 1,000,000 */
};

static void write_fraction(struct buffer *out, struct fraction f)
{
    int digits = f.per_one == 1000 ? 3 : 6;
    buffer_printf(out, " %" PRIu64 ".%0*" PRIu64 "\n", f.value / f.per_one, digits, f.value % f.per_one);
}

static void write_label(struct buffer *out, const char *value)
{
    buffer_u8(out, '"');
    for (const char *at = value; *at; at++) {
        if (*at == '\n') {
            buffer_text(out, "\\n");
            continue;
        }
        if (*at == '\\' || *at == '"') buffer_u8(out, '\\');
        buffer_u8(out, (uint8_t)*at);
    }
    buffer_u8(out, '"');
}

static void write_stats(struct buffer *out, const struct service *service)
{
    static const struct {
        const char *name, *help;
    } texts[] = {
#define X(name, help) { "quipu_" #name "_total", help },
        STATS_LIST(X)
#undef X
    };
    for (int stat = 0; stat < STAT_COUNT; stat++) {
        write_head(out, texts[stat].name, "counter", texts[stat].help);
        uint64_t value = service->ops->stat(service->server, (enum stats_item)stat);
        buffer_printf(out, "%s %" PRIu64 "\n", texts[stat].name, value);
    }
}

static void write_service(struct buffer *out, const struct service *service)
{
    struct service_info info = { 0 };
    service->ops->info(service->server, &info);
    write_head(out, "quipu_build_info", "gauge", "The version of this node, always 1.");
    buffer_text(out, "quipu_build_info{version=");
    write_label(out, info.version);
    buffer_text(out, "} 1\n");
    write_gauge(out, "quipu_connected_clients", info.clients, "Clients that are connected now.");
    write_gauge(out, "quipu_workers", info.workers, "Worker threads.");
    write_gauge(out, "quipu_counters", keyspace_count(service->keyspace), "Counters that exist.");
    write_gauge(out, "quipu_counters_memory_bytes", keyspace_bytes(service->keyspace), "Memory held for counters.");
    write_gauge(out, "quipu_journal_disk_bytes", info.journal_bytes, "Size of the journal on disk.");
    write_gauge(out, "quipu_snapshot_disk_bytes", info.snapshot_bytes, "Size of the newest snapshot on disk.");
    write_head(out, "quipu_journal_sync_p99_seconds", "gauge", "Time that 99 of 100 journal syncs stay below.");
    buffer_text(out, "quipu_journal_sync_p99_seconds");
    write_fraction(out, (struct fraction){ info.journal_sync_p99_us, 1000000 });
    write_head(out, "process_cpu_seconds_total", "counter", "Processor time used, by user and system.");
    buffer_text(out, "process_cpu_seconds_total");
    write_fraction(out, (struct fraction){ info.cpu_user_us + info.cpu_system_us, 1000000 });
    write_gauge(out, "process_resident_memory_bytes", info.memory_bytes, "Resident memory.");
    write_gauge(out, "process_start_time_seconds", info.started_at_s, "Start of the process since 1970.");
}

/* One metric with a line for each other member. */
struct peer_metric {
    const char *name, *help;
    struct fraction (*read)(const struct view_member *member);
};

static struct fraction read_up(const struct view_member *m)
{
    return (struct fraction){ m->heard, 1 };
}
static struct fraction read_lag_entries(const struct view_member *m)
{
    return (struct fraction){ m->lag_entries, 1 };
}
static struct fraction read_lag(const struct view_member *m)
{
    return (struct fraction){ m->lag_ms, 1000 };
}
static struct fraction read_rtt(const struct view_member *m)
{
    return (struct fraction){ m->rtt_us, 1000000 };
}
static struct fraction read_heard(const struct view_member *m)
{
    return (struct fraction){ m->last_heard_ms, 1000 };
}

static const struct peer_metric peer_metrics[] = {
    { "quipu_peer_up", "Whether the peer is heard directly.", read_up },
    { "quipu_replication_lag_entries", "Own entries that the peer has not confirmed on its disk.", read_lag_entries },
    { "quipu_replication_lag_seconds", "For how long there have been entries that the peer lacks.", read_lag },
    { "quipu_peer_round_trip_seconds", "Last measured round trip to the peer, 0 while unknown.", read_rtt },
    { "quipu_peer_silence_seconds", "Time since the peer was heard.", read_heard },
};

static void write_peer_metric(struct buffer *out, const struct view *view, const struct peer_metric *metric)
{
    bool begun = false;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct view_member *member = &view->members[i];
        if (member->is_self || member->state == MEMBER_LEFT) continue;
        if (!begun) write_head(out, metric->name, "gauge", metric->help);
        begun = true;
        buffer_text(out, metric->name);
        buffer_text(out, "{peer=");
        write_label(out, member->node);
        buffer_u8(out, '}');
        struct fraction value = metric->read(member);
        if (value.per_one == 1) {
            buffer_printf(out, " %" PRIu64 "\n", value.value);
        } else {
            write_fraction(out, value);
        }
    }
}

static void write_cluster(struct buffer *out, const struct service *service)
{
    const struct view *view = service->ops->view(service->server);
    uint64_t up = 0;
    for (uint32_t i = 0; i < view->members_count; i++) up += view->members[i].heard && !view->members[i].is_self;
    bool accepts = keyspace_writes_refused(service->keyspace) == ERR_OK;
    write_gauge(out, "quipu_ready", view->ready && !view->stopping && accepts, "Whether /readyz would say 200.");
    write_gauge(out, "quipu_writes_refused", !accepts, "Whether writes are refused: disk full or shutting down.");
    write_gauge(out, "quipu_peers_up", up, "Peers that are heard directly.");
    write_gauge(out, "quipu_replicas", view->replicas_count, "Replica ids that this node knows of.");
    for (size_t i = 0; i < sizeof peer_metrics / sizeof peer_metrics[0]; i++) {
        write_peer_metric(out, view, &peer_metrics[i]);
    }
    view_drop(view);
}

void metrics_get(struct exchange *x)
{
    struct buffer *body = &x->answer->body;
    x->answer->media = "text/plain; version=0.0.4; charset=utf-8";
    write_service(body, x->service);
    write_stats(body, x->service);
    write_cluster(body, x->service);
}
