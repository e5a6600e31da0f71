/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenarios.h"

#include "sim/stories.h"

#include <stddef.h>
#include <string.h>

static const struct scenario scenarios[] = {
    { "SIM-1a", "a counter written to during every sync is seen elsewhere", story_hot_counter },
    { "SIM-1b", "a version under way does not hide the durable one", story_hidden_entry },
    { "SIM-2", "a disk goes back in time, and its node writes on before it is told", story_disk_goes_back },
    { "SIM-2b", "... and others meet before its owner does", story_others_meet_first },
    { "SIM-2c", "a disk is copied, and both nodes count", story_disk_is_copied },
    { "SIM-3", "tiny frames, lost, repeated and swapped", story_tiny_frames },
    { "SIM-4", "late frames, and those of earlier connections", story_old_frames },
    { "SIM-5", "bytes at rest are constant beside dead and retired replicas", story_idle_constant },
    { "SIM-6", "a member forgotten at different times stays forgotten", story_forgotten_stays },
    { "SIM-7", "a dead node returns with increments nobody saw", story_dead_returns },
    { "SIM-8", "waits for resets: they clear what they saw, and no more", NULL },
    { "SIM-9", "records taken twice and in any order give the same", story_everything_twice },
    { "SIM-10", "bulk on a slow link does not starve heartbeats", story_bulk_and_heartbeats },
    { "SIM-11", "a node that stood still blames nobody", story_paused_blames_nobody },
    { "SIM-12", "fifty nodes are killed at once and come back", story_mass_restart },
    { "SIM-13", "a partition of ten minutes heals by itself", story_long_partition },
    { "SIM-14", "clocks are years off and jump", story_wild_clocks },
    { "SIM-15", "a sync fails, the cache still shows the data, then the power goes", story_failed_sync },
    { "SIM-16", "waits for mending of damaged journals", NULL },
    { "SIM-17", "one of five is off for an hour under load", story_long_absence },
    { "SIM-18", "a receiver crashes right after saying what is on its disk", story_crash_after_word },
    { "SIM-19", "a thousand restarts in order", story_many_restarts },
    { "SIM-19b", "... beside a dead member", story_many_restarts_beside_a_dead_one },
    { "SIM-20", "a heal sends what is missing about once", story_heal_is_cheap },
    { "SIM-21", "all peers refuse for an hour", story_all_peers_refuse },
    { "SIM-22", "both sides of a partition count to the limit", story_limits_meet },
    { "SIM-23", "a node without its own history counts anew", story_own_history_lost },
    { "SIM-24", "waits for deletion: a name reused beside a stale copy", NULL },
    { "SIM-25", "waits for tokens: each counts once", NULL },
    { "SIM-26", "waits for bounded counters: the bound holds", NULL },
    { "SIM-27", "waits for bounded counters: rights are conserved", NULL },
};
_Static_assert(sizeof scenarios / sizeof *scenarios <= SCENARIOS_MAX, "the tally has a place for each");

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
    return NULL;
}
