/* SPDX-License-Identifier: Apache-2.0 */
/* A node and a peer that says anything at all. Whatever it is: the node goes on counting, another peer's link stays
 * unless a replica was split, and bytes that come in small pieces mean what they mean in one: the same answers, the
 * same notices, the same state.
 *
 * Input: a byte of how, a byte of how the stream is cut, then either the bytes as they are or, with HOW_FRAMED, frames
 * to be given their heads: kind, length (two bytes), body. The mutator takes such a list apart, and forges bodies. */
#include "fuzz/forge.h"
#include "fuzz/harness.h"
#include "node/internal.h"
#include "test/unit/lone_peer.h"

enum how { HOW_HELLO = 1, HOW_DIGEST = 2, HOW_FRAMED = 4, HOW_LATER = 8 };

#define KINDS (FRAME_LEAVE + 1) /* and 0, which is none */

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

/* Then the links begin anew. */
static bool has_split(const struct lone *w)
{
    return w->notices[NOTICE_ROLLBACK] + w->notices[NOTICE_SPLIT] > 0;
}

/* Two histories are told apart by what has reached the journal by then, which hangs on the pieces. */
static bool has_fork(const struct lone *w)
{
    return has_split(w) || w->notices[NOTICE_HISTORIES] > 0;
}

static enum frame_kind kind_of(uint8_t byte)
{
    return (enum frame_kind)(byte % KINDS);
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
        enum frame_kind kind = kind_of(reader_u8(&r));
        size_t len = reader_u16(&r);
        struct bytes body = reader_bytes(&r, len < reader_left(&r) ? len : reader_left(&r));
        struct shared *frame = frame_new(kind, body);
        REQUIRE(frame);
        buffer_bytes(out, bytes_of(frame->ptr, frame->len));
        shared_drop(frame);
    }
}

/* What was said in answer, but for that which hangs on when commits begin, and on which names were new in a step. */
static void collect_answers(struct lone_link *l, struct buffer *out)
{
    struct frame frame;
    size_t len;
    struct bytes rest = bytes_of(l->sent, l->len);
    for (; rest.len > 0 && frame_read(rest, &frame, &len) == ERR_OK; rest = bytes_of(rest.ptr + len, rest.len - len)) {
        bool hangs_on_commits = frame.kind == FRAME_DIGEST || frame.kind == FRAME_BLOCK || frame.kind == FRAME_TRAIL;
        if (!hangs_on_commits && frame.kind != FRAME_MEMBERS) buffer_bytes(out, bytes_of(rest.ptr, len));
    }
}

/* cut: in the pieces that this byte stands for; else whole. */
static void play(struct lone *w, unsigned how, const uint8_t *cut, struct bytes stream, struct buffer *answers)
{
    struct lone_link *good, *l;
    memset(w, 0, sizeof *w);
    REQUIRE(lone_start(w, LONE_NAME, NULL, 1) == ERR_OK);
    REQUIRE(lone_meet(w, "friend:1", 2, &good) == ERR_OK);
    struct hello hello = peer_hello("bad:1", 3);
    REQUIRE(lone_accept(w, &l) == ERR_OK);
    if (how & HOW_HELLO) REQUIRE(lone_say_hello(w, l, &hello) == ERR_OK);
    if (how & HOW_DIGEST) REQUIRE(lone_say(w, l, FRAME_DIGEST, bytes_of("\1", 1)) == ERR_OK);
    struct cuts cuts;
    cuts_init(&cuts, cut ? *cut : 0, stream.len);
    while (cuts.at < stream.len) {
        size_t at = cuts.at, end = cut ? cuts_next(&cuts) : (cuts.at = stream.len);
        REQUIRE(lone_bytes(w, l, fence_copy(0, bytes_of(stream.ptr + at, end - at))) == ERR_OK);
    }
    collect_answers(l, answers);
    if (how & HOW_LATER) REQUIRE(lone_run_ms(w, 1500) == ERR_OK);
    if (has_split(w)) REQUIRE(lone_meet(w, "friend:1", 2, &good) == ERR_OK);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    static struct lone whole, split;
    struct buffer stream = { 0 }, answers[2] = { { 0 }, { 0 } };
    stream_from(bytes_of(data + 2, size - 2), (data[0] & HOW_FRAMED) != 0, &stream);
    REQUIRE(buffer_end(&stream) == ERR_OK);
    play(&whole, data[0], NULL, buffer_view(&stream), &answers[0]);
    play(&split, data[0], &data[1], buffer_view(&stream), &answers[1]);
    if (!has_fork(&whole) && !has_fork(&split)) {
        REQUIRE(bytes_equal(buffer_view(&answers[0]), buffer_view(&answers[1])));
        REQUIRE(node_state(whole.node) == node_state(split.node));
        REQUIRE(memcmp(whole.notices, split.notices, sizeof whole.notices) == 0);
    }
    lone_end(&whole);
    lone_end(&split);
    buffer_release(&stream);
    buffer_release(&answers[0]);
    buffer_release(&answers[1]);
    return 0;
}

static void put_frame(struct buffer *out, uint8_t kind, struct bytes body)
{
    if (body.len > UINT16_MAX) body.len = UINT16_MAX;
    buffer_u8(out, kind);
    buffer_u16(out, (uint16_t)body.len);
    buffer_bytes(out, body);
}

static void put_forged(struct random *random, struct buffer *out)
{
    struct buffer body = { 0 };
    enum frame_kind kind = (enum frame_kind)(1 + random_below(random, FRAME_LEAVE));
    if (random_below(random, 3) == 0) kind = FRAME_BLOCK;
    forge_body(random, kind, &body);
    put_frame(out, (uint8_t)kind, buffer_view(&body));
    buffer_release(&body);
}

/* Copies the frames: each may be kept, dropped, told twice, changed, or have a forged one before it. */
static void vary(struct random *random, struct bytes frames, struct buffer *out)
{
    struct reader r;
    reader_init(&r, frames);
    while (reader_left(&r) >= 3) {
        uint8_t kind = reader_u8(&r);
        size_t len = reader_u16(&r);
        struct buffer body = { 0 };
        buffer_bytes(&body, reader_bytes(&r, len < reader_left(&r) ? len : reader_left(&r)));
        uint64_t dice = random_below(random, 16);
        if (dice == 0) put_forged(random, out);
        if (dice == 1) mutate_buffer(&body);
        if (dice != 2) put_frame(out, kind, buffer_view(&body));
        if (dice == 3) put_frame(out, kind, buffer_view(&body));
        buffer_release(&body);
    }
    if (random_below(random, 3) == 0) put_forged(random, out);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct random random;
    random_init(&random, seed);
    bool framed = size >= 2 && (data[0] & HOW_FRAMED);
    if (random_below(&random, framed ? 6 : 2) == 0) return LLVMFuzzerMutate(data, size, size_max);
    struct buffer out = { 0 };
    buffer_u8(&out, framed && random_below(&random, 8) > 0 ? data[0] : (uint8_t)(random_u64(&random) | HOW_FRAMED));
    buffer_u8(&out, framed ? data[1] : (uint8_t)random_u64(&random));
    vary(&random, framed ? bytes_of(data + 2, size - 2) : bytes_of(NULL, 0), &out);
    return mutator_finish(&out, data, size_max);
}
