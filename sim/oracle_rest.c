/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster at rest: nothing is under way, and all that take part are equal. */
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static bool takes_part(const struct machine *m)
{
    return m->up && !m->outside;
}

static bool is_idle(struct sim *s, uint32_t node)
{
    const struct machine *m = sim_machine(s, node);
    return m->waiting_count == 0 && !keyspace_is_dirty(node_keyspace(m->node)) && m->jobs_count == 0 &&
           !m->write_scheduled && !m->sync_scheduled && m->written == m->appended;
}

/* Everything that either node has met, one by one; what differs first is the problem. */
static bool vector_agrees(struct sim *s, uint32_t one, uint32_t other, char problem[PROBLEM_BYTES])
{
    const struct replicas *a = node_replicas(sim_node(s, one)), *b = node_replicas(sim_node(s, other));
    static const struct known none;
    for (uint32_t i = 1; i < replicas_count(a); i++) {
        uint32_t at = replicas_find(b, replicas_id(a, i));
        const struct known *here = replicas_known(a, i), *there = at == REPLICA_NONE ? &none : replicas_known(b, at);
        bool same = here->known == there->known && here->print == there->print;
        if (same && here->known == here->durable && there->known == there->durable) continue;
        char id[33];
        id128_hex(replicas_id(a, i), id);
        snprintf(problem, PROBLEM_BYTES,
                 "of %.8s n%u has %llu (%llu on disk, print %llx), n%u %llu (%llu on disk, print %llx)", id, one,
                 (unsigned long long)here->known, (unsigned long long)here->durable, (unsigned long long)here->print,
                 other, (unsigned long long)there->known, (unsigned long long)there->durable,
                 (unsigned long long)there->print);
        return false;
    }
    return true;
}

static bool vectors_agree(struct sim *s, uint32_t first, char problem[PROBLEM_BYTES])
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (i == first || !takes_part(sim_machine(s, i))) continue;
        if (!vector_agrees(s, first, i, problem) || !vector_agrees(s, i, first, problem)) return false;
    }
    return true;
}

/* Answered increments may be missing by right when a disk was lost, or when who holds them does not take part. */
static bool all_are_there(const struct sim *s)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        const struct machine *m = sim_machine(s, i);
        if (m->outside || m->stopped_for_good) return false;
    }
    return !s->lossy;
}

static bool value_allowed(const struct fate *f, int64_t shown)
{
    return shown >= value_shown(f->answered + f->maybe_min) && shown <= value_shown(f->answered + f->maybe_max);
}

static bool values_agree(struct sim *s, uint32_t first, char problem[PROBLEM_BYTES])
{
    bool all = all_are_there(s);
    for (uint32_t c = 0; c < s->registry.fates_count; c++) {
        const struct fate *f = &s->registry.fates[c];
        int64_t shown = sim_value(s, first, f->name);
        if (all && !value_allowed(f, shown)) {
            snprintf(problem, PROBLEM_BYTES, "n%u shows %.99s as %lld; answered %lld, never answered %lld to %lld",
                     first, f->name, (long long)shown, (long long)f->answered, (long long)f->maybe_min,
                     (long long)f->maybe_max);
            return false;
        }
        for (uint32_t i = first + 1; i < s->options.nodes; i++) {
            if (!takes_part(sim_machine(s, i)) || sim_value(s, i, f->name) == shown) continue;
            snprintf(problem, PROBLEM_BYTES, "n%u shows %.99s as %lld, n%u as %lld", i, f->name,
                     (long long)sim_value(s, i, f->name), first, (long long)shown);
            return false;
        }
    }
    return true;
}

bool oracle_is_at_rest(struct sim *s, char problem[PROBLEM_BYTES])
{
    uint32_t first = UINT32_MAX;
    if (s->histories) return true; /* an alarm was given; it is not promised any more */
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!takes_part(sim_machine(s, i))) continue;
        if (first == UINT32_MAX) first = i;
        if (is_idle(s, i)) continue;
        snprintf(problem, PROBLEM_BYTES, "n%u has not written everything", i);
        return false;
    }
    if (first == UINT32_MAX) return true;
    return vectors_agree(s, first, problem) && values_agree(s, first, problem);
}

/* --- once it is at rest --- */

void entries_sum_visit(void *context, const struct visit *visit)
{
    struct entries_sum *p = context;
    if (visit->count == 0 && !visit->exists) return; /* a place that lost what it held */
    uint64_t name = XXH3_64bits(visit->name.ptr, visit->name.len);
    uint64_t value[] = { name, (uint64_t)visit->value, visit->exists };
    p->sum += XXH3_64bits(value, sizeof value);
    for (uint32_t i = 0; i < visit->count; i++) {
        const struct share *share = &visit->shares[i];
        if (share->entry.seq == 0) continue;
        const struct id128 *id = replicas_id(p->replicas, share->replica);
        uint64_t entry[] = { name, share->entry.seq, (uint64_t)share->entry.net };
        p->sum += XXH3_64bits_withSeed(entry, sizeof entry, XXH3_64bits(id->bytes, sizeof id->bytes));
    }
}

static uint64_t picture_of(struct sim *s, uint32_t node)
{
    struct node *n = sim_machine(s, node)->node;
    struct entries_sum p = { .replicas = node_replicas(n) };
    struct walk walk = { 0 };
    while (keyspace_walk(node_keyspace(n), &walk, 1024, entries_sum_visit, &p)) continue;
    return p.sum;
}

uint64_t oracle_entries_of_all(struct sim *s)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (takes_part(sim_machine(s, i))) return picture_of(s, i);
    }
    return 0;
}

/* Each line is known as far as anybody who takes part can know it: to its end if its owner does. */
static void check_lines(struct sim *s, uint32_t node)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    for (uint32_t line = 1; line < s->registry.lines_count && line < l->lines_cap; line++) {
        const struct line *truth = &s->registry.lines[line];
        if (truth->owner == UINT32_MAX) continue;
        const struct machine *owner = sim_machine(s, truth->owner);
        bool is_there = takes_part(owner) && owner->ledger.own == line;
        s->tally->checks[CHECK_REST_EQUAL]++;
        if (is_there && l->claimed[line] != truth->count)
            oracle_fail(s, node, "REST_EQUAL", "line %u is known up to %llu, its owner n%u has written %llu", line,
                        (unsigned long long)l->claimed[line], truth->owner, (unsigned long long)truth->count);
    }
}

void oracle_check_rest(struct sim *s)
{
    char problem[PROBLEM_BYTES] = "";
    if (s->histories) return;
    if (!oracle_is_at_rest(s, problem)) oracle_fail(s, 0, "CONVERGED", "%s", problem);
    uint64_t picture = 0;
    bool first = true;
    uint32_t ids_most = s->options.nodes + s->disks_lost + s->starts_since_fork;
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!takes_part(sim_machine(s, i))) continue;
        oracle_audit(s, i);
        if (!s->options.unchecked) check_lines(s, i);
        uint32_t ids = replicas_count(node_replicas(sim_machine(s, i)->node)) - 1;
        if (ids > ids_most) oracle_fail(s, i, "IDS_BOUNDED", "%u replica ids, at most %u", ids, ids_most);
        uint64_t mine = picture_of(s, i);
        s->tally->checks[CHECK_REST_EQUAL]++;
        if (!first && mine != picture) oracle_fail(s, i, "REST_EQUAL", "it holds other entries than the first");
        picture = mine;
        first = false;
    }
    s->tally->checks[CHECK_REST_VALUE] += s->registry.fates_count;
    s->tally->checks[CHECK_CONVERGED]++;
}

bool sim_is_settled(struct sim *s)
{
    char problem[PROBLEM_BYTES];
    return oracle_is_at_rest(s, problem);
}

void sim_check_settled(struct sim *s)
{
    oracle_check_rest(s);
}
