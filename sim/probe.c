/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/probe.h"

#include <stdio.h>

#define EVERY_MS 20u
#define READERS 8u

void probes_init(struct probes *p, struct mesh *m, uint32_t real)
{
    memset(p, 0, sizeof *p);
    p->m = m;
    p->real = real;
    p->next_ms = m->now_ms;
}

static void probe_name(uint32_t node, char ret_name[16])
{
    snprintf(ret_name, 16, "probe-%u", node);
}

static void begin(struct probes *p)
{
    char name[16];
    uint32_t from = (uint32_t)random_below(&p->m->random, p->real);
    probe_name(from, name);
    mesh_add_name(p->m, from, name);
    struct probe probe = { .from = from, .value = mesh_value(p->m, from, name), .began_ms = p->m->now_ms };
    uint32_t readers = p->real - 1 < READERS ? p->real - 1 : READERS;
    uint32_t first = (uint32_t)random_below(&p->m->random, p->real - 1);
    for (uint32_t i = 0; i < readers && p->open_count < PROBES_MAX; i++) {
        probe.at = (from + 1 + (first + i) % (p->real - 1)) % p->real;
        p->open[p->open_count++] = probe;
    }
}

void probes_tick(struct probes *p)
{
    char name[16];
    for (uint32_t i = p->open_count; i-- > 0;) {
        const struct probe *probe = &p->open[i];
        probe_name(probe->from, name);
        if (mesh_value(p->m, probe->at, name) < probe->value) continue;
        uint64_t took_ms = p->m->now_ms - probe->began_ms;
        p->seen[took_ms < PROBE_MS_MAX ? took_ms : PROBE_MS_MAX - 1]++;
        p->seen_count++;
        p->open[i] = p->open[--p->open_count];
    }
    if (p->real < 2 || p->m->now_ms < p->next_ms) return;
    p->next_ms = p->m->now_ms + EVERY_MS;
    begin(p);
}

uint64_t probes_percentile(const struct probes *p, uint32_t percent)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < PROBE_MS_MAX; i++) {
        below += p->seen[i];
        if (below > 0 && below * 100 >= p->seen_count * percent) return i;
    }
    return 0;
}
