/* SPDX-License-Identifier: Apache-2.0 */
/* frames: what no TCP does. Whole frames of a stream are lost, repeated, swapped, brought up to a minute late, and
 * replayed from earlier connections between the same two nodes. The handshake, heartbeats and goodbyes pass: who tells
 * a node a false name is another matter (test/process/test_hostile.py). */
#include "sim/world.h"

#include "cluster/frame.h"

#include <stdlib.h>

#define STASH_FRAMES 12u
#define LATE_MS_MAX 60000u

struct kept {
    struct shared *frame;
    uint64_t due_ms; /* late: when it is to come; 0: may be replayed at any time */
};

struct stash {
    struct kept kept[STASH_FRAMES];
    struct shared *swapped; /* comes after the next frame */
    uint32_t swapped_wire, swapped_use;
};

void frames_forget(struct stash *stash)
{
    if (!stash) return;
    for (uint32_t i = 0; i < STASH_FRAMES; i++) shared_drop(stash->kept[i].frame);
    shared_drop(stash->swapped);
    free(stash);
}

static bool strikes(struct sim *s, uint32_t per_10000)
{
    return per_10000 > 0 && random_below(&s->random, 10000) < per_10000;
}

static bool may_be_touched(enum frame_kind kind)
{
    switch (kind) {
    case FRAME_BLOCK:
    case FRAME_DIGEST:
    case FRAME_WANT:
    case FRAME_MEMBERS:
    case FRAME_ASK:
    case FRAME_HEARD:
    case FRAME_PONG:
    case FRAME_TRAIL:
        return true;
    case FRAME_HELLO:
    case FRAME_REFUSE:
    case FRAME_PING:
    case FRAME_GOODBYE:
    case FRAME_LEAVE:
        break;
    }
    return false;
}

static struct stash *stash_of(struct sim *s, const struct wire *w, uint32_t end)
{
    struct path *path = network_path(s, w->ends[end].node, w->ends[!end].node);
    if (!path->stash) {
        path->stash = calloc(1, sizeof *path->stash);
        REQUIRE(path->stash);
    }
    return path->stash;
}

static void keep(struct sim *s, struct stash *stash, struct shared *frame, uint64_t due_ms)
{
    struct kept *k = &stash->kept[random_below(&s->random, STASH_FRAMES)];
    shared_drop(k->frame);
    *k = (struct kept){ shared_hold(frame), due_ms };
}

static void put(struct sim *s, uint32_t wire, uint32_t end, const struct shared *frame)
{
    network_put(s, wire, end, bytes_of(frame->ptr, frame->len));
}

static void count_fault(struct sim *s, uint32_t wire, uint32_t end, enum fault fault)
{
    struct wire *w = &s->network.wires[wire];
    w->tampered = true;
    s->tally->faults[fault]++;
    sim_moment(s, w->ends[end].node, fault_name(fault), w->ends[!end].node, 0);
}

/* Frames from before that come now. */
static void bring_old(struct sim *s, uint32_t wire, uint32_t end, struct stash *stash)
{
    const struct weather *w = &s->network.weather;
    for (uint32_t i = 0; i < STASH_FRAMES; i++) {
        struct kept *k = &stash->kept[i];
        if (!k->frame) continue;
        bool is_due = k->due_ms > 0 && k->due_ms <= s->now_ms;
        bool again = !is_due && k->due_ms == 0 && strikes(s, w->replay / 4);
        if (!is_due && !again) continue;
        count_fault(s, wire, end, is_due ? FAULT_FRAME_LATE : FAULT_FRAME_REPLAY);
        put(s, wire, end, k->frame);
        k->due_ms = 0; /* and perhaps once more */
    }
}

static void bring_swapped(struct sim *s, uint32_t wire, uint32_t end, struct stash *stash)
{
    if (!stash->swapped) return;
    bool here = stash->swapped_wire == wire && stash->swapped_use == s->network.wires[wire].use;
    if (here) put(s, wire, end, stash->swapped);
    shared_drop(stash->swapped);
    stash->swapped = NULL;
}

static void pass_touched(struct sim *s, uint32_t wire, uint32_t end, struct shared *frame, struct stash *stash)
{
    const struct weather *w = &s->network.weather;
    if (w->replay > 0 && strikes(s, 1000)) keep(s, stash, frame, 0);
    if (strikes(s, w->drop)) {
        count_fault(s, wire, end, FAULT_FRAME_DROP);
        return;
    }
    if (strikes(s, w->late)) {
        s->network.wires[wire].tampered = true;
        keep(s, stash, frame, s->now_ms + random_below(&s->random, LATE_MS_MAX));
        return;
    }
    if (!stash->swapped && strikes(s, w->swap)) {
        count_fault(s, wire, end, FAULT_FRAME_SWAP);
        stash->swapped = shared_hold(frame);
        stash->swapped_wire = wire;
        stash->swapped_use = s->network.wires[wire].use;
        return;
    }
    put(s, wire, end, frame);
    if (strikes(s, w->twice)) {
        count_fault(s, wire, end, FAULT_FRAME_TWICE);
        put(s, wire, end, frame);
    }
    bring_swapped(s, wire, end, stash);
}

void frames_pass(struct sim *s, uint32_t wire, uint32_t end, struct shared *frame)
{
    const struct weather *weather = &s->network.weather;
    struct wire *w = &s->network.wires[wire];
    bool calm = !weather->drop && !weather->twice && !weather->swap && !weather->late && !weather->replay;
    struct frame head = { 0 };
    size_t len = 0;
    if (calm || !w->ends[end].greeted) {
        w->ends[end].greeted = true;
        put(s, wire, end, frame);
        return;
    }
    REQUIRE(frame_read(bytes_of(frame->ptr, frame->len), &head, &len) == ERR_OK && len == frame->len);
    struct stash *stash = stash_of(s, w, end);
    bring_old(s, wire, end, stash);
    if (may_be_touched(head.kind)) {
        pass_touched(s, wire, end, frame, stash);
    } else {
        put(s, wire, end, frame);
        bring_swapped(s, wire, end, stash);
    }
}
