/* SPDX-License-Identifier: Apache-2.0 */
/* Stories about members, links and time. */
#include "sim/stories.h"

#include "sim/run.h"
#include "sim/world.h"

#include <stdio.h>

#define YEAR_MS INT64_C(31557600000)

static uint64_t sent_by_all(struct sim *s)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->options.nodes; i++) bytes += sim_bytes_sent(s, i);
    return bytes;
}

static uint64_t sent_in(struct sim *s, uint64_t ms)
{
    uint64_t before = sent_by_all(s);
    sim_run_ms(s, ms);
    return sent_by_all(s) - before;
}

/* SIM-5: a digest that offers what is never sent, about a dead, a retired or an unknown replica, is asked for it again
 * and again. At rest nodes must say the same few bytes for ever. */
void story_idle_constant(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 5, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    for (uint32_t i = 0; i < 5; i++) story_add_many(s, i, "c", 40);
    story_settle(s, 5000);
    sim_kill(s, 4); /* dead */
    sim_kill(s, 3);
    sim_lose_disk(s, 3); /* its replica is retired, and nobody owns it any more */
    sim_start(s, 3);
    sim_kill(s, 2); /* knows of a replica that the others will have to ask for */
    sim_start(s, 2);
    story_settle(s, 60000);
    sim_run_ms(s, 60000);
    uint64_t first = sent_in(s, 60000), second = sent_in(s, 60000);
    story_expect(s, second <= first + first / 10, "what is said at rest does not grow");
    story_expect(s, second < 4u * 4u * 200u * 60u, "what is said at rest is little");
    story_end(s);
}

static bool is_listed(struct sim *s, uint32_t by, const char *name)
{
    bool listed = false;
    const struct view *view = sim_view(s, by);
    for (uint32_t i = 0; i < view->members_count; i++)
        listed |= strcmp(view->members[i].node, name) == 0 && view->members[i].state != MEMBER_LEFT;
    view_drop(view);
    return listed;
}

/* SIM-6: one is forgotten by each of the others at a time of its own, while one of those is away with the old list.
 * What that one has heard must not bring the forgotten one back, and what it had counted stays. */
void story_forgotten_stays(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 5, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    story_add(s, 4, "k", 10);
    story_settle(s, 5000);
    sim_kill(s, 4);
    sim_run_ms(s, 10000);
    for (uint32_t i = 0; i < 3; i++) sim_cut_both(s, 3, i);
    sim_cut_both(s, 0, 1);
    sim_cut_both(s, 0, 2);
    sim_run_ms(s, 10000);
    sim_forget(s, 0, "n4:1");
    sim_run_ms(s, 30000);
    sim_forget(s, 1, "n4:1");
    sim_run_ms(s, 60000);
    sim_mend_all(s);
    sim_run_ms(s, RUN_AGREE_MS);
    for (uint32_t i = 0; i < 4; i++) {
        story_expect(s, !is_listed(s, i, "n4:1"), "the forgotten one is on no list");
        story_expect(s, sim_value(s, i, "k") == 10, "what it had counted stays");
    }
    story_settle(s, 10000);
    story_end(s);
}

/* SIM-7: a dead node's share is folded into others' by nobody here, so that it cannot be counted twice or forgotten:
 * both sides of a partition go on without it, and it comes back with increments that nobody had seen. */
void story_dead_returns(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 5, .seed = seed, .grow_only = true }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    story_add(s, 4, "k", 10);
    story_settle(s, 5000);
    for (uint32_t i = 0; i < 4; i++) sim_cut_both(s, 4, i);
    story_add(s, 4, "k", 10); /* unseen */
    sim_run_ms(s, 1000);
    sim_kill(s, 4);
    for (uint32_t a = 0; a < 2; a++) {
        for (uint32_t b = 2; b < 4; b++) sim_cut_both(s, a, b);
    }
    for (uint32_t i = 0; i < 4; i++) story_add(s, i, "k", 1);
    sim_run_ms(s, 120000);
    sim_mend_all(s);
    sim_run_ms(s, 60000);
    sim_start(s, 4);
    story_settle(s, 60000);
    for (uint32_t i = 0; i < 5; i++) story_expect(s, sim_value(s, i, "k") == 24, "all that was answered counts");
    story_end(s);
}

static uint32_t downs(struct sim *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->options.nodes; i++)
        count += sim_notices(s, i, NOTICE_PEER_DOWN) + sim_notices(s, i, NOTICE_PEER_INDIRECT);
    return count;
}

/* SIM-10: a node that is filled over a link of 100 KB a second is alive all the while: heartbeats do not wait behind
 * bulk. */
void story_bulk_and_heartbeats(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .link_bytes_per_ms = 100 }, tally);
    sim_kill(s, 2);
    sim_lose_disk(s, 2);
    sim_run_ms(s, 5000);
    story_add_many(s, 0, "a-name-that-is-long-enough-to-make-some-bytes-", 20000);
    story_settle(s, 120000);
    uint32_t before = downs(s);
    sim_start(s, 2);
    story_settle(s, 120000);
    story_expect(s, downs(s) == before, "nobody was thought dead");
    story_end(s);
}

/* SIM-11: a process that stood still has heard nobody, and a link that is cut one way looks dead to one end only. None
 * of that may be held against third nodes. */
void story_paused_blames_nobody(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 5, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    sim_cut(s, 3, 2);
    for (uint32_t i = 0; i < 20; i++) {
        sim_pause(s, 4);
        sim_run_ms(s, 100 + sim_random(s, 20000));
        sim_resume(s, 4);
        sim_run_ms(s, 1000 + sim_random(s, 20000));
    }
    for (uint32_t i = 0; i < 3; i++) {
        const struct view *view = sim_view(s, i);
        for (uint32_t k = 0; k < view->members_count; k++) {
            const struct view_member *m = &view->members[k];
            bool third = !m->is_self && strcmp(m->node, "n4:1") != 0 && strcmp(m->node, "n3:1") != 0;
            if (third) story_expect(s, m->heard, "a third node is heard");
        }
        view_drop(view);
    }
    uint32_t about_third = sim_notices(s, 0, NOTICE_PEER_DOWN) + sim_notices(s, 1, NOTICE_PEER_DOWN);
    story_expect(s, about_third <= 2 * 20, "only the one that stood still was thought dead");
    story_end(s);
}

/* SIM-12: everybody is killed within a second and comes back in any order within a minute. Whoever waits long between
 * attempts is found by those that come later. */
void story_mass_restart(uint64_t seed, struct tally *tally)
{
    enum { NODES = 50 };
    struct sim *s = story_begin(&(struct sim_options){ .nodes = NODES, .seed = seed, .seeds = 3 }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 60000), "they meet");
    for (uint32_t i = 0; i < NODES; i++) {
        sim_kill(s, i);
        sim_run_ms(s, 20);
    }
    uint32_t order[NODES];
    for (uint32_t i = 0; i < NODES; i++) order[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t k = sim_random(s, i), other = order[k];
        order[k] = order[i];
        order[i] = other;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        sim_start(s, order[i]);
        sim_run_ms(s, sim_random(s, 2400));
    }
    story_expect(s, sim_run_until(s, story_all_met, 40000), "all know all again, without an operator");
    story_end(s);
}

/* SIM-13: after a partition far longer than any timeout the sides find each other by themselves. */
void story_long_partition(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 4, .seed = seed, .grow_only = true }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    for (uint32_t a = 0; a < 2; a++) {
        for (uint32_t b = 2; b < 4; b++) sim_cut_both(s, a, b);
    }
    for (uint32_t i = 0; i < 600; i++) {
        story_add(s, i % 4, "k", 1);
        sim_run_ms(s, 1000);
    }
    sim_mend_all(s);
    story_expect(s, sim_run_until(s, story_all_met, RUN_AGREE_MS), "they meet again");
    story_settle(s, 30000);
    story_expect(s, sim_value(s, 0, "k") == 600, "both sides add up");
    story_end(s);
}

static void shape_wild_clocks(struct run *r)
{
    memset(r->every_ms, 0, sizeof r->every_ms);
    memset(r->one_in, 0, sizeof r->one_in);
    r->every_ms[FAULT_WALL_JUMP] = 200;
    r->every_ms[FAULT_CLOCK_DRIFT] = 1000;
    r->every_ms[FAULT_CLOCK_JUMP] = 3000;
    r->every_ms[FAULT_KILL] = 3000;
    r->every_ms[FAULT_START] = 500;
}

/* SIM-14: wall clocks are ten years off and jump, monotonic ones run fast and slow: the wall clock orders nothing here,
 * so nothing may change. */
void story_wild_clocks(uint64_t seed, struct tally *tally)
{
    run_seed(
        &(struct run_options){ .seed = seed, .nodes = 4, .length_s = 30, .tally = tally, .shape = shape_wild_clocks });
}

/* SIM-17: one of five is off for long, under load. What the others keep for it does not grow, and it gets what it
 * missed (through a sweep: recent places are long gone). Resets, whose memory is the point of the original story, do
 * not exist yet. */
void story_long_absence(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 5, .seed = seed, .snapshot_bytes = 50000 }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    sim_kill(s, 4);
    uint64_t early = 0, late = 0;
    for (uint32_t minute = 0; minute < 60; minute++) {
        story_add_many(s, minute % 4, "c", 100);
        sim_run_ms(s, 60000);
        if (minute == 10) early = mem_held();
        late = mem_held();
    }
    /* Recent places of each replica, of which there may be 65,536, and the doubling of their rows. */
    story_expect(s, late < early + 50u * 100u * 4u * 2u * 16u, "memory does not grow with the absence");
    sim_start(s, 4);
    story_settle(s, 60000);
    story_end(s);
}

static void restart_often(uint64_t seed, struct tally *tally, bool beside_a_dead_one)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 3, .seed = seed, .snapshot_bytes = 20000 }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    story_add(s, 2, "k", 1);
    story_settle(s, 3000);
    if (beside_a_dead_one) sim_kill(s, 2);
    for (uint32_t i = 0; i < 1000; i++) {
        story_add(s, 1, "k", 1);
        sim_stop(s, 1);
        for (uint32_t ms = 0; ms < 3000 && sim_is_up(s, 1); ms += 10) sim_run_ms(s, 10);
        story_expect(s, !sim_is_up(s, 1), "it stops");
        sim_start(s, 1);
        sim_run_ms(s, sim_random(s, 300));
    }
    for (uint32_t i = 0; i < 2; i++)
        story_expect(s, replicas_count(node_replicas(sim_node(s, i))) <= 4, "there are at most three replica ids");
    story_settle(s, 60000);
    story_expect(s, sim_value(s, 0, "k") == 1001, "the total is exact");
    story_end(s);
}

/* SIM-19: a thousand restarts in order, on the same disk: replica ids do not grow. */
void story_many_restarts(uint64_t seed, struct tally *tally)
{
    restart_often(seed, tally, false);
}

/* ... also when a member that should have a say is dead. */
void story_many_restarts_beside_a_dead_one(uint64_t seed, struct tally *tally)
{
    restart_often(seed, tally, true);
}

/* SIM-20: after a heal each side fetches what it misses about once, not from everybody who has it. */
void story_heal_is_cheap(uint64_t seed, struct tally *tally)
{
    enum { NODES = 6, COUNTERS = 2000, NAME_BYTES = 24 };
    struct sim *s = story_begin(&(struct sim_options){ .nodes = NODES, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    for (uint32_t a = 0; a < 3; a++) {
        for (uint32_t b = 3; b < NODES; b++) sim_cut_both(s, a, b);
    }
    sim_run_ms(s, 10000);
    for (uint32_t i = 0; i < NODES; i++) story_add_many(s, i, "a-name-of-twenty-byt-", COUNTERS);
    sim_run_ms(s, 20000);
    uint64_t before = sent_by_all(s);
    uint64_t began = sim_now_ms(s);
    sim_mend_all(s);
    story_settle(s, RUN_AGREE_MS);
    uint64_t heartbeats = (sim_now_ms(s) - began) / 1000 * NODES * NODES * 200;
    uint64_t missing = (uint64_t)NODES * 3 * COUNTERS * (NAME_BYTES + 6);
    story_expect(s, sent_by_all(s) - before < missing * 13 / 10 + heartbeats, "what is missing is sent once");
    story_end(s);
}

/* SIM-21: nobody answers for an hour. A node that fails to connect does that and nothing else: no record is written,
 * and attempts are few. */
void story_all_peers_refuse(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 5, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    story_settle(s, 3000);
    for (uint32_t i = 1; i < 5; i++) sim_kill(s, i);
    sim_run_ms(s, 120000);
    const struct machine *m = sim_machine(s, 0);
    uint64_t appended = m->appended, dials = stats_get(&m->stats, STAT_peer_connects);
    sim_run_ms(s, 3600000);
    story_expect(s, m->appended == appended, "nothing is written to the journal");
    dials = stats_get(&m->stats, STAT_peer_connects) - dials;
    story_expect(s, dials <= 4 * 3600 / 20 && dials >= 4 * 3600 / 40, "each peer is tried every half a minute");
    story_end(s);
}

/* SIM-22: both sides of a partition count up to the limit. The sum does not fit, and shows as the bound, the same
 * everywhere, and comes back when it fits again. */
void story_limits_meet(uint64_t seed, struct tally *tally)
{
    struct sim *s = story_begin(&(struct sim_options){ .nodes = 4, .seed = seed }, tally);
    story_expect(s, sim_run_until(s, story_all_met, 3000), "they meet");
    for (uint32_t a = 0; a < 2; a++) {
        for (uint32_t b = 2; b < 4; b++) sim_cut_both(s, a, b);
    }
    story_add(s, 0, "k", INT64_MAX - 3);
    story_add(s, 2, "k", INT64_MAX - 3);
    story_add(s, 1, "low", INT64_MIN + 3);
    story_add(s, 3, "low", INT64_MIN + 3);
    sim_run_ms(s, 2000);
    story_expect(s, sim_add(s, 1, "k", 10) == ERR_RANGE, "a side refuses what does not fit");
    sim_mend_all(s);
    story_settle(s, RUN_AGREE_MS);
    for (uint32_t i = 0; i < 4; i++) {
        story_expect(s, sim_value(s, i, "k") == INT64_MAX, "the value shows as the bound");
        story_expect(s, sim_value(s, i, "low") == INT64_MIN, "and as the lower one");
    }
    story_add(s, 1, "k", -INT64_MAX);
    story_settle(s, 5000);
    for (uint32_t i = 0; i < 4; i++)
        story_expect(s, sim_value(s, i, "k") == INT64_MAX - 6, "nothing was lost beyond the bound");
    story_end(s);
}
