/* SPDX-License-Identifier: Apache-2.0 */
/* What a node does with its journal: every append is read as it is handed over, and what it holds becomes part of the
 * ledger when it is in the file (entries of peers) or on disk (its own). */
#include "sim/world.h"

#include "count/block.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void oracle_fail(struct sim *s, uint32_t node, const char *check, const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "sim: seed %llu at %llu ms, n%u: %s: ", (unsigned long long)s->options.seed,
            (unsigned long long)s->now_ms, node, check);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort(); /* whoever runs this has the last moments in the tally */
}

/* --- reading blocks --- */

static uint32_t extras_digest(const struct extras *x)
{
    if (!x) return 0;
    uint64_t facts[] = { x->add_seq,
                         (uint64_t)x->after,
                         x->self_base.seq,
                         (uint64_t)x->self_base.net,
                         x->assigned.stamp.time,
                         x->assigned.stamp.replica,
                         (uint64_t)x->assigned.value,
                         x->due.at_ms,
                         x->bases.count,
                         x->later.count };
    uint64_t digest = XXH3_64bits(facts, sizeof facts);
    for (uint32_t i = 0; i < x->bases.count; i++) {
        uint64_t base[] = { digest, x->bases.items[i].replica, x->bases.items[i].base.seq,
                            (uint64_t)x->bases.items[i].base.net };
        digest = XXH3_64bits(base, sizeof base);
    }
    return (uint32_t)digest | 1;
}

bool oracle_block_begin(struct sim *s, uint32_t node, struct block_reader *reader, struct bytes block,
                        uint32_t *ret_line)
{
    enum err err = block_open(reader, block);
    if (err != ERR_OK) oracle_fail(s, node, "SAME_BYTES", "a block of its own making does not open");
    *ret_line = registry_line(&s->registry, &reader->head.replica);
    return reader->head.kind == BLOCK_DELTA;
}

bool oracle_block_next(struct sim *s, uint32_t node, struct block_reader *reader, uint64_t *ret_seq,
                       struct line_entry *ret_entry)
{
    struct bytes name;
    struct entry entry;
    enum err err = block_next(reader, s->registry.replicas, &name, &entry);
    if (err == ERR_STALE) return false;
    if (err != ERR_OK) oracle_fail(s, node, "SAME_BYTES", "a block of its own making is damaged");
    *ret_seq = entry.seq;
    *ret_entry = (struct line_entry){ .net = entry.net,
                                      .counter = registry_counter(&s->registry, name),
                                      .extras = extras_digest(entry.extras) };
    extras_free(entry.extras);
    return true;
}

/* Invariants (3) and (4): the owner wrote this very entry, and has it on its disk. */
void oracle_entry_is_true(struct sim *s, uint32_t node, uint32_t line, uint64_t seq, const struct line_entry *entry)
{
    const struct line *l = &s->registry.lines[line];
    const struct line_entry *truth = line_entry_at(l, seq);
    s->tally->checks[CHECK_SENT_DURABLE]++;
    s->tally->checks[CHECK_SAME_BYTES]++;
    if (!truth || seq > l->synced)
        oracle_fail(s, node, "SENT_DURABLE", "line %u seq %llu is not durable at its owner (%llu is)", line,
                    (unsigned long long)seq, (unsigned long long)l->synced);
    if (truth->counter != entry->counter || truth->net != entry->net || truth->extras != entry->extras)
        oracle_fail(s, node, "SAME_BYTES", "line %u seq %llu: %s %lld, expected %s %lld", line, (unsigned long long)seq,
                    s->registry.fates[entry->counter].name, (long long)entry->net,
                    s->registry.fates[truth->counter].name, (long long)truth->net);
}

/* The nonce is of a boot that can have known of `seq`. */
void oracle_nonce_is_true(struct sim *s, uint32_t node, uint32_t line, uint64_t nonce, uint64_t seq)
{
    const struct line *l = &s->registry.lines[line];
    uint32_t boot = line_boot_find(l, nonce);
    s->tally->checks[CHECK_NONCE_KNOWN]++;
    if (seq > 0 && (boot == UINT32_MAX || boot < line_boot_of(l, seq)))
        oracle_fail(s, node, "NONCE_KNOWN", "line %u up to seq %llu under nonce %llx, which is no boot that wrote it",
                    line, (unsigned long long)seq, (unsigned long long)nonce);
}

/* --- appends --- */

static void fact_add(struct append_facts *a, uint32_t line, uint32_t counter, uint64_t seq)
{
    a->facts = sim_grow(a->facts, &a->facts_cap, a->facts_count, sizeof *a->facts);
    a->facts[a->facts_count++] = (struct fact){ line, counter, seq };
}

static void own_entry(struct sim *s, uint32_t node, uint64_t append, uint64_t seq, const struct line_entry *entry)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    struct line *line = &s->registry.lines[l->own];
    const char *name = s->registry.fates[entry->counter].name;
    if (seq != line->count + 1)
        oracle_fail(s, node, "SEQ_RISES", "own seq %llu after %llu", (unsigned long long)seq,
                    (unsigned long long)line->count);
    ledger_fit_counter(l, entry->counter);
    if (!l->changed[entry->counter] || entry->net != l->total[entry->counter])
        oracle_fail(s, node, "COMMIT_WHOLE", "%s commits %lld, expected %lld%s", name, (long long)entry->net,
                    (long long)l->total[entry->counter], l->changed[entry->counter] ? "" : ", unchanged");
    l->changed[entry->counter] = 0;
    l->taken_by[entry->counter] = append;
    l->changed_count--;
    line_append(line, entry);
}

static void append_own(struct sim *s, uint32_t node, struct bytes block, struct append_facts *a)
{
    struct machine *m = sim_machine(s, node);
    struct block_reader reader;
    struct line_entry entry;
    uint32_t line;
    uint64_t seq;
    oracle_block_begin(s, node, &reader, block, &line);
    if (line != m->ledger.own) oracle_fail(s, node, "SAME_BYTES", "its own block is another replica's");
    s->tally->checks[CHECK_BOOT_FIRST]++;
    if (m->ledger.boot_append == 0 || (a->number > m->ledger.boot_append && m->synced < m->ledger.boot_append))
        oracle_fail(s, node, "BOOT_FIRST", "append %llu has own entries; the boot's record is in %llu, synced is %llu",
                    (unsigned long long)a->number, (unsigned long long)m->ledger.boot_append,
                    (unsigned long long)m->synced);
    while (oracle_block_next(s, node, &reader, &seq, &entry)) {
        own_entry(s, node, a->number, seq, &entry);
        fact_add(a, line, entry.counter, seq);
    }
    const struct line *l = &s->registry.lines[line];
    if (reader.head.nonce != l->boots[l->boots_count - 1].nonce)
        oracle_fail(s, node, "NONCE_KNOWN", "its own block is not under this boot's nonce");
}

static void append_peer(struct sim *s, uint32_t node, struct bytes block, struct append_facts *a)
{
    struct block_reader reader;
    struct line_entry entry;
    uint32_t line;
    uint64_t seq;
    if (oracle_block_begin(s, node, &reader, block, &line)) {
        a->spans = sim_grow(a->spans, &a->spans_cap, a->spans_count, sizeof *a->spans);
        a->spans[a->spans_count++] = (struct span){ line, reader.head.from, reader.head.to };
        sim_moment(s, node, "appends block from, to", reader.head.from, reader.head.to);
    }
    while (oracle_block_next(s, node, &reader, &seq, &entry)) {
        oracle_entry_is_true(s, node, line, seq, &entry);
        fact_add(a, line, entry.counter, seq);
    }
}

static void append_boot(struct sim *s, uint32_t node, struct bytes record, uint64_t number)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    struct reader r;
    reader_init(&r, record);
    struct id128 id = reader_id(&r);
    uint64_t nonce = reader_u64(&r), after = reader_u64(&r);
    if (reader_end(&r) != ERR_OK || registry_line(&s->registry, &id) != l->own)
        oracle_fail(s, node, "BOOT_FIRST", "a record of its boot that is not its own");
    if (line_boot_find(&s->registry.lines[l->own], nonce) != UINT32_MAX) return; /* said again */
    l->boot_append = number;
    sim_moment(s, node, "boot of line, after", l->own, after);
    line_boot(&s->registry.lines[l->own], nonce, after);
}

void oracle_append(struct sim *s, uint32_t node, const struct action *action)
{
    if (s->options.unchecked) return;
    struct ledger *l = &sim_machine(s, node)->ledger;
    l->appends = sim_grow(l->appends, &l->appends_cap, l->appends_count, sizeof *l->appends);
    struct append_facts *a = &l->appends[l->appends_count++];
    *a = (struct append_facts){ .number = action->as.append.number };
    for (uint32_t i = 0; i < action->as.append.count; i++) {
        const struct record *r = &action->as.append.records[i];
        struct bytes bytes = bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip);
        if (r->kind == RECORD_BOOT) append_boot(s, node, bytes, a->number);
        if (r->kind == RECORD_OWN) append_own(s, node, bytes, a);
        if (r->kind == RECORD_PEER) append_peer(s, node, bytes, a);
    }
    s->tally->checks[CHECK_COMMIT_WHOLE]++;
    if (l->changed_count > 0)
        oracle_fail(s, node, "COMMIT_WHOLE", "append %llu leaves out %u changed counters",
                    (unsigned long long)a->number, l->changed_count);
    l->append_last = a->number;
    a->own_to = s->registry.lines[l->own].count;
    l->own_to[a->number % OWN_TO_RING] = a->own_to;
}

void oracle_in_file(struct sim *s, uint32_t node, uint64_t append)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    if (append > 0 && !s->options.unchecked) s->registry.lines[l->own].written = l->own_to[append % OWN_TO_RING];
}

void oracle_on_disk(struct sim *s, uint32_t node, uint64_t append)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    if (append > 0 && !s->options.unchecked) s->registry.lines[l->own].synced = l->own_to[append % OWN_TO_RING];
}

/* --- what became of them --- */

/* An entry is not alive any more when its owner has a newer one of the counter, durable, beyond the claim. */
static bool is_superseded(const struct line *l, uint32_t counter, uint64_t known)
{
    for (uint64_t seq = l->synced; seq > known; seq--) {
        if (line_entry_at(l, seq)->counter == counter) return true;
    }
    return false;
}

/* Claims that the node makes by now are true: all that they cover is held. */
void oracle_claim(struct sim *s, uint32_t node, uint32_t line)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    const struct line *truth = &s->registry.lines[line];
    const struct replicas *replicas = node_replicas(sim_machine(s, node)->node);
    uint32_t index = replicas_find(replicas, replicas_id(s->registry.replicas, line));
    if (index == REPLICA_NONE) return;
    uint64_t known = replicas_known(replicas, index)->known;
    s->tally->checks[CHECK_CLAIM_HELD]++;
    if (known < l->claimed[line])
        oracle_fail(s, node, "CLAIM_HELD", "line %u was known up to %llu, now to %llu", line,
                    (unsigned long long)l->claimed[line], (unsigned long long)known);
    if (known > truth->synced)
        oracle_fail(s, node, "CLAIM_HELD", "line %u is known up to %llu, durable at its owner to %llu", line,
                    (unsigned long long)known, (unsigned long long)truth->synced);
    for (uint64_t seq = l->claimed[line] + 1; seq <= known; seq++) {
        uint32_t counter = line_entry_at(truth, seq)->counter;
        uint64_t held = *ledger_held(l, line, counter);
        if (held < seq && !is_superseded(truth, counter, known))
            oracle_fail(s, node, "CLAIM_HELD", "line %u is known up to %llu, but %s of seq %llu is held at %llu", line,
                        (unsigned long long)known, s->registry.fates[counter].name, (unsigned long long)seq,
                        (unsigned long long)held);
    }
    l->claimed[line] = known;
}

/* First what all of them did, then a look at it: a later append may have written a counter again. */
static void facts_hold(struct sim *s, uint32_t node, const struct append_facts *a, bool own)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    for (uint32_t i = 0; i < a->facts_count; i++) {
        const struct fact *f = &a->facts[i];
        if ((f->line == l->own) != own) continue;
        uint64_t *held = ledger_held(l, f->line, f->counter);
        if (f->seq > *held) *held = f->seq;
    }
}

static void facts_see(struct sim *s, uint32_t node, const struct append_facts *a, bool own)
{
    const struct ledger *l = &sim_machine(s, node)->ledger;
    for (uint32_t i = 0; i < a->facts_count; i++) {
        if ((a->facts[i].line == l->own) == own) oracle_see(s, node, a->facts[i].counter);
    }
    for (uint32_t i = 0; !own && i < a->spans_count; i++) oracle_claim(s, node, a->spans[i].line);
}

static void facts_durable(struct ledger *l, const struct append_facts *a)
{
    for (uint32_t i = 0; i < a->spans_count; i++) {
        const struct span *span = &a->spans[i];
        uint64_t *durable = &l->durable[span->line];
        if (span->from <= *durable && span->to > *durable) *durable = span->to;
    }
    if (a->own_to > l->durable[l->own]) l->durable[l->own] = a->own_to;
}

static void facts_release(struct append_facts *a)
{
    free(a->facts);
    free(a->spans);
}

static void step_written(struct sim *s, uint32_t node, uint64_t append)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    uint32_t first = 0, end = 0;
    while (first < l->appends_count && l->appends[first].written) first++;
    for (end = first; end < l->appends_count && l->appends[end].number <= append; end++) {
        const struct append_facts *a = &l->appends[end];
        l->appends[end].written = true;
        for (uint32_t i = 0; i < a->spans_count; i++) ledger_fit_line(l, a->spans[i].line);
        facts_hold(s, node, a, false);
    }
    for (uint32_t i = first; i < end; i++) facts_see(s, node, &l->appends[i], false);
}

static void step_synced(struct sim *s, uint32_t node, uint64_t append)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    uint32_t count = 0;
    ledger_fit_line(l, l->own);
    for (; count < l->appends_count && l->appends[count].number <= append; count++) {
        facts_hold(s, node, &l->appends[count], true);
        facts_durable(l, &l->appends[count]);
    }
    for (uint32_t i = 0; i < count; i++) {
        facts_see(s, node, &l->appends[i], true);
        facts_release(&l->appends[i]);
    }
    l->appends_count -= count;
    memmove(l->appends, l->appends + count, l->appends_count * sizeof *l->appends);
    oracle_claim(s, node, l->own);
}

void oracle_stepped(struct sim *s, uint32_t node, const struct event *event)
{
    if (s->options.unchecked || (event->kind != EVENT_WRITTEN && event->kind != EVENT_SYNCED)) return;
    step_written(s, node, event->as.done.append);
    if (event->kind == EVENT_SYNCED) step_synced(s, node, event->as.done.append);
}

/* --- lives --- */

static void never_answered(struct sim *s, struct machine *m)
{
    for (uint32_t i = 0; i < m->waiting_count; i++) {
        struct fate *f = &s->registry.fates[m->waiting[i].counter];
        if (m->waiting[i].delta > 0)
            f->maybe_max += m->waiting[i].delta;
        else
            f->maybe_min += m->waiting[i].delta;
    }
    m->waiting_count = 0;
}

void oracle_ended(struct sim *s, uint32_t node, enum end how)
{
    struct machine *m = sim_machine(s, node);
    struct ledger *l = &m->ledger;
    never_answered(s, m);
    for (uint32_t i = 0; i < l->appends_count; i++) facts_release(&l->appends[i]);
    l->appends_count = 0;
    if (how > l->ended) l->ended = how;
    if (how == END_OLD && s->disks_old > 0) s->lossy = true; /* what of whom is gone is not followed any more */
    if (how == END_LOST || (how == END_POWER && s->options.async)) s->lossy = true;
    if ((how != END_KILL || s->damaged) && l->shown) memset(l->shown, 0, l->counters_cap * sizeof *l->shown);
}

void oracle_started(struct sim *s, uint32_t node)
{
    enum end ended = sim_machine(s, node)->ledger.ended;
    if (ended == END_OLD || ended == END_COPIED) oracle_forked(s, node);
    if (s->disks_old + s->disks_copied > 0 || s->damaged) s->starts_since_fork++;
    if (s->options.unchecked) return;
    oracle_take_recovered(s, node);
}

void ledger_release(struct ledger *l)
{
    for (uint32_t i = 0; i < l->appends_count; i++) facts_release(&l->appends[i]);
    for (uint32_t i = 0; l->held && i < l->lines_cap; i++) free(l->held[i]);
    free(l->appends);
    free(l->held);
    free(l->held_caps);
    free(l->claimed);
    free(l->durable);
    free(l->total);
    free(l->shown);
    free(l->cells);
    free(l->changed);
    free(l->taken_by);
    free(l->line_of);
}
