/* SPDX-License-Identifier: Apache-2.0 */
/* quipu-sim: runs seeds and scenarios, on several processes, and says how to repeat the first that fails.
 *
 * Each process takes every nth seed. What it counted, and which seed it is at, lie in memory shared with the parent, so
 * that a crash in the core names its seed as well. */
#include "sim/options.h"
#include "sim/run.h"
#include "sim/scenarios.h"

#include "base/err.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPEAT_EVERY 50u       /* one of so many seeds runs twice */
#define TABLE_COMPLETE_AT 200u /* runs from which on nothing may be missing in the table */

struct place {
    uint64_t seed;             /* at work on; 0: none */
    struct tally tally, again; /* again: of the run that shows that a seed repeats itself */
};

static struct place *places; /* shared, one for each process */
static double cpu_before;    /* of whoever was this process's program before */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* --- one process --- */

static void run_one(const struct sim_arguments *a, struct place *p)
{
    uint64_t seed = p->seed;
    struct run_options options = {
        .seed = seed, .nodes = a->nodes, .length_s = a->length_s, .tells = a->trace, .tally = &p->tally
    };
    uint64_t trace = run_seed(&options);
    if (a->trace || a->count == 1) printf("seed %" PRIu64 " trace %016" PRIx64 "\n", seed, trace);
    if (seed % REPEAT_EVERY != 0) return;
    options.tally = &p->again;
    p->again.last.count = 0;
    if (run_seed(&options) != trace) {
        fprintf(stderr, "sim: seed %" PRIu64 " does not repeat itself\n", seed);
        abort();
    }
    p->tally.checks[CHECK_REPEATED]++;
    p->again.last.count = 0;
}

static void run_scenarios(const struct sim_arguments *a, uint64_t seed, uint32_t from, uint32_t step,
                          struct tally *tally)
{
    for (uint32_t i = from; i < scenarios_count(); i += step) {
        const struct scenario *scenario = scenario_at(i);
        if (!scenario->run || (a->scenario && strcmp(a->scenario, scenario->name) != 0)) continue;
        scenario->run(seed, tally);
        tally->scenarios[i]++;
    }
}

static void work(const struct sim_arguments *a, uint32_t job)
{
    struct place *p = &places[job];
    double until = seconds_now() + a->minutes * 60.0;
    for (uint64_t i = job; a->minutes > 0 ? seconds_now() < until : i < a->count; i += a->jobs) {
        p->seed = a->first + i;
        if (!a->scenario) run_one(a, p);
    }
    p->seed = a->first;
    if (a->scenario || a->count >= TABLE_COMPLETE_AT || a->minutes > 0)
        run_scenarios(a, a->first, job, a->jobs, &p->tally);
    p->seed = 0;
    fflush(stdout);
    _exit(0);
}

/* --- the parent --- */

static uint32_t job_of(const pid_t *children, uint32_t jobs, pid_t pid)
{
    for (uint32_t i = 0; i < jobs; i++) {
        if (children[i] == pid) return i;
    }
    return jobs;
}

static void say_how_to_repeat(const struct sim_arguments *a, uint32_t job)
{
    bool was_again = places[job].again.last.count > 0;
    moments_print(was_again ? &places[job].again.last : &places[job].tally.last);
    fprintf(stderr, "FAILED; repeat with: ./dev sim --seed %" PRIu64, places[job].seed);
    if (a->nodes) fprintf(stderr, " --nodes %u", a->nodes);
    if (a->length_s) fprintf(stderr, " --length %u", a->length_s);
    if (a->scenario) fprintf(stderr, " --scenario %s", a->scenario);
    for (uint32_t i = 0; i < a->with_count; i++) fprintf(stderr, " --with %s", a->with[i]);
    fputc('\n', stderr);
}

static bool all_end_well(const struct sim_arguments *a, pid_t *children)
{
    bool good = true;
    for (uint32_t left = a->jobs; left > 0; left--) {
        int status;
        pid_t pid = wait(&status);
        uint32_t job = job_of(children, a->jobs, pid);
        if (job == a->jobs) continue;
        children[job] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        if (good) say_how_to_repeat(a, job);
        good = false;
        for (uint32_t i = 0; i < a->jobs; i++) {
            if (children[i] > 0) kill(children[i], SIGKILL);
        }
    }
    return good;
}

static bool run_all(const struct sim_arguments *a, struct tally *total)
{
    size_t bytes = a->jobs * sizeof *places;
    places = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t *children = calloc(a->jobs, sizeof *children);
    REQUIRE(places != MAP_FAILED && children);
    fflush(stdout);
    for (uint32_t i = 0; i < a->jobs; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0);
        if (children[i] == 0) work(a, i);
    }
    bool good = all_end_well(a, children);
    for (uint32_t i = 0; i < a->jobs; i++) tally_add(total, &places[i].tally);
    free(children);
    return good;
}

static void write_summary(FILE *to, const struct sim_arguments *a, const struct tally *t)
{
    fprintf(to,
            "%s: %" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " simulated node-seconds, %.0f CPU seconds, %" PRIu64
            " steps, %" PRIu64 " increments, longest agreement %.1f s\n",
            a->commit, t->runs, a->first, t->node_ms / 1000, cpu_seconds(RUSAGE_CHILDREN) - cpu_before, t->events,
            t->increments, (double)t->converged_ms_max / 1000);
}

static int speed(const struct sim_arguments *a)
{
    struct tally tally = { 0 };
    double before = cpu_seconds(RUSAGE_SELF);
    run_speed(a->first, a->length_s ? a->length_s : 100, &tally);
    double cpu = cpu_seconds(RUSAGE_SELF) - before;
    printf(
        "%.0f simulated node-seconds in %.2f CPU seconds: %.0f a second; %.0f steps, %.0f increments a node-second\n",
        (double)tally.node_ms / 1000, cpu, (double)tally.node_ms / 1000 / cpu,
        (double)tally.events * 1000 / (double)tally.node_ms, (double)tally.increments * 1000 / (double)tally.node_ms);
    return 0;
}

static int list(void)
{
    for (uint32_t i = 0; i < scenarios_count(); i++) {
        const struct scenario *s = scenario_at(i);
        printf("%-8s %s%s\n", s->name, s->run ? "" : "(waits) ", s->text);
    }
    return 0;
}

static uint64_t fresh_seed(void)
{
    uint64_t seed;
    REQUIRE(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed % 1000000000 + 1000000;
}

static int finish(const struct sim_arguments *a, const struct tally *total, bool good)
{
    if (!good) return 1;
    uint32_t missing = 0;
    bool complete = total->runs >= TABLE_COMPLETE_AT && a->nodes == 0 && a->length_s == 0;
    if (total->runs > 1) missing = tally_print(total);
    write_summary(stdout, a, total);
    if (a->log) {
        FILE *log = fopen(a->log, "a");
        if (!log) {
            perror(a->log);
            return 1;
        }
        write_summary(log, a, total);
        fclose(log);
    }
    if (complete && missing > 0) fprintf(stderr, "FAILED: %u things never occurred\n", missing);
    return complete && missing > 0;
}

int main(int argc, char **argv)
{
    struct sim_arguments a;
    if (!arguments_read(&a, argc, argv)) return 2;
    if (a.list) return list();
    cpu_before = cpu_seconds(RUSAGE_CHILDREN);
    if (a.first == 0) a.first = fresh_seed();
    printf("seeds %" PRIu64 "..", a.first);
    if (a.minutes > 0)
        printf(" for %.1f minutes", a.minutes);
    else
        printf("%" PRIu64, a.first + a.count - 1);
    printf(", commit %s\n", a.commit);
    fflush(stdout);
    if (a.speed) return speed(&a);
    struct tally total = { 0 };
    bool good = run_all(&a, &total);
    return finish(&a, &total, good);
}
