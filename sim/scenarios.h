/* SPDX-License-Identifier: Apache-2.0 */
/* scenarios: stories by name, each with the reason it exists; SIM-n is of the list of pitfalls that broke the systems
 * before this one. Those that wait for a feature have no `run`, and the text says which. */
#ifndef QUIPU_SIM_SCENARIOS_H
#define QUIPU_SIM_SCENARIOS_H

#include "sim/report.h"

struct scenario {
    const char *name, *text;
    void (*run)(uint64_t seed, struct tally *tally);
};

uint32_t scenarios_count(void);
const struct scenario *scenario_at(uint32_t index);
const struct scenario *scenario_find(const char *name, uint32_t *ret_index); /* NULL if there is none */

#endif
