/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep between two keyspaces: what is served while the server goes on writing, and what the receiver may show. */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "cluster/sweep.h"
#include "count/keyspace_replica.h"

#include <stdio.h>

#define THEIRS 2u
#define OTHERS 3u
#define NAMES 400u

/* The two ends of a link. The receiver numbers replicas as the server does. */
struct transfer {
    struct fixture server, receiver;
    struct sweep *sweep;
    struct block_head last[REPLICAS + 1]; /* the newest block of each replica; `to` is what the receiver knows */
    uint32_t blocks;
    int64_t shown[NAMES]; /* last seen at the receiver */
};

static void name_of(uint32_t number, char text[16])
{
    snprintf(text, 16, "c%u", number);
}

static void transfer_init(struct transfer *t)
{
    memset(t, 0, sizeof *t);
    assert_ok(fixture_new(4, &t->server));
    assert_ok(fixture_new(2, &t->receiver));
}

static void transfer_release(struct transfer *t)
{
    sweep_free(t->sweep);
    fixture_release(&t->server);
    fixture_release(&t->receiver);
}

/* A block comes in: a delta that begins where the one before it ended. */
static void take_block(struct transfer *t, struct bytes block)
{
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    enum err err;
    assert_ok(block_open(&reader, block));
    uint32_t replica = replicas_find(t->receiver.replicas, &reader.head.replica);
    assert_in_range(replica, 1, REPLICAS);
    assert_int_equal(reader.head.kind, BLOCK_DELTA);
    assert_int_equal(reader.head.from, t->last[replica].to);
    const struct trail *trail = replicas_trail(t->server.replicas, replica);
    assert_true(reader.head.nonce == trail_nonce_at(trail, reader.head.from + 1));
    assert_true(reader.head.to <= trail_end_after(trail, reader.head.from));
    assert_true(reader.head.base == trail_nonce_at(trail, reader.head.from) && reader.head.firm == trail->firm);
    t->last[replica] = reader.head;
    t->blocks++;
    while ((err = block_next(&reader, t->receiver.replicas, &name, &entry)) == ERR_OK) {
        cell_ref cell;
        assert_ok(keyspace_join(t->receiver.keyspace, replica, hash_of(&t->receiver, name), name, &entry, &cell));
    }
    assert_err(err, ERR_STALE);
}

static void check_never_less(struct transfer *t)
{
    char name[16];
    for (uint32_t i = 0; i < NAMES; i++) {
        name_of(i, name);
        int64_t value = get(&t->receiver, name).value;
        assert_true(value >= t->shown[i]);
        t->shown[i] = value;
    }
}

static void serve(struct transfer *t, const struct sweep_want *wants, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) t->last[wants[i].replica].to = wants[i].from;
    assert_ok(sweep_new(t->server.keyspace, t->server.replicas, wants, count, &t->sweep));
}

static bool walk(struct transfer *t, uint32_t cells)
{
    bool walked = false;
    assert_ok(sweep_walk(t->sweep, cells, &walked));
    return walked;
}

/* True when that was the last block. */
static bool send_one(struct transfer *t, uint32_t goal)
{
    struct buffer out = { 0 };
    bool done = false;
    assert_ok(sweep_write_delta(t->sweep, goal, &out, &done));
    take_block(t, buffer_view(&out));
    buffer_release(&out);
    return done;
}

/* Entry seq of the counter whose number is seq - 1, and its net. */
static void fill(struct transfer *t, uint32_t replica, uint64_t seq_to)
{
    char name[16];
    for (uint64_t seq = 1; seq <= seq_to; seq++) {
        name_of((uint32_t)seq - 1, name);
        join(&t->server, replica, name, seq, (int128)seq);
    }
}

static void boot_begins(struct transfer *t, uint32_t replica, uint64_t start, uint64_t nonce)
{
    assert_ok(trail_extend(replicas_trail(t->server.replicas, replica), start, nonce));
}

static void test_each_replica_goes_out_in_order_up_to_what_is_wanted(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, NAMES);
    fill(&t, OTHERS, 100);
    boot_begins(&t, THEIRS, 0, 70 + THEIRS);
    boot_begins(&t, OTHERS, 0, 70 + OTHERS);
    struct sweep_want wants[] = { { THEIRS, 50, NAMES }, { OTHERS, 0, 90 } };
    serve(&t, wants, 2);
    while (!walk(&t, 16)) continue;
    assert_true(sweep_is_pending(t.sweep, THEIRS) && sweep_is_pending(t.sweep, OTHERS));
    assert_false(sweep_is_pending(t.sweep, OWN));
    assert_false(sweep_is_pending(t.sweep, REPLICAS_MAX));
    bool theirs_first = true;
    for (bool done = false; !done;) {
        done = send_one(&t, 200);
        theirs_first &= t.last[OTHERS].count == 0 || t.last[THEIRS].to == NAMES;
    }
    assert_true(theirs_first);
    assert_true(t.blocks > 10);
    assert_false(sweep_is_pending(t.sweep, THEIRS) || sweep_is_pending(t.sweep, OTHERS));
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(t.last[wants[i].replica].to, wants[i].to);
        assert_int_equal(t.last[wants[i].replica].nonce, 70 + wants[i].replica);
    }
    assert_int_equal(get(&t.receiver, "c200").value, 201);
    assert_int_equal(get(&t.receiver, "c70").value, 71 + 71);
    assert_int_equal(get(&t.receiver, "c20").value, 21); /* the other replica's alone: theirs is below `from` */
    assert_int_equal(get(&t.receiver, "c95").value, 96); /* theirs alone: the other's is above `to` */
    transfer_release(&t);
}

/* Also one of which nothing lives any more. */
static void test_there_is_a_block_for_each_boot(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, 100);
    const uint64_t starts[] = { 0, 40, 100, 105, 110 };
    for (uint32_t i = 0; i < 5; i++) boot_begins(&t, THEIRS, starts[i], 70 + i);
    trail_set_firm(replicas_trail(t.server.replicas, THEIRS), 41);
    join(&t.server, THEIRS, "c7", 107, 8);
    serve(&t, &(struct sweep_want){ THEIRS, 20, 107 }, 1);
    while (!walk(&t, 16)) continue;
    const uint64_t ends[] = { 40, 100, 105, 107 };
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(send_one(&t, 1 << 20) == (i == 3));
        assert_int_equal(t.last[THEIRS].to, ends[i]);
        assert_int_equal(t.last[THEIRS].nonce, 70 + i);
    }
    assert_int_equal(get(&t.receiver, "c7").value, 8);
    transfer_release(&t);
}

/* No owner gives a seq twice, but a peer can say so: it may not bring down whoever serves the next one. */
static void test_two_counters_of_one_seq_are_no_reason_to_fail(void **state)
{
    (void)state;
    for (uint32_t goal = 1; goal <= 1001; goal += 1000) {
        struct transfer t;
        transfer_init(&t);
        fill(&t, THEIRS, 9);
        join(&t.server, THEIRS, "c100", 5, 1);
        join(&t.server, THEIRS, "c101", 9, 1);
        serve(&t, &(struct sweep_want){ THEIRS, 0, 9 }, 1);
        while (!walk(&t, 16)) continue;
        while (!send_one(&t, goal)) continue;
        assert_int_equal(t.last[THEIRS].to, 9);
        assert_int_equal(keyspace_count(t.receiver.keyspace), 9);
        transfer_release(&t);
    }
}

static void test_nothing_to_send_is_still_a_claim(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    serve(&t, &(struct sweep_want){ THEIRS, 3, 9 }, 1);
    while (!walk(&t, 100)) continue;
    assert_true(send_one(&t, 1000));
    assert_int_equal(t.blocks, 1);
    assert_int_equal(t.last[THEIRS].to, 9);
    assert_int_equal(t.last[THEIRS].count, 0);
    transfer_release(&t);
}

/* Every entry of the replica that is live at the server, at or below what the receiver was told, is there. */
static void check_holds(struct transfer *t, const uint64_t live[NAMES])
{
    char name[16];
    for (uint32_t i = 0; i < NAMES; i++) {
        if (live[i] > t->last[THEIRS].to) continue;
        name_of(i, name);
        assert_int_equal(get(&t->receiver, name).value, live[i]);
    }
}

struct owner {
    struct random random;
    uint64_t live[NAMES], seq;
};

static void owner_writes(struct transfer *t, struct owner *o, int times)
{
    char name[16];
    for (int i = 0; i < times; i++) {
        uint32_t number = (uint32_t)random_below(&o->random, NAMES);
        name_of(number, name);
        o->seq++;
        join(&t->server, THEIRS, name, o->seq, (int128)o->seq);
        o->live[number] = o->seq;
    }
}

/* The owner writes on while the sweep is under way: an entry that moves past `to` is left out, and is above all that
 * is claimed. After each single block the receiver's claim holds, so the link may break anywhere. */
static void test_what_moves_on_is_above_the_claim_and_every_block_holds_by_itself(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct transfer t;
        struct owner o = { .seq = NAMES };
        char name[16];
        random_init(&o.random, seed);
        transfer_init(&t);
        fill(&t, THEIRS, NAMES);
        for (uint32_t i = 0; i < NAMES; i++) o.live[i] = i + 1;
        join(&t.receiver, THEIRS, "c0", 1, 1); /* an older state that the receiver has */
        check_never_less(&t);
        serve(&t, &(struct sweep_want){ THEIRS, 1, NAMES }, 1);
        while (!walk(&t, 1 + (uint32_t)random_below(&o.random, 100))) owner_writes(&t, &o, 15);
        for (bool done = false; !done;) {
            owner_writes(&t, &o, 5);
            done = send_one(&t, 1 + (uint32_t)random_below(&o.random, 900));
            check_never_less(&t);
            check_holds(&t, o.live);
        }
        assert_int_equal(t.last[THEIRS].to, NAMES);
        uint32_t at_rest = 0;
        for (uint32_t i = 0; i < NAMES; i++) {
            name_of(i, name);
            at_rest += o.live[i] <= NAMES && get(&t.receiver, name).value == (int64_t)o.live[i];
        }
        assert_true(at_rest > 0);
        transfer_release(&t);
    }
}

static void test_what_was_broken_off_goes_on_where_it_stopped(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, NAMES);
    uint64_t reached = 0;
    uint32_t sweeps = 0;
    for (bool done = false; !done; sweeps++) {
        serve(&t, &(struct sweep_want){ THEIRS, reached, NAMES }, 1);
        while (!walk(&t, 100)) continue;
        for (int i = 0; i < 3 && !done; i++) done = send_one(&t, 500);
        assert_true(t.last[THEIRS].to > reached);
        reached = t.last[THEIRS].to;
        sweep_free(t.sweep); /* the link breaks */
        t.sweep = NULL;
    }
    assert_true(sweeps > 2);
    char name[16];
    for (uint32_t i = 0; i < NAMES; i++) {
        name_of(i, name);
        assert_int_equal(get(&t.receiver, name).value, i + 1);
    }
    transfer_release(&t);
}

/* More than one sorted run: places are gathered in the order of the walk and go out in that of seq. */
static void test_many_runs_are_merged(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    struct random random;
    random_init(&random, 3);
    static uint64_t seqs[20000];
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t other = (uint32_t)random_below(&random, i + 1); /* a random order of 1 to 20,000 */
        seqs[i] = seqs[other];
        seqs[other] = i + 1;
    }
    char name[16];
    for (uint32_t i = 0; i < 20000; i++) {
        name_of(i, name);
        join(&t.server, THEIRS, name, seqs[i], 1);
    }
    serve(&t, &(struct sweep_want){ THEIRS, 0, 20000 }, 1);
    while (!walk(&t, 1000)) continue;
    uint32_t entries = 0;
    for (bool done = false; !done; entries += t.last[THEIRS].count) done = send_one(&t, 5000);
    assert_int_equal(entries, 20000);
    assert_int_equal(keyspace_count(t.receiver.keyspace), 20000);
    transfer_release(&t);
}

static void test_every_replica_may_be_wanted_at_once(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    struct sweep_want *wants = calloc(REPLICAS_MAX, sizeof *wants);
    assert_non_null(wants);
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) wants[i] = (struct sweep_want){ i + 1, 0, 1 };
    assert_ok(sweep_new(t.server.keyspace, t.server.replicas, wants, REPLICAS_MAX, &t.sweep));
    assert_true(sweep_is_pending(t.sweep, 1) && sweep_is_pending(t.sweep, REPLICAS_MAX));
    while (!walk(&t, 1000)) continue;
    free(wants);
    transfer_release(&t);
}

static enum err story_of_a_sweep(void *context)
{
    struct transfer *t = context;
    struct sweep *s = NULL;
    struct sweep_want want = { THEIRS, 0, NAMES };
    enum err err = sweep_new(t->server.keyspace, t->server.replicas, &want, 1, &s);
    for (bool walked = false; err == ERR_OK && !walked;) err = sweep_walk(s, 100, &walked);
    for (bool done = false; err == ERR_OK && !done;) {
        struct buffer out = { 0 };
        err = sweep_write_delta(s, 2000, &out, &done);
        buffer_release(&out);
    }
    sweep_free(s);
    return err;
}

static void test_a_sweep_without_memory_says_so(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, NAMES);
    assert_true(each_allocation_fails(story_of_a_sweep, &t) > 3);
    transfer_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_replica_goes_out_in_order_up_to_what_is_wanted),
        cmocka_unit_test(test_there_is_a_block_for_each_boot),
        cmocka_unit_test(test_two_counters_of_one_seq_are_no_reason_to_fail),
        cmocka_unit_test(test_nothing_to_send_is_still_a_claim),
        cmocka_unit_test(test_what_moves_on_is_above_the_claim_and_every_block_holds_by_itself),
        cmocka_unit_test(test_what_was_broken_off_goes_on_where_it_stopped),
        cmocka_unit_test(test_many_runs_are_merged),
        cmocka_unit_test(test_every_replica_may_be_wanted_at_once),
        cmocka_unit_test(test_a_sweep_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
