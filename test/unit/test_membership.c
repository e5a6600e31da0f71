/* SPDX-License-Identifier: Apache-2.0 */
/* The rules (1) to (4) of membership.h, without any link: the test says what happened and when. */
#include "testing.h"

#include "cluster/membership.h"

#include <stdio.h>

#define TIMEOUT 3000u
#define ASK_WAIT 500u
#define START 10000u

struct rig {
    struct random random;
    struct membership m;
};

static void rig_init(struct rig *r, uint64_t seed)
{
    random_init(&r->random, seed);
    r->m = (struct membership){ .peer_timeout_ms = TIMEOUT,
                                .ask_wait_ms = ASK_WAIT,
                                .backoff_ms_min = 500,
                                .backoff_ms_max = 30000,
                                .random = &r->random };
}

static void rig_release(struct rig *r)
{
    membership_release(&r->m);
}

static uint32_t add(struct rig *r, const char *name, uint64_t now_ms)
{
    uint32_t member;
    enum news news;
    assert_ok(membership_merge(&r->m, bytes_of_text(name), (struct standing){ 0 }, now_ms, &member, &news));
    assert_int_equal(news, NEWS_NEW);
    return member;
}

/* A member that is linked and was heard at that time. */
static uint32_t add_alive(struct rig *r, const char *name, link_id link, uint64_t now_ms)
{
    uint32_t member = add(r, name, now_ms);
    assert_true(membership_linked(&r->m, member, link, now_ms));
    return member;
}

static enum member_state state_of(const struct rig *r, uint32_t member)
{
    return r->m.members[member].state;
}

static void dial_fails(struct rig *r, struct contact *c, uint64_t now_ms)
{
    membership_dialled(&r->m, c, 99, now_ms);
    assert_ptr_equal(membership_contact_of(&r->m, 99), c);
    uint64_t delay = membership_dial_ended(&r->m, c, 0, now_ms);
    assert_true(c->gone ? delay == 0 : delay > 0 && c->next_ms == now_ms + delay);
}

/* --- rule 1 --- */

static void test_a_member_is_alive_up_to_the_timeout_and_asked_about_after_it(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    membership_heard(&r.m, a, START + 100);
    assert_int_equal(membership_judge(&r.m, a, START + 100 + TIMEOUT), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, START + 101 + TIMEOUT), VERDICT_ASK);
    assert_int_equal(state_of(&r, a), MEMBER_ALIVE); /* asking is no verdict */
    rig_release(&r);
}

static void test_silence_with_nobody_vouching_is_down(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    uint64_t now = START + TIMEOUT + 1, version = r.m.version;
    assert_int_equal(membership_judge(&r.m, a, now), VERDICT_ASK);
    assert_int_equal(membership_judge(&r.m, a, now + ASK_WAIT - 1), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, now + ASK_WAIT), VERDICT_DOWN);
    assert_int_equal(state_of(&r, a), MEMBER_DOWN);
    assert_true(r.m.version > version);
    /* It is asked about now and then, and said again only when it changes. */
    assert_int_equal(membership_judge(&r.m, a, now + DOWN_ASK_AGAIN_MS - 1), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, now + DOWN_ASK_AGAIN_MS), VERDICT_ASK);
    assert_int_equal(membership_judge(&r.m, a, now + DOWN_ASK_AGAIN_MS + ASK_WAIT), VERDICT_NONE);
    rig_release(&r);
}

static void test_one_who_hears_it_makes_it_indirect_until_nobody_does(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    uint64_t now = START + TIMEOUT + 1;
    membership_vouch(&r.m, a); /* nobody was asked: it means nothing */
    assert_int_equal(membership_judge(&r.m, a, now), VERDICT_ASK);
    assert_int_equal(membership_judge(&r.m, a, now + 1), VERDICT_NONE);
    membership_vouch(&r.m, a);
    assert_int_equal(membership_wake_at_ms(&r.m, now + 1), now + 1);
    assert_int_equal(membership_judge(&r.m, a, now + 1), VERDICT_INDIRECT);
    assert_int_equal(state_of(&r, a), MEMBER_INDIRECT);
    assert_int_equal(membership_judge(&r.m, a, now + TIMEOUT), VERDICT_ASK);
    membership_vouch(&r.m, a);
    assert_int_equal(membership_judge(&r.m, a, now + TIMEOUT + 1), VERDICT_NONE); /* as before */
    assert_int_equal(membership_judge(&r.m, a, now + 2 * TIMEOUT), VERDICT_ASK);
    assert_int_equal(membership_judge(&r.m, a, now + 2 * TIMEOUT + ASK_WAIT), VERDICT_DOWN);
    assert_int_equal(membership_judge(&r.m, a, now + 2 * TIMEOUT + DOWN_ASK_AGAIN_MS), VERDICT_ASK);
    membership_vouch(&r.m, a);
    assert_int_equal(membership_judge(&r.m, a, now + 2 * TIMEOUT + DOWN_ASK_AGAIN_MS), VERDICT_INDIRECT);
    rig_release(&r);
}

static void test_with_nobody_to_ask_the_verdict_comes_at_once(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    uint64_t now = START + TIMEOUT + 1;
    assert_int_equal(membership_judge(&r.m, a, now), VERDICT_ASK);
    membership_nobody_asked(&r.m, a);
    assert_int_equal(membership_judge(&r.m, a, now), VERDICT_DOWN);
    rig_release(&r);
}

static void test_a_word_while_others_are_asked_ends_the_matter(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    uint64_t now = START + TIMEOUT + 1;
    assert_int_equal(membership_judge(&r.m, a, now), VERDICT_ASK);
    membership_heard(&r.m, a, now + 10);
    assert_int_equal(membership_judge(&r.m, a, now + ASK_WAIT), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, now + 10 + TIMEOUT), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, now + 11 + TIMEOUT), VERDICT_ASK);
    rig_release(&r);
}

static void test_a_goodbye_is_down_at_once_and_nobody_is_asked(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    membership_goodbye(&r.m, a, START + 5);
    assert_int_equal(state_of(&r, a), MEMBER_DOWN);
    for (uint64_t now = START + 5; now < START + 100000; now += 500)
        assert_int_equal(membership_judge(&r.m, a, now), VERDICT_NONE);
    assert_true(membership_linked(&r.m, a, 4, START + 100000));
    assert_int_equal(state_of(&r, a), MEMBER_ALIVE);
    assert_int_equal(membership_judge(&r.m, a, START + 100001 + TIMEOUT), VERDICT_ASK);
    rig_release(&r);
}

static void test_one_that_was_never_heard_is_joining_then_down(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add(&r, "a:1", START);
    assert_int_equal(state_of(&r, a), MEMBER_JOINING);
    assert_int_equal(membership_judge(&r.m, a, START + TIMEOUT), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, START + TIMEOUT + 1), VERDICT_ASK);
    assert_int_equal(membership_judge(&r.m, a, START + TIMEOUT + 1 + ASK_WAIT), VERDICT_DOWN);
    assert_false(r.m.members[a].met);
    rig_release(&r);
}

static void test_being_linked_again_is_a_rise_only_if_it_was_not_alive(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    uint64_t version = r.m.version;
    assert_false(membership_linked(&r.m, a, 4, START + 1));
    assert_int_equal(r.m.version, version);
    assert_int_equal(r.m.members[a].link, 4);
    membership_unlinked(&r.m, a, START + 2);
    assert_int_equal(state_of(&r, a), MEMBER_ALIVE); /* a broken link is no death */
    rig_release(&r);
}

/* --- rule 2 --- */

static void test_a_member_is_dialled_for_ever_with_growing_waits(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    add(&r, "a:1", START);
    uint64_t now = START, expected = 500;
    for (int i = 0; i < 100; i++) {
        struct contact *c = membership_due(&r.m, now);
        assert_non_null(c);
        dial_fails(&r, c, now);
        assert_in_range(c->next_ms - now, expected * 8 / 10, expected * 12 / 10);
        assert_null(membership_due(&r.m, c->next_ms - 1));
        now = c->next_ms;
        expected = expected * 2 > 30000 ? 30000 : expected * 2;
    }
    rig_release(&r);
}

static void test_each_contact_has_its_own_row_of_waits(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    add(&r, "a:1", START);
    for (int i = 0; i < 4; i++) dial_fails(&r, membership_due(&r.m, START + 100000u * (unsigned)i), START);
    add(&r, "b:1", START);
    struct contact *b = membership_due(&r.m, START);
    assert_string_equal(b->address, "b:1");
    dial_fails(&r, b, START);
    assert_in_range(b->next_ms - START, 400, 600);
    rig_release(&r);
}

static void test_ten_seconds_of_health_begin_the_waits_anew(void **state)
{
    (void)state;
    const struct {
        uint64_t lived_ms, low, high;
    } rows[] = { { HEALTHY_AFTER_MS - 1, 12800, 19200 }, { HEALTHY_AFTER_MS, 400, 600 } };
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        rig_init(&r, 1);
        add(&r, "a:1", START);
        uint64_t now = START;
        for (int n = 0; n < 5; n++) {
            struct contact *c = membership_due(&r.m, now);
            dial_fails(&r, c, now);
            now = c->next_ms;
        }
        struct contact *c = membership_due(&r.m, now);
        membership_dialled(&r.m, c, 7, now);
        assert_null(membership_due(&r.m, now));
        assert_in_range(membership_dial_ended(&r.m, c, rows[i].lived_ms, now), rows[i].low, rows[i].high);
        rig_release(&r);
    }
}

static void test_a_member_whose_link_came_in_is_dialled_when_that_ends(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START);
    assert_null(membership_due(&r.m, START + 50000));
    uint64_t delay = membership_unlinked(&r.m, a, START + 50000);
    assert_in_range(delay, 400, 600);
    assert_null(membership_due(&r.m, START + 50000 + delay - 1));
    struct contact *c = membership_due(&r.m, START + 50000 + delay);
    assert_non_null(c);
    membership_dialled(&r.m, c, 3, START + 50000 + delay);
    assert_int_equal(membership_unlinked(&r.m, a, START + 60000), 0); /* an attempt is under way */
    rig_release(&r);
}

static void test_a_stranger_that_never_answers_is_dropped_and_a_seed_is_not(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    assert_ok(membership_contact(&r.m, bytes_of_text("stranger:1"), CONTACT_STRANGER, START));
    assert_ok(membership_contact(&r.m, bytes_of_text("seed:1"), CONTACT_SEED, START));
    uint32_t strange = 0, seeded = 0;
    uint64_t now = START;
    for (int i = 0; i < 60; i++, now += 40000) {
        for (struct contact *c; (c = membership_due(&r.m, now)) != NULL;) {
            *(strcmp(c->address, "seed:1") == 0 ? &seeded : &strange) += 1;
            dial_fails(&r, c, now);
        }
    }
    assert_int_equal(strange, STRANGER_ATTEMPTS_MAX);
    assert_int_equal(seeded, 60);
    /* Its place serves the next one. */
    assert_ok(membership_contact(&r.m, bytes_of_text("another:1"), CONTACT_STRANGER, now));
    assert_int_equal(r.m.contacts_count, 2);
    rig_release(&r);
}

static void test_a_stranger_that_answered_or_became_a_member_is_kept(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    assert_ok(membership_contact(&r.m, bytes_of_text("alias:1"), CONTACT_STRANGER, START));
    struct contact *alias = membership_due(&r.m, START);
    membership_dialled(&r.m, alias, 1, START);
    uint32_t a = add(&r, "a:1", START); /* its name is not the address that was dialled */
    alias = membership_contact_of(&r.m, 1);
    alias->member = a;
    membership_linked(&r.m, a, 1, START);
    assert_null(membership_due(&r.m, START + 1000)); /* neither address, while it is linked */
    membership_dial_ended(&r.m, alias, 0, START + 1000);
    membership_unlinked(&r.m, a, START + 1000);
    for (uint64_t now = START + 40000; now < START + 2000000; now += 40000) {
        uint32_t dials = 0;
        for (struct contact *c; (c = membership_due(&r.m, now)) != NULL; dials++) dial_fails(&r, c, now);
        assert_int_equal(dials, 2);
    }
    assert_ok(membership_contact(&r.m, bytes_of_text("b:1"), CONTACT_STRANGER, START));
    uint32_t contacts = r.m.contacts_count;
    add(&r, "b:1", START);
    assert_int_equal(r.m.contacts_count, contacts); /* it was there */
    assert_int_equal(r.m.contacts[contacts - 1].kind, CONTACT_MEMBER);
    rig_release(&r);
}

static void test_an_address_that_is_this_node_is_not_dialled_again(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    assert_ok(membership_contact(&r.m, bytes_of_text("me:1"), CONTACT_STRANGER, START));
    struct contact *c = membership_due(&r.m, START);
    membership_dialled(&r.m, c, 1, START);
    c->is_self = true;
    assert_int_equal(membership_dial_ended(&r.m, c, 0, START), 0);
    assert_null(membership_due(&r.m, START + 1000000));
    assert_int_equal(membership_wake_at_ms(&r.m, START), UINT64_MAX);
    rig_release(&r);
}

static void test_who_is_said_to_be_there_is_dialled_at_once(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    add(&r, "a:1", START);
    struct contact *c = membership_due(&r.m, START);
    dial_fails(&r, c, START);
    assert_null(membership_due(&r.m, START + 1));
    assert_ok(membership_contact(&r.m, bytes_of_text("a:1"), CONTACT_STRANGER, START + 1));
    assert_ptr_equal(membership_due(&r.m, START + 1), c);
    assert_int_equal(c->kind, CONTACT_MEMBER); /* hearsay does not make a member a stranger */
    rig_release(&r);
}

static void test_no_more_than_twenty_dials_begin_in_a_second(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    r.m.peer_timeout_ms = 1000000; /* nobody is judged in here */
    char name[32];
    for (int i = 0; i < 201; i++) {
        snprintf(name, sizeof name, "m%d:1", i);
        add(&r, name, START);
    }
    uint32_t total = 0;
    for (uint64_t second = 0; second < 10; second++) {
        uint32_t dials = 0;
        for (uint64_t now = START + second * 1000; now < START + second * 1000 + 1000; now += 50) {
            for (struct contact *c; (c = membership_due(&r.m, now)) != NULL; dials++, total++)
                membership_dialled(&r.m, c, 1 + 2 * (total + 1), now);
        }
        assert_int_equal(dials, DIALS_PER_SECOND_MAX);
        assert_int_equal(membership_wake_at_ms(&r.m, START + second * 1000 + 999), START + second * 1000 + 1000);
    }
    struct contact *last = membership_due(&r.m, START + 10000);
    assert_non_null(last);
    membership_dialled(&r.m, last, 1001, START + 10000);
    assert_null(membership_due(&r.m, START + 10000)); /* all are under way */
    rig_release(&r);
}

static void test_strangers_are_dialled_when_no_member_or_seed_is_due(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "s%d:1", i);
        assert_ok(membership_contact(&r.m, bytes_of_text(name), CONTACT_STRANGER, START));
    }
    add(&r, "a:1", START);
    assert_ok(membership_contact(&r.m, bytes_of_text("seed:1"), CONTACT_SEED, START));
    for (int i = 0; i < 3; i++) {
        struct contact *c = membership_due(&r.m, START);
        assert_int_equal(c->kind == CONTACT_STRANGER, i == 2);
        membership_dialled(&r.m, c, 1 + 2 * (link_id)i, START);
    }
    rig_release(&r);
}

/* --- rule 3 --- */

static void test_a_node_that_stood_still_blames_nobody_for_a_whole_timeout(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    uint32_t a = add_alive(&r, "a:1", 2, START), b = add_alive(&r, "b:1", 4, START), down = add(&r, "c:1", START);
    assert_int_equal(membership_judge(&r.m, down, START + TIMEOUT + 1), VERDICT_ASK);
    assert_int_equal(membership_judge(&r.m, down, START + TIMEOUT + 1 + ASK_WAIT), VERDICT_DOWN);
    assert_int_equal(membership_judge(&r.m, b, START + TIMEOUT + 1), VERDICT_ASK); /* the pause falls in here */
    uint64_t woke = START + 60000;
    membership_forgive(&r.m, woke);
    assert_int_equal(membership_judge(&r.m, a, woke + TIMEOUT), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, b, woke + TIMEOUT), VERDICT_NONE);
    assert_int_equal(membership_judge(&r.m, a, woke + TIMEOUT + 1), VERDICT_ASK);
    assert_int_equal(state_of(&r, down), MEMBER_DOWN); /* what was known before stays known */
    rig_release(&r);
}

/* --- bounds --- */

static void test_too_many_members_and_contacts_are_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, 1);
    char name[32];
    for (uint32_t i = 0; i < CONTACTS_MAX - MEMBERS_MAX; i++) {
        snprintf(name, sizeof name, "s%u:1", i);
        enum contact_kind kind = i < STRANGERS_MAX ? CONTACT_STRANGER : CONTACT_SEED;
        assert_ok(membership_contact(&r.m, bytes_of_text(name), kind, START));
        if (i + 1 != STRANGERS_MAX) continue;
        assert_err(membership_contact(&r.m, bytes_of_text("s:1"), CONTACT_STRANGER, START), ERR_TOO_LONG);
    }
    uint32_t member;
    enum news news;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        snprintf(name, sizeof name, "m%u:1", i);
        assert_int_equal(add(&r, name, START), i);
    }
    assert_err(membership_admit(&r.m, bytes_of_text("x:1"), START, &member, &news), ERR_TOO_LONG);
    assert_err(membership_contact(&r.m, bytes_of_text("x:1"), CONTACT_SEED, START), ERR_TOO_LONG);
    assert_ok(membership_admit(&r.m, bytes_of_text("m77:1"), START, &member, &news)); /* who is there is found */
    assert_int_equal(member, 77);
    assert_int_equal(news, NEWS_NONE);
    rig_release(&r);
}

static enum err story_of_growth(void *context)
{
    (void)context;
    struct rig r;
    rig_init(&r, 1);
    enum err err = ERR_OK;
    char name[32];
    for (int i = 0; err == ERR_OK && i < 20; i++) {
        uint32_t member, before = r.m.members_count;
        enum news news;
        snprintf(name, sizeof name, "m%d:1", i);
        err = membership_merge(&r.m, bytes_of_text(name), (struct standing){ 0 }, START, &member, &news);
        assert_int_equal(r.m.members_count, before + (err == ERR_OK));
    }
    rig_release(&r);
    return err;
}

static void test_without_memory_nobody_is_half_a_member(void **state)
{
    (void)state;
    assert_in_range(each_allocation_fails(story_of_growth, NULL), 4, 20);
}

/* --- wake_at --- */

#define MEMBERS 6u

/* Something by chance, the same for both. */
static void happen(struct rig *r, uint64_t dice, uint64_t now_ms)
{
    uint32_t member = (uint32_t)(dice / 100 % MEMBERS);
    switch (dice % 100) {
    case 0:
        membership_linked(&r->m, member, 2 + 2 * member, now_ms);
        break;
    case 1:
        membership_unlinked(&r->m, member, now_ms);
        break;
    case 2:
        membership_goodbye(&r->m, member, now_ms);
        break;
    case 3:
        membership_forgive(&r->m, now_ms);
        break;
    case 4:
    case 5:
    case 6:
        membership_vouch(&r->m, member);
        break;
    default:
        if (dice % 100 < 30 && r->m.members[member].link != 0) membership_heard(&r->m, member, now_ms);
    }
}

struct trace {
    uint64_t verdicts[4096]; /* time, member, verdict in one number */
    uint32_t count;
};

static bool look(struct rig *r, uint64_t now_ms, struct trace *trace)
{
    uint32_t before = trace->count;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        enum verdict verdict = membership_judge(&r->m, i, now_ms);
        if (verdict == VERDICT_NONE) continue;
        assert_true(trace->count < 4096);
        trace->verdicts[trace->count++] = now_ms * 100 + i * 10 + verdict;
        if (verdict == VERDICT_ASK && now_ms % 3 == 0) membership_nobody_asked(&r->m, i);
    }
    return trace->count > before;
}

static bool dial(struct rig *r, uint64_t now_ms)
{
    bool any = false;
    for (struct contact *c; (c = membership_due(&r->m, now_ms)) != NULL; any = true) {
        membership_dialled(&r->m, c, 99, now_ms);
        membership_dial_ended(&r->m, c, 0, now_ms);
    }
    return any;
}

/* One node looks in every millisecond, the other only when it asked to be woken or when something has happened. */
static void compare(uint64_t seed)
{
    static struct trace always, woken;
    always.count = woken.count = 0;
    struct rig a, b;
    struct random random;
    rig_init(&a, seed);
    rig_init(&b, seed);
    random_init(&random, seed);
    char name[16];
    for (uint32_t i = 0; i < MEMBERS; i++) {
        snprintf(name, sizeof name, "m%u:1", i);
        add(&a, name, START);
        add(&b, name, START);
    }
    uint64_t wake_a = 0, wake_b = 0;
    for (uint64_t now = START; now < START + 60000; now++) {
        bool event = random_below(&random, 200) == 0;
        uint64_t dice = random_below(&random, 100 * MEMBERS);
        if (event) {
            happen(&a, dice, now);
            happen(&b, dice, now);
            wake_a = membership_wake_at_ms(&a.m, now);
            wake_b = membership_wake_at_ms(&b.m, now);
        }
        bool said = look(&a, now, &always);
        said |= dial(&a, now);
        assert_true(!said || wake_a <= now); /* it was to be woken for this, or earlier */
        wake_a = membership_wake_at_ms(&a.m, now + 1);
        if (wake_b > now) continue;
        look(&b, now, &woken);
        dial(&b, now);
        wake_b = membership_wake_at_ms(&b.m, now + 1);
    }
    assert_int_equal(always.count, woken.count);
    assert_memory_equal(always.verdicts, woken.verdicts, always.count * sizeof *always.verdicts);
    assert_true(always.count > 10);
    rig_release(&a);
    rig_release(&b);
}

static void test_whoever_sleeps_until_wake_at_misses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) compare(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_member_is_alive_up_to_the_timeout_and_asked_about_after_it),
        cmocka_unit_test(test_silence_with_nobody_vouching_is_down),
        cmocka_unit_test(test_one_who_hears_it_makes_it_indirect_until_nobody_does),
        cmocka_unit_test(test_with_nobody_to_ask_the_verdict_comes_at_once),
        cmocka_unit_test(test_a_word_while_others_are_asked_ends_the_matter),
        cmocka_unit_test(test_a_goodbye_is_down_at_once_and_nobody_is_asked),
        cmocka_unit_test(test_one_that_was_never_heard_is_joining_then_down),
        cmocka_unit_test(test_being_linked_again_is_a_rise_only_if_it_was_not_alive),
        cmocka_unit_test(test_a_member_is_dialled_for_ever_with_growing_waits),
        cmocka_unit_test(test_each_contact_has_its_own_row_of_waits),
        cmocka_unit_test(test_ten_seconds_of_health_begin_the_waits_anew),
        cmocka_unit_test(test_a_member_whose_link_came_in_is_dialled_when_that_ends),
        cmocka_unit_test(test_a_stranger_that_never_answers_is_dropped_and_a_seed_is_not),
        cmocka_unit_test(test_a_stranger_that_answered_or_became_a_member_is_kept),
        cmocka_unit_test(test_an_address_that_is_this_node_is_not_dialled_again),
        cmocka_unit_test(test_who_is_said_to_be_there_is_dialled_at_once),
        cmocka_unit_test(test_no_more_than_twenty_dials_begin_in_a_second),
        cmocka_unit_test(test_strangers_are_dialled_when_no_member_or_seed_is_due),
        cmocka_unit_test(test_a_node_that_stood_still_blames_nobody_for_a_whole_timeout),
        cmocka_unit_test(test_too_many_members_and_contacts_are_refused),
        cmocka_unit_test(test_without_memory_nobody_is_half_a_member),
        cmocka_unit_test(test_whoever_sleeps_until_wake_at_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
