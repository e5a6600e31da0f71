/* SPDX-License-Identifier: Apache-2.0 */
/* Random calls on a keyspace and on a slow obvious model of it: plain arrays, and the algebra over all shares worked
 * out anew at every look. They must agree in every answer, every entry of every block, and every walk. */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "count/keyspace_replica.h"

#include <stdio.h>

#define NAMES 24
#define FLIGHTS 4
#define HISTORIES 400
#define STEPS 600

struct model_counter {
    char name[48];
    struct entry entries[REPLICAS + 1]; /* durable, by replica; extras are the model's own copies */
    int128 net;                         /* own, with everything pending */
    bool dirty;
    uint64_t commit; /* the last that took it */
    uint32_t in_flight;
    bool known; /* there is a cell */
};

struct model {
    struct fixture f;
    struct random random;
    struct model_counter counters[NAMES];
    struct commit flights[FLIGHTS];
    uint32_t flights_first, flights_count;
};

static bool model_is_pending(const struct model_counter *c)
{
    return c->dirty || c->in_flight > 0;
}

/* What a reader sees: the own entry as the coming commit would write it. */
static struct seen model_see(struct model *m, const struct model_counter *c, int128 net, bool is_pending,
                             int128 *ret_exact)
{
    struct share shares[REPLICAS];
    uint32_t count = 0;
    struct extras own;
    for (uint32_t i = 1; i <= REPLICAS; i++) {
        struct entry entry = c->entries[i];
        if (i == OWN && is_pending) {
            entry.seq = m->f.seq + 1;
            entry.net = net;
            if (entry.extras) {
                own = *entry.extras;
                own.add_seq = entry.seq;
                own.after = true;
                entry.extras = &own;
            }
        }
        if (entry.seq > 0) shares[count++] = (struct share){ i, entry };
    }
    *ret_exact = shares_value(m->f.replicas, shares, count);
    uint64_t commit = c->dirty ? m->f.commit + 1 : c->in_flight > 0 ? c->commit : 0;
    return (struct seen){ value_shown(*ret_exact), shares_exist(m->f.replicas, shares, count), commit };
}

static struct seen model_get(struct model *m, const struct model_counter *c)
{
    int128 exact;
    return model_see(m, c, c->net, model_is_pending(c), &exact);
}

static void assert_same(struct seen got, struct seen want)
{
    assert_int_equal(got.value, want.value);
    assert_int_equal(got.exists, want.exists);
    assert_int_equal(got.commit, want.commit);
}

static void check_counter(struct model *m, const struct model_counter *c)
{
    assert_same(get(&m->f, c->name), model_get(m, c));
}

static void check_all(struct model *m)
{
    uint64_t existing = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        check_counter(m, &m->counters[i]);
        existing += model_get(m, &m->counters[i]).exists;
    }
    assert_int_equal(keyspace_count(m->f.keyspace), existing);
}

/* Steps */

static int64_t random_delta(struct random *random)
{
    int64_t delta = (int64_t)(random_u64(random) >> random_below(random, 64));
    if (random_below(random, 2)) delta = delta == INT64_MIN ? delta : -delta;
    return delta ? delta : 1;
}

static void step_add(struct model *m, struct model_counter *c)
{
    int64_t delta = random_delta(&m->random);
    int128 exact, net = (model_is_pending(c) ? c->net : c->entries[OWN].net) + delta;
    model_see(m, c, net, true, &exact);
    struct seen seen;
    enum err err = try_add(&m->f, c->name, delta, &seen);
    bool leaves_range = (exact > INT64_MAX && delta > 0) || (exact < INT64_MIN && delta < 0);
    assert_err(err, leaves_range ? ERR_RANGE : ERR_OK);
    if (!leaves_range) {
        c->net = net;
        c->dirty = c->known = true;
    }
    assert_same(seen, model_get(m, c));
}

static struct model_counter *model_find(struct model *m, struct bytes name)
{
    for (uint32_t i = 0; i < NAMES; i++) {
        if (bytes_equal(name, bytes_of_text(m->counters[i].name))) return &m->counters[i];
    }
    fail_msg("a name that nobody gave");
    return NULL;
}

static void step_take(struct model *m)
{
    if (m->flights_count == FLIGHTS) return;
    struct commit *c = &m->flights[(m->flights_first + m->flights_count++) % FLIGHTS];
    assert_ok(commit_take(&m->f, c));
    struct block_reader r;
    assert_ok(block_open(&r, buffer_view(&c->out)));
    assert_int_equal(r.head.count, c->batch.count);
    struct bytes name;
    struct entry entry;
    for (uint32_t i = 0; i < c->batch.count; i++) {
        assert_ok(block_next(&r, m->f.replicas, &name, &entry));
        struct model_counter *counter = model_find(m, name);
        assert_true(counter->dirty); /* and so at most once in this block */
        assert_int_equal(entry.seq, c->seq_first + i);
        assert_int_equal(c->batch.items[i].seq, entry.seq);
        assert_true(entry.net == counter->net && c->batch.items[i].net == counter->net);
        const struct extras *extras = counter->entries[OWN].extras;
        bool says_more =
            extras && (extras->bases.count > 0 || extras->self_base.seq > 0 || extras->assigned.stamp.time);
        assert_int_equal(entry.extras != NULL, says_more);
        if (entry.extras) {
            assert_int_equal(entry.extras->add_seq, entry.seq);
            assert_int_equal(entry.extras->after, extras->self_base.seq > 0);
            assert_int_equal(entry.extras->bases.count, extras->bases.count);
        }
        extras_free(entry.extras);
        counter->dirty = false;
        counter->commit = c->number;
        counter->in_flight++;
    }
    assert_err(block_next(&r, m->f.replicas, &name, &entry), ERR_STALE);
    for (uint32_t i = 0; i < NAMES; i++) assert_false(m->counters[i].dirty);
}

static void step_publish(struct model *m)
{
    if (m->flights_count == 0) return;
    struct commit *c = &m->flights[m->flights_first];
    m->flights_first = (m->flights_first + 1) % FLIGHTS;
    m->flights_count--;
    struct block_reader r;
    assert_ok(block_open(&r, buffer_view(&c->out)));
    struct bytes name;
    struct entry entry;
    while (block_next(&r, m->f.replicas, &name, &entry) == ERR_OK) {
        struct model_counter *counter = model_find(m, name);
        extras_free(entry.extras);
        counter->entries[OWN].seq = entry.seq;
        counter->entries[OWN].net = entry.net;
        struct extras *extras = counter->entries[OWN].extras;
        if (extras) extras->add_seq = entry.seq;
        if (extras) extras->after = extras->self_base.seq > 0;
        counter->in_flight--;
    }
    commit_publish(&m->f, c);
}

static int128 random_net(struct random *random)
{
    int128 net = random_delta(random);
    return random_below(random, 8) ? net / 1000 : net * ((int128)1 << random_below(random, 30));
}

/* An entry never changes without a new seq, so whoever saw the same seq must have seen the same net. */
static int128 net_seen_at(uint32_t replica, uint64_t seq)
{
    return ((int128)seq * 7919 - 100000) * (int128)(1 + replica);
}

/* A reset that saw some of what this counter's shares had: never more of the own one than is durable. */
static struct extras *random_extras(struct model *m, const struct model_counter *c, uint32_t replica, uint64_t seq)
{
    struct random *random = &m->random;
    struct extras *extras = calloc(1, sizeof *extras);
    assert_non_null(extras);
    extras->add_seq = random_below(random, seq + 1);
    if (random_below(random, 2)) {
        extras->self_base = (struct base){ 1 + random_below(random, seq), random_net(random) };
        extras->after = random_below(random, 2);
    }
    if (random_below(random, 3) == 0) {
        extras->assigned = (struct assignment){ .stamp = { 1 + random_below(random, 9), replica } };
        extras->assigned.has_value = random_below(random, 2);
        if (extras->assigned.has_value) extras->assigned.value = random_delta(random) / 1000;
    }
    extras->bases.items = calloc(REPLICAS, sizeof *extras->bases.items);
    assert_non_null(extras->bases.items);
    for (uint32_t i = 1; i <= REPLICAS; i++) {
        uint64_t seen = c->entries[i].seq;
        if (i == replica || seen == 0 || random_below(random, 2)) continue;
        if (random_below(random, 2)) seen = 1 + random_below(random, seen);
        struct base base = { seen, net_seen_at(i, seen) };
        extras->bases.items[extras->bases.count++] = (struct replica_base){ i, base };
    }
    return extras;
}

static void step_join(struct model *m, struct model_counter *c, uint32_t replica, uint64_t seq)
{
    struct extras *extras = random_below(&m->random, 4) ? NULL : random_extras(m, c, replica, seq), *copy;
    struct entry entry = { .seq = seq, .net = random_net(&m->random), .extras = extras };
    assert_ok(extras_copy(extras, &copy));
    assert_ok(try_join(&m->f, replica, c->name, seq, entry.net, extras));
    c->known = true;
    if (seq > c->entries[replica].seq) {
        extras_free(c->entries[replica].extras);
        c->entries[replica] = (struct entry){ seq, entry.net, copy };
    } else {
        extras_free(copy);
    }
    check_counter(m, c);
}

static void visit_one(void *context, const struct visit *visit)
{
    struct model *m = context;
    struct model_counter *c = model_find(m, visit->name);
    assert_true(c->known);
    struct seen want = model_get(m, c);
    assert_int_equal(visit->value, want.value);
    assert_int_equal(visit->exists, want.exists);
    uint32_t durable = 0;
    for (uint32_t i = 1; i <= REPLICAS; i++) durable += c->entries[i].seq > 0;
    assert_int_equal(visit->count, durable);
    for (uint32_t i = 0; i < visit->count; i++) {
        const struct share *got = &visit->shares[i];
        assert_int_equal(got->entry.seq, c->entries[got->replica].seq);
        assert_true(got->entry.net == c->entries[got->replica].net);
        assert_true(extras_equal(got->entry.extras, c->entries[got->replica].extras));
    }
}

static void step_walk(struct model *m)
{
    struct walk at = { 0 };
    while (keyspace_walk(m->f.keyspace, &at, 1 + (uint32_t)random_below(&m->random, 5), visit_one, m)) continue;
}

static void step(struct model *m)
{
    struct random *random = &m->random;
    struct model_counter *c = &m->counters[random_below(random, NAMES)];
    uint64_t dice = random_below(random, 100);
    if (dice < 50) {
        step_add(m, c);
    } else if (dice < 62) {
        step_take(m);
    } else if (dice < 74) {
        step_publish(m);
    } else if (dice < 94) {
        uint32_t replica = 2 + (uint32_t)random_below(random, REPLICAS - 1);
        step_join(m, c, replica, 1 + random_below(random, 30));
    } else if (dice < 98) {
        check_counter(m, c);
    } else {
        step_walk(m);
    }
}

static void model_init(struct model *m, uint64_t seed)
{
    *m = (struct model){ 0 };
    random_init(&m->random, seed);
    assert_ok(fixture_new(1u << random_below(&m->random, 4), &m->f));
    for (uint32_t i = 0; i < NAMES; i++) {
        /* 2 to 40 bytes, inline and not, and alike. */
        snprintf(m->counters[i].name, sizeof m->counters[i].name, "%02u%.*s", i, (int)(i * 38 / (NAMES - 1)),
                 "--------------------------------------");
    }
    /* Recovery: some own entries, before any increment; they may turn out to be its own only afterwards. */
    if (seed % 2) keyspace_set_own(m->f.keyspace, REPLICAS);
    for (uint32_t i = 0; i < NAMES; i += 2) {
        m->f.seq += 2;
        step_join(m, &m->counters[i], OWN, m->f.seq);
        if (random_below(&m->random, 2)) step_join(m, &m->counters[i], OWN, m->f.seq - 1);
    }
    keyspace_set_own(m->f.keyspace, OWN);
}

static void model_release(struct model *m)
{
    while (m->flights_count > 0) step_publish(m);
    check_all(m);
    for (uint32_t i = 0; i < NAMES; i++) {
        for (uint32_t r = 1; r <= REPLICAS; r++) extras_free(m->counters[i].entries[r].extras);
    }
    fixture_release(&m->f);
}

static void test_random_histories_agree_with_the_model(void **state)
{
    (void)state;
    static struct model m;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        model_init(&m, seed);
        for (int i = 0; i < STEPS; i++) {
            step(&m);
            if (i % 50 == 0) check_all(&m);
        }
        model_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
