/* SPDX-License-Identifier: Apache-2.0 */
/* stories: the bodies of the scenarios, and what they are told with. */
#ifndef QUIPU_SIM_STORIES_H
#define QUIPU_SIM_STORIES_H

#include "sim/report.h"
#include "sim/sim.h"

#include <stdint.h>

/* A world whose counts go to the tally, all nodes started; ended by story_end. */
struct sim *story_begin(const struct sim_options *options, struct tally *tally);
void story_end(struct sim *s);
void story_expect(struct sim *s, bool holds, const char *what); /* else the run ends */
void story_settle(struct sim *s, uint64_t limit_ms);
void story_add(struct sim *s, uint32_t node, const char *name, int64_t delta);
void story_add_many(struct sim *s, uint32_t node, const char *prefix, uint32_t count);
bool story_all_met(struct sim *s); /* every running node hears every other */

/* stories_store.c: disks, journals, what is sent */
void story_hot_counter(uint64_t seed, struct tally *tally);
void story_hidden_entry(uint64_t seed, struct tally *tally);
void story_tiny_frames(uint64_t seed, struct tally *tally);
void story_old_frames(uint64_t seed, struct tally *tally);
void story_everything_twice(uint64_t seed, struct tally *tally);
void story_failed_sync(uint64_t seed, struct tally *tally);
void story_crash_after_word(uint64_t seed, struct tally *tally);
void story_disk_goes_back(uint64_t seed, struct tally *tally);
void story_others_meet_first(uint64_t seed, struct tally *tally);
void story_disk_is_copied(uint64_t seed, struct tally *tally);
void story_own_history_lost(uint64_t seed, struct tally *tally);

/* stories_cluster.c: members, links, time */
void story_idle_constant(uint64_t seed, struct tally *tally);
void story_forgotten_stays(uint64_t seed, struct tally *tally);
void story_dead_returns(uint64_t seed, struct tally *tally);
void story_bulk_and_heartbeats(uint64_t seed, struct tally *tally);
void story_paused_blames_nobody(uint64_t seed, struct tally *tally);
void story_mass_restart(uint64_t seed, struct tally *tally);
void story_long_partition(uint64_t seed, struct tally *tally);
void story_wild_clocks(uint64_t seed, struct tally *tally);
void story_long_absence(uint64_t seed, struct tally *tally);
void story_many_restarts(uint64_t seed, struct tally *tally);
void story_many_restarts_beside_a_dead_one(uint64_t seed, struct tally *tally);
void story_heal_is_cheap(uint64_t seed, struct tally *tally);
void story_all_peers_refuse(uint64_t seed, struct tally *tally);
void story_limits_meet(uint64_t seed, struct tally *tally);

#endif
