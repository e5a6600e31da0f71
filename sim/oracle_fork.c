/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/world.h"

/* What the entry added to its counter. */
static int128 delta_of(const struct line *l, uint64_t seq)
{
    const struct line_entry *entry = line_entry_at(l, seq);
    for (uint64_t before = seq - 1; before > 0; before--) {
        const struct line_entry *e = line_entry_at(l, before);
        if (e->counter == entry->counter) return entry->net - e->net;
    }
    return entry->net;
}

static bool held_by_another(const struct sim *s, uint32_t node, uint32_t line, uint64_t seq)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        const struct machine *m = sim_machine(s, i);
        if (i != node && !m->stopped_for_good && line < m->ledger.lines_cap && m->ledger.durable[line] >= seq)
            return true;
    }
    return false;
}

/* Own entries above `kept` that nobody else has on disk are gone, and their answers were in vain. What another has must
 * come back. */
static void may_be_gone(struct sim *s, uint32_t node, uint64_t kept)
{
    const struct ledger *ledger = &sim_machine(s, node)->ledger;
    const struct line *l = &s->registry.lines[ledger->own];
    for (uint64_t seq = kept + 1; seq <= l->count; seq++) {
        if (held_by_another(s, node, ledger->own, seq)) continue;
        struct fate *f = &s->registry.fates[line_entry_at(l, seq)->counter];
        int128 delta = delta_of(l, seq);
        if (delta > 0)
            f->maybe_min -= delta;
        else
            f->maybe_max -= delta;
    }
}

static uint64_t own_recovered(struct sim *s, uint32_t node)
{
    const struct replicas *replicas = node_replicas(sim_machine(s, node)->node);
    uint32_t own = sim_machine(s, node)->ledger.own;
    uint32_t index = replicas_find(replicas, replicas_id(s->registry.replicas, own));
    return index == REPLICA_NONE ? 0 : replicas_known(replicas, index)->known;
}

void oracle_damaged(struct sim *s, uint32_t node)
{
    if (!s->options.unchecked) may_be_gone(s, node, 0);
    if (s->damaged) s->lossy = true; /* what of whom is gone is not followed any more */
    s->damaged = true;
    s->options.unchecked = true;
}

void oracle_forked(struct sim *s, uint32_t node)
{
    struct ledger *ledger = &sim_machine(s, node)->ledger;
    if (!s->options.unchecked && ledger->ended == END_OLD && ledger->own != 0)
        may_be_gone(s, node, own_recovered(s, node));
    ledger->ended = END_NONE;
    s->options.unchecked = true;
}
