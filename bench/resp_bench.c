/* SPDX-License-Identifier: Apache-2.0 */
/* What a command costs from its bytes to its reply, without the socket: pipelines of 64 through one session on the real
 * keyspace, on one thread. One hot counter, and a million at random. The commits that the replica thread would make,
 * one for each 1,024 pipelines here, are shown beside it. The best of 32 rounds counts: others use the machine too. */
#include "test/unit/resp_fixture.h"

#include "base/random.h"
#include "count/block.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PIPELINE 64u
#define PIPELINES 4096u /* different ones, used in turn */
#define ROUNDS 32u
#define COUNTERS 1000000u
#define PIPELINES_A_COMMIT 1024u

struct bench {
    struct resp_fixture fixture;
    struct resp_session *session;
    struct buffer pipelines[PIPELINES];
    struct buffer out, block;
    struct batch batch;
    uint64_t commit, seq;
};

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void bench_commit(struct bench *b)
{
    static const struct id128 own = { { 0xab, 1 } };
    struct block_writer w;
    buffer_clear(&b->block);
    b->batch.count = 0;
    block_begin(&w, &b->block, &(struct block_head){ .kind = BLOCK_DELTA, .replica = own, .nonce = 1, .from = b->seq });
    REQUIRE(keyspace_take(b->fixture.service.keyspace, ++b->commit, b->seq + 1, &b->batch, &w) == ERR_OK);
    b->seq += b->batch.count;
    block_end(&w, b->seq);
    keyspace_publish(b->fixture.service.keyspace, &b->batch);
}

/* Returns the nanoseconds of the session alone; the commits come on top. */
static double bench_round(struct bench *b, double *ret_commit_ns)
{
    double session_ns = 0, commit_ns = 0;
    for (uint32_t i = 0; i < PIPELINES; i += PIPELINES_A_COMMIT) {
        double start = now_ns();
        for (uint32_t j = i; j < i + PIPELINES_A_COMMIT; j++) {
            struct session_result result;
            buffer_clear(&b->out);
            resp_session_feed(b->session, buffer_view(&b->pipelines[j]), &b->out, &result);
            REQUIRE(result.consumed == b->pipelines[j].len && !result.close);
        }
        double fed = now_ns();
        bench_commit(b);
        session_ns += fed - start;
        commit_ns += now_ns() - fed;
    }
    *ret_commit_ns = commit_ns;
    return session_ns;
}

static void write_pipelines(struct bench *b, const char *command, uint64_t counters)
{
    struct random random;
    random_init(&random, 42);
    for (uint32_t i = 0; i < PIPELINES; i++) {
        buffer_clear(&b->pipelines[i]);
        for (uint32_t j = 0; j < PIPELINE; j++) {
            buffer_printf(&b->pipelines[i], "*2\r\n$%zu\r\n%s\r\n$14\r\nkey:%010" PRIu64 "\r\n", strlen(command),
                          command, random_below(&random, counters));
        }
    }
}

static void bench_run(struct bench *b, const char *command, uint64_t counters)
{
    const double commands = PIPELINES * PIPELINE;
    double best = 1e300, best_commit = 1e300, commit;
    write_pipelines(b, command, counters);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double session = bench_round(b, &commit);
        if (session < best) best = session;
        if (commit < best_commit) best_commit = commit;
    }
    printf("%-5s on %7" PRIu64 "  %6.1f ns a command, its commit %6.1f ns\n", command, counters, best / commands,
           best_commit / commands);
}

static void fill(struct keyspace *keyspace)
{
    for (uint32_t i = 0; i < COUNTERS; i++) {
        char name[32];
        struct seen seen;
        struct bytes bytes = bytes_of(name, (size_t)snprintf(name, sizeof name, "key:%010" PRIu32, i));
        REQUIRE(keyspace_add(keyspace, keyspace_hash(keyspace, bytes), bytes, 1000, &seen) == ERR_OK);
    }
}

int main(void)
{
    struct bench *b = calloc(1, sizeof *b);
    REQUIRE(b);
    resp_fixture_init(&b->fixture);
    b->session = resp_session_new(&b->fixture.service, &b->fixture.peer);
    REQUIRE(b->session);
    fill(b->fixture.service.keyspace);
    bench_commit(b);
    bench_run(b, "ECHO", 1);
    bench_run(b, "INCR", 1);
    bench_run(b, "GET", 1);
    bench_run(b, "INCR", COUNTERS);
    bench_run(b, "GET", COUNTERS);
    resp_session_free(b->session);
    for (uint32_t i = 0; i < PIPELINES; i++) buffer_release(&b->pipelines[i]);
    buffer_release(&b->out);
    buffer_release(&b->block);
    batch_release(&b->batch);
    resp_fixture_release(&b->fixture);
    free(b);
    return 0;
}
