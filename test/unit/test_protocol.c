/* SPDX-License-Identifier: Apache-2.0 */
/* One real node among peers that are hostile, old or broken: whatever one of them says ends at most its own link, costs
 * bounded memory, and the node goes on counting and serving the others. */
#include "protocol_stage.h"

static uint64_t known_of(struct stage *s, uint8_t number)
{
    struct id128 id = peer_id(number);
    uint32_t index = replicas_find(s->w.node->replicas, &id);
    return index == REPLICA_NONE ? 0 : replicas_known(s->w.node->replicas, index)->known;
}

static void test_nothing_but_hello_is_understood_before_hello(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    for (int kind = FRAME_REFUSE; kind <= FRAME_LEAVE; kind++) {
        struct lone_link *l;
        assert_ok(lone_accept(&s->w, &l));
        uint32_t broken = s->w.notices[NOTICE_LINK_BROKEN], refused = s->w.notices[NOTICE_LINK_REFUSED];
        assert_ok(lone_say(&s->w, l, (enum frame_kind)kind, bytes_of("\1\n\xff", 3)));
        assert_true(is_over(l));
        assert_int_equal(l->len, 0); /* strangers are told nothing */
        assert_int_equal(s->w.notices[NOTICE_LINK_BROKEN], broken + (kind != FRAME_REFUSE));
        assert_int_equal(s->w.notices[NOTICE_LINK_REFUSED], refused + (kind == FRAME_REFUSE));
    }
    assert_string_equal(s->w.last[NOTICE_LINK_REFUSED].detail, "???");
    assert_int_equal(s->w.node->members.members_count, 1);
    check_serves(s);
    stage_free(s);
}

static void test_a_frame_that_is_damaged_inside_ends_its_link_alone(void **state)
{
    (void)state;
    static const uint8_t zeroes[96];
    static const uint8_t later[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f }; /* a token of the future */
    const struct {
        enum frame_kind kind;
        struct bytes body;
    } damaged[] = {
        { FRAME_HELLO, bytes_of(zeroes, 60) },
        { FRAME_REFUSE, bytes_of_text("no") },
        { FRAME_PING, bytes_of(NULL, 0) },
        { FRAME_PING, bytes_of(zeroes, 7) },
        { FRAME_PING, bytes_of(zeroes, 9) },
        { FRAME_PONG, bytes_of(zeroes, 7) },
        { FRAME_PONG, bytes_of(later, 8) },
        { FRAME_DIGEST, bytes_of(NULL, 0) },
        { FRAME_DIGEST, bytes_of("\2", 1) },
        { FRAME_DIGEST, bytes_of(zeroes, DIGEST_ITEM_BYTES) },
        { FRAME_DIGEST, bytes_of(zeroes, 1 + DIGEST_ITEM_BYTES) },
        { FRAME_BLOCK, bytes_of(NULL, 0) },
        { FRAME_BLOCK, bytes_of(zeroes, BLOCK_HEAD_BYTES) },
        { FRAME_WANT, bytes_of(zeroes, WANT_BYTES - 1) },
        { FRAME_MEMBERS, bytes_of(zeroes, 17) },
        { FRAME_MEMBERS, bytes_of("\3a:1", 4) },
        { FRAME_ASK, bytes_of(NULL, 0) },
        { FRAME_ASK, bytes_of_text("nobody") },
        { FRAME_HEARD, bytes_of(NULL, 0) },
        { FRAME_HEARD, bytes_of_text("\2a:1") },
        { FRAME_HEARD, bytes_of_text("\1nobody") },
        { FRAME_GOODBYE, bytes_of(zeroes, 1) },
        { FRAME_LEAVE, bytes_of(zeroes, 3) },
        { FRAME_TRAIL, bytes_of(NULL, 0) },
        { FRAME_TRAIL, bytes_of(zeroes, 42) },
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        struct stage *s = stage_new();
        struct lone_link *l = enemy(s);
        assert_ok(lone_say(&s->w, l, damaged[i].kind, damaged[i].body));
        assert_true(is_over(l));
        assert_int_equal(s->w.notices[NOTICE_LINK_BROKEN], 1);
        assert_string_equal(s->w.last[NOTICE_LINK_BROKEN].node, "bad:1");
        check_serves(s);
        stage_free(s);
    }
}

static void test_what_is_damaged_outside_a_frame_ends_its_link_alone(void **state)
{
    (void)state;
    struct shared *ping = frame_new(FRAME_PING, bytes_of("12345678", 8));
    assert_non_null(ping);
    for (uint32_t bit = 0; bit < 8 * (uint32_t)ping->len; bit++) {
        struct stage *s = stage_new();
        struct lone_link *l = enemy(s);
        ping->ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_ok(lone_bytes(&s->w, l, bytes_of(ping->ptr, ping->len)));
        ping->ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct frame frame;
        assert_false(lone_hears(l, FRAME_PONG, &frame));
        assert_true(is_over(l)); /* at once, also where a longer body is promised */
        check_serves(s);
        stage_free(s);
    }
    shared_drop(ping);
}

static void test_a_second_hello_ends_the_link(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct hello hello = peer_hello("bad:1", 3);
    assert_ok(lone_say_hello(&s->w, l, &hello));
    assert_true(is_over(l));
    assert_string_equal(s->w.last[NOTICE_LINK_BROKEN].detail, "a second handshake");
    check_serves(s);
    stage_free(s);
}

static void expect_refusal(const struct hello *hello, const char *why, bool clone)
{
    struct stage *s = stage_new();
    struct lone_link *l;
    struct frame frame;
    assert_ok(lone_accept(&s->w, &l));
    assert_ok(lone_say_hello(&s->w, l, hello));
    assert_true(is_over(l));
    assert_true(lone_hears(l, FRAME_REFUSE, &frame));
    assert_int_equal(frame.body.len, strlen(why));
    assert_memory_equal(frame.body.ptr, why, frame.body.len);
    assert_string_equal(s->w.last[NOTICE_LINK_REFUSED].detail, why);
    assert_int_equal(s->w.notices[NOTICE_CLONE], clone);
    check_serves(s);
    stage_free(s);
}

static void test_who_may_not_talk_hears_why(void **state)
{
    (void)state;
    struct hello hello = peer_hello("bad:1", 3);
    hello.cluster = bytes_of_text("another");
    expect_refusal(&hello, "it belongs to another cluster", false);
    hello = peer_hello("bad:1", 3);
    hello.version = PROTOCOL_VERSION + 1;
    expect_refusal(&hello, "it speaks another version of the protocol", false);
    hello = peer_hello("bad:1", 3);
    hello.features = 1u << 7;
    expect_refusal(&hello, "it needs features that this version does not have", false);
    hello = peer_hello(LONE_NAME, 3);
    expect_refusal(&hello, "another process runs under the same node id", true);
}

static void test_a_later_version_may_say_more_in_its_hello(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l;
    struct frame frame;
    struct buffer body = { 0 };
    struct hello hello = peer_hello("later:1", 3);
    hello.version = PROTOCOL_VERSION + 1;
    hello_write(&body, &hello);
    buffer_text(&body, "and what we cannot know");
    assert_ok(lone_accept(&s->w, &l));
    assert_ok(lone_say_buffer(&s->w, l, FRAME_HELLO, &body));
    assert_true(lone_hears(l, FRAME_REFUSE, &frame)); /* a reason, not "damaged" */
    assert_int_equal(s->w.notices[NOTICE_LINK_BROKEN], 0);
    stage_free(s);
}

static void test_a_link_to_itself_is_closed_without_a_word(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l;
    struct hello hello = peer_hello(LONE_NAME, 1);
    hello.nonce = s->w.node->nonce;
    assert_ok(lone_accept(&s->w, &l));
    assert_ok(lone_say_hello(&s->w, l, &hello));
    assert_true(is_over(l));
    assert_int_equal(l->len, 0);
    assert_int_equal(s->w.notices[NOTICE_CLONE] + s->w.notices[NOTICE_LINK_REFUSED], 0);
    stage_free(s);
}

static void test_a_digest_that_cannot_be_ends_the_link(void **state)
{
    (void)state;
    for (int shape = 0; shape < 3; shape++) {
        struct stage *s = stage_new();
        struct lone_link *l = shape == 2 ? NULL : enemy(s);
        struct hello hello = peer_hello("bad:1", 3);
        struct buffer body = { 0 };
        if (!l) {
            assert_ok(lone_accept(&s->w, &l));
            assert_ok(lone_say_hello(&s->w, l, &hello));
        }
        digest_begin(&body, false); /* shape 2: changes of a digest that was never told */
        digest_item(&body, shape == 1 ? (struct id128){ 0 } : peer_id(9), 5, shape == 0 ? 6 : 5);
        assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
        assert_true(is_over(l));
        assert_string_equal(s->w.last[NOTICE_LINK_BROKEN].detail, "a damaged digest");
        check_serves(s);
        stage_free(s);
    }
}

static void test_a_peer_that_knows_more_of_us_than_we_do_is_asked_once_for_its_trail(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    for (int times = 0; times < 3; times++) {
        struct buffer body = { 0 };
        digest_begin(&body, true);
        for (uint64_t i = 0; i < 1000; i++) digest_item(&body, peer_id(1), 77 + i, 0);
        assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
    }
    struct frame frame;
    struct reader items;
    struct trail_item item;
    struct trail trail;
    assert_false(is_over(l));
    assert_true(lone_hears(l, FRAME_TRAIL, &frame));
    reader_init(&items, frame.body);
    assert_ok(trail_next(&items, &item, &trail));
    struct id128 own = peer_id(1);
    assert_true(id128_equal(&item.replica, &own) && item.asks && item.known == 0);
    trail_release(&trail);
    assert_false(lone_hears(l, FRAME_TRAIL, &frame));
    check_serves(s); /* a claim alone proves nothing */
    stage_free(s);
}

static void test_nobody_else_writes_our_entries(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    check_serves(s);
    uint64_t appended = s->w.appended;
    assert_ok(say_block(s, l, 1, 0, 100));
    assert_ok(say_block(s, l, 1, 1, 100));
    assert_int_equal(value(s, "theirs"), 0);
    assert_int_equal(s->w.appended, appended);
    check_serves(s);
    stage_free(s);
}

static void test_a_gap_is_asked_for_and_what_is_old_is_ignored(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct frame frame;
    struct reader items;
    struct want want;
    assert_ok(say_block(s, l, 3, 0, 10));
    assert_int_equal(known_of(s, 3), 10);
    assert_ok(say_block(s, l, 3, 15, 20));
    assert_int_equal(known_of(s, 3), 10);
    assert_true(lone_hears(l, FRAME_WANT, &frame));
    assert_ok(wants_read(frame.body, &items));
    assert_true(want_next(&items, &want));
    assert_int_equal(want.from, 10);
    assert_ok(say_block(s, l, 3, 15, 20)); /* impatience is not answered */
    assert_false(lone_hears(l, FRAME_WANT, &frame));
    assert_ok(say_block(s, l, 3, 10, 20));
    assert_int_equal(known_of(s, 3), 20);
    assert_int_equal(value(s, "theirs"), 20);
    uint64_t appended = s->w.appended;
    assert_ok(say_block(s, l, 3, 0, 10));
    assert_ok(say_block(s, l, 3, 10, 20));
    assert_int_equal(s->w.appended, appended);
    assert_ok(say_block(s, l, 3, 5, 25)); /* one that begins in what is known goes on */
    assert_int_equal(value(s, "theirs"), 25);
    assert_false(is_over(l));
    stage_free(s);
}

static void test_a_block_that_does_not_end_well_changes_nothing(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct buffer body = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id(3), .nonce = 7 };
    struct entry entry = { .seq = 1, .net = 5 };
    block_begin(&writer, &body, &head);
    block_put(&writer, s->w.node->replicas, bytes_of_text("theirs"), &entry);
    block_end(&writer, 1);
    buffer_patch_u32(&body, BLOCK_HEAD_BYTES - 4, 2); /* it says two entries and holds one */
    assert_ok(lone_say_buffer(&s->w, l, FRAME_BLOCK, &body));
    assert_true(is_over(l));
    assert_int_equal(value(s, "theirs"), 0);
    assert_int_equal(known_of(s, 3), 0);
    check_serves(s);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_but_hello_is_understood_before_hello),
        cmocka_unit_test(test_a_frame_that_is_damaged_inside_ends_its_link_alone),
        cmocka_unit_test(test_what_is_damaged_outside_a_frame_ends_its_link_alone),
        cmocka_unit_test(test_a_second_hello_ends_the_link),
        cmocka_unit_test(test_who_may_not_talk_hears_why),
        cmocka_unit_test(test_a_later_version_may_say_more_in_its_hello),
        cmocka_unit_test(test_a_link_to_itself_is_closed_without_a_word),
        cmocka_unit_test(test_a_digest_that_cannot_be_ends_the_link),
        cmocka_unit_test(test_a_peer_that_knows_more_of_us_than_we_do_is_asked_once_for_its_trail),
        cmocka_unit_test(test_nobody_else_writes_our_entries),
        cmocka_unit_test(test_a_gap_is_asked_for_and_what_is_old_is_ignored),
        cmocka_unit_test(test_a_block_that_does_not_end_well_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
