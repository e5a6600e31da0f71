/* SPDX-License-Identifier: Apache-2.0 */
/* links: cluster/link.h over TCP, on the replica thread's loop; only that thread calls anything here.
 *
 * Calls never report: what comes of them is reported from the loop, by `event`, so that the actions of one step are
 * carried out as a whole. Each link ends with exactly one EVENT_LINK_DOWN, after which its number is unknown here; a
 * call for an unknown number does nothing, since the core may speak to a link whose end it has not heard of yet. */
#ifndef QUIPU_SERVER_LINKS_H
#define QUIPU_SERVER_LINKS_H

#include "node/node.h"

#include <uv.h>

struct links;

struct links_options {
    uv_loop_t *loop;
    /* One of EVENT_LINK_*; the times are not filled in. */
    void (*event)(void *context, struct event *event);
    void *context;
    uint64_t random_seed;
};

MUST_USE enum err links_new(const struct links_options *options, struct links **ret_links);
void links_free(struct links *l); /* links_stop has reported; NULL is fine */

MUST_USE enum err links_connect(struct links *l, link_id id, const char *address);
/* A socket that came in, its greeting read; `first` is what came behind that. Takes over fd. Reports at once. */
void links_accept(struct links *l, int fd, struct bytes first, const char *address);
/* Takes over one hold on bytes. They leave with links_flush. */
MUST_USE enum err links_send(struct links *l, link_id id, struct shared *bytes);
void links_close(struct links *l, link_id id);

/* Starts writing what was queued since the last call: once for all actions of a turn. */
void links_flush(struct links *l);
/* Whether links are read from. */
void links_set_reading(struct links *l, bool is_reading);

/* Closes all, with the time that links_close gives; stopped is called when none is left, at once if there is none. */
void links_stop(struct links *l, void (*stopped)(void *context));

#endif
