/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define POLL_MS 20u /* how often an unanswered dial, or a piece that is not read, is tried again */
#define RESEND_MS 200u
#define RESENDS_MAX 8u
#define SENT_SOON_BYTES (16u << 10) /* word of more than this having left comes at once, of less a little later */
#define SENT_LATE_MS 15u
#define SOCKET_BYTES (64u << 10)
#define LINK_WIRE_BITS 24u

static bool strikes(struct sim *s, uint32_t per_10000)
{
    return per_10000 > 0 && random_below(&s->random, 10000) < per_10000;
}

static void count_fault(struct sim *s, enum fault fault)
{
    s->tally->faults[fault]++;
}

/* A lost packet comes after a resend, or after several. */
static uint64_t latency(struct sim *s, uint32_t from, uint32_t to)
{
    const struct weather *w = &s->network.weather;
    const struct path *path = network_path(s, from, to);
    uint32_t min = s->options.latency_ms_min, max = s->options.latency_ms_max;
    uint64_t ms = min + random_below(&s->random, (uint64_t)max - min + 1) + path->slow_ms;
    uint64_t resend = RESEND_MS;
    for (uint32_t i = 0; i < RESENDS_MAX && strikes(s, w->loss); i++) {
        ms += resend;
        resend *= 2;
        count_fault(s, FAULT_LOSS);
    }
    if (strikes(s, w->tail)) {
        ms += random_below(&s->random, w->tail_ms + 1);
        count_fault(s, FAULT_TAIL);
    }
    return ms;
}

struct path *network_path(struct sim *s, uint32_t from, uint32_t to)
{
    REQUIRE(from < s->network.nodes_cap && to < s->network.nodes_cap);
    return &s->network.paths[(size_t)from * s->network.nodes_cap + to];
}

void network_fit(struct sim *s, uint32_t nodes)
{
    struct network *n = &s->network;
    if (nodes <= n->nodes_cap) return;
    uint32_t cap = n->nodes_cap ? n->nodes_cap : 8;
    while (cap < nodes) cap *= 2;
    struct path *paths = calloc((size_t)cap * cap, sizeof *paths);
    REQUIRE(paths);
    for (uint32_t from = 0; from < n->nodes_cap; from++)
        memcpy(&paths[(size_t)from * cap], &n->paths[(size_t)from * n->nodes_cap], n->nodes_cap * sizeof *paths);
    free(n->paths);
    n->paths = paths;
    n->nodes_cap = cap;
}

/* Wires: places that are used again */

static uint32_t wire_new(struct sim *s)
{
    struct network *n = &s->network;
    uint32_t at = n->wires_count;
    if (n->wires_free > 0) {
        at = n->wires_free - 1;
        n->wires_free = n->wires[at].free_next;
    } else {
        n->wires = sim_grow(n->wires, &n->wires_cap, n->wires_count++, sizeof *n->wires);
        REQUIRE(n->wires_count < 1u << LINK_WIRE_BITS);
    }
    n->wires[at] = (struct wire){ .used = true, .use = n->wires[at].use + 1 };
    return at;
}

static void drop_pieces(struct wire_end *e)
{
    e->queued = 0;
    while (e->first) {
        struct piece *next = e->first->next;
        free(e->first);
        e->first = next;
    }
    e->last = NULL;
}

static void wire_release(struct sim *s, uint32_t wire)
{
    struct wire *w = &s->network.wires[wire];
    drop_pieces(&w->ends[0]);
    drop_pieces(&w->ends[1]);
    w->used = false;
    w->free_next = s->network.wires_free;
    s->network.wires_free = wire + 1;
}

static void wire_give_back(struct sim *s, uint32_t wire)
{
    struct wire *w = &s->network.wires[wire];
    for (uint32_t end = 0; end < 2; end++) {
        const struct wire_end *e = &w->ends[end];
        if (e->link != 0 && e->life == sim_machine(s, e->node)->life) return;
    }
    wire_release(s, wire);
}

/* Links that came in carry the wire in their number; those that were dialled are counted by the node. */
static bool find_end(struct sim *s, uint32_t node, link_id link, uint32_t *ret_wire, uint32_t *ret_end)
{
    const struct machine *m = sim_machine(s, node);
    uint32_t place = 0;
    if (link % 2 == 0)
        place = (uint32_t)(link >> 1) & ((1u << LINK_WIRE_BITS) - 1);
    else if (link / 2 < m->dialled_cap)
        place = m->dialled[link / 2];
    if (place == 0 || place > s->network.wires_count) return false;
    const struct wire *w = &s->network.wires[place - 1];
    uint32_t end = link % 2 == 0;
    const struct wire_end *e = &w->ends[end];
    if (!w->used || e->node != node || e->link != link || e->life != m->life) return false;
    *ret_wire = place - 1;
    *ret_end = end;
    return true;
}

static void end_schedule(struct sim *s, enum happening_kind kind, uint32_t wire, uint32_t end, uint64_t at_ms)
{
    const struct wire *w = &s->network.wires[wire];
    const struct wire_end *e = &w->ends[end];
    sim_schedule(
        s,
        &(struct happening){
            .at_ms = at_ms, .kind = kind, .node = e->node, .life = e->life, .wire = wire, .use = w->use, .end = end });
}

static uint32_t node_by_address(const struct sim *s, const char *address)
{
    unsigned node = 0;
    int used = 0;
    if (sscanf(address, "n%u:1%n", &node, &used) != 1 || address[used] != '\0') return UINT32_MAX;
    return node < s->options.nodes ? node : UINT32_MAX;
}

void network_connect(struct sim *s, uint32_t node, link_id link, const char *address)
{
    struct machine *m = sim_machine(s, node);
    uint32_t wire = wire_new(s), to = node_by_address(s, address);
    struct wire *w = &s->network.wires[wire];
    w->ends[0] = (struct wire_end){ .node = node, .life = m->life, .link = link };
    w->ends[1] = (struct wire_end){ .node = to == UINT32_MAX ? node : to };
    m->dialled = sim_grow(m->dialled, &m->dialled_cap, (uint32_t)(link / 2), sizeof *m->dialled);
    m->dialled[link / 2] = wire + 1;
    bool refused = to == UINT32_MAX;
    uint64_t at_ms = s->now_ms + 1;
    if (!refused) {
        at_ms += latency(s, node, to) + latency(s, to, node);
        refused = !sim_machine(s, to)->up && !network_path(s, node, to)->cut && !network_path(s, to, node)->cut;
    }
    end_schedule(s, refused ? HAPPEN_REFUSE : HAPPEN_CONNECT, wire, 0, at_ms);
}

/* Bytes on their way */

/* The first piece is delivered when its time has come; a cut or clogged path is looked at again when it is mended. */
static void deliver_schedule(struct sim *s, uint32_t wire, uint32_t end)
{
    struct wire *w = &s->network.wires[wire];
    struct wire_end *e = &w->ends[end];
    if (e->scheduled || e->closed || !e->first) return;
    const struct path *path = network_path(s, w->ends[!end].node, e->node);
    if (path->cut) return;
    uint64_t at_ms = e->first->at_ms;
    if (at_ms < path->clogged_until_ms) at_ms = path->clogged_until_ms;
    if (at_ms < s->now_ms) at_ms = s->now_ms;
    e->scheduled = true;
    end_schedule(s, HAPPEN_DELIVER, wire, end, at_ms);
}

static void piece_add(struct sim *s, uint32_t wire, uint32_t end, const uint8_t *bytes, size_t len)
{
    struct wire *w = &s->network.wires[wire];
    struct wire_end *e = &w->ends[end];
    struct piece *p = malloc(sizeof *p + len);
    REQUIRE(p);
    p->at_ms = s->now_ms + latency(s, w->ends[!end].node, e->node);
    if (p->at_ms < e->last_ms) p->at_ms = e->last_ms;
    if (s->options.link_bytes_per_ms > 0) p->at_ms += len / s->options.link_bytes_per_ms;
    e->last_ms = p->at_ms;
    e->queued += len;
    p->len = len;
    p->next = NULL;
    if (len > 0) memcpy(p->bytes, bytes, len);
    if (e->last)
        e->last->next = p;
    else
        e->first = p;
    e->last = p;
    deliver_schedule(s, wire, end);
}

void network_put(struct sim *s, uint32_t wire, uint32_t end, struct bytes bytes)
{
    size_t at = 0, max = s->options.piece_bytes_max;
    while (at < bytes.len) {
        size_t len = max >= bytes.len ? bytes.len : 1 + random_below(&s->random, max);
        if (len > bytes.len - at) len = bytes.len - at;
        piece_add(s, wire, !end, bytes.ptr + at, len);
        at += len;
    }
}

static void sent_schedule(struct sim *s, uint32_t wire, uint32_t end, uint64_t at_ms)
{
    struct wire_end *e = &s->network.wires[wire].ends[end];
    if (e->sent_scheduled || e->untold == 0) return;
    e->sent_scheduled = true;
    end_schedule(s, HAPPEN_SENT, wire, end, at_ms);
}

void network_send(struct sim *s, uint32_t node, link_id link, struct shared *bytes)
{
    uint32_t wire, end;
    sim_machine(s, node)->bytes_sent += bytes->len;
    if (bytes != s->frame_checked) oracle_frame(s, node, bytes_of(bytes->ptr, bytes->len));
    s->frame_checked = bytes;
    if (!find_end(s, node, link, &wire, &end) || s->network.wires[wire].ends[end].closed) return;
    oracle_sends(s, node, s->network.wires[wire].ends[!end].node, bytes_of(bytes->ptr, bytes->len));
    frames_pass(s, wire, end, bytes);
    struct wire_end *e = &s->network.wires[wire].ends[end];
    e->untold += bytes->len;
    sent_schedule(s, wire, end, s->now_ms + (e->untold > SENT_SOON_BYTES ? 1 : SENT_LATE_MS));
}

static void down_soon(struct sim *s, uint32_t wire, uint32_t end)
{
    struct wire_end *e = &s->network.wires[wire].ends[end];
    if (e->closed || e->link == 0) return;
    e->closed = true;
    drop_pieces(e);
    end_schedule(s, HAPPEN_DOWN, wire, end, s->now_ms);
}

void network_close(struct sim *s, uint32_t node, link_id link)
{
    uint32_t wire, end;
    if (!find_end(s, node, link, &wire, &end)) return;
    struct wire_end *other = &s->network.wires[wire].ends[!end];
    if (other->up && !other->closed) piece_add(s, wire, !end, NULL, 0);
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
    struct wire *w = &s->network.wires[h->wire];
    uint32_t from = w->ends[0].node, to = w->ends[1].node;
    if (w->ends[0].closed) return;
    if (network_path(s, from, to)->cut || network_path(s, to, from)->cut) { /* no answer; the node gives up by itself */
        end_schedule(s, HAPPEN_CONNECT, h->wire, 0, s->now_ms + POLL_MS);
        return;
    }
    const struct machine *m = sim_machine(s, to);
    if (!m->up) {
        end_schedule(s, HAPPEN_REFUSE, h->wire, 0, s->now_ms);
        return;
    }
    link_id link = ((uint64_t)w->use << LINK_WIRE_BITS | (h->wire + 1)) << 1;
    w->ends[1] = (struct wire_end){ .node = to, .life = m->life, .link = link, .up = true };
    w->ends[0].up = true;
    end_schedule(s, HAPPEN_UP, h->wire, 1, s->now_ms);
    end_schedule(s, HAPPEN_UP, h->wire, 0, s->now_ms);
}

static void happen_deliver(struct sim *s, const struct happening *h)
{
    struct wire_end *e = &s->network.wires[h->wire].ends[h->end];
    const struct path *path = network_path(s, s->network.wires[h->wire].ends[!h->end].node, e->node);
    struct piece *p = e->first;
    e->scheduled = false;
    if (!p || e->closed || path->cut) return;
    if (path->clogged_until_ms > s->now_ms || p->at_ms > s->now_ms) {
        deliver_schedule(s, h->wire, h->end);
        return;
    }
    if (!node_takes_bytes(sim_machine(s, e->node)->node)) {
        e->scheduled = true;
        end_schedule(s, HAPPEN_DELIVER, h->wire, h->end, s->now_ms + POLL_MS);
        return;
    }
    e->first = p->next;
    e->queued -= p->len;
    if (!e->first) e->last = NULL;
    if (e->heard_first_ms == 0) e->heard_first_ms = s->now_ms;
    e->heard_last_ms = sim_node_ms(s, e->node);
    uint32_t node = e->node; /* the row of wires may move while the node works */
    link_id link = e->link;
    deliver_schedule(s, h->wire, h->end);
    sent_schedule(s, h->wire, !h->end, s->now_ms + 1);
    if (p->len == 0)
        down_soon(s, h->wire, h->end);
    else
        node_event(s, node, EVENT_LINK_BYTES, link, bytes_of(p->bytes, p->len), NULL);
    free(p);
}

static void happen_sent(struct sim *s, const struct happening *h)
{
    struct wire_end *e = &s->network.wires[h->wire].ends[h->end];
    struct wire_end *other = &s->network.wires[h->wire].ends[!h->end];
    e->sent_scheduled = false;
    if (e->closed) return;
    /* What the other end's row still holds has not left; but for a little that the kernel takes. */
    /* The kernel takes a little; the rest has left when it has come. */
    uint64_t here = other->queued > SOCKET_BYTES ? other->queued - SOCKET_BYTES : 0;
    if (here >= e->untold) return; /* a delivery brings word of it */
    struct event sent = { .kind = EVENT_LINK_SENT };
    sent.as.link.link = e->link;
    sent.as.link.sent = e->untold - here;
    e->untold = here;
    sim_event(s, h->node, &sent);
}

static void end_down(struct sim *s, const struct happening *h, const char *reason)
{
    struct wire_end *e = &s->network.wires[h->wire].ends[h->end];
    link_id link = e->link;
    uint64_t lived_ms = e->heard_first_ms > 0 ? s->now_ms - e->heard_first_ms : 0;
    oracle_link_ends(s, h->node, s->network.wires[h->wire].ends[!h->end].node, h->end == 0, lived_ms);
    e->link = 0;
    wire_give_back(s, h->wire);
    node_event(s, h->node, EVENT_LINK_DOWN, link, bytes_of(NULL, 0), reason);
}

void network_happen(struct sim *s, const struct happening *h)
{
    struct wire *w = &s->network.wires[h->wire];
    struct wire_end *e = &w->ends[h->end];
    if (!w->used || w->use != h->use || e->node != h->node || e->life != h->life) return;
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
        if (!e->closed) node_event(s, h->node, EVENT_LINK_UP, e->link, bytes_of(NULL, 0), NULL);
        return;
    case HAPPEN_REFUSE:
        if (!e->closed) end_down(s, h, "connection refused");
        return;
    case HAPPEN_DOWN:
        end_down(s, h, NULL);
        return;
    case HAPPEN_WAKE:
    case HAPPEN_WRITE:
    case HAPPEN_SYNC:
    case HAPPEN_RETRY:
    case HAPPEN_SNAPSHOT:
    case HAPPEN_AUDIT:
    case HAPPEN_PLAN:
        break;
    }
    require_failed("a happening of the network", __FILE__, __LINE__);
}

/* Ends and breaks */

void network_node_gone(struct sim *s, uint32_t node, bool loud)
{
    for (uint32_t i = 0; i < s->network.wires_count; i++) {
        for (uint32_t end = 0; s->network.wires[i].used && end < 2; end++) {
            struct wire *w = &s->network.wires[i];
            struct wire_end *other = &w->ends[!end];
            if (w->ends[end].node != node || w->ends[end].link == 0) continue;
            w->ends[end].link = 0;
            w->ends[end].closed = true;
            drop_pieces(&w->ends[end]);
            if (loud && other->up && !other->closed) piece_add(s, i, !end, NULL, 0);
            wire_give_back(s, i);
        }
    }
    struct machine *m = sim_machine(s, node);
    if (m->dialled) memset(m->dialled, 0, m->dialled_cap * sizeof *m->dialled);
}

/* What of the first piece has come is all that comes. */
static void end_break(struct sim *s, uint32_t wire, uint32_t end)
{
    struct wire_end *e = &s->network.wires[wire].ends[end];
    struct piece *p = e->first;
    if (!p || p->len < 2 || e->closed || random_below(&s->random, 2) == 0) {
        down_soon(s, wire, end);
        return;
    }
    struct piece *rest = p->next;
    p->len = 1 + random_below(&s->random, p->len - 1);
    e->queued = p->len;
    p->next = NULL;
    e->last = p;
    while (rest) {
        struct piece *next = rest->next;
        free(rest);
        rest = next;
    }
    piece_add(s, wire, end, NULL, 0);
}

void sim_break_links(struct sim *s, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < s->network.wires_count; i++) {
        const struct wire *w = &s->network.wires[i];
        if (!w->used) continue;
        bool between = (w->ends[0].node == a && w->ends[1].node == b) || (w->ends[0].node == b && w->ends[1].node == a);
        if (!between) continue;
        end_break(s, i, 0);
        end_break(s, i, 1);
    }
}

void network_end_tampered(struct sim *s)
{
    for (uint32_t i = 0; i < s->network.wires_count; i++) {
        if (!s->network.wires[i].used || !s->network.wires[i].tampered) continue;
        down_soon(s, i, 0);
        down_soon(s, i, 1);
    }
}

void network_mended(struct sim *s)
{
    for (uint32_t i = 0; i < s->network.wires_count; i++) {
        if (!s->network.wires[i].used) continue;
        deliver_schedule(s, i, 0);
        deliver_schedule(s, i, 1);
    }
}

void network_release(struct sim *s)
{
    struct network *n = &s->network;
    for (uint32_t i = 0; i < n->wires_count; i++) {
        drop_pieces(&n->wires[i].ends[0]);
        drop_pieces(&n->wires[i].ends[1]);
    }
    for (size_t i = 0; i < (size_t)n->nodes_cap * n->nodes_cap; i++) frames_forget(n->paths[i].stash);
    free(n->wires);
    free(n->paths);
}
