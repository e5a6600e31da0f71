/* SPDX-License-Identifier: Apache-2.0 */
/* world: the simulated world's own structures, shared by the files of sim/ that make it. */
#ifndef QUIPU_SIM_WORLD_H
#define QUIPU_SIM_WORLD_H

#include "base/alloc.h"
#include "base/random.h"
#include "journal/journal.h"
#include "node/node.h"
#include "sim/disk.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "sim/registry.h"
#include "sim/report.h"
#include "sim/schedule.h"
#include "sim/sim.h"

#define SIM_SHARDS 4u
#define AUDIT_MS 2000u /* so often one node is looked through as a whole */

/* A machine's clocks. The monotonic one runs at `rate` thousandths of the simulated time. */
struct clock {
    uint64_t sim_ms, node_ms; /* the same moment on both */
    uint32_t rate;
    int64_t wall_offset_ms;
};

/* What a node said of another one last. */
struct opinion {
    bool up;
    uint64_t asked_ms; /* when it asked others about it */
};

/* What happens to a machine in the middle of a step. */
enum blow { BLOW_NONE, BLOW_KILL, BLOW_POWER };

struct machine {
    bool up, paused, disk_held, stopped_for_good;
    bool outside;  /* of those that are healed: nothing is asked of it */
    uint32_t life; /* rises with each start and end */
    char name[24];
    struct disk *disk, *image; /* image: an earlier state of the disk, kept to go back to */
    struct node *node;
    struct journal *journal;
    struct stats stats;
    struct snapshot *snapshot;
    struct action *jobs; /* of the journal thread, taken over, in order */
    uint32_t jobs_count, jobs_cap;
    uint64_t appended, written, synced;
    bool write_scheduled, sync_scheduled, retry_scheduled;
    uint64_t wake_ms; /* simulated time */
    struct clock clock;
    struct happening *held; /* while it is paused */
    uint32_t held_count, held_cap;
    enum blow blow;
    uint32_t blow_after; /* so many actions */
    struct operation *waiting;
    uint32_t waiting_count, waiting_cap;
    struct ledger ledger;
    uint32_t *dialled; /* by half the link id: one above the wire; 0: none */
    uint32_t dialled_cap;
    uint64_t bytes_sent;
    uint32_t notices[NOTICE_COUNT];
    struct notice notice_last[NOTICE_COUNT];
    char *peers;
    uint32_t orders_answered;
    enum order_result order_result; /* of the last */
    /* oracle_members.c; times of the node's own clock */
    struct opinion *opinions; /* by node */
    uint32_t opinions_cap;
    uint64_t stepped_ms, listens_ms; /* last step; since when it has not stood still */
    uint32_t lost_peer;              /* whose link ended last, and whether the next wait has to be the first one */
    bool lost_was_healthy;
};

struct sim {
    struct sim_options options;
    struct random random;
    uint64_t now_ms, trace;
    struct schedule schedule;
    struct machine **machines;
    uint32_t machines_cap;
    struct network network;
    struct actions actions; /* of the step under way */
    struct registry registry;
    uint64_t operations; /* ids of operations, from 1 */
    uint32_t disks_lost, disks_old, disks_copied;
    uint32_t starts_since_fork; /* each can end up with a replica id of its own */
    bool damaged;               /* some disk was, so that holes are no surprise */
    bool histories;             /* NOTICE_HISTORIES: two histories can not be told apart, and stay apart */
    bool lossy;                 /* answered increments may be lost by right: a disk was, or power under `async` */
    uint32_t audit_next;
    const struct shared *frame_checked; /* in this step: the same one goes to several peers */
    struct tally *tally, tally_own;
    sim_listener *listener;
    void *listener_context;
    sim_planner *planner;
    void *planner_context;
    bool judges_early; /* forced: verdicts before their time */
    bool tells;        /* every moment on standard output */
};

static inline struct machine *sim_machine(const struct sim *s, uint32_t node)
{
    return s->machines[node];
}

/* world.c */
void sim_schedule(struct sim *s, const struct happening *h);
void sim_event(struct sim *s, uint32_t node, struct event *event);
void sim_carry_out(struct sim *s, uint32_t node);
void sim_arm(struct sim *s, uint32_t node); /* its next wake-up */
uint64_t sim_wall_ms(const struct sim *s, uint32_t node);
uint32_t sim_random(struct sim *s, uint32_t up_to);
uint64_t sim_node_ms(const struct sim *s, uint32_t node);
void sim_moment(struct sim *s, uint32_t node, const char *what, uint64_t a, uint64_t b);

/* lives.c */
void sim_end(struct sim *s, uint32_t node, enum end how);

/* machine.c */
MUST_USE enum err machine_start(struct sim *s, uint32_t node);
void machine_end(struct sim *s, uint32_t node);
void machine_job(struct sim *s, uint32_t node, struct action *action);
void machine_happen(struct sim *s, const struct happening *h);

#endif
