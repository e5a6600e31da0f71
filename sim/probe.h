/* SPDX-License-Identifier: Apache-2.0 */
/* probe: how long it takes until an increment at one node is in the reads of others. Every 20 ms one node adds to a
 * counter of its own, and up to eight others are read each millisecond until they show it. */
#ifndef QUIPU_SIM_PROBE_H
#define QUIPU_SIM_PROBE_H

#include "sim/mesh.h"

#define PROBES_MAX 4096u
#define PROBE_MS_MAX 4096u

struct probe {
    uint32_t from, at;
    int64_t value; /* to be shown at least */
    uint64_t began_ms;
};

struct probes {
    struct mesh *m;
    uint32_t real; /* nodes that can be asked */
    struct probe open[PROBES_MAX];
    uint32_t open_count;
    uint64_t next_ms, seen[PROBE_MS_MAX], seen_count; /* by milliseconds taken */
};

void probes_init(struct probes *p, struct mesh *m, uint32_t real);
void probes_tick(struct probes *p);
uint64_t probes_percentile(const struct probes *p, uint32_t percent);

#endif
