/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: their increments and reads, and when the replies may leave. Every operation has an id; a reply leaves when
 * the commit that it waits for is written (`async`) or synced (`sync`), as the shell does it. */
#include "sim/world.h"

#include <stdlib.h>

static void operation_add(struct sim *s, struct machine *m, const struct operation *o)
{
    m->waiting = sim_grow(m->waiting, &m->waiting_cap, m->waiting_count, sizeof *m->waiting);
    m->waiting[m->waiting_count] = *o;
    m->waiting[m->waiting_count++].id = ++s->operations;
}

static void check_shown(struct sim *s, uint32_t node, uint32_t counter, const struct seen *seen)
{
    if (s->options.unchecked) return;
    s->tally->checks[CHECK_READ_EXACT]++;
    int64_t expected = oracle_value(s, node, counter);
    if (seen->value != expected)
        oracle_fail(s, node, "READ_EXACT", "%s shows %lld, expected %lld", s->registry.fates[counter].name,
                    (long long)seen->value, (long long)expected);
}

/* A reply waits for the commit that will hold what it shows of this node's own: the next one, or the last that took the
 * counter. */
static void check_gate(struct sim *s, uint32_t node, uint32_t counter, uint64_t gate)
{
    if (s->options.unchecked) return;
    const struct ledger *l = &sim_machine(s, node)->ledger;
    uint64_t taken = l->taken_by[counter], done = sim_machine(s, node)->synced;
    uint64_t least = l->changed[counter] ? l->append_last + 1 : taken > done ? taken : 0;
    s->tally->checks[CHECK_ANSWER_DURABLE]++;
    if (gate < least)
        oracle_fail(s, node, "ANSWER_DURABLE", "a reply about %s waits for commit %llu, and should for %llu",
                    s->registry.fates[counter].name, (unsigned long long)gate, (unsigned long long)least);
}

enum err oracle_add(struct sim *s, uint32_t node, struct bytes name, int64_t delta)
{
    struct machine *m = sim_machine(s, node);
    struct ledger *l = &m->ledger;
    struct keyspace *k = node_keyspace(m->node);
    struct seen seen;
    REQUIRE(delta != 0);
    enum err err = keyspace_add(k, keyspace_hash(k, name), name, delta, &seen);
    if (err != ERR_OK) return err;
    s->tally->increments++;
    uint32_t counter = registry_counter(&s->registry, name);
    ledger_fit_counter(l, counter);
    l->total[counter] += delta;
    if (!l->changed[counter] && !s->options.unchecked) {
        l->changed[counter] = 1;
        l->changed_count++;
    }
    check_shown(s, node, counter, &seen);
    check_gate(s, node, counter, seen.commit);
    operation_add(s, m, &(struct operation){ .counter = counter, .delta = delta, .gate = seen.commit });
    return ERR_OK;
}

void oracle_read(struct sim *s, uint32_t node, struct bytes name)
{
    struct machine *m = sim_machine(s, node);
    struct keyspace *k = node_keyspace(m->node);
    struct seen seen;
    keyspace_get(k, keyspace_hash(k, name), name, &seen);
    s->tally->reads++;
    uint32_t counter = registry_counter(&s->registry, name);
    ledger_fit_counter(&m->ledger, counter);
    check_shown(s, node, counter, &seen);
    check_gate(s, node, counter, seen.commit);
    operation_add(
        s, m,
        &(struct operation){
            .counter = counter, .value = seen.value, .floor = m->ledger.shown[counter], .gate = seen.commit });
    oracle_answer(s, node);
}

static void answer_read(struct sim *s, uint32_t node, const struct operation *o)
{
    int64_t *shown = &sim_machine(s, node)->ledger.shown[o->counter];
    if (s->options.grow_only) {
        s->tally->checks[CHECK_READ_GROWS]++;
        if (o->value < o->floor)
            oracle_fail(s, node, "READ_GROWS", "read %llu showed %s as %lld after %lld", (unsigned long long)o->id,
                        s->registry.fates[o->counter].name, (long long)o->value, (long long)o->floor);
    }
    if (o->value > *shown) *shown = o->value;
}

/* The increment is in a block that is where its answer says. */
static void answer_add(struct sim *s, uint32_t node, const struct operation *o)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    s->registry.fates[o->counter].answered += o->delta;
    if (s->options.unchecked) return;
    const struct line *line = &s->registry.lines[l->own];
    uint64_t safe = s->options.async ? line->written : line->synced, seq = l->own_to[o->gate % OWN_TO_RING];
    s->tally->checks[CHECK_ANSWER_DURABLE]++;
    if (seq > safe)
        oracle_fail(s, node, "ANSWER_DURABLE",
                    "increment %llu of %s was answered with commit %llu (seq %llu), safe is %llu",
                    (unsigned long long)o->id, s->registry.fates[o->counter].name, (unsigned long long)o->gate,
                    (unsigned long long)seq, (unsigned long long)safe);
}

void oracle_answer(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    uint64_t done = s->options.async ? m->written : m->synced;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->waiting_count; i++) {
        const struct operation *o = &m->waiting[i];
        if (o->gate > done)
            m->waiting[kept++] = *o;
        else if (o->delta == 0)
            answer_read(s, node, o);
        else
            answer_add(s, node, o);
    }
    m->waiting_count = kept;
}

enum err sim_add(struct sim *s, uint32_t node, const char *name, int64_t delta)
{
    enum err err = oracle_add(s, node, bytes_of_text(name), delta);
    if (err == ERR_OK) sim_event(s, node, &(struct event){ .kind = EVENT_DIRTY });
    return err;
}

void sim_get(struct sim *s, uint32_t node, const char *name)
{
    oracle_read(s, node, bytes_of_text(name));
}

int64_t sim_value(struct sim *s, uint32_t node, const char *name)
{
    struct keyspace *k = node_keyspace(sim_machine(s, node)->node);
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

/* --- orders --- */

static void order(struct sim *s, uint32_t node, enum order_kind kind, const char *name)
{
    struct event event = { .kind = EVENT_ORDER };
    sim_machine(s, node)->orders_answered = 0;
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
    *ret_result = sim_machine(s, node)->order_result;
    return sim_machine(s, node)->orders_answered > 0;
}
