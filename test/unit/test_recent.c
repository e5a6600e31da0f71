/* SPDX-License-Identifier: Apache-2.0 */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "cluster/recent.h"

#include <stdio.h>

#define THEIRS 2u /* the replica whose entries are recent */
#define CAP 64u

/* Gives the counter its next entry and notes where it is. */
static void note(struct fixture *f, struct recent *r, const char *name, uint64_t seq)
{
    struct bytes bytes = bytes_of_text(name);
    struct entry entry = { .seq = seq, .net = (int128)seq * 10 };
    cell_ref cell;
    assert_ok(keyspace_join(f->keyspace, THEIRS, hash_of(f, bytes), bytes, &entry, &cell));
    recent_add(r, seq, cell);
}

/* Writes a delta and returns its entries as "name@seq name@seq"; checks what every delta must be. */
static const char *delta(struct fixture *f, const struct recent *r, uint64_t from, uint32_t goal, uint64_t *ret_to)
{
    static char text[4096];
    struct buffer out = { 0 };
    struct recent_request request = { f->keyspace, f->replicas, THEIRS, from, goal };
    assert_ok(recent_write_delta(r, &request, &out, ret_to));
    assert_ok(block_check(buffer_view(&out)));
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    assert_ok(block_open(&reader, buffer_view(&out)));
    assert_int_equal(reader.head.kind, BLOCK_DELTA);
    const struct trail *trail = replicas_trail(f->replicas, THEIRS);
    assert_true(reader.head.nonce == trail_nonce_at(trail, from + 1) &&
                reader.head.base == trail_nonce_at(trail, from));
    assert_true(reader.head.firm == trail->firm);
    assert_int_equal(reader.head.from, from);
    assert_int_equal(reader.head.to, *ret_to);
    struct id128 id = fixture_id(THEIRS);
    assert_true(id128_equal(&reader.head.replica, &id));
    size_t at = 0;
    enum err err;
    text[0] = '\0';
    while ((err = block_next(&reader, f->replicas, &name, &entry)) == ERR_OK) {
        assert_true(entry.net == (int128)entry.seq * 10);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s@%u", at ? " " : "", (int)name.len,
                               (const char *)name.ptr, (unsigned)entry.seq);
        assert_true(at < sizeof text);
    }
    assert_err(err, ERR_STALE);
    buffer_release(&out);
    return text;
}

static void test_a_delta_holds_what_came_after_from(void **state)
{
    (void)state;
    struct fixture f;
    struct recent r;
    uint64_t to;
    assert_ok(fixture_new(2, &f));
    recent_init(&r, CAP, 0);
    note(&f, &r, "a", 1);
    note(&f, &r, "b", 2);
    note(&f, &r, "c", 5);
    assert_string_equal(delta(&f, &r, 0, 1000, &to), "a@1 b@2 c@5");
    assert_int_equal(to, 5);
    assert_string_equal(delta(&f, &r, 2, 1000, &to), "c@5");
    assert_string_equal(delta(&f, &r, 3, 1000, &to), "c@5");
    recent_raise(&r, 9); /* nothing lives between 5 and 9 */
    assert_string_equal(delta(&f, &r, 5, 1000, &to), "");
    assert_int_equal(to, 9);
    recent_raise(&r, 7);
    assert_int_equal(r.top, 9);
    recent_release(&r);
    fixture_release(&f);
}

static void test_only_the_newest_entry_of_a_counter_is_sent(void **state)
{
    (void)state;
    struct fixture f;
    struct recent r;
    uint64_t to;
    assert_ok(fixture_new(2, &f));
    recent_init(&r, CAP, 0);
    note(&f, &r, "a", 1);
    note(&f, &r, "b", 2);
    note(&f, &r, "a", 3);
    note(&f, &r, "a", 4);
    assert_string_equal(delta(&f, &r, 0, 1000, &to), "b@2 a@4");
    note(&f, &r, "b", 5);
    assert_string_equal(delta(&f, &r, 0, 1000, &to), "a@4 b@5");
    join(&f, THEIRS, "a", 8, 80); /* by a sweep: it is known, its place is not; (5, 8] comes later */
    assert_string_equal(delta(&f, &r, 0, 1000, &to), "b@5");
    assert_int_equal(to, 5);
    recent_release(&r);
    fixture_release(&f);
}

static void test_a_cut_delta_goes_as_far_as_its_last_entry(void **state)
{
    (void)state;
    struct fixture f;
    struct recent r;
    uint64_t to;
    assert_ok(fixture_new(2, &f));
    recent_init(&r, CAP, 0);
    note(&f, &r, "a", 1);
    note(&f, &r, "b", 4);
    note(&f, &r, "c", 7);
    recent_raise(&r, 9);
    assert_string_equal(delta(&f, &r, 0, 1, &to), "a@1");
    assert_int_equal(to, 1);
    assert_string_equal(delta(&f, &r, to, 1, &to), "b@4");
    assert_int_equal(to, 4);
    assert_string_equal(delta(&f, &r, to, 1, &to), "c@7");
    assert_int_equal(to, 9); /* the last one reaches the top, or nobody ever would */
    recent_release(&r);
    fixture_release(&f);
}

static void boot_begins(struct fixture *f, uint64_t start, uint64_t nonce)
{
    assert_ok(trail_extend(replicas_trail(f->replicas, THEIRS), start, nonce));
}

/* A delta is what one boot wrote, so that (seq, nonce) says which history it goes on from. */
static void test_a_delta_ends_where_another_boot_begins(void **state)
{
    (void)state;
    struct fixture f;
    struct recent r;
    uint64_t to;
    assert_ok(fixture_new(2, &f));
    recent_init(&r, CAP, 0);
    boot_begins(&f, 0, 70);
    note(&f, &r, "a", 1);
    note(&f, &r, "b", 3);
    boot_begins(&f, 3, 71);
    note(&f, &r, "c", 4);
    boot_begins(&f, 4, 72); /* its only entry is written anew by the next */
    note(&f, &r, "d", 5);
    boot_begins(&f, 5, 73);
    note(&f, &r, "d", 6);
    trail_set_firm(replicas_trail(f.replicas, THEIRS), 4);
    assert_string_equal(delta(&f, &r, 0, 1000, &to), "a@1 b@3");
    assert_int_equal(to, 3);
    assert_string_equal(delta(&f, &r, 2, 1000, &to), "b@3");
    assert_string_equal(delta(&f, &r, 3, 1000, &to), "c@4");
    assert_int_equal(to, 4);
    assert_string_equal(delta(&f, &r, 4, 1000, &to), "");
    assert_int_equal(to, 5);
    assert_string_equal(delta(&f, &r, 5, 1000, &to), "d@6");
    assert_int_equal(to, 6);
    recent_release(&r);
    fixture_release(&f);
}

static void test_the_oldest_places_are_forgotten_and_the_floor_tells(void **state)
{
    (void)state;
    struct fixture f;
    struct recent r;
    uint64_t to;
    char name[16];
    assert_ok(fixture_new(2, &f));
    recent_init(&r, CAP, 10);
    for (uint64_t seq = 11; seq <= 10 + CAP; seq++) {
        snprintf(name, sizeof name, "%u", (unsigned)seq);
        note(&f, &r, name, seq);
        assert_int_equal(r.floor, 10);
    }
    note(&f, &r, "x", 100);
    note(&f, &r, "y", 101);
    assert_int_equal(r.count, CAP);
    assert_int_equal(r.cap, CAP);
    assert_int_equal(r.floor, 12);
    assert_memory_equal(delta(&f, &r, 12, 100000, &to), "13@13 14@14", 11);
    assert_string_equal(delta(&f, &r, 8 + CAP, 1000, &to), "73@73 74@74 x@100 y@101");
    recent_release(&r);
    fixture_release(&f);
}

static void test_without_memory_it_forgets_instead(void **state)
{
    (void)state;
    struct fixture f;
    struct recent r;
    uint64_t to;
    char name[16];
    assert_ok(fixture_new(2, &f));
    recent_init(&r, 4 * CAP, 0);
    join(&f, THEIRS, "a", 1, 10);
    mem_fail_at(1);
    recent_add(&r, 1, 0);
    mem_fail_at(0);
    assert_true(r.floor == 1 && r.top == 1 && r.count == 0);
    for (uint64_t seq = 2; seq <= 1 + CAP; seq++) {
        snprintf(name, sizeof name, "%u", (unsigned)seq);
        note(&f, &r, name, seq);
    }
    struct entry entry = { .seq = 500, .net = 5000 };
    cell_ref cell;
    struct bytes b = bytes_of_text("b");
    assert_ok(keyspace_join(f.keyspace, THEIRS, hash_of(&f, b), b, &entry, &cell));
    mem_fail_at(1);
    recent_add(&r, 500, cell);
    mem_fail_at(0);
    assert_int_equal(r.floor, 2);
    assert_string_equal(delta(&f, &r, CAP, 1000, &to), "65@65 b@500");
    recent_release(&r);
    fixture_release(&f);
}

/* --- by chance, against what the receiver ends up with --- */

#define NAMES 40u

struct receiver {
    uint64_t seqs[NAMES]; /* of each counter, as received */
    uint64_t known;
};

static void receive(struct fixture *f, const struct recent *r, struct receiver *to, uint32_t goal)
{
    struct buffer out = { 0 };
    struct recent_request request = { f->keyspace, f->replicas, THEIRS, to->known, goal };
    uint64_t reaches;
    assert_ok(recent_write_delta(r, &request, &out, &reaches));
    assert_true(reaches > to->known); /* it gets on */
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    assert_ok(block_open(&reader, buffer_view(&out)));
    while (block_next(&reader, f->replicas, &name, &entry) == ERR_OK) {
        int64_t number;
        assert_ok(bytes_to_int64(name, &number));
        if (entry.seq > to->seqs[number]) to->seqs[number] = entry.seq;
    }
    to->known = reaches;
    buffer_release(&out);
}

/* Invariant 2 of the design: who claims to know it up to K holds every live entry up to K, or a later one. */
static void check_receiver(const struct receiver *to, const uint64_t live[NAMES])
{
    for (uint32_t i = 0; i < NAMES; i++) {
        if (live[i] <= to->known) assert_true(to->seqs[i] >= live[i]);
        assert_true(to->seqs[i] <= live[i]);
    }
}

static void wander(uint64_t seed)
{
    struct fixture f;
    struct recent r;
    struct random random;
    uint64_t live[NAMES] = { 0 }, seq = 0;
    struct receiver receivers[3] = { 0 };
    char name[16];
    random_init(&random, seed);
    assert_ok(fixture_new(4, &f));
    recent_init(&r, seed % 2 ? CAP : 4 * CAP, 0);
    for (int step = 0; step < 600; step++) {
        uint64_t dice = random_below(&random, 10);
        struct receiver *to = &receivers[random_below(&random, 3)];
        if (dice < 6) {
            uint32_t number = (uint32_t)random_below(&random, NAMES);
            snprintf(name, sizeof name, "%u", number);
            seq += 1 + random_below(&random, 3);
            note(&f, &r, name, seq);
            live[number] = seq;
        } else if (dice == 6) {
            seq += random_below(&random, 4);
            recent_raise(&r, seq);
            if (step % 4 == 0) boot_begins(&f, seq, 1 + (uint64_t)step);
        } else if (to->known >= r.floor && to->known < r.top) {
            receive(&f, &r, to, (uint32_t)random_below(&random, 300));
        } else if (to->known < r.floor) { /* a sweep */
            memcpy(to->seqs, live, sizeof live);
            to->known = seq;
        }
        check_receiver(to, live);
        assert_true(r.count <= r.cap_max && r.floor <= r.top);
    }
    for (int i = 0; i < 3; i++) {
        if (receivers[i].known < r.floor) continue;
        while (receivers[i].known < r.top) receive(&f, &r, &receivers[i], 100);
        assert_memory_equal(receivers[i].seqs, live, sizeof live);
    }
    recent_release(&r);
    fixture_release(&f);
}

static void test_whoever_takes_deltas_from_where_it_is_holds_everything_live(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) wander(seed);
}

static enum err story_of_a_delta(void *context)
{
    (void)context;
    struct fixture f;
    struct recent r;
    enum err err = fixture_new(2, &f);
    if (err != ERR_OK) return err;
    recent_init(&r, CAP, 0);
    err = try_join(&f, THEIRS, "a", 1, 10, NULL);
    if (err == ERR_OK) {
        r.top = 1; /* its place is not the matter here */
        struct buffer out = { 0 };
        struct recent_request request = { f.keyspace, f.replicas, THEIRS, 0, 100 };
        uint64_t to = 99;
        err = recent_write_delta(&r, &request, &out, &to);
        assert_int_equal(to, err == ERR_OK ? 1 : 99);
        buffer_release(&out);
    }
    recent_release(&r);
    fixture_release(&f);
    return err;
}

static void test_a_delta_without_memory_says_so(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(story_of_a_delta, NULL) > 3);
}

static void ask_below_the_floor(void *context)
{
    struct fixture *f = context;
    struct recent r;
    recent_init(&r, CAP, 10);
    recent_raise(&r, 20);
    struct buffer out = { 0 };
    uint64_t to;
    struct recent_request request = { f->keyspace, f->replicas, THEIRS, 9, 100 };
    if (recent_write_delta(&r, &request, &out, &to) == ERR_OK) buffer_release(&out);
}

static void test_below_the_floor_there_is_no_delta(void **state)
{
    (void)state;
    struct fixture f;
    assert_ok(fixture_new(2, &f));
    assert_aborts(ask_below_the_floor, &f);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_delta_holds_what_came_after_from),
        cmocka_unit_test(test_only_the_newest_entry_of_a_counter_is_sent),
        cmocka_unit_test(test_a_cut_delta_goes_as_far_as_its_last_entry),
        cmocka_unit_test(test_a_delta_ends_where_another_boot_begins),
        cmocka_unit_test(test_the_oldest_places_are_forgotten_and_the_floor_tells),
        cmocka_unit_test(test_without_memory_it_forgets_instead),
        cmocka_unit_test(test_whoever_takes_deltas_from_where_it_is_holds_everything_live),
        cmocka_unit_test(test_a_delta_without_memory_says_so),
        cmocka_unit_test(test_below_the_floor_there_is_no_delta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
