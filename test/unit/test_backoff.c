/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "cluster/backoff.h"

static void test_waits_double_from_the_shortest_to_the_longest_and_stay_there(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct random random;
        struct backoff b = { .ms_min = 500, .ms_max = 30000 };
        random_init(&random, seed);
        const uint64_t expected[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
            uint64_t delay = backoff_fail(&b, &random);
            assert_in_range(delay, expected[i] * 8 / 10, expected[i] * 12 / 10);
            assert_int_equal(b.failures, i + 1);
        }
    }
}

static void test_a_reset_begins_the_row_again(void **state)
{
    (void)state;
    struct random random;
    struct backoff b = { .ms_min = 100, .ms_max = 800 };
    random_init(&random, 1);
    for (int i = 0; i < 5; i++) assert_in_range(backoff_fail(&b, &random), 80, 960);
    assert_in_range(backoff_fail(&b, &random), 640, 960);
    backoff_reset(&b);
    assert_in_range(backoff_fail(&b, &random), 80, 120);
    assert_in_range(backoff_fail(&b, &random), 160, 240);
}

/* Nodes that lost the same peer at the same time must not come back in step. */
static void test_different_nodes_wait_differently(void **state)
{
    (void)state;
    uint64_t first = 0;
    uint32_t different = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct random random;
        struct backoff b = { .ms_min = 1000, .ms_max = 1000 };
        random_init(&random, seed);
        uint64_t delay = backoff_fail(&b, &random);
        if (seed == 0) first = delay;
        different += delay != first;
    }
    assert_true(different > 40);
}

static void test_it_never_gives_up_and_never_overflows(void **state)
{
    (void)state;
    struct random random;
    struct backoff b = { .ms_min = UINT32_MAX - 1, .ms_max = UINT32_MAX, .failures = UINT32_MAX };
    random_init(&random, 3);
    for (int i = 0; i < 3; i++)
        assert_in_range(backoff_fail(&b, &random), UINT32_MAX / 10ull * 8, UINT32_MAX / 10ull * 12 + 12);
    assert_int_equal(b.failures, UINT32_MAX);
    b = (struct backoff){ .ms_min = 700, .ms_max = 700 };
    assert_in_range(backoff_fail(&b, &random), 560, 840);
    assert_in_range(backoff_fail(&b, &random), 560, 840);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_double_from_the_shortest_to_the_longest_and_stay_there),
        cmocka_unit_test(test_a_reset_begins_the_row_again),
        cmocka_unit_test(test_different_nodes_wait_differently),
        cmocka_unit_test(test_it_never_gives_up_and_never_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
