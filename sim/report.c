/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/report.h"

#include "sim/faults.h"
#include "sim/scenarios.h"

#include <inttypes.h>
#include <stdio.h>

const char *fault_name(enum fault fault)
{
#define X(name, text) [FAULT_##name] = #name,
    static const char *const names[] = { FAULT_LIST(X) };
#undef X
    return names[fault];
}

static void sums_add(uint64_t *to, const uint64_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) to[i] += from[i];
}

void tally_add(struct tally *to, const struct tally *from)
{
    sums_add(to->checks, from->checks, CHECK_COUNT);
    sums_add(to->faults, from->faults, FAULT_COUNT);
    sums_add(to->forces, from->forces, FORCE_COUNT);
    sums_add(to->scenarios, from->scenarios, SCENARIOS_MAX);
    to->runs += from->runs;
    to->node_ms += from->node_ms;
    to->events += from->events;
    to->increments += from->increments;
    to->reads += from->reads;
    if (from->converged_ms_max > to->converged_ms_max) to->converged_ms_max = from->converged_ms_max;
}

void moments_print(const struct moments *m)
{
    uint64_t count = m->count < 50 ? m->count : 50;
    fprintf(stderr, "the last %" PRIu64 " moments:\n", count);
    for (uint64_t i = m->count - count; i < m->count; i++) {
        const struct moment *moment = &m->items[i % MOMENTS];
        fprintf(stderr, "%9" PRIu64 " n%-3u %-24s %" PRIu64 " %" PRIu64 "\n", moment->at_ms, moment->node, moment->what,
                moment->a, moment->b);
    }
}

/* 1 if it should have occurred and did not. */
static uint32_t row(const char *name, uint64_t count, const char *text, bool expected)
{
    bool missing = expected && count == 0;
    printf("  %-20s %14" PRIu64 "  %s%s\n", name, count, text, missing ? "   <-- never" : expected ? "" : "   (off)");
    return missing;
}

uint32_t tally_print(const struct tally *t)
{
    uint32_t missing = 0;
    printf("faults\n");
#define X(name, text) missing += row(#name, t->faults[FAULT_##name], text, fault_is_on(FAULT_##name));
    FAULT_LIST(X)
#undef X
    printf("forced branches\n");
#define X(name, text) missing += row(#name, t->forces[FORCE_##name], text, true);
    FORCE_LIST(X)
#undef X
    printf("checks\n");
#define X(name, text) missing += row(#name, t->checks[CHECK_##name], text, true);
    CHECK_LIST(X)
#undef X
    printf("scenarios\n");
    for (uint32_t i = 0; i < scenarios_count(); i++)
        missing += row(scenario_at(i)->name, t->scenarios[i], scenario_at(i)->text, scenario_at(i)->run != NULL);
    return missing;
}
