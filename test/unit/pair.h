/* SPDX-License-Identifier: Apache-2.0 */
/* pair: two real nodes, each with a journal on a simulated disk, and the links between them, carried out at once.
 * Unlike the simulator's machines these may fail at any call: a node whose step, journal or start ends with an error is
 * gone, as the process would be, and can be started again from its disk. Its own memory is malloc's, so that a test
 * which lets the nodes' requests fail does not meet it. Increments are positive; the oracle knows which were answered.
 */
#ifndef QUIPU_TEST_UNIT_PAIR_H
#define QUIPU_TEST_UNIT_PAIR_H

#include "testing.h"

#include "base/random.h"
#include "journal/journal.h"
#include "node/node.h"
#include "sim/disk.h"

#define PAIR_COUNTERS 64u
#define PAIR_SEGMENT_BYTES 4096u

struct pair_node {
    struct disk *disk;
    struct node *node; /* NULL: it is off */
    struct journal *journal;
    struct journal_report report;
    struct stats stats;
    struct keyspace *keyspace;
    uint64_t synced, life;
    uint32_t notices[NOTICE_COUNT];
    struct notice last[NOTICE_COUNT];
};

struct pair_wire;
struct pair_event;

struct pair {
    struct pair_node nodes[2];
    bool is_cut; /* nobody can connect */
    uint64_t now_ms, link_last, snapshot_bytes;
    struct random random;
    struct pair_wire *wires;
    uint32_t wires_count;
    struct pair_event *first, *last;
    int64_t answered[PAIR_COUNTERS], maybe[PAIR_COUNTERS]; /* maybe: without an answer */
};

/* The name of a counter. */
struct bytes pair_name(uint32_t counter, char into[40]);
/* The process is gone; what the machine does with its disk is for the test to say. */
void pair_end(struct pair *p, uint32_t which);
/* The last error that a node ended with. */
MUST_USE enum err pair_advance(struct pair *p, uint64_t ms);
/* From its disk, as it is. With an error it is off. */
MUST_USE enum err pair_start(struct pair *p, uint32_t which);
/* A client's increment, and all that follows from it. An error: the node is off, was off, or ended meanwhile. */
MUST_USE enum err pair_add(struct pair *p, uint32_t which, uint32_t counter, int64_t delta);
int64_t pair_value(struct pair *p, uint32_t which, uint32_t counter);
/* Both run, show the same values, and know equally much. */
bool pair_agrees(struct pair *p);
/* Lets time pass until they agree. */
void pair_settle(struct pair *p);
/* All that was answered is there, and nothing else but what may be. */
void pair_expect_exact(struct pair *p, uint32_t which);
/* Two empty disks, and nothing started. */
void pair_new(uint64_t seed, struct pair *ret_pair);
void pair_free(struct pair *p);

#endif
