/* SPDX-License-Identifier: Apache-2.0 */
/* schedule: what will happen, in order of time and, at the same time, of being asked for. */
#ifndef QUIPU_SIM_SCHEDULE_H
#define QUIPU_SIM_SCHEDULE_H

#include <stdint.h>

enum happening_kind {
    HAPPEN_WAKE,  /* node */
    HAPPEN_WRITE, /* node's journal */
    HAPPEN_SYNC,
    HAPPEN_RETRY, /* the disk was full */
    HAPPEN_SNAPSHOT,
    HAPPEN_CONNECT, /* wire */
    HAPPEN_REFUSE,
    HAPPEN_UP,      /* wire, end that hears of it */
    HAPPEN_DELIVER, /* wire, end that receives */
    HAPPEN_SENT,    /* wire, end whose bytes have left */
    HAPPEN_DOWN,    /* wire, end that hears of it */
    HAPPEN_AUDIT,   /* one node is looked through as a whole */
    HAPPEN_PLAN,    /* the planner's: `wire` says what, `node` to whom */
};

struct happening {
    uint64_t at_ms, order;
    enum happening_kind kind;
    uint32_t node, life;     /* of a life that is over: nothing happens */
    uint32_t wire, use, end; /* use: of a wire that serves others by now, nothing happens */
};

struct schedule {
    struct happening *items; /* a heap */
    uint32_t count, cap;
    uint64_t order;
};

void schedule_add(struct schedule *q, const struct happening *h);
struct happening schedule_take(struct schedule *q); /* there must be one */
void schedule_release(struct schedule *q);

#endif
