/* SPDX-License-Identifier: Apache-2.0 */
/* Workers add while a replica thread commits, joins and walks. Afterwards every total is exact, and every commit number
 * that an increment was told to wait for has taken that increment. Run it under ThreadSanitizer too. */
#include "keyspace_fixture.h"

#include "base/random.h"
#include "count/keyspace_replica.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define WORKERS 4
#define SHARED 60 /* names that all workers add to; with one of each worker's own they fill 64 bits */
#define ADDS 60000
#define NEW_EACH 4 /* every so many adds a worker makes a new counter, so that tables grow all the time */
#define COMMITS_MAX 100000
#define FLIGHTS 3
#define FOREIGN_NET 1000000

struct world {
    struct fixture f;
    atomic_uint workers_done;
    /* By commit: the names it took, and the net of each worker's own name. */
    uint64_t *taken;
    int64_t (*nets)[WORKERS];
    uint64_t foreign_seq; /* of the last entry joined of the foreign replica */
};

struct worker {
    struct world *world;
    uint32_t index;
    /* By commit: the names whose increments were told to wait for it, and how far the own name had come. */
    uint64_t *waits;
    int64_t *own_waits;
    int64_t shared[SHARED];
    uint32_t made, wrong;
};

static struct bytes name_text(char *text, size_t size, const char *kind, uint32_t a, uint32_t b)
{
    return bytes_of(text, (size_t)snprintf(text, size, "%s %u %u", kind, a, b));
}

/* Names 0 to SHARED - 1 are shared, the rest are one for each worker. */
static struct bytes name_of(uint32_t number, char *text, size_t size)
{
    return name_text(text, size, number % 2 ? "a shared counter" : "s", number, 0);
}

static void worker_note(struct worker *w, uint32_t number, const struct seen *seen)
{
    if (seen->commit == 0 || seen->commit >= COMMITS_MAX) {
        w->wrong++;
        return;
    }
    w->waits[seen->commit] |= (uint64_t)1 << number;
}

static void worker_make(struct worker *w)
{
    char text[48];
    struct bytes name = name_text(text, sizeof text, "new", w->index, w->made);
    struct keyspace *k = w->world->f.keyspace;
    uint64_t hash = keyspace_hash(k, name);
    struct seen seen;
    w->wrong += keyspace_add(k, hash, name, 1 + w->made, &seen) != ERR_OK || seen.value != 1 + w->made;
    w->made++;
    name = name_text(text, sizeof text, "new", w->index, w->made / 2);
    keyspace_get(k, keyspace_hash(k, name), name, &seen);
    w->wrong += w->made / 2 < w->made && seen.value != 1 + w->made / 2;
}

static void *worker_run(void *context)
{
    struct worker *w = context;
    struct keyspace *k = w->world->f.keyspace;
    struct random random;
    random_init(&random, w->index);
    char text[48];
    struct seen seen;
    for (int i = 1; i <= ADDS; i++) {
        uint32_t number = (uint32_t)random_below(&random, SHARED);
        int64_t delta = 1 + (int64_t)random_below(&random, 9);
        struct bytes name = name_of(number, text, sizeof text);
        uint64_t hash = keyspace_hash(k, name);
        keyspace_prefetch(k, hash);
        w->wrong += keyspace_add(k, hash, name, delta, &seen) != ERR_OK;
        w->shared[number] += delta;
        worker_note(w, number, &seen);

        name = name_of(SHARED + w->index, text, sizeof text);
        hash = keyspace_hash(k, name);
        w->wrong += keyspace_add(k, hash, name, 1, &seen) != ERR_OK || seen.value != i;
        worker_note(w, SHARED + w->index, &seen);
        w->own_waits[seen.commit % COMMITS_MAX] = i;
        uint64_t waits_for = seen.commit;
        keyspace_get(k, hash, name, &seen);
        w->wrong += seen.value != i || (seen.commit != 0 && seen.commit != waits_for);
        if (i % NEW_EACH == 0) worker_make(w);
    }
    atomic_fetch_add(&w->world->workers_done, 1);
    return NULL;
}

/* The replica thread's part, on the test's own thread */

static void world_take(struct world *w, struct commit *c)
{
    assert_ok(commit_take(&w->f, c));
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    assert_ok(block_open(&r, buffer_view(&c->out)));
    assert_int_equal(r.left, c->batch.count);
    char text[48];
    while (block_next(&r, w->f.replicas, &name, &entry) == ERR_OK) {
        unsigned number, zero;
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        if (sscanf(text, name.len > 12 ? "a shared counter %u %u" : "s %u %u", &number, &zero) != 2) continue;
        assert_true((w->taken[c->number] >> number & 1) == 0);
        w->taken[c->number] |= (uint64_t)1 << number;
        if (number >= SHARED) w->nets[c->number][number - SHARED] = (int64_t)entry.net;
    }
}

/* The foreign share of a shared name is always FOREIGN_NET, under ever higher seqs. */
static void world_join(struct world *w, struct random *random)
{
    char text[48];
    struct bytes name = name_of((uint32_t)random_below(random, SHARED / 2), text, sizeof text);
    struct entry entry = { .seq = ++w->foreign_seq, .net = FOREIGN_NET };
    uint32_t replica = 2 + (uint32_t)random_below(random, 2);
    cell_ref cell;
    assert_ok(keyspace_join(w->f.keyspace, replica, hash_of(&w->f, name), name, &entry, &cell));
}

static void visit_one(void *context, const struct visit *visit)
{
    uint64_t *visits = context;
    *visits += visit->exists;
    for (uint32_t i = 0; i < visit->count; i++) assert_true(visit->shares[i].entry.seq > 0);
}

static void world_run(struct world *w)
{
    struct commit flights[FLIGHTS];
    struct random random;
    random_init(&random, 77);
    struct walk at = { 0 };
    uint64_t first = 0, next = 0, visits = 0;
    for (bool last = false; !last;) {
        last = atomic_load(&w->workers_done) == WORKERS;
        if (w->f.commit + 2 < COMMITS_MAX && (last || keyspace_is_dirty(w->f.keyspace))) {
            world_take(w, &flights[next++ % FLIGHTS]);
            world_join(w, &random);
        }
        if (next - first == FLIGHTS) commit_publish(&w->f, &flights[first++ % FLIGHTS]);
        if (!keyspace_walk(w->f.keyspace, &at, 100, visit_one, &visits)) at = (struct walk){ 0 };
        assert_true(keyspace_bytes(w->f.keyspace) > 0);
        if (w->f.commit + 2 >= COMMITS_MAX) sched_yield();
    }
    while (first < next) commit_publish(&w->f, &flights[first++ % FLIGHTS]);
    assert_false(keyspace_is_dirty(w->f.keyspace));
}

static void check_waits(const struct world *w, const struct worker *workers)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(workers[i].wrong, 0);
        for (uint32_t commit = 1; commit < COMMITS_MAX; commit++) {
            assert_true((workers[i].waits[commit] & ~w->taken[commit]) == 0);
            assert_true(workers[i].own_waits[commit] <= w->nets[commit][i]);
        }
    }
}

static void count_foreign(void *context, const struct visit *visit)
{
    int128 *sum = context;
    for (uint32_t i = 0; i < visit->count; i++) {
        if (visit->shares[i].replica != OWN) *sum += visit->shares[i].entry.net;
    }
    int128 value = 0;
    for (uint32_t i = 0; i < visit->count; i++) value += visit->shares[i].entry.net;
    assert_true(value == visit->value); /* at rest everything is durable */
}

static void check_totals(struct world *w, const struct worker *workers)
{
    int128 want = 0, got = 0, foreign = 0;
    struct walk at = { 0 };
    while (keyspace_walk(w->f.keyspace, &at, 1000, count_foreign, &foreign)) continue;
    uint64_t made = 0;
    char text[48];
    for (uint32_t i = 0; i < WORKERS; i++) {
        for (uint32_t n = 0; n < SHARED; n++) want += workers[i].shared[n];
        made += workers[i].made;
        for (uint32_t n = 0; n < workers[i].made; n++) {
            name_text(text, sizeof text, "new", i, n);
            assert_int_equal(get(&w->f, text).value, 1 + n);
        }
    }
    for (uint32_t n = 0; n < SHARED; n++) {
        name_of(n, text, sizeof text);
        struct seen seen = get(&w->f, text);
        assert_int_equal(seen.commit, 0);
        got += seen.value;
    }
    assert_true(got == want + foreign);
    assert_true(foreign > 0);
    assert_int_equal(keyspace_count(w->f.keyspace), SHARED + WORKERS + made);
}

static void test_workers_add_while_the_replica_thread_commits(void **state)
{
    (void)state;
    struct world w = { 0 };
    assert_ok(fixture_new(8, &w.f));
    w.taken = calloc(COMMITS_MAX, sizeof *w.taken);
    w.nets = calloc(COMMITS_MAX, sizeof *w.nets);
    assert_true(w.taken && w.nets);
    static struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){ .world = &w, .index = i };
        workers[i].waits = calloc(COMMITS_MAX, sizeof *workers[i].waits);
        workers[i].own_waits = calloc(COMMITS_MAX, sizeof *workers[i].own_waits);
        assert_true(workers[i].waits && workers[i].own_waits);
        assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
    }
    world_run(&w);
    for (uint32_t i = 0; i < WORKERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    check_waits(&w, workers);
    check_totals(&w, workers);
    for (uint32_t i = 0; i < WORKERS; i++) {
        free(workers[i].waits);
        free(workers[i].own_waits);
    }
    free(w.taken);
    free(w.nets);
    fixture_release(&w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_add_while_the_replica_thread_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
