/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/history.h"

#include "base/random.h"
#include "sim/disk.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#define STEPS_DEFAULT 1500u
#define SETTLE_MS 180000u
#define COUNTERS 50u

/* Chances in a thousand for each step, drawn for each history: some are calm, some are hell. */
struct chances {
    uint32_t add, get, kill, power, cut, mend, break_links, pause, resume, fill, empty;
};

struct history {
    const struct history_options *options;
    struct sim *sim;
    struct random random;
    struct chances chances;
    uint32_t nodes;
    bool async;
};

static uint32_t draw(struct history *h, uint32_t below)
{
    return (uint32_t)random_below(&h->random, below);
}

static void tell(void *context, uint64_t now_ms, uint32_t node, const struct notice *notice)
{
    (void)context;
    printf("%8" PRIu64 " n%u notice %d %s %" PRIu64 " %s\n", now_ms, node, (int)notice->kind, notice->node,
           notice->number, notice->detail);
}

static void say(struct history *h, const char *what, uint32_t a, uint32_t b)
{
    if (h->options->tell) printf("%8" PRIu64 " %s n%u n%u\n", sim_now_ms(h->sim), what, a, b);
}

static void draw_conditions(struct history *h)
{
    h->nodes = h->options->nodes ? h->options->nodes : 2 + draw(h, 5);
    h->async = draw(h, 2) == 0;
    uint32_t slow = draw(h, 4) == 0 ? 300 : 20;
    struct sim_options options = { .nodes = h->nodes,
                                   .seed = h->options->seed,
                                   .async = h->async,
                                   .grow_only = true,
                                   .latency_ms_max = 1 + draw(h, slow),
                                   .write_ms_max = draw(h, 10),
                                   .sync_ms_max = 1 + draw(h, slow),
                                   .piece_bytes_max = 1 + draw(h, 2000),
                                   .snapshot_bytes = 10000 + draw(h, 60000) };
    h->chances = (struct chances){ .add = 300 + draw(h, 400),
                                   .get = draw(h, 100),
                                   .kill = draw(h, 20),
                                   .power = h->async ? 0 : draw(h, 10),
                                   .cut = draw(h, 20),
                                   .mend = draw(h, 20),
                                   .break_links = draw(h, 20),
                                   .pause = draw(h, 5),
                                   .resume = draw(h, 20),
                                   .fill = draw(h, 3),
                                   .empty = draw(h, 20) };
    h->sim = sim_new(&options);
    if (h->options->tell) sim_listen(h->sim, tell, h);
}

static void add(struct history *h, uint32_t node)
{
    char name[32];
    snprintf(name, sizeof name, "c%u", draw(h, COUNTERS));
    enum err err = sim_add(h->sim, node, name, 1 + draw(h, 9));
    REQUIRE(err == ERR_OK || err == ERR_FULL);
}

static void get(struct history *h, uint32_t node)
{
    char name[32];
    snprintf(name, sizeof name, "c%u", draw(h, COUNTERS));
    sim_get(h->sim, node, name);
}

static void kill_or_start(struct history *h, uint32_t node, bool power)
{
    bool up = sim_is_up(h->sim, node);
    say(h, !up ? "start" : power ? "power cut" : "kill", node, node);
    if (!up)
        sim_start(h->sim, node);
    else if (power)
        sim_power_cut(h->sim, node);
    else
        sim_kill(h->sim, node);
}

/* True with the given chance; each step asks about one thing after the other. */
static bool strikes(uint32_t *dice, uint32_t chance)
{
    bool hit = *dice < chance;
    *dice = hit ? UINT32_MAX : *dice - chance;
    return hit;
}

static void step(struct history *h)
{
    struct sim *s = h->sim;
    const struct chances *c = &h->chances;
    uint32_t a = draw(h, h->nodes), b = draw(h, h->nodes), dice = draw(h, 1000);
    if (strikes(&dice, c->add)) {
        if (sim_is_up(s, a)) add(h, a);
    } else if (strikes(&dice, c->get)) {
        if (sim_is_up(s, a)) get(h, a);
    } else if (strikes(&dice, c->kill)) {
        kill_or_start(h, a, false);
    } else if (strikes(&dice, c->power)) {
        kill_or_start(h, a, true);
    } else if (strikes(&dice, c->cut)) {
        say(h, "cut", a, b);
        if (a != b) sim_cut(s, a, b);
    } else if (strikes(&dice, c->mend)) {
        sim_mend_all(s);
    } else if (strikes(&dice, c->break_links)) {
        say(h, "break", a, b);
        sim_break_links(s, a, b);
    } else if (strikes(&dice, c->pause)) {
        say(h, "pause", a, a);
        sim_pause(s, a);
    } else if (strikes(&dice, c->resume)) {
        sim_resume(s, a);
    } else if (strikes(&dice, c->fill)) {
        say(h, "fill the disk of", a, a);
        disk_set_capacity(sim_disk(s, a), disk_used(sim_disk(s, a)) + 1 + draw(h, 100000));
    } else if (strikes(&dice, c->empty)) {
        disk_set_capacity(sim_disk(s, a), 0);
    } else {
        sim_run_ms(s, draw(h, draw(h, 50) > 0 ? 10 : 5000));
    }
}

uint64_t history_run(const struct history_options *options)
{
    struct history h = { .options = options };
    random_init(&h.random, options->seed * 7919 + 1);
    draw_conditions(&h);
    sim_start_all(h.sim);
    for (uint32_t i = 0; i < (options->steps ? options->steps : STEPS_DEFAULT); i++) step(&h);
    sim_mend_all(h.sim);
    for (uint32_t i = 0; i < h.nodes; i++) {
        sim_resume(h.sim, i);
        disk_set_capacity(sim_disk(h.sim, i), 0);
    }
    sim_start_all(h.sim);
    if (!sim_run_until(h.sim, sim_is_settled, SETTLE_MS)) sim_check_settled(h.sim);
    uint64_t trace = sim_trace(h.sim);
    sim_free(h.sim);
    return trace;
}
