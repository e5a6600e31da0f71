/* SPDX-License-Identifier: Apache-2.0 */
/* views: the view of the cluster that is current. The replica thread replaces it, any thread takes a hold on it; the
 * lock is held for the pointer's sake only, and an old view lives until its last holder drops it. */
#ifndef QUIPU_SERVER_VIEWS_H
#define QUIPU_SERVER_VIEWS_H

#include "base/err.h"
#include "node/view.h"

#include <uv.h>

struct views {
    uv_mutex_t lock;
    const struct view *current; /* under the lock */
    uv_cond_t is_replaced;
    uint64_t wanted, served; /* under the lock: requests for a fresh view, and how many of them got one */
};

/* Takes over one hold on first. */
MUST_USE enum err views_init(struct views *v, const struct view *first);
void views_release(struct views *v);
/* Takes over one hold on fresh. */
void views_replace(struct views *v, const struct view *fresh);
const struct view *views_hold(struct views *v);

/* A thread that must not show what is older than its question takes a ticket, wakes the replica thread, and waits for
 * it, a second at most; the replica thread makes a view and serves the tickets that were out before it began. */
uint64_t views_want(struct views *v);
void views_wait(struct views *v, uint64_t ticket);
uint64_t views_wanted(struct views *v);
bool views_is_wanted(struct views *v);
void views_serve(struct views *v, uint64_t ticket);

#endif
