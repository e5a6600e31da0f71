/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/options.h"

#include "sim/faults.h"
#include "sim/scenarios.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option names[] = {
    { "seed", required_argument, NULL, 's' },    { "seeds", required_argument, NULL, 'r' },
    { "minutes", required_argument, NULL, 'm' }, { "nodes", required_argument, NULL, 'n' },
    { "length", required_argument, NULL, 'l' },  { "scenario", required_argument, NULL, 'c' },
    { "list", no_argument, NULL, 'L' },          { "trace", no_argument, NULL, 't' },
    { "jobs", required_argument, NULL, 'j' },    { "speed", no_argument, NULL, 'p' },
    { "with", required_argument, NULL, 'w' },    { "commit", required_argument, NULL, 'C' },
    { "log", required_argument, NULL, 'o' },     { NULL, 0, NULL, 0 },
};

static bool number(const char *text, uint64_t *ret)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    *ret = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool small(const char *text, uint32_t *ret)
{
    uint64_t value;
    if (!number(text, &value) || value == 0 || value > 1000000) return false;
    *ret = (uint32_t)value;
    return true;
}

static bool range(const char *text, struct sim_arguments *a)
{
    char first[24];
    const char *dots = strstr(text, "..");
    if (!dots || (size_t)(dots - text) >= sizeof first) return false;
    memcpy(first, text, (size_t)(dots - text));
    first[dots - text] = '\0';
    uint64_t last;
    if (!number(first, &a->first) || !number(dots + 2, &last) || a->first == 0 || last < a->first) return false;
    a->count = last - a->first + 1;
    return true;
}

static bool take(struct sim_arguments *a, int option)
{
    switch (option) {
    case 's':
        return number(optarg, &a->first) && a->first > 0;
    case 'r':
        return range(optarg, a);
    case 'm':
        a->minutes = strtod(optarg, NULL);
        return a->minutes > 0;
    case 'n':
        return small(optarg, &a->nodes);
    case 'l':
        return small(optarg, &a->length_s);
    case 'j':
        return small(optarg, &a->jobs) && a->jobs <= 1024;
    case 'c':
        a->scenario = optarg;
        return scenario_find(optarg, &(uint32_t){ 0 }) != NULL;
    case 'w':
        a->with[a->with_count % WITH_MAX] = optarg;
        return a->with_count++ < WITH_MAX && fault_allow(optarg);
    case 'C':
        a->commit = optarg;
        return true;
    case 'o':
        a->log = optarg;
        return true;
    case 'L':
        a->list = true;
        return true;
    case 't':
        a->trace = true;
        return true;
    case 'p':
        a->speed = true;
        return true;
    default:
        return false;
    }
}

bool arguments_read(struct sim_arguments *a, int argc, char **argv)
{
    int option;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct sim_arguments){ .count = 1, .jobs = cores > 0 ? (uint32_t)cores : 1, .commit = "unknown" };
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (take(a, option)) continue;
        fputs("usage: quipu-sim [--seed N | --seeds A..B | --minutes M] [--nodes N] [--length SECONDS] [--jobs N]\n"
              "                 [--scenario NAME] [--list] [--trace] [--speed] [--with FAULT] [--commit TEXT] [--log "
              "FILE]\n",
              stderr);
        return false;
    }
    if (a->minutes == 0 && a->jobs > a->count && !a->scenario) a->jobs = (uint32_t)a->count;
    if (a->scenario) a->jobs = 1;
    return true;
}
