/* SPDX-License-Identifier: Apache-2.0 */
/* Trails against a model that keeps the nonce of each single seq. */
#include "testing.h"

#include "base/random.h"
#include "count/trail.h"

#include <stdio.h>

/* "start:nonce start:nonce" */
static const char *boots_of(const struct trail *t)
{
    static char text[TRAIL_BOOTS_MAX * 24];
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < t->count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u:%u", i ? " " : "", (unsigned)t->boots[i].start,
                               (unsigned)t->boots[i].nonce);
    return text;
}

static void begin(struct trail *t, uint64_t start, uint64_t nonce)
{
    assert_ok(trail_extend(t, start, nonce));
}

static void test_a_boot_wrote_from_its_start_to_the_next(void **state)
{
    (void)state;
    struct trail t = { 0 };
    assert_int_equal(trail_nonce_at(&t, 1), 0);
    assert_true(trail_end_after(&t, 0) == UINT64_MAX);
    begin(&t, 0, 7);
    begin(&t, 10, 8);
    begin(&t, 15, 9);
    assert_int_equal(trail_nonce_at(&t, 0), 0);
    assert_int_equal(trail_nonce_at(&t, 1), 7);
    assert_int_equal(trail_nonce_at(&t, 10), 7);
    assert_int_equal(trail_nonce_at(&t, 11), 8);
    assert_int_equal(trail_nonce_at(&t, 15), 8);
    assert_int_equal(trail_nonce_at(&t, UINT64_MAX), 9);
    assert_int_equal(trail_end_after(&t, 0), 10);
    assert_int_equal(trail_end_after(&t, 9), 10);
    assert_int_equal(trail_end_after(&t, 10), 15);
    assert_true(trail_end_after(&t, 15) == UINT64_MAX && trail_end_after(&t, UINT64_MAX) == UINT64_MAX);
    assert_int_equal(trail_boot_from(&t, 10)->nonce, 8);
    assert_null(trail_boot_from(&t, 11));
    trail_release(&t);
    assert_int_equal(t.count, 0);
}

static void test_a_boot_that_wrote_nothing_gives_its_place_away(void **state)
{
    (void)state;
    struct trail t = { 0 };
    begin(&t, 0, 7);
    begin(&t, 10, 8);
    trail_set_firm(&t, 11);
    begin(&t, 10, 9); /* nothing is settled about this one */
    assert_string_equal(boots_of(&t), "0:7 10:9");
    assert_true(t.firm == 10 && t.pledged == 10);
    begin(&t, 12, 10);
    begin(&t, 12, 11);
    assert_string_equal(boots_of(&t), "0:7 10:9 12:11");
    trail_release(&t);
}

static void begin_before_another(void *context)
{
    struct trail *t = context;
    assert_ok(trail_extend(t, 9, 1));
}

static void test_boots_only_rise(void **state)
{
    (void)state;
    struct trail t = { 0 };
    begin(&t, 10, 8);
    assert_aborts(begin_before_another, &t);
    trail_release(&t);
}

static void test_the_oldest_become_one_that_fits_any(void **state)
{
    (void)state;
    struct trail t = { 0 }, other = { 0 };
    uint64_t fork;
    for (uint64_t i = 0; i < TRAIL_BOOTS_MAX; i++) begin(&t, 10 * i, 100 + i);
    assert_int_equal(trail_nonce_at(&t, 1), 100);
    begin(&t, 10 * TRAIL_BOOTS_MAX, 999);
    assert_int_equal(t.count, TRAIL_BOOTS_MAX);
    assert_int_equal(trail_nonce_at(&t, 1), 0);
    assert_int_equal(trail_nonce_at(&t, 20), 0);
    assert_int_equal(trail_nonce_at(&t, 21), 102);
    assert_int_equal(trail_nonce_at(&t, 10 * TRAIL_BOOTS_MAX + 1), 999);
    begin(&other, 0, 5);
    assert_false(trail_fork(&t, 20, &other, 20, &fork));
    assert_int_equal(fork, 20);
    assert_true(trail_fork(&t, 700, &other, 700, &fork));
    assert_int_equal(fork, 20);
    trail_release(&other);
    trail_release(&t);
}

static void test_firm_and_pledged_only_rise(void **state)
{
    (void)state;
    struct trail t = { 0 };
    begin(&t, 0, 7);
    begin(&t, 10, 8);
    assert_true(trail_is_loose(&t, 0, 1));
    trail_set_pledged(&t, 11);
    assert_true(t.firm == 0 && t.pledged == 11);
    trail_set_pledged(&t, 5);
    assert_int_equal(t.pledged, 11);
    trail_set_firm(&t, 1);
    assert_true(t.firm == 1 && t.pledged == 11);
    assert_false(trail_is_loose(&t, 0, 10)); /* 10 is where the next begins: seq 10 is not its */
    assert_true(trail_is_loose(&t, 0, 11));
    trail_set_firm(&t, 0);
    assert_int_equal(t.firm, 1);
    trail_set_firm(&t, 50); /* who settles that has pledged it */
    assert_true(t.firm == 50 && t.pledged == 50);
    assert_false(trail_is_loose(&t, 0, UINT64_MAX));
    trail_release(&t);
}

static uint32_t loose_count(const struct trail *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->count; i++) count += t->boots[i].start >= t->firm;
    return count;
}

static void test_only_so_many_boots_stay_loose(void **state)
{
    (void)state;
    struct trail t = { 0 };
    for (uint64_t i = 0; i < 2ull * TRAIL_BOOTS_MAX; i++) {
        trail_limit_loose(&t, TRAIL_LOOSE_MAX - 1);
        begin(&t, 3 * i, i + 1);
        assert_int_equal(loose_count(&t), i < TRAIL_LOOSE_MAX ? i + 1 : TRAIL_LOOSE_MAX);
        assert_true(t.pledged >= t.firm);
    }
    trail_limit_loose(&t, 1);
    assert_int_equal(loose_count(&t), 1);
    trail_limit_loose(&t, 0);
    assert_int_equal(loose_count(&t), 0);
    trail_release(&t);
}

static void test_an_entry_is_kept_if_a_loose_boot_began_between(void **state)
{
    (void)state;
    struct trail t = { 0 };
    begin(&t, 0, 7);
    begin(&t, 10, 8);
    begin(&t, 20, 9);
    trail_set_firm(&t, 10);
    assert_false(trail_is_loose(&t, 3, 10)); /* both are of the first boot */
    assert_true(trail_is_loose(&t, 3, 11));
    assert_true(trail_is_loose(&t, 10, 11)); /* 10 is the last seq before the boot */
    assert_false(trail_is_loose(&t, 11, 20));
    assert_true(trail_is_loose(&t, 11, 21));
    trail_set_firm(&t, 11);
    assert_false(trail_is_loose(&t, 3, 11));
    assert_true(trail_is_loose(&t, 3, 21));
    trail_set_firm(&t, 21);
    assert_false(trail_is_loose(&t, 3, 100));
    trail_release(&t);
}

static void test_the_last_boot_becomes_a_trail_of_its_own(void **state)
{
    (void)state;
    struct trail t = { 0 }, rest = { 0 };
    begin(&t, 0, 7);
    begin(&t, 10, 8);
    begin(&t, 20, 9);
    trail_set_firm(&t, 1);
    assert_ok(trail_split_last(&t, &rest));
    assert_string_equal(boots_of(&t), "0:7 10:8");
    assert_string_equal(boots_of(&rest), "0:9");
    assert_false(trail_is_loose(&rest, 0, UINT64_MAX)); /* nobody else can begin an id made of its nonce */
    trail_release(&rest);
    assert_ok(trail_split_last(&t, &rest));
    trail_release(&rest);
    assert_ok(trail_split_last(&t, &rest)); /* all of it may go */
    assert_int_equal(t.count, 0);
    trail_release(&rest);
    trail_release(&t);
}

static void test_ids_of_parts_hang_on_replica_and_boot_alone(void **state)
{
    (void)state;
    const struct id128 a = { { 1 } }, b = { { 2 } };
    struct id128 a7 = trail_split_id(&a, 7), again = trail_split_id(&a, 7);
    struct id128 a8 = trail_split_id(&a, 8), b7 = trail_split_id(&b, 7);
    assert_true(id128_equal(&a7, &again));
    assert_false(id128_equal(&a7, &a8) || id128_equal(&a7, &b7) || id128_equal(&a7, &a));
    /* For ever: other nodes, versions and machines come to the same. */
    static const uint8_t expected[16] = { 0xfb, 0x77, 0xcd, 0x9c, 0x51, 0x8c, 0x0f, 0x8a,
                                          0x51, 0xe6, 0x54, 0x87, 0x5c, 0xb5, 0xac, 0xb9 };
    assert_memory_equal(a7.bytes, expected, sizeof expected);
}

/* --- by chance --- */

#define SEQS 60u

/* Who wrote each seq, and who began after which. */
struct model {
    uint64_t nonces[SEQS + 1];
    uint64_t known;
};

/* Goes on from where the model is: some boots, some of which write nothing. */
static void write_on(struct random *random, struct model *m, struct trail *t, uint64_t to)
{
    while (m->known < to) {
        uint64_t nonce = 1 + random_u64(random) / 2;
        begin(t, m->known, nonce);
        uint64_t count = random_below(random, 9);
        for (uint64_t i = 0; i < count && m->known < to; i++) m->nonces[++m->known] = nonce;
    }
}

static void check_model(const struct trail *t, const struct model *m)
{
    for (uint64_t seq = 1; seq <= m->known; seq++) {
        assert_true(trail_nonce_at(t, seq) == m->nonces[seq]);
        uint64_t end = trail_end_after(t, seq - 1);
        for (uint64_t same = seq; same <= m->known && same <= end; same++)
            assert_true(m->nonces[same] == m->nonces[seq]);
        if (end < m->known) assert_true(m->nonces[end + 1] != m->nonces[seq]);
    }
}

static void check_fork(const struct trail *a, const struct model *ma, const struct trail *b, const struct model *mb)
{
    uint64_t common = ma->known < mb->known ? ma->known : mb->known, expected = 0, fork = 99;
    while (expected < common && ma->nonces[expected + 1] == mb->nonces[expected + 1]) expected++;
    assert_true(trail_fork(a, ma->known, b, mb->known, &fork) == (expected < common));
    assert_int_equal(fork, expected);
    assert_true(trail_fork(b, mb->known, a, ma->known, &fork) == (expected < common));
    assert_int_equal(fork, expected);
    if (expected == common) return;
    /* At least one of the two histories began anew right there: it can be told apart. */
    assert_true(trail_boot_from(a, fork) || trail_boot_from(b, fork));
}

/* A copy of a trail as the disk of `known` has it. */
static void copy_up_to(const struct trail *t, uint64_t known, struct trail *ret_copy)
{
    *ret_copy = (struct trail){ 0 };
    for (uint32_t i = 0; i < t->count && t->boots[i].start < known; i++)
        begin(ret_copy, t->boots[i].start, t->boots[i].nonce);
}

static void test_forks_are_found_wherever_they_are(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct random random;
        struct trail a = { 0 }, b;
        struct model ma = { 0 }, mb;
        random_init(&random, seed);
        write_on(&random, &ma, &a, random_below(&random, SEQS + 1));
        check_model(&a, &ma);
        mb = ma;
        mb.known = random_below(&random, ma.known + 1); /* an old disk, or a copy of a running process's */
        copy_up_to(&a, mb.known, &b);
        check_fork(&a, &ma, &b, &mb);
        write_on(&random, &mb, &b, mb.known + random_below(&random, SEQS + 1 - mb.known));
        check_model(&b, &mb);
        check_fork(&a, &ma, &b, &mb);
        /* The same with holders that lag behind. */
        for (int i = 0; i < 5; i++) {
            struct model pa = ma, pb = mb;
            pa.known = random_below(&random, ma.known + 1);
            pb.known = random_below(&random, mb.known + 1);
            check_fork(&a, &pa, &b, &pb);
        }
        trail_release(&a);
        trail_release(&b);
    }
}

static enum err story_of_a_trail(void *context)
{
    (void)context;
    struct trail t = { 0 }, rest = { 0 };
    enum err err = ERR_OK;
    for (uint64_t i = 0; err == ERR_OK && i < 10; i++) {
        err = trail_extend(&t, i, i + 1);
        if (err != ERR_OK) assert_int_equal(t.count, i);
    }
    if (err == ERR_OK) {
        err = trail_split_last(&t, &rest);
        assert_int_equal(t.count, err == ERR_OK ? 9 : 10);
    }
    trail_release(&rest);
    trail_release(&t);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(story_of_a_trail, NULL) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_boot_wrote_from_its_start_to_the_next),
        cmocka_unit_test(test_a_boot_that_wrote_nothing_gives_its_place_away),
        cmocka_unit_test(test_boots_only_rise),
        cmocka_unit_test(test_the_oldest_become_one_that_fits_any),
        cmocka_unit_test(test_firm_and_pledged_only_rise),
        cmocka_unit_test(test_only_so_many_boots_stay_loose),
        cmocka_unit_test(test_an_entry_is_kept_if_a_loose_boot_began_between),
        cmocka_unit_test(test_the_last_boot_becomes_a_trail_of_its_own),
        cmocka_unit_test(test_ids_of_parts_hang_on_replica_and_boot_alone),
        cmocka_unit_test(test_forks_are_found_wherever_they_are),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
