/* SPDX-License-Identifier: Apache-2.0 */
/* network: wires between nodes. Each direction is an ordered row of pieces, as TCP is: a piece can be late, never lost
 * alone. A cut holds a row back until it is mended or the wire is given up. Beyond what TCP does, frames.c can lose,
 * repeat, swap and replay whole frames of a stream: the core must survive it. */
#ifndef QUIPU_SIM_NETWORK_H
#define QUIPU_SIM_NETWORK_H

#include "cluster/link.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct happening;

/* A piece of bytes on its way. len 0: the end of the stream. */
struct piece {
    uint64_t at_ms;
    struct piece *next;
    size_t len;
    uint8_t bytes[];
};

/* A connection between two nodes; end 0 dialled. */
struct wire_end {
    uint32_t node, life;
    link_id link;
    bool up, closed;            /* the node was told that it is up; that it is down, or is about to be */
    bool greeted;               /* its HELLO was sent */
    bool scheduled;             /* a delivery of the first piece */
    bool sent_scheduled;        /* word of what has left */
    struct piece *first, *last; /* on the way to this end */
    uint64_t last_ms;
    uint64_t heard_first_ms; /* when something was delivered; 0: nothing was */
    uint64_t heard_last_ms;  /* by the clock of its node */
    uint64_t queued;         /* bytes on the way to this end */
    uint64_t untold;         /* bytes that this end's node handed over and was not told yet to have left */
};
struct wire {
    struct wire_end ends[2];
    bool used, tampered;
    uint32_t use; /* rises with each connection that the place serves */
    uint32_t free_next;
};

struct stash;

/* One direction between two nodes. */
struct path {
    bool cut;
    uint32_t slow_ms;
    uint64_t clogged_until_ms;
    struct stash *stash; /* frames that are late or may come again */
};

/* How the network is, in parts of 10,000 unless it says ms. */
struct weather {
    uint32_t loss, tail, tail_ms;
    uint32_t drop, twice, swap, late, replay; /* of whole frames */
};

struct network {
    struct wire *wires;
    uint32_t wires_count, wires_cap, wires_free; /* one above the first free one */
    struct path *paths;
    uint32_t nodes_cap;
    struct weather weather;
};

/* A message to be lost, repeated or delayed as one, still whole. */
void network_connect(struct sim *s, uint32_t node, link_id link, const char *address);
void network_send(struct sim *s, uint32_t node, link_id link, struct shared *bytes);
void network_close(struct sim *s, uint32_t node, link_id link);
void network_happen(struct sim *s, const struct happening *h);
/* The node's process has ended; loud: the other ends see it. */
void network_node_gone(struct sim *s, uint32_t node, bool loud);
void network_fit(struct sim *s, uint32_t nodes); /* room for so many */
void network_release(struct sim *s);
struct path *network_path(struct sim *s, uint32_t from, uint32_t to);
/* What was held back goes on. */
void network_mended(struct sim *s);
/* Every connection whose frames were tampered with ends: TCP would not have gone on. */
void network_end_tampered(struct sim *s);
/* Puts bytes on the way to the other end. */
void network_put(struct sim *s, uint32_t wire, uint32_t end, struct bytes bytes);

/* frames.c: passes a frame on, or does something worse. */
void frames_pass(struct sim *s, uint32_t wire, uint32_t end, struct shared *frame);
void frames_forget(struct stash *stash);

#endif
