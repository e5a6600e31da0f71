/* SPDX-License-Identifier: Apache-2.0 */
/* sim: a cluster of real cores in one thread, with virtual network, disk and clock. Everything random comes from one
 * seed, so a run can be repeated exactly.
 *
 * The code that runs is the code that ships: node_step and the keyspace calls, the journal and its recovery. Only what
 * is outside the core is played: links (network.c) are ordered and reliable while they last, and can be cut, in one
 * direction or both, slowed, broken; frames.c breaks even those rules; the journal thread (machine.c) writes and syncs
 * after delays; disks (disk.c) lose and tear what was not synced. The oracle (oracle.h) checks every step. */
#ifndef QUIPU_SIM_SIM_H
#define QUIPU_SIM_SIM_H

#include "base/bytes.h"
#include "base/err.h"
#include "node/node.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_HEARTBEAT_MS 500u
#define SIM_PEER_TIMEOUT_MS 3000u
#define SIM_BACKOFF_MS_MIN 500u
#define SIM_BACKOFF_MS_MAX 30000u

struct sim;
struct disk;

/* Zero means the value in brackets. */
struct sim_options {
    uint32_t nodes;
    uint64_t seed;
    bool async;                              /* durability */
    uint32_t latency_ms_min, latency_ms_max; /* one way, each piece of bytes [0 to 2] */
    uint32_t write_ms_max, sync_ms_max;      /* of the journal [0, 3] */
    uint32_t link_bytes_per_ms;              /* of each direction of a link [no limit] */
    uint32_t piece_bytes_max;                /* links hand over at most this much at a time [64 Ki] */
    uint64_t snapshot_bytes;                 /* [the node's default] */
    uint32_t backoff_ms_max;                 /* [SIM_BACKOFF_MS_MAX] */
    uint32_t segment_bytes;                  /* of the journal [64 Ki] */
    bool grow_only; /* increments are positive, so what a node has shown must not become less, but for power cuts */
    bool no_seeds;  /* nodes know nobody; else each knows the first ones */
    uint32_t seeds; /* how many of them [1, at most 3] */
    bool unchecked; /* the oracle looks away but at rest: for thousands of nodes */
};

/* Makes the nodes, with names n0:1, n1:1 ..., and starts none. */
struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *s);

void sim_start(struct sim *s, uint32_t node);     /* from its disk, as it is */
bool sim_try_start(struct sim *s, uint32_t node); /* false: its disk does not let it */
void sim_start_all(struct sim *s);
void sim_kill(struct sim *s, uint32_t node);      /* SIGKILL: its links end, its page cache stays */
void sim_power_cut(struct sim *s, uint32_t node); /* its links fall silent, what was not synced is lost or torn */
void sim_pause(struct sim *s, uint32_t node);     /* SIGSTOP */
void sim_resume(struct sim *s, uint32_t node);
void sim_stop(struct sim *s, uint32_t node); /* SIGTERM: goodbye, then it is off */
bool sim_is_up(const struct sim *s, uint32_t node);
void sim_lose_disk(struct sim *s, uint32_t node); /* of a node that is down: it is empty */
/* Nothing is written or synced while it is held: a disk that hangs. */
void sim_hold_disk(struct sim *s, uint32_t node, bool held);
/* A backup of what is on the disk, and going back to it (of a node that is down). */
void sim_keep_image(struct sim *s, uint32_t node);
bool sim_has_image(const struct sim *s, uint32_t node);
void sim_restore_image(struct sim *s, uint32_t node);
uint32_t sim_add_copy(struct sim *s, uint32_t of); /* a node, not started, on a copy of the other's disk */
/* In one of its next steps, between two actions, the process is killed or the power goes out. */
void sim_blow(struct sim *s, uint32_t node, bool power, uint32_t actions);
uint32_t sim_add_node(struct sim *s); /* its number; not started */

/* The node's own clocks: monotonic, which runs at so many thousandths of the simulated time, and wall. */
void sim_clock_jump(struct sim *s, uint32_t node, uint64_t ms);
void sim_clock_rate(struct sim *s, uint32_t node, uint32_t per_1000);
void sim_wall_offset(struct sim *s, uint32_t node, int64_t ms);

/* Nothing gets from one to the other any more; links stay up and silent, as on a real network. */
void sim_cut(struct sim *s, uint32_t from, uint32_t to);
void sim_cut_both(struct sim *s, uint32_t a, uint32_t b);
void sim_mend(struct sim *s, uint32_t from, uint32_t to);
void sim_mend_all(struct sim *s);
/* Every link between the two ends now, in the middle of whatever is under way. */
void sim_break_links(struct sim *s, uint32_t a, uint32_t b);

void sim_run_ms(struct sim *s, uint64_t ms);
uint64_t sim_now_ms(const struct sim *s);
/* Runs until the condition holds; false if it does not within limit_ms. */
typedef bool sim_condition(struct sim *s);
bool sim_run_until(struct sim *s, sim_condition *condition, uint64_t limit_ms);

/* Calls back at times that were asked for, in the middle of whatever goes on. */
typedef void sim_planner(void *context, uint32_t what, uint32_t node);
void sim_plan(struct sim *s, sim_planner *planner, void *context);
void sim_plan_at(struct sim *s, uint64_t delay_ms, uint32_t what, uint32_t node);

/* A client's increment. It counts as answered when its commit allows the reply to leave. */
MUST_USE enum err sim_add(struct sim *s, uint32_t node, const char *name, int64_t delta);
/* A client's read, answered under the same rule; with grow_only it must not show less than an answered one before. */
void sim_get(struct sim *s, uint32_t node, const char *name);
int64_t sim_value(struct sim *s, uint32_t node, const char *name);
void sim_seed(struct sim *s, uint32_t node, const char *address); /* as a join command */

/* A person's order to the node; what came of the last one, once it is known. */
void sim_forget(struct sim *s, uint32_t node, const char *member);
void sim_leave(struct sim *s, uint32_t node);
bool sim_is_ordered(const struct sim *s, uint32_t node, enum order_result *ret_result);
/* Bytes that a node handed to its links so far. */
uint64_t sim_bytes_sent(const struct sim *s, uint32_t node);

struct node *sim_node(struct sim *s, uint32_t node);
struct disk *sim_disk(struct sim *s, uint32_t node);
const struct view *sim_view(struct sim *s, uint32_t node); /* give back with view_drop */
/* The peer list as /peers shows it, as "n1:1 n2:1". */
const char *sim_peers(struct sim *s, uint32_t node);

/* All running nodes hold the same values and vectors, all durable, and every value is what the oracle allows. */
bool sim_is_settled(struct sim *s);
/* The same as an abort with an explanation instead of false. */
void sim_check_settled(struct sim *s);

/* Notices of one kind so far at a node: how many, and the last one. */
uint32_t sim_notices(const struct sim *s, uint32_t node, enum notice_kind kind);
const struct notice *sim_last_notice(const struct sim *s, uint32_t node, enum notice_kind kind);
/* Calls back for each notice from now on. */
typedef void sim_listener(void *context, uint64_t now_ms, uint32_t node, const struct notice *notice);
void sim_listen(struct sim *s, sim_listener *listener, void *context);
/* A number over all that happened so far: equal for equal runs. */
uint64_t sim_trace(const struct sim *s);

#endif
