/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "base/random.h"
#include "count/replicas.h"

#include <pthread.h>

static struct id128 id_of(uint64_t number)
{
    struct id128 id = { { 0 } };
    struct random random;
    random_init(&random, number);
    uint64_t halves[2] = { random_u64(&random), random_u64(&random) };
    memcpy(id.bytes, halves, sizeof halves);
    return id;
}

static struct replicas *replicas_made(void)
{
    struct replicas *r = NULL;
    assert_ok(replicas_new(&r));
    return r;
}

static uint32_t intern(struct replicas *r, uint64_t number)
{
    struct id128 id = id_of(number);
    uint32_t index = REPLICA_NONE;
    assert_ok(replicas_intern(r, &id, &index));
    return index;
}

static void test_new_table_names_nobody(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    struct id128 id = id_of(1), zero = { { 0 } };
    assert_int_equal(replicas_count(r), 1);
    assert_int_equal(replicas_find(r, &id), REPLICA_NONE);
    assert_int_equal(replicas_find(r, &zero), REPLICA_NONE);
    assert_true(id128_is_zero(replicas_id(r, REPLICA_NONE)));
    assert_int_equal(replicas_known(r, REPLICA_NONE)->known, 0);
    replicas_free(r);
    replicas_free(NULL);
}

static void test_id_keeps_its_first_index(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    struct id128 id = id_of(2);
    assert_int_equal(intern(r, 1), 1);
    assert_int_equal(intern(r, 2), 2);
    assert_int_equal(intern(r, 1), 1);
    assert_int_equal(replicas_count(r), 3);
    assert_int_equal(replicas_find(r, &id), 2);
    assert_true(id128_equal(replicas_id(r, 2), &id));
    replicas_free(r);
}

static void test_zero_id_is_not_allowed(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    uint32_t index = 77;
    assert_err(replicas_intern(r, &(struct id128){ { 0 } }, &index), ERR_INVALID);
    assert_int_equal(index, 77);
    assert_int_equal(replicas_count(r), 1);
    replicas_free(r);
}

static void test_table_holds_as_many_as_an_index_can_name(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    for (uint32_t i = 1; i <= REPLICAS_MAX; i++) assert_int_equal(intern(r, i), i);
    struct id128 more = id_of(REPLICAS_MAX + 1);
    uint32_t index = 77;
    assert_err(replicas_intern(r, &more, &index), ERR_TOO_LONG);
    assert_int_equal(index, 77);
    assert_int_equal(replicas_find(r, &more), REPLICA_NONE);
    assert_int_equal(replicas_count(r), REPLICAS_MAX + 1);
    for (uint32_t i = 1; i <= REPLICAS_MAX; i++) {
        struct id128 id = id_of(i);
        assert_int_equal(replicas_find(r, &id), i);
        assert_true(id128_equal(replicas_id(r, i), &id));
    }
    replicas_free(r);
}

/* Half full is the most a table gets; among so many, searches run over the end of one. */
static void test_every_id_is_found_in_a_half_full_table(void **state)
{
    (void)state;
    for (uint64_t table = 0; table < 300; table++) {
        struct replicas *r = replicas_made();
        for (uint32_t i = 1; i <= 32; i++) assert_int_equal(intern(r, table * 32 + i), i);
        for (uint32_t i = 1; i <= 32; i++) assert_int_equal(intern(r, table * 32 + i), i);
        replicas_free(r);
    }
}

static void test_ids_never_move(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    const struct id128 *first = replicas_id(r, intern(r, 1));
    const struct known *known = replicas_known(r, 1);
    for (uint32_t i = 2; i < 2000; i++) intern(r, i);
    assert_ptr_equal(replicas_id(r, 1), first);
    assert_ptr_equal(replicas_known(r, 1), known);
    replicas_free(r);
}

static void test_known_only_rises_and_the_nonce_with_it(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    uint32_t a = intern(r, 1), b = intern(r, 2);
    replicas_raise_known(r, a, 10, 111);
    replicas_raise_known(r, a, 9, 222);
    replicas_raise_known(r, a, 10, 333);
    assert_int_equal(replicas_known(r, a)->known, 10);
    assert_int_equal(replicas_known(r, a)->nonce, 111);
    replicas_raise_known(r, a, 11, 444);
    assert_int_equal(replicas_known(r, a)->known, 11);
    assert_int_equal(replicas_known(r, a)->nonce, 444);
    assert_int_equal(replicas_known(r, a)->durable, 0);
    assert_int_equal(replicas_known(r, b)->known, 0);
    replicas_free(r);
}

static void test_durable_only_rises_up_to_known(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    uint32_t a = intern(r, 1);
    replicas_raise_known(r, a, 10, 1);
    replicas_raise_durable(r, a, 10);
    replicas_raise_durable(r, a, 7);
    assert_int_equal(replicas_known(r, a)->durable, 10);
    replicas_free(r);
}

static void claim_more_durable_than_known(void *context)
{
    replicas_raise_durable(context, 1, 1);
}

static void raise_nobody(void *context)
{
    replicas_raise_known(context, REPLICA_NONE, 1, 1);
}

static void ask_for_an_index_never_given(void *context)
{
    (void)replicas_id(context, 2);
}

static void test_broken_promises_end_the_process(void **state)
{
    (void)state;
    struct replicas *r = replicas_made();
    intern(r, 1);
    assert_aborts(claim_more_durable_than_known, r);
    assert_aborts(raise_nobody, r);
    assert_aborts(ask_for_an_index_never_given, r);
    replicas_free(r);
}

/* Goes past the first growth of the table and the second chunk. */
static enum err fill(void *context)
{
    const uint32_t *count = context;
    struct replicas *r = NULL;
    enum err err = replicas_new(&r);
    for (uint32_t i = 1; i <= *count && err == ERR_OK; i++) {
        struct id128 id = id_of(i);
        uint32_t index = 0;
        err = replicas_intern(r, &id, &index);
        if (err == ERR_OK) continue;
        assert_int_equal(replicas_count(r), i);
        assert_int_equal(replicas_find(r, &id), REPLICA_NONE);
        assert_ok(replicas_intern(r, &id, &index)); /* memory is there again */
        assert_int_equal(index, i);
    }
    replicas_free(r);
    return err;
}

static void test_without_memory_an_id_is_not_taken_in(void **state)
{
    (void)state;
    uint32_t count = 600;
    assert_true(each_allocation_fails(fill, &count) >= 3 + 2 + 4);
}

/* The one writer hands each index over through an atomic, as a block's join hands it to a shard. */
struct handover {
    struct replicas *replicas;
    _Atomic uint32_t index;
};

#define HANDED 5000

static void *read_ids(void *context)
{
    struct handover *h = context;
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < HANDED;) {
        index = h->index;
        struct id128 id = id_of(index);
        if (index != REPLICA_NONE && !id128_equal(replicas_id(h->replicas, index), &id)) wrong++;
        if (replicas_count(h->replicas) <= index) wrong++;
    }
    return wrong > 0 ? context : NULL;
}

static void test_other_threads_read_ids_while_more_come(void **state)
{
    (void)state;
    struct handover h = { replicas_made(), REPLICA_NONE };
    pthread_t readers[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&readers[i], NULL, read_ids, &h), 0);
    for (uint32_t i = 1; i <= HANDED; i++) h.index = intern(h.replicas, i);
    for (int i = 0; i < 2; i++) {
        void *wrong = &h;
        assert_int_equal(pthread_join(readers[i], &wrong), 0);
        assert_null(wrong);
    }
    replicas_free(h.replicas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_table_names_nobody),
        cmocka_unit_test(test_id_keeps_its_first_index),
        cmocka_unit_test(test_zero_id_is_not_allowed),
        cmocka_unit_test(test_table_holds_as_many_as_an_index_can_name),
        cmocka_unit_test(test_every_id_is_found_in_a_half_full_table),
        cmocka_unit_test(test_ids_never_move),
        cmocka_unit_test(test_known_only_rises_and_the_nonce_with_it),
        cmocka_unit_test(test_durable_only_rises_up_to_known),
        cmocka_unit_test(test_broken_promises_end_the_process),
        cmocka_unit_test(test_without_memory_an_id_is_not_taken_in),
        cmocka_unit_test(test_other_threads_read_ids_while_more_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
