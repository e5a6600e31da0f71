/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenarios.h"

#include <string.h>

static const struct scenario scenarios[] = {
    { "SIM-2", "waits for forks of replicas", 0 },
};

uint32_t scenarios_count(void)
{
    return sizeof scenarios / sizeof *scenarios;
}

const struct scenario *scenario_at(uint32_t index)
{
    return &scenarios[index];
}

const struct scenario *scenario_find(const char *name, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < scenarios_count(); i++) {
        if (strcmp(scenarios[i].name, name) != 0) continue;
        *ret_index = i;
        return &scenarios[i];
    }
    return 0;
}
