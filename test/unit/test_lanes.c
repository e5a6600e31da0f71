/* SPDX-License-Identifier: Apache-2.0 */
/* What goes out to a peer that is behind: from recent places while these reach back far enough, else by a sweep. The
 * peer follows the rule of every receiver, that a block whose `from` it knows makes it know up to `to`; however it was
 * served, in the end it must hold every entry. */
#include "protocol_stage.h"

#define OWNER 2u /* the replica of the peer that behaves */

struct follower {
    struct lone_link *link;
    struct id128 replica; /* the one that it follows */
    struct replicas *replicas;
    uint64_t known, gaps;
    uint8_t *has; /* by seq: an entry of that seq has come */
    uint64_t cap;
};

static void follow(struct follower *f, struct lone_link *l, struct id128 replica, uint64_t seqs)
{
    *f = (struct follower){ .link = l, .replica = replica, .cap = seqs + 1 };
    f->has = calloc(f->cap, 1);
    assert_non_null(f->has);
    assert_ok(replicas_new(&f->replicas));
}

static void follower_release(struct follower *f)
{
    replicas_free(f->replicas);
    free(f->has);
}

/* Reads what was sent since the last call. */
static void follower_reads(struct follower *f)
{
    struct frame frame;
    while (lone_hears(f->link, FRAME_BLOCK, &frame)) {
        struct block_reader r;
        struct bytes name;
        struct entry entry;
        assert_ok(block_open(&r, frame.body));
        if (!id128_equal(&r.head.replica, &f->replica)) continue;
        if (r.head.from > f->known) {
            f->gaps++;
            continue;
        }
        while (block_next(&r, f->replicas, &name, &entry) == ERR_OK) {
            assert_true(entry.seq < f->cap);
            f->has[entry.seq] = 1;
        }
        if (r.head.to > f->known) f->known = r.head.to;
    }
}

static void expect_all(struct follower *f, uint64_t first, uint64_t last)
{
    assert_int_equal(f->gaps, 0);
    assert_int_equal(f->known, last);
    for (uint64_t seq = first; seq <= last; seq++) assert_int_equal(f->has[seq], 1);
}

static void count_names(struct lone *w, uint32_t first, uint32_t count)
{
    struct keyspace *k = node_keyspace(w->node);
    for (uint32_t i = first; i < first + count; i++) {
        struct seen seen;
        struct bytes name = bytes_of(&i, sizeof i);
        assert_ok(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen));
    }
    assert_ok(lone_event(w, (struct event){ .kind = EVENT_DIRTY }));
}

/* Starts the node anew from its identity and one block of own entries, and one for each of `others`. */
static void start_again(struct lone *w, uint32_t own_entries, uint32_t others)
{
    struct lone before = { .now_ms = 0 };
    struct record records[IDENTITY_RECORDS_MAX];
    uint32_t count;
    struct buffer block = { 0 };
    assert_ok(lone_start(&before, LONE_NAME, NULL, 1));
    identity_records(before.node, records, &count, false);
    struct node_options options = lone_options(w, LONE_NAME, NULL, 1);
    assert_ok(node_new(&options, &w->node));
    assert_ok(node_recover(w->node, records[0].kind, bytes_of(records[0].bytes->ptr, records[0].bytes->len)));
    for (uint32_t number = 1; number <= others + 1; number++) {
        struct block_writer writer;
        struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id((uint8_t)number), .nonce = 7 };
        uint32_t entries = number == 1 ? own_entries : 3;
        buffer_clear(&block);
        block_begin(&writer, &block, &head);
        for (uint32_t i = 0; i < entries; i++) {
            struct entry entry = { .seq = i + 1, .net = 1 };
            block_put(&writer, w->node->replicas, bytes_of(&i, sizeof i), &entry);
        }
        block_end(&writer, entries);
        assert_ok(node_recover(w->node, number == 1 ? RECORD_OWN : RECORD_PEER, buffer_view(&block)));
    }
    buffer_release(&block);
    for (uint32_t i = 0; i < count; i++) shared_drop(records[i].bytes);
    lone_end(&before);
    assert_ok(lone_begin(w));
}

static enum err say_want(struct lone *w, struct lone_link *l, const struct want *wants, uint32_t count)
{
    struct buffer body = { 0 };
    for (uint32_t i = 0; i < count; i++) want_put(&body, &wants[i]);
    return lone_say_buffer(w, l, FRAME_WANT, &body);
}

static struct stage *stage_again(uint32_t own_entries, uint32_t others)
{
    struct stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    start_again(&s->w, own_entries, others);
    return s;
}

/* 20,000 cells are more than the node walks without a break; meanwhile it goes on counting. */
static void test_a_sweep_takes_breaks_and_what_is_counted_meanwhile_comes_after_it(void **state)
{
    (void)state;
    const uint32_t before = 20000;
    struct stage *s = stage_again(before, 0);
    struct follower f;
    assert_ok(lone_meet(&s->w, "good:1", 2, &s->good));
    follow(&f, s->good, peer_id(1), before + 2);
    assert_true(node_wake_at_ms(s->w.node) <= s->w.now_ms); /* it wants to go on at once */
    follower_reads(&f);
    assert_true(f.known < before);
    count_names(&s->w, before, 2);
    assert_ok(lone_run_ms(&s->w, 100));
    follower_reads(&f);
    expect_all(&f, 1, before + 2);
    follower_release(&f);
    stage_free(s);
}

/* The peer's socket is full in the middle of a sweep, and it asks for the same again: it gets everything once. */
static void test_a_sweep_waits_for_a_slow_reader(void **state)
{
    (void)state;
    const uint32_t before = 40000;
    struct stage *s = stage_again(before, 0);
    struct want again = { .replica = peer_id(1) };
    struct follower f;
    assert_ok(lone_accept(&s->w, &s->good));
    s->good->deaf = true;
    struct hello hello = peer_hello("good:1", 2);
    assert_ok(lone_say_hello(&s->w, s->good, &hello));
    assert_ok(lone_say(&s->w, s->good, FRAME_DIGEST, bytes_of("\1", 1)));
    assert_ok(lone_run_ms(&s->w, 50));
    size_t sent = s->good->len;
    assert_in_range(sent, LINK_WINDOW_BYTES, 2 * LINK_WINDOW_BYTES);
    assert_ok(say_want(&s->w, s->good, &again, 1));
    count_names(&s->w, before, 1);
    assert_ok(lone_run_ms(&s->w, 50));
    assert_in_range(s->good->len, sent, sent + 4096); /* heartbeats at most */
    s->good->deaf = false;
    follow(&f, s->good, peer_id(1), before + 1);
    assert_ok(lone_run_ms(&s->w, 300));
    follower_reads(&f);
    expect_all(&f, 1, before + 1);
    assert_in_range(s->good->len, sent, before * 16u); /* and not twice */
    follower_release(&f);
    stage_free(s);
}

/* Six replicas in one request, one of them twice: the last word counts. */
static void test_one_request_may_name_many_replicas(void **state)
{
    (void)state;
    struct stage *s = stage_again(1, 7);
    struct want wants[8];
    struct follower f[6];
    assert_ok(lone_meet(&s->w, "good:1", 2, &s->good));
    for (uint8_t i = 0; i < 6; i++) wants[i] = (struct want){ .replica = peer_id((uint8_t)(3 + i)) };
    wants[6] = (struct want){ .replica = peer_id(5), .from = 2 };
    wants[7] = (struct want){ .replica = { { 0x99 } } }; /* nobody has heard of it */
    assert_ok(say_want(&s->w, s->good, wants, 8));
    assert_ok(lone_run_ms(&s->w, 50));
    for (uint8_t i = 0; i < 6; i++) {
        s->good->read = 0;
        follow(&f[i], s->good, wants[i].replica, 3);
        f[i].known = i == 2 ? 2 : 0;
        follower_reads(&f[i]);
        expect_all(&f[i], i == 2 ? 3 : 1, 3);
        follower_release(&f[i]);
    }
    stage_free(s);
}

/* Entries of a replica that this node was told of, from seq first on, as their owner says them. */
static void owner_says(struct stage *s, uint64_t first, uint64_t count)
{
    for (uint64_t at = first; at < first + count;) {
        struct buffer body = { 0 };
        struct block_writer writer;
        struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id(OWNER), .nonce = 7, .from = at - 1 };
        uint64_t end = at + 5000 < first + count ? at + 5000 : first + count;
        block_begin(&writer, &body, &head);
        for (; at < end; at++) {
            struct entry entry = { .seq = at, .net = 1 };
            block_put(&writer, s->w.node->replicas, bytes_of(&at, sizeof at), &entry);
        }
        block_end(&writer, at - 1);
        assert_ok(lone_say_buffer(&s->w, s->good, FRAME_BLOCK, &body));
    }
}

/* The peer asked while recent places reached back far enough, and read on when they did no more. */
static void test_who_reads_too_slowly_for_recent_places_is_swept(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *slow = enemy(s);
    struct want want = { .replica = peer_id(OWNER) };
    struct follower f;
    owner_says(s, 1, 30000);
    slow->deaf = true;
    assert_ok(say_want(&s->w, slow, &want, 1));
    size_t sent = slow->len;
    owner_says(s, 30001, 2 * RECENT_PEER_MAX);
    assert_in_range(slow->len, sent, sent + 4096);
    slow->deaf = false;
    follow(&f, slow, peer_id(OWNER), 30000 + 2 * RECENT_PEER_MAX);
    assert_ok(lone_run_ms(&s->w, 500));
    follower_reads(&f);
    expect_all(&f, 1, 30000 + 2 * RECENT_PEER_MAX);
    follower_release(&f);
    check_serves(s);
    stage_free(s);
}

/* Two requests from a peer that does not read: the later one says where to go on. */
static void test_a_repeated_request_moves_where_it_is_served_from(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *slow = enemy(s);
    struct want wants[2] = { { .replica = peer_id(OWNER) }, { .replica = peer_id(OWNER), .from = 29000 } };
    struct frame frame;
    struct block_reader r;
    owner_says(s, 1, 30000);
    slow->deaf = true;
    assert_ok(say_want(&s->w, slow, &wants[0], 1));
    assert_ok(say_want(&s->w, slow, &wants[1], 1));
    while (lone_hears(slow, FRAME_BLOCK, &frame)) assert_ok(block_open(&r, frame.body));
    assert_true(r.head.to < 29000); /* the window is full */
    slow->deaf = false;
    assert_ok(lone_run_ms(&s->w, 100));
    assert_true(lone_hears(slow, FRAME_BLOCK, &frame));
    assert_ok(block_open(&r, frame.body));
    assert_int_equal(r.head.from, 29000);
    stage_free(s);
}

/* A million increments while a peer sleeps: its place is no longer among the recent ones, and nothing is lost to it. */
static void test_who_sleeps_through_a_million_increments_is_swept(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    const uint32_t each = RECENT_OWN_MAX / 8, rounds = 9;
    struct follower f;
    follow(&f, s->good, peer_id(1), (uint64_t)each * rounds + 1);
    count_names(&s->w, 0, 1); /* so that the peer's cursor stands somewhere */
    assert_ok(lone_run_ms(&s->w, 20));
    s->good->deaf = true;
    for (uint32_t i = 0; i < rounds; i++) count_names(&s->w, 1 + i * each, each);
    assert_true(link_find(s->w.node, s->good->id)->cursor < sync_of(s->w.node, s->w.node->own)->recent.floor);
    s->good->deaf = false;
    assert_ok(lone_run_ms(&s->w, 1500));
    follower_reads(&f);
    expect_all(&f, 1, (uint64_t)each * rounds + 1);
    follower_release(&f);
    check_serves(s);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sweep_takes_breaks_and_what_is_counted_meanwhile_comes_after_it),
        cmocka_unit_test(test_a_sweep_waits_for_a_slow_reader),
        cmocka_unit_test(test_one_request_may_name_many_replicas),
        cmocka_unit_test(test_who_reads_too_slowly_for_recent_places_is_swept),
        cmocka_unit_test(test_a_repeated_request_moves_where_it_is_served_from),
        cmocka_unit_test(test_who_sleeps_through_a_million_increments_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
