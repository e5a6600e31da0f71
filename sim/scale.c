/* SPDX-License-Identifier: Apache-2.0 */
/* scale: what a cluster of N nodes costs, measured on the shipped core in one thread (mesh.h). For each N in turn: a
 * cold start, load, rest, and a split that heals. docs/SCALE.md has the figures and what follows from them. */
#include "base/alloc.h"
#include "cluster/frame.h"
#include "count/block.h"
#include "count/replicas.h"
#include "sim/probe.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNS_MAX 16u
#define COLD_LIMIT_MS 120000u
#define HEAL_LIMIT_MS 120000u

/* What is measured at this size: less at the large ones, so that the machine can do it. */
struct plan {
    uint32_t nodes, real, per_second, rest_ms, load_ms, split_ms;
};
static const struct plan plans[] = {
    { 10, UINT32_MAX, 100, 10000, 10000, 60000 }, { 30, UINT32_MAX, 100, 10000, 5000, 20000 },
    { 100, UINT32_MAX, 10, 10000, 5000, 12000 },  { 300, UINT32_MAX, 1, 3000, 3000, 8000 },
    { UINT32_MAX, 1, 10, 10000, 5000, 0 },
};

struct totals {
    uint64_t cpu_ns, steps, sent, received, digests, blocks, increments;
};

struct result {
    struct plan plan;
    struct totals cold, rest, load, heal;
    uint64_t load_increments; /* of the whole cluster */
    uint64_t cold_ms, rest_ms, load_ms, heal_ms;
    uint64_t memory_rest, memory_load, visible_p50_ms, visible_p99_ms, missing_bytes;
    bool cold_done, heal_done, load_done;
};

struct bench {
    struct mesh *m;
    struct plan plan;
    double limit_s; /* of real time, for each phase */
    struct result *r;
};

static uint64_t sum(const uint64_t kinds[MESH_KINDS])
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < MESH_KINDS; i++) all += kinds[i];
    return all;
}

static struct totals totals_now(const struct bench *b)
{
    struct totals t = { .increments = b->m->increments };
    for (uint32_t i = 0; i < b->plan.real; i++) {
        const struct spot *spot = &b->m->spots[i];
        t.cpu_ns += spot->cpu_ns;
        t.steps += spot->steps;
        t.sent += sum(spot->sent);
        t.received += sum(spot->received);
        t.digests += spot->received[FRAME_DIGEST];
        t.blocks += spot->received[FRAME_BLOCK];
    }
    return t;
}

static struct totals totals_since(const struct bench *b, const struct totals *before)
{
    struct totals t = totals_now(b);
    t.cpu_ns -= before->cpu_ns;
    t.steps -= before->steps;
    t.sent -= before->sent;
    t.received -= before->received;
    t.digests -= before->digests;
    t.blocks -= before->blocks;
    t.increments -= before->increments;
    return t;
}

/* The line is for whoever waits; CPU so far is that of all measured nodes. */
static void phase(struct bench *b, const char *what)
{
    b->m->deadline_s = mesh_real_s() + b->limit_s;
    fprintf(stderr, "%u nodes: %s, at %llu ms, CPU so far %.3f s\n", b->m->nodes, what,
            (unsigned long long)b->m->now_ms, (double)totals_now(b).cpu_ns / 1e9);
}

/* --- cold start --- */

static bool hears_all(const struct bench *b, uint32_t node)
{
    const struct view *view;
    uint32_t heard = 0;
    REQUIRE(node_view(b->m->spots[node].node, b->m->now_ms, &view) == ERR_OK);
    for (uint32_t i = 0; i < view->members_count; i++) heard += view->members[i].heard && !view->members[i].is_self;
    view_drop(view);
    return heard == b->m->nodes - 1;
}

static bool all_hear_all(const struct bench *b)
{
    for (uint32_t i = 0; i < b->plan.real; i++) {
        if (!hears_all(b, i)) return false;
    }
    return true;
}

static void cold_start(struct bench *b)
{
    uint64_t began_ms = b->m->now_ms;
    struct totals before = totals_now(b);
    phase(b, "cold start");
    mesh_start(b->m);
    uint32_t pause_ms = b->m->nodes > 30 ? 100 : 10;
    while (!b->r->cold_done && b->m->now_ms - began_ms < COLD_LIMIT_MS && mesh_run_ms(b->m, pause_ms))
        b->r->cold_done = all_hear_all(b);
    b->r->cold_ms = b->m->now_ms - began_ms;
    b->r->cold = totals_since(b, &before);
}

/* --- load and rest --- */

static void load(struct bench *b)
{
    struct probes probes;
    phase(b, "load");
    b->m->per_second = b->plan.per_second;
    if (!mesh_run_ms(b->m, 2000)) return; /* all have begun to write, and pledged (count/trail.h) */
    probes_init(&probes, b->m, b->plan.real);
    struct totals before = totals_now(b);
    uint64_t began_ms = b->m->now_ms;
    b->r->load_done = true;
    while (b->r->load_done && b->m->now_ms - began_ms < b->plan.load_ms) {
        b->r->load_done = mesh_run_ms(b->m, 1);
        probes_tick(&probes);
    }
    b->r->load_ms = b->m->now_ms - began_ms;
    b->r->load = totals_since(b, &before);
    b->r->load_increments = b->r->load.increments;
    if (b->plan.real < b->m->nodes)
        b->r->load_increments = b->plan.per_second * (uint64_t)b->m->nodes * b->r->load_ms / 1000;
    b->r->memory_load = mesh_memory_bytes();
    b->r->visible_p50_ms = probes_percentile(&probes, 50);
    b->r->visible_p99_ms = probes_percentile(&probes, 99);
}

static void rest(struct bench *b)
{
    phase(b, "rest");
    b->m->per_second = 0;
    if (!mesh_run_ms(b->m, 2000)) return;
    struct totals before = totals_now(b);
    uint64_t began_ms = b->m->now_ms;
    mesh_run_ms(b->m, b->plan.rest_ms);
    b->r->rest_ms = b->m->now_ms - began_ms;
    b->r->rest = totals_since(b, &before);
    b->r->memory_rest = mesh_memory_bytes();
}

/* --- split and heal --- */

static uint64_t replica_known(const struct bench *b, uint32_t node, uint32_t of)
{
    const struct replicas *r = node_replicas(b->m->spots[node].node);
    uint32_t replica = replicas_find(r, &b->m->spots[of].replica);
    return replica == REPLICA_NONE ? 0 : replicas_known(r, replica)->known;
}

static bool all_equal(const struct bench *b)
{
    for (uint32_t of = 0; of < b->m->nodes; of++) {
        uint64_t own = replica_known(b, of, of);
        for (uint32_t i = 0; i < b->m->nodes; i++) {
            if (keyspace_is_dirty(node_keyspace(b->m->spots[i].node))) return false;
            if (replica_known(b, i, of) != own) return false;
        }
    }
    return true;
}

/* The least that an entry takes in a block: seq step, length and name, flags, net. */
static uint64_t entry_bytes(uint32_t net)
{
    return 1 + 1 + 4 + 1 + (net < 64 ? 1u : 2u);
}

/* What all nodes together do not have of the other half's entries, as one block of each replica. */
static uint64_t missing_bytes(const struct bench *b, uint64_t since_ms)
{
    uint64_t half[2] = { 0 }, lower = b->m->nodes / 2;
    for (uint32_t i = 0; i < b->m->nodes; i++) {
        const struct spot *spot = &b->m->spots[i];
        uint64_t bytes = 0;
        for (uint32_t c = 0; c < MESH_COUNTERS; c++) {
            if (spot->touched_ms[c] >= since_ms) bytes += entry_bytes(spot->nets[c]);
        }
        if (bytes > 0) half[i >= lower] += bytes + BLOCK_HEAD_BYTES + FRAME_HEAD_BYTES;
    }
    return half[0] * (b->m->nodes - lower) + half[1] * lower;
}

static void split_and_heal(struct bench *b)
{
    if (b->plan.split_ms == 0) return;
    phase(b, "split");
    uint64_t split_at_ms = b->m->now_ms;
    b->m->per_second = b->plan.per_second;
    b->m->cut = true;
    bool whole = mesh_run_ms(b->m, b->plan.split_ms);
    b->m->per_second = 0;
    if (whole) whole = mesh_run_ms(b->m, 50); /* each half is equal in itself */
    b->plan.split_ms = b->r->plan.split_ms = (uint32_t)(b->m->now_ms - split_at_ms);
    b->r->missing_bytes = missing_bytes(b, split_at_ms);
    struct totals before = totals_now(b);
    uint64_t began_ms = b->m->now_ms;
    b->m->cut = false;
    phase(b, "heal");
    while (!b->r->heal_done && b->m->now_ms - began_ms < HEAL_LIMIT_MS && mesh_run_ms(b->m, 10))
        b->r->heal_done = all_equal(b);
    b->r->heal_ms = b->m->now_ms - began_ms;
    b->r->heal = totals_since(b, &before);
}

/* --- the table --- */

static double per(uint64_t sum_of_all, uint64_t by)
{
    return by == 0 ? 0 : (double)sum_of_all / (double)by;
}

static void print_start(const struct result *runs, uint32_t count)
{
    puts("| nodes | measured | cold start, s | sent a node, KB | CPU a node, ms |\n|--:|--:|--:|--:|--:|");
    for (uint32_t i = 0; i < count; i++) {
        const struct result *r = &runs[i];
        uint32_t n = r->plan.real;
        printf("| %u | %u | %.2f%s | %.1f | %.2f |\n", r->plan.nodes, n, (double)r->cold_ms / 1000,
               r->cold_done ? "" : " (not all)", per(r->cold.sent, n) / 1000, per(r->cold.cpu_ns, n) / 1e6);
    }
}

static void print_rest(const struct result *runs, uint32_t count)
{
    puts("\n| nodes | at rest: sent a node, B/s | CPU a node, ms/s | memory a node, KB | for, s |\n"
         "|--:|--:|--:|--:|--:|");
    for (uint32_t i = 0; i < count; i++) {
        const struct result *r = &runs[i];
        uint32_t n = r->plan.real;
        printf("| %u | %.0f | %.3f | %.0f | %.1f |\n", r->plan.nodes, per(r->rest.sent * 1000, r->rest_ms * n),
               per(r->rest.cpu_ns, n) / 1e6 * per(1000, r->rest_ms), per(r->memory_rest, n) / 1000,
               (double)r->rest_ms / 1000);
    }
}

static void print_load(const struct result *runs, uint32_t count)
{
    puts("\n| nodes | increments/s a node | sent a node, KB/s | bytes an increment and receiver | of it digests, % "
         "| CPU a node, ms/s | CPU an increment and node, µs | visible after, ms: p50 | p99 | memory a node, KB "
         "| for, s |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (uint32_t i = 0; i < count; i++) {
        const struct result *r = &runs[i];
        uint32_t n = r->plan.real;
        uint64_t pairs = r->load_increments * n - r->load.increments; /* (increment, receiver) */
        printf("| %u | %u | %.1f | %.1f | %.0f | %.2f | %.2f | %llu | %llu | %.0f | %.1f |\n", r->plan.nodes,
               r->plan.per_second, per(r->load.sent, n) / 1000 * per(1000, r->load_ms), per(r->load.received, pairs),
               100 * per(r->load.digests, r->load.received), per(r->load.cpu_ns, n) / 1e6 * per(1000, r->load_ms),
               per(r->load.cpu_ns, r->load_increments * n) / 1000, (unsigned long long)r->visible_p50_ms,
               (unsigned long long)r->visible_p99_ms, per(r->memory_load, n) / 1000, (double)r->load_ms / 1000);
    }
}

static void print_heal(const struct result *runs, uint32_t count)
{
    puts("\n| nodes | increments/s a node | split for, s | all equal after, s | missing a node, KB | entries received, "
         "KB "
         "| times what was missing | all received, KB | times | CPU a node, ms |\n"
         "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (uint32_t i = 0; i < count; i++) {
        const struct result *r = &runs[i];
        uint32_t n = r->plan.real;
        if (r->heal_ms == 0) continue;
        printf("| %u | %u | %.1f | %.2f%s | %.1f | %.1f | %.2f | %.1f | %.2f | %.1f |\n", r->plan.nodes,
               r->plan.per_second, (double)r->plan.split_ms / 1000, (double)r->heal_ms / 1000,
               r->heal_done ? "" : " (not all)", per(r->missing_bytes, n) / 1000, per(r->heal.blocks, n) / 1000,
               per(r->heal.blocks, r->missing_bytes), per(r->heal.received, n) / 1000,
               per(r->heal.received, r->missing_bytes), per(r->heal.cpu_ns, n) / 1e6);
    }
}

static void run(struct result *r, uint32_t nodes, bool one, double limit_s)
{
    struct bench b = { .limit_s = limit_s, .r = r };
    uint32_t i = 0;
    while (one ? plans[i].real != 1 : nodes > plans[i].nodes) i++;
    b.plan = plans[i];
    b.plan.nodes = nodes;
    if (b.plan.real > nodes) b.plan.real = nodes;
    *r = (struct result){ .plan = b.plan };
    b.m = mesh_new(nodes, b.plan.real);
    cold_start(&b);
    load(&b);
    rest(&b);
    split_and_heal(&b);
    mesh_free(b.m);
}

/* `scale [--limit SECONDS] [--one] N...`: seconds of real time for each phase of each N; of those behind --one one node
 * is real, as it is with 1,000 in any case. */
int main(int argc, char **argv)
{
    static struct result runs[RUNS_MAX];
    uint32_t count = 0;
    double limit_s = 120;
    bool one = false;
    for (int i = 1; i < argc; i++) {
        char *end;
        if (strcmp(argv[i], "--one") == 0) {
            one = true;
            continue;
        }
        bool is_limit = strcmp(argv[i], "--limit") == 0 && i + 1 < argc;
        unsigned long number = strtoul(argv[is_limit ? ++i : i], &end, 10);
        if (*end != '\0' || number < 2 || number > 2000 || count == RUNS_MAX) {
            fputs("usage: scale [--limit SECONDS] [--one] N..., N from 2 to 2000\n", stderr);
            return 2;
        }
        if (is_limit)
            limit_s = (double)number;
        else
            run(&runs[count++], (uint32_t)number, one, limit_s);
    }
    print_start(runs, count);
    print_load(runs, count);
    print_rest(runs, count);
    print_heal(runs, count);
    return 0;
}
