/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives of one replica, with a model that keeps every version of every entry, on three keyspaces: the owner's, a
 * holder's that gets the blocks in any order, again and again, and one that was made anew from a snapshot and the rest.
 * Then boots are split off: no value changes, and every entry is what the model says. */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "count/collector.h"

#include <stdio.h>

#define NAMES 12u
#define VERSIONS_MAX 400u
#define BLOCKS_MAX 400u
#define BOOTS_MAX TRAIL_LOOSE_MAX
#define FLIGHTS 3u
#define HELD 2u /* index of a foreign replica with entries of its own */

struct version {
    uint64_t seq;
    int128 net;
};

struct life {
    struct fixture owner, holder, copy;
    struct random random;
    struct version versions[NAMES][VERSIONS_MAX];
    uint32_t versions_count[NAMES];
    int64_t values[NAMES];
    struct buffer blocks[BLOCKS_MAX];
    uint32_t blocks_count, blocks_in_snapshot;
    struct commit flights[FLIGHTS];
    uint32_t flights_count;
    struct boot boots[BOOTS_MAX]; /* loose ones, and one before them that is firm */
    uint32_t boots_count;
    struct replicas *prints; /* to work fingerprints out */
};

static const char *name_of(uint32_t number)
{
    static char text[4][16];
    static uint32_t turn;
    char *name = text[turn++ % 4];
    snprintf(name, 16, number % 3 ? "c%u" : "long counter %u", number);
    return name;
}

static uint32_t number_of(struct bytes name)
{
    for (uint32_t i = 0; i < NAMES; i++) {
        if (bytes_equal(name, bytes_of_text(name_of(i)))) return i;
    }
    fail();
    return 0;
}

static enum err join_block(struct fixture *f, struct bytes block)
{
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    uint32_t replica;
    enum err err = block_open(&r, block);
    if (err == ERR_OK) err = replicas_intern(f->replicas, &r.head.replica, &replica);
    while (err == ERR_OK && (err = block_next(&r, f->replicas, &name, &entry)) == ERR_OK) {
        struct entry older[BLOCK_OLDER_MAX];
        uint32_t count = 0;
        cell_ref cell;
        err = block_older(&r, f->replicas, older, &count);
        if (err == ERR_OK)
            err = keyspace_join_older(f->keyspace, replica, hash_of(f, name), name, &entry, older, count, &cell);
        if (err == ERR_OK) continue;
        extras_free(entry.extras);
        for (uint32_t i = 0; i < count; i++) extras_free(older[i].extras);
    }
    return err == ERR_STALE ? ERR_OK : err;
}

/* The model reads what the owner published. */
static void note_block(struct life *l, struct bytes block)
{
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    assert_ok(block_open(&r, block));
    while (block_next(&r, l->owner.replicas, &name, &entry) == ERR_OK) {
        uint32_t number = number_of(name);
        assert_true(l->versions_count[number] < VERSIONS_MAX);
        l->versions[number][l->versions_count[number]++] = (struct version){ entry.seq, entry.net };
    }
    assert_true(l->blocks_count < BLOCKS_MAX);
    buffer_bytes(&l->blocks[l->blocks_count++], block);
}

static void step_take(struct life *l)
{
    if (l->flights_count == FLIGHTS) return;
    struct commit *c = &l->flights[l->flights_count++];
    const struct trail *trail = replicas_trail(l->owner.replicas, OWN);
    *c = (struct commit){ .number = l->owner.commit + 1, .seq_first = l->owner.seq + 1 };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = fixture_id(OWN), .from = l->owner.seq };
    head.nonce = trail_nonce_at(trail, l->owner.seq + 1);
    head.base = trail_nonce_at(trail, l->owner.seq);
    head.firm = head.pledged = trail->firm;
    block_begin(&c->block, &c->out, &head);
    assert_ok(commit_take_again(&l->owner, c));
}

static void step_publish(struct life *l)
{
    if (l->flights_count == 0) return;
    struct commit c = l->flights[0];
    memmove(l->flights, l->flights + 1, --l->flights_count * sizeof *l->flights);
    note_block(l, buffer_view(&c.out));
    commit_publish(&l->owner, &c);
}

static void drain(struct life *l)
{
    step_publish(l);
    step_take(l);
    while (l->flights_count > 0) step_publish(l);
}

static void boot_begins(struct life *l)
{
    drain(l);
    uint64_t nonce = random_u64(&l->random) | 1;
    struct fixture *all[] = { &l->owner, &l->holder, &l->copy };
    if (l->boots_count > 0 && l->boots[l->boots_count - 1].start == l->owner.seq)
        l->boots_count--; /* it wrote nothing */
    for (int i = 0; i < 3; i++) {
        struct trail *trail = replicas_trail(all[i]->replicas, OWN);
        assert_ok(trail_extend(trail, l->owner.seq, nonce));
        if (l->boots_count == 0) trail_set_firm(trail, l->owner.seq + 1);
    }
    l->boots[l->boots_count++] = (struct boot){ l->owner.seq, nonce };
}

static void step_add(struct life *l)
{
    uint32_t number = (uint32_t)random_below(&l->random, NAMES);
    int64_t delta = (int64_t)random_below(&l->random, 2000) - 1000;
    if (random_below(&l->random, 40) == 0) delta = INT64_MAX / 5;
    struct seen seen;
    if (try_add(&l->owner, name_of(number), delta, &seen) == ERR_OK) l->values[number] += delta;
    /* Another's share, so that some counters are not compact. */
    if (l->versions_count[number] > 0 && number % 2) join(&l->owner, HELD, name_of(number), 1 + l->blocks_count, 0);
    assert_int_equal(get(&l->owner, name_of(number)).value, l->values[number]);
}

static enum err into_copy(void *context, uint32_t replica, struct bytes block)
{
    (void)replica;
    return join_block(context, block);
}

/* Of the owner's keyspace, in the middle of things. */
static void snapshot(struct life *l)
{
    struct collector *c;
    bool done = false;
    l->blocks_in_snapshot = l->blocks_count;
    assert_ok(collector_new(l->owner.keyspace, l->owner.replicas, 300, &c));
    while (!done) assert_ok(collector_step(c, 5, into_copy, &l->copy, &done));
    collector_free(c);
}

static void live(struct life *l, uint64_t seed)
{
    random_init(&l->random, seed);
    assert_ok(fixture_new(1u << random_below(&l->random, 3), &l->owner));
    assert_ok(fixture_new(2, &l->holder));
    assert_ok(fixture_new(1, &l->copy));
    keyspace_set_own(l->holder.keyspace, 3);
    keyspace_set_own(l->copy.keyspace, 4);
    uint32_t steps = 50 + (uint32_t)random_below(&l->random, 300);
    uint32_t boots = 1 + (uint32_t)random_below(&l->random, 8);
    uint32_t snapshot_at = (uint32_t)random_below(&l->random, steps);
    boot_begins(l);
    for (uint32_t i = 0; i < steps; i++) {
        if (i == snapshot_at) snapshot(l);
        uint64_t dice = random_below(&l->random, 100);
        if (dice < 70)
            step_add(l);
        else if (dice < 83)
            step_take(l);
        else if (dice < 96)
            step_publish(l);
        else if (l->boots_count < boots && l->boots_count < BOOTS_MAX)
            boot_begins(l);
    }
    drain(l);
}

/* Blocks come in any order, and more than once; the holder has something of another replica as well. */
static void deliver(struct life *l, struct fixture *to, uint32_t from)
{
    uint32_t order[BLOCKS_MAX];
    for (uint32_t i = from; i < l->blocks_count; i++) {
        uint32_t at = from + (uint32_t)random_below(&l->random, i - from + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (uint32_t i = from; i < l->blocks_count; i++) {
        assert_ok(join_block(to, buffer_view(&l->blocks[order[i]])));
        assert_ok(join_block(to, buffer_view(&l->blocks[order[from + random_below(&l->random, i - from + 1)]])));
    }
}

/* --- what each entry must be --- */

/* The last version at or below seq; seq 0: none. */
static struct version version_at(const struct life *l, uint32_t number, uint64_t seq)
{
    struct version found = { 0, 0 };
    for (uint32_t i = 0; i < l->versions_count[number] && l->versions[number][i].seq <= seq; i++)
        found = l->versions[number][i];
    return found;
}

struct found {
    const char *name;
    uint32_t replica;
    struct entry entry;
    struct version older[BLOCK_OLDER_MAX];
    uint32_t older_count;
};

static void find_visit(void *context, const struct visit *visit)
{
    struct found *f = context;
    if (!bytes_equal(visit->name, bytes_of_text(f->name))) return;
    for (uint32_t i = 0; i < visit->count; i++) {
        if (visit->shares[i].replica != f->replica) continue;
        struct entry older[BLOCK_OLDER_MAX];
        f->entry = visit->shares[i].entry;
        f->older_count = visit_older(visit, &visit->shares[i], older);
        for (uint32_t k = 0; k < f->older_count; k++) f->older[k] = (struct version){ older[k].seq, older[k].net };
    }
}

static struct found find(struct fixture *f, const char *name, uint32_t replica)
{
    struct found found = { .name = name, .replica = replica };
    struct walk walk = { 0 };
    while (keyspace_walk(f->keyspace, &walk, 100, find_visit, &found)) continue;
    return found;
}

/* The replica's entry up to `end`, with the versions that stood at the starts of the loose boots before its seq. */
static void check_entry(const struct life *l, struct fixture *f, uint32_t number, uint64_t end, uint32_t boots)
{
    struct found found = find(f, name_of(number), OWN);
    struct version entry = version_at(l, number, end), last = entry;
    uint32_t count = 0;
    assert_true(found.entry.seq == entry.seq && found.entry.net == entry.net);
    for (uint32_t i = boots; i-- > 1;) {
        if (l->boots[i].start >= last.seq) continue;
        last = version_at(l, number, l->boots[i].start);
        if (last.seq == 0) break;
        assert_true(count < found.older_count);
        assert_true(found.older[count].seq == last.seq && found.older[count].net == last.net);
        count++;
    }
    assert_int_equal(found.older_count, count);
}

static uint32_t part_of(struct fixture *f, uint64_t nonce)
{
    struct id128 own = fixture_id(OWN), id = trail_split_id(&own, nonce);
    uint32_t index;
    assert_ok(replicas_intern(f->replicas, &id, &index));
    return index;
}

/* What boot i wrote, counted from where it began. */
static void check_part(const struct life *l, struct fixture *f, uint32_t number, uint32_t i)
{
    uint64_t start = l->boots[i].start, end = i + 1 < l->boots_count ? l->boots[i + 1].start : UINT64_MAX;
    struct found found = find(f, name_of(number), part_of(f, l->boots[i].nonce));
    struct version before = version_at(l, number, start), last = version_at(l, number, end);
    bool wrote = last.seq > start;
    assert_true(found.entry.seq == (wrote ? last.seq : 0));
    assert_true(found.entry.net == (wrote ? last.net - before.net : 0));
    assert_int_equal(found.older_count, 0);
}

/* Of the versions that stood at `end`, those since `start`. */
static void note_all(const struct life *l, uint64_t start, uint64_t end)
{
    for (uint32_t number = 0; number < NAMES; number++) {
        struct version last = version_at(l, number, end);
        if (last.seq > start) replicas_note_entry(l->prints, 1, 0, last.seq);
    }
}

/* Whoever holds the same shows the same fingerprints. */
static void check_prints(const struct life *l, struct fixture *f, uint32_t from)
{
    for (uint32_t i = from; i <= l->boots_count; i++) {
        bool is_part = i < l->boots_count; /* the last turn is what stayed */
        uint32_t next = is_part ? i + 1 : from, there = is_part ? part_of(f, l->boots[i].nonce) : OWN;
        uint64_t start = is_part ? l->boots[i].start : 0;
        uint64_t end = next < l->boots_count ? l->boots[next].start : UINT64_MAX;
        note_all(l, start, end);
        assert_true(replicas_known(f->replicas, there)->print == replicas_known(l->prints, 1)->print);
        note_all(l, start, end); /* as it was */
    }
}

/* All from boot `from` on is split off. */
static void check_all(const struct life *l, struct fixture *f, uint32_t from)
{
    uint64_t end = from < l->boots_count ? l->boots[from].start : UINT64_MAX;
    for (uint32_t number = 0; number < NAMES; number++) {
        assert_int_equal(get(f, name_of(number)).value, l->values[number]);
        check_entry(l, f, number, end, from);
        for (uint32_t i = from; i < l->boots_count; i++) check_part(l, f, number, i);
    }
    assert_int_equal(keyspace_count(f->keyspace), keyspace_count(l->owner.keyspace));
    check_prints(l, f, from);
}

static void split_off(struct life *l, struct fixture *f, uint32_t from)
{
    for (uint32_t i = l->boots_count; i-- > from;) {
        uint32_t to = part_of(f, l->boots[i].nonce);
        assert_ok(keyspace_split(f->keyspace, OWN, l->boots[i].start, to));
        assert_ok(replicas_split_last(f->replicas, OWN, to));
    }
}

static void release(struct life *l)
{
    for (uint32_t i = 0; i < l->blocks_count; i++) buffer_release(&l->blocks[i]);
    fixture_release(&l->owner);
    fixture_release(&l->holder);
    fixture_release(&l->copy);
    replicas_free(l->prints);
    free(l);
}

static struct life *life_new(uint64_t seed)
{
    struct life *l = calloc(1, sizeof *l);
    assert_non_null(l);
    struct id128 id = { { 1 } };
    uint32_t index;
    assert_ok(replicas_new(&l->prints));
    assert_ok(replicas_intern(l->prints, &id, &index));
    live(l, seed);
    return l;
}

static void test_every_holder_can_split_off_any_loose_boot_and_no_value_changes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 250; seed++) {
        struct life *l = life_new(seed);
        deliver(l, &l->holder, 0);
        deliver(l, &l->copy, l->blocks_in_snapshot);
        struct fixture *all[] = { &l->owner, &l->holder, &l->copy };
        for (int i = 0; i < 3; i++) check_all(l, all[i], l->boots_count);
        uint32_t from = l->boots_count > 1 ? 1 + (uint32_t)random_below(&l->random, l->boots_count - 1) : 1;
        for (int i = 0; i < 3; i++) {
            split_off(l, all[i], from);
            check_all(l, all[i], from);
            split_off(l, all[i], l->boots_count); /* nothing is left to do */
        }
        release(l);
    }
}

/* The holder had a snapshot of an earlier time, blocks since then, and was told late what was split. */
static void test_parts_and_blocks_may_come_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1001; seed <= 1100; seed++) {
        struct life *l = life_new(seed);
        uint32_t from = 1;
        deliver(l, &l->copy, 0);
        split_off(l, &l->copy, from);
        /* The holder gets the parts from one who has split, before or after it splits itself. */
        bool parts_first = seed % 2;
        if (!parts_first) {
            deliver(l, &l->holder, 0);
            split_off(l, &l->holder, from);
        }
        struct collector *c;
        bool done = false;
        assert_ok(collector_new(l->copy.keyspace, l->copy.replicas, 300, &c));
        while (!done) assert_ok(collector_step(c, 100, into_copy, &l->holder, &done));
        collector_free(c);
        if (!parts_first || l->boots_count == 1) check_all(l, &l->holder, l->boots_count == 1 ? 1 : from);
        release(l);
    }
}

static void test_the_owner_goes_on_under_the_id_of_the_part(void **state)
{
    (void)state;
    uint32_t moved = 0;
    for (uint64_t seed = 2001; seed <= 2100; seed++) {
        struct life *l = life_new(seed);
        struct fixture *f = &l->owner;
        if (l->boots_count > 1) {
            uint32_t own = part_of(f, l->boots[l->boots_count - 1].nonce);
            keyspace_refuse_writes(f->keyspace, ERR_FENCED);
            split_off(l, f, 1);
            keyspace_set_own(f->keyspace, own);
            keyspace_refuse_writes(f->keyspace, ERR_OK);
            check_all(l, f, 1);
            for (uint32_t i = 0; i < 3 * NAMES; i++) {
                int64_t delta = 1 + i;
                struct found before = find(f, name_of(i % NAMES), OWN);
                add(f, name_of(i % NAMES), delta);
                l->values[i % NAMES] += delta;
                if (i % 5 == 4) commit_all(f);
                assert_int_equal(get(f, name_of(i % NAMES)).value, l->values[i % NAMES]);
                struct found after = find(f, name_of(i % NAMES), OWN);
                assert_true(before.entry.seq == after.entry.seq && before.entry.net == after.entry.net);
            }
            commit_all(f);
            assert_true(find(f, name_of(0), own).entry.seq > l->boots[l->boots_count - 1].start);
            moved++;
        }
        release(l);
    }
    assert_true(moved > 30);
}

static void test_what_is_pending_of_the_own_replica_is_not_touched_by_a_foreign_split(void **state)
{
    (void)state;
    struct life *l = life_new(7);
    assert_true(l->boots_count > 1);
    keyspace_set_own(l->holder.keyspace, HELD);
    deliver(l, &l->holder, 0);
    struct commit c;
    for (uint32_t i = 0; i < NAMES; i++) add(&l->holder, name_of(i), 5);
    c = (struct commit){ .number = 1, .seq_first = 1 };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = fixture_id(HELD), .nonce = 5 };
    block_begin(&c.block, &c.out, &head);
    assert_ok(commit_take_again(&l->holder, &c)); /* on its way */
    for (uint32_t i = 0; i < NAMES; i++) add(&l->holder, name_of(i), 7);
    split_off(l, &l->holder, 1);
    for (uint32_t i = 0; i < NAMES; i++) assert_int_equal(get(&l->holder, name_of(i)).value, l->values[i] + 12);
    commit_publish(&l->holder, &c);
    commit_all(&l->holder);
    for (uint32_t i = 0; i < NAMES; i++) {
        struct found found = find(&l->holder, name_of(i), HELD);
        assert_true(found.entry.net == 12);
        assert_int_equal(get(&l->holder, name_of(i)).value, l->values[i] + 12);
    }
    release(l);
}

static void test_firm_boots_leave_nothing_behind(void **state)
{
    (void)state;
    struct life *l = life_new(3);
    struct fixture *all[] = { &l->owner, &l->holder, &l->copy };
    deliver(l, &l->holder, 0);
    deliver(l, &l->copy, l->blocks_in_snapshot);
    uint32_t kept = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t bytes = keyspace_bytes(all[i]->keyspace);
        for (uint32_t number = 0; number < NAMES; number++) kept += find(all[i], name_of(number), OWN).older_count;
        trail_set_firm(replicas_trail(all[i]->replicas, OWN), UINT64_MAX);
        keyspace_prune(all[i]->keyspace, OWN);
        assert_true(keyspace_bytes(all[i]->keyspace) < bytes);
        for (uint32_t number = 0; number < NAMES; number++)
            assert_int_equal(find(all[i], name_of(number), OWN).older_count, 0);
    }
    assert_true(kept > 0);
    release(l);
}

/* --- extras --- */

struct shares {
    struct share items[REPLICAS + 8];
    uint32_t count;
};

static void shares_visit(void *context, const struct visit *visit)
{
    struct shares *s = context;
    s->count = visit->count;
    memcpy(s->items, visit->shares, visit->count * sizeof *visit->shares);
}

static struct extras *extras_of(uint64_t add_seq, uint64_t base_seq, int128 base_net)
{
    struct extras *x = mem_alloc_zero(1, sizeof *x);
    assert_non_null(x);
    x->add_seq = add_seq;
    x->self_base = (struct base){ base_seq, base_net };
    x->after = base_seq > 0 && add_seq > base_seq;
    x->assigned = (struct assignment){ { 1000, OWN }, true, 3 };
    x->bases = (struct base_list){ mem_alloc(sizeof(struct replica_base)), 1 };
    assert_non_null(x->bases.items);
    x->bases.items[0] = (struct replica_base){ HELD, { 1, 4 } };
    return x;
}

/* Seq 8 of net 10 stood when the boot began at 10; then came seq 12 of net 15, with the owner's last reset where the
 * case says. */
static struct shares split_with_reset(uint64_t reset_seq, int128 reset_net, int64_t *ret_value)
{
    static struct fixture f;
    struct bytes name = bytes_of_text("n");
    if (f.keyspace) fixture_release(&f);
    assert_ok(fixture_new(1, &f));
    keyspace_set_own(f.keyspace, 3);
    assert_ok(trail_extend(replicas_trail(f.replicas, OWN), 0, 1));
    assert_ok(trail_extend(replicas_trail(f.replicas, OWN), 10, 2));
    join(&f, HELD, "n", 1, 9);
    bool is_before = reset_seq <= 8;
    struct entry older = { .seq = 8, .net = 10, .extras = is_before ? extras_of(8, reset_seq, reset_net) : NULL };
    struct entry entry = { .seq = 12, .net = 15, .extras = extras_of(12, reset_seq, reset_net) };
    cell_ref cell;
    assert_ok(keyspace_join_older(f.keyspace, OWN, hash_of(&f, name), name, &entry, &older, 1, &cell));
    *ret_value = get(&f, "n").value;
    uint32_t to = part_of(&f, 2);
    assert_ok(keyspace_split(f.keyspace, OWN, 10, to));
    assert_int_equal(get(&f, "n").value, *ret_value);
    struct shares shares = { .count = 0 };
    struct walk walk = { 0 };
    while (keyspace_walk(f.keyspace, &walk, 10, shares_visit, &shares)) continue;
    assert_int_equal(shares.count, 3);
    return shares;
}

static void test_a_reset_before_the_fork_or_after_it_clears_what_it_cleared(void **state)
{
    (void)state;
    int64_t value;
    struct shares s = split_with_reset(0, 0, &value); /* never: 15, the other's 9 - 4, assigned 3 */
    assert_int_equal(value, 15 + 5 + 3);
    s = split_with_reset(5, 4, &value);
    assert_int_equal(value, 11 + 5 + 3);
    for (uint32_t i = 0; i < s.count; i++) {
        const struct extras *x = s.items[i].entry.extras;
        if (s.items[i].replica <= REPLICAS) continue;
        assert_true(s.items[i].entry.net == 5 && x->self_base.seq == 0 && !x->after);
        assert_int_equal(x->bases.count, 1);
    }
    s = split_with_reset(11, 13, &value);
    assert_int_equal(value, 2 + 5 + 3);
    for (uint32_t i = 0; i < s.count; i++) {
        const struct extras *x = s.items[i].entry.extras;
        if (s.items[i].replica <= REPLICAS) continue;
        assert_true(s.items[i].entry.net == 5 && x->self_base.seq == 11 && x->self_base.net == 3 && x->after);
        const struct replica_base *base = base_list_find(&x->bases, OWN);
        assert_non_null(base);
        assert_true(base->base.seq == 8 && base->base.net == 10);
    }
}

/* --- memory --- */

struct short_of_memory {
    struct life *l;
    bool broken;
};

/* The call that failed is made again, and goes on. */
static enum err story_of_a_split(void *context)
{
    struct short_of_memory *m = context;
    struct life *l = m->l;
    struct fixture f;
    enum err err = fixture_new(2, &f), failed = err;
    if (err != ERR_OK) return err;
    keyspace_set_own(f.keyspace, 3);
    for (uint32_t i = 0; i < l->boots_count; i++) {
        while ((err = trail_extend(replicas_trail(f.replicas, OWN), l->boots[i].start, l->boots[i].nonce)) != ERR_OK)
            failed = err;
        if (i == 0) trail_set_firm(replicas_trail(f.replicas, OWN), l->boots[0].start + 1);
    }
    for (uint32_t i = 0; i < l->blocks_count; i++) {
        while ((err = join_block(&f, buffer_view(&l->blocks[i]))) != ERR_OK) failed = err;
    }
    for (uint32_t i = l->boots_count; i-- > 1;) {
        struct id128 own = fixture_id(OWN), id = trail_split_id(&own, l->boots[i].nonce);
        uint32_t to;
        while ((err = replicas_intern(f.replicas, &id, &to)) != ERR_OK) failed = err;
        while ((err = keyspace_split(f.keyspace, OWN, l->boots[i].start, to)) != ERR_OK) {
            failed = err;
            m->broken = true;
        }
        while ((err = replicas_split_last(f.replicas, OWN, to)) != ERR_OK) failed = err;
    }
    check_all(l, &f, 1);
    fixture_release(&f);
    return failed;
}

static void test_a_split_without_memory_goes_on_where_it_was(void **state)
{
    (void)state;
    struct short_of_memory m = { .l = life_new(5) };
    assert_true(m.l->boots_count > 2);
    assert_true(each_allocation_fails(story_of_a_split, &m) > 50);
    assert_true(m.broken);
    release(m.l);
}

/* A take without memory loses no older version, and gives none twice. */
static enum err story_of_a_loose_commit(void *context)
{
    (void)context;
    struct fixture f;
    struct commit c = { 0 };
    enum err err = fixture_new(2, &f), failed = ERR_OK;
    if (err != ERR_OK) return err;
    struct trail *trail = replicas_trail(f.replicas, OWN);
    for (uint32_t boot = 0; boot < 4; boot++) {
        while (trail_extend(trail, f.seq, boot + 1) != ERR_OK) failed = ERR_NOMEM;
        struct seen seen;
        for (uint32_t i = 0; i < 6; i++) {
            while (try_add(&f, name_of(i), 1 + boot, &seen) != ERR_OK) failed = ERR_NOMEM;
        }
        while (commit_take(&f, &c) != ERR_OK) {
            failed = ERR_NOMEM;
            if (!c.out.failed && c.out.len > 0) {
                assert_ok(commit_take_again(&f, &c));
                break;
            }
            commit_release(&c);
        }
        commit_publish(&f, &c);
    }
    for (uint32_t i = 0; i < 6; i++) {
        struct found found = find(&f, name_of(i), OWN);
        assert_int_equal(found.older_count, 3);
        assert_true(found.older[0].net == 6 && found.older[1].net == 3 && found.older[2].net == 1);
    }
    fixture_release(&f);
    return failed;
}

static void test_a_loose_commit_without_memory_keeps_every_version(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(story_of_a_loose_commit, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_holder_can_split_off_any_loose_boot_and_no_value_changes),
        cmocka_unit_test(test_parts_and_blocks_may_come_in_any_order),
        cmocka_unit_test(test_the_owner_goes_on_under_the_id_of_the_part),
        cmocka_unit_test(test_what_is_pending_of_the_own_replica_is_not_touched_by_a_foreign_split),
        cmocka_unit_test(test_firm_boots_leave_nothing_behind),
        cmocka_unit_test(test_a_reset_before_the_fork_or_after_it_clears_what_it_cleared),
        cmocka_unit_test(test_a_split_without_memory_goes_on_where_it_was),
        cmocka_unit_test(test_a_loose_commit_without_memory_keeps_every_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
