/* SPDX-License-Identifier: Apache-2.0 */
/* history: a random life of a cluster, drawn from one seed: how many nodes, how bad the network and the disks are, and
 * what happens when. First anything may be down and only safety is checked; then all comes back, and the cluster must
 * settle on exactly what was answered, plus a part of what never was. */
#ifndef QUIPU_SIM_HISTORY_H
#define QUIPU_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

struct history_options {
    uint64_t seed;
    uint32_t nodes; /* 0: drawn, 2 to 6 */
    uint32_t steps; /* 0: 1,500 */
    bool tell;      /* notices and faults on standard output */
};

/* Ends the process with an explanation and the seed when a check fails. Returns the trace: equal for equal options. */
uint64_t history_run(const struct history_options *options);

#endif
