/* SPDX-License-Identifier: Apache-2.0 */
/* network: wires between nodes. Each direction is an ordered row of pieces; a cut holds them back, as TCP does, until
 * it is mended or the wire is given up. */
#include "sim/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define POLL_MS 20u /* how often a held-back piece is tried again */

static uint32_t latency(struct sim *s)
{
    uint32_t min = s->options.latency_ms_min, max = s->options.latency_ms_max;
    return min + (uint32_t)random_below(&s->random, (uint64_t)max - min + 1);
}

static uint32_t wire_new(struct sim *s)
{
    for (uint32_t i = 0; i < s->wires_count; i++) {
        if (!s->wires[i].used) return i;
    }
    if (s->wires_count == s->wires_cap) {
        s->wires_cap = s->wires_cap ? s->wires_cap * 2 : 64;
        s->wires = realloc(s->wires, s->wires_cap * sizeof *s->wires);
        REQUIRE(s->wires);
    }
    s->wires[s->wires_count] = (struct wire){ 0 };
    return s->wires_count++;
}

static bool find_end(struct sim *s, uint32_t node, link_id link, uint32_t *ret_wire, uint32_t *ret_end)
{
    for (uint32_t i = 0; i < s->wires_count; i++) {
        for (uint32_t end = 0; s->wires[i].used && end < 2; end++) {
            const struct wire_end *e = &s->wires[i].ends[end];
            if (e->node != node || e->link != link || e->life != s->machines[node].life || e->link == 0) continue;
            *ret_wire = i;
            *ret_end = end;
            return true;
        }
    }
    return false;
}

static void drop_pieces(struct wire_end *e)
{
    while (e->first) {
        struct piece *next = e->first->next;
        free(e->first->bytes);
        free(e->first);
        e->first = next;
    }
    e->last = NULL;
}

static void wire_release(struct wire *w)
{
    drop_pieces(&w->ends[0]);
    drop_pieces(&w->ends[1]);
    w->used = false;
}

static void end_schedule(struct sim *s, enum happening_kind kind, uint32_t wire, uint32_t end, uint64_t at_ms)
{
    const struct wire_end *e = &s->wires[wire].ends[end];
    sim_schedule(s, &(struct happening){ .at_ms = at_ms,
                                         .kind = kind,
                                         .node = e->node,
                                         .life = e->life,
                                         .wire = wire,
                                         .use = s->wires[wire].use,
                                         .end = end });
}

static uint32_t node_by_address(const struct sim *s, const char *address)
{
    unsigned node = 0;
    int used = 0;
    if (sscanf(address, "n%u:1%n", &node, &used) != 1 || address[used] != '\0') return SIM_NODES_MAX;
    return node < s->options.nodes ? node : SIM_NODES_MAX;
}

void network_connect(struct sim *s, uint32_t node, link_id link, const char *address)
{
    uint32_t wire = wire_new(s);
    uint32_t to = node_by_address(s, address);
    s->wires[wire] = (struct wire){ .used = true, .use = s->wires[wire].use + 1 };
    s->wires[wire].ends[0] = (struct wire_end){ .node = node, .life = s->machines[node].life, .link = link };
    s->wires[wire].ends[1] = (struct wire_end){ .node = to };
    uint64_t at_ms = s->now_ms + 2u * latency(s) + 1;
    bool refused = to == SIM_NODES_MAX || (!s->machines[to].up && !s->cut[node][to] && !s->cut[to][node]);
    end_schedule(s, refused ? HAPPEN_REFUSE : HAPPEN_CONNECT, wire, 0, at_ms);
}

/* Queues bytes (or the end, len 0) towards an end. */
static void wire_put(struct sim *s, uint32_t wire, uint32_t end, const uint8_t *bytes, size_t len)
{
    struct wire_end *e = &s->wires[wire].ends[end];
    struct piece *p = calloc(1, sizeof *p);
    REQUIRE(p);
    p->at_ms = s->now_ms + latency(s);
    if (p->at_ms < e->last_ms) p->at_ms = e->last_ms;
    e->last_ms = p->at_ms;
    p->len = len;
    if (len > 0) {
        p->bytes = malloc(len);
        REQUIRE(p->bytes);
        memcpy(p->bytes, bytes, len);
    }
    if (e->last)
        e->last->next = p;
    else
        e->first = p;
    e->last = p;
    end_schedule(s, HAPPEN_DELIVER, wire, end, p->at_ms);
}

void network_send(struct sim *s, uint32_t node, link_id link, struct shared *bytes)
{
    uint32_t wire, end;
    if (!find_end(s, node, link, &wire, &end) || s->wires[wire].ends[end].closed) return;
    size_t at = 0, max = s->options.piece_bytes_max;
    while (at < bytes->len) {
        size_t len = 1 + random_below(&s->random, max);
        if (len > bytes->len - at) len = bytes->len - at;
        wire_put(s, wire, !end, bytes->ptr + at, len);
        at += len;
    }
}

static void down_soon(struct sim *s, uint32_t wire, uint32_t end)
{
    struct wire_end *e = &s->wires[wire].ends[end];
    if (e->closed || e->link == 0) return;
    e->closed = true;
    drop_pieces(e);
    end_schedule(s, HAPPEN_DOWN, wire, end, s->now_ms);
}

void network_close(struct sim *s, uint32_t node, link_id link)
{
    uint32_t wire, end;
    if (!find_end(s, node, link, &wire, &end)) return;
    struct wire_end *other = &s->wires[wire].ends[!end];
    if (other->up && !other->closed) wire_put(s, wire, !end, NULL, 0);
    down_soon(s, wire, end);
}

static void node_event(struct sim *s, uint32_t node, enum event_kind kind, link_id link, struct bytes bytes,
                       const char *reason)
{
    struct event event = { .kind = kind };
    event.as.link.link = link;
    event.as.link.bytes = bytes;
    event.as.link.reason = reason;
    event.as.link.address = "somewhere";
    sim_event(s, node, &event);
}

static void happen_connect(struct sim *s, const struct happening *h)
{
    struct wire *w = &s->wires[h->wire];
    uint32_t from = w->ends[0].node, to = w->ends[1].node;
    if (w->ends[0].closed) return;
    if (s->cut[from][to] || s->cut[to][from]) { /* no answer; the node gives up by itself */
        end_schedule(s, HAPPEN_CONNECT, h->wire, 0, s->now_ms + POLL_MS);
        return;
    }
    if (!s->machines[to].up) {
        end_schedule(s, HAPPEN_REFUSE, h->wire, 0, s->now_ms);
        return;
    }
    s->link_last += 2;
    w->ends[1] = (struct wire_end){ .node = to, .life = s->machines[to].life, .link = s->link_last, .up = true };
    w->ends[0].up = true;
    end_schedule(s, HAPPEN_UP, h->wire, 1, s->now_ms);
    end_schedule(s, HAPPEN_UP, h->wire, 0, s->now_ms);
}

static void happen_deliver(struct sim *s, const struct happening *h)
{
    struct wire_end *e = &s->wires[h->wire].ends[h->end];
    struct wire_end *sender = &s->wires[h->wire].ends[!h->end];
    struct piece *p = e->first;
    if (!p || e->closed) return;
    bool is_read = node_takes_bytes(s->machines[e->node].node);
    if (s->cut[sender->node][e->node] || p->at_ms > s->now_ms || !is_read) {
        end_schedule(s, HAPPEN_DELIVER, h->wire, h->end, s->now_ms + POLL_MS);
        return;
    }
    e->first = p->next;
    if (!e->first) e->last = NULL;
    struct wire_end to = *e; /* the row of wires may move while the node works */
    if (p->len == 0) {
        down_soon(s, h->wire, h->end);
    } else {
        sender->gone += p->len;
        end_schedule(s, HAPPEN_SENT, h->wire, !h->end, s->now_ms);
        node_event(s, to.node, EVENT_LINK_BYTES, to.link, bytes_of(p->bytes, p->len), NULL);
    }
    free(p->bytes);
    free(p);
}

static void happen_sent(struct sim *s, const struct happening *h)
{
    struct wire_end *e = &s->wires[h->wire].ends[h->end];
    struct event sent = { .kind = EVENT_LINK_SENT };
    sent.as.link.link = e->link;
    sent.as.link.sent = e->gone;
    e->gone = 0;
    if (!e->closed && sent.as.link.sent > 0) sim_event(s, h->node, &sent);
}

static void wire_give_back(struct sim *s, uint32_t wire)
{
    struct wire *w = &s->wires[wire];
    for (uint32_t end = 0; end < 2; end++) {
        const struct wire_end *e = &w->ends[end];
        bool alive = e->link != 0 && e->life == s->machines[e->node].life && e->link != UINT64_MAX;
        if (alive) return;
    }
    wire_release(w);
}

void network_happen(struct sim *s, const struct happening *h)
{
    struct wire *w = &s->wires[h->wire];
    if (!w->used || w->use != h->use || w->ends[h->end].node != h->node || w->ends[h->end].life != h->life) return;
    link_id link = w->ends[h->end].link;
    switch (h->kind) {
    case HAPPEN_CONNECT:
        happen_connect(s, h);
        return;
    case HAPPEN_DELIVER:
        happen_deliver(s, h);
        return;
    case HAPPEN_SENT:
        happen_sent(s, h);
        return;
    case HAPPEN_UP:
        if (!w->ends[h->end].closed) node_event(s, h->node, EVENT_LINK_UP, link, bytes_of(NULL, 0), NULL);
        return;
    case HAPPEN_REFUSE:
        if (w->ends[0].closed) return;
        w->ends[0].link = 0;
        wire_give_back(s, h->wire);
        node_event(s, h->node, EVENT_LINK_DOWN, link, bytes_of(NULL, 0), "connection refused");
        return;
    case HAPPEN_DOWN:
        w->ends[h->end].link = 0;
        wire_give_back(s, h->wire);
        node_event(s, h->node, EVENT_LINK_DOWN, link, bytes_of(NULL, 0), NULL);
        return;
    case HAPPEN_WAKE:
    case HAPPEN_WRITE:
    case HAPPEN_SYNC:
    case HAPPEN_RETRY:
    case HAPPEN_SNAPSHOT:
        break;
    }
    require_failed("a happening of the network", __FILE__, __LINE__);
}

void network_node_gone(struct sim *s, uint32_t node, bool loud)
{
    for (uint32_t i = 0; i < s->wires_count; i++) {
        struct wire *w = &s->wires[i];
        for (uint32_t end = 0; w->used && end < 2; end++) {
            if (w->ends[end].node != node || w->ends[end].link == 0) continue;
            struct wire_end *other = &w->ends[!end];
            w->ends[end].link = 0;
            w->ends[end].closed = true;
            drop_pieces(&w->ends[end]);
            if (loud && other->up && !other->closed) wire_put(s, i, !end, NULL, 0);
            wire_give_back(s, i);
        }
    }
}

void sim_break_links(struct sim *s, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < s->wires_count; i++) {
        struct wire *w = &s->wires[i];
        if (!w->used) continue;
        bool between = (w->ends[0].node == a && w->ends[1].node == b) || (w->ends[0].node == b && w->ends[1].node == a);
        if (!between) continue;
        down_soon(s, i, 0);
        down_soon(s, i, 1);
    }
}

void network_release(struct sim *s)
{
    for (uint32_t i = 0; i < s->wires_count; i++) wire_release(&s->wires[i]);
    free(s->wires);
}
