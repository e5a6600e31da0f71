/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a node: its cells by the walk over the keyspace, its vector, and what a restart brought back. */
#include "sim/world.h"

#include <stdlib.h>

/* --- the ledger's places --- */

void ledger_fit_counter(struct ledger *l, uint32_t counter)
{
    if (counter < l->counters_cap) return;
    uint32_t cap = l->counters_cap, same;
    same = cap;
    l->total = sim_grow(l->total, &same, counter, sizeof *l->total);
    same = cap;
    l->shown = sim_grow(l->shown, &same, counter, sizeof *l->shown);
    same = cap;
    l->cells = sim_grow(l->cells, &same, counter, sizeof *l->cells);
    same = cap;
    l->changed = sim_grow(l->changed, &same, counter, sizeof *l->changed);
    same = cap;
    l->taken_by = sim_grow(l->taken_by, &same, counter, sizeof *l->taken_by);
    l->counters_cap = same;
}

void ledger_fit_line(struct ledger *l, uint32_t line)
{
    if (line < l->lines_cap) return;
    uint32_t cap = l->lines_cap, same;
    same = cap;
    l->held = sim_grow(l->held, &same, line, sizeof *l->held);
    same = cap;
    l->held_caps = sim_grow(l->held_caps, &same, line, sizeof *l->held_caps);
    same = cap;
    l->claimed = sim_grow(l->claimed, &same, line, sizeof *l->claimed);
    same = cap;
    l->durable = sim_grow(l->durable, &same, line, sizeof *l->durable);
    l->lines_cap = same;
}

uint64_t *ledger_held(struct ledger *l, uint32_t line, uint32_t counter)
{
    ledger_fit_line(l, line);
    l->held[line] = sim_grow(l->held[line], &l->held_caps[line], counter, sizeof **l->held);
    return &l->held[line][counter];
}

static uint64_t held_or_none(const struct ledger *l, uint32_t line, uint32_t counter)
{
    return line < l->lines_cap && counter < l->held_caps[line] ? l->held[line][counter] : 0;
}

/* What the core calls a replica by its own index. */
uint32_t oracle_line_of(struct sim *s, uint32_t node, uint32_t replica)
{
    struct machine *m = sim_machine(s, node);
    struct ledger *l = &m->ledger;
    l->line_of = sim_grow(l->line_of, &l->line_of_cap, replica, sizeof *l->line_of);
    if (l->line_of[replica] == 0)
        l->line_of[replica] = registry_line(&s->registry, replicas_id(node_replicas(m->node), replica));
    return l->line_of[replica];
}

/* --- one counter --- */

int64_t oracle_value(struct sim *s, uint32_t node, uint32_t counter)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    int128 value = counter < l->counters_cap ? l->total[counter] : 0;
    for (uint32_t line = 1; line < s->registry.lines_count; line++) {
        uint64_t seq = line == l->own ? 0 : held_or_none(l, line, counter);
        if (seq > 0) value += s->registry.lines[line].entries[seq - 1].net;
    }
    return value_shown(value);
}

static uint32_t lines_held(const struct sim *s, const struct ledger *l, uint32_t counter)
{
    uint32_t count = 0;
    for (uint32_t line = 1; line < s->registry.lines_count; line++) count += held_or_none(l, line, counter) > 0;
    return count;
}

struct looking {
    struct sim *s;
    uint32_t node, counter; /* counter: found */
};

static void look_at_share(struct sim *s, uint32_t node, uint32_t counter, const struct share *share)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    uint32_t line = oracle_line_of(s, node, share->replica);
    uint64_t held = held_or_none(l, line, counter);
    const char *name = s->registry.fates[counter].name;
    s->tally->checks[CHECK_SEQ_RISES]++;
    if (share->entry.seq != held)
        oracle_fail(s, node, "SEQ_RISES", "%s of line %u has seq %llu, expected %llu", name, line,
                    (unsigned long long)share->entry.seq, (unsigned long long)held);
    const struct line_entry *truth = line_entry_at(&s->registry.lines[line], held);
    s->tally->checks[CHECK_SAME_BYTES]++;
    if (!truth || truth->counter != counter || truth->net != share->entry.net)
        oracle_fail(s, node, "SAME_BYTES", "%s of line %u seq %llu has net %lld, expected %lld", name, line,
                    (unsigned long long)held, (long long)share->entry.net, (long long)(truth ? truth->net : 0));
}

static void look_at(struct sim *s, uint32_t node, uint32_t counter, const struct visit *visit)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    const char *name = s->registry.fates[counter].name;
    uint32_t count = lines_held(s, l, counter);
    if (visit->count != count)
        oracle_fail(s, node, "SEQ_RISES", "%s has %u entries, expected %u", name, visit->count, count);
    for (uint32_t i = 0; i < visit->count; i++) look_at_share(s, node, counter, &visit->shares[i]);
    int64_t value = oracle_value(s, node, counter);
    s->tally->checks[CHECK_READ_EXACT]++;
    if (visit->value != value)
        oracle_fail(s, node, "READ_EXACT", "%s is %lld, expected %lld", name, (long long)visit->value,
                    (long long)value);
}

static void note_cell(struct looking *x, const struct visit *visit)
{
    struct ledger *l = &sim_machine(x->s, x->node)->ledger;
    uint32_t shard = (uint32_t)(visit->cell >> 32), number = (uint32_t)visit->cell;
    if (number <= l->walked[shard]) return;
    l->walked[shard] = number;
    uint32_t counter = registry_counter(&x->s->registry, visit->name);
    ledger_fit_counter(l, counter);
    l->cells[counter] = visit->cell;
}

static void visit_new(void *context, const struct visit *visit)
{
    note_cell(context, visit);
}

/* Cells never move and new ones have higher numbers, so each is looked for once. */
static void find_cells(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    struct looking x = { .s = s, .node = node };
    for (uint32_t shard = 0; shard < SIM_SHARDS; shard++) {
        struct walk walk = { shard, m->ledger.walked[shard] };
        while (walk.shard == shard && keyspace_walk(node_keyspace(m->node), &walk, 16, visit_new, &x)) continue;
    }
}

static void visit_one(void *context, const struct visit *visit)
{
    const struct looking *x = context;
    look_at(x->s, x->node, x->counter, visit);
}

void oracle_see(struct sim *s, uint32_t node, uint32_t counter)
{
    struct machine *m = sim_machine(s, node);
    ledger_fit_counter(&m->ledger, counter);
    if (m->ledger.cells[counter] == 0) find_cells(s, node);
    cell_ref cell = m->ledger.cells[counter];
    if (cell == 0) oracle_fail(s, node, "CLAIM_HELD", "%s is not there", s->registry.fates[counter].name);
    struct walk walk = { (uint32_t)(cell >> 32), (uint32_t)cell - 1 };
    struct looking x = { s, node, counter };
    bool more = keyspace_walk(node_keyspace(m->node), &walk, 1, visit_one, &x);
    (void)more; /* one cell is all that was asked for */
}

/* --- a whole node --- */

static void visit_all(void *context, const struct visit *visit)
{
    const struct looking *x = context;
    look_at(x->s, x->node, registry_counter(&x->s->registry, visit->name), visit);
}

static void check_ids(struct sim *s, uint32_t node)
{
    uint32_t ids = replicas_count(node_replicas(sim_machine(s, node)->node)) - 1;
    s->tally->checks[CHECK_IDS_BOUNDED]++;
    if (ids > s->options.nodes + s->disks_lost)
        oracle_fail(s, node, "IDS_BOUNDED", "%u replica ids of %u nodes, %u of which lost a disk", ids,
                    s->options.nodes, s->disks_lost);
}

void oracle_audit(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    if (!m->up || s->options.unchecked) return;
    struct looking x = { .s = s, .node = node };
    struct walk walk = { 0 };
    while (keyspace_walk(node_keyspace(m->node), &walk, 1024, visit_all, &x)) continue;
    for (uint32_t line = 1; line < m->ledger.lines_cap; line++) {
        for (uint32_t c = 0; c < m->ledger.held_caps[line]; c++) {
            if (m->ledger.held[line][c] > 0 && m->ledger.cells[c] == 0) oracle_see(s, node, c);
        }
    }
    for (uint32_t i = 1; i < replicas_count(node_replicas(m->node)); i++) {
        uint32_t line = oracle_line_of(s, node, i);
        uint64_t known = replicas_known(node_replicas(m->node), i)->known;
        ledger_fit_line(&m->ledger, line);
        if (known != m->ledger.claimed[line])
            oracle_fail(s, node, "CLAIM_HELD", "line %u is known up to %llu, expected %llu", line,
                        (unsigned long long)known, (unsigned long long)m->ledger.claimed[line]);
    }
    check_ids(s, node);
    s->tally->checks[CHECK_WHOLE_NODE]++;
}

/* --- after a restart --- */

static void visit_recovered(void *context, const struct visit *visit)
{
    struct looking *x = context;
    struct ledger *l = &sim_machine(x->s, x->node)->ledger;
    note_cell(x, visit);
    uint32_t counter = registry_counter(&x->s->registry, visit->name);
    for (uint32_t i = 0; i < visit->count; i++) {
        uint32_t line = oracle_line_of(x->s, x->node, visit->shares[i].replica);
        *ledger_held(l, line, counter) = visit->shares[i].entry.seq;
        if (line == l->own) l->total[counter] = visit->shares[i].entry.net;
    }
}

static uint32_t own_line(struct sim *s, uint32_t node)
{
    const struct view *view;
    REQUIRE(node_view(sim_machine(s, node)->node, sim_node_ms(s, node), &view) == ERR_OK);
    uint32_t line = registry_line(&s->registry, &view->replica);
    view_drop(view);
    return line;
}

/* Invariant (1): a kill takes nothing back. */
static void check_kept(struct sim *s, uint32_t node, uint64_t *const *before, const uint32_t *caps, uint32_t lines)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    for (uint32_t line = 1; line < lines; line++) {
        for (uint32_t c = 0; c < caps[line]; c++) {
            s->tally->checks[CHECK_SEQ_SURVIVES]++;
            if (held_or_none(l, line, c) < before[line][c])
                oracle_fail(s, node, "SEQ_SURVIVES", "%s of line %u had seq %llu before the kill, has %llu",
                            s->registry.fates[c].name, line, (unsigned long long)before[line][c],
                            (unsigned long long)held_or_none(l, line, c));
        }
    }
}

/* What its owner lost of a line was never sent: the line ends where the owner's disk does. */
static void settle_own_line(struct sim *s, uint32_t node, bool killed)
{
    struct machine *m = sim_machine(s, node);
    struct ledger *l = &m->ledger;
    struct line *line = &s->registry.lines[l->own];
    uint32_t index = replicas_find(node_replicas(m->node), replicas_id(s->registry.replicas, l->own));
    uint64_t recovered = replicas_known(node_replicas(m->node), index)->known;
    uint64_t safe = killed ? line->written : line->synced;
    s->tally->checks[CHECK_RECOVERED]++;
    if (recovered < safe || recovered > line->count)
        oracle_fail(s, node, "RECOVERED", "own entries up to seq %llu came back, expected %llu to %llu",
                    (unsigned long long)recovered, (unsigned long long)safe, (unsigned long long)line->count);
    line->count = line->written = line->synced = recovered;
    line->owner = node;
    l->own_before = recovered;
    for (uint32_t i = 0; i < OWN_TO_RING; i++) l->own_to[i] = recovered;
}

/* What no claim covers nobody could ask this node for, and if its owner is dead others lack it for good. */
static void check_covered(struct sim *s, uint32_t node)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    for (uint32_t line = 1; line < l->lines_cap; line++) {
        for (uint32_t c = 0; c < l->held_caps[line]; c++) {
            if (l->held[line][c] > l->claimed[line])
                oracle_fail(s, node, "CLAIM_HELD", "%s of line %u came back with seq %llu, claimed is %llu",
                            s->registry.fates[c].name, line, (unsigned long long)l->held[line][c],
                            (unsigned long long)l->claimed[line]);
        }
    }
}

static void settle_claims(struct sim *s, uint32_t node, const uint64_t *at_least, uint32_t count)
{
    struct machine *m = sim_machine(s, node);
    struct ledger *l = &m->ledger;
    memset(l->claimed, 0, l->lines_cap * sizeof *l->claimed);
    for (uint32_t i = 1; i < replicas_count(node_replicas(m->node)); i++)
        oracle_claim(s, node, oracle_line_of(s, node, i));
    for (uint32_t line = 1; line < count; line++) {
        if (l->claimed[line] < at_least[line])
            oracle_fail(s, node, "RECOVERED", "line %u was known up to %llu, %llu came back", line,
                        (unsigned long long)at_least[line], (unsigned long long)l->claimed[line]);
    }
    check_covered(s, node);
    memcpy(l->durable, l->claimed, l->lines_cap * sizeof *l->durable); /* recovery has synced it */
}

static void forget_before(struct ledger *l)
{
    memset(l->walked, 0, sizeof l->walked);
    if (l->counters_cap > 0) {
        memset(l->cells, 0, l->counters_cap * sizeof *l->cells);
        memset(l->total, 0, l->counters_cap * sizeof *l->total);
        memset(l->changed, 0, l->counters_cap * sizeof *l->changed);
        memset(l->taken_by, 0, l->counters_cap * sizeof *l->taken_by);
    }
    if (l->line_of_cap > 0) memset(l->line_of, 0, l->line_of_cap * sizeof *l->line_of);
    l->changed_count = 0;
    l->boot_append = l->append_last = 0;
    l->held = NULL;
    l->held_caps = NULL;
    l->claimed = l->durable = NULL;
    l->lines_cap = 0;
}

void oracle_take_recovered(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    struct ledger *l = &m->ledger, before = *l;
    bool killed = before.ended == END_KILL, lost = before.ended == END_LOST;
    forget_before(l);
    l->own = own_line(s, node);
    ledger_fit_line(l, s->registry.lines_count);
    ledger_fit_counter(l, 0);
    struct looking x = { .s = s, .node = node };
    struct walk walk = { 0 };
    while (keyspace_walk(node_keyspace(m->node), &walk, 1024, visit_recovered, &x)) continue;
    settle_own_line(s, node, killed);
    if (killed) check_kept(s, node, before.held, before.held_caps, before.lines_cap);
    settle_claims(s, node, killed ? before.claimed : before.durable, lost ? 0 : before.lines_cap);
    l->ended = END_NONE;
    oracle_audit(s, node);
    for (uint32_t i = 0; before.held && i < before.lines_cap; i++) free(before.held[i]);
    free(before.held);
    free(before.held_caps);
    free(before.claimed);
    free(before.durable);
}
