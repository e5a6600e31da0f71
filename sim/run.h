/* SPDX-License-Identifier: Apache-2.0 */
/* run: one random life of a cluster, drawn from one seed: how many nodes, how bad network and disks are, which faults
 * there are at all, what clients do. First anything may be down and only safety is checked; then a random set of nodes
 * is healed, the rest stays dead or cut off, and the healed ones must agree in bounded time; then all are. */
#ifndef QUIPU_SIM_RUN_H
#define QUIPU_SIM_RUN_H

#include "base/random.h"
#include "sim/report.h"
#include "sim/sim.h"

struct run;

/* Within so many simulated milliseconds healed nodes agree. A dial may be under way to an address that does not answer
 * (peer timeout), then the longest wait with its jitter, and again, since both sides may have closed a link for the
 * other's; on a clock that is a tenth slow. Then gossip: it asks an owner that does not push in the third of its rounds
 * (1.2 s each), another peer in the next, and a disk that was full is tried again after half a second. */
#define RUN_AGREE_MS_FOR(backoff_ms_max)                                                                               \
    ((2u * ((backoff_ms_max)*12u / 10u + SIM_PEER_TIMEOUT_MS) * 11u / 10u) + 20u * 1200u)
#define RUN_AGREE_MS RUN_AGREE_MS_FOR(SIM_BACKOFF_MS_MAX)

struct run_options {
    uint64_t seed;
    uint32_t nodes;    /* 0: drawn */
    uint32_t length_s; /* of the first phase, simulated; 0: drawn */
    bool tells;
    struct tally *tally;
    void (*shape)(struct run *r); /* changes what was drawn, or NULL */
};

struct run {
    struct run_options options;
    struct sim *sim;
    struct random random;
    uint32_t every_ms[FAULT_COUNT]; /* mean time between two; 0: not in this run */
    uint32_t one_in[FORCE_COUNT];   /* chance of a forced branch; 0: not in this run */
    uint32_t counters, op_every_ms, read_percent, name_bytes;
    uint32_t burst_one_in; /* of a client's visits changes a whole row of counters; 0: none does */
    uint32_t nodes_max, disks_lost_max;
    int64_t delta_max;
    uint64_t held_before;         /* memory, by whoever else runs in this process */
    bool grow_only, forks, quiet; /* quiet: no more clients, no more faults */
};

/* Returns the trace: equal for equal options. Ends the process with an explanation when a check fails. */
uint64_t run_seed(const struct run_options *options);
/* The same load without faults, for the figure of speed: five nodes, 100 increments a second each, 1,000 counters. */
void run_speed(uint64_t seed, uint32_t seconds, struct tally *tally);

uint32_t run_draw(struct run *r, uint32_t below);

#endif
