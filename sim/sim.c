/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

#include "sim/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* --- the schedule: a heap by time, then by order of asking --- */

static bool sooner(const struct happening *a, const struct happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void swap(struct happening *a, struct happening *b)
{
    struct happening t = *a;
    *a = *b;
    *b = t;
}

void sim_schedule(struct sim *s, const struct happening *h)
{
    struct schedule *q = &s->schedule;
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 256;
        q->items = realloc(q->items, q->cap * sizeof *q->items);
        REQUIRE(q->items);
    }
    uint32_t i = q->count++;
    q->items[i] = *h;
    q->items[i].order = ++q->order;
    for (; i > 0 && sooner(&q->items[i], &q->items[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&q->items[i], &q->items[(i - 1) / 2]);
}

static struct happening schedule_pop(struct schedule *q)
{
    struct happening first = q->items[0];
    q->items[0] = q->items[--q->count];
    for (uint32_t i = 0;;) {
        uint32_t least = i, left = 2 * i + 1;
        for (uint32_t child = left; child < left + 2 && child < q->count; child++) {
            if (sooner(&q->items[child], &q->items[least])) least = child;
        }
        if (least == i) break;
        swap(&q->items[i], &q->items[least]);
        i = least;
    }
    return first;
}

uint32_t sim_random(struct sim *s, uint32_t up_to)
{
    return (uint32_t)random_below(&s->random, (uint64_t)up_to + 1);
}

/* --- the oracle --- */

static struct counter_fate *fate_of(struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->fates_count; i++) {
        if (strcmp(s->fates[i].name, name) == 0) return &s->fates[i];
    }
    REQUIRE(s->fates_count < SIM_COUNTERS_MAX && strlen(name) < sizeof s->fates[0].name);
    struct counter_fate *f = &s->fates[s->fates_count++];
    memcpy(f->name, name, strlen(name) + 1);
    return f;
}

static void answer(struct sim *s, struct machine *m, const struct operation *o)
{
    struct counter_fate *f = &s->fates[o->counter];
    f->answered += o->delta;
    if (o->delta != 0) return;
    if (s->options.grow_only && o->value < o->floor) {
        fprintf(stderr, "sim: seed %llu at %llu ms: n%u showed %s as %lld after %lld\n",
                (unsigned long long)s->options.seed, (unsigned long long)s->now_ms, (unsigned)(m - s->machines),
                f->name, (long long)o->value, (long long)o->floor);
        require_failed("what was shown is not taken back", __FILE__, __LINE__);
    }
    if (o->value > m->shown[o->counter]) m->shown[o->counter] = o->value;
}

/* Replies whose commit is done leave. */
static void release_replies(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    uint64_t done = s->options.async ? m->written : m->synced;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->waiting_count; i++) {
        struct operation *o = &m->waiting[i];
        if (o->gate <= done)
            answer(s, m, o);
        else
            m->waiting[kept++] = *o;
    }
    m->waiting_count = kept;
}

/* The process has ended: replies that did not leave never will. */
void sim_fate_known(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    for (uint32_t i = 0; i < m->waiting_count; i++) {
        struct counter_fate *f = &s->fates[m->waiting[i].counter];
        if (m->waiting[i].delta > 0)
            f->maybe_max += m->waiting[i].delta;
        else
            f->maybe_min += m->waiting[i].delta;
    }
    m->waiting_count = 0;
}

/* --- nodes --- */

static void note(struct sim *s, uint32_t node, const struct notice *notice)
{
    struct machine *m = &s->machines[node];
    m->notices[notice->kind]++;
    m->notice_last[notice->kind] = *notice;
    if (s->listener) s->listener(s->listener_context, s->now_ms, node, notice);
}

static void carry_out(struct sim *s, uint32_t node, struct actions *actions)
{
    struct machine *m = &s->machines[node];
    uint32_t life = m->life;
    for (uint32_t i = 0; i < actions->count && m->life == life; i++) {
        struct action *a = &actions->items[i];
        switch (a->kind) {
        case ACTION_APPEND:
            machine_append(s, node, a);
            break;
        case ACTION_ROTATE:
            machine_rotate(s, node);
            break;
        case ACTION_SNAPSHOT:
            machine_snapshot(s, node, a);
            break;
        case ACTION_CONNECT:
            network_connect(s, node, a->as.link.link, a->as.link.address);
            break;
        case ACTION_SEND:
            network_send(s, node, a->as.link.link, a->as.link.bytes);
            break;
        case ACTION_CLOSE:
            network_close(s, node, a->as.link.link);
            break;
        case ACTION_NOTICE:
            note(s, node, &a->as.notice);
            break;
        case ACTION_ORDERED:
            m->orders_answered++;
            m->order_result = a->as.ordered.result;
            break;
        case ACTION_STOPPED:
            machine_end(s, node);
            network_node_gone(s, node, true);
            break;
        }
    }
    actions_release(actions);
}

static void arm(struct sim *s, uint32_t node)
{
    struct machine *m = &s->machines[node];
    if (!m->up) return;
    uint64_t wake = node_wake_at_ms(m->node);
    if (wake <= s->now_ms) wake = s->now_ms + 1;
    if (m->wake_ms > s->now_ms && m->wake_ms <= wake) return;
    m->wake_ms = wake;
    sim_schedule(s, &(struct happening){ .at_ms = wake, .kind = HAPPEN_WAKE, .node = node, .life = m->life });
}

static void trace_event(struct sim *s, uint32_t node, const struct event *event)
{
    uint64_t facts[] = { s->trace, s->now_ms, node, (uint64_t)event->kind };
    s->trace = XXH3_64bits(facts, sizeof facts);
    if (event->kind == EVENT_LINK_BYTES) s->trace ^= XXH3_64bits(event->as.link.bytes.ptr, event->as.link.bytes.len);
}

void sim_event(struct sim *s, uint32_t node, struct event *event)
{
    struct machine *m = &s->machines[node];
    if (!m->up) return;
    struct actions actions = { 0 };
    event->now_ms = s->now_ms;
    event->now_us = s->now_ms * 1000;
    event->wall_ms = 1700000000000u + s->now_ms;
    trace_event(s, node, event);
    REQUIRE(node_step(m->node, event, &actions) == ERR_OK);
    carry_out(s, node, &actions);
    release_replies(s, node);
    arm(s, node);
}

void sim_start(struct sim *s, uint32_t node)
{
    struct actions actions = { 0 };
    machine_start(s, node);
    REQUIRE(node_start(s->machines[node].node, s->now_ms, 1700000000000u + s->now_ms, &actions) == ERR_OK);
    carry_out(s, node, &actions);
    arm(s, node);
}

void sim_start_all(struct sim *s)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!s->machines[i].up) sim_start(s, i);
    }
}

static void power_off(struct sim *s, uint32_t node, bool loud)
{
    machine_end(s, node);
    network_node_gone(s, node, loud);
}

void sim_kill(struct sim *s, uint32_t node)
{
    power_off(s, node, true);
    disk_kill(s->machines[node].disk);
}

void sim_power_cut(struct sim *s, uint32_t node)
{
    power_off(s, node, false);
    disk_restart(s->machines[node].disk);
    memset(s->machines[node].shown, 0, sizeof s->machines[node].shown);
}

void sim_pause(struct sim *s, uint32_t node)
{
    s->machines[node].paused = true;
}

void sim_resume(struct sim *s, uint32_t node)
{
    s->machines[node].paused = false;
}

void sim_stop(struct sim *s, uint32_t node)
{
    sim_event(s, node, &(struct event){ .kind = EVENT_STOP });
}

bool sim_is_up(const struct sim *s, uint32_t node)
{
    return s->machines[node].up;
}

void sim_cut(struct sim *s, uint32_t from, uint32_t to)
{
    s->cut[from][to] = true;
}

void sim_cut_both(struct sim *s, uint32_t a, uint32_t b)
{
    sim_cut(s, a, b);
    sim_cut(s, b, a);
}

void sim_mend_all(struct sim *s)
{
    memset(s->cut, 0, sizeof s->cut);
}

/* --- time --- */

static void happen(struct sim *s, struct happening *h)
{
    struct machine *m = &s->machines[h->node];
    if (h->life != m->life) return;
    if (m->paused) { /* it will find everything waiting */
        h->at_ms = s->now_ms + 10;
        sim_schedule(s, h);
        return;
    }
    switch (h->kind) {
    case HAPPEN_WAKE:
        if (h->at_ms < m->wake_ms) return; /* another wake-up was asked for since */
        m->wake_ms = UINT64_MAX;
        sim_event(s, h->node, &(struct event){ .kind = EVENT_TICK });
        return;
    case HAPPEN_WRITE:
    case HAPPEN_SYNC:
    case HAPPEN_RETRY:
    case HAPPEN_SNAPSHOT:
        machine_happen(s, h);
        return;
    case HAPPEN_CONNECT:
    case HAPPEN_REFUSE:
    case HAPPEN_UP:
    case HAPPEN_DELIVER:
    case HAPPEN_SENT:
    case HAPPEN_DOWN:
        network_happen(s, h);
        return;
    }
}

static void run_to(struct sim *s, uint64_t end_ms)
{
    while (s->schedule.count > 0 && s->schedule.items[0].at_ms <= end_ms) {
        struct happening h = schedule_pop(&s->schedule);
        s->now_ms = h.at_ms;
        happen(s, &h);
    }
    s->now_ms = end_ms;
}

void sim_run_ms(struct sim *s, uint64_t ms)
{
    run_to(s, s->now_ms + ms);
}

uint64_t sim_now_ms(const struct sim *s)
{
    return s->now_ms;
}

bool sim_run_until(struct sim *s, sim_condition *condition, uint64_t limit_ms)
{
    uint64_t end = s->now_ms + limit_ms;
    while (!condition(s)) {
        if (s->now_ms >= end) return false;
        run_to(s, s->now_ms + 10);
    }
    return true;
}

/* --- clients --- */

static void wait_for_gate(struct machine *m, const struct operation *o)
{
    if (m->waiting_count == m->waiting_cap) {
        m->waiting_cap = m->waiting_cap ? m->waiting_cap * 2 : 16;
        m->waiting = realloc(m->waiting, m->waiting_cap * sizeof *m->waiting);
        REQUIRE(m->waiting);
    }
    m->waiting[m->waiting_count++] = *o;
}

enum err sim_add(struct sim *s, uint32_t node, const char *name, int64_t delta)
{
    struct machine *m = &s->machines[node];
    struct keyspace *k = node_keyspace(m->node);
    struct bytes bytes = bytes_of_text(name);
    struct seen seen;
    REQUIRE(delta != 0);
    enum err err = keyspace_add(k, keyspace_hash(k, bytes), bytes, delta, &seen);
    if (err != ERR_OK) return err;
    uint32_t counter = (uint32_t)(fate_of(s, name) - s->fates);
    wait_for_gate(m, &(struct operation){ .counter = counter, .delta = delta, .gate = seen.commit });
    sim_event(s, node, &(struct event){ .kind = EVENT_DIRTY });
    return ERR_OK;
}

void sim_get(struct sim *s, uint32_t node, const char *name)
{
    struct machine *m = &s->machines[node];
    struct keyspace *k = node_keyspace(m->node);
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, bytes_of_text(name)), bytes_of_text(name), &seen);
    uint32_t counter = (uint32_t)(fate_of(s, name) - s->fates);
    wait_for_gate(m, &(struct operation){
                         .counter = counter, .value = seen.value, .floor = m->shown[counter], .gate = seen.commit });
    release_replies(s, node);
}

int64_t sim_value(struct sim *s, uint32_t node, const char *name)
{
    struct keyspace *k = node_keyspace(s->machines[node].node);
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, bytes_of_text(name)), bytes_of_text(name), &seen);
    return seen.value;
}

void sim_seed(struct sim *s, uint32_t node, const char *address)
{
    struct event event = { .kind = EVENT_SEED };
    event.as.seed.address = address;
    sim_event(s, node, &event);
}

/* --- looking --- */

struct node *sim_node(struct sim *s, uint32_t node)
{
    return s->machines[node].node;
}

struct disk *sim_disk(struct sim *s, uint32_t node)
{
    return s->machines[node].disk;
}

const struct view *sim_view(struct sim *s, uint32_t node)
{
    const struct view *view;
    REQUIRE(node_view(s->machines[node].node, s->now_ms, &view) == ERR_OK);
    return view;
}

const char *sim_peers(struct sim *s, uint32_t node)
{
    char *text = s->machines[node].peers;
    size_t len = 0;
    const struct view *view = sim_view(s, node);
    *text = '\0';
    for (uint32_t i = 0; i < view->members_count; i++) {
        if (!view->members[i].heard) continue;
        int more =
            snprintf(text + len, sizeof s->machines[node].peers - len, "%s%s", len ? " " : "", view->members[i].node);
        REQUIRE(more > 0 && len + (size_t)more < sizeof s->machines[node].peers);
        len += (size_t)more;
    }
    view_drop(view);
    return text;
}

struct problem {
    char text[256];
};

static bool values_agree(struct sim *s, uint32_t first, struct problem *p)
{
    for (uint32_t c = 0; c < s->fates_count; c++) {
        const struct counter_fate *f = &s->fates[c];
        int64_t shown = sim_value(s, first, f->name);
        if (shown < f->answered + f->maybe_min || shown > f->answered + f->maybe_max) {
            snprintf(p->text, sizeof p->text, "n%u shows %s as %lld; answered %lld, never answered %lld to %lld", first,
                     f->name, (long long)shown, (long long)f->answered, (long long)f->maybe_min,
                     (long long)f->maybe_max);
            return false;
        }
        for (uint32_t i = 0; i < s->options.nodes; i++) {
            if (!s->machines[i].up || sim_value(s, i, f->name) == shown) continue;
            snprintf(p->text, sizeof p->text, "n%u shows %s as %lld, n%u as %lld", i, f->name,
                     (long long)sim_value(s, i, f->name), first, (long long)shown);
            return false;
        }
    }
    return true;
}

static bool vectors_agree(struct sim *s, uint32_t first, struct problem *p)
{
    const struct view *a = sim_view(s, first);
    bool same = true;
    for (uint32_t i = 0; i < s->options.nodes && same; i++) {
        if (!s->machines[i].up) continue;
        const struct view *b = sim_view(s, i);
        same = a->replicas_count == b->replicas_count &&
               memcmp(a->replicas, b->replicas, a->replicas_count * sizeof *a->replicas) == 0;
        for (uint32_t k = 0; k < b->replicas_count; k++) same &= b->replicas[k].known == b->replicas[k].durable;
        if (!same) snprintf(p->text, sizeof p->text, "the vectors of n%u and n%u differ", first, i);
        view_drop(b);
    }
    view_drop(a);
    return same;
}

static bool settled(struct sim *s, struct problem *p)
{
    uint32_t first = SIM_NODES_MAX;
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        struct machine *m = &s->machines[i];
        if (!m->up) continue;
        if (first == SIM_NODES_MAX) first = i;
        bool idle = m->waiting_count == 0 && !keyspace_is_dirty(node_keyspace(m->node)) && m->appends_count == 0 &&
                    !m->write_scheduled && !m->sync_scheduled;
        if (!idle) {
            snprintf(p->text, sizeof p->text, "n%u has not written everything", i);
            return false;
        }
    }
    if (first == SIM_NODES_MAX) return true;
    return values_agree(s, first, p) && vectors_agree(s, first, p);
}

bool sim_is_settled(struct sim *s)
{
    struct problem p;
    return settled(s, &p);
}

void sim_check_settled(struct sim *s)
{
    struct problem p;
    if (settled(s, &p)) return;
    fprintf(stderr, "sim: seed %llu at %llu ms: %s\n", (unsigned long long)s->options.seed,
            (unsigned long long)s->now_ms, p.text);
    require_failed("the cluster has settled", __FILE__, __LINE__);
}

uint32_t sim_notices(const struct sim *s, uint32_t node, enum notice_kind kind)
{
    return s->machines[node].notices[kind];
}

const struct notice *sim_last_notice(const struct sim *s, uint32_t node, enum notice_kind kind)
{
    return &s->machines[node].notice_last[kind];
}

void sim_listen(struct sim *s, sim_listener *listener, void *context)
{
    s->listener = listener;
    s->listener_context = context;
}

uint64_t sim_trace(const struct sim *s)
{
    return s->trace;
}

/* --- birth and end --- */

struct sim *sim_new(const struct sim_options *options)
{
    REQUIRE(options->nodes > 0 && options->nodes <= SIM_NODES_MAX);
    struct sim *s = calloc(1, sizeof *s);
    REQUIRE(s);
    s->options = *options;
    struct sim_options *o = &s->options;
    if (o->latency_ms_max == 0) o->latency_ms_max = 2;
    if (o->sync_ms_max == 0) o->sync_ms_max = 3;
    if (o->piece_bytes_max == 0) o->piece_bytes_max = 64u << 10;
    if (o->segment_bytes == 0) o->segment_bytes = 64u << 10;
    random_init(&s->random, o->seed);
    s->now_ms = 1000;
    for (uint32_t i = 0; i < o->nodes; i++) {
        s->machines[i].disk = disk_new(random_u64(&s->random), 0);
        REQUIRE(s->machines[i].disk);
    }
    return s;
}

void sim_free(struct sim *s)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        struct machine *m = &s->machines[i];
        machine_end(s, i);
        disk_free(m->disk);
        free(m->appends);
        free(m->waiting);
    }
    network_release(s);
    free(s->schedule.items);
    free(s);
}

/* --- orders --- */

static void order(struct sim *s, uint32_t node, enum order_kind kind, const char *name)
{
    struct event event = { .kind = EVENT_ORDER };
    s->machines[node].orders_answered = 0;
    event.as.order.kind = kind;
    event.as.order.name = bytes_of_text(name);
    sim_event(s, node, &event);
}

void sim_forget(struct sim *s, uint32_t node, const char *member)
{
    order(s, node, ORDER_FORGET, member);
}

void sim_leave(struct sim *s, uint32_t node)
{
    order(s, node, ORDER_LEAVE, "");
}

bool sim_is_ordered(const struct sim *s, uint32_t node, enum order_result *ret_result)
{
    *ret_result = s->machines[node].order_result;
    return s->machines[node].orders_answered > 0;
}

uint64_t sim_bytes_sent(const struct sim *s, uint32_t node)
{
    return stats_get(&s->machines[node].stats, STAT_peer_bytes_out);
}
