/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/played.h"

#include "cluster/frame.h"
#include "cluster/message.h"
#include "count/block.h"
#include "count/replicas.h"

#include <stdio.h>
#include <stdlib.h>

#define HEARTBEAT_MS 500u
#define PACE_MS 10u
#define ROUND_MS 1000u
#define CHANGES_MAX 16u /* a block goes out earlier when it has so many entries */

struct played {
    uint64_t nonce, peer_nonce, ping_ms, block_ms, round_ms;
    uint64_t seq, sent;      /* given; sent in blocks */
    uint64_t claimed, round; /* what the others know by now, and what they told in the last round */
    uint64_t heard, told;    /* of the measured node's replica */
    bool talks;
    struct wire *wire;
    uint32_t changes[CHANGES_MAX], changes_count;
    uint32_t nets[MESH_COUNTERS];
};

struct played *played_new(struct mesh *m, uint32_t node)
{
    struct played *p = calloc(1, sizeof *p);
    REQUIRE(p && node > 0);
    p->nonce = random_u64(&m->random) | 1;
    p->ping_ms = m->now_ms + random_below(&m->random, HEARTBEAT_MS);
    p->round_ms = m->now_ms + random_below(&m->random, ROUND_MS);
    return p;
}

void played_free(struct played *p)
{
    free(p);
}

static void say(struct mesh *m, const struct played *p, enum frame_kind kind, struct buffer *body)
{
    REQUIRE(buffer_end(body) == ERR_OK);
    struct shared *frame = frame_new(kind, buffer_view(body));
    REQUIRE(frame);
    mesh_send(m, p->wire, 1, frame);
    buffer_release(body);
}

/* The fingerprint of entries nobody holds here: as the measured node has it, who took in the same. */
static uint64_t print_of(const struct mesh *m, uint32_t node)
{
    const struct replicas *r = node_replicas(m->spots[0].node);
    uint32_t replica = replicas_find(r, &m->spots[node].replica);
    return replica == REPLICA_NONE ? 0 : replicas_known(r, replica)->print;
}

static void put_claim(struct mesh *m, struct buffer *body, uint32_t node)
{
    struct digest_item item = { .replica = m->spots[node].replica };
    const struct played *p = m->spots[node].played;
    if (p) {
        item.known = item.durable = p->claimed;
        item.nonce = p->claimed > 0 ? p->nonce : 0;
        item.firm = item.pledged = p->claimed > 0;
        item.print = p->claimed > 0 ? print_of(m, node) : 0;
    }
    digest_put(body, &item);
}

static void greet(struct mesh *m, uint32_t node)
{
    const struct played *p = m->spots[node].played;
    struct buffer hello = { 0 }, members = { 0 }, digest = { 0 };
    char name[16];
    snprintf(name, sizeof name, "n%u:1", node);
    hello_write(&hello, &(struct hello){ .version = PROTOCOL_VERSION,
                                         .cluster = bytes_of_text("scale"),
                                         .node = bytes_of_text(name),
                                         .replica = m->spots[node].replica,
                                         .nonce = p->nonce });
    say(m, p, FRAME_HELLO, &hello);
    digest_begin(&digest, true);
    for (uint32_t i = 0; i < m->nodes; i++) {
        snprintf(name, sizeof name, "n%u:1", i);
        struct member_item item = { bytes_of_text(name), m->spots[i].replica, 0, false };
        if (i != node) member_put(&members, &item);
        put_claim(m, &digest, i);
    }
    say(m, p, FRAME_MEMBERS, &members);
    say(m, p, FRAME_DIGEST, &digest);
}

static void take_block(struct played *p, struct bytes body)
{
    struct block_reader reader;
    REQUIRE(block_open(&reader, body) == ERR_OK);
    if (reader.head.to > p->heard) p->heard = reader.head.to;
}

void played_bytes(struct mesh *m, uint32_t node, struct wire *w, const struct shared *bytes)
{
    struct played *p = m->spots[node].played;
    struct frame frame;
    struct hello hello;
    size_t len;
    REQUIRE(frame_read(bytes_of(bytes->ptr, bytes->len), &frame, &len) == ERR_OK && len == bytes->len);
    p->wire = w;
    switch (frame.kind) {
    case FRAME_HELLO:
        REQUIRE(hello_read(frame.body, &hello) == ERR_OK);
        p->peer_nonce = hello.nonce;
        greet(m, node);
        p->talks = true;
        break;
    case FRAME_PING:
        mesh_send(m, w, 1, frame_new(FRAME_PONG, frame.body));
        break;
    case FRAME_BLOCK:
        take_block(p, frame.body);
        break;
    case FRAME_WANT:
        fprintf(stderr, "n%u is asked for what it does not have\n", node);
        break;
    case FRAME_REFUSE:
    case FRAME_PONG:
    case FRAME_DIGEST:
    case FRAME_MEMBERS:
    case FRAME_ASK:
    case FRAME_HEARD:
    case FRAME_GOODBYE:
    case FRAME_TRAIL:
    case FRAME_LEAVE:
        break;
    }
}

static void send_block(struct mesh *m, uint32_t node)
{
    struct played *p = m->spots[node].played;
    struct buffer body = { 0 };
    struct block_writer w;
    char name[8];
    struct block_head head = { .kind = BLOCK_DELTA,
                               .replica = m->spots[node].replica,
                               .nonce = p->nonce,
                               .base = p->sent > 0 ? p->nonce : 0,
                               .firm = 1,
                               .pledged = 1,
                               .from = p->sent,
                               .to = p->seq };
    block_begin(&w, &body, &head);
    for (uint32_t i = 0; i < p->changes_count; i++) {
        uint64_t seq = p->seq - p->changes_count + 1 + i;
        mesh_counter_name(p->changes[i], name);
        struct entry entry = { .seq = seq, .net = p->nets[p->changes[i]] };
        block_put(&w, NULL, bytes_of_text(name), &entry);
    }
    block_end(&w, p->seq);
    if (p->talks)
        say(m, p, FRAME_BLOCK, &body);
    else
        buffer_release(&body);
    p->sent = p->seq;
    p->changes_count = 0;
    p->block_ms = m->now_ms;
}

void played_add(struct mesh *m, uint32_t node, uint32_t counter)
{
    struct played *p = m->spots[node].played;
    p->nets[counter]++;
    p->seq++;
    p->changes[p->changes_count++] = counter;
    if (p->changes_count == CHANGES_MAX) send_block(m, node);
}

static void send_confirmation(struct mesh *m, uint32_t node)
{
    struct played *p = m->spots[node].played;
    struct buffer body = { 0 };
    digest_begin(&body, false);
    digest_put(&body, &(struct digest_item){ .replica = m->spots[0].replica,
                                             .known = p->heard,
                                             .durable = p->heard,
                                             .nonce = p->peer_nonce,
                                             .firm = 1,
                                             .pledged = 1 });
    say(m, p, FRAME_DIGEST, &body);
    p->told = p->heard;
}

/* Each peer chooses one of a thousand once in a second, so somebody chooses the measured node about once in a second.
 */
static void send_round(struct mesh *m, uint32_t node)
{
    const struct played *p = m->spots[node].played;
    if (!p->talks) return;
    struct buffer body = { 0 };
    uint32_t changed = 0;
    digest_begin(&body, false);
    for (uint32_t i = 1; i < m->nodes; i++) {
        struct played *owner = m->spots[i].played;
        if (owner->claimed != owner->round) put_claim(m, &body, i);
        changed += owner->claimed != owner->round;
        owner->round = owner->claimed;
        owner->claimed = owner->sent;
    }
    if (changed > 0)
        say(m, p, FRAME_DIGEST, &body);
    else
        buffer_release(&body);
}

void played_tick(struct mesh *m, uint32_t node)
{
    struct played *p = m->spots[node].played;
    if (p->changes_count > 0 && m->now_ms - p->block_ms >= PACE_MS) send_block(m, node);
    if (!p->talks) return;
    if (p->heard > p->told && m->now_ms % PACE_MS == node % PACE_MS) send_confirmation(m, node);
    if (m->now_ms >= p->ping_ms) {
        struct buffer token = { 0 };
        buffer_u64(&token, m->now_ms * 1000);
        say(m, p, FRAME_PING, &token);
        p->ping_ms = m->now_ms + HEARTBEAT_MS;
    }
    if (node == 1 && m->now_ms >= p->round_ms) {
        send_round(m, 1 + (uint32_t)random_below(&m->random, m->nodes - 1));
        p->round_ms = m->now_ms + ROUND_MS;
    }
}
