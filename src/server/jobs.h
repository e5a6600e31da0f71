/* SPDX-License-Identifier: Apache-2.0 */
/* jobs: what the replica thread wants of the journal thread, in order. Not locked: its users are. */
#ifndef QUIPU_SERVER_JOBS_H
#define QUIPU_SERVER_JOBS_H

#include "node/node.h"

/* ACTION_APPEND, _ROTATE or _SNAPSHOT, without what the other actions need room for. */
struct job {
    enum action_kind kind;
    uint64_t number, segment;
    struct record *records; /* owned */
    uint32_t count;
};

/* A queue; zero-initialised is empty. */
struct jobs {
    struct job *items;
    uint32_t done, count, cap; /* those before `done` are gone */
};

void jobs_release(struct jobs *j);
/* Takes the records out of the action. ERR_NOMEM: they are still there. */
MUST_USE enum err jobs_add(struct jobs *j, struct action *action);
/* The first, or NULL. */
const struct job *jobs_first(const struct jobs *j);
void jobs_drop_first(struct jobs *j);
/* Moves all of `more` behind what is there; without a copy when nothing is. */
MUST_USE enum err jobs_move(struct jobs *j, struct jobs *more);
static inline bool jobs_is_empty(const struct jobs *j)
{
    return j->done == j->count;
}

#endif
