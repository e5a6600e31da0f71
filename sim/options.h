/* SPDX-License-Identifier: Apache-2.0 */
/* options: the command line of quipu-sim. */
#ifndef QUIPU_SIM_OPTIONS_H
#define QUIPU_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define WITH_MAX 8u

struct sim_arguments {
    uint64_t first, count; /* seeds; first 0: a fresh one */
    double minutes;        /* instead of a count */
    uint32_t nodes, length_s, jobs;
    const char *scenario, *commit, *log;
    const char *with[WITH_MAX]; /* faults that are off otherwise */
    uint32_t with_count;
    bool list, trace, speed;
};

/* False after a line on standard error that says what is wrong. */
bool arguments_read(struct sim_arguments *a, int argc, char **argv);

#endif
