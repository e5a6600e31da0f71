/* SPDX-License-Identifier: Apache-2.0 */
/* What an increment costs in the keyspace alone, on one thread: one hot counter, and a million at random in batches of
 * 64 that are hashed and prefetched first, as a worker does with a pipeline. Commits are taken and published on the
 * same thread and are part of the time, which is the thread's CPU time. Then bytes a counter, at all fills that come up
 * on the way to a million. */
#include "base/random.h"
#include "count/block.h"
#include "count/keyspace_replica.h"
#include "count/replicas.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COUNTERS 1000000u
#define BATCH 64u
#define ADDS (16u << 20)
#define SHARDS 256u
#define NAME_BYTES 14

static const struct id128 own_id = { { 1 } };

struct bench {
    struct replicas *replicas;
    struct keyspace *keyspace;
    struct batch batch;
    struct buffer out;
    uint64_t commit, seq;
};

static void check(enum err err)
{
    if (err == ERR_OK) return;
    fprintf(stderr, "keyspace_bench: %s\n", err_text(err));
    exit(1);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct bench bench_new(uint32_t shards)
{
    struct bench b = { 0 };
    uint32_t own;
    check(replicas_new(&b.replicas));
    check(replicas_intern(b.replicas, &own_id, &own));
    const struct keyspace_options options = { .shards = shards, .hash_seed = 42, .replicas = b.replicas };
    check(keyspace_new(&options, &b.keyspace));
    keyspace_set_own(b.keyspace, own);
    return b;
}

static void bench_release(struct bench *b)
{
    keyspace_free(b->keyspace);
    replicas_free(b->replicas);
    batch_release(&b->batch);
    buffer_release(&b->out);
}

static void bench_commit(struct bench *b)
{
    struct block_writer block;
    buffer_clear(&b->out);
    b->batch.count = 0;
    block_begin(&block, &b->out, &(struct block_head){ .kind = BLOCK_DELTA, .replica = own_id, .from = b->seq });
    check(keyspace_take(b->keyspace, ++b->commit, b->seq + 1, &b->batch, &block));
    b->seq += b->batch.count;
    block_end(&block, b->seq);
    check(buffer_end(&b->out));
    keyspace_publish(b->keyspace, &b->batch);
}

static struct bytes name_of(uint32_t number, char text[NAME_BYTES + 1])
{
    snprintf(text, NAME_BYTES + 1, "counter%07" PRIu32, number % 10000000);
    return bytes_of(text, NAME_BYTES);
}

static void add(struct bench *b, struct bytes name, uint64_t hash)
{
    struct seen seen;
    check(keyspace_add(b->keyspace, hash, name, 1, &seen));
}

/* ADDS increments over `counters` names, with a commit after every commit_adds of them. */
static void measure_adds(const char *title, uint32_t counters, uint32_t commit_adds)
{
    struct bench b = bench_new(SHARDS);
    struct random random;
    random_init(&random, 7);
    char(*names)[NAME_BYTES + 1] = calloc(counters, sizeof *names);
    if (!names) check(ERR_NOMEM);
    for (uint32_t i = 0; i < counters; i++) {
        struct bytes name = name_of(i, names[i]);
        add(&b, name, keyspace_hash(b.keyspace, name));
    }
    bench_commit(&b);
    double commit_ns = 0, start_ns = now_ns();
    for (uint32_t done = 0; done < ADDS; done += BATCH) {
        struct bytes name[BATCH];
        uint64_t hash[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            name[i] = bytes_of(names[counters > 1 ? random_below(&random, counters) : 0], NAME_BYTES);
            hash[i] = keyspace_hash(b.keyspace, name[i]);
            keyspace_prefetch(b.keyspace, hash[i]);
        }
        for (uint32_t i = 0; i < BATCH; i++) add(&b, name[i], hash[i]);
        if (done % commit_adds != 0) continue;
        double commit_start_ns = now_ns();
        bench_commit(&b);
        commit_ns += now_ns() - commit_start_ns;
    }
    double all_ns = now_ns() - start_ns;
    printf("%-44s %6.1f ns an add, of which commits %5.1f ns\n", title, all_ns / ADDS, commit_ns / ADDS);
    free(names);
    bench_release(&b);
}

static void measure_growth(uint32_t shards)
{
    struct bench b = bench_new(shards);
    double worst = 0, best = 1e9, sum = 0, worst_ns = 0, all_ns = 0;
    uint32_t samples = 0;
    for (uint32_t i = 0; i < COUNTERS; i += BATCH) {
        char text[BATCH][NAME_BYTES + 1];
        for (uint32_t j = 0; j < BATCH; j++) name_of(i + j, text[j]);
        double start_ns = now_ns();
        for (uint32_t j = 0; j < BATCH; j++) {
            struct bytes name = bytes_of(text[j], NAME_BYTES);
            add(&b, name, keyspace_hash(b.keyspace, name));
        }
        double ns = now_ns() - start_ns;
        all_ns += ns;
        worst_ns = ns > worst_ns ? ns : worst_ns;
        bench_commit(&b);
        if (i < COUNTERS / 2 || i / BATCH % 80 != 0) continue;
        double bytes = (double)keyspace_bytes(b.keyspace) / (i + BATCH);
        worst = bytes > worst ? bytes : worst;
        best = bytes < best ? bytes : best;
        sum += bytes;
        samples++;
    }
    printf("%5" PRIu32 " shards, 0.5 to 1 M counters: %.1f to %.1f bytes each, mean %.1f\n", shards, best, worst,
           sum / samples);
    printf("      a new counter takes %.0f ns, %u of them at worst %.0f us\n", all_ns / COUNTERS, BATCH,
           worst_ns / 1000);
    bench_release(&b);
}

int main(void)
{
    measure_adds("1 hot counter, a commit each 4,096 adds", 1, 4096);
    measure_adds("1 M at random, a commit each 4,096 adds", COUNTERS, 4096);
    measure_adds("1 M at random, a commit each 262,144 adds", COUNTERS, 262144);
    for (uint32_t shards = 64; shards <= 1024; shards *= 4) measure_growth(shards);
    return 0;
}
