/* SPDX-License-Identifier: Apache-2.0 */
/* Rule (5) of membership.h: who belongs to the cluster, whoever said what in which order; and what follows for whom to
 * dial. */
#include "testing.h"

#include "cluster/membership.h"

#include <stdio.h>

#define START 10000u

struct rig {
    struct random random;
    struct membership m;
};

static void rig_init(struct rig *r, uint64_t seed)
{
    random_init(&r->random, seed);
    r->m = (struct membership){ .peer_timeout_ms = 3000,
                                .ask_wait_ms = 500,
                                .backoff_ms_min = 500,
                                .backoff_ms_max = 30000,
                                .random = &r->random };
}

static void rig_release(struct rig *r)
{
    membership_release(&r->m);
}

static enum news merge(struct rig *r, const char *name, uint32_t epoch, bool left)
{
    uint32_t member;
    enum news news;
    struct standing said = { epoch, left };
    assert_ok(membership_merge(&r->m, bytes_of_text(name), said, START, &member, &news));
    return news;
}

static enum news admit(struct rig *r, const char *name)
{
    uint32_t member;
    enum news news;
    assert_ok(membership_admit(&r->m, bytes_of_text(name), START, &member, &news));
    return news;
}

static struct standing standing_of(const struct rig *r, const char *name)
{
    uint32_t member = membership_find(&r->m, bytes_of_text(name));
    assert_int_not_equal(member, MEMBER_NOBODY);
    return member_standing(&r->m.members[member]);
}

static bool is_dialled(struct rig *r, const char *address, uint64_t now_ms)
{
    for (uint32_t i = 0; i < r->m.contacts_count; i++) {
        struct contact *c = &r->m.contacts[i];
        if (c->gone || strcmp(c->address, address) != 0) continue;
        return c->next_ms <= now_ms && (c->member == MEMBER_NOBODY || r->m.members[c->member].link == 0);
    }
    return false;
}

/* --- what is said --- */

static void test_of_two_standings_the_higher_epoch_holds_and_then_left(void **state)
{
    (void)state;
    static const struct {
        struct standing known, said, then;
        enum news news;
    } rows[] = {
        { { 0, false }, { 0, false }, { 0, false }, NEWS_NONE }, { { 0, false }, { 0, true }, { 0, true }, NEWS_LEFT },
        { { 0, false }, { 1, false }, { 1, false }, NEWS_NONE }, { { 0, false }, { 1, true }, { 1, true }, NEWS_LEFT },
        { { 0, true }, { 0, false }, { 0, true }, NEWS_NONE },   { { 0, true }, { 0, true }, { 0, true }, NEWS_NONE },
        { { 0, true }, { 1, false }, { 1, false }, NEWS_NEW },   { { 0, true }, { 1, true }, { 1, true }, NEWS_NONE },
        { { 5, false }, { 4, true }, { 5, false }, NEWS_NONE },  { { 5, true }, { 4, false }, { 5, true }, NEWS_NONE },
        { { 5, true }, { 9, false }, { 9, false }, NEWS_NEW },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        rig_init(&r, 1);
        assert_int_equal(merge(&r, "a:1", rows[i].known.epoch, rows[i].known.left),
                         rows[i].known.left ? NEWS_NONE : NEWS_NEW);
        uint64_t told_as = r.m.told_as;
        assert_int_equal(merge(&r, "a:1", rows[i].said.epoch, rows[i].said.left), rows[i].news);
        struct standing now = standing_of(&r, "a:1");
        assert_int_equal(now.epoch, rows[i].then.epoch);
        assert_int_equal(now.left, rows[i].then.left);
        bool changed = standing_beats(rows[i].said, rows[i].known);
        assert_int_equal(r.m.told_as > told_as, changed); /* hearsay that changes nothing is not told on */
        rig_release(&r);
    }
}

static void test_only_contact_brings_back_a_member_that_left(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    merge(&r, "a:1", 0, false);
    assert_int_equal(merge(&r, "a:1", 0, true), NEWS_LEFT);
    for (int i = 0; i < 10; i++) assert_int_equal(merge(&r, "a:1", 0, false), NEWS_NONE);
    assert_int_equal(admit(&r, "a:1"), NEWS_NEW);
    assert_int_equal(standing_of(&r, "a:1").epoch, 1);
    assert_int_equal(admit(&r, "a:1"), NEWS_NONE); /* hello again is nothing new */
    assert_int_equal(standing_of(&r, "a:1").epoch, 1);
    assert_int_equal(merge(&r, "a:1", 0, true), NEWS_NONE); /* the old forgetting comes late */
    assert_false(standing_of(&r, "a:1").left);
    rig_release(&r);
}

static void test_a_name_without_a_next_epoch_stays_out(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t member;
    enum news news;
    merge(&r, "a:1", UINT32_MAX, true);
    assert_err(membership_admit(&r.m, bytes_of_text("a:1"), START, &member, &news), ERR_RANGE);
    assert_true(standing_of(&r, "a:1").left);
    merge(&r, "b:1", UINT32_MAX, false);
    assert_int_equal(admit(&r, "b:1"), NEWS_NONE);
    rig_release(&r);
}

#define NAMES 4u
#define NODES 5u

/* Some node tells another all or one of the things that it knows. */
static void tell(struct rig *from, struct rig *to, bool all)
{
    uint32_t count = from->m.members_count;
    if (count == 0) return;
    uint32_t only = (uint32_t)random_below(&from->random, count);
    for (uint32_t i = all ? 0 : only; i < (all ? count : only + 1); i++) {
        struct standing said = member_standing(&from->m.members[i]);
        merge(to, from->m.members[i].name, said.epoch, said.left);
    }
}

static void test_nodes_agree_in_whatever_order_they_hear_of_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig nodes[NODES];
        struct random dice;
        uint32_t admitted[NAMES] = { 0 };
        random_init(&dice, seed);
        for (uint32_t i = 0; i < NODES; i++) rig_init(&nodes[i], seed * 10 + i);
        for (int step = 0; step < 400; step++) {
            struct rig *a = &nodes[random_below(&dice, NODES)], *b = &nodes[random_below(&dice, NODES)];
            uint64_t name = random_below(&dice, NAMES);
            char text[16];
            snprintf(text, sizeof text, "m%d:1", (int)name);
            uint32_t known = membership_find(&a->m, bytes_of_text(text));
            switch (random_below(&dice, 8)) {
            case 0:
                admitted[name] += known != MEMBER_NOBODY && !member_counts(&a->m.members[known]);
                admit(a, text);
                break;
            case 1:
                if (known != MEMBER_NOBODY) merge(a, text, a->m.members[known].epoch, true);
                break;
            default:
                tell(a, b, random_below(&dice, 4) == 0);
            }
        }
        for (uint32_t i = 0; i < 2 * NODES; i++) tell(&nodes[i % NODES], &nodes[(i + 1) % NODES], true);
        for (uint32_t i = 0; i < nodes[0].m.members_count; i++) {
            const char *name = nodes[0].m.members[i].name;
            struct standing first = standing_of(&nodes[0], name);
            assert_true(first.epoch <= admitted[name[1] - '0']); /* only contact raises it */
            for (uint32_t k = 1; k < NODES; k++) {
                assert_int_equal(standing_of(&nodes[k], name).epoch, first.epoch);
                assert_int_equal(standing_of(&nodes[k], name).left, first.left);
            }
        }
        for (uint32_t i = 0; i < NODES; i++) rig_release(&nodes[i]);
    }
}

/* --- what follows from it --- */

static void test_nobody_dials_judges_or_waits_for_one_that_left(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    merge(&r, "a:1", 0, false);
    assert_true(is_dialled(&r, "a:1", START));
    assert_false(membership_is_alone(&r.m));
    assert_int_equal(membership_judge(&r.m, 0, START + 3001), VERDICT_ASK); /* a question is under way */
    merge(&r, "a:1", 0, true);
    assert_false(is_dialled(&r, "a:1", START + 1000000));
    assert_null(membership_due(&r.m, START + 1000000));
    assert_int_equal(membership_judge(&r.m, 0, START + 1000000), VERDICT_NONE);
    assert_true(membership_wake_at_ms(&r.m, START) == UINT64_MAX);
    assert_true(membership_is_alone(&r.m));
    membership_forgive(&r.m, START + 1000000);
    assert_int_equal(r.m.members[0].state, MEMBER_LEFT);
    rig_release(&r);
}

static void test_one_that_is_first_heard_of_as_gone_is_remembered_and_not_dialled(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    assert_int_equal(merge(&r, "a:1", 3, true), NEWS_NONE);
    assert_int_equal(r.m.contacts_count, 0);
    assert_int_equal(merge(&r, "a:1", 2, false), NEWS_NONE);
    assert_null(membership_due(&r.m, START));
    rig_release(&r);
}

static void test_a_seed_is_dialled_also_when_its_member_left(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    assert_ok(membership_contact(&r.m, bytes_of_text("a:1"), CONTACT_SEED, START));
    assert_int_equal(admit(&r, "a:1"), NEWS_NEW); /* one contact serves both */
    assert_int_equal(r.m.contacts_count, 1);
    merge(&r, "a:1", 0, true);
    for (int i = 0; i < 20; i++) { /* for ever, not as a stranger who is given up */
        struct contact *c = membership_due(&r.m, START + 40000u * (unsigned)i);
        assert_non_null(c);
        membership_dialled(&r.m, c, 1, START + 40000u * (unsigned)i);
        assert_true(membership_dial_ended(&r.m, c, 0, START + 40000u * (unsigned)i) > 0);
    }
    assert_int_equal(admit(&r, "a:1"), NEWS_NEW);
    assert_int_equal(r.m.contacts_count, 1);
    rig_release(&r);
}

static void test_an_address_that_was_found_is_contacted_and_dropped_again(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    merge(&r, "a:1", 0, true);
    assert_ok(membership_contact(&r.m, bytes_of_text("a:1"), CONTACT_STRANGER, START));
    uint64_t now = START;
    for (uint32_t i = 0; i < STRANGER_ATTEMPTS_MAX; i++, now += 40000) {
        struct contact *c = membership_due(&r.m, now);
        assert_non_null(c);
        membership_dialled(&r.m, c, 1, now);
        membership_dial_ended(&r.m, c, 0, now);
    }
    assert_null(membership_due(&r.m, now));
    assert_true(standing_of(&r, "a:1").left); /* to dial it means nothing; only its hello does */
    rig_release(&r);
}

static void test_whatever_address_it_was_reached_by_is_given_up(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    assert_ok(membership_contact(&r.m, bytes_of_text("alias:1"), CONTACT_STRANGER, START));
    struct contact *alias = membership_due(&r.m, START);
    admit(&r, "a:1");
    alias = &r.m.contacts[0];
    alias->member = 0; /* as the node does after a hello on the link that it dialled there */
    merge(&r, "a:1", 0, true);
    assert_null(membership_due(&r.m, START + 1000000));
    rig_release(&r);
}

static enum err story_of_coming_and_going(void *context)
{
    (void)context;
    struct rig r;
    rig_init(&r, 1);
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < 24; i++) {
        char name[16];
        uint32_t member, counted = 0, counts = 0, contacts = 0;
        enum news news;
        snprintf(name, sizeof name, "m%u:1", i % 12);
        for (uint32_t k = 0; k < r.m.members_count; k++) counted += member_counts(&r.m.members[k]);
        if (i < 12)
            err = membership_merge(&r.m, bytes_of_text(name), (struct standing){ 0, true }, START, &member, &news);
        else
            err = membership_admit(&r.m, bytes_of_text(name), START, &member, &news);
        for (uint32_t k = 0; k < r.m.members_count; k++) counts += member_counts(&r.m.members[k]);
        for (uint32_t k = 0; k < r.m.contacts_count; k++) contacts += !r.m.contacts[k].gone;
        assert_int_equal(counts, counted + (err == ERR_OK && i >= 12));
        assert_int_equal(contacts, counts); /* whoever counts has an address to dial, and nobody else */
    }
    rig_release(&r);
    return err;
}

static void test_without_memory_nobody_comes_back_by_half(void **state)
{
    (void)state;
    assert_in_range(each_allocation_fails(story_of_coming_and_going, NULL), 4, 20);
}

/* --- dials --- */

static void test_no_second_whatever_sees_more_than_twenty_dials(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig r;
        rig_init(&r, seed);
        char name[16];
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "m%d:1", i);
            merge(&r, name, 0, false);
        }
        uint64_t dialled[300];
        uint32_t count = 0;
        for (uint64_t now = START; count < 200; now += 1 + random_below(&r.random, 400)) {
            for (struct contact *c; count < 300 && (c = membership_due(&r.m, now)) != NULL;) {
                membership_dialled(&r.m, c, 1 + 2 * count, now);
                dialled[count++] = now;
                if (random_below(&r.random, 3) == 0) break;
            }
        }
        for (uint32_t i = DIALS_PER_SECOND_MAX; i < count; i++)
            assert_true(dialled[i] - dialled[i - DIALS_PER_SECOND_MAX] >= 1000);
        rig_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_two_standings_the_higher_epoch_holds_and_then_left),
        cmocka_unit_test(test_only_contact_brings_back_a_member_that_left),
        cmocka_unit_test(test_a_name_without_a_next_epoch_stays_out),
        cmocka_unit_test(test_nodes_agree_in_whatever_order_they_hear_of_it),
        cmocka_unit_test(test_nobody_dials_judges_or_waits_for_one_that_left),
        cmocka_unit_test(test_one_that_is_first_heard_of_as_gone_is_remembered_and_not_dialled),
        cmocka_unit_test(test_a_seed_is_dialled_also_when_its_member_left),
        cmocka_unit_test(test_an_address_that_was_found_is_contacted_and_dropped_again),
        cmocka_unit_test(test_whatever_address_it_was_reached_by_is_given_up),
        cmocka_unit_test(test_without_memory_nobody_comes_back_by_half),
        cmocka_unit_test(test_no_second_whatever_sees_more_than_twenty_dials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
