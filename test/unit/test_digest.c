/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "base/random.h"
#include "cluster/digest.h"
#include "cluster/message.h"

static struct id128 id_of(uint32_t number)
{
    struct id128 id = { { 0xab } };
    memcpy(id.bytes + 1, &number, sizeof number);
    return id;
}

static uint32_t intern(struct replicas *r, uint32_t number)
{
    struct id128 id = id_of(number);
    uint32_t index;
    assert_ok(replicas_intern(r, &id, &index));
    return index;
}

static void raise_to(struct replicas *r, uint32_t number, uint64_t known, uint64_t durable)
{
    uint32_t index = intern(r, number);
    replicas_raise_known(r, index, known, number);
    replicas_raise_durable(r, index, durable);
}

/* Two tables that number the replicas differently, and the two ends of their link. */
struct pair {
    struct replicas *here, *there;
    struct digest teller, taker;
};

static void pair_init(struct pair *p)
{
    *p = (struct pair){ 0 };
    assert_ok(replicas_new(&p->here));
    assert_ok(replicas_new(&p->there));
    for (uint32_t i = 0; i < 5; i++) intern(p->there, 4 - i);
}

static void pair_release(struct pair *p)
{
    digest_release(&p->teller);
    digest_release(&p->taker);
    replicas_free(p->here);
    replicas_free(p->there);
}

/* Tells and takes; returns the number of items. */
static uint32_t tell(struct pair *p, uint32_t only, bool *ret_whole)
{
    struct buffer body = { 0 };
    struct reader items;
    uint32_t count;
    assert_ok(digest_tell(&p->teller, p->here, only, &body, &count));
    assert_ok(digest_read(buffer_view(&body), ret_whole, &items));
    assert_int_equal(reader_left(&items), count * DIGEST_ITEM_BYTES);
    assert_ok(digest_take(&p->taker, p->there, buffer_view(&body)));
    buffer_release(&body);
    return count;
}

static struct claim claim(const struct pair *p, uint32_t number)
{
    struct id128 id = id_of(number);
    return digest_claim(&p->taker, replicas_find(p->there, &id));
}

static void test_the_first_digest_is_whole_and_later_ones_are_what_rose(void **state)
{
    (void)state;
    struct pair p;
    bool whole;
    pair_init(&p);
    raise_to(p.here, 0, 10, 5);
    raise_to(p.here, 1, 20, 20);
    intern(p.here, 2); /* met, nothing known: not worth a word */
    assert_int_equal(tell(&p, REPLICA_NONE, &whole), 2);
    assert_true(whole);
    assert_int_equal(claim(&p, 0).known, 10);
    assert_int_equal(claim(&p, 0).durable, 5);
    assert_int_equal(claim(&p, 1).known, 20);
    assert_int_equal(claim(&p, 2).known, 0);
    assert_int_equal(tell(&p, REPLICA_NONE, &whole), 0);
    assert_false(whole);
    raise_to(p.here, 0, 10, 10); /* durable alone is news as well */
    raise_to(p.here, 2, 1, 0);
    assert_int_equal(tell(&p, REPLICA_NONE, &whole), 2);
    assert_int_equal(claim(&p, 0).durable, 10);
    assert_int_equal(claim(&p, 2).known, 1);
    assert_int_equal(claim(&p, 1).known, 20); /* not named, not changed */
    pair_release(&p);
}

static void test_one_replica_can_be_told_alone(void **state)
{
    (void)state;
    struct pair p;
    bool whole;
    pair_init(&p);
    assert_int_equal(tell(&p, REPLICA_NONE, &whole), 0);
    raise_to(p.here, 0, 10, 5);
    raise_to(p.here, 1, 20, 20);
    assert_int_equal(tell(&p, intern(p.here, 1), &whole), 1);
    assert_int_equal(claim(&p, 0).known, 0);
    assert_int_equal(tell(&p, intern(p.here, 1), &whole), 0);
    assert_int_equal(tell(&p, REPLICA_NONE, &whole), 1);
    assert_int_equal(claim(&p, 0).known, 10);
    pair_release(&p);
}

static void test_whoever_takes_every_digest_knows_what_the_teller_knows(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct random random;
        struct pair p;
        bool whole;
        random_init(&random, seed);
        pair_init(&p);
        tell(&p, REPLICA_NONE, &whole);
        for (int step = 0; step < 50; step++) {
            uint32_t number = (uint32_t)random_below(&random, 20);
            const struct known *known = replicas_known(p.here, intern(p.here, number));
            uint64_t to = known->known + random_below(&random, 10);
            raise_to(p.here, number, to, known->durable + random_below(&random, to - known->durable + 1));
            if (random_below(&random, 3) == 0) tell(&p, intern(p.here, (uint32_t)random_below(&random, 20)), &whole);
        }
        tell(&p, REPLICA_NONE, &whole);
        for (uint32_t number = 0; number < 20; number++) {
            const struct known *known = replicas_known(p.here, intern(p.here, number));
            assert_int_equal(claim(&p, number).known, known->known);
            assert_int_equal(claim(&p, number).durable, known->durable);
        }
        pair_release(&p);
    }
}

static enum err take_item(struct pair *p, bool whole, struct id128 id, uint64_t known, uint64_t durable)
{
    struct buffer body = { 0 };
    struct digest_item item = { .replica = id, .known = known, .durable = durable, .nonce = 1, .firm = 1 };
    digest_begin(&body, whole);
    digest_put(&body, &item);
    struct fenced f = fenced_copy(buffer_view(&body));
    enum err err = digest_take(&p->taker, p->there, f.bytes);
    fenced_release(&f);
    buffer_release(&body);
    return err;
}

static void test_what_no_digest_can_say_is_damage(void **state)
{
    (void)state;
    struct pair p;
    pair_init(&p);
    assert_err(take_item(&p, false, id_of(1), 5, 5), ERR_CORRUPT); /* changes of nothing */
    assert_false(p.taker.heard_whole);
    assert_err(take_item(&p, true, (struct id128){ 0 }, 5, 5), ERR_CORRUPT);
    uint32_t before = replicas_count(p.there);
    assert_err(take_item(&p, true, id_of(100), 5, 6), ERR_CORRUPT); /* durable without being known */
    assert_int_equal(replicas_count(p.there), before);
    assert_err(digest_take(&p.taker, p.there, bytes_of(NULL, 0)), ERR_CORRUPT);
    assert_false(p.taker.heard_whole);
    assert_ok(take_item(&p, true, id_of(1), UINT64_MAX, UINT64_MAX));
    assert_true(p.taker.heard_whole);
    assert_ok(take_item(&p, false, id_of(1), 3, 3)); /* a claim may be taken back: the peer's disk did it */
    assert_int_equal(claim(&p, 1).known, 3);
    pair_release(&p);
}

static void test_what_a_whole_digest_does_not_name_is_not_known(void **state)
{
    (void)state;
    struct pair p;
    pair_init(&p);
    assert_ok(take_item(&p, true, id_of(1), 5, 4));
    assert_ok(take_item(&p, false, id_of(2), 7, 7));
    assert_ok(take_item(&p, true, id_of(3), 9, 9));
    assert_int_equal(claim(&p, 1).known, 0);
    assert_int_equal(claim(&p, 1).durable, 0);
    assert_int_equal(claim(&p, 2).known, 0);
    assert_int_equal(claim(&p, 3).known, 9);
    pair_release(&p);
}

static void test_a_table_that_is_full_says_so(void **state)
{
    (void)state;
    struct pair p;
    pair_init(&p);
    for (uint32_t i = 0; replicas_count(p.there) <= REPLICAS_MAX; i++) intern(p.there, i);
    assert_ok(take_item(&p, true, id_of(77), 5, 4));
    assert_err(take_item(&p, false, id_of(1 << 20), 5, 4), ERR_TOO_LONG);
    assert_int_equal(claim(&p, 77).known, 5);
    pair_release(&p);
}

/* What one side was told and what it said itself are different things. */
static void test_both_directions_of_a_link_do_not_touch(void **state)
{
    (void)state;
    struct pair p;
    bool whole;
    pair_init(&p);
    raise_to(p.here, 1, 20, 20);
    tell(&p, REPLICA_NONE, &whole);
    raise_to(p.there, 1, 7, 7);
    struct buffer body = { 0 };
    uint32_t count;
    assert_ok(digest_tell(&p.taker, p.there, REPLICA_NONE, &body, &count));
    assert_int_equal(count, 1);
    assert_ok(digest_take(&p.teller, p.here, buffer_view(&body)));
    buffer_release(&body);
    assert_int_equal(digest_claim(&p.teller, intern(p.here, 1)).known, 7);
    assert_int_equal(claim(&p, 1).known, 20);
    assert_int_equal(tell(&p, REPLICA_NONE, &whole), 0);
    pair_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_digest_is_whole_and_later_ones_are_what_rose),
        cmocka_unit_test(test_one_replica_can_be_told_alone),
        cmocka_unit_test(test_whoever_takes_every_digest_knows_what_the_teller_knows),
        cmocka_unit_test(test_what_no_digest_can_say_is_damage),
        cmocka_unit_test(test_what_a_whole_digest_does_not_name_is_not_known),
        cmocka_unit_test(test_a_table_that_is_full_says_so),
        cmocka_unit_test(test_both_directions_of_a_link_do_not_touch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
