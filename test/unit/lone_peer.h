/* SPDX-License-Identifier: Apache-2.0 */
/* lone_peer: scripted peers of a lone node: they say what the test makes them say, whether it is right or not. */
#ifndef QUIPU_TEST_UNIT_LONE_PEER_H
#define QUIPU_TEST_UNIT_LONE_PEER_H

#include "count/block.h"
#include "test/unit/lone_node.h"

#include <stdio.h>

#define LONE_NAME "m:1"
#define LONE_CLUSTER "quipu"

static inline struct id128 peer_id(uint8_t number)
{
    return (struct id128){ { 0xee, number } };
}

/* seed: kept where it is until the node was made; NULL is none. */
static inline struct node_options lone_options(struct lone *w, const char *name, const char *const *seed,
                                               uint8_t number)
{
    return (struct node_options){ .name = name,
                                  .cluster = LONE_CLUSTER,
                                  .seeds = seed,
                                  .seeds_count = seed ? 1 : 0,
                                  .heartbeat_ms = 500,
                                  .peer_timeout_ms = 3000,
                                  .backoff_ms_min = 500,
                                  .backoff_ms_max = 30000,
                                  .durability_sync = true,
                                  .shards = 2,
                                  .hash_seed = number,
                                  .random_seed = number,
                                  .nonce = 0x1000u + number,
                                  .replica = peer_id(number),
                                  .stats = &w->stats };
}

/* The node was made, and perhaps recovered: starts it. */
static inline enum err lone_begin(struct lone *w)
{
    w->now_ms = 5000;
    struct actions actions = { 0 };
    enum err err = node_start(w->node, w->now_ms, 1700000000000u, &actions);
    err = lone_done(w, &actions, err);
    return err == ERR_OK ? lone_event(w, (struct event){ .kind = EVENT_TICK }) : err;
}

/* Starts a node of that name; no seed: NULL. */
static inline enum err lone_start(struct lone *w, const char *name, const char *seed, uint8_t number)
{
    struct node_options options = lone_options(w, name, seed ? &seed : NULL, number);
    enum err err = node_new(&options, &w->node);
    return err == ERR_OK ? lone_begin(w) : err;
}

static inline void lone_end(struct lone *w)
{
    node_free(w->node);
    for (uint32_t i = 0; i < w->links_count; i++) free(w->links[i].sent);
    w->node = NULL;
    w->links_count = 0;
}

static inline enum err lone_run_ms(struct lone *w, uint64_t ms)
{
    enum err err = ERR_OK;
    for (uint64_t end = w->now_ms + ms; err == ERR_OK && w->now_ms < end;) {
        uint64_t wake = node_wake_at_ms(w->node);
        w->now_ms = wake <= w->now_ms ? w->now_ms + 1 : wake > end ? end : wake;
        err = lone_event(w, (struct event){ .kind = EVENT_TICK });
    }
    return err;
}

/* A link comes in. */
static inline enum err lone_accept(struct lone *w, struct lone_link **ret_link)
{
    *ret_link = lone_link_new(w, w->link_last += 2);
    return lone_event(w, (struct event){ .kind = EVENT_LINK_UP, .as.link = { .link = w->link_last, .address = "x" } });
}

static inline enum err lone_bytes(struct lone *w, const struct lone_link *l, struct bytes bytes)
{
    if (l->id == 0 || l->closing) return ERR_OK;
    return lone_event(w, (struct event){ .kind = EVENT_LINK_BYTES, .as.link = { .link = l->id, .bytes = bytes } });
}

/* A whole, sound frame around this body, whatever that is. */
static inline enum err lone_say(struct lone *w, const struct lone_link *l, enum frame_kind kind, struct bytes body)
{
    struct shared *frame = frame_new(kind, body);
    if (!frame) return ERR_NOMEM;
    enum err err = lone_bytes(w, l, bytes_of(frame->ptr, frame->len));
    shared_drop(frame);
    return err;
}

static inline enum err lone_say_buffer(struct lone *w, const struct lone_link *l, enum frame_kind kind,
                                       struct buffer *body)
{
    enum err err = buffer_end(body);
    if (err == ERR_OK) err = lone_say(w, l, kind, buffer_view(body));
    buffer_release(body);
    return err;
}

static inline struct hello peer_hello(const char *name, uint8_t number)
{
    return (struct hello){ .version = PROTOCOL_VERSION,
                           .cluster = bytes_of_text(LONE_CLUSTER),
                           .node = bytes_of_text(name),
                           .replica = peer_id(number),
                           .nonce = 0x2000u + number };
}

static inline enum err lone_say_hello(struct lone *w, const struct lone_link *l, const struct hello *hello)
{
    struct buffer body = { 0 };
    hello_write(&body, hello);
    return lone_say_buffer(w, l, FRAME_HELLO, &body);
}

/* A peer that has said who it is and that it knows nothing. */
static inline enum err lone_meet(struct lone *w, const char *name, uint8_t number, struct lone_link **ret_link)
{
    struct hello hello = peer_hello(name, number);
    enum err err = lone_accept(w, ret_link);
    if (err == ERR_OK) err = lone_say_hello(w, *ret_link, &hello);
    return err == ERR_OK ? lone_say(w, *ret_link, FRAME_DIGEST, bytes_of("\1", 1)) : err;
}

/* The next frame of this kind that the node sent; those before it are passed over. False if there is none. */
static inline bool lone_hears(struct lone_link *l, enum frame_kind kind, struct frame *ret_frame)
{
    size_t len;
    while (frame_read(bytes_of(l->sent + l->read, l->len - l->read), ret_frame, &len) == ERR_OK) {
        l->read += len;
        if (ret_frame->kind == kind) return true;
    }
    return false;
}

#endif
