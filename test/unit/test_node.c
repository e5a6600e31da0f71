/* SPDX-License-Identifier: Apache-2.0 */
/* The core as users meet it: several nodes over virtual links, disks and clock. */
#include "test/unit/testing.h"

#include "sim/disk.h"
#include "sim/run.h"
#include "sim/sim.h"

#include <stdio.h>

static struct sim *cluster(uint32_t nodes, uint64_t seed)
{
    struct sim *s = sim_new(&(struct sim_options){ .nodes = nodes, .seed = seed });
    sim_start_all(s);
    return s;
}

static void settle(struct sim *s, uint64_t limit_ms)
{
    if (!sim_run_until(s, sim_is_settled, limit_ms)) sim_check_settled(s);
}

static bool three_know_each_other(struct sim *s)
{
    return strcmp(sim_peers(s, 0), "n1:1 n2:1") == 0 && strcmp(sim_peers(s, 1), "n0:1 n2:1") == 0 &&
           strcmp(sim_peers(s, 2), "n0:1 n1:1") == 0;
}

static void test_three_nodes_with_one_seed_find_each_other(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 1);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    sim_free(s);
}

static void test_an_increment_shows_everywhere(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 2);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    assert_ok(sim_add(s, 0, "hits", 5));
    assert_int_equal(sim_value(s, 0, "hits"), 5); /* its own node shows it at once */
    assert_ok(sim_add(s, 1, "hits", -2));
    settle(s, 1000);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(sim_value(s, i, "hits"), 3);
    sim_free(s);
}

static void test_a_killed_node_keeps_what_it_answered_and_gets_what_it_missed(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 3);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    for (int i = 0; i < 100; i++) assert_ok(sim_add(s, 2, "hits", 1));
    sim_run_ms(s, 50);
    sim_kill(s, 2);
    for (int i = 0; i < 100; i++) assert_ok(sim_add(s, (uint32_t)(i % 2), "misses", 1));
    sim_run_ms(s, 5000);
    assert_string_equal(sim_peers(s, 0), "n1:1");
    sim_start(s, 2);
    assert_int_equal(sim_value(s, 2, "hits"), 100);
    assert_true(sim_run_until(s, three_know_each_other, 3000));
    settle(s, 3000);
    assert_int_equal(sim_value(s, 2, "misses"), 100);
    sim_free(s);
}

static void test_both_sides_of_a_partition_count_and_add_up(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 4);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    sim_cut_both(s, 0, 1);
    sim_cut_both(s, 0, 2);
    for (int i = 0; i < 200; i++) {
        assert_ok(sim_add(s, (uint32_t)(i % 3), "hits", 1));
        sim_run_ms(s, 50);
    }
    assert_string_equal(sim_peers(s, 0), "");
    assert_string_equal(sim_peers(s, 1), "n2:1");
    sim_mend_all(s);
    assert_true(sim_run_until(s, three_know_each_other, 40000));
    settle(s, 5000);
    assert_int_equal(sim_value(s, 0, "hits"), 200);
    sim_free(s);
}

static void test_a_dead_nodes_entries_still_reach_everyone(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 5);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    sim_cut_both(s, 0, 2);
    assert_ok(sim_add(s, 0, "hits", 7));
    sim_run_ms(s, 500);
    assert_int_equal(sim_value(s, 1, "hits"), 7);
    sim_kill(s, 0); /* node 2 never hears of it from its owner */
    settle(s, 15000);
    assert_int_equal(sim_value(s, 2, "hits"), 7);
    sim_free(s);
}

static void test_a_node_that_joins_late_gets_everything(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){ .nodes = 4, .seed = 6 });
    for (uint32_t i = 0; i < 3; i++) sim_start(s, i);
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "counter-%d", i);
        assert_ok(sim_add(s, (uint32_t)(i % 3), name, i + 1));
    }
    settle(s, 5000);
    sim_start(s, 3);
    settle(s, 5000);
    assert_int_equal(sim_value(s, 3, "counter-2999"), 3000);
    assert_string_equal(sim_peers(s, 3), "n0:1 n1:1 n2:1");
    sim_free(s);
}

static void test_a_power_cut_under_sync_loses_nothing_that_was_answered(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim *s = cluster(3, seed);
        for (int i = 0; i < 60; i++) {
            assert_ok(sim_add(s, (uint32_t)(i % 3), i % 2 ? "a" : "b", 1));
            sim_run_ms(s, seed % 7);
        }
        sim_power_cut(s, (uint32_t)(seed % 3));
        sim_run_ms(s, 100);
        sim_start(s, (uint32_t)(seed % 3));
        settle(s, 60000);
        sim_free(s);
    }
}

static void test_the_whole_cluster_comes_back_by_itself(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 8);
    for (int i = 0; i < 30; i++) assert_ok(sim_add(s, (uint32_t)(i % 3), "hits", 1));
    settle(s, 3000);
    for (uint32_t i = 0; i < 3; i++) sim_power_cut(s, i);
    sim_run_ms(s, 10000);
    /* Node 0, the only seed, stays off: the others know each other from their disks. */
    sim_start(s, 1);
    sim_start(s, 2);
    sim_run_ms(s, 5000);
    assert_string_equal(sim_peers(s, 1), "n2:1");
    sim_start(s, 0);
    assert_true(sim_run_until(s, three_know_each_other, 40000));
    settle(s, 3000);
    assert_int_equal(sim_value(s, 0, "hits"), 30);
    sim_free(s);
}

static void test_waits_between_attempts_double_from_half_a_second(void **state)
{
    (void)state;
    struct sim *s = cluster(2, 9);
    sim_run_ms(s, 12000); /* healthy for over ten seconds */
    uint64_t expected = 500;
    sim_kill(s, 1);
    for (uint32_t attempts = 1; attempts <= 9; attempts++) {
        uint32_t before = sim_notices(s, 0, NOTICE_RETRY);
        while (sim_notices(s, 0, NOTICE_RETRY) == before) sim_run_ms(s, 10);
        uint64_t delay = sim_last_notice(s, 0, NOTICE_RETRY)->number;
        assert_in_range(delay, expected * 8 / 10, expected * 12 / 10);
        expected = expected * 2 > 30000 ? 30000 : expected * 2;
    }
    sim_free(s);
}

static void test_a_frozen_node_leaves_the_list_and_blames_nobody_when_it_wakes(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 10);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    sim_pause(s, 2);
    sim_run_ms(s, 4500);
    assert_string_equal(sim_peers(s, 0), "n1:1");
    uint32_t blamed = sim_notices(s, 2, NOTICE_PEER_DOWN);
    sim_run_ms(s, 5000);
    sim_resume(s, 2);
    assert_true(sim_run_until(s, three_know_each_other, 3000));
    assert_int_equal(sim_notices(s, 2, NOTICE_PEER_DOWN), blamed);
    assert_int_equal(sim_notices(s, 2, NOTICE_PAUSED), 1);
    sim_free(s);
}

static void test_a_member_that_only_others_hear_is_indirect(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 11);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    sim_cut_both(s, 0, 2);
    sim_run_ms(s, 4500);
    const struct view *view = sim_view(s, 0);
    assert_string_equal(view->members[2].node, "n2:1");
    assert_string_equal(member_state_text(view->members[2].state), "indirect");
    assert_false(view->members[2].heard);
    view_drop(view);
    sim_free(s);
}

static void test_a_stopped_node_says_goodbye_and_stays_a_member(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 12);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    assert_ok(sim_add(s, 2, "hits", 9));
    sim_stop(s, 2);
    assert_int_equal(sim_add(s, 2, "hits", 1), ERR_CLOSED);
    sim_run_ms(s, 200);
    assert_false(sim_is_up(s, 2));
    assert_string_equal(sim_peers(s, 0), "n1:1"); /* at once, not after the timeout */
    assert_int_equal(sim_value(s, 0, "hits"), 9);
    sim_start(s, 2);
    assert_true(sim_run_until(s, three_know_each_other, 1000));
    sim_free(s);
}

static void test_a_hot_counter_does_not_wait_for_a_quiet_moment(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){ .nodes = 2, .seed = 13, .sync_ms_max = 20 });
    sim_start_all(s);
    sim_run_ms(s, 1000);
    for (int ms = 0; ms < 5000; ms++) {
        assert_ok(sim_add(s, 0, "hot", 1));
        sim_run_ms(s, 1);
        /* Written to in every millisecond, it is still seen elsewhere within a few syncs. */
        if (ms > 200) assert_in_range((uint64_t)sim_value(s, 1, "hot"), (uint64_t)ms - 150, (uint64_t)ms + 1);
    }
    settle(s, 1000);
    sim_free(s);
}

static void test_snapshots_keep_the_journal_small_and_lose_nothing(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){ .nodes = 2, .seed = 14, .snapshot_bytes = 100000 });
    sim_start_all(s);
    char name[32];
    for (int i = 0; i < 4000; i++) {
        snprintf(name, sizeof name, "c%d", i % 100);
        assert_ok(sim_add(s, (uint32_t)(i % 2), name, 1));
        if (i % 4 == 0) sim_run_ms(s, 1);
        if (i == 12345) {
            sim_kill(s, 1);
            sim_start(s, 1);
        }
    }
    settle(s, 5000);
    assert_true(disk_used(sim_disk(s, 0)) < 700000);
    for (uint32_t i = 0; i < 2; i++) {
        sim_power_cut(s, i);
        sim_start(s, i);
    }
    settle(s, 20000);
    sim_free(s);
}

/* Pieces of a sweep that found the disk full are gone: what comes after them must not claim them. */
static void test_a_disk_that_is_full_for_a_moment_leaves_no_hole(void **state)
{
    (void)state;
    uint32_t found_full = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sim *s =
            sim_new(&(struct sim_options){ .nodes = 2, .seed = seed, .latency_ms_min = 300, .latency_ms_max = 600 });
        sim_start(s, 0);
        char name[64];
        for (int i = 0; i < 4000; i++) {
            snprintf(name, sizeof name, "a-name-as-long-as-the-oracle-remembers-of-counter-%d", i);
            assert_ok(sim_add(s, 0, name, 1));
        }
        sim_run_ms(s, 5000);
        sim_kill(s, 0); /* after which it has no recent places, and serves by sweep */
        sim_start(s, 0);
        sim_start(s, 1);
        while (keyspace_count(node_keyspace(sim_node(s, 1))) == 0) sim_run_ms(s, 10);
        disk_set_capacity(sim_disk(s, 1), disk_used(sim_disk(s, 1)));
        for (int i = 0; i < 2000 && sim_notices(s, 1, NOTICE_WRITES_REFUSED) == 0; i++) sim_run_ms(s, 1);
        found_full += sim_notices(s, 1, NOTICE_WRITES_REFUSED);
        disk_set_capacity(sim_disk(s, 1), 0);
        sim_run_ms(s, 30000);
        sim_check_settled(s);
        sim_free(s);
    }
    assert_true(found_full > 0);
}

/* Whatever part of a sweep arrived before its owner died must reach everybody, or nobody. */
static void test_nodes_agree_when_an_owner_dies_in_the_middle_of_a_sweep(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sim *s =
            sim_new(&(struct sim_options){ .nodes = 3, .seed = seed, .latency_ms_min = 100, .latency_ms_max = 200 });
        sim_start(s, 0);
        char name[64];
        for (int i = 0; i < 4000; i++) {
            snprintf(name, sizeof name, "a-name-as-long-as-the-oracle-remembers-of-counter-%d", i);
            assert_ok(sim_add(s, 0, name, 1));
        }
        sim_run_ms(s, 5000);
        sim_kill(s, 0);
        sim_start(s, 0);
        sim_cut_both(s, 0, 2);
        sim_start(s, 1);
        sim_start(s, 2);
        sim_seed(s, 2, "n1:1");
        while (keyspace_count(node_keyspace(sim_node(s, 1))) == 0) sim_run_ms(s, 10);
        assert_true(keyspace_count(node_keyspace(sim_node(s, 1))) < 4000);
        sim_break_links(s, 0, 1); /* what is under way is lost */
        sim_kill(s, 0);
        sim_run_ms(s, 30000);
        uint64_t held = keyspace_count(node_keyspace(sim_node(s, 1)));
        assert_in_range(held, 1, 3999);
        assert_int_equal(keyspace_count(node_keyspace(sim_node(s, 2))), held);
        sim_mend_all(s);
        sim_start(s, 0);
        sim_run_ms(s, 60000);
        sim_check_settled(s);
        sim_free(s);
    }
}

static uint64_t trace_of(uint64_t seed)
{
    struct tally tally = { 0 };
    return run_seed(&(struct run_options){ .seed = seed, .tally = &tally });
}

static void test_random_runs_keep_the_invariants_and_agree(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) trace_of(seed);
}

static void test_a_seed_repeats_its_run_exactly(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1005; seed++) {
        uint64_t trace = trace_of(seed);
        assert_true(trace_of(seed) == trace);
        assert_true(trace_of(seed + 100) != trace);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_nodes_with_one_seed_find_each_other),
        cmocka_unit_test(test_an_increment_shows_everywhere),
        cmocka_unit_test(test_a_killed_node_keeps_what_it_answered_and_gets_what_it_missed),
        cmocka_unit_test(test_both_sides_of_a_partition_count_and_add_up),
        cmocka_unit_test(test_a_dead_nodes_entries_still_reach_everyone),
        cmocka_unit_test(test_a_node_that_joins_late_gets_everything),
        cmocka_unit_test(test_a_power_cut_under_sync_loses_nothing_that_was_answered),
        cmocka_unit_test(test_the_whole_cluster_comes_back_by_itself),
        cmocka_unit_test(test_waits_between_attempts_double_from_half_a_second),
        cmocka_unit_test(test_a_frozen_node_leaves_the_list_and_blames_nobody_when_it_wakes),
        cmocka_unit_test(test_a_member_that_only_others_hear_is_indirect),
        cmocka_unit_test(test_a_stopped_node_says_goodbye_and_stays_a_member),
        cmocka_unit_test(test_a_hot_counter_does_not_wait_for_a_quiet_moment),
        cmocka_unit_test(test_snapshots_keep_the_journal_small_and_lose_nothing),
        cmocka_unit_test(test_a_disk_that_is_full_for_a_moment_leaves_no_hole),
        cmocka_unit_test(test_nodes_agree_when_an_owner_dies_in_the_middle_of_a_sweep),
        cmocka_unit_test(test_a_seed_repeats_its_run_exactly),
        cmocka_unit_test(test_random_runs_keep_the_invariants_and_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
