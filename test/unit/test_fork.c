/* SPDX-License-Identifier: Apache-2.0 */
/* One real node, and peers that show it another history of a replica: its own, or somebody's. What it says, what it
 * takes in, what it splits and when; no value ever changes by that. */
#include "protocol_stage.h"

#define MINE 0x1001u  /* the node's nonce */
#define OTHER 0x9999u /* of a process that wrote on from a state of the same disk */
#define THEIRS 3u     /* the replica of bad:1 */

struct boots {
    uint64_t boots[4][2]; /* start, nonce; nonce 0: no more */
    uint64_t firm, pledged;
};

static void say_trail(struct stage *s, struct lone_link *l, const struct trail_item *item, struct boots boots)
{
    struct trail trail = { 0 };
    struct buffer body = { 0 };
    for (int i = 0; i < 4 && boots.boots[i][1] != 0; i++)
        assert_ok(trail_extend(&trail, boots.boots[i][0], boots.boots[i][1]));
    trail_set_firm(&trail, boots.firm);
    trail_set_pledged(&trail, boots.pledged);
    trail_put(&body, item, &trail);
    trail_release(&trail);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_TRAIL, &body));
}

static void say_claim(struct stage *s, struct lone_link *l, struct digest_item item)
{
    struct buffer body = { 0 };
    digest_begin(&body, true);
    digest_put(&body, &item);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
}

/* One boot's block of one entry, which superseded another when `older` is not 0. The nets are the seqs. */
struct said_block {
    struct id128 replica;
    uint64_t from, to, older, nonce, base, firm;
    const char *name;
};

static void say_entry(struct stage *s, struct lone_link *l, struct said_block b)
{
    struct buffer body = { 0 };
    struct block_writer w;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = b.replica, .nonce = b.nonce, .base = b.base };
    struct entry entry = { .seq = b.to, .net = (int128)b.to }, older = { .seq = b.older, .net = (int128)b.older };
    head.from = b.from;
    head.firm = head.pledged = b.firm;
    block_begin(&w, &body, &head);
    block_put_older(&w, s->w.node->replicas, bytes_of_text(b.name), &entry, &older, b.older > 0);
    block_end(&w, b.to);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_BLOCK, &body));
}

/* The next trail that the node sent; false if there is none. */
static bool hears_trail(struct lone_link *l, struct trail_item *ret_item, uint64_t *ret_first_nonce)
{
    struct frame frame;
    struct reader items;
    struct trail trail;
    if (!lone_hears(l, FRAME_TRAIL, &frame)) return false;
    reader_init(&items, frame.body);
    assert_ok(trail_next(&items, ret_item, &trail));
    *ret_first_nonce = trail.count > 0 ? trail.boots[0].nonce : 0;
    trail_release(&trail);
    return true;
}

static void expect_trail(struct lone_link *l, struct id128 replica, uint64_t known, uint64_t gone, bool asks)
{
    struct trail_item item;
    uint64_t nonce;
    assert_true(hears_trail(l, &item, &nonce));
    assert_true(id128_equal(&item.replica, &replica));
    assert_true(item.known == known && item.gone == gone && item.asks == asks);
}

static void expect_no_trail(struct lone_link *l)
{
    struct trail_item item;
    uint64_t nonce;
    assert_false(hears_trail(l, &item, &nonce));
}

static uint64_t known_of(struct stage *s, struct id128 id)
{
    uint32_t index = replicas_find(s->w.node->replicas, &id);
    return index == REPLICA_NONE ? 0 : replicas_known(s->w.node->replicas, index)->known;
}

static const struct trail *own_trail(struct stage *s)
{
    return replicas_trail(s->w.node->replicas, s->w.node->own);
}

static struct id128 own_id(struct stage *s)
{
    return *replicas_id(s->w.node->replicas, s->w.node->own);
}

static void expect_own(struct stage *s, struct id128 id)
{
    struct id128 own = own_id(s);
    assert_true(id128_equal(&own, &id));
}

static struct id128 part_of(uint8_t number, uint64_t nonce)
{
    struct id128 id = peer_id(number);
    return trail_split_id(&id, nonce);
}

static void test_who_is_behind_its_own_claims_goes_on_under_a_new_id(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct frame frame;
    struct hello hello;
    assert_ok(count_one(&s->w, "ours"));
    assert_ok(count_one(&s->w, "ours"));
    say_claim(s, l, (struct digest_item){ .replica = peer_id(1), .known = 5, .durable = 5, .nonce = OTHER });
    expect_trail(l, peer_id(1), 2, 0, true);
    expect_own(s, peer_id(1));
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(1), .known = 5 },
              (struct boots){ { { 0, OTHER } }, 1, 1 });
    expect_own(s, part_of(1, MINE));
    assert_int_equal(s->w.notices[NOTICE_ROLLBACK], 1);
    assert_int_equal(s->w.last[NOTICE_ROLLBACK].number, 0); /* the last seq that both have */
    assert_true(is_over(l) && is_over(s->good));
    assert_int_equal(value(s, "ours"), 2);
    assert_int_equal(known_of(s, peer_id(1)), 0);
    assert_int_equal(known_of(s, part_of(1, MINE)), 2);
    assert_int_equal(s->w.append_of[RECORD_SPLIT], s->w.append_of[RECORD_IDENTITY]);

    assert_ok(lone_meet(&s->w, "bad:1", THEIRS, &l)); /* links begin anew, under that id */
    assert_true(lone_hears(l, FRAME_HELLO, &frame));
    assert_ok(hello_read(frame.body, &hello));
    expect_own(s, hello.replica);
    assert_true(lone_hears(l, FRAME_BLOCK, &frame)); /* what was written since boot */
    struct block_reader reader;
    assert_ok(block_open(&reader, frame.body));
    expect_own(s, reader.head.replica);
    assert_true(reader.head.from == 0 && reader.head.to == 2 && reader.head.nonce == MINE);
    say_entry(s, l, (struct said_block){ peer_id(1), 0, 5, 0, OTHER, 0, 1, "ours" }); /* the lost part comes back */
    assert_int_equal(value(s, "ours"), 2 + 5);
    assert_ok(count_one(&s->w, "ours"));
    assert_int_equal(value(s, "ours"), 2 + 5 + 1);
    assert_int_equal(known_of(s, part_of(1, MINE)), 3);
    stage_free(s);
}

/* Clients are put off while what was answered, and what was not, goes to the disk. */
static void test_a_split_waits_for_what_is_under_way_and_writes_wait_for_it(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone *w = &s->w;
    struct lone_link *l = enemy(s);
    struct keyspace *k = node_keyspace(w->node);
    struct bytes name = bytes_of_text("ours");
    struct seen seen;
    struct buffer body = { 0 };
    struct trail trail = { 0 };
    assert_ok(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen));
    assert_ok(lone_step(w, (struct event){ .kind = EVENT_DIRTY })); /* on its way to the disk */
    assert_ok(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen));
    assert_ok(trail_extend(&trail, 0, OTHER));
    trail_put(&body, &(struct trail_item){ .replica = peer_id(1), .known = 5 }, &trail);
    trail_release(&trail);
    struct shared *frame = frame_new(FRAME_TRAIL, buffer_view(&body));
    assert_non_null(frame);
    struct event event = { .kind = EVENT_LINK_BYTES, .as.link = { .link = l->id } };
    event.as.link.bytes = bytes_of(frame->ptr, frame->len);
    assert_ok(lone_step(w, event));
    shared_drop(frame);
    buffer_release(&body);
    assert_err(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen), ERR_FENCED);
    expect_own(s, peer_id(1));
    assert_int_equal(w->append_of[RECORD_SPLIT], 0);
    uint64_t writes = w->append_of[RECORD_OWN];
    assert_ok(lone_event(w, (struct event){ .kind = EVENT_TICK }));
    expect_own(s, part_of(1, MINE));
    assert_int_equal(w->append_of[RECORD_OWN], writes + 1); /* the second increment, still under the old id */
    assert_true(w->append_of[RECORD_SPLIT] > writes + 1);
    assert_int_equal(value(s, "ours"), 2);
    assert_int_equal(known_of(s, part_of(1, MINE)), 2);
    assert_ok(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen));
    assert_int_equal(seen.value, 3);
    stage_free(s);
}

/* What is on its way to the disk may be on a copy of it already. */
static void test_a_copy_that_knows_what_is_on_its_way_here_proves_nothing(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct keyspace *k = node_keyspace(s->w.node);
    struct bytes name = bytes_of_text("ours");
    struct seen seen;
    assert_ok(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen));
    assert_ok(lone_step(&s->w, (struct event){ .kind = EVENT_DIRTY }));
    struct buffer body = { 0 };
    struct trail trail = { 0 };
    assert_ok(trail_extend(&trail, 0, MINE));
    trail_put(&body, &(struct trail_item){ .replica = peer_id(1), .known = 1, .asks = true }, &trail);
    trail_release(&trail);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_TRAIL, &body));
    expect_own(s, peer_id(1));
    assert_false(is_over(l));
    stage_free(s);
}

static void test_who_is_behind_in_the_middle_of_its_boot_begins_another(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    assert_ok(count_one(&s->w, "ours"));
    assert_ok(count_one(&s->w, "ours"));
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(1), .known = 5 },
              (struct boots){ { { 0, MINE }, { 2, OTHER } }, 3, 3 });
    assert_true(s->w.node->nonce != MINE);
    expect_own(s, part_of(1, s->w.node->nonce));
    assert_int_equal(known_of(s, peer_id(1)), 2); /* both have that */
    assert_int_equal(s->w.node->own_seq, 0);
    assert_int_equal(value(s, "ours"), 2);
    assert_ok(lone_meet(&s->w, "bad:1", THEIRS, &l));
    say_entry(s, l, (struct said_block){ peer_id(1), 2, 5, 0, OTHER, MINE, 3, "ours" });
    assert_int_equal(value(s, "ours"), 5);
    assert_ok(count_one(&s->w, "ours"));
    assert_int_equal(value(s, "ours"), 6);
    stage_free(s);
}

/* bad:1 wrote "theirs" in boot 7 up to seq 2 and in boot 8, which is loose, up to seq 4. */
static struct lone_link *two_boots(struct stage *s, uint64_t firm)
{
    struct lone_link *l = enemy(s);
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 0, 2, 0, 7, 0, 1, "theirs" });
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 2, 4, firm > 2 ? 0 : 2, 8, 7, firm, "theirs" });
    assert_int_equal(value(s, "theirs"), 4);
    assert_int_equal(known_of(s, peer_id(THEIRS)), 4);
    return l;
}

static void test_a_want_from_another_history_gets_a_trail_and_no_entries(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = two_boots(s, 1);
    struct want want = { .replica = peer_id(THEIRS), .from = 2, .nonce = OTHER };
    struct buffer body = { 0 };
    struct frame frame;
    want_put(&body, &want);
    assert_ok(lone_say_buffer(&s->w, s->good, FRAME_WANT, &body));
    expect_trail(s->good, peer_id(THEIRS), 4, 0, true);
    assert_ok(lone_run_ms(&s->w, 50));
    assert_false(lone_hears(s->good, FRAME_BLOCK, &frame));
    want.nonce = 7;
    want_put(&body, &want);
    assert_ok(lone_say_buffer(&s->w, s->good, FRAME_WANT, &body));
    assert_ok(lone_run_ms(&s->w, 50));
    assert_true(lone_hears(s->good, FRAME_BLOCK, &frame));
    assert_false(is_over(l) || is_over(s->good));
    stage_free(s);
}

static void test_a_block_of_another_history_is_refused_and_answered_with_a_trail(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = two_boots(s, 1);
    uint64_t appended = s->w.appended;
    say_claim(s, l, (struct digest_item){ .replica = peer_id(THEIRS), .known = 9, .durable = 9, .nonce = OTHER });
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 4, 9, 0, OTHER, OTHER, 1, "theirs" });
    expect_trail(l, peer_id(THEIRS), 4, 0, true);
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 4, 9, 0, OTHER, OTHER, 1, "theirs" });
    expect_no_trail(l); /* not for each of them */
    assert_int_equal(value(s, "theirs"), 4);
    assert_int_equal(s->w.appended, appended);
    assert_ok(lone_run_ms(&s->w, 1000));
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 2, 9, 0, 7, 7, 1, "theirs" }); /* boot 8 is not in it */
    expect_trail(l, peer_id(THEIRS), 4, 0, true);
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 4, 9, 0, 9, 8, 1, "theirs" });
    assert_int_equal(value(s, "theirs"), 9);
    stage_free(s);
}

static void test_the_loose_boot_at_the_fork_is_split_off(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = two_boots(s, 1);
    uint64_t record = s->w.append_of[RECORD_SPLIT];
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(THEIRS), .known = 6, .asks = true },
              (struct boots){ { { 0, 7 }, { 2, OTHER } }, 1, 1 });
    assert_int_equal(s->w.notices[NOTICE_SPLIT], 1);
    assert_int_equal(s->w.last[NOTICE_SPLIT].number, 2);
    assert_int_equal(known_of(s, peer_id(THEIRS)), 2);
    assert_int_equal(known_of(s, part_of(THEIRS, 8)), 4);
    assert_int_equal(value(s, "theirs"), 4);
    assert_true(s->w.append_of[RECORD_SPLIT] > record);
    assert_true(is_over(l));
    expect_own(s, peer_id(1));
    l = enemy(s);
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 2, 6, 2, OTHER, 7, 1, "theirs" }); /* the other history */
    assert_int_equal(value(s, "theirs"), 6 + 2);
    check_serves((lone_meet(&s->w, "good:1", 2, &s->good), s));
    stage_free(s);
}

static void test_a_boot_that_is_gone_is_taken_in_no_more_and_its_holders_are_told(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = two_boots(s, 1);
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(THEIRS), .known = 2, .gone = 8 },
              (struct boots){ { { 0, 7 } }, 1, 1 });
    assert_int_equal(s->w.notices[NOTICE_SPLIT], 1);
    assert_int_equal(known_of(s, peer_id(THEIRS)), 2);
    l = enemy(s);
    say_entry(s, l, (struct said_block){ peer_id(THEIRS), 2, 4, 2, 8, 7, 1, "theirs" });
    expect_trail(l, peer_id(THEIRS), 2, 8, true);
    assert_int_equal(known_of(s, peer_id(THEIRS)), 2);
    assert_int_equal(value(s, "theirs"), 4);
    assert_ok(lone_run_ms(&s->w, 1000));
    say_claim(s, l, (struct digest_item){ .replica = peer_id(THEIRS), .known = 4, .durable = 4, .nonce = 8 });
    expect_trail(l, peer_id(THEIRS), 2, 8, true);
    struct frame frame;
    assert_ok(lone_run_ms(&s->w, 5000));
    assert_false(lone_hears(l, FRAME_WANT, &frame)); /* whoever claims that is no source of it */
    stage_free(s);
}

static void test_a_part_that_comes_before_the_news_of_its_split_does_not_count_twice(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    two_boots(s, 1);
    say_entry(s, s->good, (struct said_block){ part_of(THEIRS, 8), 0, 4, 0, 8, 0, 1, "theirs" });
    assert_int_equal(value(s, "theirs"), 4);
    assert_int_equal(s->w.notices[NOTICE_SPLIT], 1);
    assert_int_equal(known_of(s, peer_id(THEIRS)), 2);
    assert_int_equal(known_of(s, part_of(THEIRS, 8)), 4);
    stage_free(s);
}

static void test_histories_of_firm_boots_raise_the_alarm_once_a_link_and_stay(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = two_boots(s, 3);
    say_claim(s, l, (struct digest_item){ .replica = peer_id(THEIRS), .known = 6, .durable = 6, .nonce = OTHER });
    for (int i = 0; i < 3; i++)
        say_trail(s, l, &(struct trail_item){ .replica = peer_id(THEIRS), .known = 6 },
                  (struct boots){ { { 0, 7 }, { 2, OTHER } }, 3, 3 });
    assert_int_equal(s->w.notices[NOTICE_HISTORIES], 1);
    assert_string_equal(s->w.last[NOTICE_HISTORIES].node, "bad:1");
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(THEIRS), .known = 2, .gone = 8 },
              (struct boots){ { { 0, 7 } }, 3, 3 });
    assert_int_equal(s->w.notices[NOTICE_SPLIT], 0);
    assert_int_equal(value(s, "theirs"), 4);
    assert_int_equal(known_of(s, peer_id(THEIRS)), 4);
    check_serves(s);
    stage_free(s);
}

/* Both are pledged, so neither may be judged; but somebody has to give way: the larger nonce, on either side. */
static void test_of_two_pledged_boots_the_larger_nonce_gives_way(void **state)
{
    (void)state;
    for (uint64_t other = 6; other <= 9; other += 3) {
        struct stage *s = stage_new();
        struct lone_link *l = two_boots(s, 1);
        uint32_t index;
        struct id128 id = peer_id(THEIRS);
        assert_ok(replicas_intern(s->w.node->replicas, &id, &index));
        trail_set_pledged(replicas_trail(s->w.node->replicas, index), 3);
        say_trail(s, l, &(struct trail_item){ .replica = id, .known = 6 },
                  (struct boots){ { { 0, 7 }, { 2, other } }, 1, 3 });
        assert_int_equal(s->w.notices[NOTICE_SPLIT], other < 8);
        if (other > 8) expect_trail(l, id, 4, other, false);
        assert_int_equal(known_of(s, id), other < 8 ? 2 : 4);
        stage_free(s);
    }
}

/* --- the same id in HELLO --- */

static struct lone_link *copy_says_hello(struct stage *s)
{
    struct lone_link *l;
    struct frame frame;
    struct hello hello = peer_hello("copy:1", 1), answer;
    assert_ok(lone_accept(&s->w, &l));
    assert_ok(lone_say_hello(&s->w, l, &hello));
    assert_int_equal(s->w.notices[NOTICE_CLONE], 1);
    assert_true(lone_hears(l, FRAME_HELLO, &frame)); /* so that it sees the same */
    assert_ok(hello_read(frame.body, &answer));
    assert_true(id128_equal(&answer.replica, &hello.replica));
    return l;
}

static void test_a_copy_met_before_anything_was_written_splits_at_once(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    copy_says_hello(s);
    expect_own(s, part_of(1, MINE));
    assert_true(is_over(s->good));
    assert_ok(lone_meet(&s->w, "good:1", 2, &s->good));
    check_serves(s);
    stage_free(s);
}

static void test_a_copy_that_wrote_nothing_gives_way_and_this_node_stays(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    check_serves(s);
    struct lone_link *l = copy_says_hello(s);
    expect_trail(l, peer_id(1), 1, 0, false);
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(1), .known = 1 }, (struct boots){ { { 0, MINE } }, 0, 0 });
    assert_true(is_over(l)); /* that is all there was to say */
    expect_own(s, peer_id(1));
    check_serves(s);
    stage_free(s);
}

static void test_a_copy_of_an_older_state_that_wrote_on_makes_both_give_way(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    check_serves(s);
    struct lone_link *l = copy_says_hello(s);
    say_trail(s, l, &(struct trail_item){ .replica = peer_id(1), .known = 3 },
              (struct boots){ { { 0, OTHER } }, 0, 0 });
    expect_own(s, part_of(1, MINE));
    assert_ok(lone_meet(&s->w, "good:1", 2, &s->good));
    check_serves(s);
    stage_free(s);
}

/* --- when a boot becomes firm --- */

/* Time passes; both peers are there. */
static void live(struct stage *s, struct lone_link *other, uint64_t ms)
{
    for (uint64_t past = 0; past < ms; past += 500) {
        assert_ok(lone_say(&s->w, s->good, FRAME_PING, bytes_of("12345678", 8)));
        if (other) assert_ok(lone_say(&s->w, other, FRAME_PING, bytes_of("12345678", 8)));
        assert_ok(lone_run_ms(&s->w, 500));
    }
}

#define MEETING_MS 45000u /* longer than a node waits for others to turn up */

static struct digest_item claim_of_own(struct stage *s, uint64_t known, uint64_t pledged)
{
    return (struct digest_item){
        .replica = own_id(s), .known = known, .durable = known, .nonce = MINE, .firm = 0, .pledged = pledged
    };
}

static void test_a_boot_is_firm_once_every_member_has_pledged(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    check_serves(s);
    say_claim(s, s->good, claim_of_own(s, 1, 0));
    live(s, l, 30000);
    assert_int_equal(own_trail(s)->pledged, 0); /* others may still turn up */
    live(s, l, 15000);
    assert_true(own_trail(s)->pledged == 1 && own_trail(s)->firm == 0); /* the node itself, on its disk */
    assert_true(s->w.append_of[RECORD_PLEDGES] > 0);
    say_claim(s, s->good, claim_of_own(s, 1, 1));
    live(s, l, 5000);
    assert_int_equal(own_trail(s)->firm, 0); /* bad:1 could still split it off */
    say_claim(s, l, claim_of_own(s, 1, 1));
    live(s, l, 3000);
    assert_int_equal(own_trail(s)->firm, 1);
    struct frame frame;
    struct block_reader reader;
    uint64_t firm = 0;
    assert_ok(count_one(&s->w, "ours"));
    assert_ok(lone_run_ms(&s->w, 50));
    while (lone_hears(s->good, FRAME_BLOCK, &frame)) {
        assert_ok(block_open(&reader, frame.body));
        firm = reader.head.firm;
    }
    assert_int_equal(firm, 1);
    stage_free(s);
}

static void test_a_member_that_was_not_compared_keeps_every_boot_loose(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct buffer body = { 0 };
    check_serves(s);
    member_put(&body, &(struct member_item){ .node = bytes_of_text("silent:1") });
    assert_ok(lone_say_buffer(&s->w, s->good, FRAME_MEMBERS, &body));
    say_claim(s, s->good, claim_of_own(s, 1, 1));
    live(s, NULL, 2 * MEETING_MS);
    assert_true(own_trail(s)->pledged == 0 && own_trail(s)->firm == 0);
    struct lone_link *silent;
    assert_ok(lone_meet(&s->w, "silent:1", 4, &silent));
    live(s, silent, 3000);
    assert_int_equal(own_trail(s)->pledged, 1);
    stage_free(s);
}

static void test_a_node_without_members_has_nobody_to_vouch_for_its_disk(void **state)
{
    (void)state;
    struct stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_ok(lone_start(&s->w, LONE_NAME, NULL, 1));
    assert_ok(count_one(&s->w, "ours"));
    assert_ok(lone_run_ms(&s->w, 4 * MEETING_MS));
    assert_true(own_trail(s)->pledged == 0 && own_trail(s)->firm == 0);
    stage_free(s);
}

static void test_what_a_peer_has_pledged_is_pledged_here_and_told_once_it_is_on_disk(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = two_boots(s, 1);
    struct digest_item claim = { .replica = peer_id(THEIRS), .known = 4, .durable = 4, .nonce = 8 };
    struct id128 id = peer_id(THEIRS);
    const struct trail *trail = replicas_trail(s->w.node->replicas, replicas_find(s->w.node->replicas, &id));
    claim.firm = 1;
    claim.pledged = 3;
    struct buffer body = { 0 };
    struct frame frame;
    while (lone_hears(s->good, FRAME_DIGEST, &frame)) continue;
    digest_begin(&body, true);
    digest_put(&body, &claim);
    struct shared *said = frame_new(FRAME_DIGEST, buffer_view(&body));
    assert_non_null(said);
    struct event event = { .kind = EVENT_LINK_BYTES, .as.link = { .link = l->id } };
    event.as.link.bytes = bytes_of(said->ptr, said->len);
    assert_ok(lone_step(&s->w, event));
    shared_drop(said);
    buffer_release(&body);
    assert_int_equal(trail->pledged, 1); /* not before it is on disk */
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_TICK }));
    assert_true(trail->pledged == 3 && trail->firm == 1);
    assert_int_equal(s->w.append_of[RECORD_PLEDGES], s->w.appended);
    bool whole, told = false;
    struct reader items;
    struct digest_item item;
    while (lone_hears(s->good, FRAME_DIGEST, &frame)) {
        assert_ok(digest_read(frame.body, &whole, &items));
        while (digest_next(&items, &item)) told |= id128_equal(&item.replica, &id) && item.pledged == 3;
    }
    assert_true(told);
    say_trail(s, l, &(struct trail_item){ .replica = id, .known = 6 }, (struct boots){ { { 0, 7 }, { 2, 9 } }, 1, 1 });
    assert_int_equal(s->w.notices[NOTICE_SPLIT], 0); /* it keeps its word */
    expect_trail(l, id, 4, 9, false);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_behind_its_own_claims_goes_on_under_a_new_id),
        cmocka_unit_test(test_a_split_waits_for_what_is_under_way_and_writes_wait_for_it),
        cmocka_unit_test(test_a_copy_that_knows_what_is_on_its_way_here_proves_nothing),
        cmocka_unit_test(test_who_is_behind_in_the_middle_of_its_boot_begins_another),
        cmocka_unit_test(test_a_want_from_another_history_gets_a_trail_and_no_entries),
        cmocka_unit_test(test_a_block_of_another_history_is_refused_and_answered_with_a_trail),
        cmocka_unit_test(test_the_loose_boot_at_the_fork_is_split_off),
        cmocka_unit_test(test_a_boot_that_is_gone_is_taken_in_no_more_and_its_holders_are_told),
        cmocka_unit_test(test_a_part_that_comes_before_the_news_of_its_split_does_not_count_twice),
        cmocka_unit_test(test_histories_of_firm_boots_raise_the_alarm_once_a_link_and_stay),
        cmocka_unit_test(test_of_two_pledged_boots_the_larger_nonce_gives_way),
        cmocka_unit_test(test_a_copy_met_before_anything_was_written_splits_at_once),
        cmocka_unit_test(test_a_copy_that_wrote_nothing_gives_way_and_this_node_stays),
        cmocka_unit_test(test_a_copy_of_an_older_state_that_wrote_on_makes_both_give_way),
        cmocka_unit_test(test_a_boot_is_firm_once_every_member_has_pledged),
        cmocka_unit_test(test_a_member_that_was_not_compared_keeps_every_boot_loose),
        cmocka_unit_test(test_a_node_without_members_has_nobody_to_vouch_for_its_disk),
        cmocka_unit_test(test_what_a_peer_has_pledged_is_pledged_here_and_told_once_it_is_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
