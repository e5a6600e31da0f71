/* SPDX-License-Identifier: Apache-2.0 */
/* mesh: many real cores in one thread, to be measured: no oracle, no faults but a cut through the middle. Links take
 * 1 ms each way, a disk writes at once and syncs in 1 ms, time goes on by whole milliseconds. The CPU that is counted
 * is that of node_step alone. Some nodes may be played (played.h): they speak the protocol and hold nothing. */
#ifndef QUIPU_SIM_MESH_H
#define QUIPU_SIM_MESH_H

#include "base/random.h"
#include "node/node.h"

#include <stdbool.h>
#include <stdint.h>

#define MESH_LATENCY_MS 1u
#define MESH_SYNC_MS 1u
#define MESH_COUNTERS 1000u
#define MESH_SLOTS 8u /* above every delay */
#define MESH_KINDS 16u

struct played;

struct wire {
    uint32_t node[2]; /* [0] dialled */
    link_id link[2];
    uint64_t gone[2]; /* bytes that left and were not reported yet */
    bool closed[2], lost[2];
};

enum post_kind { POST_CONNECT, POST_UP, POST_BYTES, POST_SENT, POST_DOWN, POST_WRITTEN, POST_SYNCED };

struct post {
    enum post_kind kind;
    uint32_t node, end;
    struct wire *wire;
    struct shared *bytes;
    uint64_t append;
};

struct slot {
    struct post *posts;
    uint32_t count, cap;
};

struct wires {
    struct wire **items; /* by half the link id */
    uint32_t count, cap;
};

struct spot {
    struct node *node;
    struct played *played; /* instead of node */
    struct stats stats;
    struct id128 replica;
    struct wires out, in;
    uint64_t wake_ms, cpu_ns, steps;
    uint64_t sent[MESH_KINDS], received[MESH_KINDS]; /* bytes by kind of frame */
    uint32_t load_due;                               /* thousandths of an increment */
    uint32_t nets[MESH_COUNTERS];                    /* of its own increments */
    uint64_t touched_ms[MESH_COUNTERS];
};

struct mesh {
    uint32_t nodes, per_second; /* increments of each node; 0: none */
    bool cut;                   /* between the lower and the upper half */
    uint64_t now_ms, increments, step_cost_ns;
    double deadline_s; /* of real time */
    struct random random;
    struct spot *spots;
    struct slot slots[MESH_SLOTS];
    struct wire **wires; /* all that ever were */
    uint32_t wires_count, wires_cap;
    struct actions actions;
};

/* The first `real` nodes are cores, the others are played. Nothing is started. */
struct mesh *mesh_new(uint32_t nodes, uint32_t real);
void mesh_free(struct mesh *m);
void mesh_start(struct mesh *m);
/* False when the deadline came first. */
bool mesh_run_ms(struct mesh *m, uint64_t ms);
/* A client's increment of counter number `counter`, or of `name`. */
void mesh_add(struct mesh *m, uint32_t node, uint32_t counter);
void mesh_add_name(struct mesh *m, uint32_t node, const char *name);
int64_t mesh_value(const struct mesh *m, uint32_t node, const char *name);
void mesh_counter_name(uint32_t counter, char ret_name[8]);
/* For played nodes: takes over the hold. */
void mesh_send(struct mesh *m, struct wire *w, uint32_t end, struct shared *bytes);

double mesh_real_s(void);         /* a clock of the machine's */
uint64_t mesh_memory_bytes(void); /* what all cores hold */

#endif
