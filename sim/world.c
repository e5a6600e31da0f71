/* SPDX-License-Identifier: Apache-2.0 */
/* The world: events to the cores, their actions carried out, time. */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define WALL_START_MS INT64_C(1700000000000)

uint32_t sim_random(struct sim *s, uint32_t up_to)
{
    return (uint32_t)random_below(&s->random, (uint64_t)up_to + 1);
}

void sim_schedule(struct sim *s, const struct happening *h)
{
    schedule_add(&s->schedule, h);
}

void sim_moment(struct sim *s, uint32_t node, const char *what, uint64_t a, uint64_t b)
{
    struct moments *last = &s->tally->last;
    last->items[last->count++ % MOMENTS] = (struct moment){ s->now_ms, node, what, a, b };
    if (s->tells)
        printf("%9llu n%-3u %-24s %llu %llu\n", (unsigned long long)s->now_ms, node, what, (unsigned long long)a,
               (unsigned long long)b);
}

/* --- clocks --- */

static uint64_t clock_node_ms(const struct clock *c, uint64_t sim_ms)
{
    return c->node_ms + (sim_ms - c->sim_ms) * c->rate / 1000;
}

uint64_t sim_node_ms(const struct sim *s, uint32_t node)
{
    return clock_node_ms(&sim_machine(s, node)->clock, s->now_ms);
}

uint64_t sim_wall_ms(const struct sim *s, uint32_t node)
{
    const struct machine *m = sim_machine(s, node);
    return (uint64_t)(WALL_START_MS + (int64_t)s->now_ms + m->clock.wall_offset_ms);
}

/* The first simulated moment at which the node's clock shows that time. */
static uint64_t clock_sim_ms(const struct clock *c, uint64_t node_ms)
{
    if (node_ms <= c->node_ms) return c->sim_ms;
    return c->sim_ms + ((node_ms - c->node_ms) * 1000 + c->rate - 1) / c->rate;
}

static void clock_set(struct sim *s, uint32_t node, uint64_t jump_ms, uint32_t rate)
{
    struct clock *c = &sim_machine(s, node)->clock;
    c->node_ms = clock_node_ms(c, s->now_ms) + jump_ms;
    c->sim_ms = s->now_ms;
    c->rate = rate;
}

void sim_clock_jump(struct sim *s, uint32_t node, uint64_t ms)
{
    clock_set(s, node, ms, sim_machine(s, node)->clock.rate);
}

void sim_clock_rate(struct sim *s, uint32_t node, uint32_t per_1000)
{
    clock_set(s, node, 0, per_1000);
}

void sim_wall_offset(struct sim *s, uint32_t node, int64_t ms)
{
    sim_machine(s, node)->clock.wall_offset_ms = ms;
}

/* --- steps --- */

static void note(struct sim *s, uint32_t node, const struct notice *notice)
{
    static const char *const names[] = {
#define X(name, level) #name,
        NOTICE_LIST(X)
#undef X
    };
    struct machine *m = sim_machine(s, node);
    m->notices[notice->kind]++;
    if (notice->kind == NOTICE_HISTORIES) s->histories = true;
    m->notice_last[notice->kind] = *notice;
    sim_moment(s, node, names[notice->kind], notice->number, 0);
    oracle_notice(s, node, notice);
    if (s->listener) s->listener(s->listener_context, s->now_ms, node, notice);
}

static void carry_out_one(struct sim *s, uint32_t node, struct action *a)
{
    switch (a->kind) {
    case ACTION_APPEND:
    case ACTION_ROTATE:
    case ACTION_SNAPSHOT:
        machine_job(s, node, a);
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
        sim_machine(s, node)->orders_answered++;
        sim_machine(s, node)->order_result = a->as.ordered.result;
        break;
    case ACTION_STOPPED:
        sim_kill(s, node); /* in order, but a process that ends leaves no more behind */
        break;
    }
}

/* A blow that was planned falls between two actions. */
static void blow_falls(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    if (m->blow == BLOW_NONE || m->blow_after-- > 0) return;
    enum blow blow = m->blow;
    m->blow = BLOW_NONE;
    s->tally->faults[blow == BLOW_POWER ? FAULT_POWER_IN_STEP : FAULT_KILL_IN_STEP]++;
    if (blow == BLOW_POWER)
        sim_power_cut(s, node);
    else
        sim_kill(s, node);
}

void sim_carry_out(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    uint32_t life = m->life;
    s->frame_checked = NULL;
    for (uint32_t i = 0; i < s->actions.count && m->life == life; i++) {
        carry_out_one(s, node, &s->actions.items[i]);
        if (m->life == life) blow_falls(s, node);
    }
    actions_clear(&s->actions);
}

void sim_arm(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    if (!m->up) return;
    uint64_t wake = clock_sim_ms(&m->clock, node_wake_at_ms(m->node));
    if (wake <= s->now_ms) wake = s->now_ms + 1;
    if (m->wake_ms > s->now_ms && m->wake_ms <= wake) return;
    m->wake_ms = wake;
    sim_schedule(s, &(struct happening){ .at_ms = wake, .kind = HAPPEN_WAKE, .node = node, .life = m->life });
}

static const char *event_name(enum event_kind kind)
{
    static const char *const names[] = { "tick",    "dirty", "written", "synced",    "journal", "rotated", "snapshot",
                                         "link up", "bytes", "sent",    "link down", "seed",    "order",   "stop" };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "event";
}

static void trace_event(struct sim *s, uint32_t node, const struct event *event)
{
    uint64_t facts[] = { s->trace, s->now_ms, node, (uint64_t)event->kind };
    uint64_t detail = 0;
    if (event->kind == EVENT_LINK_BYTES) {
        detail = event->as.link.bytes.len;
        facts[3] ^= XXH3_64bits(event->as.link.bytes.ptr, event->as.link.bytes.len);
    }
    if (event->kind == EVENT_WRITTEN || event->kind == EVENT_SYNCED) detail = event->as.done.append;
    s->trace = XXH3_64bits(facts, sizeof facts);
    s->tally->events++;
    sim_moment(s, node, event_name(event->kind), detail, 0);
}

void sim_event(struct sim *s, uint32_t node, struct event *event)
{
    struct machine *m = sim_machine(s, node);
    if (!m->up) return;
    uint32_t life = m->life;
    REQUIRE(s->actions.count == 0);
    event->now_ms = sim_node_ms(s, node);
    event->now_us = event->now_ms * 1000;
    event->wall_ms = sim_wall_ms(s, node);
    trace_event(s, node, event);
    oracle_steps(s, node, event->now_ms);
    REQUIRE(node_step(m->node, event, &s->actions) == ERR_OK);
    oracle_stepped(s, node, event);
    sim_carry_out(s, node);
    if (m->life != life) return;
    oracle_answer(s, node);
    sim_arm(s, node);
}

/* --- time --- */

static void audit(struct sim *s)
{
    uint32_t node = s->audit_next++ % s->options.nodes;
    oracle_audit(s, node);
    sim_schedule(s, &(struct happening){ .at_ms = s->now_ms + AUDIT_MS, .kind = HAPPEN_AUDIT });
}

static void happen(struct sim *s, struct happening *h)
{
    if (h->kind == HAPPEN_PLAN) {
        s->planner(s->planner_context, h->wire, h->node);
        return;
    }
    if (h->kind == HAPPEN_AUDIT) {
        audit(s);
        return;
    }
    struct machine *m = sim_machine(s, h->node);
    if (h->life != m->life) return;
    if (m->paused) {
        m->held = sim_grow(m->held, &m->held_cap, m->held_count, sizeof *m->held);
        m->held[m->held_count++] = *h;
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
    case HAPPEN_AUDIT:
    case HAPPEN_PLAN:
        return;
    }
}

static void run_to(struct sim *s, uint64_t end_ms)
{
    while (s->schedule.count > 0 && s->schedule.items[0].at_ms <= end_ms) {
        struct happening h = schedule_take(&s->schedule);
        s->now_ms = h.at_ms;
        happen(s, &h);
    }
    s->now_ms = end_ms;
}

void sim_run_ms(struct sim *s, uint64_t ms)
{
    s->tally->node_ms += ms * s->options.nodes;
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
        sim_run_ms(s, 10);
    }
    return true;
}

void sim_plan(struct sim *s, sim_planner *planner, void *context)
{
    s->planner = planner;
    s->planner_context = context;
}

void sim_plan_at(struct sim *s, uint64_t delay_ms, uint32_t what, uint32_t node)
{
    sim_schedule(s,
                 &(struct happening){ .at_ms = s->now_ms + delay_ms, .kind = HAPPEN_PLAN, .wire = what, .node = node });
}

/* --- birth and end --- */

uint32_t sim_add_node(struct sim *s)
{
    uint32_t node = s->options.nodes++;
    s->machines = sim_grow(s->machines, &s->machines_cap, node, sizeof(struct machine *));
    struct machine *m = calloc(1, sizeof *m);
    REQUIRE(m);
    s->machines[node] = m;
    snprintf(m->name, sizeof m->name, "n%u:1", node);
    m->disk = disk_new(random_u64(&s->random), 0);
    m->clock = (struct clock){ .sim_ms = s->now_ms, .node_ms = s->now_ms, .rate = 1000 };
    network_fit(s, s->options.nodes);
    return node;
}

struct sim *sim_new(const struct sim_options *options)
{
    REQUIRE(options->nodes > 0);
    struct sim *s = calloc(1, sizeof *s);
    REQUIRE(s);
    s->options = *options;
    struct sim_options *o = &s->options;
    if (o->latency_ms_max == 0) o->latency_ms_max = 2;
    if (o->sync_ms_max == 0) o->sync_ms_max = 3;
    if (o->piece_bytes_max == 0) o->piece_bytes_max = 64u << 10;
    if (o->backoff_ms_max == 0) o->backoff_ms_max = SIM_BACKOFF_MS_MAX;
    if (o->segment_bytes == 0) o->segment_bytes = 64u << 10;
    random_init(&s->random, o->seed);
    registry_init(&s->registry);
    s->tally = &s->tally_own;
    s->now_ms = 1000;
    o->nodes = 0;
    while (o->nodes < options->nodes) sim_add_node(s);
    if (!o->unchecked) sim_schedule(s, &(struct happening){ .at_ms = s->now_ms + AUDIT_MS, .kind = HAPPEN_AUDIT });
    return s;
}

static void machine_free(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    sim_end(s, node, END_KILL);
    disk_free(m->disk);
    disk_free(m->image);
    ledger_release(&m->ledger);
    free(m->jobs);
    free(m->held);
    free(m->waiting);
    free(m->dialled);
    free(m->opinions);
    free(m->peers);
    free(m);
}

void sim_free(struct sim *s)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) machine_free(s, i);
    network_release(s);
    registry_release(&s->registry);
    actions_release(&s->actions);
    schedule_release(&s->schedule);
    free(s->machines);
    free(s);
}
