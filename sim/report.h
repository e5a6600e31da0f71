/* SPDX-License-Identifier: Apache-2.0 */
/* report: what occurred how often in a range of runs. A thing that never occurred was not tested, so it is shown, and
 * fails a range that is long enough. */
#ifndef QUIPU_SIM_REPORT_H
#define QUIPU_SIM_REPORT_H

#include "base/force.h"

#include <stdbool.h>
#include <stdint.h>

/* Invariants of DESIGN.md by number, and what follows from them. */
#define CHECK_LIST(X)                                                                                                  \
    X(SEQ_RISES, "1: the seq of an entry does not go down")                                                            \
    X(SEQ_SURVIVES, "1: ... nor through a kill or what was synced through a power cut")                                \
    X(CLAIM_HELD, "2: who claims K holds all up to K")                                                                 \
    X(SAME_BYTES, "3: an entry is what its owner wrote")                                                               \
    X(NONCE_KNOWN, "3: a claim names a boot of its owner that can have made it")                                       \
    X(SENT_DURABLE, "4: what is sent is durable at its owner")                                                         \
    X(DIGEST_TRUE, "4: a digest claims no more than is held, and durable only what is synced")                         \
    X(ANSWER_DURABLE, "4: what is answered is written, or synced")                                                     \
    X(BOOT_FIRST, "4: no own entry before the record of its boot is durable")                                          \
    X(COMMIT_WHOLE, "5: a commit holds each change since the last, to the last increment")                             \
    X(READ_EXACT, "5: a read shows what this node was told and what it holds, exactly")                                \
    X(RECOVERED, "5: a restart brings back what was answered")                                                         \
    X(REST_VALUE, "6: at rest each value is what was answered and a part of what was not")                             \
    X(REST_EQUAL, "6: at rest all nodes are equal, vectors included")                                                  \
    X(READ_GROWS, "7: a grow-only counter shown is never shown smaller")                                               \
    X(IDS_BOUNDED, "8: replica ids are bounded")                                                                       \
    X(MEMORY_BOUNDED, "8: memory for peers is bounded")                                                                \
    X(CONTROL_CONSTANT, "8: control traffic at rest is constant")                                                      \
    X(CONVERGED, "liveness: healed nodes agree in bounded time")                                                       \
    X(MEMBERS_TRUE, "... also on who is there, and who has what of it on disk")                                        \
    X(FOUND_AGAIN, "all start again, or one with an empty disk, without seeds, and are what they were")                \
    X(VERDICT_FAIR, "nobody is judged by one who stood still, or without asking others")                               \
    X(WAIT_BOUNDED, "a wait is within its bounds, and the first one after a healthy link")                             \
    X(WHOLE_NODE, "a node was looked through as a whole")                                                              \
    X(REPEATED, "a seed ran twice with equal traces")

#define X(name, text) CHECK_##name,
enum check { CHECK_LIST(X) CHECK_COUNT };
#undef X

/* name, whether it may be drawn, what happens. Those that are off wait for the core; faults.c has the reasons. */
#define FAULT_LIST(X)                                                                                                  \
    X(LOSS, "a packet is lost and sent again later")                                                                   \
    X(TAIL, "a delay with a long tail")                                                                                \
    X(SLOW, "a slow link")                                                                                             \
    X(CLOG, "a link holds everything back for a while")                                                                \
    X(BREAK, "a connection breaks, also in the middle of a frame")                                                     \
    X(FRAME_DROP, "a whole frame is lost")                                                                             \
    X(FRAME_TWICE, "a frame comes twice")                                                                              \
    X(FRAME_SWAP, "two frames change places")                                                                          \
    X(FRAME_LATE, "a frame comes up to 60 s late")                                                                     \
    X(FRAME_REPLAY, "a frame of an earlier connection comes again")                                                    \
    X(CUT_ONE_WAY, "one direction of a link is cut")                                                                   \
    X(CUT_BOTH, "both directions are cut")                                                                             \
    X(SPLIT_HALVES, "a partition in two")                                                                              \
    X(SPLIT_ONE, "one node alone")                                                                                     \
    X(SPLIT_RING, "each hears its neighbours only")                                                                    \
    X(SPLIT_BRIDGE, "two halves with one node between them")                                                           \
    X(MEND, "all cuts are mended")                                                                                     \
    X(KILL, "a process is killed")                                                                                     \
    X(KILL_IN_STEP, "... between two actions of a step")                                                               \
    X(POWER, "a power cut")                                                                                            \
    X(POWER_IN_STEP, "... between two actions of a step")                                                              \
    X(POWER_IN_DISK, "... in the middle of a disk operation")                                                          \
    X(CRASH_ALL, "the whole cluster at once")                                                                          \
    X(START, "a node is started again")                                                                                \
    X(PAUSE, "a process stands still")                                                                                 \
    X(STOP, "a process ends in order")                                                                                 \
    X(REMOVE, "a node is gone for good")                                                                               \
    X(FORGET, "a node that is down is forgotten, for good or until it returns")                                        \
    X(LEAVE, "a node leaves in good order, and may come back")                                                         \
    X(ADD, "a node is added")                                                                                          \
    X(DISK_LOST, "a node restarts with an empty disk")                                                                 \
    X(DISK_OLD, "a node restarts with an old disk")                                                                    \
    X(DISK_COPIED, "a second node starts on a copied disk")                                                            \
    X(DISK_FULL, "a disk is full")                                                                                     \
    X(DISK_ROOM, "a full disk has room again")                                                                         \
    X(SYNC_FAILS, "an fsync fails, and the cache still shows the data")                                                \
    X(WRITE_SHORT, "a disk operation fails half done")                                                                 \
    X(BIT_FLIP, "a bit on a disk flips")                                                                               \
    X(SECTOR_ZERO, "a sector reads as zeros")                                                                          \
    X(MISDIRECT, "a write lands elsewhere")                                                                            \
    X(WALL_JUMP, "a wall clock jumps by up to ten years")                                                              \
    X(CLOCK_DRIFT, "a monotonic clock is fast or slow by up to a tenth")                                               \
    X(CLOCK_JUMP, "a monotonic clock jumps ahead")

#define X(name, text) FAULT_##name,
enum fault { FAULT_LIST(X) FAULT_COUNT };
#undef X

#define SCENARIOS_MAX 48u

/* The last things that happened, for whoever has to find out why. */
#define MOMENTS 64u
struct moment {
    uint64_t at_ms;
    uint32_t node;
    const char *what;
    uint64_t a, b;
};
struct moments {
    struct moment items[MOMENTS];
    uint64_t count;
};

struct tally {
    uint64_t checks[CHECK_COUNT], faults[FAULT_COUNT], forces[FORCE_COUNT], scenarios[SCENARIOS_MAX];
    uint64_t runs, node_ms, events, increments, reads;
    uint64_t converged_ms_max;
    struct moments last;
};

const char *fault_name(enum fault fault);
void tally_add(struct tally *to, const struct tally *from);
void moments_print(const struct moments *m); /* on standard error */
/* The table on standard output. Returns the number of things that should have occurred and did not. */
uint32_t tally_print(const struct tally *t);

#endif
