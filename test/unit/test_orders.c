/* SPDX-License-Identifier: Apache-2.0 */
/* Forget and leave, and lists of members, with peers that say what the test wants them to say. */
#include "protocol_stage.h"

static void order(struct stage *s, enum order_kind kind, const char *name, uint64_t ticket)
{
    struct event event = { .kind = EVENT_ORDER };
    event.as.order.kind = kind;
    event.as.order.ticket = ticket;
    event.as.order.name = bytes_of_text(name);
    assert_ok(lone_event(&s->w, event));
}

static void expect_result(struct stage *s, uint64_t ticket, enum order_result result)
{
    assert_int_equal(s->w.order.as.ordered.ticket, ticket);
    assert_string_equal(order_result_text(s->w.order.as.ordered.result), order_result_text(result));
}

static void say_member(struct stage *s, struct lone_link *l, const struct member_item *item)
{
    struct buffer body = { 0 };
    member_put(&body, item);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_MEMBERS, &body));
}

static void say_name(struct stage *s, struct lone_link *l, const char *name, uint32_t epoch, bool left)
{
    say_member(s, l, &(struct member_item){ .node = bytes_of_text(name), .epoch = epoch, .left = left });
}

static const struct member *member_of(struct stage *s, const char *name)
{
    const struct membership *m = &s->w.node->members;
    uint32_t index = membership_find(m, bytes_of_text(name));
    assert_int_not_equal(index, MEMBER_NOBODY);
    return &m->members[index];
}

/* Time passes, and the good peer is there all the while. */
static void pass_ms(struct stage *s, uint64_t ms)
{
    for (uint64_t end = s->w.now_ms + ms; s->w.now_ms < end;) {
        uint64_t left = end - s->w.now_ms;
        assert_ok(lone_run_ms(&s->w, left < 500 ? left : 500));
        assert_ok(lone_say(&s->w, s->good, FRAME_PING, bytes_of("12345678", 8)));
    }
}

/* The last thing that was said of the name on the link since it was looked at; false: nothing. */
static bool was_told(struct lone_link *l, const char *name, struct member_item *ret_item)
{
    struct frame frame;
    bool found = false;
    while (lone_hears(l, FRAME_MEMBERS, &frame)) {
        struct reader items;
        struct member_item item;
        reader_init(&items, frame.body);
        while (member_next(&items, &item) == ERR_OK) {
            if (!bytes_equal(item.node, bytes_of_text(name))) continue;
            *ret_item = item;
            found = true;
        }
    }
    return found;
}

static uint32_t count_lists(struct lone_link *l)
{
    struct frame frame;
    uint32_t count = 0;
    while (lone_hears(l, FRAME_MEMBERS, &frame)) count++;
    return count;
}

/* --- forget --- */

static void test_an_order_answers_once_its_decision_is_on_disk(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    say_name(s, s->good, "x:1", 0, false);
    pass_ms(s, 10000);
    struct event event = { .kind = EVENT_ORDER };
    event.as.order.name = bytes_of_text("x:1");
    for (event.as.order.ticket = 1; event.as.order.ticket <= 3; event.as.order.ticket++)
        assert_ok(lone_step(&s->w, event)); /* the disk has said nothing yet */
    assert_int_equal(s->w.ordered, 0);
    assert_int_equal(s->w.appended, s->w.done + 1);
    uint64_t records = s->w.records;
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_TICK }));
    assert_int_equal(s->w.ordered, 3);
    expect_result(s, 3, ORDER_RESULT_DONE);
    assert_int_equal(s->w.records, records); /* one decision, one record */
    order(s, ORDER_FORGET, "x:1", 9);        /* to say it again is no error, and writes nothing */
    expect_result(s, 9, ORDER_RESULT_DONE);
    assert_int_equal(s->w.records, records);
    struct member_item item;
    pass_ms(s, 200);
    assert_true(was_told(s->good, "x:1", &item) && item.left && item.epoch == 0);
    stage_free(s);
}

static void test_what_cannot_be_kept_is_not_decided(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    say_name(s, s->good, "x:1", 0, false);
    pass_ms(s, 10000);
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_JOURNAL, .as.journal.full = true }));
    order(s, ORDER_FORGET, "x:1", 1);
    expect_result(s, 1, ORDER_RESULT_FULL);
    assert_int_equal(member_of(s, "x:1")->state, MEMBER_DOWN);
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_JOURNAL }));
    order(s, ORDER_FORGET, "x:1", 2);
    expect_result(s, 2, ORDER_RESULT_DONE);
    stage_free(s);
}

static void test_a_node_that_stops_answers_whoever_waits(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    assert_ok(lone_say(&s->w, s->good, FRAME_DIGEST, bytes_of("\1", 1)));
    assert_ok(count_one(&s->w, "ours")); /* which the good peer never says to have */
    order(s, ORDER_LEAVE, "", 1);
    order(s, ORDER_LEAVE, "", 2);
    assert_int_equal(s->w.ordered, 0);
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_STOP }));
    assert_int_equal(s->w.ordered, 2);
    expect_result(s, 2, ORDER_RESULT_STOPPING);
    struct frame frame;
    assert_true(lone_hears(s->good, FRAME_GOODBYE, &frame));
    order(s, ORDER_FORGET, "good:1", 3); /* too late */
    expect_result(s, 3, ORDER_RESULT_STOPPING);
    order(s, ORDER_LEAVE, "", 4);
    expect_result(s, 4, ORDER_RESULT_STOPPING);
    stage_free(s);
}

/* --- leave --- */

/* What the peer has of this node, written by the boot of that nonce. */
static void say_has(struct stage *s, struct lone_link *l, uint64_t known, uint64_t durable, uint64_t nonce)
{
    struct buffer body = { 0 };
    struct digest_item item = { .known = known, .durable = durable, .nonce = nonce };
    item.replica = *replicas_id(s->w.node->replicas, s->w.node->own);
    digest_begin(&body, true);
    digest_put(&body, &item);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
}

static void test_a_node_leaves_as_soon_as_one_peer_has_all_on_its_disk(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    say_name(s, s->good, LONE_NAME, 5, true); /* what others know of its name it says itself at the end */
    assert_ok(count_one(&s->w, "ours"));
    order(s, ORDER_LEAVE, "", 1);
    struct keyspace *k = node_keyspace(s->w.node);
    assert_err(keyspace_writes_refused(k), ERR_CLOSED);
    say_has(s, s->good, 1, 0, s->w.node->nonce); /* it knows it, and may forget it again */
    pass_ms(s, 1000);
    assert_int_equal(s->w.ordered, 0);
    say_has(s, s->good, 1, 1, s->w.node->nonce);
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_TICK }));
    expect_result(s, 1, ORDER_RESULT_DONE);
    struct frame frame;
    uint32_t epoch = 0;
    assert_true(lone_hears(s->good, FRAME_LEAVE, &frame));
    assert_ok(leave_read(frame.body, &epoch));
    assert_int_equal(epoch, 5);
    assert_true(s->w.node->stopped);
    stage_free(s);
}

/* That this node's disk went back in time, or that there are two of it: what it counted since is nowhere else. */
static void test_a_peer_that_has_another_history_of_the_node_is_no_heir(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    assert_ok(count_one(&s->w, "ours"));
    say_has(s, s->good, 100, 100, s->w.node->nonce + 1);
    order(s, ORDER_LEAVE, "", 1);
    pass_ms(s, LEAVE_WITHIN_MS + 500);
    expect_result(s, 1, ORDER_RESULT_UNSAFE);
    stage_free(s);
}

/* It has said hello there, and its hello would bring it back. */
static void test_a_handshake_under_way_hears_of_the_leaving_too(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    say_name(s, s->good, "slow:1", 0, false);
    pass_ms(s, 200);
    assert_string_equal(s->w.dialled, "slow:1");
    struct lone_link *slow = lone_link(&s->w, s->w.node->link_last);
    assert_non_null(slow);
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_LINK_UP, .as.link = { .link = slow->id } }));
    struct frame frame;
    assert_true(lone_hears(slow, FRAME_HELLO, &frame));
    order(s, ORDER_LEAVE, "", 1);
    expect_result(s, 1, ORDER_RESULT_DONE); /* nothing was counted, so nothing has to be handed over */
    assert_true(lone_hears(slow, FRAME_LEAVE, &frame));
    stage_free(s);
}

static void test_who_says_farewell_has_left_whatever_epoch_it_knows(void **state)
{
    (void)state;
    static const struct {
        uint32_t known, said, then;
    } rows[] = { { 0, 0, 0 }, { 2, 0, 2 }, { 0, 3, 3 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stage *s = stage_new();
        struct lone_link *l = enemy(s);
        struct buffer body = { 0 };
        say_name(s, s->good, "bad:1", rows[i].known, false);
        leave_write(&body, rows[i].said);
        assert_ok(lone_say_buffer(&s->w, l, FRAME_LEAVE, &body));
        assert_true(is_over(l));
        assert_int_equal(member_of(s, "bad:1")->state, MEMBER_LEFT);
        assert_int_equal(member_of(s, "bad:1")->epoch, rows[i].then);
        assert_int_equal(s->w.notices[NOTICE_PEER_LEFT], 1);
        struct member_item item;
        pass_ms(s, 200);
        assert_true(was_told(s->good, "bad:1", &item) && item.left && item.epoch == rows[i].then);
        uint32_t dials = s->w.dials;
        pass_ms(s, 40000);
        assert_int_equal(s->w.dials, dials);
        check_serves(s);
        stage_free(s);
    }
}

/* --- lists --- */

static void test_only_a_hello_brings_a_name_back_and_it_is_told_its_epoch(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    say_name(s, s->good, "bad:1", 3, true);
    say_name(s, s->good, "bad:1", 2, false);
    assert_int_equal(member_of(s, "bad:1")->state, MEMBER_LEFT);
    struct lone_link *l = enemy(s);
    assert_int_equal(member_of(s, "bad:1")->state, MEMBER_ALIVE);
    assert_int_equal(member_of(s, "bad:1")->epoch, 4);
    struct member_item item;
    assert_true(was_told(l, "bad:1", &item) && !item.left && item.epoch == 4);
    pass_ms(s, 200);
    assert_true(was_told(s->good, "bad:1", &item) && !item.left && item.epoch == 4);
    stage_free(s);
}

static void test_a_name_that_cannot_come_back_is_told_so(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l;
    struct frame frame;
    say_name(s, s->good, "bad:1", UINT32_MAX, true);
    assert_ok(lone_meet(&s->w, "bad:1", 3, &l));
    assert_true(lone_hears(l, FRAME_REFUSE, &frame));
    assert_true(bytes_equal(frame.body, bytes_of_text("a node of this name has left for good; take another one")));
    check_serves(s);
    stage_free(s);
}

static void test_what_is_said_of_the_node_itself_changes_nothing_here(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    uint64_t records = s->w.records;
    say_name(s, s->good, LONE_NAME, 7, true);
    assert_int_equal(s->w.node->members.members_count, 1);
    assert_int_equal(s->w.records, records);
    assert_false(is_over(s->good));
    check_serves(s);
    stage_free(s);
}

static void test_changes_are_told_together_and_not_to_whom_they_came_from(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct member_item item;
    char name[16];
    pass_ms(s, 500);
    (void)count_lists(s->good);
    (void)count_lists(l);
    for (int i = 0; i < 50; i++) { /* in half a second */
        snprintf(name, sizeof name, "n%d:1", i);
        say_name(s, l, name, 0, false);
        assert_ok(lone_run_ms(&s->w, 10));
    }
    assert_ok(lone_run_ms(&s->w, 200));
    assert_in_range(count_lists(s->good), 4, 7);
    assert_int_equal(count_lists(l), 0);
    for (int i = 0; i < 50; i++) say_name(s, l, "n0:1", 0, false); /* nothing new */
    assert_ok(lone_run_ms(&s->w, 500));
    assert_int_equal(count_lists(s->good), 0);
    say_name(s, s->good, "n0:1", 0, true);
    assert_ok(lone_run_ms(&s->w, 200));
    assert_true(was_told(l, "n0:1", &item) && item.left);
    stage_free(s);
}

/* The peer fills a gap that this node had, and does not know the better half. */
static void test_who_told_a_part_is_told_the_rest(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct member_item item;
    say_name(s, l, "x:1", 0, false);
    for (int i = 0; i < 20; i++) {
        pass_ms(s, 500);
        assert_ok(lone_say(&s->w, l, FRAME_PING, bytes_of("12345678", 8)));
    }
    say_name(s, l, "y:1", 0, false); /* is told to the good peer at once, so that what follows has to wait */
    (void)count_lists(s->good);
    order(s, ORDER_FORGET, "x:1", 1);
    expect_result(s, 1, ORDER_RESULT_DONE);
    say_member(s, s->good, &(struct member_item){ .node = bytes_of_text("x:1"), .replica = peer_id(77) });
    assert_false(was_told(s->good, "x:1", &item));
    pass_ms(s, 300);
    assert_true(was_told(s->good, "x:1", &item) && item.left);
    stage_free(s);
}

static void test_a_list_longer_than_any_cluster_ends_its_link(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct buffer body = { 0 };
    for (uint32_t i = 0; i <= MEMBERS_MAX; i++)
        member_put(&body, &(struct member_item){ .node = bytes_of_text("good:1") });
    assert_ok(lone_say_buffer(&s->w, l, FRAME_MEMBERS, &body));
    assert_true(is_over(l));
    check_serves(s);
    stage_free(s);
}

/* Whatever a peer says of another's link: it ends, and the other says hello again. It is not believed for long. */
static void test_a_peer_that_strikes_others_off_is_not_believed_for_long(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    say_name(s, l, "good:1", 0, true);
    assert_true(is_over(s->good));
    assert_int_equal(member_of(s, "good:1")->state, MEMBER_LEFT);
    assert_ok(lone_meet(&s->w, "good:1", 2, &s->good));
    assert_int_equal(member_of(s, "good:1")->state, MEMBER_ALIVE);
    assert_int_equal(member_of(s, "good:1")->epoch, 1);
    check_serves(s);
    stage_free(s);
}

/* --- memory runs out --- */

static enum err story_of_orders(void *context)
{
    struct lone *w = context;
    struct lone_link *peer, *other;
    memset(w, 0, sizeof *w);
    enum err err = lone_start(w, LONE_NAME, NULL, 1);
    if (err == ERR_OK) err = lone_meet(w, "a:1", 2, &peer);
    if (err == ERR_OK) err = lone_meet(w, "b:1", 3, &other);
    if (err == ERR_OK) err = lone_say(w, other, FRAME_LEAVE, bytes_of("\0\0\0\0", 4));
    if (err == ERR_OK) err = lone_say(w, peer, FRAME_GOODBYE, bytes_of(NULL, 0));
    struct event event = { .kind = EVENT_ORDER };
    event.as.order.name = bytes_of_text("a:1");
    for (int i = 0; err == ERR_OK && i < 6; i++) err = lone_step(w, event);
    if (err == ERR_OK) err = lone_event(w, (struct event){ .kind = EVENT_TICK });
    if (err == ERR_OK) err = lone_meet(w, "a:1", 2, &peer);
    event.as.order.kind = ORDER_LEAVE;
    if (err == ERR_OK) err = lone_event(w, event);
    if (err == ERR_OK && w->ordered != 7) err = ERR_INVALID;
    lone_end(w);
    return err;
}

static void test_without_memory_the_step_says_so(void **state)
{
    (void)state;
    struct lone *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_true(each_allocation_fails(story_of_orders, w) > 50);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_order_answers_once_its_decision_is_on_disk),
        cmocka_unit_test(test_what_cannot_be_kept_is_not_decided),
        cmocka_unit_test(test_a_node_that_stops_answers_whoever_waits),
        cmocka_unit_test(test_a_node_leaves_as_soon_as_one_peer_has_all_on_its_disk),
        cmocka_unit_test(test_a_peer_that_has_another_history_of_the_node_is_no_heir),
        cmocka_unit_test(test_a_handshake_under_way_hears_of_the_leaving_too),
        cmocka_unit_test(test_who_says_farewell_has_left_whatever_epoch_it_knows),
        cmocka_unit_test(test_only_a_hello_brings_a_name_back_and_it_is_told_its_epoch),
        cmocka_unit_test(test_a_name_that_cannot_come_back_is_told_so),
        cmocka_unit_test(test_what_is_said_of_the_node_itself_changes_nothing_here),
        cmocka_unit_test(test_changes_are_told_together_and_not_to_whom_they_came_from),
        cmocka_unit_test(test_who_told_a_part_is_told_the_rest),
        cmocka_unit_test(test_a_list_longer_than_any_cluster_ends_its_link),
        cmocka_unit_test(test_a_peer_that_strikes_others_off_is_not_believed_for_long),
        cmocka_unit_test(test_without_memory_the_step_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
