/* SPDX-License-Identifier: Apache-2.0 */
/* protocol_stage: a node, a peer that behaves, and room for others that do not. */
#ifndef QUIPU_TEST_UNIT_PROTOCOL_STAGE_H
#define QUIPU_TEST_UNIT_PROTOCOL_STAGE_H

#include "testing.h"

#include "node/internal.h"
#include "test/unit/lone_peer.h"

struct stage {
    struct lone w;
    struct lone_link *good; /* a peer that behaves */
    int64_t counted;
};

static inline struct stage *stage_new(void)
{
    struct stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_ok(lone_start(&s->w, LONE_NAME, NULL, 1));
    assert_ok(lone_meet(&s->w, "good:1", 2, &s->good));
    return s;
}

static inline void stage_free(struct stage *s)
{
    lone_end(&s->w);
    free(s);
}

static inline struct lone_link *enemy(struct stage *s)
{
    struct lone_link *l;
    assert_ok(lone_meet(&s->w, "bad:1", 3, &l));
    assert_true(l->id != 0);
    return l;
}

static inline int64_t value(struct stage *s, const char *name)
{
    struct keyspace *k = node_keyspace(s->w.node);
    struct bytes bytes = bytes_of_text(name);
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, bytes), bytes, &seen);
    return seen.value;
}

static inline enum err count_one(struct lone *w, const char *name)
{
    struct keyspace *k = node_keyspace(w->node);
    struct bytes bytes = bytes_of_text(name);
    struct seen seen;
    enum err err = keyspace_add(k, keyspace_hash(k, bytes), bytes, 1, &seen);
    return err == ERR_OK ? lone_event(w, (struct event){ .kind = EVENT_DIRTY }) : err;
}

/* The node counts, makes it durable, and the good peer gets it. */
static inline void check_serves(struct stage *s)
{
    struct lone *w = &s->w;
    struct frame frame;
    struct block_reader reader;
    s->counted++;
    assert_ok(count_one(w, "ours"));
    assert_int_equal(value(s, "ours"), s->counted);
    assert_true(s->good->id != 0 && !s->good->closing);
    uint64_t seq = w->node->own_seq;
    assert_int_equal(replicas_known(w->node->replicas, w->node->own)->durable, seq);
    assert_ok(lone_run_ms(w, 2 * PACE_MS));
    bool came = false;
    while (lone_hears(s->good, FRAME_BLOCK, &frame)) {
        assert_ok(block_open(&reader, frame.body));
        came |= reader.head.to == seq;
    }
    assert_true(came);
    assert_ok(lone_say(w, s->good, FRAME_PING, bytes_of("12345678", 8)));
}

static inline bool is_over(const struct lone_link *l)
{
    return l->id == 0;
}

/* A delta of one counter whose net is its seq, `to`. */
static inline enum err say_block(struct stage *s, struct lone_link *l, uint8_t number, uint64_t from, uint64_t to)
{
    struct buffer body = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_DELTA, .replica = peer_id(number), .nonce = 7, .from = from };
    struct entry entry = { .seq = to, .net = (int128)to };
    block_begin(&writer, &body, &head);
    block_put(&writer, s->w.node->replicas, bytes_of_text("theirs"), &entry);
    block_end(&writer, to);
    return lone_say_buffer(&s->w, l, FRAME_BLOCK, &body);
}

static inline void digest_item(struct buffer *body, struct id128 id, uint64_t known, uint64_t durable)
{
    struct digest_item item = { .replica = id, .known = known, .durable = durable, .nonce = 9 };
    digest_put(body, &item);
}

#endif
