/* SPDX-License-Identifier: Apache-2.0 */
/* oracle: what each node must hold and show, from what it was told, what it handed to its journal and what the owners
 * of the entries did. It looks at the core from outside only: actions, frames, the walk over the keyspace, the version
 * vector. A ledger is one node's page.
 *
 * The checks of a step look at what the step changed, an audit at a whole node; at rest everything is compared. */
#ifndef QUIPU_SIM_ORACLE_H
#define QUIPU_SIM_ORACLE_H

#include "base/bytes.h"
#include "cluster/link.h"
#include "count/keyspace.h"
#include "node/action.h"
#include "node/event.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;

/* An increment or a read whose reply waits for its commit. */
struct operation {
    uint64_t id;
    uint32_t counter;
    int64_t delta;        /* 0: a read */
    int64_t value, floor; /* of a read: what it shows, and what was shown before it was made */
    uint64_t gate;
};

/* An entry in an append, and the interval that a block in it claims. */
struct fact {
    uint32_t line, counter;
    uint64_t seq;
};
struct span {
    uint32_t line;
    uint64_t from, to;
};
struct append_facts {
    uint64_t number, own_to;
    bool written;
    struct fact *facts;
    struct span *spans;
    uint32_t facts_count, facts_cap, spans_count, spans_cap;
};

enum end { END_NONE, END_KILL, END_POWER, END_LOST, END_OLD, END_COPIED };

#define OWN_TO_RING 256u

struct ledger {
    uint32_t own; /* line; 0 before the first start */
    enum end ended;
    uint64_t own_before;          /* seq recovered at the start */
    uint64_t own_to[OWN_TO_RING]; /* by append: own entries up to this seq are in it or before */
    uint64_t append_last;
    uint64_t boot_append;         /* the append that holds this boot's record */
    struct append_facts *appends; /* not synced yet, oldest first */
    uint32_t appends_count, appends_cap;
    /* By line. */
    uint64_t **held; /* seq of the entry that the node has in its journal's file, by counter */
    uint32_t *held_caps;
    uint64_t *claimed, *durable;
    uint32_t lines_cap;
    /* By counter. */
    int128 *total; /* the own net with what is pending */
    int64_t *shown;
    cell_ref *cells;
    uint8_t *changed;   /* since the last append */
    uint64_t *taken_by; /* the last append that holds it */
    uint32_t counters_cap, changed_count;
    uint32_t walked[8]; /* cells found, by shard */
    uint32_t *line_of;  /* by the core's own index of a replica */
    uint32_t line_of_cap;
};

/* Ends the run: says what was found, where, and the last moments. */
_Noreturn void oracle_fail(struct sim *s, uint32_t node, const char *check, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void ledger_release(struct ledger *l);

/* clients.c: what clients do and are told */
MUST_USE enum err oracle_add(struct sim *s, uint32_t node, struct bytes name, int64_t delta);
void oracle_read(struct sim *s, uint32_t node, struct bytes name);
void oracle_answer(struct sim *s, uint32_t node); /* replies whose commit is done leave */

/* oracle.c: what a node does with its journal */
void oracle_started(struct sim *s, uint32_t node); /* recovered, before its first actions */
void oracle_ended(struct sim *s, uint32_t node, enum end how);
void oracle_append(struct sim *s, uint32_t node, const struct action *action);
void oracle_in_file(struct sim *s, uint32_t node, uint64_t append);
void oracle_on_disk(struct sim *s, uint32_t node, uint64_t append);
void oracle_stepped(struct sim *s, uint32_t node, const struct event *event);

void oracle_claim(struct sim *s, uint32_t node, uint32_t line); /* what the node claims of it by now is true */

/* Reading what a core wrote; damage ends the run. */
struct block_reader;
struct line_entry;
bool oracle_block_begin(struct sim *s, uint32_t node, struct block_reader *reader, struct bytes block,
                        uint32_t *ret_line); /* whether it makes a claim */
bool oracle_block_next(struct sim *s, uint32_t node, struct block_reader *reader, uint64_t *ret_seq,
                       struct line_entry *ret_entry);
void oracle_entry_is_true(struct sim *s, uint32_t node, uint32_t line, uint64_t seq, const struct line_entry *entry);
void oracle_nonce_is_true(struct sim *s, uint32_t node, uint32_t line, uint64_t nonce, uint64_t seq);

/* oracle_fork.c: a disk went back in time or was copied, so that a replica has two histories. The registry knows one
 * of each: from now on a run is judged at rest, by what was answered. */
void oracle_forked(struct sim *s, uint32_t node);
void oracle_damaged(struct sim *s, uint32_t node); /* something on its disk is not what was written */

/* oracle_frames.c: what a node says to others */
void oracle_frame(struct sim *s, uint32_t node, struct bytes frame);

/* oracle_look.c: what a node holds and shows */
void oracle_see(struct sim *s, uint32_t node, uint32_t counter);      /* one counter against the ledger */
void oracle_audit(struct sim *s, uint32_t node);                      /* all of them, and the vector */
int64_t oracle_value(struct sim *s, uint32_t node, uint32_t counter); /* what a read must show */
uint32_t oracle_line_of(struct sim *s, uint32_t node, uint32_t replica);
void oracle_take_recovered(struct sim *s, uint32_t node); /* what recovery brought becomes the ledger */
void ledger_fit_counter(struct ledger *l, uint32_t counter);
void ledger_fit_line(struct ledger *l, uint32_t line);
uint64_t *ledger_held(struct ledger *l, uint32_t line, uint32_t counter);

/* oracle_members.c: what a node thinks of the others */
#define PROBLEM_BYTES 320u
struct notice;
void oracle_members_begin(struct sim *s, uint32_t node);
void oracle_steps(struct sim *s, uint32_t node, uint64_t node_ms);
void oracle_sends(struct sim *s, uint32_t node, uint32_t to, struct bytes frame);
void oracle_link_ends(struct sim *s, uint32_t node, uint32_t peer, bool dialled, uint64_t lived_ms);
void oracle_notice(struct sim *s, uint32_t node, const struct notice *notice);
bool oracle_members_agree(struct sim *s, char problem[PROBLEM_BYTES]); /* as it is true */
void oracle_check_members(struct sim *s);

/* oracle_rest.c: the cluster at rest */
bool oracle_is_at_rest(struct sim *s, char problem[PROBLEM_BYTES]);
/* A sum over names, values and entries, in any order. */
struct replicas;
struct entries_sum {
    const struct replicas *replicas;
    uint64_t sum;
};
void entries_sum_visit(void *context, const struct visit *visit);
uint64_t oracle_entries_of_all(struct sim *s); /* of the first node's, which are all others' too; a number */
void oracle_check_rest(struct sim *s);         /* everything there is to check, once it is */

#endif
