/* SPDX-License-Identifier: Apache-2.0 */
/* A node beside its peers: how it is made, whom it takes for itself, what it asks of its journal, and how it judges
 * others while its own disk keeps it busy. */
#include "protocol_stage.h"

static void test_options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static char long_cluster[CLUSTER_BYTES_MAX + 2];
    static const char *const no_address = "nowhere";
    struct lone w = { .now_ms = 0 };
    struct node_options good = lone_options(&w, LONE_NAME, NULL, 1), bad[11];
    memset(long_cluster, 'c', sizeof long_cluster - 1);
    for (size_t i = 0; i < 11; i++) bad[i] = good;
    bad[0].name = no_address;
    bad[1].cluster = "";
    bad[2].cluster = long_cluster;
    bad[3].heartbeat_ms = 0;
    bad[4].peer_timeout_ms = good.heartbeat_ms;
    bad[5].backoff_ms_min = 0;
    bad[6].backoff_ms_max = good.backoff_ms_min - 1;
    bad[7].nonce = 0;
    bad[8].replica = (struct id128){ { 0 } };
    bad[9].stats = NULL;
    bad[10].seeds = &no_address;
    bad[10].seeds_count = 1;
    for (size_t i = 0; i < 11; i++) assert_err(node_new(&bad[i], &w.node), ERR_INVALID);
    assert_null(w.node);
    good.heartbeat_ms = 100; /* others are asked for no longer than one heartbeat */
    assert_ok(node_new(&good, &w.node));
    assert_int_equal(w.node->members.ask_wait_ms, 100);
    node_free(w.node);
}

/* --- A name that leads back to the node itself --- */

/* The connection is made, and at its other end is this very node. */
static void answer_itself(struct lone *w, struct lone_link *l)
{
    struct hello hello = peer_hello(LONE_NAME, 1);
    hello.nonce = w->node->nonce;
    assert_ok(lone_event(w, (struct event){ .kind = EVENT_LINK_UP, .as.link.link = l->id }));
    assert_ok(lone_say_hello(w, l, &hello));
    assert_true(is_over(l));
}

static struct lone_link *dialled_link(struct lone *w)
{
    for (uint32_t i = 0; i < w->links_count; i++) {
        if (w->links[i].id % 2 == 1) return &w->links[i];
    }
    return NULL;
}

static void test_an_address_of_its_own_is_not_dialled_again(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    assert_ok(lone_event(&s->w, (struct event){ .kind = EVENT_SEED, .as.seed.address = "alias:1" }));
    assert_int_equal(s->w.dials, 1);
    answer_itself(&s->w, dialled_link(&s->w));
    assert_ok(lone_run_ms(&s->w, 2000));
    assert_int_equal(s->w.dials, 1);
    assert_int_equal(s->w.notices[NOTICE_RETRY], 0); /* nothing that an operator should see to */
    assert_int_equal(s->w.node->members.members_count, 1);
    stage_free(s);
}

/* It may be a name that stands for several nodes: the next attempt may reach another. */
static void test_a_configured_peer_that_is_itself_is_tried_again(void **state)
{
    (void)state;
    struct lone w = { .now_ms = 0 };
    assert_ok(lone_start(&w, LONE_NAME, "cluster:1", 1));
    assert_int_equal(w.dials, 1);
    answer_itself(&w, dialled_link(&w));
    assert_ok(lone_run_ms(&w, 2000));
    assert_true(w.dials > 1);
    assert_int_equal(w.notices[NOTICE_RETRY], 0);
    lone_end(&w);
}

static void test_a_node_that_got_another_name_does_not_take_its_record_for_a_peer(void **state)
{
    (void)state;
    struct lone before = { .now_ms = 0 }, w = { .now_ms = 0 };
    struct lone_link *l;
    struct record records[IDENTITY_RECORDS_MAX];
    uint32_t count;
    assert_ok(lone_start(&before, "old:1", NULL, 1));
    assert_ok(lone_meet(&before, LONE_NAME, 2, &l));
    assert_ok(lone_meet(&before, "other:1", 3, &l));
    identity_records(before.node, records, &count, true);
    struct node_options options = lone_options(&w, LONE_NAME, NULL, 9);
    assert_ok(node_new(&options, &w.node));
    for (uint32_t i = 0; i < count; i++) {
        assert_ok(node_recover(w.node, records[i].kind, bytes_of(records[i].bytes->ptr, records[i].bytes->len)));
        shared_drop(records[i].bytes);
    }
    assert_ok(lone_begin(&w));
    assert_int_equal(w.node->members.members_count, 1);
    assert_string_equal(w.node->members.members[0].name, "other:1");
    struct id128 same = peer_id(1);
    assert_true(id128_equal(replicas_id(w.node->replicas, w.node->own), &same));
    lone_end(&before);
    lone_end(&w);
}

/* --- Snapshots --- */

/* The step's actions of a kind: how many, and of the last one the segment. */
static uint32_t asks_for(struct lone *w, struct event event, enum action_kind kind, uint64_t *ret_segment)
{
    struct actions actions = { 0 };
    uint32_t count = 0;
    event.now_ms = w->now_ms;
    event.wall_ms = 1700000000000u;
    assert_ok(node_step(w->node, &event, &actions));
    for (uint32_t i = 0; i < actions.count; i++) {
        if (actions.items[i].kind != kind) continue;
        *ret_segment = actions.items[i].as.append.segment;
        count++;
    }
    actions_release(&actions);
    return count;
}

static struct event journal_says(uint64_t bytes, uint64_t snapshot_bytes, bool full)
{
    struct event event = { .kind = EVENT_JOURNAL };
    event.as.journal.bytes = bytes;
    event.as.journal.snapshot_bytes = snapshot_bytes;
    event.as.journal.full = full;
    return event;
}

static void test_a_snapshot_that_failed_is_tried_again_before_the_same_segment(void **state)
{
    (void)state;
    struct lone w = { .now_ms = 0 };
    uint64_t segment = 0;
    const struct event large = journal_says(SNAPSHOT_BYTES_DEFAULT, 0, false);
    const struct event failed = { .kind = EVENT_SNAPSHOT, .as.snapshot.result = ERR_FULL };
    assert_ok(lone_start(&w, LONE_NAME, NULL, 1));
    assert_int_equal(asks_for(&w, journal_says(SNAPSHOT_BYTES_DEFAULT - 1, 0, false), ACTION_ROTATE, &segment), 0);
    assert_int_equal(asks_for(&w, large, ACTION_ROTATE, &segment), 1);
    const struct event rotated = { .kind = EVENT_ROTATED, .as.rotated.segment = 7 };
    assert_int_equal(asks_for(&w, rotated, ACTION_SNAPSHOT, &segment), 1);
    assert_int_equal(segment, 7);
    assert_int_equal(asks_for(&w, failed, ACTION_NOTICE, &segment), 1);
    assert_int_equal(asks_for(&w, large, ACTION_SNAPSHOT, &segment), 0); /* not at once */
    w.now_ms += 10000;
    segment = 0;
    assert_int_equal(asks_for(&w, large, ACTION_SNAPSHOT, &segment), 1);
    assert_int_equal(segment, 7); /* another rotation would use up another segment */
    lone_end(&w);
}

/* After a large snapshot the journal may grow to twice its size; a full disk has no room for another segment. */
static void test_no_snapshot_is_begun_when_it_would_not_pay_or_not_fit(void **state)
{
    (void)state;
    struct lone w = { .now_ms = 0 };
    uint64_t segment, snapshot = SNAPSHOT_BYTES_DEFAULT;
    assert_ok(lone_start(&w, LONE_NAME, NULL, 1));
    assert_int_equal(asks_for(&w, journal_says(2 * snapshot - 1, snapshot, false), ACTION_ROTATE, &segment), 0);
    assert_int_equal(asks_for(&w, journal_says(2 * snapshot, snapshot, true), ACTION_ROTATE, &segment), 0);
    assert_int_equal(asks_for(&w, journal_says(2 * snapshot, snapshot, false), ACTION_ROTATE, &segment), 1);
    lone_end(&w);
}

/* --- Peers --- */

/* A step after which the journal does not move: what the node wants is not carried out. */
static void unserved(struct lone *w, struct event event)
{
    struct actions actions = { 0 };
    event.now_ms = w->now_ms;
    event.now_us = w->now_ms * 1000;
    assert_ok(node_step(w->node, &event, &actions));
    for (uint32_t i = 0; i < actions.count; i++) {
        if (actions.items[i].kind == ACTION_APPEND || actions.items[i].kind == ACTION_NOTICE)
            lone_carry_out(w, &actions.items[i]);
    }
    actions_release(&actions);
}

/* 3.9 MB of sound entries. */
static struct shared *huge_block(struct stage *s, uint64_t from)
{
    static const uint8_t name[NAME_BYTES_MAX];
    struct buffer body = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id(2), .nonce = 7, .from = from };
    block_begin(&writer, &body, &head);
    for (uint64_t seq = from + 1; body.len < FRAME_BODY_BYTES_MAX - 200000; seq++) {
        struct entry entry = { .seq = seq, .net = 1 };
        block_put(&writer, s->w.node->replicas, bytes_of(name, sizeof name), &entry);
    }
    block_end(&writer, writer.seq_max);
    struct shared *frame = frame_new(FRAME_BLOCK, buffer_view(&body));
    assert_non_null(frame);
    buffer_release(&body);
    return frame;
}

/* The disk stands still and so much has come in that links are not read: the silence is this node's own doing. */
static void test_nobody_is_judged_while_links_are_not_read(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone *w = &s->w;
    for (uint64_t from = 0; node_takes_bytes(w->node);) {
        struct shared *frame = huge_block(s, from);
        struct event event = { .kind = EVENT_LINK_BYTES, .as.link.link = s->good->id };
        event.as.link.bytes = bytes_of(frame->ptr, frame->len);
        unserved(w, event);
        from = w->node->syncs[replicas_count(w->node->replicas) - 1].accepted;
        shared_drop(frame);
    }
    for (int i = 0; i < 100; i++) {
        w->now_ms += 100;
        unserved(w, (struct event){ .kind = EVENT_TICK });
    }
    assert_int_equal(w->node->members.members[0].state, MEMBER_ALIVE);
    assert_int_equal(w->notices[NOTICE_PEER_DOWN], 0);
    while (w->done < w->appended) {
        w->done++;
        unserved(w, (struct event){ .kind = EVENT_SYNCED, .as.done.append = w->done });
    }
    assert_true(node_takes_bytes(w->node)); /* now silence means something again */
    for (int i = 0; i < 100; i++) {
        w->now_ms += 100;
        unserved(w, (struct event){ .kind = EVENT_TICK });
    }
    assert_int_equal(w->node->members.members[0].state, MEMBER_DOWN);
    stage_free(s);
}

/* What fuzz_events found. Nobody can know more of this very boot than its disk; whoever says so while a commit is on
 * its way makes the node split all of it off, and go on. */
static void test_who_knows_more_of_this_boot_than_its_disk_does_no_harm(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone *w = &s->w;
    struct buffer body = { 0 };
    struct trail trail = { 0 };
    struct trail_item item = { .replica = *replicas_id(w->node->replicas, w->node->own), .known = 99 };
    assert_ok(count_one(w, "ours"));
    struct keyspace *k = node_keyspace(w->node);
    struct bytes name = bytes_of_text("ours");
    struct seen seen;
    assert_ok(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen));
    unserved(w, (struct event){ .kind = EVENT_DIRTY });
    assert_ok(trail_extend(&trail, 0, w->node->nonce));
    trail_put(&body, &item, &trail);
    struct shared *frame = frame_new(FRAME_TRAIL, buffer_view(&body));
    assert_non_null(frame);
    struct event event = { .kind = EVENT_LINK_BYTES, .as.link.link = s->good->id };
    event.as.link.bytes = bytes_of(frame->ptr, frame->len);
    unserved(w, event);
    shared_drop(frame);
    trail_release(&trail);
    buffer_release(&body);
    assert_ok(lone_run_ms(w, 100));
    assert_int_equal(w->notices[NOTICE_ROLLBACK], 1);
    assert_int_equal(value(s, "ours"), 2);
    assert_ok(lone_meet(w, "good:1", 2, &s->good));
    s->counted = 2;
    check_serves(s); /* under the new id, with seqs that nothing had before */
    stage_free(s);
}

/* 59,000 bases: what came in in one frame could not go out again in one. */
static void test_an_entry_of_more_than_a_megabyte_ends_its_link(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    const uint32_t count = 59000;
    struct replicas *many;
    struct replica_base *bases = calloc(count, sizeof *bases);
    assert_non_null(bases);
    assert_ok(replicas_new(&many));
    for (uint32_t i = 0; i < count; i++) {
        struct id128 id = { { 0xbb } };
        memcpy(id.bytes + 1, &i, sizeof i);
        assert_ok(replicas_intern(many, &id, &bases[i].replica));
        bases[i].base = (struct base){ 1, 1 };
    }
    struct buffer body = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id(3), .nonce = 7 };
    struct extras extras = { .add_seq = 1, .bases = { bases, count } };
    struct entry entry = { .seq = 1, .net = 5, .extras = &extras };
    block_begin(&writer, &body, &head);
    block_put(&writer, many, bytes_of_text("theirs"), &entry);
    block_end(&writer, 1);
    assert_true(body.len > PEER_ENTRY_BYTES_MAX);
    assert_ok(lone_say_buffer(&s->w, l, FRAME_BLOCK, &body));
    assert_true(is_over(l));
    assert_int_equal(value(s, "theirs"), 0);
    free(bases);
    replicas_free(many);
    check_serves(s);
    stage_free(s);
}

/* A digest can name more replicas than a table holds: the link ends, the claims that fitted do no harm. */
static void test_a_digest_of_too_many_replicas_ends_its_link(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lone_link *l = enemy(s);
    struct buffer body = { 0 };
    digest_begin(&body, false);
    for (uint32_t i = 0; i <= REPLICAS_MAX; i++) {
        struct id128 id = { { 0xdd } };
        memcpy(id.bytes + 1, &i, sizeof i);
        digest_item(&body, id, 0, 0);
        if (i != REPLICAS_MAX / 2) continue; /* all of them are more than a frame holds */
        assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
        assert_false(is_over(l));
        digest_begin(&body, false);
    }
    assert_ok(lone_say_buffer(&s->w, l, FRAME_DIGEST, &body));
    assert_true(is_over(l));
    assert_string_equal(s->w.last[NOTICE_LINK_BROKEN].detail, "more replicas than fit");
    check_serves(s);
    stage_free(s);
}

/* --- The picture for workers --- */

static enum err take_picture(void *context)
{
    struct stage *s = context;
    const struct view *view = NULL;
    enum err err = node_view(s->w.node, s->w.now_ms, &view);
    if (err == ERR_OK) assert_int_equal(view->members_count, 2);
    view_drop(view); /* also when there is none */
    return err;
}

static void test_a_picture_is_whole_or_not_there(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    assert_int_equal(each_allocation_fails(take_picture, s), 3);
    stage_free(s);
}

/* --- The records of a journal --- */

static enum err recover_own(struct node *n, uint64_t from, uint64_t to)
{
    struct buffer body = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id(1), .nonce = 7, .from = from };
    struct entry entry = { .seq = to, .net = 1 };
    block_begin(&writer, &body, &head);
    block_put(&writer, n->replicas, bytes_of_text("ours"), &entry);
    block_end(&writer, to);
    enum err err = node_recover(n, RECORD_OWN, buffer_view(&body));
    buffer_release(&body);
    return err;
}

/* What fuzz_recovery found: the node would have given a seq twice. */
static void test_own_entries_with_a_gap_are_damage(void **state)
{
    (void)state;
    static const struct {
        uint64_t from, to;
        enum err expected;
    } second[] = { { 1, 2, ERR_OK }, { 5, 6, ERR_CORRUPT }, { 1, UINT64_MAX, ERR_CORRUPT } };
    for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
        struct lone before = { .now_ms = 0 }, w = { .now_ms = 0 };
        struct record records[IDENTITY_RECORDS_MAX];
        uint32_t count;
        assert_ok(lone_start(&before, LONE_NAME, NULL, 1));
        identity_records(before.node, records, &count, false);
        struct node_options options = lone_options(&w, LONE_NAME, NULL, 9);
        assert_ok(node_new(&options, &w.node));
        assert_err(recover_own(w.node, 0, 1), ERR_CORRUPT); /* whose it is comes first */
        for (uint32_t k = 0; k < count; k++) {
            assert_ok(node_recover(w.node, records[k].kind, bytes_of(records[k].bytes->ptr, records[k].bytes->len)));
            shared_drop(records[k].bytes);
        }
        assert_ok(recover_own(w.node, 0, 1));
        assert_ok(recover_own(w.node, second[i].from, second[i].to));
        assert_err(lone_begin(&w), second[i].expected);
        lone_end(&before);
        lone_end(&w);
    }
}

/* ... and so is a trail of its own that is ahead of its entries: the next boot would begin before the last one. */
static void test_an_own_trail_that_is_ahead_is_damage(void **state)
{
    (void)state;
    for (uint64_t start = 0; start < 2; start++) {
        struct lone before = { .now_ms = 0 }, w = { .now_ms = 0 };
        struct record records[IDENTITY_RECORDS_MAX];
        uint32_t count;
        struct buffer body = { 0 };
        struct trail trail = { 0 };
        const struct trail_item item = { .replica = peer_id(1) };
        assert_ok(lone_start(&before, LONE_NAME, NULL, 1));
        identity_records(before.node, records, &count, false);
        struct node_options options = lone_options(&w, LONE_NAME, NULL, 9);
        assert_ok(node_new(&options, &w.node));
        for (uint32_t k = 0; k < count; k++) {
            assert_ok(node_recover(w.node, records[k].kind, bytes_of(records[k].bytes->ptr, records[k].bytes->len)));
            shared_drop(records[k].bytes);
        }
        assert_ok(trail_extend(&trail, start, 5));
        trail_put(&body, &item, &trail);
        assert_ok(node_recover(w.node, RECORD_TRAILS, buffer_view(&body)));
        assert_err(lone_begin(&w), start > 0 ? ERR_CORRUPT : ERR_OK);
        trail_release(&trail);
        buffer_release(&body);
        lone_end(&before);
        lone_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_that_make_no_sense_are_refused),
        cmocka_unit_test(test_an_address_of_its_own_is_not_dialled_again),
        cmocka_unit_test(test_a_configured_peer_that_is_itself_is_tried_again),
        cmocka_unit_test(test_a_node_that_got_another_name_does_not_take_its_record_for_a_peer),
        cmocka_unit_test(test_a_snapshot_that_failed_is_tried_again_before_the_same_segment),
        cmocka_unit_test(test_no_snapshot_is_begun_when_it_would_not_pay_or_not_fit),
        cmocka_unit_test(test_nobody_is_judged_while_links_are_not_read),
        cmocka_unit_test(test_who_knows_more_of_this_boot_than_its_disk_does_no_harm),
        cmocka_unit_test(test_an_entry_of_more_than_a_megabyte_ends_its_link),
        cmocka_unit_test(test_a_digest_of_too_many_replicas_ends_its_link),
        cmocka_unit_test(test_a_picture_is_whole_or_not_there),
        cmocka_unit_test(test_own_entries_with_a_gap_are_damage),
        cmocka_unit_test(test_an_own_trail_that_is_ahead_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
