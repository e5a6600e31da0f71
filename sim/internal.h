/* SPDX-License-Identifier: Apache-2.0 */
/* internal: the world's own structures, shared by the files of sim/. */
#ifndef QUIPU_SIM_INTERNAL_H
#define QUIPU_SIM_INTERNAL_H

#include "base/random.h"
#include "journal/journal.h"
#include "node/internal.h"
#include "sim/disk.h"
#include "sim/sim.h"

/* Things that will happen, in order of time and, at the same time, of being asked for. */
enum happening_kind {
    HAPPEN_WAKE,  /* node */
    HAPPEN_WRITE, /* node's journal */
    HAPPEN_SYNC,
    HAPPEN_RETRY, /* the disk was full */
    HAPPEN_SNAPSHOT,
    HAPPEN_CONNECT, /* wire */
    HAPPEN_REFUSE,
    HAPPEN_UP,      /* wire, end that hears of it */
    HAPPEN_DELIVER, /* wire, end that receives */
    HAPPEN_SENT,    /* wire, end whose bytes have left */
    HAPPEN_DOWN,    /* wire, end that hears of it */
};

struct happening {
    uint64_t at_ms, order;
    enum happening_kind kind;
    uint32_t node, life;     /* of a life that is over: nothing happens */
    uint32_t wire, use, end; /* use: of a wire that serves others by now, nothing happens */
};

struct schedule {
    struct happening *items; /* a heap */
    uint32_t count, cap;
    uint64_t order;
};

/* A piece of bytes on its way. len 0: the end of the stream. */
struct piece {
    uint64_t at_ms;
    uint8_t *bytes;
    size_t len;
    struct piece *next;
};

/* A connection between two nodes; end 0 dialled. */
struct wire_end {
    uint32_t node, life;
    link_id link;
    bool up, closed; /* the node was told that it is up; the node was told, or is to be told, that it is down */
    struct piece *first, *last; /* on the way to this end */
    uint64_t last_ms;
    uint64_t gone; /* bytes that left this end and of which its node was not told yet */
};
struct wire {
    struct wire_end ends[2];
    bool used;
    uint32_t use; /* rises with each connection that the place serves */
};

#define SIM_COUNTERS_MAX 4096u

/* An increment or a read whose reply waits for its commit. */
struct operation {
    uint32_t counter;
    int64_t delta;        /* 0: a read */
    int64_t value, floor; /* of a read: what it shows, and what was shown before it was made */
    uint64_t gate;
};

struct counter_fate {
    char name[64];
    int64_t answered;
    int64_t maybe_min, maybe_max; /* of those never answered */
};

struct machine {
    bool up, paused;
    uint32_t life; /* rises with each start and end */
    struct disk *disk;
    struct node *node;
    struct journal *journal;
    struct stats stats;
    struct snapshot *snapshot;
    struct action *appends; /* taken over, in order */
    uint32_t appends_count, appends_cap;
    uint64_t appended, written, synced;
    bool write_scheduled, sync_scheduled, retry_scheduled;
    uint64_t wake_ms;
    struct operation *waiting;
    uint32_t waiting_count, waiting_cap;
    uint32_t notices[NOTICE_COUNT];
    struct notice notice_last[NOTICE_COUNT];
    int64_t shown[SIM_COUNTERS_MAX]; /* by answered reads */
    char peers[SIM_NODES_MAX * 8];
    uint32_t orders_answered;
    enum order_result order_result; /* of the last */
};

struct sim {
    struct sim_options options;
    struct random random;
    uint64_t now_ms, trace;
    struct schedule schedule;
    struct machine machines[SIM_NODES_MAX];
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];
    struct wire *wires;
    uint32_t wires_count, wires_cap;
    link_id link_last; /* even ones, of links that come in */
    struct counter_fate fates[SIM_COUNTERS_MAX];
    uint32_t fates_count;
    sim_listener *listener;
    void *listener_context;
};

/* sim.c */
void sim_schedule(struct sim *s, const struct happening *h);
void sim_event(struct sim *s, uint32_t node, struct event *event);
uint32_t sim_random(struct sim *s, uint32_t below_or_zero);
void sim_fate_known(struct sim *s, uint32_t node);

/* network.c */
void network_connect(struct sim *s, uint32_t node, link_id link, const char *address);
void network_send(struct sim *s, uint32_t node, link_id link, struct shared *bytes);
void network_close(struct sim *s, uint32_t node, link_id link);
void network_happen(struct sim *s, const struct happening *h);
/* The node's process has ended; loud: the other ends see it. */
void network_node_gone(struct sim *s, uint32_t node, bool loud);
void network_release(struct sim *s);

/* machine.c */
void machine_start(struct sim *s, uint32_t node);
void machine_end(struct sim *s, uint32_t node);
void machine_append(struct sim *s, uint32_t node, struct action *action);
void machine_rotate(struct sim *s, uint32_t node);
void machine_snapshot(struct sim *s, uint32_t node, struct action *action);
void machine_happen(struct sim *s, const struct happening *h);

#endif
