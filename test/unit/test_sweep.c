/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep between two keyspaces: what is served while the server goes on writing, and what the receiver may show. */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "cluster/sweep.h"

#include <stdio.h>

#define THEIRS 2u
#define OTHERS 3u
#define NAMES 400u

/* The two ends of a link. The receiver numbers replicas as the server does: block_next sees to that. */
struct transfer {
    struct fixture server, receiver;
    struct sweep *sweep;
    struct block_head claims[4];
    uint32_t blocks, claims_count, fail_at; /* fail_at: the nth block cannot be sent; 0: never */
    int64_t shown[NAMES];                   /* last seen at the receiver */
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

static enum err take_block(void *context, uint32_t replica, struct bytes block)
{
    struct transfer *t = context;
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    enum err err = block_open(&reader, block);
    assert_ok(err);
    if (++t->blocks == t->fail_at) return ERR_NOMEM;
    assert_true(id128_equal(&reader.head.replica, replicas_id(t->server.replicas, replica)));
    if (reader.head.kind == BLOCK_SWEEP_END) {
        assert_true(t->claims_count < 4);
        t->claims[t->claims_count++] = reader.head;
    } else {
        assert_int_equal(reader.head.kind, BLOCK_SNAPSHOT);
        assert_int_equal(t->claims_count, 0); /* claims come last */
    }
    while ((err = block_next(&reader, t->receiver.replicas, &name, &entry)) == ERR_OK) {
        cell_ref cell;
        assert_ok(keyspace_join(t->receiver.keyspace, replica, hash_of(&t->receiver, name), name, &entry, &cell));
    }
    assert_err(err, ERR_STALE);
    return ERR_OK;
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

static void serve(struct transfer *t, const struct collector_want *wants, uint32_t count)
{
    assert_ok(sweep_new(t->server.keyspace, t->server.replicas, wants, count, &t->sweep));
}

static bool step(struct transfer *t, uint32_t cells)
{
    bool done = false;
    assert_ok(sweep_step(t->sweep, cells, take_block, t, &done));
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
    replicas_raise_known(t->server.replicas, replica, seq_to, 70 + replica);
}

static void test_each_replica_is_claimed_once_at_the_end(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, NAMES);
    fill(&t, OTHERS, 100);
    struct collector_want wants[] = { { THEIRS, 50, NAMES }, { OTHERS, 0, 100 } };
    serve(&t, wants, 2);
    assert_true(sweep_covers(t.sweep, THEIRS) && sweep_covers(t.sweep, OTHERS));
    assert_false(sweep_covers(t.sweep, OWN));
    while (!step(&t, 16)) assert_int_equal(t.claims_count, 0);
    assert_int_equal(t.claims_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct block_head *claim = &t.claims[i];
        assert_int_equal(claim->kind, BLOCK_SWEEP_END);
        assert_true(id128_equal(&claim->replica, replicas_id(t.server.replicas, wants[i].replica)));
        assert_int_equal(claim->from, wants[i].from);
        assert_int_equal(claim->to, wants[i].to);
        assert_int_equal(claim->nonce, 70 + wants[i].replica);
    }
    /* Below `from` nothing was sent. */
    assert_int_equal(get(&t.receiver, "c200").value, 201);
    assert_int_equal(get(&t.receiver, "c70").value, 71 + 71);
    assert_int_equal(get(&t.receiver, "c20").value, 21); /* the other replica's alone */
    transfer_release(&t);
}

static void test_the_nonce_is_of_what_is_claimed_not_of_what_came_later(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, 10);
    serve(&t, &(struct collector_want){ THEIRS, 0, 10 }, 1);
    replicas_raise_known(t.server.replicas, THEIRS, 20, 999); /* another boot of theirs */
    while (!step(&t, 100)) continue;
    assert_int_equal(t.claims[0].nonce, 70 + THEIRS);
    assert_int_equal(t.claims[0].to, 10);
    transfer_release(&t);
}

static void test_nothing_to_send_is_still_a_claim(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    serve(&t, &(struct collector_want){ THEIRS, 3, 9 }, 1);
    while (!step(&t, 100)) continue;
    assert_int_equal(t.blocks, 1);
    assert_int_equal(t.claims[0].from, 3);
    assert_int_equal(t.claims[0].to, 9);
    transfer_release(&t);
}

/* The owner writes on while the sweep is under way: an entry that moves past `to` may be missed, and then it is above
 * the claim. The receiver holds every entry that is still live at or below it. */
static void test_what_moves_on_during_the_walk_is_above_the_claim(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct transfer t;
        struct random random;
        uint64_t live[NAMES];
        char name[16];
        random_init(&random, seed);
        transfer_init(&t);
        fill(&t, THEIRS, NAMES);
        for (uint32_t i = 0; i < NAMES; i++) live[i] = i + 1;
        for (uint32_t i = 0; i < NAMES; i += 3) { /* an older state that the receiver has */
            name_of(i, name);
            join(&t.receiver, THEIRS, name, 1, 1);
        }
        check_never_less(&t);
        serve(&t, &(struct collector_want){ THEIRS, 0, NAMES }, 1);
        uint64_t seq = NAMES;
        for (bool done = false; !done;) {
            for (int i = 0; i < 20; i++) {
                uint32_t number = (uint32_t)random_below(&random, NAMES);
                name_of(number, name);
                seq++;
                join(&t.server, THEIRS, name, seq, (int128)seq);
                live[number] = seq;
            }
            done = step(&t, 1 + (uint32_t)random_below(&random, 40));
            check_never_less(&t);
        }
        uint32_t at_rest = 0;
        for (uint32_t i = 0; i < NAMES; i++) {
            name_of(i, name);
            if (live[i] > NAMES) continue;
            assert_int_equal(get(&t.receiver, name).value, live[i]);
            at_rest++;
        }
        assert_true(at_rest > 0);
        transfer_release(&t);
    }
}

static void test_a_sweep_that_breaks_off_claims_nothing(void **state)
{
    (void)state;
    struct transfer t;
    transfer_init(&t);
    fill(&t, THEIRS, NAMES);
    serve(&t, &(struct collector_want){ THEIRS, 0, NAMES }, 1);
    bool done = false;
    enum err err = ERR_OK;
    t.fail_at = 1;
    while (err == ERR_OK && !done) err = sweep_step(t.sweep, 50, take_block, &t, &done);
    assert_err(err, ERR_NOMEM);
    assert_int_equal(t.claims_count, 0);
    transfer_release(&t);
}

static enum err count_blocks(void *context, uint32_t replica, struct bytes block)
{
    (void)replica;
    (void)block;
    ++*(uint32_t *)context;
    return ERR_OK;
}

static enum err story_of_a_sweep(void *context)
{
    struct transfer *t = context;
    uint32_t blocks = 0;
    struct sweep *s = NULL;
    struct collector_want want = { THEIRS, 0, NAMES };
    enum err err = sweep_new(t->server.keyspace, t->server.replicas, &want, 1, &s);
    for (bool done = false; err == ERR_OK && !done;) err = sweep_step(s, 100, count_blocks, &blocks, &done);
    if (err == ERR_OK) assert_int_equal(blocks, 2);
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
        cmocka_unit_test(test_each_replica_is_claimed_once_at_the_end),
        cmocka_unit_test(test_the_nonce_is_of_what_is_claimed_not_of_what_came_later),
        cmocka_unit_test(test_nothing_to_send_is_still_a_claim),
        cmocka_unit_test(test_what_moves_on_during_the_walk_is_above_the_claim),
        cmocka_unit_test(test_a_sweep_that_breaks_off_claims_nothing),
        cmocka_unit_test(test_a_sweep_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
