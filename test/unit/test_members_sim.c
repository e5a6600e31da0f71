/* SPDX-License-Identifier: Apache-2.0 */
/* Members that come and go, in whole clusters: forgotten on one side of a partition and alive on the other, gone for
 * good, back with what nobody had seen, leaving in good order; and what it costs to tell of them. */
#include "test/unit/testing.h"

#include "node/internal.h"
#include "sim/disk.h"
#include "sim/sim.h"

#include <stdio.h>

#define NODES_MAX 32u

static uint32_t cluster_nodes; /* of the one under test */

static struct sim *cluster_of(struct sim_options options)
{
    cluster_nodes = options.nodes;
    struct sim *s = sim_new(&options);
    sim_start_all(s);
    return s;
}

static struct sim *cluster(uint32_t nodes, uint64_t seed)
{
    return cluster_of((struct sim_options){ .nodes = nodes, .seed = seed });
}

static const char *name_of(uint32_t node)
{
    static char names[NODES_MAX][16];
    snprintf(names[node], sizeof names[node], "n%u:1", node);
    return names[node];
}

static const struct member *member_at(struct sim *s, uint32_t at, uint32_t about)
{
    const struct membership *m = &sim_node(s, at)->members;
    uint32_t index = membership_find(m, bytes_of_text(name_of(about)));
    return index == MEMBER_NOBODY ? NULL : &m->members[index];
}

static bool is_state(struct sim *s, uint32_t at, uint32_t about, enum member_state state)
{
    const struct member *m = member_at(s, at, about);
    return m && m->state == state;
}

static bool has_left(struct sim *s, uint32_t at, uint32_t about)
{
    return is_state(s, at, about, MEMBER_LEFT);
}

static bool hears(struct sim *s, uint32_t at, uint32_t about)
{
    return is_state(s, at, about, MEMBER_ALIVE);
}

/* All nodes that run hear all others that run, and no others. */
static bool is_meshed(struct sim *s)
{
    for (uint32_t a = 0; a < cluster_nodes; a++) {
        for (uint32_t b = 0; b < cluster_nodes && sim_is_up(s, a); b++) {
            const struct member *m = a == b ? NULL : member_at(s, a, b);
            if (a != b && (m && m->state == MEMBER_ALIVE) != sim_is_up(s, b)) return false;
        }
    }
    return true;
}

static void settle(struct sim *s, uint64_t limit_ms)
{
    if (!sim_run_until(s, sim_is_settled, limit_ms)) sim_check_settled(s);
}

static void mesh(struct sim *s)
{
    assert_true(sim_run_until(s, is_meshed, 60000));
}

static enum order_result result_of(struct sim *s, uint32_t node)
{
    enum order_result result;
    for (int i = 0; i < 200 && !sim_is_ordered(s, node, &result); i++) sim_run_ms(s, 100);
    assert_true(sim_is_ordered(s, node, &result));
    return result;
}

static void forget(struct sim *s, uint32_t at, uint32_t about)
{
    sim_forget(s, at, name_of(about));
    assert_int_equal(result_of(s, at), ORDER_RESULT_DONE);
    assert_true(has_left(s, at, about));
}

static void isolate(struct sim *s, uint32_t node, uint32_t nodes)
{
    for (uint32_t i = 0; i < nodes; i++) {
        if (i != node) sim_cut_both(s, node, i);
    }
}

/* Dials of that node that failed or ended, at any other. */
struct dials {
    const char *address;
    uint32_t count;
};

static void note_dials(void *context, uint64_t now_ms, uint32_t node, const struct notice *notice)
{
    (void)now_ms;
    (void)node;
    struct dials *d = context;
    d->count += notice->kind == NOTICE_RETRY && strcmp(notice->node, d->address) == 0;
}

/* --- forget --- */

static void test_a_dead_member_is_struck_off_on_all_nodes_and_its_counts_stay(void **state)
{
    (void)state;
    struct sim *s = cluster(4, 1);
    mesh(s);
    assert_ok(sim_add(s, 3, "hits", 7));
    settle(s, 1000);
    sim_kill(s, 3);
    sim_run_ms(s, 5000);
    assert_true(is_state(s, 0, 3, MEMBER_DOWN));
    forget(s, 1, 3);
    sim_run_ms(s, 500);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(has_left(s, i, 3));
        assert_int_equal(sim_notices(s, i, NOTICE_PEER_LEFT), 1);
        assert_int_equal(sim_value(s, i, "hits"), 7);
    }
    struct dials dials = { .address = "n3:1" };
    sim_listen(s, note_dials, &dials);
    assert_ok(sim_add(s, 0, "hits", 1));
    sim_run_ms(s, 60000);
    assert_int_equal(dials.count, 0);
    const struct view *view = sim_view(s, 0);
    assert_string_equal(view->members[3].node, "n3:1");
    assert_int_equal(view->members[3].state, MEMBER_LEFT);
    assert_true(!view->members[3].heard && view->members[3].lag_entries == 0 && view->members[3].lag_ms == 0);
    view_drop(view);
    sim_free(s);
}

static void test_it_is_on_disk_when_the_command_answers(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 2);
    mesh(s);
    sim_kill(s, 2);
    sim_run_ms(s, 5000);
    isolate(s, 0, 3); /* nobody could tell it later */
    forget(s, 0, 2);
    sim_power_cut(s, 0);
    sim_kill(s, 1);
    sim_start(s, 0);
    assert_true(has_left(s, 0, 2));
    sim_mend_all(s);
    sim_start(s, 1);
    sim_run_ms(s, 40000);
    assert_true(has_left(s, 1, 2)); /* and it is told on after the restart */
    sim_free(s);
}

static void test_whoever_is_heard_is_not_forgotten(void **state)
{
    (void)state;
    struct sim *s = cluster(4, 3);
    mesh(s);
    sim_cut_both(s, 0, 3);
    sim_forget(s, 1, "n3:1");
    assert_int_equal(result_of(s, 1), ORDER_RESULT_HEARD);
    sim_run_ms(s, 6000);
    assert_true(is_state(s, 0, 3, MEMBER_INDIRECT));
    sim_forget(s, 0, "n3:1"); /* not heard here, but others say that it is there */
    assert_int_equal(result_of(s, 0), ORDER_RESULT_HEARD);
    sim_forget(s, 0, "n0:1");
    assert_int_equal(result_of(s, 0), ORDER_RESULT_SELF);
    sim_forget(s, 0, "nobody:1");
    assert_int_equal(result_of(s, 0), ORDER_RESULT_UNKNOWN);
    sim_forget(s, 0, "");
    assert_int_equal(result_of(s, 0), ORDER_RESULT_UNKNOWN);
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(sim_notices(s, i, NOTICE_PEER_LEFT), 0);
    sim_free(s);
}

/* SIM-6: forgotten on each node at another time, with one node away that has the old list. */
static void test_a_forgotten_member_stays_forgotten_when_one_with_an_old_list_returns(void **state)
{
    (void)state;
    struct sim *s = cluster(5, 4);
    mesh(s);
    for (uint32_t i = 0; i < 5; i++) assert_ok(sim_add(s, i, "hits", (int64_t)i + 1));
    settle(s, 1000);
    isolate(s, 3, 5);
    sim_kill(s, 4);
    sim_cut_both(s, 0, 1);
    sim_cut_both(s, 0, 2);
    sim_cut_both(s, 1, 2);
    sim_run_ms(s, 8000);
    for (uint32_t i = 0; i < 3; i++) {
        forget(s, i, 4);
        sim_run_ms(s, 20000);
    }
    sim_kill(s, 3); /* it starts from its disk, where the old list is */
    sim_start(s, 3);
    sim_run_ms(s, 5000);
    assert_true(is_state(s, 3, 4, MEMBER_DOWN));
    sim_mend_all(s);
    mesh(s);
    sim_run_ms(s, 1000);
    struct dials dials = { .address = "n4:1" };
    sim_listen(s, note_dials, &dials);
    sim_run_ms(s, 120000);
    assert_int_equal(dials.count, 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(has_left(s, i, 4));
        assert_int_equal(member_at(s, i, 4)->epoch, 0);
        assert_null(strstr(sim_peers(s, i), "n4:1"));
        assert_int_equal(sim_value(s, i, "hits"), 15);
    }
    sim_check_settled(s);
    sim_free(s);
}

static void test_a_node_that_was_only_cut_off_comes_back_by_itself_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        /* Without seeds: they know each other by their lists alone. */
        struct sim *s = cluster_of((struct sim_options){ .nodes = 4, .seed = seed, .no_seeds = true });
        for (uint32_t i = 1; i < 4; i++) sim_seed(s, i, "n0:1");
        mesh(s);
        isolate(s, 3, 4);
        sim_run_ms(s, 9000); /* until none of the others has heard it for a timeout */
        forget(s, (uint32_t)(seed % 3), 3);
        for (int i = 0; i < 10; i++) {
            assert_ok(sim_add(s, 3, "unseen", 1));
            assert_ok(sim_add(s, 0, "hits", 1));
            sim_run_ms(s, 1000);
        }
        sim_mend_all(s);
        assert_true(sim_run_until(s, is_meshed, 45000)); /* its longest wait is 36 s */
        settle(s, 5000);
        sim_run_ms(s, 60000);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(sim_value(s, i, "unseen"), 10);
            assert_int_equal(sim_value(s, i, "hits"), 10);
            if (i == 3) continue;
            assert_int_equal(member_at(s, i, 3)->epoch, 1);
            assert_int_equal(sim_notices(s, i, NOTICE_PEER_LEFT), 1); /* no coming and going */
            assert_int_equal(sim_notices(s, i, NOTICE_MEMBER_NEW), 4);
        }
        assert_true(is_meshed(s));
        sim_free(s);
    }
}

/* Two nodes heard it all the time; a third, which did not, could ask nobody and forgot it. */
static void test_whoever_heard_it_all_the_time_loses_it_for_a_moment_only(void **state)
{
    (void)state;
    struct sim *s = cluster(4, 6);
    mesh(s);
    isolate(s, 0, 4);
    sim_run_ms(s, 6000);
    forget(s, 0, 3);
    sim_mend_all(s);
    mesh(s);
    sim_run_ms(s, 30000);
    mesh(s);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(member_at(s, i, 3)->epoch, 1);
        assert_in_range(sim_notices(s, i, NOTICE_PEER_LEFT), i == 0, 1);
    }
    sim_free(s);
}

static void test_two_sides_that_forgot_each_other_meet_again_when_told_to(void **state)
{
    (void)state;
    struct sim *s = cluster_of((struct sim_options){ .nodes = 2, .seed = 7, .no_seeds = true });
    sim_seed(s, 1, "n0:1");
    mesh(s);
    sim_cut_both(s, 0, 1);
    sim_run_ms(s, 6000);
    forget(s, 0, 1);
    forget(s, 1, 0);
    sim_mend_all(s);
    sim_run_ms(s, 60000);
    assert_string_equal(sim_peers(s, 0), ""); /* as they were told */
    sim_seed(s, 0, "n1:1");
    assert_true(sim_run_until(s, is_meshed, 1000));
    assert_int_equal(member_at(s, 0, 1)->epoch, 1);
    assert_int_equal(member_at(s, 1, 0)->epoch, 1);
    sim_free(s);
}

static void test_a_forgotten_node_returns_with_increments_that_nobody_saw(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 8);
    mesh(s);
    isolate(s, 2, 3);
    for (int i = 0; i < 10; i++) assert_ok(sim_add(s, 2, "hits", 1));
    sim_run_ms(s, 500);
    sim_kill(s, 2);
    sim_run_ms(s, 9000); /* what is on its way is thrown away with the links */
    sim_mend_all(s);
    forget(s, 0, 2);
    assert_ok(sim_add(s, 0, "hits", 5));
    sim_run_ms(s, 30000);
    assert_int_equal(sim_value(s, 1, "hits"), 5);
    sim_start(s, 2);
    mesh(s);
    settle(s, 5000);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(sim_value(s, i, "hits"), 15);
    assert_int_equal(member_at(s, 1, 2)->epoch, 1);
    sim_free(s);
}

static void test_nobody_waits_for_a_member_that_left_when_all_restart(void **state)
{
    (void)state;
    struct sim *s = cluster_of((struct sim_options){ .nodes = 2, .seed = 9, .no_seeds = true });
    sim_seed(s, 0, "n1:1");
    mesh(s);
    sim_kill(s, 1);
    sim_run_ms(s, 5000);
    forget(s, 0, 1);
    sim_kill(s, 0);
    sim_start(s, 0);
    sim_run_ms(s, 200);
    const struct view *view = sim_view(s, 0);
    assert_true(view->ready); /* it is alone, and knows it */
    view_drop(view);
    sim_free(s);
}

/* --- leave --- */

static void test_what_a_node_counted_survives_its_leaving_and_its_disk(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(3, seed);
        mesh(s);
        for (int i = 0; i < 100; i++) assert_ok(sim_add(s, 2, "hits", 1));
        sim_leave(s, 2);
        assert_err(sim_add(s, 2, "hits", 1), ERR_CLOSED);
        assert_int_equal(result_of(s, 2), ORDER_RESULT_DONE);
        sim_run_ms(s, 2000);
        assert_false(sim_is_up(s, 2));
        for (uint32_t i = 0; i < 2; i++) {
            assert_true(has_left(s, i, 2));
            assert_int_equal(sim_notices(s, i, NOTICE_PEER_LEFT), 1);
            assert_int_equal(sim_notices(s, i, NOTICE_PEER_DOWN), 0);
            assert_int_equal(sim_value(s, i, "hits"), 100);
        }
        settle(s, 1000);
        sim_lose_disk(s, 2);
        sim_start(s, 2); /* another machine in its place */
        mesh(s);
        settle(s, 3000);
        assert_int_equal(sim_value(s, 2, "hits"), 100);
        assert_int_equal(member_at(s, 0, 2)->epoch, 1);
        sim_free(s);
    }
}

static void test_a_node_that_left_comes_in_as_new_on_its_old_directory(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 11);
    mesh(s);
    assert_ok(sim_add(s, 1, "hits", 3));
    for (uint32_t epoch = 1; epoch <= 3; epoch++) {
        sim_leave(s, 1);
        assert_int_equal(result_of(s, 1), ORDER_RESULT_DONE);
        sim_run_ms(s, 5000);
        assert_true(has_left(s, 0, 1) && has_left(s, 2, 1));
        sim_start(s, 1);
        mesh(s);
        assert_int_equal(member_at(s, 0, 1)->epoch, epoch);
        assert_int_equal(member_at(s, 2, 1)->epoch, epoch);
        assert_ok(sim_add(s, 1, "hits", 1));
        settle(s, 3000);
        assert_int_equal(sim_value(s, 0, "hits"), 3 + (int64_t)epoch);
    }
    sim_free(s);
}

static void test_a_node_that_no_peer_can_take_over_from_stays(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 12);
    mesh(s);
    isolate(s, 2, 3);
    assert_ok(sim_add(s, 2, "hits", 4));
    sim_leave(s, 2);
    sim_run_ms(s, LEAVE_WITHIN_MS - 200);
    enum order_result result;
    assert_false(sim_is_ordered(s, 2, &result));
    assert_err(sim_add(s, 2, "hits", 1), ERR_CLOSED);
    sim_run_ms(s, 400);
    assert_true(sim_is_ordered(s, 2, &result));
    assert_int_equal(result, ORDER_RESULT_UNSAFE);
    assert_int_equal(sim_notices(s, 2, NOTICE_LEAVE_FAILED), 1);
    assert_ok(sim_add(s, 2, "hits", 1)); /* as if nothing had been said */
    sim_mend_all(s);
    mesh(s);
    settle(s, 5000);
    assert_int_equal(sim_value(s, 0, "hits"), 5);
    sim_leave(s, 2);
    assert_int_equal(result_of(s, 2), ORDER_RESULT_DONE);
    sim_free(s);
}

static void test_what_only_the_leaving_node_has_of_a_dead_one_is_handed_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = cluster(3, 20 + seed);
        mesh(s);
        sim_cut_both(s, 0, 2);
        for (int i = 0; i < 50; i++) assert_ok(sim_add(s, 0, "hits", 1));
        sim_run_ms(s, 20);
        sim_kill(s, 0);
        sim_run_ms(s, 20);
        int64_t known = sim_value(s, 1, "hits");
        sim_leave(s, 1);
        assert_int_equal(result_of(s, 1), ORDER_RESULT_DONE);
        assert_true(sim_value(s, 2, "hits") >= known);
        sim_run_ms(s, 2000);
        assert_false(sim_is_up(s, 1));
        sim_free(s);
    }
}

static void test_whoever_was_away_hears_later_that_it_left(void **state)
{
    (void)state;
    struct sim *s = cluster(4, 13);
    mesh(s);
    sim_kill(s, 2);
    sim_run_ms(s, 5000);
    forget(s, 0, 2);
    isolate(s, 3, 4);
    sim_start(s, 2); /* comes back under epoch 1, of which node 3 does not hear */
    sim_run_ms(s, 2000);
    assert_true(hears(s, 0, 2));
    sim_leave(s, 2);
    assert_int_equal(result_of(s, 2), ORDER_RESULT_DONE);
    sim_run_ms(s, 6000);
    sim_mend_all(s);
    mesh(s);
    sim_run_ms(s, 1000);
    assert_true(has_left(s, 3, 2));
    assert_int_equal(member_at(s, 3, 2)->epoch, 1);
    sim_free(s);
}

static void test_all_but_one_can_leave_one_after_the_other(void **state)
{
    (void)state;
    struct sim *s = cluster(5, 14);
    mesh(s);
    for (uint32_t i = 0; i < 5; i++) assert_ok(sim_add(s, i, "hits", 10));
    for (uint32_t i = 4; i > 0; i--) {
        sim_leave(s, i);
        assert_int_equal(result_of(s, i), ORDER_RESULT_DONE);
        sim_run_ms(s, 1500);
    }
    assert_int_equal(sim_value(s, 0, "hits"), 50);
    sim_leave(s, 0);
    assert_int_equal(result_of(s, 0), ORDER_RESULT_UNSAFE); /* nobody is left to leave it to */
    assert_true(sim_is_up(s, 0));
    sim_free(s);
}

static void test_a_stop_while_leaving_is_a_goodbye(void **state)
{
    (void)state;
    struct sim *s = cluster(3, 15);
    mesh(s);
    sim_cut(s, 0, 2); /* it hears no digest any more, so it cannot know that it is safe to go */
    sim_cut(s, 1, 2);
    assert_ok(sim_add(s, 2, "hits", 1));
    sim_leave(s, 2);
    sim_run_ms(s, 500);
    sim_stop(s, 2);
    assert_int_equal(result_of(s, 2), ORDER_RESULT_STOPPING);
    sim_run_ms(s, 2000);
    assert_false(sim_is_up(s, 2));
    assert_true(is_state(s, 0, 2, MEMBER_DOWN) && is_state(s, 1, 2, MEMBER_DOWN));
    sim_free(s);
}

/* --- histories by chance --- */

static bool all_agree(struct sim *s, uint32_t nodes)
{
    for (uint32_t about = 0; about < nodes; about++) {
        const struct member *first = NULL;
        for (uint32_t at = 0; at < nodes; at++) {
            const struct member *m = at == about ? NULL : member_at(s, at, about);
            if (!m) continue;
            if (first && (m->epoch != first->epoch || member_counts(m) != member_counts(first))) return false;
            first = m;
        }
    }
    return true;
}

static void something_happens(struct sim *s, struct random *dice, uint32_t nodes)
{
    uint32_t a = (uint32_t)random_below(dice, nodes), b = (uint32_t)random_below(dice, nodes);
    switch (random_below(dice, 8)) {
    case 0:
        if (a != b) sim_cut_both(s, a, b);
        break;
    case 1:
        if (random_below(dice, 3) == 0) sim_mend_all(s);
        break;
    case 2:
        if (sim_is_up(s, a)) sim_kill(s, a);
        break;
    case 3:
    case 4:
        if (!sim_is_up(s, a)) sim_start(s, a);
        break;
    case 5:
    case 6:
        if (sim_is_up(s, a)) sim_forget(s, a, name_of(b));
        break;
    default:
        if (sim_is_up(s, a)) sim_leave(s, a);
    }
}

static void test_whatever_was_forgotten_the_living_find_together_and_agree(void **state)
{
    (void)state;
    const uint32_t nodes = 5;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim *s = cluster(nodes, seed);
        struct random dice;
        random_init(&dice, seed);
        for (int i = 0; i < 60; i++) {
            something_happens(s, &dice, nodes);
            uint32_t at = (uint32_t)random_below(&dice, nodes);
            if (sim_is_up(s, at)) {
                enum err err = sim_add(s, at, "hits", 1);
                assert_true(err == ERR_OK || err == ERR_CLOSED);
            }
            sim_run_ms(s, random_below(&dice, 3000));
        }
        sim_mend_all(s);
        sim_run_ms(s, 12000); /* whoever is about to leave goes or stays */
        sim_start_all(s);
        if (!sim_run_until(s, is_meshed, 120000)) fail_msg("seed %d: not all hear each other", (int)seed);
        settle(s, 10000);
        sim_run_ms(s, 2000);
        assert_true(all_agree(s, nodes));
        uint32_t left = 0, later = 0;
        for (uint32_t i = 0; i < nodes; i++) left += sim_notices(s, i, NOTICE_PEER_LEFT);
        sim_run_ms(s, 60000);
        for (uint32_t i = 0; i < nodes; i++) later += sim_notices(s, i, NOTICE_PEER_LEFT);
        assert_int_equal(later, left); /* it is at rest */
        assert_true(is_meshed(s));
        sim_free(s);
    }
}

/* --- what it costs --- */

static uint64_t bytes_sent(struct sim *s, uint32_t nodes)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < nodes; i++) sum += sim_bytes_sent(s, i);
    return sum;
}

/* Each time the whole list to all: that was 700 kB, nearly all of it names that had been told before. */
static void test_a_join_is_told_once_and_not_the_whole_list_to_all(void **state)
{
    (void)state;
    const uint32_t nodes = 31;
    cluster_nodes = nodes;
    struct sim *s = sim_new(&(struct sim_options){ .nodes = nodes, .seed = 16 });
    for (uint32_t i = 0; i + 1 < nodes; i++) sim_start(s, i);
    mesh(s);
    sim_run_ms(s, 5000);
    uint64_t before = bytes_sent(s, nodes);
    sim_run_ms(s, 2000);
    uint64_t at_rest = bytes_sent(s, nodes) - before;
    sim_start(s, nodes - 1);
    sim_run_ms(s, 2000);
    assert_true(is_meshed(s));
    uint64_t join = bytes_sent(s, nodes) - before - 2 * at_rest;
    assert_in_range(join, 10000, 150000);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_dead_member_is_struck_off_on_all_nodes_and_its_counts_stay),
        cmocka_unit_test(test_it_is_on_disk_when_the_command_answers),
        cmocka_unit_test(test_whoever_is_heard_is_not_forgotten),
        cmocka_unit_test(test_a_forgotten_member_stays_forgotten_when_one_with_an_old_list_returns),
        cmocka_unit_test(test_a_node_that_was_only_cut_off_comes_back_by_itself_once),
        cmocka_unit_test(test_whoever_heard_it_all_the_time_loses_it_for_a_moment_only),
        cmocka_unit_test(test_two_sides_that_forgot_each_other_meet_again_when_told_to),
        cmocka_unit_test(test_a_forgotten_node_returns_with_increments_that_nobody_saw),
        cmocka_unit_test(test_nobody_waits_for_a_member_that_left_when_all_restart),
        cmocka_unit_test(test_what_a_node_counted_survives_its_leaving_and_its_disk),
        cmocka_unit_test(test_a_node_that_left_comes_in_as_new_on_its_old_directory),
        cmocka_unit_test(test_a_node_that_no_peer_can_take_over_from_stays),
        cmocka_unit_test(test_what_only_the_leaving_node_has_of_a_dead_one_is_handed_over),
        cmocka_unit_test(test_whoever_was_away_hears_later_that_it_left),
        cmocka_unit_test(test_all_but_one_can_leave_one_after_the_other),
        cmocka_unit_test(test_a_stop_while_leaving_is_a_goodbye),
        cmocka_unit_test(test_whatever_was_forgotten_the_living_find_together_and_agree),
        cmocka_unit_test(test_a_join_is_told_once_and_not_the_whole_list_to_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
