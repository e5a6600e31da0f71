/* SPDX-License-Identifier: Apache-2.0 */
/* The keyspace when memory runs out, at every point where that can be. */
#include "keyspace_fixture.h"

#include <stdio.h>

static uint32_t stories_broken;

/* Every kind of change, with an own commit in flight across a foreign join; some fail, and must have changed nothing.
 */
static enum err story_of_everything(void *context)
{
    (void)context;
    struct fixture f;
    enum err err = fixture_new(2, &f);
    if (err != ERR_OK) return err;
    struct commit c = { 0 };
    const char *names[] = { "a", "a name that is longer", "b" };
    bool failed = false;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 3; i++) {
            struct seen before = get(&f, names[i]), seen;
            err = try_add(&f, names[i], 5, &seen);
            failed = failed || err != ERR_OK;
            assert_true(err == ERR_OK || err == ERR_NOMEM);
            assert_int_equal(get(&f, names[i]).value, before.value + (err == ERR_OK ? 5 : 0));
        }
        err = commit_take(&f, &c);
        failed = failed || err != ERR_OK;
        if (err != ERR_OK && c.out.failed) break; /* the fixture's own begin */
        if (err != ERR_OK) assert_ok(commit_take_again(&f, &c));
        if (c.batch.count > 0) assert_ok(block_check(buffer_view(&c.out)));
        for (uint32_t replica = 2; replica <= 4; replica++) {
            struct seen before = get(&f, "a");
            int128 net = replica == 3 && round == 0 ? (int128)1 << 70 : 1 + round;
            err = try_join(&f, replica, replica == 3 ? "other" : "a", (uint64_t)round + 1, net, NULL);
            failed = failed || err != ERR_OK;
            if (err != ERR_OK) assert_int_equal(get(&f, "a").value, before.value);
        }
        commit_publish(&f, &c);
        c = (struct commit){ 0 };
    }
    stories_broken += failed;
    commit_release(&c);
    fixture_release(&f);
    return failed ? ERR_NOMEM : ERR_OK;
}

static void test_whichever_allocation_fails_nothing_is_half_done(void **state)
{
    (void)state;
    uint64_t requests = each_allocation_fails(story_of_everything, NULL);
    assert_true(requests > 20);
    assert_true(stories_broken > 15);
}

static void test_a_commit_without_memory_is_finished_by_a_second_call(void **state)
{
    (void)state;
    struct fixture fixture, *f = &fixture;
    assert_ok(fixture_new(4, f));
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%d", i);
        add(f, name, 1);
    }
    struct commit c = { .number = 1, .seq_first = 1 };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = fixture_id(OWN), .from = 0 };
    block_begin(&c.block, &c.out, &head);
    uint32_t calls = 0, rose = 0, last = 0;
    for (enum err err = ERR_NOMEM; err != ERR_OK; calls++) {
        mem_fail_at(calls % 3 + 1);
        err = commit_take_again(f, &c);
        mem_fail_at(0);
        rose += c.batch.count > last;
        last = c.batch.count;
        if (err == ERR_OK) break;
        assert_true(keyspace_is_dirty(f->keyspace));
        /* In a shard that was drained these are the next commit's. */
        for (int i = 0; i < 300; i += 7) {
            snprintf(name, sizeof name, "%d", i);
            assert_in_range(add(f, name, 1).commit, 1, 2);
        }
        assert_false(c.out.failed);
        assert_true(calls < 100);
    }
    assert_true(calls > 2);
    assert_true(rose > 1); /* whole shards were kept from one call to the next */
    assert_int_equal(c.batch.count, 300);
    assert_ok(block_check(buffer_view(&c.out)));
    for (uint32_t i = 0; i < 300; i++) assert_int_equal(c.batch.items[i].seq, i + 1);
    commit_publish(f, &c);
    assert_ok(commit_take(f, &c));
    assert_in_range(c.batch.count, 1, 43); /* what came to drained shards in between */
    commit_publish(f, &c);
    assert_int_equal(get(f, "7").value, 1 + calls);
    assert_int_equal(get(f, "7").commit, 0);
    fixture_release(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whichever_allocation_fails_nothing_is_half_done),
        cmocka_unit_test(test_a_commit_without_memory_is_finished_by_a_second_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
