/* SPDX-License-Identifier: Apache-2.0 */
/* INFO: what clients and monitoring of Redis read, under the names they know. What has no such name begins with quipu_.
 */
#include "node/counters.h"
#include "node/view.h"
#include "resp/handler.h"

#include <inttypes.h>

struct sources {
    const struct resp_session *session;
    struct service_info info;
};

static void put_text(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s:%s\r\n", name, value);
}

static void put_number(struct buffer *out, const char *name, uint64_t value)
{
    buffer_printf(out, "%s:%" PRIu64 "\r\n", name, value);
}

static void put_stat(struct buffer *out, const char *name, const struct sources *from, enum stats_item stat)
{
    const struct service *service = from->session->service;
    put_number(out, name, service->ops->stat(service->server, stat));
}

/* A size for people, with 1024 as the step. */
static void put_human(struct buffer *out, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTPE";
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024 && units[unit + 1] != 0; unit++) size /= 1024;
    if (unit == 0) {
        buffer_printf(out, "%s:%" PRIu64 "B\r\n", name, bytes);
    } else {
        buffer_printf(out, "%s:%.2f%c\r\n", name, size, units[unit]);
    }
}

static void put_server(struct buffer *out, const struct sources *from)
{
    const struct service *service = from->session->service;
    const struct service_info *info = &from->info;
    const struct view *view = service->ops->view(service->server);
    char replica[33];
    id128_hex(&view->replica, replica);
    put_text(out, "redis_version", REDIS_VERSION);
    put_text(out, "quipu_version", info->version);
    put_text(out, "redis_git_sha1", "00000000");
    put_text(out, "redis_git_dirty", "0");
    put_text(out, "redis_mode", "standalone");
    put_number(out, "arch_bits", sizeof(void *) * 8);
    put_number(out, "process_id", info->pid);
    put_text(out, "run_id", replica);
    put_number(out, "tcp_port", info->port);
    put_number(out, "server_time_usec", service->ops->wall_us(service->server));
    put_number(out, "uptime_in_seconds", info->uptime_ms / 1000);
    put_number(out, "uptime_in_days", info->uptime_ms / 86400000);
    put_number(out, "quipu_workers", info->workers);
    put_text(out, "quipu_node", view->node);
    put_text(out, "quipu_cluster", view->cluster);
    view_drop(view);
}

static void put_clients(struct buffer *out, const struct sources *from)
{
    put_number(out, "connected_clients", from->info.clients);
    put_number(out, "maxclients", CLIENTS_MAX);
    put_number(out, "blocked_clients", 0);
}

static void put_memory(struct buffer *out, const struct sources *from)
{
    uint64_t resident = from->info.memory_bytes, counters = keyspace_bytes(from->session->keyspace);
    put_number(out, "used_memory", resident);
    put_human(out, "used_memory_human", resident);
    put_number(out, "used_memory_rss", resident);
    put_human(out, "used_memory_rss_human", resident);
    put_number(out, "used_memory_dataset", counters);
    put_number(out, "maxmemory", 0);
    put_text(out, "maxmemory_human", "0B");
    put_text(out, "maxmemory_policy", "noeviction");
    put_text(out, "mem_allocator", "libc");
}

static void put_persistence(struct buffer *out, const struct sources *from)
{
    const struct service_info *info = &from->info;
    bool full = keyspace_writes_refused(from->session->keyspace) == ERR_FULL;
    put_number(out, "loading", 0);
    put_number(out, "async_loading", 0);
    put_number(out, "rdb_changes_since_last_save", 0);
    put_number(out, "rdb_bgsave_in_progress", 0);
    put_number(out, "aof_enabled", !info->data_dir_none);
    put_number(out, "aof_rewrite_in_progress", 0);
    put_text(out, "aof_last_write_status", full ? "err" : "ok");
    put_number(out, "aof_current_size", info->journal_bytes);
    put_text(out, "quipu_durability", info->data_dir_none ? "none" : info->durability_sync ? "sync" : "async");
    put_number(out, "quipu_snapshot_bytes", info->snapshot_bytes);
    put_number(out, "quipu_journal_sync_p99_usec", info->journal_sync_p99_us);
}

static void put_stats(struct buffer *out, const struct sources *from)
{
    put_stat(out, "total_connections_received", from, STAT_connections);
    put_stat(out, "total_commands_processed", from, STAT_resp_commands);
    put_stat(out, "total_net_input_bytes", from, STAT_bytes_in);
    put_stat(out, "total_net_output_bytes", from, STAT_bytes_out);
    put_stat(out, "rejected_connections", from, STAT_connections_refused);
    put_stat(out, "total_error_replies", from, STAT_resp_errors);
    put_number(out, "expired_keys", 0);
    put_number(out, "evicted_keys", 0);
    put_stat(out, "quipu_increments", from, STAT_increments);
    put_stat(out, "quipu_reads", from, STAT_reads);
    put_stat(out, "quipu_http_requests", from, STAT_http_requests);
    put_stat(out, "quipu_protocol_errors", from, STAT_protocol_errors);
    put_stat(out, "quipu_commits", from, STAT_commits);
    put_stat(out, "quipu_journal_syncs", from, STAT_journal_syncs);
}

/* To a client of Redis every node is a master without replicas: it takes writes, whoever its peers are. */
static void put_replication(struct buffer *out, const struct sources *from)
{
    const struct service *service = from->session->service;
    const struct view *view = service->ops->view(service->server);
    uint64_t peers = 0;
    for (uint32_t i = 0; i < view->members_count; i++) peers += view->members[i].heard && !view->members[i].is_self;
    view_drop(view);
    put_text(out, "role", "master");
    put_number(out, "connected_slaves", 0);
    put_text(out, "master_failover_state", "no-failover");
    put_number(out, "master_repl_offset", 0);
    put_number(out, "quipu_peers", peers);
}

static void put_seconds(struct buffer *out, const char *name, uint64_t us)
{
    buffer_printf(out, "%s:%" PRIu64 ".%06" PRIu64 "\r\n", name, us / 1000000, us % 1000000);
}

static void put_cpu(struct buffer *out, const struct sources *from)
{
    put_seconds(out, "used_cpu_sys", from->info.cpu_system_us);
    put_seconds(out, "used_cpu_user", from->info.cpu_user_us);
}

static void put_cluster(struct buffer *out, const struct sources *from)
{
    (void)from;
    put_number(out, "cluster_enabled", 0); /* Redis Cluster, that is */
}

static void put_keyspace(struct buffer *out, const struct sources *from)
{
    uint64_t count = keyspace_count(from->session->keyspace);
    if (count > 0) buffer_printf(out, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", count);
}

struct section {
    const char *name, *title;
    void (*put)(struct buffer *out, const struct sources *from);
};

static const struct section sections[] = {
    { "server", "Server", put_server },
    { "clients", "Clients", put_clients },
    { "memory", "Memory", put_memory },
    { "persistence", "Persistence", put_persistence },
    { "stats", "Stats", put_stats },
    { "replication", "Replication", put_replication },
    { "cpu", "CPU", put_cpu },
    { "cluster", "Cluster", put_cluster },
    { "keyspace", "Keyspace", put_keyspace },
};
#define SECTIONS_COUNT (sizeof sections / sizeof sections[0])

static bool section_is_wanted(const struct section *section, const struct request *q)
{
    if (q->argc == 1) return true;
    for (uint32_t i = 1; i < q->argc; i++) {
        struct bytes arg = request_arg(q, i);
        if (arg_is(arg, section->name) || arg_is(arg, "default") || arg_is(arg, "all") || arg_is(arg, "everything")) {
            return true;
        }
    }
    return false;
}

void server_info(struct resp_session *s, const struct request *q)
{
    struct sources from = { .session = s };
    session_count(s); /* so that commands of the same pipeline are in it */
    s->service->ops->info(s->service->server, &from.info);
    struct buffer text = { 0 };
    for (size_t i = 0; i < SECTIONS_COUNT; i++) {
        if (!section_is_wanted(&sections[i], q)) continue;
        buffer_printf(&text, "%s# %s\r\n", text.len > 0 ? "\r\n" : "", sections[i].title);
        sections[i].put(&text, &from);
    }
    reply_owned(&s->reply, &text);
}
