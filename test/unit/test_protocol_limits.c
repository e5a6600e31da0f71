/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer can make a node spend, in memory, attempts and answers; and a node whose memory runs out. */
#include "protocol_stage.h"

static uint64_t input_bytes(const struct node *n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->links_count; i++) bytes += n->links[i]->input.cap;
    return bytes;
}

static void test_ten_thousand_names_are_taken_and_no_more(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    char name[32];
    for (int frame = 0; frame < 12; frame++) {
        struct buffer body = { 0 };
        for (int i = 0; i < 1000; i++) {
            int len = snprintf(name, sizeof name, "made-up-%d:1", frame * 1000 + i);
            member_put(&body, &(struct member_item){ .node = bytes_of(name, (size_t)len) });
        }
        assert_ok(lone_say_buffer(&s->w, l, FRAME_MEMBERS, &body));
        assert_ok(lone_say(&s->w, s->good, FRAME_PING, bytes_of("12345678", 8)));
    }
    const struct membership *m = &s->w.node->members;
    assert_int_equal(m->members_count, MEMBERS_MAX);
    assert_true(m->members_cap <= 2 * MEMBERS_MAX && m->contacts_count <= CONTACTS_MAX);
    uint32_t dials = s->w.dials;
    assert_ok(lone_run_ms(&s->w, 2500));
    assert_in_range(s->w.dials - dials, 1, 4 * DIALS_PER_SECOND_MAX);
    check_serves(s);
    struct lone_link *late;
    struct frame frame;
    assert_ok(lone_meet(&s->w, "late:1", 5, &late));
    assert_true(lone_hears(late, FRAME_REFUSE, &frame));
    assert_true(bytes_equal(frame.body, bytes_of_text("there are too many members")));
    stage_free(s);
}

static void test_huge_wants_are_answered_once(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    for (int i = 0; i < 20; i++) check_serves(s);
    assert_ok(say_block(s, l, 3, 0, 10));
    struct buffer body = { 0 };
    for (uint32_t i = 0; i < FRAME_BODY_BYTES_MAX / WANT_BYTES; i++) {
        struct want want = { .replica = peer_id((uint8_t)(i % 4)), .from = i % 3 == 0 ? UINT64_MAX - i : i % 7 };
        if (i % 5 == 0) want.replica.bytes[9] = (uint8_t)i; /* nobody's */
        want_put(&body, &want);
    }
    size_t before = l->len;
    assert_ok(lone_say_buffer(&s->w, l, FRAME_WANT, &body));
    assert_ok(lone_run_ms(&s->w, 1000));
    assert_in_range(l->len - before, 1, 10000);
    assert_false(is_over(l));
    check_serves(s);
    stage_free(s);
}

static void test_bytes_may_come_one_by_one(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l;
    struct hello hello = peer_hello("slow:1", 4);
    struct buffer body = { 0 }, stream = { 0 };
    hello_write(&body, &hello);
    struct shared *frames[2] = { frame_new(FRAME_HELLO, buffer_view(&body)),
                                 frame_new(FRAME_DIGEST, bytes_of("\1", 1)) };
    for (int i = 0; i < 2; i++) {
        assert_non_null(frames[i]);
        buffer_bytes(&stream, bytes_of(frames[i]->ptr, frames[i]->len));
        shared_drop(frames[i]);
    }
    buffer_release(&body);
    assert_ok(lone_accept(&s->w, &l));
    for (size_t i = 0; i < stream.len; i++) assert_ok(lone_bytes(&s->w, l, bytes_of(stream.ptr + i, 1)));
    buffer_release(&stream);
    assert_ok(say_block(s, l, 4, 0, 6));
    assert_int_equal(value(s, "theirs"), 6);
    check_serves(s);
    stage_free(s);
}

static void test_two_hundred_silent_links_do_not_last(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *links[200];
    uint32_t open = 0;
    for (int i = 0; i < 200; i++) {
        assert_ok(lone_accept(&s->w, &links[i]));
        open += !is_over(links[i]);
    }
    assert_int_equal(open, HANDSHAKES_MAX);
    check_serves(s);
    for (int i = 0; i < 7; i++) {
        assert_ok(lone_say(&s->w, s->good, FRAME_PING, bytes_of("12345678", 8)));
        assert_ok(lone_run_ms(&s->w, 500));
    }
    assert_int_equal(s->w.node->links_count, 1);
    struct lone_link *late; /* there is room for others again */
    assert_ok(lone_meet(&s->w, "late:1", 5, &late));
    assert_false(is_over(late));
    check_serves(s);
    stage_free(s);
}

static void test_a_stranger_gets_no_memory_for_a_long_frame(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    static uint8_t bytes[FRAME_HEAD_BYTES + (3u << 20)];
    frame_seal(bytes, FRAME_BLOCK, bytes_of(bytes + FRAME_HEAD_BYTES, sizeof bytes - FRAME_HEAD_BYTES));
    const size_t shown = 3 * HANDSHAKE_BYTES_MAX; /* of it, the front part */
    uint32_t over = 0;
    for (int i = 0; i < 100; i++) {
        struct lone_link *l;
        assert_ok(lone_accept(&s->w, &l));
        for (size_t at = 0; at < shown && !is_over(l); at += 1000)
            assert_ok(lone_bytes(&s->w, l, bytes_of(bytes + at, shown - at < 1000 ? shown - at : 1000)));
        over += is_over(l);
    }
    assert_int_equal(over, 100);
    assert_true(input_bytes(s->w.node) < 100000);
    struct lone_link *member = enemy(s); /* who has said who it is may send long frames */
    assert_ok(lone_bytes(&s->w, member, bytes_of(bytes, shown)));
    assert_false(is_over(member));
    check_serves(s);
    stage_free(s);
}

static void test_who_asks_and_does_not_read_is_not_answered_for_ever(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    l->deaf = true;
    for (int i = 0; i < 40000; i++) {
        assert_ok(lone_say(&s->w, l, FRAME_PING, bytes_of("12345678", 8)));
        assert_ok(lone_say(&s->w, l, FRAME_ASK, bytes_of_text("somebody:1")));
    }
    assert_false(is_over(l));
    assert_true(l->unread <= LINK_ANSWERS_BYTES_MAX + 1000);
    check_serves(s);
    l->deaf = false; /* it reads at last, and is answered again */
    assert_ok(lone_say(&s->w, l, FRAME_PING, bytes_of("12345678", 8)));
    size_t before = l->len;
    assert_ok(lone_say(&s->w, l, FRAME_PING, bytes_of("12345678", 8)));
    assert_true(l->len > before);
    stage_free(s);
}

static void test_who_leaves_too_much_unread_loses_its_link(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    l->deaf = true;
    l->unread += LINK_UNREAD_BYTES_MAX; /* as if sent */
    link_find(s->w.node, l->id)->outstanding += LINK_UNREAD_BYTES_MAX + 1;
    assert_ok(lone_run_ms(&s->w, 200));
    assert_true(is_over(l));
    check_serves(s);
    stage_free(s);
}

/* Digests name 65,535 replicas; then comes a block whose entry names more. Nothing of it may reach the journal. */
static void test_more_replicas_than_fit_end_the_link_that_names_them(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct id128 id = { { 0xdd } };
    struct buffer body = { 0 };
    digest_begin(&body, true);
    for (uint32_t i = replicas_count(s->w.node->replicas); i <= REPLICAS_MAX; i++) {
        memcpy(id.bytes + 1, &i, sizeof i);
        digest_item(&body, id, 0, 0);
    }
    assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
    assert_false(is_over(l));
    assert_int_equal(replicas_count(s->w.node->replicas), REPLICAS_MAX + 1);
    struct replicas *more;
    uint32_t foreign;
    assert_ok(replicas_new(&more));
    struct id128 stranger = { { 0xcc } };
    assert_ok(replicas_intern(more, &stranger, &foreign));
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = id, .nonce = 7 };
    struct replica_base base = { foreign, { 4, 4 } };
    struct extras extras = { .add_seq = 1, .bases = { &base, 1 } };
    struct entry entry = { .seq = 1, .net = 5, .extras = &extras };
    block_begin(&writer, &body, &head);
    block_put(&writer, more, bytes_of_text("theirs"), &entry);
    block_end(&writer, 1);
    uint64_t appended = s->w.appended;
    assert_ok(block_check(buffer_view(&body)));
    assert_ok(lone_say_buffer(&s->w, l, FRAME_BLOCK, &body));
    assert_true(is_over(l));
    assert_string_equal(s->w.last[NOTICE_LINK_BROKEN].detail, "more replicas than fit");
    assert_int_equal(s->w.appended, appended);
    replicas_free(more);
    check_serves(s);
    stage_free(s);
}

/* --- memory runs out --- */

static uint32_t forgiven; /* requests whose failure the node could do without */

/* What one side has sent goes to the other. */
static enum err exchange(struct lone_link *out, struct lone *to, struct lone_link *in)
{
    size_t start = out->read;
    out->read = out->len;
    return out->len > start ? lone_bytes(to, in, bytes_of(out->sent + start, out->len - start)) : ERR_OK;
}

static enum err two_nodes_meet(struct lone *a, struct lone *b)
{
    enum err err = lone_start(a, "a:1", "b:1", 1);
    if (err == ERR_OK) err = lone_start(b, "b:1", NULL, 2);
    if (err != ERR_OK) return err;
    if (a->dials != 1) return ERR_INVALID;
    struct lone_link *in, *out = &a->links[0];
    err = lone_event(a, (struct event){ .kind = EVENT_LINK_UP, .as.link = { .link = out->id } });
    if (err == ERR_OK) err = lone_accept(b, &in);
    for (int i = 0; err == ERR_OK && i < 100; i++) {
        if (i < 90) err = count_one(a, "from a");
        if (err == ERR_OK && i < 90) err = count_one(b, i % 2 ? "from b" : "from a");
        if (err == ERR_OK) err = lone_run_ms(a, 20);
        if (err == ERR_OK) err = exchange(out, b, in);
        if (err == ERR_OK) err = lone_run_ms(b, 20);
        if (err == ERR_OK) err = exchange(in, a, out);
    }
    return err;
}

static int64_t value_of(struct lone *w, const char *name)
{
    struct keyspace *k = node_keyspace(w->node);
    struct bytes bytes = bytes_of_text(name);
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, bytes), bytes, &seen);
    return seen.value;
}

static enum err story_of_two_nodes(void *context)
{
    struct lone *both = context;
    memset(both, 0, 2 * sizeof *both);
    enum err err = two_nodes_meet(&both[0], &both[1]);
    for (int i = 0; err == ERR_OK && i < 2; i++) {
        assert_int_equal(value_of(&both[i], "from a"), 135);
        assert_int_equal(value_of(&both[i], "from b"), 45);
    }
    lone_end(&both[0]);
    lone_end(&both[1]);
    return err;
}

/* Only recent places may go without: they are forgotten, and the story ends well all the same. */
static void test_whichever_allocation_fails_the_step_says_so(void **state)
{
    (void)state;
    struct lone *both = calloc(2, sizeof *both);
    assert_non_null(both);
    uint64_t nth = 1, requests;
    do {
        mem_fail_at(nth);
        enum err err = story_of_two_nodes(both);
        requests = mem_requests();
        mem_fail_at(0);
        if (requests < nth) assert_ok(err);
        if (requests >= nth && err == ERR_OK)
            forgiven++;
        else if (requests >= nth)
            assert_err(err, ERR_NOMEM);
    } while (requests >= nth++);
    assert_true(requests > 1000);
    assert_in_range(forgiven, 1, 12);
    free(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_names_are_taken_and_no_more),
        cmocka_unit_test(test_huge_wants_are_answered_once),
        cmocka_unit_test(test_bytes_may_come_one_by_one),
        cmocka_unit_test(test_two_hundred_silent_links_do_not_last),
        cmocka_unit_test(test_a_stranger_gets_no_memory_for_a_long_frame),
        cmocka_unit_test(test_who_asks_and_does_not_read_is_not_answered_for_ever),
        cmocka_unit_test(test_who_leaves_too_much_unread_loses_its_link),
        cmocka_unit_test(test_more_replicas_than_fit_end_the_link_that_names_them),
        cmocka_unit_test(test_whichever_allocation_fails_the_step_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
