/* SPDX-License-Identifier: Apache-2.0 */
/* The table of older versions against a plain list of them. */
#include "testing.h"

#include "base/random.h"
#include "count/keyspace_older.h"

#include <stdio.h>

#define ROWS 400u

struct model_row {
    uint32_t cell, replica;
    uint64_t seq;
    int128 net;
    bool wide, lives;
};

struct model {
    struct random random;
    struct older older;
    struct model_row rows[ROWS];
};

static struct entry version_of(uint64_t seq, int128 net, bool wide)
{
    struct entry version = { .seq = seq, .net = net };
    if (!wide) return version;
    version.extras = mem_alloc_zero(1, sizeof *version.extras);
    assert_non_null(version.extras);
    version.extras->add_seq = seq - 1;
    return version;
}

static void add(struct older *o, uint32_t cell, uint32_t replica, struct entry version)
{
    struct older_row row;
    assert_ok(older_make(cell, replica, &version, &row));
    assert_ok(older_reserve(o, 1));
    older_add(o, &row);
}

static const struct model_row *model_find(const struct model *m, uint32_t cell, uint32_t replica, uint64_t seq)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        const struct model_row *row = &m->rows[i];
        if (row->lives && row->cell == cell && row->replica == replica && row->seq == seq) return row;
    }
    return NULL;
}

static uint32_t model_count(const struct model *m, uint32_t cell, uint32_t replica, uint64_t below)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        const struct model_row *row = &m->rows[i];
        count += row->lives && row->cell == cell && row->replica == replica && row->seq < below;
    }
    return count;
}

static void check_cell(const struct model *m, uint32_t cell, uint32_t replica, uint64_t below)
{
    struct entry found[BLOCK_OLDER_MAX];
    uint32_t count = older_find(&m->older, cell, replica, below, found);
    assert_int_equal(count, model_count(m, cell, replica, below));
    for (uint32_t i = 0; i < count; i++) {
        const struct model_row *row = model_find(m, cell, replica, found[i].seq);
        assert_true(found[i].seq < (i > 0 ? found[i - 1].seq : below));
        assert_non_null(row);
        assert_true(row->net == found[i].net && row->wide == (found[i].extras != NULL));
        if (row->wide) assert_true(found[i].extras->add_seq == row->seq - 1);
    }
}

static void step_add(struct model *m)
{
    uint32_t cell = 1 + (uint32_t)random_below(&m->random, 20), replica = 1 + (uint32_t)random_below(&m->random, 3);
    uint64_t seq = 2 + random_below(&m->random, 60);
    if (model_find(m, cell, replica, seq) || model_count(m, cell, replica, UINT64_MAX) == BLOCK_OLDER_MAX) return;
    for (uint32_t i = 0; i < ROWS; i++) {
        struct model_row *row = &m->rows[i];
        if (row->lives) continue;
        int128 net = random_below(&m->random, 4) == 0 ? (int128)random_u64(&m->random) << 30 : -(int128)seq;
        *row = (struct model_row){ cell, replica, seq, net, random_below(&m->random, 4) == 0, true };
        add(&m->older, cell, replica, version_of(seq, net, row->wide));
        return;
    }
}

static void step_retain(struct model *m)
{
    uint32_t cell = 1 + (uint32_t)random_below(&m->random, 20), replica = 1 + (uint32_t)random_below(&m->random, 3);
    struct entry kept[BLOCK_OLDER_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        struct model_row *row = &m->rows[i];
        if (!row->lives || row->cell != cell || row->replica != replica) continue;
        row->lives = random_below(&m->random, 2) == 0;
        if (row->lives) kept[count++] = (struct entry){ .seq = row->seq };
    }
    older_retain(&m->older, cell, replica, kept, count);
}

static void step_prune(struct model *m)
{
    uint32_t replica = 1 + (uint32_t)random_below(&m->random, 3);
    struct trail trail = { 0 };
    uint64_t last = random_below(&m->random, 70);
    assert_ok(trail_extend(&trail, last / 2, 1));
    assert_ok(trail_extend(&trail, last + 1, 2));
    trail_set_firm(&trail, random_below(&m->random, 2) ? last + 2 : 0); /* all is firm, or the last is loose */
    older_prune(&m->older, replica, &trail);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct model_row *row = &m->rows[i];
        if (row->lives && row->replica == replica) row->lives = trail.firm == 0 && row->seq <= last + 1;
    }
    trail_release(&trail);
}

static void test_rows_are_those_of_a_plain_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static struct model m;
        memset(&m, 0, sizeof m);
        random_init(&m.random, seed);
        for (int step = 0; step < 1500; step++) {
            uint64_t dice = random_below(&m.random, 100);
            if (dice < 80)
                step_add(&m);
            else if (dice < 99)
                step_retain(&m);
            else
                step_prune(&m);
            check_cell(&m, 1 + (uint32_t)random_below(&m.random, 20), 1 + (uint32_t)random_below(&m.random, 3),
                       random_below(&m.random, 70));
        }
        uint32_t lives = 0;
        for (uint32_t i = 0; i < ROWS; i++) lives += m.rows[i].lives;
        assert_int_equal(m.older.live, lives);
        assert_true(m.older.used * 2 <= m.older.cap);
        older_release(&m.older);
        assert_int_equal(older_bytes(&m.older), 0);
    }
}

static void test_nothing_kept_costs_nothing(void **state)
{
    (void)state;
    struct older o = { 0 };
    struct entry found[BLOCK_OLDER_MAX];
    struct trail trail = { 0 };
    assert_int_equal(older_find(&o, 1, 1, 99, found), 0);
    assert_int_equal(older_bytes(&o), 0);
    older_retain(&o, 1, 1, NULL, 0);
    older_prune(&o, 1, &trail);
    add(&o, 1, 1, version_of(5, 7, true));
    assert_true(older_bytes(&o) > sizeof(struct older_row));
    older_prune(&o, 2, &trail);
    assert_int_equal(o.live, 1); /* another's */
    older_prune(&o, 1, &trail);
    assert_int_equal(older_bytes(&o), 0);
}

/* The versions 30, 20, 15 and 5 under an entry of seq 40. */
static const char *selected(const struct trail *trail)
{
    struct entry versions[] = { { .seq = 30 }, { .seq = 20 }, { .seq = 15 }, { .seq = 5 } };
    static char text[32];
    size_t at = 0;
    uint32_t count = older_select(versions, 4, 40, trail);
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", i ? " " : "", (unsigned)versions[i].seq);
    return text;
}

static void test_versions_that_stood_when_a_loose_boot_began_are_kept(void **state)
{
    (void)state;
    struct trail t = { 0 };
    assert_string_equal(selected(&t), "");
    assert_ok(trail_extend(&t, 0, 1));
    assert_string_equal(selected(&t), ""); /* nothing stood then */
    assert_ok(trail_extend(&t, 17, 2));
    assert_string_equal(selected(&t), "15");
    assert_ok(trail_extend(&t, 20, 3));
    assert_string_equal(selected(&t), "20 15");
    assert_ok(trail_extend(&t, 39, 4));
    assert_ok(trail_extend(&t, 40, 5)); /* after the entry */
    assert_string_equal(selected(&t), "30 20 15");
    trail_set_firm(&t, 18);
    assert_string_equal(selected(&t), "30 20");
    trail_set_firm(&t, 40);
    assert_string_equal(selected(&t), "");
    trail_release(&t);
}

static void test_room_in_a_block_counts_what_is_wide(void **state)
{
    (void)state;
    struct older o = { 0 };
    struct entry narrow = { .seq = 1 }, wide = version_of(9, 1, true);
    add(&o, 1, 1, version_of(3, 1, false));
    assert_int_equal(older_block_bytes(&o, 0), block_older_bytes(&narrow));
    size_t wide_bytes = block_older_bytes(&wide);
    add(&o, 1, 1, wide);
    assert_int_equal(older_block_bytes(&o, 2), 3 * block_older_bytes(&narrow) + wide_bytes);
    older_retain(&o, 1, 1, &(struct entry){ .seq = 3 }, 1);
    assert_int_equal(older_block_bytes(&o, 0), block_older_bytes(&narrow));
    older_release(&o);
}

static enum err story_of_rows(void *context)
{
    (void)context;
    struct older o = { 0 };
    enum err err = ERR_OK;
    for (uint64_t i = 1; i <= 40 && err == ERR_OK; i++) {
        struct entry version = { .seq = i, .net = i % 5 ? (int128)i : (int128)1 << 80 };
        struct older_row row;
        err = older_reserve(&o, 1);
        if (err == ERR_OK) err = older_make((uint32_t)i, 1, &version, &row);
        if (err == ERR_OK) older_add(&o, &row);
        struct entry found[BLOCK_OLDER_MAX];
        for (uint32_t before = 1; before < i; before++)
            assert_int_equal(older_find(&o, before, 1, UINT64_MAX, found), 1);
    }
    older_release(&o);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(story_of_rows, NULL) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_those_of_a_plain_list),
        cmocka_unit_test(test_nothing_kept_costs_nothing),
        cmocka_unit_test(test_versions_that_stood_when_a_loose_boot_began_are_kept),
        cmocka_unit_test(test_room_in_a_block_counts_what_is_wide),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
