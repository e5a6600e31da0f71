/* SPDX-License-Identifier: Apache-2.0 */
/* Stories about disks, journals and what is sent; and the tools of all stories. */
#include "sim/stories.h"

#include "sim/run.h"
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

struct sim *story_begin(const struct sim_options *options, struct tally *tally)
{
    struct sim *s = sim_new(options);
    s->tally = tally;
    sim_start_all(s);
    return s;
}

void story_end(struct sim *s)
{
    sim_free(s);
}

void story_expect(struct sim *s, bool holds, const char *what)
{
    if (!holds) oracle_fail(s, 0, "STORY", "expected: %s", what);
}

void story_settle(struct sim *s, uint64_t limit_ms)
{
    if (!sim_run_until(s, sim_is_settled, limit_ms)) oracle_check_rest(s);
    oracle_check_rest(s);
}

void story_add(struct sim *s, uint32_t node, const char *name, int64_t delta)
{
    story_expect(s, sim_add(s, node, name, delta) == ERR_OK, "the increment is taken");
}

void story_add_many(struct sim *s, uint32_t node, const char *prefix, uint32_t count)
{
    char name[64];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s%u", prefix, i);
        story_add(s, node, name, 1);
    }
}

bool story_all_met(struct sim *s)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < s->options.nodes; i++) up += sim_is_up(s, i);
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!sim_is_up(s, i)) continue;
        uint32_t heard = 0;
        const struct view *view = sim_view(s, i);
        for (uint32_t k = 0; k < view->members_count; k++) heard += view->members[k].heard;
        view_drop(view);
        if (heard != up - 1) return false;
    }
    return true;
}

/* SIM-1a: a counter that is written to during every sync has no version that stays in the map until it is durable, if
 * versions are given at the update. Then the hottest counters are those that do not replicate. */
void story_hot_counter(uint64_t seed, struct tally *tally)
{
    struct sim *s =
        story_begin(&(struct sim_options){ .nodes = 2, .seed = seed, .sync_ms_max = 20, .grow_only = true }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 2000), "they meet");
    for (int64_t ms = 1; ms <= 60000; ms++) {
        story_add(s, 0, "hot", 1);
        sim_run_ms(s, 1);
        if (ms > 200) story_expect(s, sim_value(s, 1, "hot") >= ms - 150, "the peer is a few syncs behind");
    }
    story_settle(s, 2000);
    story_end(s);
}

/* SIM-1b: a version that is not durable must not hide the durable one from a peer that is being served. */
void story_hidden_entry(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .grow_only = true }, tally);
    sim_kill(s, 2);
    story_add(s, 0, "k", 5);
    story_add_many(s, 0, "other", 50);
    story_settle(s, 5000);
    sim_hold_disk(s, 0, true);
    story_add(s, 0, "k", 7);
    sim_run_ms(s, 100);
    sim_start(s, 2); /* is served in full while k is being written again */
    sim_run_ms(s, 3000);
    story_expect(s, sim_value(s, 2, "k") == 5, "the durable version has come");
    sim_kill(s, 0);
    sim_hold_disk(s, 0, false);
    sim_start(s, 0);
    story_settle(s, 60000);
    story_end(s);
}

static void shape_clear(struct run *r)
{
    memset(r->every_ms, 0, sizeof r->every_ms);
    memset(r->one_in, 0, sizeof r->one_in);
}

static void run_shaped(uint64_t seed, struct tally *tally, void (*shape)(struct run *))
{
    run_seed(&(struct run_options){ .seed = seed, .nodes = 4, .length_s = 30, .tally = tally, .shape = shape });
}

static void shape_tiny_frames(struct run *r)
{
    shape_clear(r);
    r->every_ms[FAULT_FRAME_DROP] = r->every_ms[FAULT_FRAME_TWICE] = r->every_ms[FAULT_FRAME_SWAP] = 1;
    r->every_ms[FAULT_KILL] = 2000;
    r->every_ms[FAULT_START] = 500;
    r->one_in[FORCE_FRAME_CUT] = 1;
    r->one_in[FORCE_SERVE_BY_SWEEP] = 3;
    r->one_in[FORCE_RECENT_FORGET] = 10;
    r->counters = 100;
    r->op_every_ms = 10;
}

/* SIM-3: frames of one to three entries, lost, repeated and swapped, from owners and from others at a time: a delta
 * that claims more than it holds, or is taken over a gap, leaves a hole for good. */
void story_tiny_frames(uint64_t seed, struct tally *tally)
{
    run_shaped(seed, tally, shape_tiny_frames);
}

static void shape_old_frames(struct run *r)
{
    shape_clear(r);
    r->every_ms[FAULT_FRAME_LATE] = r->every_ms[FAULT_FRAME_REPLAY] = 1;
    r->every_ms[FAULT_BREAK] = 500;
    r->every_ms[FAULT_KILL] = 3000;
    r->every_ms[FAULT_START] = 500;
    r->op_every_ms = 10;
}

/* SIM-4: frames come up to a minute late, and those of earlier connections come again: nothing goes back. */
void story_old_frames(uint64_t seed, struct tally *tally)
{
    run_shaped(seed, tally, shape_old_frames);
}

/* --- SIM-9 --- */

struct kept_record {
    uint8_t kind;
    struct shared *bytes;
};
struct kept_records {
    struct kept_record *items;
    uint32_t count, cap;
};

static enum err keep_record(void *context, uint8_t kind, struct bytes record)
{
    struct kept_records *all = context;
    all->items = sim_grow(all->items, &all->cap, all->count, sizeof *all->items);
    all->items[all->count++] = (struct kept_record){ kind, shared_copy(record) };
    return ERR_OK;
}

static uint64_t sum_of(struct node *n)
{
    struct walk walk = { 0 };
    struct entries_sum sum = { .replicas = node_replicas(n) };
    while (keyspace_walk(node_keyspace(n), &walk, 1024, entries_sum_visit, &sum)) continue;
    return sum.sum;
}

/* The state that the records give when they are taken in this order, each as often as asked. */
static uint64_t sum_of_replay(struct sim *s, const struct kept_records *all, uint32_t times, bool shuffled)
{
    struct stats stats = { 0 };
    struct node_options options = { .name = "n0:1",
                                    .cluster = "sim",
                                    .heartbeat_ms = 500,
                                    .peer_timeout_ms = 3000,
                                    .backoff_ms_min = 500,
                                    .backoff_ms_max = 30000,
                                    .shards = 4,
                                    .hash_seed = 1,
                                    .random_seed = 1,
                                    .nonce = 1,
                                    .replica = { { 1 } },
                                    .stats = &stats };
    struct node *n;
    REQUIRE(node_new(&options, &n) == ERR_OK);
    for (uint32_t i = 0; i < all->count; i++) { /* who it is comes first */
        const struct kept_record *r = &all->items[i];
        if (r->kind == RECORD_IDENTITY)
            REQUIRE(node_recover(n, r->kind, bytes_of(r->bytes->ptr, r->bytes->len)) == ERR_OK);
    }
    for (uint32_t i = 0; i < all->count * times; i++) {
        const struct kept_record *r = &all->items[shuffled ? sim_random(s, all->count - 1) : i % all->count];
        REQUIRE(node_recover(n, r->kind, bytes_of(r->bytes->ptr, r->bytes->len)) == ERR_OK);
    }
    for (uint32_t i = 0; i < all->count; i++) { /* what chance left out */
        const struct kept_record *r = &all->items[i];
        REQUIRE(node_recover(n, r->kind, bytes_of(r->bytes->ptr, r->bytes->len)) == ERR_OK);
    }
    uint64_t sum = sum_of(n);
    node_free(n);
    return sum;
}

/* SIM-9: records and frames carry absolute state: taken twice and in any order they give the same. (Frames come twice
 * in most runs; this is about records.) */
void story_everything_twice(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .segment_bytes = 8192 }, tally);
    for (uint32_t i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", sim_random(s, 20));
        story_add(s, i % 3, name, (int64_t)sim_random(s, 8) - 4 > 0 ? 3 : -2);
        sim_run_ms(s, sim_random(s, 10));
    }
    story_settle(s, 5000);
    uint64_t expected = sum_of(sim_node(s, 0));
    sim_kill(s, 0);
    struct disk *copy = disk_clone(sim_disk(s, 0), seed);
    struct journal_options options = { .storage = disk_storage(copy), .id = { { 1 } }, .segment_bytes = 8192 };
    struct kept_records all = { 0 };
    struct journal_report report;
    struct journal *journal;
    REQUIRE(journal_open(&options, keep_record, &all, &journal, &report) == ERR_OK);
    journal_close(journal);
    disk_free(copy);
    story_expect(s, sum_of_replay(s, &all, 1, false) == expected, "a replay gives the state");
    story_expect(s, sum_of_replay(s, &all, 2, false) == expected, "twice gives the same");
    for (uint32_t i = 0; i < 5; i++)
        story_expect(s, sum_of_replay(s, &all, 2, true) == expected, "any order gives the same");
    for (uint32_t i = 0; i < all.count; i++) shared_drop(all.items[i].bytes);
    free(all.items);
    story_end(s);
}

/* --- disks --- */

/* SIM-15: a sync fails once. The page cache still shows the data, so that the restart finds it there; a later power cut
 * drops what was never written, unless recovery has put it on disk itself. */
void story_failed_sync(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .grow_only = true }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 2000), "they meet");
    for (uint32_t i = 0; i < 20; i++) {
        story_add(s, 0, "a", 1);
        disk_fail_sync(sim_disk(s, 0));
        for (uint32_t ms = 0; ms < 1000 && sim_is_up(s, 0); ms++) sim_run_ms(s, 1);
        story_expect(s, !sim_is_up(s, 0), "the process ends");
        sim_start(s, 0);
        sim_run_ms(s, sim_random(s, 2000));
        story_add(s, 0, "b", 1);
        sim_run_ms(s, sim_random(s, 50));
        sim_power_cut(s, 0);
        sim_start(s, 0);
    }
    story_settle(s, 60000);
    story_end(s);
}

/* SIM-18: an owner that acts on what a receiver said to have on its disk must be able to rely on it: the receiver loses
 * its power right after saying so. (There is no garbage to collect on such word yet; the oracle checks the word.) */
void story_crash_after_word(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .sync_ms_max = 30 }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 2000), "they meet");
    for (uint32_t i = 0; i < 60; i++) {
        story_add(s, 0, "k", 1);
        sim_blow(s, 1 + i % 2, true, sim_random(s, 4));
        for (uint32_t ms = 0; ms < 500 && sim_is_up(s, 1 + i % 2); ms++) sim_run_ms(s, 1);
        if (sim_is_up(s, 1 + i % 2)) sim_power_cut(s, 1 + i % 2);
        sim_start(s, 1 + i % 2); /* the oracle compares what came back with what was said */
        sim_run_ms(s, 300);
    }
    story_settle(s, 60000);
    story_end(s);
}

/* SIM-23: scylladb #27306. A node that held a part of a counter comes back without its own history, counts again, and
 * its new part replaces the old one: 1 instead of 2. */
void story_own_history_lost(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 2000), "they meet");
    story_add(s, 1, "k", 1);
    story_settle(s, 3000);
    sim_kill(s, 1);
    sim_lose_disk(s, 1);
    sim_start(s, 1);
    story_add(s, 1, "k", 1);
    story_settle(s, 60000);
    for (uint32_t i = 0; i < 3; i++) story_expect(s, sim_value(s, i, "k") == 2, "both increments count");
    story_end(s);
}

/* --- two histories of one replica --- */

static void add_slowly(struct sim *s, uint32_t node, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        story_add(s, node, i % 2 ? "a" : "b", 1);
        sim_run_ms(s, 20);
    }
}

static void go_back(uint64_t seed, struct tally *tally, bool others_meet_first)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .seeds = 3 }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    add_slowly(s, 0, 80);
    story_settle(s, 5000);
    sim_keep_image(s, 0);
    sim_cut_both(s, 0, 2);
    sim_cut_both(s, 1, 2);
    add_slowly(s, 0, 20); /* known to n1 */
    sim_run_ms(s, 2000);
    sim_kill(s, 0);
    sim_restore_image(s, 0);
    sim_cut_both(s, 0, 1);
    sim_mend(s, 0, 2);
    sim_mend(s, 2, 0);
    sim_start(s, 0);
    sim_run_ms(s, 2000);
    add_slowly(s, 0, 70); /* known to n2, under the seqs that n1 has others of */
    sim_run_ms(s, 60000);
    if (others_meet_first) {
        sim_kill(s, 0);
        sim_mend_all(s);
        sim_run_ms(s, 60000);
        sim_start(s, 0);
    }
    sim_mend_all(s);
    story_settle(s, RUN_AGREE_MS);
    for (uint32_t i = 0; i < 3; i++)
        story_expect(s, sim_value(s, i, "a") + sim_value(s, i, "b") == 170, "all that was answered counts once");
    story_end(s);
}

/* SIM-2: a restored backup writes other entries under seqs that somebody has already: nothing looks wrong by seqs
 * alone, and for those the nodes differ for ever (riak, scylladb #2169). */
void story_disk_goes_back(uint64_t seed, struct tally *tally)
{
    go_back(seed, tally, false);
}

/* SIM-2b: the same, and the two that hold the two histories meet while their owner is away. */
void story_others_meet_first(uint64_t seed, struct tally *tally)
{
    go_back(seed, tally, true);
}

/* A cloned machine: two processes go on from one state of a replica. */
void story_disk_is_copied(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .seeds = 3 }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    add_slowly(s, 0, 40);
    story_settle(s, 5000);
    uint32_t copy = sim_add_copy(s, 0);
    sim_start(s, copy);
    for (uint32_t i = 0; i < 50; i++) {
        story_add(s, 0, "a", 1);
        story_add(s, copy, "a", 1);
        sim_run_ms(s, 20);
    }
    story_settle(s, RUN_AGREE_MS);
    for (uint32_t i = 0; i < 4; i++)
        story_expect(s, sim_value(s, i, "a") + sim_value(s, i, "b") == 140, "all that was answered counts once");
    story_end(s);
}
