/* SPDX-License-Identifier: Apache-2.0 */
#include "server/service.h"

#include "server/clock.h"
#include "server/errand.h"
#include "server/verifier.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct view *service_view(void *server)
{
    struct server *s = server;
    return replica_view(s->replica);
}

static enum err service_join(void *server, struct bytes address)
{
    struct server *s = server;
    struct endpoint endpoint;
    enum err err = endpoint_parse(address, &endpoint);
    return err == ERR_OK ? replica_seed(s->replica, endpoint.text, false) : err;
}

/* 0 where the system does not tell. */
static uint64_t resident_bytes(void)
{
    char text[128];
    unsigned long long total = 0, resident = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (got <= 0) return 0;
    text[got] = '\0';
    if (sscanf(text, "%llu %llu", &total, &resident) != 2) return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t timeval_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void service_info(void *server, struct service_info *ret_info)
{
    struct server *s = server;
    struct rusage usage = { 0 };
    (void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
    *ret_info = (struct service_info){
        .version = QUIPU_VERSION,
        .pid = (uint64_t)getpid(),
        .port = s->settings->listen.port,
        .uptime_ms = clock_ms() - s->started_ms,
        .started_at_s = s->started_at_s,
        .workers = s->workers_count,
        .clients = atomic_load(&s->traffic.clients),
        .memory_bytes = resident_bytes(),
        .cpu_user_us = timeval_us(usage.ru_utime),
        .cpu_system_us = timeval_us(usage.ru_stime),
        .durability_sync = s->settings->durability_sync,
        .data_dir_none = s->settings->data_dir_none,
        .journal_sync_p99_us = keeper_sync_p99_us(s->keeper),
    };
    keeper_sizes(s->keeper, &ret_info->journal_bytes, &ret_info->snapshot_bytes);
}

static uint64_t service_stat(void *server, enum stats_item stat)
{
    struct server *s = server;
    uint64_t sum =
        stats_get(&s->node_stats, stat) + stats_get(&s->main_stats, stat) + stats_get(keeper_stats(s->keeper), stat);
    for (uint32_t i = 0; i < s->workers_count; i++) sum += stats_get(worker_stats(s->workers[i]), stat);
    return sum;
}

static void *service_verify(void *worker, verify_done *done, void *context)
{
    struct verify_request *request = NULL;
    if (verifier_ask(worker_verifier(worker), done, context, &request) != ERR_OK) return NULL;
    return request;
}

static void service_verify_cancel(void *handle)
{
    verifier_cancel(handle);
}

static uint64_t service_wall_us(void *server)
{
    (void)server;
    return clock_wall_us();
}

static void *service_order(void *worker, enum order_kind kind, struct bytes name, order_done *done, void *context)
{
    struct worker *w = worker;
    struct replica *replica = worker_server(w)->replica;
    struct errand *errand = NULL;
    return errand_start(worker_loop(w), replica, kind, name, done, context, &errand) == ERR_OK ? errand : NULL;
}

static void service_order_cancel(void *handle)
{
    errand_cancel(handle);
}

const struct service_ops server_service_ops = {
    .view = service_view,
    .join = service_join,
    .info = service_info,
    .stat = service_stat,
    .verify = service_verify,
    .verify_cancel = service_verify_cancel,
    .wall_us = service_wall_us,
    .order = service_order,
    .order_cancel = service_order_cancel,
};
