/* SPDX-License-Identifier: Apache-2.0 */
#include "pair.h"

#include <inttypes.h>
#include <stdio.h>

struct pair_wire {
    link_id ids[2]; /* by node; 0: this end has heard of the end of the link */
};

struct pair_event {
    uint32_t to;
    uint64_t life;
    struct event event;
    uint8_t *bytes;
    struct pair_event *next;
};

struct bytes pair_name(uint32_t counter, char into[40])
{
    return bytes_of(into, (size_t)snprintf(into, 40, "%s%u", counter % 3 ? "c" : "a longer name ", counter));
}

static const char *pair_address(uint32_t which)
{
    return which == 0 ? "n0:1" : "n1:1";
}

static void pair_post(struct pair *p, uint32_t to, struct event event)
{
    if (!p->nodes[to].node) return;
    struct pair_event *e = calloc(1, sizeof *e);
    assert_non_null(e);
    *e = (struct pair_event){ .to = to, .life = p->nodes[to].life, .event = event };
    if (event.kind == EVENT_LINK_BYTES) {
        e->bytes = malloc(event.as.link.bytes.len + 1);
        assert_non_null(e->bytes);
        memcpy(e->bytes, event.as.link.bytes.ptr, event.as.link.bytes.len);
        e->event.as.link.bytes.ptr = e->bytes;
    }
    if (p->last)
        p->last->next = e;
    else
        p->first = e;
    p->last = e;
}

static void pair_post_link(struct pair *p, uint32_t to, enum event_kind kind, link_id id)
{
    struct event event = { .kind = kind, .as.link.link = id };
    if (kind == EVENT_LINK_UP) event.as.link.address = pair_address(1 - to);
    if (id != 0) pair_post(p, to, event);
}

static struct pair_wire *pair_wire(struct pair *p, uint32_t node, link_id id)
{
    for (uint32_t i = 0; i < p->wires_count; i++) {
        if (p->wires[i].ids[node] == id) return &p->wires[i];
    }
    return NULL;
}

void pair_end(struct pair *p, uint32_t which)
{
    struct pair_node *n = &p->nodes[which];
    for (uint32_t i = 0; i < p->wires_count; i++) {
        struct pair_wire *w = &p->wires[i];
        if (w->ids[which] == 0) continue;
        pair_post_link(p, 1 - which, EVENT_LINK_DOWN, w->ids[1 - which]);
        *w = (struct pair_wire){ { 0 } };
    }
    journal_close(n->journal);
    node_free(n->node);
    n->journal = NULL;
    n->node = NULL;
    n->keyspace = NULL;
    n->life++;
}

/* What the journal thread does */

static enum err pair_append(struct pair *p, uint32_t which, const struct action *a)
{
    struct pair_node *n = &p->nodes[which];
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < a->as.append.count && err == ERR_OK; i++) {
        const struct record *r = &a->as.append.records[i];
        err = journal_append(n->journal, r->kind, bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip));
    }
    if (err == ERR_OK) err = journal_write(n->journal);
    if (err == ERR_OK) err = journal_sync(n->journal);
    if (err != ERR_OK) return err;
    n->synced = a->as.append.number;
    pair_post(p, which, (struct event){ .kind = EVENT_WRITTEN, .as.done.append = n->synced });
    pair_post(p, which, (struct event){ .kind = EVENT_SYNCED, .as.done.append = n->synced });
    struct event journal = { .kind = EVENT_JOURNAL };
    journal.as.journal.bytes = journal_bytes(n->journal);
    journal.as.journal.snapshot_bytes = journal_snapshot_bytes(n->journal);
    pair_post(p, which, journal);
    return ERR_OK;
}

static enum err pair_rotate(struct pair *p, uint32_t which)
{
    struct event event = { .kind = EVENT_ROTATED };
    enum err err = journal_rotate(p->nodes[which].journal, &event.as.rotated.segment);
    if (err == ERR_OK) pair_post(p, which, event);
    return err;
}

static enum err pair_snapshot(struct pair *p, uint32_t which, const struct action *a)
{
    struct pair_node *n = &p->nodes[which];
    struct snapshot_options options = { .journal = n->journal,
                                        .keyspace = n->keyspace,
                                        .replicas = node_replicas(n->node),
                                        .segment = a->as.append.segment,
                                        .entries_kind = RECORD_ENTRIES };
    struct snapshot *s = NULL;
    enum err err = snapshot_begin(&options, &s);
    for (uint32_t i = 0; i < a->as.append.count && err == ERR_OK; i++) {
        const struct record *r = &a->as.append.records[i];
        err = snapshot_append(s, r->kind, bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip));
    }
    for (bool done = false; err == ERR_OK && !done;) err = snapshot_step(s, 10, &done);
    if (err == ERR_OK) err = journal_sync(n->journal);
    if (err == ERR_OK) err = snapshot_finish(s);
    snapshot_free(s);
    /* It replaces nothing before it is finished, so an error ends only the snapshot. */
    pair_post(p, which, (struct event){ .kind = EVENT_SNAPSHOT, .as.snapshot.result = err });
    return ERR_OK;
}

/* The network */

static void pair_connect(struct pair *p, uint32_t which, link_id id)
{
    if (p->is_cut || !p->nodes[1 - which].node) {
        pair_post_link(p, which, EVENT_LINK_DOWN, id);
        return;
    }
    p->wires = realloc(p->wires, (p->wires_count + 1) * sizeof *p->wires);
    assert_non_null(p->wires);
    struct pair_wire *w = &p->wires[p->wires_count++];
    w->ids[which] = id;
    w->ids[1 - which] = p->link_last += 2;
    pair_post_link(p, which, EVENT_LINK_UP, id);
    pair_post_link(p, 1 - which, EVENT_LINK_UP, w->ids[1 - which]);
}

static void pair_send(struct pair *p, uint32_t which, const struct action *a)
{
    struct pair_wire *w = pair_wire(p, which, a->as.link.link);
    const struct shared *bytes = a->as.link.bytes;
    struct event sent = { .kind = EVENT_LINK_SENT };
    sent.as.link.link = a->as.link.link;
    sent.as.link.sent = bytes->len;
    if (w) pair_post(p, which, sent);
    if (!w || w->ids[1 - which] == 0) return;
    struct event event = { .kind = EVENT_LINK_BYTES };
    event.as.link.link = w->ids[1 - which];
    event.as.link.bytes = bytes_of(bytes->ptr, bytes->len);
    pair_post(p, 1 - which, event);
}

static void pair_close(struct pair *p, uint32_t which, link_id id)
{
    struct pair_wire *w = pair_wire(p, which, id);
    pair_post_link(p, which, EVENT_LINK_DOWN, id);
    if (!w) return;
    pair_post_link(p, 1 - which, EVENT_LINK_DOWN, w->ids[1 - which]);
    *w = (struct pair_wire){ { 0 } };
}

static enum err pair_carry_out(struct pair *p, uint32_t which, const struct action *a)
{
    struct pair_node *n = &p->nodes[which];
    switch (a->kind) {
    case ACTION_APPEND:
        return pair_append(p, which, a);
    case ACTION_ROTATE:
        return pair_rotate(p, which);
    case ACTION_SNAPSHOT:
        return pair_snapshot(p, which, a);
    case ACTION_CONNECT:
        pair_connect(p, which, a->as.link.link);
        return ERR_OK;
    case ACTION_SEND:
        pair_send(p, which, a);
        return ERR_OK;
    case ACTION_CLOSE:
        pair_close(p, which, a->as.link.link);
        return ERR_OK;
    case ACTION_NOTICE:
        n->notices[a->as.notice.kind]++;
        n->last[a->as.notice.kind] = a->as.notice;
        return ERR_OK;
    case ACTION_ORDERED:
    case ACTION_STOPPED:
        return ERR_OK;
    }
    return ERR_OK;
}

/* With an error the node is gone. */
static enum err pair_carry_out_all(struct pair *p, uint32_t which, struct actions *actions, enum err err)
{
    for (uint32_t i = 0; i < actions->count && err == ERR_OK; i++) err = pair_carry_out(p, which, &actions->items[i]);
    actions_release(actions);
    if (err != ERR_OK) pair_end(p, which);
    return err;
}

static enum err pair_run(struct pair *p)
{
    enum err worst = ERR_OK;
    while (p->first) {
        struct pair_event *e = p->first;
        p->first = e->next;
        if (!p->first) p->last = NULL;
        struct pair_node *n = &p->nodes[e->to];
        if (n->node && n->life == e->life) {
            struct actions actions = { 0 };
            e->event.now_ms = p->now_ms;
            e->event.now_us = p->now_ms * 1000;
            e->event.wall_ms = 1700000000000u + p->now_ms;
            enum err err = node_step(n->node, &e->event, &actions);
            err = pair_carry_out_all(p, e->to, &actions, err);
            if (err != ERR_OK) worst = err;
        }
        free(e->bytes);
        free(e);
    }
    return worst;
}

enum err pair_advance(struct pair *p, uint64_t ms)
{
    enum err worst = ERR_OK;
    for (uint64_t end = p->now_ms + ms; p->now_ms < end;) {
        p->now_ms += 50;
        for (uint32_t i = 0; i < 2; i++) pair_post(p, i, (struct event){ .kind = EVENT_TICK });
        enum err err = pair_run(p);
        if (err != ERR_OK) worst = err;
    }
    return worst;
}

enum err pair_start(struct pair *p, uint32_t which)
{
    struct pair_node *n = &p->nodes[which];
    const char *seed = pair_address(1 - which);
    struct id128 ids[2];
    for (size_t i = 0; i < sizeof ids; i++) ((uint8_t *)ids)[i] = (uint8_t)random_u64(&p->random);
    struct node_options options = { .name = pair_address(which),
                                    .cluster = "pair",
                                    .seeds = &seed,
                                    .seeds_count = 1,
                                    .heartbeat_ms = 500,
                                    .peer_timeout_ms = 3000,
                                    .backoff_ms_min = 100,
                                    .backoff_ms_max = 500,
                                    .durability_sync = true,
                                    .shards = 8,
                                    .snapshot_bytes = p->snapshot_bytes,
                                    .hash_seed = random_u64(&p->random),
                                    .random_seed = random_u64(&p->random),
                                    .nonce = random_u64(&p->random) | 1,
                                    .replica = ids[0],
                                    .stats = &n->stats };
    assert_null(n->node);
    enum err err = node_new(&options, &n->node);
    if (err != ERR_OK) return err;
    struct journal_options journal = { .storage = disk_storage(n->disk),
                                       .id = ids[1],
                                       .segment_bytes = PAIR_SEGMENT_BYTES };
    struct actions actions = { 0 };
    n->keyspace = node_keyspace(n->node);
    n->synced = 0;
    err = journal_open(&journal, node_recover, n->node, &n->journal, &n->report);
    if (err == ERR_OK) err = node_start(n->node, p->now_ms, 1700000000000u, &actions);
    err = pair_carry_out_all(p, which, &actions, err);
    enum err later = pair_run(p);
    return err == ERR_OK ? later : err;
}

/* Clients */

enum err pair_add(struct pair *p, uint32_t which, uint32_t counter, int64_t delta)
{
    struct pair_node *n = &p->nodes[which];
    char text[40];
    struct bytes name = pair_name(counter, text);
    struct seen seen;
    assert_true(counter < PAIR_COUNTERS);
    if (!n->node) return ERR_CLOSED;
    enum err err = keyspace_add(n->keyspace, keyspace_hash(n->keyspace, name), name, delta, &seen);
    if (err != ERR_OK) return err;
    uint64_t life = n->life;
    pair_post(p, which, (struct event){ .kind = EVENT_DIRTY });
    err = pair_run(p);
    bool is_answered = n->life == life && n->synced >= seen.commit;
    *(is_answered ? &p->answered[counter] : &p->maybe[counter]) += delta;
    return err;
}

int64_t pair_value(struct pair *p, uint32_t which, uint32_t counter)
{
    char text[40];
    struct bytes name = pair_name(counter, text);
    struct keyspace *k = p->nodes[which].keyspace;
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, name), name, &seen);
    return seen.value;
}

/* Both run, agree, and know equally much. */
bool pair_agrees(struct pair *p)
{
    if (!p->nodes[0].node || !p->nodes[1].node) return false;
    for (uint32_t i = 0; i < PAIR_COUNTERS; i++) {
        if (pair_value(p, 0, i) != pair_value(p, 1, i)) return false;
    }
    const struct view *views[2] = { NULL, NULL };
    bool is_same = node_view(p->nodes[0].node, p->now_ms, &views[0]) == ERR_OK &&
                   node_view(p->nodes[1].node, p->now_ms, &views[1]) == ERR_OK &&
                   views[0]->replicas_count == views[1]->replicas_count;
    for (uint32_t i = 0; is_same && i < views[0]->replicas_count; i++)
        is_same = id128_equal(&views[0]->replicas[i].id, &views[1]->replicas[i].id) &&
                  views[0]->replicas[i].known == views[1]->replicas[i].known;
    for (uint32_t i = 0; i < 2; i++) view_drop(views[i]);
    return is_same;
}

void pair_settle(struct pair *p)
{
    for (uint32_t round = 0; round < 1000 && !pair_agrees(p); round++) assert_ok(pair_advance(p, 50));
    assert_true(pair_agrees(p));
}

void pair_expect_exact(struct pair *p, uint32_t which)
{
    for (uint32_t i = 0; i < PAIR_COUNTERS; i++) {
        int64_t value = pair_value(p, which, i);
        if (value < p->answered[i] || value > p->answered[i] + p->maybe[i])
            print_error("counter %u is %" PRId64 ", answered were %" PRId64 ", maybe %" PRId64 "\n", i, value,
                        p->answered[i], p->maybe[i]);
        assert_true(value >= p->answered[i] && value <= p->answered[i] + p->maybe[i]);
    }
}

void pair_new(uint64_t seed, struct pair *ret_pair)
{
    *ret_pair = (struct pair){ .now_ms = 1000, .snapshot_bytes = 20000 };
    random_init(&ret_pair->random, seed);
    for (uint32_t i = 0; i < 2; i++) ret_pair->nodes[i].disk = disk_new(seed * 2 + i, 0);
}

void pair_free(struct pair *p)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (p->nodes[i].node) pair_end(p, i);
        disk_free(p->nodes[i].disk);
    }
    assert_ok(pair_run(p));
    free(p->wires);
}
