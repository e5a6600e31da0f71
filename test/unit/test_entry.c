/* SPDX-License-Identifier: Apache-2.0 */
/* Small stories about the algebra, then random histories of one counter against an oracle that knows nothing of bases:
 * it remembers each increment and what every reset had seen. */
#include "testing.h"

#include "base/random.h"
#include "count/entry.h"
#include "count/replicas.h"
#include "count/reset.h"

#include <stdio.h>

#define HISTORIES 60000

/* --- Stories --- */

struct pair {
    struct replicas *replicas;
    uint32_t low, high; /* in the order of ids, not of indices */
};

static struct pair pair_new(void)
{
    struct pair p;
    assert_ok(replicas_new(&p.replicas));
    assert_ok(replicas_intern(p.replicas, &(struct id128){ { 9 } }, &p.high));
    assert_ok(replicas_intern(p.replicas, &(struct id128){ { 3 } }, &p.low));
    return p;
}

static struct assignment assign(uint64_t time, uint32_t replica, bool has_value, int64_t value)
{
    return (struct assignment){ { time, replica }, has_value, value };
}

static void test_untouched_counter_is_nothing(void **state)
{
    (void)state;
    struct pair p = pair_new();
    assert_true(shares_value(p.replicas, NULL, 0) == 0);
    assert_false(shares_exist(p.replicas, NULL, 0));
    assert_int_equal(shares_assigned(p.replicas, NULL, 0).stamp.time, 0);
    replicas_free(p.replicas);
}

static void test_value_is_the_sum_of_compact_shares(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct share shares[] = { { p.high, { .seq = 4, .net = 7 } }, { p.low, { .seq = 1, .net = -10 } } };
    assert_true(shares_value(p.replicas, shares, 2) == -3);
    shares[1].entry.net = -7;
    assert_true(shares_value(p.replicas, shares, 2) == 0);
    assert_true(shares_exist(p.replicas, shares, 2)); /* 0, but counted */
    replicas_free(p.replicas);
}

/* low resets its own 5 and the 7 that it saw of high, before high adds 2 more. */
static void test_reset_clears_what_it_saw_and_no_more(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct share high = { p.high, { .seq = 4, .net = 7 } }, low = { p.low, { .seq = 1, .net = 5 } };
    struct assignment none = assign(1, p.low, false, 0);
    assert_ok(entry_observe_reset(&low.entry, 2, &high, 1, &none));
    assert_true(shares_value(p.replicas, (struct share[]){ high, low }, 2) == 0);
    assert_false(shares_exist(p.replicas, (struct share[]){ high, low }, 2));

    assert_ok(entry_add(&low.entry, 2, 3)); /* later in the same commit */
    entry_seal(&low.entry, 2, 40);
    assert_int_equal(low.entry.extras->add_seq, 40);
    assert_ok(entry_add(&high.entry, 5, 2));
    entry_seal(&high.entry, 5, 5);
    struct share both[] = { low, high };
    assert_true(shares_value(p.replicas, both, 2) == 5);
    assert_true(shares_part(both, 2, 0) == 3);
    assert_true(shares_part(both, 2, 1) == 2);
    bool is_foreign = true;
    assert_int_equal(shares_base(both, 2, 0, &is_foreign).seq, 40);
    assert_false(is_foreign);
    assert_int_equal(shares_base(both, 2, 1, &is_foreign).seq, 4);
    assert_true(is_foreign);
    extras_free(low.entry.extras);
    replicas_free(p.replicas);
}

/* The reset saw seq 4; this reader still has seq 3. */
static void test_share_older_than_its_base_counts_nothing(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct share newer = { p.high, { .seq = 4, .net = 9 } }, low = { p.low, { 0 } };
    struct assignment none = assign(1, p.low, false, 0);
    assert_ok(entry_observe_reset(&low.entry, 1, &newer, 1, &none));
    struct share shares[] = { { p.high, { .seq = 3, .net = 4 } }, low };
    assert_true(shares_value(p.replicas, shares, 2) == 0);
    assert_false(shares_exist(p.replicas, shares, 2));
    extras_free(low.entry.extras);
    replicas_free(p.replicas);
}

/* high resets and adds 3 in one commit; low saw that commit and reset it. */
static void test_foreign_base_wins_at_equal_seq(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct share high = { p.high, { .seq = 1, .net = 5 } }, low = { p.low, { 0 } };
    struct assignment none = assign(1, p.high, false, 0);
    assert_ok(entry_observe_reset(&high.entry, 2, NULL, 0, &none));
    assert_ok(entry_add(&high.entry, 2, 3));
    entry_seal(&high.entry, 2, 2);
    assert_true(shares_value(p.replicas, &high, 1) == 3);
    none = assign(2, p.low, false, 0);
    assert_ok(entry_observe_reset(&low.entry, 1, &high, 1, &none));
    struct share both[] = { high, low };
    assert_true(shares_value(p.replicas, both, 2) == 0);
    assert_false(shares_exist(p.replicas, both, 2));
    extras_free(high.entry.extras);
    extras_free(low.entry.extras);
    replicas_free(p.replicas);
}

static void test_owner_takes_a_base_over_once(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct share high = { p.high, { .seq = 4, .net = 7 } }, low = { p.low, { 0 } };
    struct assignment none = assign(1, p.low, false, 0);
    assert_ok(entry_observe_reset(&low.entry, 1, &high, 1, &none));
    bool changed = false;
    assert_ok(entry_take_over(&high.entry, 5, p.high, &low, 1, &changed));
    assert_true(changed);
    entry_seal(&high.entry, 5, 6);
    assert_int_equal(high.entry.extras->add_seq, 4);
    assert_false(shares_exist(p.replicas, (struct share[]){ high, low }, 2));
    assert_false(shares_exist(p.replicas, &high, 1)); /* now without low's copy */
    assert_ok(entry_take_over(&high.entry, 7, p.high, &low, 1, &changed));
    assert_false(changed);
    assert_ok(entry_add(&high.entry, 7, 1));
    entry_seal(&high.entry, 7, 8);
    assert_ok(entry_take_over(&high.entry, 9, p.high, &low, 1, &changed));
    assert_false(changed);
    assert_int_equal(high.entry.seq, 8);
    assert_true(shares_value(p.replicas, &high, 1) == 1);
    extras_free(high.entry.extras);
    extras_free(low.entry.extras);
    replicas_free(p.replicas);
}

/* What came after the base is still there when the foreign copy has gone. */
static void test_take_over_knows_what_came_after(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct share seen = { p.high, { .seq = 4, .net = 7 } }, high = { p.high, { .seq = 6, .net = 9 } };
    struct share low = { p.low, { 0 } };
    struct assignment none = assign(1, p.low, false, 0);
    assert_ok(entry_observe_reset(&low.entry, 1, &seen, 1, &none));
    bool changed = false;
    assert_ok(entry_take_over(&high.entry, 7, p.high, &low, 1, &changed));
    assert_true(changed);
    entry_seal(&high.entry, 7, 7);
    assert_true(shares_value(p.replicas, &high, 1) == 2);
    assert_true(shares_exist(p.replicas, &high, 1));

    none.stamp.time++;
    assert_ok(entry_observe_reset(&low.entry, 2, &high, 1, &none)); /* and is gone when low resets again */
    assert_ok(entry_take_over(&high.entry, 8, p.high, &low, 1, &changed));
    assert_true(changed);
    assert_true(shares_value(p.replicas, &high, 1) == 0);
    assert_false(shares_exist(p.replicas, &high, 1));
    extras_free(high.entry.extras);
    extras_free(low.entry.extras);
    replicas_free(p.replicas);
}

/* Only the self base speaks of the own share. */
static void test_list_is_about_others_alone(void **state)
{
    (void)state;
    struct replica_base own = { 2, { 5, 5 } };
    struct extras extras = { .add_seq = 5, .bases = { &own, 1 } };
    struct share share = { 2, { .seq = 5, .net = 5, .extras = &extras } };
    assert_int_equal(shares_foreign_base(&share, 1, 2).seq, 0);
    assert_true(shares_part(&share, 1, 0) == 5);
}

static void test_base_from_the_future_is_not_taken_over(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct replica_base future = { p.high, { .seq = 5, .net = 1 } };
    struct extras extras = { .add_seq = 1, .bases = { &future, 1 } };
    struct share low = { p.low, { .seq = 1, .net = 1, .extras = &extras } };
    struct entry high = { .seq = 4, .net = 7 };
    bool changed = true;
    assert_ok(entry_take_over(&high, 5, p.high, &low, 1, &changed));
    assert_false(changed);
    assert_null(high.extras);
    replicas_free(p.replicas);
}

static void test_later_assignment_wins_and_ties_go_by_id(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct extras a = { .assigned = assign(5, p.low, true, 10) }, b = { .assigned = assign(5, p.high, true, 20) };
    struct share shares[] = { { p.low, { .seq = 1, .extras = &a } }, { p.high, { .seq = 1, .extras = &b } } };
    struct share turned[] = { shares[1], shares[0] };
    assert_true(shares_value(p.replicas, shares, 2) == 20);
    assert_true(shares_value(p.replicas, turned, 2) == 20);
    a.assigned.stamp.time = 6;
    assert_true(shares_value(p.replicas, shares, 2) == 10);
    assert_true(shares_value(p.replicas, turned, 2) == 10);
    a.assigned.has_value = false; /* a DEL */
    assert_true(shares_value(p.replicas, shares, 2) == 0);
    assert_false(shares_exist(p.replicas, shares, 2));
    replicas_free(p.replicas);
}

static void test_none_wins_at_the_same_stamp(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct extras a = { .assigned = assign(5, p.low, true, 10) }, b = { .assigned = assign(5, p.low, false, 0) };
    struct share shares[] = { { p.low, { .seq = 1, .extras = &a } }, { p.high, { .seq = 1, .extras = &b } } };
    struct share turned[] = { shares[1], shares[0] };
    assert_false(shares_assigned(p.replicas, shares, 2).has_value);
    assert_false(shares_assigned(p.replicas, turned, 2).has_value);
    replicas_free(p.replicas);
}

static void test_assigned_zero_exists(void **state)
{
    (void)state;
    struct pair p = pair_new();
    struct extras extras = { .assigned = assign(5, p.low, true, 0) };
    struct share share = { p.low, { .seq = 1, .extras = &extras } };
    assert_true(shares_exist(p.replicas, &share, 1));
    assert_true(shares_value(p.replicas, &share, 1) == 0);
    replicas_free(p.replicas);
}

static void test_value_beyond_64_bits_is_shown_as_the_bound(void **state)
{
    (void)state;
    assert_true(value_shown((int128)INT64_MAX + 1) == INT64_MAX);
    assert_true(value_shown((int128)INT64_MIN - 1) == INT64_MIN);
    assert_true(value_shown(-5) == -5);
}

/* The sum of the largest parts there can be stays inside 128 bits; UBSan would say. */
static void test_largest_nets_of_all_replicas_sum_up(void **state)
{
    (void)state;
    int128 part = 2 * NET_MAX, sum = INT64_MAX;
    for (uint32_t i = 0; i < REPLICAS_MAX; i++) sum += part;
    assert_true(sum > 0 && (sum - INT64_MAX) / REPLICAS_MAX == part);
    struct entry own = { .seq = 1, .net = NET_MAX };
    assert_err(entry_add(&own, 2, 1), ERR_RANGE);
    assert_true(own.net == NET_MAX && own.seq == 1);
    own.net = -NET_MAX;
    assert_err(entry_add(&own, 2, -1), ERR_RANGE);
    assert_ok(entry_add(&own, 2, 1));
}

static struct extras *extras_with_everything(void)
{
    struct extras *x = mem_alloc_zero(1, sizeof *x);
    assert_non_null(x);
    *x = (struct extras){ .add_seq = 3, .after = true, .self_base = { 2, 20 }, .fresh = true };
    x->assigned = assign(5, 1, true, 10);
    x->due = (struct deadline){ { 6, 2 }, 1000 };
    x->bases.items = mem_alloc_zero(2, sizeof *x->bases.items);
    x->later.items = mem_alloc_zero(1, sizeof *x->later.items);
    assert_true(x->bases.items && x->later.items);
    x->bases.items[0] = (struct replica_base){ 1, { 7, 70 } };
    x->bases.items[1] = (struct replica_base){ 4, { 8, 80 } };
    x->later.items[0] = (struct replica_base){ 4, { 9, 90 } };
    x->bases.count = 2;
    x->later.count = 1;
    return x;
}

static void test_copy_of_extras_is_equal_and_its_own(void **state)
{
    (void)state;
    struct extras *x = extras_with_everything(), *copy = NULL;
    assert_ok(extras_copy(x, &copy));
    assert_true(extras_equal(x, copy));
    copy->bases.items[1].base.net++;
    assert_false(extras_equal(x, copy));
    extras_free(x);
    extras_free(copy);
    assert_ok(extras_copy(NULL, &copy));
    assert_null(copy);
    assert_true(extras_equal(NULL, NULL));
    assert_false(extras_equal(NULL, &(struct extras){ 0 }));
    extras_free(NULL);
}

#define ASSERT_TELLS(field, changed)                                                                                   \
    do {                                                                                                               \
        struct extras *a = extras_with_everything(), *b = extras_with_everything();                                    \
        assert_true(extras_equal(a, b));                                                                               \
        b->field = (changed);                                                                                          \
        assert_false(extras_equal(a, b));                                                                              \
        assert_false(extras_equal(b, a));                                                                              \
        extras_free(a);                                                                                                \
        extras_free(b);                                                                                                \
    } while (0)

static void test_extras_differ_in_any_field(void **state)
{
    (void)state;
    ASSERT_TELLS(add_seq, 4);
    ASSERT_TELLS(after, false);
    ASSERT_TELLS(self_base.seq, 1);
    ASSERT_TELLS(self_base.net, 21);
    ASSERT_TELLS(assigned.stamp.time, 6);
    ASSERT_TELLS(assigned.stamp.replica, 2);
    ASSERT_TELLS(assigned.has_value, false);
    ASSERT_TELLS(assigned.value, 11);
    ASSERT_TELLS(due.set.time, 7);
    ASSERT_TELLS(due.set.replica, 1);
    ASSERT_TELLS(due.at_ms, 1001);
    ASSERT_TELLS(fresh, false);
    ASSERT_TELLS(bases.count, 1);
    ASSERT_TELLS(bases.items[0].replica, 2);
    ASSERT_TELLS(bases.items[0].base.seq, 1);
    ASSERT_TELLS(later.items[0].base.net, 1);
}

static void test_what_says_nothing_makes_no_difference(void **state)
{
    (void)state;
    struct extras plain = { .add_seq = 3 };
    struct extras noisy = { .add_seq = 3, .after = true, .fresh = true, .self_base = { 0, 4 } };
    noisy.assigned.value = 8;
    noisy.due.at_ms = 9;
    assert_true(extras_equal(&plain, &noisy));
}

static enum err copy_and_free(void *context)
{
    struct extras *copy = NULL;
    enum err err = extras_copy(context, &copy);
    assert_int_equal(copy != NULL, err == ERR_OK);
    extras_free(copy);
    return err;
}

/* Makes a reset on an entry that has everything; on failure the entry must be as before. */
static enum err reset_over(void *context)
{
    const struct share others[] = {
        { 6, { .seq = 60, .net = 600 } },
        { 4, { .seq = 30, .net = 300 } },
        { 1, { .seq = 6, .net = 60 } }, /* older than what the last reset saw */
        { 5, { .seq = 0 } },            /* not there yet */
    };
    const struct assignment none = assign(9, 1, false, 0);
    struct entry own = { .seq = 3, .net = 30 };
    enum err err = extras_copy(context, &own.extras);
    if (err != ERR_OK) return err;
    struct extras *before = own.extras;
    err = entry_observe_reset(&own, 10, others, 4, &none);
    if (err == ERR_OK) {
        assert_int_equal(own.seq, 10);
        assert_int_equal(own.extras->bases.count, 3);
        assert_int_equal(own.extras->bases.items[0].base.seq, 7);
        assert_int_equal(own.extras->bases.items[1].base.seq, 30);
        assert_int_equal(own.extras->bases.items[2].base.seq, 60);
        assert_int_equal(own.extras->later.count, 0);
    } else {
        assert_ptr_equal(own.extras, before);
        assert_int_equal(own.seq, 3);
        assert_true(extras_equal(own.extras, context));
    }
    extras_free(own.extras);
    return err;
}

static enum err take_over(void *context)
{
    struct share other = { 5, { .seq = 3, .extras = context } };
    struct entry own = { .seq = 9, .net = 90 };
    bool changed = false;
    enum err err = entry_take_over(&own, 10, 4, &other, 1, &changed);
    assert_int_equal(changed, err == ERR_OK);
    assert_int_equal(own.extras != NULL, err == ERR_OK);
    extras_free(own.extras);
    return err;
}

static void test_without_memory_nothing_changes(void **state)
{
    (void)state;
    struct extras *x = extras_with_everything();
    assert_int_equal(each_allocation_fails(copy_and_free, x), 3);
    assert_true(each_allocation_fails(reset_over, x) >= 6);
    assert_int_equal(each_allocation_fails(take_over, x), 1);
    extras_free(x);
}

/* --- Histories --- */

#define NODES_MAX 4
#define STEPS_MAX 60
#define PUBLISHED_MAX (STEPS_MAX + 16)

/* A version of an entry as it left its owner, with the increments inside its net. */
struct version {
    struct entry entry;
    uint64_t ids;
};

struct node {
    uint32_t replica;
    struct entry own;
    uint64_t ids, seq_open;
    uint64_t clock;
    bool dirty;
    const struct version *known[NODES_MAX]; /* of the others; NULL: nothing heard */
    struct version published[PUBLISHED_MAX];
    uint32_t published_count;
};

struct history {
    struct random random;
    struct replicas *replicas;
    struct node nodes[NODES_MAX];
    uint32_t count;
    bool takes_over;
    /* the oracle */
    int deltas[STEPS_MAX];
    uint32_t increments;
    uint64_t observed;
    struct assignment assigned;
};

static uint32_t draw(struct history *h, uint32_t below)
{
    return (uint32_t)random_below(&h->random, below);
}

static void history_init(struct history *h, uint64_t seed)
{
    memset(h, 0, sizeof *h);
    random_init(&h->random, seed);
    assert_ok(replicas_new(&h->replicas));
    h->count = 2 + draw(h, NODES_MAX - 1);
    h->takes_over = draw(h, 2) == 0;
    for (uint32_t i = 0; i < h->count; i++) {
        struct id128 id;
        for (size_t b = 0; b < sizeof id.bytes; b++) id.bytes[b] = (uint8_t)draw(h, 256);
        assert_ok(replicas_intern(h->replicas, &id, &h->nodes[i].replica));
        h->nodes[i].seq_open = 1;
    }
}

static void history_release(struct history *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct node *n = &h->nodes[i];
        extras_free(n->own.extras);
        for (uint32_t v = 0; v < n->published_count; v++) extras_free(n->published[v].entry.extras);
    }
    replicas_free(h->replicas);
}

/* The shares of all others, as n knows them. */
static uint32_t node_others(const struct history *h, const struct node *n, struct share *ret_shares)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (n->known[i]) ret_shares[count++] = (struct share){ h->nodes[i].replica, n->known[i]->entry };
    }
    return count;
}

static void node_add(struct history *h, struct node *n)
{
    static const int deltas[] = { -3, -1, 1, 2, 5 };
    int delta = deltas[draw(h, 5)];
    assert_ok(entry_add(&n->own, n->seq_open, delta));
    n->ids |= (uint64_t)1 << h->increments;
    h->deltas[h->increments++] = delta;
    n->dirty = true;
}

static void node_reset(struct history *h, struct node *n, bool has_value)
{
    struct share others[NODES_MAX];
    uint32_t count = node_others(h, n, others);
    n->clock += draw(h, 4) == 0 ? 51 : 1;
    struct assignment assigned = assign(n->clock, n->replica, has_value, has_value ? (int64_t)draw(h, 41) - 20 : 0);
    assert_ok(entry_observe_reset(&n->own, n->seq_open, others, count, &assigned));
    n->dirty = true;
    h->observed |= n->ids;
    for (uint32_t i = 0; i < h->count; i++) h->observed |= n->known[i] ? n->known[i]->ids : 0;
    const struct id128 *id = replicas_id(h->replicas, n->replica);
    bool is_later = assigned.stamp.time > h->assigned.stamp.time ||
                    (assigned.stamp.time == h->assigned.stamp.time &&
                     memcmp(id, replicas_id(h->replicas, h->assigned.stamp.replica), sizeof *id) > 0);
    if (is_later) h->assigned = assigned;
}

/* Other counters take seqs too, so the one that comes is not always the next. */
static void node_commit(struct history *h, struct node *n)
{
    if (!n->dirty) return;
    uint64_t seq = n->seq_open + (draw(h, 2) == 0 ? draw(h, 5) : 0);
    entry_seal(&n->own, n->seq_open, seq);
    n->seq_open = seq + 1;
    n->dirty = false;
    assert_true(n->published_count < PUBLISHED_MAX);
    struct version *v = &n->published[n->published_count++];
    *v = (struct version){ { n->own.seq, n->own.net, NULL }, n->ids };
    assert_ok(extras_copy(n->own.extras, &v->entry.extras));
}

static void node_hear(struct history *h, struct node *n, uint32_t owner, uint32_t which)
{
    const struct version *v = &h->nodes[owner].published[which];
    if (n->known[owner] && n->known[owner]->entry.seq >= v->entry.seq) return;
    n->known[owner] = v;
    uint64_t time = v->entry.extras ? v->entry.extras->assigned.stamp.time : 0;
    if (time > n->clock) n->clock = time;
    if (!h->takes_over) return;
    struct share others[NODES_MAX];
    uint32_t count = node_others(h, n, others);
    bool changed = false;
    assert_ok(entry_take_over(&n->own, n->seq_open, n->replica, others, count, &changed));
    n->dirty |= changed;
}

static void history_step(struct history *h)
{
    struct node *n = &h->nodes[draw(h, h->count)];
    uint32_t dice = draw(h, 100), owner = draw(h, h->count);
    if (dice < 40) {
        node_add(h, n);
    } else if (dice < 56) {
        node_reset(h, n, dice >= 50);
    } else if (dice < 75) {
        node_commit(h, n);
    } else if (&h->nodes[owner] != n && h->nodes[owner].published_count > 0) {
        node_hear(h, n, owner, draw(h, h->nodes[owner].published_count));
    }
}

static void history_run(struct history *h)
{
    for (uint32_t steps = 5 + draw(h, STEPS_MAX - 4); steps > 0; steps--) history_step(h);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < h->count; i++) node_commit(h, &h->nodes[i]);
        for (uint32_t owner = 0; owner < h->count; owner++) {
            uint32_t versions = h->nodes[owner].published_count;
            for (uint32_t i = 0; i < h->count && versions > 0; i++) {
                if (i != owner) node_hear(h, &h->nodes[i], owner, versions - 1);
            }
        }
    }
}

/* Two rules that are wrong, to show that the histories would tell. */
enum rule { RULE_RIGHT, RULE_SELF_WINS_TIES, RULE_EXISTS_BY_SEQ };

static int128 value_by_rule(const struct history *h, const struct share *shares, uint32_t count, enum rule rule)
{
    if (rule != RULE_SELF_WINS_TIES) return shares_value(h->replicas, shares, count);
    struct assignment assigned = shares_assigned(h->replicas, shares, count);
    int128 value = assigned.has_value ? assigned.value : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *e = &shares[i].entry;
        struct base base = shares_foreign_base(shares, count, shares[i].replica);
        if (e->extras && e->extras->self_base.seq >= base.seq) base = e->extras->self_base;
        value += base.seq > e->seq ? 0 : e->net - base.net;
    }
    return value;
}

static bool exists_by_rule(const struct history *h, const struct share *shares, uint32_t count, enum rule rule)
{
    if (rule != RULE_EXISTS_BY_SEQ) return shares_exist(h->replicas, shares, count);
    bool exists = shares_assigned(h->replicas, shares, count).has_value;
    for (uint32_t i = 0; i < count; i++) {
        bool is_foreign;
        exists |= shares[i].entry.seq > shares_base(shares, count, i, &is_foreign).seq;
    }
    return exists;
}

static bool history_is_right(const struct history *h, enum rule rule)
{
    int128 value = h->assigned.has_value ? h->assigned.value : 0;
    bool exists = h->assigned.has_value;
    for (uint32_t i = 0; i < h->increments; i++) {
        if (h->observed >> i & 1) continue;
        value += h->deltas[i];
        exists = true;
    }
    for (uint32_t i = 0; i < h->count; i++) {
        const struct node *n = &h->nodes[i];
        struct share shares[NODES_MAX];
        uint32_t count = node_others(h, n, shares);
        if (n->own.seq > 0) shares[count++] = (struct share){ n->replica, n->own };
        if (value_by_rule(h, shares, count, rule) != value) return false;
        if (exists_by_rule(h, shares, count, rule) != exists) return false;
    }
    return true;
}

/* How many of the histories a rule gets wrong; *ret_first is the first seed of them. */
static uint32_t count_wrong(uint32_t histories, enum rule rule, uint64_t *ret_first)
{
    uint32_t wrong = 0;
    struct history *h = calloc(1, sizeof *h);
    assert_non_null(h);
    for (uint64_t seed = 0; seed < histories; seed++) {
        history_init(h, seed);
        history_run(h);
        if (!history_is_right(h, rule) && wrong++ == 0) *ret_first = seed;
        history_release(h);
    }
    free(h);
    return wrong;
}

static void test_random_histories_agree_with_the_oracle(void **state)
{
    (void)state;
    uint64_t first = 0;
    uint32_t wrong = count_wrong(HISTORIES, RULE_RIGHT, &first);
    if (wrong > 0) print_error("%u histories wrong, the first with seed %llu\n", wrong, (unsigned long long)first);
    assert_int_equal(wrong, 0);
}

static void test_histories_catch_a_self_base_that_wins_ties(void **state)
{
    (void)state;
    uint64_t first = 0;
    assert_true(count_wrong(HISTORIES / 10, RULE_SELF_WINS_TIES, &first) > HISTORIES / 1000);
}

static void test_histories_catch_existence_by_seq_alone(void **state)
{
    (void)state;
    uint64_t first = 0;
    assert_true(count_wrong(HISTORIES / 10, RULE_EXISTS_BY_SEQ, &first) > HISTORIES / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untouched_counter_is_nothing),
        cmocka_unit_test(test_value_is_the_sum_of_compact_shares),
        cmocka_unit_test(test_reset_clears_what_it_saw_and_no_more),
        cmocka_unit_test(test_share_older_than_its_base_counts_nothing),
        cmocka_unit_test(test_foreign_base_wins_at_equal_seq),
        cmocka_unit_test(test_owner_takes_a_base_over_once),
        cmocka_unit_test(test_take_over_knows_what_came_after),
        cmocka_unit_test(test_list_is_about_others_alone),
        cmocka_unit_test(test_base_from_the_future_is_not_taken_over),
        cmocka_unit_test(test_later_assignment_wins_and_ties_go_by_id),
        cmocka_unit_test(test_none_wins_at_the_same_stamp),
        cmocka_unit_test(test_assigned_zero_exists),
        cmocka_unit_test(test_value_beyond_64_bits_is_shown_as_the_bound),
        cmocka_unit_test(test_largest_nets_of_all_replicas_sum_up),
        cmocka_unit_test(test_copy_of_extras_is_equal_and_its_own),
        cmocka_unit_test(test_extras_differ_in_any_field),
        cmocka_unit_test(test_what_says_nothing_makes_no_difference),
        cmocka_unit_test(test_without_memory_nothing_changes),
        cmocka_unit_test(test_random_histories_agree_with_the_oracle),
        cmocka_unit_test(test_histories_catch_a_self_base_that_wins_ties),
        cmocka_unit_test(test_histories_catch_existence_by_seq_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
