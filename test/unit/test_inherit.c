/* SPDX-License-Identifier: Apache-2.0 */
/* What a new replica takes over of a former one, in the algebra and in the keyspace. */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "count/keyspace_inherit.h"
#include "count/reset.h"

#include <stdio.h>

#define VERSIONS_MAX 12u
#define FORMER 2u
#define OTHER 3u

/* Every version that a share ever had, from the first on; version 0 is no share at all. */
struct history {
    struct entry versions[VERSIONS_MAX];
    uint32_t count;
};

static struct entry entry_copy(const struct entry *entry)
{
    struct entry copy = *entry;
    assert_ok(extras_copy(entry->extras, &copy.extras));
    return copy;
}

static void history_free(struct history *h)
{
    for (uint32_t i = 0; i < h->count; i++) extras_free(h->versions[i].extras);
}

/* Increments, and resets up to version resets_until, which see the version of another share. */
static void history_draw(struct random *random, uint32_t count, uint32_t resets_until, uint32_t other,
                         const struct history *seen, struct history *ret_history)
{
    struct entry now = { 0 };
    uint64_t seq = 0;
    *ret_history = (struct history){ .count = 1 };
    while (ret_history->count < count) {
        const uint64_t seq_open = seq + 1;
        if (ret_history->count < resets_until && random_below(random, 3) == 0) {
            struct share others = { other, seen ? seen->versions[random_below(random, seen->count)] : now };
            struct assignment none = { .stamp = { .time = 3 * seq + 1 + random_below(random, 3), .replica = other } };
            none.has_value = random_below(random, 2) == 0;
            none.value = (int64_t)random_below(random, 50);
            bool has_seen = seen && others.entry.seq > 0;
            assert_ok(entry_observe_reset(&now, seq_open, &others, has_seen, &none));
        } else {
            assert_ok(entry_add(&now, seq_open, (int64_t)random_below(random, 100)));
        }
        entry_seal(&now, seq_open, seq += 1 + random_below(random, 3));
        ret_history->versions[ret_history->count++] = entry_copy(&now);
    }
    extras_free(now.extras);
}

/* Those that are there: a share without a version is none. */
static uint32_t shares_of(const struct entry *former, const struct entry *other, const struct entry *own,
                          struct share into[3])
{
    uint32_t count = 0;
    if (former->seq > 0) into[count++] = (struct share){ FORMER, *former };
    if (other->seq > 0) into[count++] = (struct share){ OTHER, *other };
    if (own && (own->seq > 0 || own->extras)) into[count++] = (struct share){ OWN, *own };
    return count;
}

static void inherit(const struct replicas *replicas, const struct entry *lost, const struct entry *held,
                    const struct entry *other, struct entry *own, bool *ret_changed)
{
    struct share shares[3], from = { FORMER, *lost };
    uint32_t count = shares_of(held, other, own, shares);
    assert_ok(entry_inherit(own, OWN, replicas, &from, shares, count, ret_changed));
}

/* The new replica has taken over a version, and then older ones as well. Then a node that holds any version of the
 * former one from the claimed one on, which all can get, shows what it would show if it had the newest of all these
 * itself. */
static void inherit_at_random(struct random *random, const struct replicas *replicas)
{
    struct history former, other;
    uint32_t count = 3 + (uint32_t)random_below(random, VERSIONS_MAX - 3);
    uint32_t highest = 1 + (uint32_t)random_below(random, count - 1);
    history_draw(random, 1 + (uint32_t)random_below(random, 3), 3, FORMER, NULL, &other);
    history_draw(random, count, highest + 1, OTHER, &other, &former);
    const struct entry *theirs = &other.versions[other.count - 1];
    struct entry own = { 0 };
    const uint32_t claimed = (uint32_t)random_below(random, highest);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t taken = i == 0 ? highest : claimed + 1 + (uint32_t)random_below(random, highest - claimed);
        bool changed = false;
        inherit(replicas, &former.versions[taken], &former.versions[claimed], theirs, &own, &changed);
        assert_int_equal(changed, i == 0);
    }
    own.seq = 7; /* as the first commit gives it */
    own.extras->add_seq = 7;
    for (uint32_t held = claimed; held < former.count; held++) {
        uint32_t newest = held > highest ? held : highest;
        struct share with[3], without[3];
        uint32_t with_count = shares_of(&former.versions[held], theirs, &own, with);
        uint32_t without_count = shares_of(&former.versions[newest], theirs, NULL, without);
        int128 value = shares_value(replicas, with, with_count);
        assert_true(value == shares_value(replicas, without, without_count));
        if (shares_exist(replicas, without, without_count)) assert_true(shares_exist(replicas, with, with_count));
    }
    extras_free(own.extras);
    history_free(&former);
    history_free(&other);
}

static void test_any_version_beside_what_was_taken_over_comes_to_the_same(void **state)
{
    (void)state;
    struct fixture f;
    struct random random;
    assert_ok(fixture_new(1, &f));
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        random_init(&random, seed);
        inherit_at_random(&random, f.replicas);
    }
    fixture_release(&f);
}

static void test_sum_beyond_what_a_net_may_be_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    assert_ok(fixture_new(1, &f));
    struct share lost = { FORMER, { .seq = 3, .net = NET_MAX } };
    struct entry own = { .net = 1 };
    bool changed = false;
    assert_err(entry_inherit(&own, OWN, f.replicas, &lost, NULL, 0, &changed), ERR_RANGE);
    assert_true(own.net == 1 && !own.extras && !changed);
    fixture_release(&f);
}

/* --- In the keyspace --- */

static enum err take_over(struct fixture *f, uint32_t replica, const char *name, uint64_t seq, int128 net,
                          bool *ret_moved)
{
    struct bytes bytes = bytes_of_text(name);
    struct entry entry = { .seq = seq, .net = net };
    return keyspace_inherit(f->keyspace, replica, hash_of(f, bytes), bytes, &entry, ret_moved);
}

static void expect_entry(struct bytes block, struct fixture *f, const char *wanted, int64_t net, uint64_t base_seq)
{
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    bool found = false;
    assert_ok(block_open(&reader, block));
    while (block_next(&reader, f->replicas, &name, &entry) == ERR_OK) {
        if (bytes_equal(name, bytes_of_text(wanted))) {
            found = true;
            assert_true(entry.net == net);
            assert_non_null(entry.extras);
            assert_int_equal(entry.extras->bases.items[0].replica, FORMER);
            assert_int_equal(entry.extras->bases.items[0].base.seq, base_seq);
        }
        extras_free(entry.extras);
    }
    assert_true(found);
}

static void test_what_was_taken_over_shows_at_once_and_leaves_with_the_first_commit(void **state)
{
    (void)state;
    struct fixture fixture, *f = &fixture;
    bool moved = false;
    assert_ok(fixture_new(2, f));
    join(f, FORMER, "held", 3, 10);
    replicas_raise_known(f->replicas, FORMER, 3, 1);
    assert_ok(take_over(f, FORMER, "held", 8, 25, &moved));
    assert_true(moved);
    assert_ok(take_over(f, FORMER, "a name too long for a cell", 9, -4, &moved));
    assert_int_equal(get(f, "held").value, 25);
    assert_int_equal(get(f, "a name too long for a cell").value, -4);
    moved = false;
    assert_ok(take_over(f, FORMER, "held", 7, 20, &moved)); /* older than what was taken over */
    assert_false(moved);
    assert_int_equal(add(f, "held", 5).value, 30);
    struct commit c;
    assert_ok(commit_take(f, &c));
    expect_entry(buffer_view(&c.out), f, "held", 30, 8);
    expect_entry(buffer_view(&c.out), f, "a name too long for a cell", -4, 9);
    commit_publish(f, &c);
    assert_int_equal(get(f, "held").value, 30);
    /* What peers have of it: as much, then more. */
    join(f, FORMER, "held", 8, 25);
    assert_int_equal(get(f, "held").value, 30);
    join(f, FORMER, "held", 12, 26);
    assert_int_equal(get(f, "held").value, 31);
    join(f, FORMER, "a name too long for a cell", 10, -5);
    assert_int_equal(get(f, "a name too long for a cell").value, -5);
    assert_int_equal(keyspace_count(f->keyspace), 2);
    fixture_release(f);
}

static void test_entries_that_nothing_claims_are_taken_out(void **state)
{
    (void)state;
    struct fixture fixture, *f = &fixture;
    assert_ok(fixture_new(2, f));
    const uint64_t bytes_before = keyspace_bytes(f->keyspace);
    join(f, OTHER, "theirs", 9, 100);
    join(f, FORMER, "mine", 9, 50);
    join(f, FORMER, "both", 8, 7);
    join(f, OTHER, "both", 2, 1);
    join(f, OTHER, "claimed", 3, 4);
    replicas_raise_known(f->replicas, OTHER, 5, 1);
    uint64_t moved = 0;
    assert_ok(keyspace_drop_unclaimed(f->keyspace, (uint32_t[]){ FORMER }, 1, &moved));
    assert_int_equal(moved, 2);
    assert_false(get(f, "theirs").exists);
    assert_int_equal(get(f, "theirs").value, 0);
    assert_int_equal(get(f, "mine").value, 50);
    assert_int_equal(get(f, "both").value, 8);
    assert_int_equal(get(f, "claimed").value, 4);
    assert_int_equal(keyspace_count(f->keyspace), 3);
    commit_all(f);
    moved = 0;
    replicas_raise_known(f->replicas, OWN, 2, 1);
    assert_ok(keyspace_drop_unclaimed(f->keyspace, (uint32_t[]){ FORMER }, 1, &moved));
    assert_int_equal(moved, 0);
    join(f, OTHER, "theirs", 9, 100); /* fetched again, by and by */
    assert_int_equal(get(f, "theirs").value, 100);
    assert_int_equal(keyspace_count(f->keyspace), 4);
    assert_true(keyspace_bytes(f->keyspace) > bytes_before);
    fixture_release(f);
}

static enum err story_without_memory(void *context)
{
    (void)context;
    struct fixture fixture, *f = &fixture;
    enum err err = fixture_new(2, f);
    if (err != ERR_OK) return err;
    bool moved;
    uint64_t count = 0;
    char name[32];
    for (uint32_t i = 0; i < 12 && err == ERR_OK; i++) {
        snprintf(name, sizeof name, "%s%u", i % 2 ? "a name too long for a cell " : "", i);
        err = try_join(f, i % 3 ? FORMER : OTHER, name, 5, 10, NULL);
        if (err == ERR_OK && i % 4 == 0) err = take_over(f, FORMER, name, 7, 11, &moved);
    }
    if (err == ERR_OK) err = take_over(f, FORMER, "new", 8, 1, &moved);
    if (err == ERR_OK) err = keyspace_drop_unclaimed(f->keyspace, (uint32_t[]){ FORMER }, 1, &count);
    struct commit c = { 0 };
    if (err == ERR_OK) err = commit_take(f, &c);
    if (err == ERR_OK) keyspace_publish(f->keyspace, &c.batch);
    commit_release(&c);
    fixture_release(f);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(story_without_memory, NULL) > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_version_beside_what_was_taken_over_comes_to_the_same),
        cmocka_unit_test(test_sum_beyond_what_a_net_may_be_is_refused),
        cmocka_unit_test(test_what_was_taken_over_shows_at_once_and_leaves_with_the_first_commit),
        cmocka_unit_test(test_entries_that_nothing_claims_are_taken_out),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
