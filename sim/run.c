/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/run.h"

#include "sim/faults.h"
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define PLAN_CLIENT 2000u
#define LENGTH_S_MIN 10u
#define LENGTH_S_SPREAD 40u
/* A frame of 56 KiB must come through within the peer timeout, or a link with bulk on it looks dead. */
#define LINK_BYTES_PER_MS_MIN 40u
#define APART_MS_MAX 60000u
#define STOPPED_AFTER_MS 2000u
#define REST_WINDOW_MS 10000u
#define REST_BEFORE_MS 60000u             /* links that are doubled end, boots become firm */
#define NODE_BYTES_MOST (1280u << 10)     /* tables, buffers, the megabyte that the journal keeps for its next write */
#define REST_GROWTH_BYTES_MOST (8u << 10) /* of each node */
#define LINK_BYTES_MOST (16u << 10)
#define ID_BYTES_MOST 128u
#define PLACE_BYTES_MOST 40u              /* a place and the room of a row that has doubled */
#define CONTROL_BYTES_PER_SECOND_MAX 400u /* for each peer: heartbeats and their answers, now and then a question */

uint32_t run_draw(struct run *r, uint32_t below)
{
    return (uint32_t)random_below(&r->random, below);
}

/* --- drawing a run --- */

static void draw_clients(struct run *r)
{
    static const uint32_t counters[] = { 1, 3, 20, 100, 1000 };
    r->counters = counters[run_draw(r, 5)];
    r->op_every_ms = 10u << run_draw(r, 6);
    r->read_percent = run_draw(r, 50);
    r->name_bytes = run_draw(r, 4) == 0 ? 40 + run_draw(r, 200) : 0;
    r->delta_max = run_draw(r, 8) == 0 ? INT64_C(1) << 40 : 9;
    r->grow_only = run_draw(r, 2) == 0;
    r->burst_one_in = run_draw(r, 2) == 0 ? 16u << run_draw(r, 7) : 0;
}

static void draw_world(struct run *r)
{
    uint32_t slow = run_draw(r, 4) == 0 ? 300 : 20;
    bool small_pieces = run_draw(r, 3) == 0;
    struct sim_options options = { .nodes = r->options.nodes ? r->options.nodes : 2 + run_draw(r, 5),
                                   .seed = r->options.seed,
                                   .async = run_draw(r, 2) == 0,
                                   .grow_only = r->grow_only,
                                   .latency_ms_max = 1 + run_draw(r, slow),
                                   .write_ms_max = run_draw(r, 10),
                                   .sync_ms_max = 1 + run_draw(r, slow),
                                   .link_bytes_per_ms =
                                       run_draw(r, 4) == 0 ? LINK_BYTES_PER_MS_MIN + run_draw(r, 200) : 0,
                                   .piece_bytes_max = small_pieces ? 1 + run_draw(r, 2000) : 0,
                                   .segment_bytes = 4096u << run_draw(r, 6),
                                   .snapshot_bytes = 5000u << run_draw(r, 6),
                                   .backoff_ms_max = SIM_BACKOFF_MS_MAX >> run_draw(r, 6),
                                   .seeds = 1 + run_draw(r, 3) };
    if (options.seeds > options.nodes) options.seeds = options.nodes;
    r->nodes_max = options.nodes + 1 + run_draw(r, 3);
    r->disks_lost_max = 1 + run_draw(r, 3);
    r->sim = sim_new(&options);
    r->sim->tally = r->options.tally;
    r->sim->tells = r->options.tells;
}

/* What this run is like, for whoever reads its trace. */
static void tell_conditions(const struct run *r)
{
    static const char *const forces[] = {
#define X(name, text) #name,
        FORCE_LIST(X)
#undef X
    };
    const struct sim_options *o = &r->sim->options;
    printf("nodes %u, %s, %s, latency to %u ms, write to %u, sync to %u, pieces to %u, segments of %u, %u counters\n",
           o->nodes, o->async ? "async" : "sync", r->grow_only ? "grow-only" : "both signs", o->latency_ms_max,
           o->write_ms_max, o->sync_ms_max, o->piece_bytes_max, o->segment_bytes, r->counters);
    printf("faults, each in so many ms:");
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        if (r->every_ms[i] > 0) printf(" %s %u", fault_name(i), r->every_ms[i]);
    }
    printf("\nforced, one in so many:");
    for (uint32_t i = 0; i < FORCE_COUNT; i++) {
        if (r->one_in[i] > 0) printf(" %s %u", forces[i], r->one_in[i]);
    }
    printf("\n");
}

/* --- clients --- */

static void client_name(const struct run *r, uint32_t counter, char name[320])
{
    int len = snprintf(name, 320, "c%u", counter);
    for (uint32_t i = (uint32_t)len; i < r->name_bytes; i++) name[len++] = (char)('a' + (counter + i) % 26);
    name[len] = '\0';
}

static void client_adds(struct run *r, uint32_t node, const char *name)
{
    int64_t delta = 1 + (int64_t)random_below(&r->random, (uint64_t)r->delta_max);
    if (!r->grow_only && run_draw(r, 3) == 0) delta = -delta;
    enum err err = sim_add(r->sim, node, name, delta);
    REQUIRE(err == ERR_OK || err == ERR_FENCED || err == ERR_FULL || err == ERR_CLOSED || err == ERR_RANGE);
}

/* More than a commit takes at a stretch. (The node may fall in the middle of it.) */
static void client_bursts(struct run *r, uint32_t node)
{
    char name[320];
    uint32_t count = 1 + run_draw(r, r->counters);
    for (uint32_t i = 0; i < count && sim_is_up(r->sim, node); i++) {
        client_name(r, i, name);
        client_adds(r, node, name);
    }
}

static void client_acts(struct run *r, uint32_t node)
{
    char name[320];
    if (r->burst_one_in > 0 && run_draw(r, r->burst_one_in) == 0) {
        client_bursts(r, node);
        return;
    }
    client_name(r, run_draw(r, 1 + run_draw(r, r->counters)), name);
    if (run_draw(r, 100) < r->read_percent) {
        sim_get(r->sim, node, name);
        return;
    }
    client_adds(r, node, name);
}

static void planned(void *context, uint32_t what, uint32_t node)
{
    struct run *r = context;
    if (what != PLAN_CLIENT) {
        fault_strikes(r, what, node);
        return;
    }
    if (r->quiet) return;
    for (uint32_t i = 0; i < r->sim->options.nodes; i++) {
        const struct machine *m = sim_machine(r->sim, i);
        if (m->up && !m->paused) client_acts(r, i);
    }
    sim_plan_at(r->sim, 1 + run_draw(r, 2 * r->op_every_ms), PLAN_CLIENT, 0);
}

/* --- healing --- */

static bool takes_part(const struct sim *s, uint32_t node)
{
    return sim_machine(s, node)->up && !sim_machine(s, node)->outside;
}

enum acquaintance { STRANGER, FORGOTTEN, KNOWN };

static enum acquaintance knows(struct sim *s, uint32_t node, uint32_t other)
{
    const struct view *view = sim_view(s, node);
    enum acquaintance found = STRANGER;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct view_member *m = &view->members[i];
        if (strcmp(m->node, sim_machine(s, other)->name) == 0) found = m->state == MEMBER_LEFT ? FORGOTTEN : KNOWN;
    }
    view_drop(view);
    return found;
}

/* Two that were told to forget each other find together only if somebody says so. */
static void reconcile(struct sim *s, uint32_t count)
{
    for (uint32_t a = 0; a < count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (!takes_part(s, a) || !takes_part(s, b)) continue;
            enum acquaintance there = knows(s, a, b), back = knows(s, b, a);
            if (there != KNOWN && back != KNOWN && (there == FORGOTTEN || back == FORGOTTEN))
                sim_seed(s, a, sim_machine(s, b)->name);
        }
    }
}

/* Whoever knows of each other, in whichever direction, finds together. An operator introduces only those to the first
 * node that are of another crowd: a number below `count` for each. */
static void find_crowds(struct sim *s, uint32_t *crowd, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) crowd[i] = i;
    for (uint32_t a = 0; a < count; a++) {
        for (uint32_t b = 0; b < count; b++) {
            if (crowd[a] == crowd[b] || !takes_part(s, a) || !takes_part(s, b)) continue;
            if (knows(s, a, b) != KNOWN) continue;
            uint32_t from = crowd[b], to = crowd[a];
            for (uint32_t i = 0; i < count; i++) crowd[i] = crowd[i] == from ? to : crowd[i];
        }
    }
}

static void introduce(struct run *r)
{
    struct sim *s = r->sim;
    uint32_t count = s->options.nodes, first = UINT32_MAX;
    reconcile(s, count);
    uint32_t *crowd = sim_grow(NULL, &(uint32_t){ 0 }, count, sizeof *crowd);
    find_crowds(s, crowd, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!takes_part(s, i)) continue;
        if (first == UINT32_MAX) first = i;
        if (crowd[i] == crowd[first]) continue;
        sim_seed(s, i, sim_machine(s, first)->name);
        uint32_t joined = crowd[i];
        for (uint32_t k = 0; k < count; k++) crowd[k] = crowd[k] == joined ? crowd[first] : crowd[k];
    }
    free(crowd);
}

static void cut_off(struct sim *s, uint32_t node)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (i != node) sim_cut_both(s, node, i);
    }
}

static void mend_between(struct sim *s)
{
    for (uint32_t a = 0; a < s->options.nodes; a++) {
        for (uint32_t b = 0; b < s->options.nodes; b++) {
            if (!sim_machine(s, a)->outside && !sim_machine(s, b)->outside) sim_mend(s, a, b);
        }
    }
    network_mended(s);
}

/* In order, or to leave. */
static bool is_stopping(struct sim *s, uint32_t node)
{
    return sim_is_up(s, node) && keyspace_writes_refused(node_keyspace(sim_node(s, node))) == ERR_CLOSED;
}

/* The nodes that are not `outside` are healed; the others stay as dead as they are, or are cut off. */
static void heal(struct run *r)
{
    struct sim *s = r->sim;
    faults_end(r);
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        struct machine *m = sim_machine(s, i);
        if (m->outside) {
            cut_off(s, i);
            continue;
        }
        m->blow = BLOW_NONE;
        disk_calm(m->disk);
        sim_resume(s, i);
        if (is_stopping(s, i)) sim_kill(s, i); /* it would be gone in a moment */
        if (!m->up) sim_start(s, i);
    }
    mend_between(s);
    introduce(r);
}

static bool is_agreed(struct sim *s)
{
    char problem[PROBLEM_BYTES];
    return oracle_members_agree(s, problem) && oracle_is_at_rest(s, problem);
}

static void agree(struct run *r, const char *who)
{
    struct sim *s = r->sim;
    uint64_t began = s->now_ms;
    sim_moment(s, 0, who, 0, 0);
    bool agreed = sim_run_until(s, is_agreed, RUN_AGREE_MS_FOR(s->options.backoff_ms_max));
    oracle_check_rest(s);
    oracle_check_members(s);
    REQUIRE(agreed);
    uint64_t took = s->now_ms - began;
    if (took > s->tally->converged_ms_max) s->tally->converged_ms_max = took;
}

static void choose_healed(struct run *r)
{
    struct sim *s = r->sim;
    uint32_t count = s->options.nodes, chosen = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct machine *m = sim_machine(s, i);
        m->outside = m->stopped_for_good || (run_draw(r, 3) == 0 && !r->forks);
        chosen += !m->outside;
    }
    for (uint32_t i = 0; i < count && chosen == 0; i++) {
        struct machine *m = sim_machine(s, i);
        if (m->stopped_for_good) continue;
        m->outside = false;
        chosen++;
    }
}

/* --- at rest --- */

static void rest_for_a_while(struct sim *s, uint64_t *sent)
{
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < s->options.nodes; i++) before += sim_bytes_sent(s, i);
    sim_run_ms(s, REST_WINDOW_MS);
    for (uint32_t i = 0; i < s->options.nodes; i++) after += sim_bytes_sent(s, i);
    *sent = after - before;
}

/* Invariant (8): what nodes hold beside their counters is bounded by links and replica ids, and by the recent places,
 * of which a replica has at most as many as entries. */
static void check_memory(struct run *r)
{
    struct sim *s = r->sim;
    uint64_t nodes = 0, counters = 0, entries = 0, ids = s->registry.lines_count;
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!sim_is_up(s, i)) continue;
        nodes++;
        counters += keyspace_bytes(node_keyspace(sim_node(s, i)));
    }
    for (uint32_t line = 1; line < ids; line++) entries += s->registry.lines[line].count;
    uint64_t most =
        nodes * (NODE_BYTES_MOST + nodes * (LINK_BYTES_MOST + ids * ID_BYTES_MOST) + entries * PLACE_BYTES_MOST);
    uint64_t beside = mem_held() - r->held_before - counters;
    s->tally->checks[CHECK_MEMORY_BOUNDED]++;
    if (beside > most)
        oracle_fail(s, 0, "MEMORY_BOUNDED", "%llu bytes beside the counters, at most %llu", (unsigned long long)beside,
                    (unsigned long long)most);
}

/* Invariant (8): what is said at rest does not grow with what was said before. */
static void check_control(struct run *r)
{
    struct sim *s = r->sim;
    uint64_t first, second, nodes = s->options.nodes;
    sim_run_ms(s, REST_BEFORE_MS);
    rest_for_a_while(s, &first);
    uint64_t held = mem_held();
    rest_for_a_while(s, &second);
    if (mem_held() > held + nodes * REST_GROWTH_BYTES_MOST)
        oracle_fail(s, 0, "MEMORY_BOUNDED", "%llu bytes more after a while at rest",
                    (unsigned long long)(mem_held() - held));
    uint64_t most = nodes * nodes * CONTROL_BYTES_PER_SECOND_MAX * (REST_WINDOW_MS / 1000);
    s->tally->checks[CHECK_CONTROL_CONSTANT]++;
    if (second > most || second > first + first / 2 + 1000 * nodes)
        oracle_fail(s, 0, "CONTROL_CONSTANT", "%llu bytes at rest, then %llu, at most %llu", (unsigned long long)first,
                    (unsigned long long)second, (unsigned long long)most);
    oracle_check_rest(s);
}

/* A cluster that starts as a whole finds itself. */
static void start_all_anew(struct run *r)
{
    struct sim *s = r->sim;
    bool power = run_draw(r, 2) == 0;
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (power)
            sim_power_cut(s, i);
        else if (sim_is_up(s, i))
            sim_kill(s, i);
    }
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!sim_machine(s, i)->stopped_for_good) sim_start(s, i);
    }
}

/* Who said goodbye and comes back knowing nobody is found by the others. */
static void replace_one(struct run *r)
{
    struct sim *s = r->sim;
    uint32_t node = run_draw(r, s->options.nodes);
    if (!sim_is_up(s, node)) return;
    sim_stop(s, node);
    sim_run_ms(s, STOPPED_AFTER_MS);
    REQUIRE(!sim_is_up(s, node));
    sim_lose_disk(s, node);
    sim_start(s, node);
}

/* In the end some clusters go through a restart, and nothing has become of what was there. */
static void start_anew(struct run *r)
{
    struct sim *s = r->sim;
    uint32_t story = run_draw(r, 8);
    uint64_t before = oracle_entries_of_all(s);
    if (story > 1) return;
    s->options.no_seeds = true;
    if (story == 0)
        start_all_anew(r);
    else
        replace_one(r);
    agree(r, "after a restart");
    s->tally->checks[CHECK_FOUND_AGAIN]++;
    if (oracle_entries_of_all(s) != before) oracle_fail(s, 0, "FOUND_AGAIN", "other entries than before the restart");
}

/* --- the phases --- */

static void be_unsafe(struct run *r)
{
    struct sim *s = r->sim;
    uint32_t length_s = r->options.length_s ? r->options.length_s : LENGTH_S_MIN + run_draw(r, LENGTH_S_SPREAD);
    sim_plan(s, planned, r);
    for (uint32_t i = 0; i < s->options.nodes; i++) sim_start(s, i);
    sim_plan_at(s, 1, PLAN_CLIENT, 0);
    faults_begin(r);
    forces_begin(r);
    sim_run_ms(s, length_s * 1000u);
    forces_end();
    r->quiet = true;
}

uint64_t run_seed(const struct run_options *options)
{
    struct run r = { .options = *options, .held_before = mem_held() };
    random_init(&r.random, options->seed * 7919 + 1);
    draw_clients(&r);
    draw_world(&r);
    faults_draw(&r);
    forces_draw(&r);
    if (options->shape) options->shape(&r);
    if (options->tells) tell_conditions(&r);
    be_unsafe(&r);
    choose_healed(&r);
    heal(&r);
    agree(&r, "some are healed");
    if (run_draw(&r, 4) == 0) sim_run_ms(r.sim, run_draw(&r, APART_MS_MAX));
    for (uint32_t i = 0; i < r.sim->options.nodes; i++)
        sim_machine(r.sim, i)->outside = sim_machine(r.sim, i)->stopped_for_good;
    heal(&r);
    agree(&r, "all are healed");
    check_control(&r);
    check_memory(&r);
    start_anew(&r);
    uint64_t trace = sim_trace(r.sim);
    r.sim->tally->runs++;
    sim_free(r.sim);
    return trace;
}

void run_speed(uint64_t seed, uint32_t seconds, struct tally *tally)
{
    struct run r = { .options = { .seed = seed, .tally = tally }, .counters = 1000, .op_every_ms = 10, .delta_max = 9 };
    random_init(&r.random, seed);
    r.sim = sim_new(&(struct sim_options){
        .nodes = 5, .seed = seed, .latency_ms_max = 2, .sync_ms_max = 8, .segment_bytes = 1u << 20 });
    r.sim->tally = tally;
    sim_plan(r.sim, planned, &r);
    sim_start_all(r.sim);
    sim_plan_at(r.sim, 1, PLAN_CLIENT, 0);
    sim_run_ms(r.sim, seconds * 1000u);
    sim_free(r.sim);
}
