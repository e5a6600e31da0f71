/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/mesh.h"

#include "sim/played.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    REQUIRE(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double mesh_real_s(void)
{
    return (double)clock_ns(CLOCK_MONOTONIC) / 1e9;
}

/* Room for one more; the harness does not live on without memory. */
static void *grown(void *items, uint32_t count, uint32_t *cap, size_t item_bytes)
{
    if (count < *cap) return items;
    *cap = *cap ? *cap * 2 : 16;
    items = realloc(items, *cap * item_bytes);
    REQUIRE(items);
    return items;
}

static void post(struct mesh *m, uint32_t delay_ms, const struct post *p)
{
    struct slot *s = &m->slots[(m->now_ms + delay_ms) % MESH_SLOTS];
    s->posts = grown(s->posts, s->count, &s->cap, sizeof *s->posts);
    s->posts[s->count++] = *p;
}

/* --- wires --- */

static struct wire *wire_new(struct mesh *m, uint32_t from, link_id link, uint32_t to)
{
    m->wires = grown(m->wires, m->wires_count, &m->wires_cap, sizeof(struct wire *));
    struct wire *w = calloc(1, sizeof *w);
    REQUIRE(w);
    w->node[0] = from;
    w->node[1] = to;
    w->link[0] = link;
    m->wires[m->wires_count++] = w;
    return w;
}

static void wires_add(struct wires *list, struct wire *w)
{
    list->items = grown(list->items, list->count, &list->cap, sizeof(struct wire *));
    list->items[list->count++] = w;
}

static struct wire *wire_find(const struct spot *spot, link_id link, uint32_t *ret_end)
{
    const struct wires *list = link % 2 ? &spot->out : &spot->in;
    uint32_t place = (uint32_t)((link - 1) / 2);
    REQUIRE(place < list->count);
    *ret_end = link % 2 ? 0 : 1;
    return list->items[place];
}

static bool is_cut(const struct mesh *m, const struct wire *w)
{
    return m->cut && (w->node[0] < m->nodes / 2) != (w->node[1] < m->nodes / 2);
}

void mesh_send(struct mesh *m, struct wire *w, uint32_t end, struct shared *bytes)
{
    if (w->closed[end] || w->link[!end] == 0) {
        shared_drop(bytes);
        return;
    }
    m->spots[w->node[end]].sent[bytes->ptr[4] % MESH_KINDS] += bytes->len;
    post(m, MESH_LATENCY_MS, &(struct post){ POST_BYTES, w->node[!end], !end, w, bytes, 0 });
}

static void wire_close(struct mesh *m, struct wire *w, uint32_t end)
{
    if (w->closed[end]) return;
    w->closed[end] = true;
    post(m, 0, &(struct post){ .kind = POST_DOWN, .node = w->node[end], .end = end, .wire = w });
    if (w->link[!end] != 0)
        post(m, MESH_LATENCY_MS, &(struct post){ .kind = POST_DOWN, .node = w->node[!end], .end = !end, .wire = w });
}

/* --- steps --- */

static void dial(struct mesh *m, uint32_t node, const struct action *a)
{
    unsigned to = 0;
    REQUIRE(sscanf(a->as.link.address, "n%u:1", &to) == 1 && to < m->nodes);
    struct wire *w = wire_new(m, node, a->as.link.link, to);
    wires_add(&m->spots[node].out, w);
    post(m, 2 * MESH_LATENCY_MS, &(struct post){ .kind = POST_CONNECT, .node = node, .wire = w });
}

static void carry_out(struct mesh *m, uint32_t node, struct action *a)
{
    uint32_t end;
    struct wire *w;
    switch (a->kind) {
    case ACTION_APPEND:
        post(m, 0, &(struct post){ .kind = POST_WRITTEN, .node = node, .append = a->as.append.number });
        post(m, MESH_SYNC_MS, &(struct post){ .kind = POST_SYNCED, .node = node, .append = a->as.append.number });
        break;
    case ACTION_CONNECT:
        dial(m, node, a);
        break;
    case ACTION_SEND:
        w = wire_find(&m->spots[node], a->as.link.link, &end);
        mesh_send(m, w, end, a->as.link.bytes);
        a->as.link.bytes = NULL;
        break;
    case ACTION_CLOSE:
        w = wire_find(&m->spots[node], a->as.link.link, &end);
        wire_close(m, w, end);
        break;
    case ACTION_NOTICE:
        if (a->as.notice.kind == NOTICE_LINK_BROKEN)
            fprintf(stderr, "n%u: %s: %s\n", node, a->as.notice.node, a->as.notice.detail);
        break;
    case ACTION_ROTATE:
    case ACTION_SNAPSHOT:
    case ACTION_ORDERED:
    case ACTION_STOPPED:
        break;
    }
}

static void step(struct mesh *m, uint32_t node, struct event *event)
{
    struct spot *spot = &m->spots[node];
    event->now_ms = m->now_ms;
    event->now_us = m->now_ms * 1000;
    event->wall_ms = m->now_ms + 1700000000000u;
    uint64_t began_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    enum err err = event->kind == EVENT_TICK && spot->steps == 0
                       ? node_start(spot->node, m->now_ms, event->wall_ms, &m->actions)
                       : node_step(spot->node, event, &m->actions);
    spot->wake_ms = node_wake_at_ms(spot->node);
    uint64_t took_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns;
    REQUIRE(err == ERR_OK);
    spot->cpu_ns += took_ns > m->step_cost_ns ? took_ns - m->step_cost_ns : 0;
    spot->steps++;
    for (uint32_t i = 0; i < m->actions.count; i++) carry_out(m, node, &m->actions.items[i]);
    actions_clear(&m->actions);
}

static void link_event(struct mesh *m, uint32_t node, enum event_kind kind, link_id link, const struct shared *bytes)
{
    struct event event = { .kind = kind };
    if (m->spots[node].played || link == 0) return;
    event.as.link.link = link;
    event.as.link.address = "somewhere";
    if (bytes) event.as.link.bytes = bytes_of(bytes->ptr, bytes->len);
    step(m, node, &event);
}

static void happen_connect(struct mesh *m, struct wire *w)
{
    if (w->closed[0] || is_cut(m, w)) return; /* no answer: whoever dialled gives up by itself */
    struct spot *to = &m->spots[w->node[1]];
    wires_add(&to->in, w);
    w->link[1] = 2 * (link_id)to->in.count;
    link_event(m, w->node[1], EVENT_LINK_UP, w->link[1], NULL);
    link_event(m, w->node[0], EVENT_LINK_UP, w->link[0], NULL);
}

static void happen_bytes(struct mesh *m, const struct post *p)
{
    struct wire *w = p->wire;
    struct spot *spot = &m->spots[p->node];
    w->lost[p->end] |= is_cut(m, w);
    if (!w->closed[p->end] && !w->lost[p->end]) {
        spot->received[p->bytes->ptr[4] % MESH_KINDS] += p->bytes->len;
        if (w->gone[!p->end] == 0)
            post(m, 0, &(struct post){ .kind = POST_SENT, .node = w->node[!p->end], .end = !p->end, .wire = w });
        w->gone[!p->end] += p->bytes->len;
        if (spot->played)
            played_bytes(m, p->node, w, p->bytes);
        else
            link_event(m, p->node, EVENT_LINK_BYTES, w->link[p->end], p->bytes);
    }
    shared_drop(p->bytes);
}

static void happen_sent(struct mesh *m, const struct post *p)
{
    struct event event = { .kind = EVENT_LINK_SENT };
    event.as.link.link = p->wire->link[p->end];
    event.as.link.sent = p->wire->gone[p->end];
    p->wire->gone[p->end] = 0;
    if (!p->wire->closed[p->end] && !m->spots[p->node].played) step(m, p->node, &event);
}

/* An end hears of its link's end once: told by the other side, unless it closed it itself. */
static void happen_down(struct mesh *m, const struct post *p)
{
    struct wire *w = p->wire;
    link_id link = w->link[p->end];
    if (link == 0 || (!w->closed[p->end] && is_cut(m, w))) return;
    w->closed[p->end] = true;
    w->link[p->end] = 0;
    link_event(m, p->node, EVENT_LINK_DOWN, link, NULL);
}

static void happen(struct mesh *m, const struct post *p)
{
    struct event event = { .kind = p->kind == POST_WRITTEN ? EVENT_WRITTEN : EVENT_SYNCED };
    switch (p->kind) {
    case POST_CONNECT:
        happen_connect(m, p->wire);
        break;
    case POST_UP:
        break;
    case POST_BYTES:
        happen_bytes(m, p);
        break;
    case POST_SENT:
        happen_sent(m, p);
        break;
    case POST_DOWN:
        happen_down(m, p);
        break;
    case POST_WRITTEN:
    case POST_SYNCED:
        event.as.done.append = p->append;
        step(m, p->node, &event);
        break;
    }
}

/* --- load --- */

void mesh_counter_name(uint32_t counter, char ret_name[8])
{
    snprintf(ret_name, 8, "c%03u", counter % MESH_COUNTERS);
}

void mesh_add_name(struct mesh *m, uint32_t node, const char *name)
{
    struct keyspace *k = node_keyspace(m->spots[node].node);
    struct seen seen;
    REQUIRE(keyspace_add(k, keyspace_hash(k, bytes_of_text(name)), bytes_of_text(name), 1, &seen) == ERR_OK);
    m->increments++;
    step(m, node, &(struct event){ .kind = EVENT_DIRTY });
}

void mesh_add(struct mesh *m, uint32_t node, uint32_t counter)
{
    char name[8];
    mesh_counter_name(counter, name);
    m->spots[node].nets[counter]++;
    m->spots[node].touched_ms[counter] = m->now_ms;
    mesh_add_name(m, node, name);
}

int64_t mesh_value(const struct mesh *m, uint32_t node, const char *name)
{
    struct keyspace *k = node_keyspace(m->spots[node].node);
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, bytes_of_text(name)), bytes_of_text(name), &seen);
    return seen.value;
}

static void load(struct mesh *m, uint32_t node)
{
    struct spot *spot = &m->spots[node];
    for (spot->load_due += m->per_second; spot->load_due >= 1000; spot->load_due -= 1000) {
        uint32_t counter = (uint32_t)random_below(&m->random, MESH_COUNTERS);
        if (spot->played)
            played_add(m, node, counter);
        else
            mesh_add(m, node, counter);
    }
}

/* --- the whole --- */

static struct node *core_new(struct mesh *m, uint32_t node)
{
    char name[16];
    const char *seed = node > 0 ? "n0:1" : "n1:1";
    snprintf(name, sizeof name, "n%u:1", node);
    struct node_options options = { .name = name,
                                    .cluster = "scale",
                                    .seeds = &seed,
                                    .seeds_count = 1,
                                    .heartbeat_ms = 500,
                                    .peer_timeout_ms = 3000,
                                    .backoff_ms_min = 500,
                                    .backoff_ms_max = 30000,
                                    .durability_sync = true,
                                    .shards = 4,
                                    .hash_seed = random_u64(&m->random),
                                    .random_seed = random_u64(&m->random),
                                    .nonce = random_u64(&m->random) | 1,
                                    .replica = m->spots[node].replica,
                                    .stats = &m->spots[node].stats };
    struct node *made;
    REQUIRE(node_new(&options, &made) == ERR_OK);
    return made;
}

/* What measuring a step costs is in each measurement. */
static uint64_t measure_cost_ns(void)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
        if (took < least) least = took;
    }
    return least;
}

struct mesh *mesh_new(uint32_t nodes, uint32_t real)
{
    struct mesh *m = calloc(1, sizeof *m);
    REQUIRE(m && nodes > 1 && real > 0);
    m->nodes = nodes;
    m->now_ms = 1000;
    m->deadline_s = 1e18;
    m->step_cost_ns = measure_cost_ns();
    random_init(&m->random, 1);
    m->spots = aligned_alloc(64, nodes * sizeof *m->spots); /* a multiple of 64: stats are aligned */
    REQUIRE(m->spots);
    memset(m->spots, 0, nodes * sizeof *m->spots);
    for (uint32_t i = 0; i < nodes; i++) {
        struct spot *spot = &m->spots[i];
        for (uint32_t k = 0; k < sizeof spot->replica; k++) spot->replica.bytes[k] = (uint8_t)random_u64(&m->random);
        spot->replica.bytes[0] |= 1;
        spot->load_due = (uint32_t)random_below(&m->random, 1000);
        spot->wake_ms = UINT64_MAX;
        if (i < real)
            spot->node = core_new(m, i);
        else
            spot->played = played_new(m, i);
    }
    return m;
}

void mesh_free(struct mesh *m)
{
    for (uint32_t i = 0; i < MESH_SLOTS; i++) {
        for (uint32_t k = 0; k < m->slots[i].count; k++) shared_drop(m->slots[i].posts[k].bytes);
        free(m->slots[i].posts);
    }
    for (uint32_t i = 0; i < m->nodes; i++) {
        node_free(m->spots[i].node);
        played_free(m->spots[i].played);
        free(m->spots[i].out.items);
        free(m->spots[i].in.items);
    }
    for (uint32_t i = 0; i < m->wires_count; i++) free(m->wires[i]);
    actions_release(&m->actions);
    free(m->wires);
    free(m->spots);
    free(m);
}

void mesh_start(struct mesh *m)
{
    for (uint32_t i = 0; i < m->nodes; i++) {
        if (m->spots[i].node) step(m, i, &(struct event){ .kind = EVENT_TICK });
    }
}

bool mesh_run_ms(struct mesh *m, uint64_t ms)
{
    for (uint64_t end = m->now_ms + ms; m->now_ms < end;) {
        if (mesh_real_s() > m->deadline_s) return false;
        m->now_ms++;
        struct slot *s = &m->slots[m->now_ms % MESH_SLOTS];
        for (uint32_t i = 0; i < m->nodes; i++) {
            if (m->spots[i].played) played_tick(m, i);
            if (m->spots[i].wake_ms <= m->now_ms) step(m, i, &(struct event){ .kind = EVENT_TICK });
            load(m, i);
        }
        for (uint32_t i = 0; i < s->count; i++) { /* more may come while it goes on */
            struct post p = s->posts[i];
            happen(m, &p);
        }
        s->count = 0;
    }
    return true;
}
