/* SPDX-License-Identifier: Apache-2.0 */
/* service: node/service.h for the sessions of this process. `server` in its calls is a struct server, `worker` a struct
 * worker. Any thread. */
#ifndef QUIPU_SERVER_SERVICE_H
#define QUIPU_SERVER_SERVICE_H

#include "node/service.h"
#include "server/keeper.h"
#include "server/replica.h"
#include "server/settings.h"
#include "server/worker.h"

/* The threads of the process and what they share. Made and taken apart by serve.c; does not change in between. */
struct server {
    const struct settings *settings;
    struct keyspace *keyspace;
    struct replica *replica;
    struct keeper *keeper;
    struct worker **workers;
    uint32_t workers_count;
    struct gate gate;
    struct traffic traffic;
    struct stats node_stats, main_stats; /* of node_step, and of the main thread */
    uint64_t started_ms, started_at_s;
};

extern const struct service_ops server_service_ops;

#endif
