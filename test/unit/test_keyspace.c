/* SPDX-License-Identifier: Apache-2.0 */
#include "keyspace_fixture.h"

#include <stdio.h>

static int fixture_setup(void **state)
{
    struct fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    assert_ok(fixture_new(4, f));
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    fixture_release(*state);
    free(*state);
    return 0;
}

/* A macro, so that a failure names the line of the story. */
#define assert_seen(actual, value_, exists_, commit_)                                                                  \
    do {                                                                                                               \
        const struct seen got = (actual);                                                                              \
        assert_int_equal(got.value, value_);                                                                           \
        assert_int_equal(got.exists, exists_);                                                                         \
        assert_int_equal(got.commit, commit_);                                                                         \
    } while (0)

/* The next entry of a commit's block. */
static void assert_entry(struct block_reader *r, const char *name, uint64_t seq, int64_t net)
{
    struct bytes got;
    struct entry entry;
    assert_ok(block_next(r, NULL, &got, &entry));
    assert_true(bytes_equal(got, bytes_of_text(name)));
    assert_int_equal(entry.seq, seq);
    assert_true(entry.net == net);
    assert_null(entry.extras);
}

static void test_increment_is_seen_at_once_and_waits_for_its_commit(void **state)
{
    struct fixture *f = *state;
    assert_seen(get(f, "a"), 0, false, 0);
    assert_seen(add(f, "a", 5), 5, true, 1);
    assert_seen(add(f, "a", -7), -2, true, 1);
    assert_seen(get(f, "a"), -2, true, 1);
    commit_all(f);
    assert_seen(get(f, "a"), -2, true, 0);
    assert_seen(add(f, "a", 1), -1, true, 2);
}

static void test_a_thousand_changes_are_one_entry_of_the_block(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1000; i++) add(f, "hits", 1);
    struct commit c;
    assert_ok(commit_take(f, &c));
    assert_int_equal(c.batch.count, 1);
    struct block_reader r;
    assert_ok(block_open(&r, buffer_view(&c.out)));
    assert_int_equal(r.head.from, 0);
    assert_int_equal(r.head.to, 1);
    assert_entry(&r, "hits", 1, 1000);
    commit_publish(f, &c);
}

static void test_nothing_dirty_leaves_the_commit_empty_but_raises_its_number(void **state)
{
    struct fixture *f = *state;
    assert_false(keyspace_is_dirty(f->keyspace));
    commit_all(f);
    assert_int_equal(f->seq, 0);
    assert_seen(add(f, "a", 1), 1, true, 2);
    assert_true(keyspace_is_dirty(f->keyspace));
    commit_all(f);
    assert_false(keyspace_is_dirty(f->keyspace));
}

static void test_a_read_waits_for_the_last_of_several_commits_under_way(void **state)
{
    struct fixture *f = *state;
    struct commit first, second;
    add(f, "a", 1);
    add(f, "b", 1);
    assert_ok(commit_take(f, &first));
    assert_seen(get(f, "a"), 1, true, 1);
    assert_seen(add(f, "a", 1), 2, true, 2);
    assert_ok(commit_take(f, &second));
    assert_int_equal(second.batch.count, 1);
    commit_publish(f, &first);
    assert_seen(get(f, "b"), 1, true, 0);
    assert_seen(get(f, "a"), 2, true, 2);
    assert_seen(add(f, "b", 1), 2, true, 3);
    commit_publish(f, &second);
    assert_seen(get(f, "a"), 2, true, 0);
    assert_seen(get(f, "b"), 2, true, 3);
}

struct walked {
    uint32_t visits, shares;
    uint64_t seq;
    int128 net;
    int64_t value;
};

static void walk_one(void *context, const struct visit *visit)
{
    struct walked *w = context;
    w->visits++;
    w->shares += visit->count;
    w->value = visit->value;
    for (uint32_t i = 0; i < visit->count; i++) {
        w->seq = visit->shares[i].entry.seq;
        w->net += visit->shares[i].entry.net;
    }
}

static struct walked walk_all(struct fixture *f, uint32_t slice)
{
    struct walked w = { 0 };
    struct walk at = { 0 };
    while (keyspace_walk(f->keyspace, &at, slice, walk_one, &w)) continue;
    return w;
}

static void test_a_walk_shows_the_value_but_only_durable_entries(void **state)
{
    struct fixture *f = *state;
    struct commit c;
    add(f, "a", 5);
    struct walked w = walk_all(f, 1);
    assert_int_equal(w.visits, 1);
    assert_int_equal(w.shares, 0);
    assert_int_equal(w.value, 5);
    assert_ok(commit_take(f, &c));
    add(f, "a", 6);
    assert_int_equal(walk_all(f, 1).shares, 0);
    commit_publish(f, &c);
    w = walk_all(f, 100);
    assert_int_equal(w.shares, 1);
    assert_int_equal(w.seq, 1);
    assert_true(w.net == 5);
    assert_int_equal(w.value, 11);
    join(f, 2, "a", 9, 100);
    w = walk_all(f, 1);
    assert_int_equal(w.shares, 2);
    assert_true(w.net == 105);
    assert_int_equal(w.value, 111);
}

static void test_foreign_entries_add_up_and_old_ones_change_nothing(void **state)
{
    struct fixture *f = *state;
    join(f, 2, "a", 10, 7);
    assert_seen(get(f, "a"), 7, true, 0);
    join(f, 2, "a", 10, 8);
    join(f, 2, "a", 9, 8);
    assert_seen(get(f, "a"), 7, true, 0);
    join(f, 2, "a", 11, 8);
    join(f, 3, "a", 1, 100);
    assert_seen(add(f, "a", 1000), 1108, true, 1);
    join(f, 3, "a", 2, 200);
    join(f, 4, "a", 5, 50000);
    assert_seen(get(f, "a"), 51208, true, 1);
    commit_all(f);
    assert_seen(get(f, "a"), 51208, true, 0);
    assert_int_equal(keyspace_count(f->keyspace), 1);
}

static void test_a_foreign_entry_joins_while_own_commits_are_under_way(void **state)
{
    struct fixture *f = *state;
    struct commit first, second;
    add(f, "a", 1);
    assert_ok(commit_take(f, &first));
    add(f, "a", 2);
    join(f, 2, "a", 3, 40);
    assert_seen(get(f, "a"), 43, true, 2);
    assert_int_equal(walk_all(f, 1).shares, 1);
    assert_ok(commit_take(f, &second));
    commit_publish(f, &first);
    struct walked w = walk_all(f, 1);
    assert_int_equal(w.shares, 2);
    assert_true(w.net == 41);
    commit_publish(f, &second);
    assert_true(walk_all(f, 1).net == 43);
    assert_seen(get(f, "a"), 43, true, 0);
}

static void test_the_range_ends_where_64_bits_end(void **state)
{
    struct fixture *f = *state;
    struct seen seen;
    add(f, "a", INT64_MAX - 1);
    assert_seen(add(f, "a", 1), INT64_MAX, true, 1);
    assert_err(try_add(f, "a", 1, &seen), ERR_RANGE);
    assert_seen(seen, INT64_MAX, true, 1);
    join(f, 2, "a", 1, 10);
    assert_seen(get(f, "a"), INT64_MAX, true, 1); /* exactly kept, shown as the nearest bound */
    assert_err(try_add(f, "a", 1, &seen), ERR_RANGE);
    assert_seen(add(f, "a", -11), INT64_MAX - 1, true, 1);
    assert_seen(add(f, "b", INT64_MIN), INT64_MIN, true, 1);
    assert_err(try_add(f, "b", -1, &seen), ERR_RANGE);
}

static void test_a_net_beyond_64_bits_is_kept_exactly(void **state)
{
    struct fixture *f = *state;
    const int128 wide = (int128)1 << 80;
    join(f, 2, "a", 1, wide);
    join(f, 3, "a", 1, 5 - wide);
    assert_seen(get(f, "a"), 5, true, 0);
    join(f, OWN, "b", 7, wide); /* recovery */
    join(f, 2, "b", 1, -wide);
    assert_seen(add(f, "b", 3), 3, true, 1);
    f->seq = 7;
    struct commit c;
    assert_ok(commit_take(f, &c));
    assert_true(c.batch.items[0].net == wide + 3);
    commit_publish(f, &c);
    assert_seen(get(f, "b"), 3, true, 0);
}

static struct extras *extras_reset(uint64_t add_seq, uint32_t replica, uint64_t seq, int128 net)
{
    struct extras *extras = calloc(1, sizeof *extras);
    assert_non_null(extras);
    struct replica_base *item = malloc(sizeof *item);
    assert_non_null(item);
    *item = (struct replica_base){ replica, { seq, net } };
    extras->add_seq = add_seq;
    extras->bases = (struct base_list){ item, 1 };
    return extras;
}

static void test_a_foreign_reset_clears_what_it_saw_and_the_counter_is_gone_until_the_next_increment(void **state)
{
    struct fixture *f = *state;
    add(f, "a", 5);
    add(f, "b", 1);
    commit_all(f);
    uint64_t seq = walk_all(f, 1).visits == 2 ? f->seq : 0;
    assert_int_equal(seq, 2);
    assert_int_equal(keyspace_count(f->keyspace), 2);
    struct extras *reset = extras_reset(0, OWN, 2, 5); /* either seq is at most 2 */
    assert_ok(try_join(f, 2, "a", 1, 0, reset));
    assert_seen(get(f, "a"), 0, false, 0);
    assert_int_equal(keyspace_count(f->keyspace), 1);
    assert_seen(add(f, "a", 3), 3, true, 2);
    assert_int_equal(keyspace_count(f->keyspace), 2);
    commit_all(f);
    assert_seen(get(f, "a"), 3, true, 0);
    assert_int_equal(keyspace_count(f->keyspace), 2);
}

static void test_an_increment_after_an_own_reset_says_so_in_its_entry(void **state)
{
    struct fixture *f = *state;
    struct extras *reset = extras_reset(3, 2, 5, 50);
    reset->self_base = (struct base){ 4, 10 };
    assert_ok(try_join(f, OWN, "a", 4, 10, reset)); /* recovery of a DEL */
    f->seq = 4;
    assert_seen(get(f, "a"), 0, false, 0);
    assert_seen(add(f, "a", 2), 2, true, 1);
    struct commit c;
    assert_ok(commit_take(f, &c));
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    assert_ok(block_open(&r, buffer_view(&c.out)));
    assert_ok(block_next(&r, f->replicas, &name, &entry));
    assert_int_equal(entry.seq, 5);
    assert_true(entry.net == 12);
    assert_int_equal(entry.extras->add_seq, 5);
    assert_true(entry.extras->after);
    assert_int_equal(entry.extras->bases.count, 1);
    extras_free(entry.extras);
    commit_publish(f, &c);
    assert_seen(get(f, "a"), 2, true, 0);
    join(f, 2, "a", 5, 50); /* what the reset had seen */
    assert_seen(get(f, "a"), 2, true, 0);
}

/* The own disk went back in time: somebody has observed more of the own share than there is. */
static void test_what_was_observed_of_a_lost_share_clears_what_comes_under_a_lower_seq(void **state)
{
    struct fixture *f = *state;
    struct commit first, second;
    assert_ok(try_join(f, 2, "a", 1, 0, extras_reset(0, OWN, 1000, 50)));
    assert_seen(add(f, "a", 3), 3, true, 1);
    assert_ok(commit_take(f, &first));
    assert_seen(add(f, "a", 4), 7, true, 2);
    assert_ok(commit_take(f, &second));
    commit_publish(f, &first);
    assert_seen(get(f, "a"), 4, true, 2);
    commit_publish(f, &second);
    assert_seen(get(f, "a"), 0, false, 0);
    assert_int_equal(keyspace_count(f->keyspace), 0);
    assert_seen(add(f, "a", 5), 5, true, 3);
    assert_int_equal(keyspace_count(f->keyspace), 1);
}

static void test_an_entry_is_put_only_at_the_seq_that_is_durable(void **state)
{
    struct fixture *f = *state;
    struct bytes name = bytes_of_text("a counter with a long name");
    struct entry entry = { .seq = 4, .net = 9 };
    cell_ref cell;
    assert_ok(keyspace_join(f->keyspace, 2, hash_of(f, name), name, &entry, &cell));
    struct buffer out = { 0 };
    struct block_writer w;
    struct block_head head = { .kind = BLOCK_SNAPSHOT, .replica = fixture_id(2) };
    block_begin(&w, &out, &head);
    assert_false(keyspace_put_entry(f->keyspace, cell, 2, 3, &w));
    assert_false(keyspace_put_entry(f->keyspace, cell, 3, 4, &w));
    assert_true(keyspace_put_entry(f->keyspace, cell, 2, 4, &w));
    add(f, "a counter with a long name", 1);
    assert_false(keyspace_put_entry(f->keyspace, cell, OWN, 1, &w));
    assert_true(keyspace_put_entry(f->keyspace, cell, 2, 4, &w));
    block_end(&w, 4);
    struct block_reader r;
    assert_ok(block_open(&r, buffer_view(&out)));
    assert_int_equal(r.head.count, 2);
    assert_entry(&r, "a counter with a long name", 4, 9);
    assert_entry(&r, "a counter with a long name", 4, 9);

    commit_all(f);
    buffer_clear(&out);
    head.replica = fixture_id(OWN);
    block_begin(&w, &out, &head);
    assert_true(keyspace_put_entry(f->keyspace, cell, OWN, 1, &w));
    add(f, "a counter with a long name", 1);
    assert_true(keyspace_put_entry(f->keyspace, cell, OWN, 1, &w)); /* without what is pending */
    block_end(&w, 1);
    assert_ok(block_open(&r, buffer_view(&out)));
    assert_entry(&r, "a counter with a long name", 1, 1);
    assert_entry(&r, "a counter with a long name", 1, 1);
    buffer_release(&out);
}

static void test_writes_are_refused_and_taken_again(void **state)
{
    struct fixture *f = *state;
    struct seen seen;
    add(f, "a", 1);
    keyspace_refuse_writes(f->keyspace, ERR_FULL);
    assert_err(try_add(f, "a", 1, &seen), ERR_FULL);
    join(f, 2, "a", 1, 1);
    keyspace_refuse_writes(f->keyspace, ERR_CLOSED);
    assert_err(keyspace_writes_refused(f->keyspace), ERR_CLOSED);
    assert_err(try_add(f, "new", 1, &seen), ERR_CLOSED);
    keyspace_refuse_writes(f->keyspace, ERR_OK);
    assert_seen(add(f, "a", 1), 3, true, 1);
    assert_seen(get(f, "new"), 0, false, 0);
}

static void test_names_of_every_length_are_told_apart(void **state)
{
    struct fixture *f = *state;
    char name[NAME_BYTES_MAX + 2];
    struct seen seen;
    memset(name, 'x', sizeof name);
    for (uint32_t len = 1; len <= NAME_BYTES_MAX; len++) {
        struct bytes bytes = bytes_of(name, len);
        assert_ok(keyspace_add(f->keyspace, hash_of(f, bytes), bytes, len, &seen));
        assert_int_equal(seen.value, len);
    }
    for (uint32_t len = 1; len <= NAME_BYTES_MAX; len++) {
        struct bytes bytes = bytes_of(name, len);
        keyspace_get(f->keyspace, hash_of(f, bytes), bytes, &seen);
        assert_int_equal(seen.value, len);
    }
    assert_err(keyspace_add(f->keyspace, 0, bytes_of(name, 0), 1, &seen), ERR_INVALID);
    assert_err(keyspace_add(f->keyspace, 0, bytes_of(name, NAME_BYTES_MAX + 1), 1, &seen), ERR_INVALID);
    assert_int_equal(keyspace_count(f->keyspace), NAME_BYTES_MAX);
}

/* Names that all want the last 64th of the table: one long run that goes over the end, through every growth. */
static void test_names_that_crowd_the_end_of_the_table_are_all_found(void **state)
{
    (void)state;
    struct fixture f;
    assert_ok(fixture_new(1, &f));
    char name[16];
    int64_t added = 0;
    for (int i = 0; added < 1500; i++) {
        struct bytes bytes = bytes_of(name, (size_t)snprintf(name, sizeof name, "%d", i));
        if ((uint32_t)hash_of(&f, bytes) < UINT32_MAX / 64 * 63) continue;
        assert_int_equal(get(&f, name).value, 0);
        assert_int_equal(add(&f, name, i + 1).value, i + 1);
        added++;
        for (int back = 0; back <= i; back += 1 + i / 40) {
            bytes = bytes_of(name, (size_t)snprintf(name, sizeof name, "%d", back));
            bool is_there = (uint32_t)hash_of(&f, bytes) >= UINT32_MAX / 64 * 63;
            assert_int_equal(get(&f, name).value, is_there ? back + 1 : 0);
        }
    }
    fixture_release(&f);
}

static void count_visit(void *context, const struct visit *visit)
{
    uint8_t *visits = context;
    visits[visit->value % 20000]++;
}

/* Numbers are their own values, so the visitor knows whom it visits. */
static void test_a_walk_during_growth_visits_each_counter_that_was_there_once(void **state)
{
    struct fixture *f = *state;
    static uint8_t visits[20000];
    memset(visits, 0, sizeof visits);
    char name[16];
    int added = 0;
    struct walk at = { 0 };
    for (bool more = true; more;) {
        int batch = added == 0 ? 10000 : 25;
        for (int i = 0; i < batch && added < 19999; i++) {
            snprintf(name, sizeof name, "%d", ++added);
            add(f, name, added);
        }
        more = keyspace_walk(f->keyspace, &at, 40, count_visit, visits);
        for (int i = 1; i <= added; i += 97) {
            snprintf(name, sizeof name, "%d", i);
            assert_int_equal(get(f, name).value, i);
        }
    }
    assert_true(added > 12000);
    for (int i = 1; i < 20000; i++) assert_in_range(visits[i], i <= 10000 ? 1 : 0, 1);
    assert_int_equal(keyspace_count(f->keyspace), (uint64_t)added);
}

static void test_a_counter_with_a_short_name_costs_at_most_46_bytes(void **state)
{
    struct fixture *f = *state; /* 4 shards */
    char name[24];
    uint64_t empty = keyspace_bytes(f->keyspace);
    for (int i = 0; i < 40000; i++) {
        snprintf(name, sizeof name, "counter%07d", i);
        add(f, name, 1);
        if (i % 256 == 0) commit_all(f);
    }
    assert_in_range(keyspace_bytes(f->keyspace) - empty, 40 * 40000, 46 * 40000);
}

#define story(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* However small its bound, a commit takes everything; its blocks are sound, follow each other, and are bounded. */
static void test_a_commit_is_cut_into_blocks(void **state)
{
    (void)state;
    struct fixture fixture, *f = &fixture;
    assert_ok(fixture_new(16, f));
    char name[600];
    memset(name, 'n', sizeof name);
    for (int i = 0; i < 300; i++) {
        snprintf(name + 500, sizeof name - 500, "%d", i);
        assert_int_equal(add(f, name, i).commit, 1);
    }
    struct commit c = { .number = 1, .seq_first = 1, .batch = { .block_bytes_max = 20000 } };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = fixture_id(OWN), .from = 0 };
    block_begin(&c.block, &c.out, &head);
    assert_ok(commit_take_again(f, &c));
    assert_int_equal(c.batch.count, 300);
    assert_in_range(c.batch.blocks_count, 4, 8);
    uint64_t seq = 0;
    uint32_t entries = 0;
    for (uint32_t i = 0; i <= c.batch.blocks_count; i++) {
        size_t from = i > 0 ? c.batch.blocks[i - 1] : 0;
        size_t to = i < c.batch.blocks_count ? c.batch.blocks[i] : c.out.len;
        struct bytes bytes = bytes_of(c.out.ptr + from, to - from);
        struct block_reader reader;
        assert_true(bytes.len < 20000 + 60 * 600);
        assert_ok(block_check(bytes));
        assert_ok(block_open(&reader, bytes));
        assert_int_equal(reader.head.from, seq);
        seq = reader.head.to;
        entries += reader.head.count;
    }
    assert_int_equal(seq, 300);
    assert_int_equal(entries, 300);
    commit_publish(f, &c);
    assert_false(keyspace_is_dirty(f->keyspace));
    assert_int_equal(get(f, name).commit, 0);
    assert_int_equal(add(f, name, 1).commit, 2);
    fixture_release(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_commit_is_cut_into_blocks),
        story(test_increment_is_seen_at_once_and_waits_for_its_commit),
        story(test_a_thousand_changes_are_one_entry_of_the_block),
        story(test_nothing_dirty_leaves_the_commit_empty_but_raises_its_number),
        story(test_a_read_waits_for_the_last_of_several_commits_under_way),
        story(test_a_walk_shows_the_value_but_only_durable_entries),
        story(test_foreign_entries_add_up_and_old_ones_change_nothing),
        story(test_a_foreign_entry_joins_while_own_commits_are_under_way),
        story(test_the_range_ends_where_64_bits_end),
        story(test_a_net_beyond_64_bits_is_kept_exactly),
        story(test_a_foreign_reset_clears_what_it_saw_and_the_counter_is_gone_until_the_next_increment),
        story(test_an_increment_after_an_own_reset_says_so_in_its_entry),
        story(test_what_was_observed_of_a_lost_share_clears_what_comes_under_a_lower_seq),
        story(test_an_entry_is_put_only_at_the_seq_that_is_durable),
        story(test_writes_are_refused_and_taken_again),
        story(test_names_of_every_length_are_told_apart),
        story(test_a_walk_during_growth_visits_each_counter_that_was_there_once),
        story(test_a_counter_with_a_short_name_costs_at_most_46_bytes),
        cmocka_unit_test(test_names_that_crowd_the_end_of_the_table_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
