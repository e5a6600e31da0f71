/* SPDX-License-Identifier: Apache-2.0 */
/* A node and a peer that says anything at all. Whatever it is: the node goes on counting, another peer's link stays
 * unless a replica was split, and bytes that come in small pieces mean what they mean in one.
 *
 * Input: a byte of how, a byte of how long the pieces are (0: one piece), then either the bytes as they are or, with
 * HOW_FRAMED, frames to be given their heads: kind, length (two bytes), body. */
#include "node/internal.h"
#include "test/unit/lone_peer.h"

enum how { HOW_HELLO = 1, HOW_DIGEST = 2, HOW_FRAMED = 4, HOW_LATER = 8 };

static void count_one(struct lone *w)
{
    struct keyspace *k = node_keyspace(w->node);
    struct bytes name = bytes_of_text("ours, and nobody else's");
    struct seen seen;
    REQUIRE(keyspace_add(k, keyspace_hash(k, name), name, 1, &seen) == ERR_OK);
    REQUIRE(seen.value == 1);
    REQUIRE(lone_event(w, (struct event){ .kind = EVENT_DIRTY }) == ERR_OK);
    REQUIRE(w->done >= seen.commit);
}

/* The stream that the input stands for. */
static void stream_from(struct bytes input, bool framed, struct buffer *out)
{
    if (!framed) {
        buffer_bytes(out, input);
        return;
    }
    struct reader r;
    reader_init(&r, input);
    while (reader_left(&r) >= 3) {
        enum frame_kind kind = (enum frame_kind)(reader_u8(&r) % (FRAME_LEAVE + 1));
        size_t len = reader_u16(&r);
        struct bytes body = reader_bytes(&r, len < reader_left(&r) ? len : reader_left(&r));
        struct shared *frame = frame_new(kind, body);
        REQUIRE(frame);
        buffer_bytes(out, bytes_of(frame->ptr, frame->len));
        shared_drop(frame);
    }
}

static bool has_split(const struct lone *w)
{
    return w->notices[NOTICE_ROLLBACK] + w->notices[NOTICE_SPLIT] > 0;
}

static bool has_fork(const struct lone *w)
{
    return has_split(w) || w->notices[NOTICE_HISTORIES] > 0;
}

static void play(struct lone *w, unsigned how, size_t piece, struct bytes stream)
{
    struct lone_link *good, *l;
    REQUIRE(lone_start(w, LONE_NAME, NULL, 1) == ERR_OK);
    REQUIRE(lone_meet(w, "good:1", 2, &good) == ERR_OK);
    struct hello hello = peer_hello("bad:1", 3);
    REQUIRE(lone_accept(w, &l) == ERR_OK);
    if (how & HOW_HELLO) REQUIRE(lone_say_hello(w, l, &hello) == ERR_OK);
    if (how & HOW_DIGEST) REQUIRE(lone_say(w, l, FRAME_DIGEST, bytes_of("\1", 1)) == ERR_OK);
    if (piece == 0) piece = stream.len + 1;
    for (size_t at = 0; at < stream.len; at += piece) {
        size_t len = stream.len - at < piece ? stream.len - at : piece;
        REQUIRE(lone_bytes(w, l, bytes_of(stream.ptr + at, len)) == ERR_OK);
    }
    if (how & HOW_LATER) REQUIRE(lone_run_ms(w, 1500) == ERR_OK);
    if (has_split(w)) REQUIRE(lone_meet(w, "good:1", 2, &good) == ERR_OK);
    count_one(w);
    REQUIRE(lone_say(w, good, FRAME_PING, bytes_of("12345678", 8)) == ERR_OK);
    REQUIRE(lone_run_ms(w, 20) == ERR_OK);
    struct frame frame;
    bool served = false;
    while (lone_hears(good, FRAME_BLOCK, &frame)) served |= block_check(frame.body) == ERR_OK;
    REQUIRE(served && good->id != 0);
    const struct view *view;
    REQUIRE(node_view(w->node, w->now_ms, &view) == ERR_OK);
    view_drop(view);
}

/* Where the two are after the same bytes. */
static void compare(const struct lone *a, const struct lone *b)
{
    const struct replicas *in_a = node_replicas(a->node), *in_b = node_replicas(b->node);
    /* Two histories are told apart by what has reached the journal by then. */
    if (has_fork(a) || has_fork(b)) return;
    REQUIRE(replicas_count(in_a) == replicas_count(in_b));
    for (uint32_t i = 1; i < replicas_count(in_a); i++) {
        REQUIRE(id128_equal(replicas_id(in_a, i), replicas_id(in_b, i)));
        REQUIRE(replicas_known(in_a, i)->known == replicas_known(in_b, i)->known);
        REQUIRE(replicas_known(in_a, i)->durable == replicas_known(in_b, i)->durable);
    }
    REQUIRE(keyspace_count(node_keyspace(a->node)) == keyspace_count(node_keyspace(b->node)));
    REQUIRE(a->node->own == b->node->own);
    REQUIRE(a->node->members.members_count == b->node->members.members_count);
    REQUIRE(a->notices[NOTICE_LINK_BROKEN] == b->notices[NOTICE_LINK_BROKEN]);
    REQUIRE(a->notices[NOTICE_LINK_REFUSED] == b->notices[NOTICE_LINK_REFUSED]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    static struct lone whole, split;
    struct buffer stream = { 0 };
    stream_from(bytes_of(data + 2, size - 2), (data[0] & HOW_FRAMED) != 0, &stream);
    REQUIRE(buffer_end(&stream) == ERR_OK);
    memset(&whole, 0, sizeof whole);
    memset(&split, 0, sizeof split);
    play(&whole, data[0], 0, buffer_view(&stream));
    play(&split, data[0], data[1], buffer_view(&stream));
    compare(&whole, &split);
    lone_end(&whole);
    lone_end(&split);
    buffer_release(&stream);
    return 0;
}
