/* SPDX-License-Identifier: Apache-2.0 */
/* lanes: what goes out on a link, in this order: heartbeats and membership (sent where they arise), fresh entries of
 * this node, what the peer asked for from recent places, a sweep. There is no queue for a peer: a cursor says how far
 * it was served, and the next frame is built when the link can take it. A peer that stops reading costs nothing but,
 * when it is being swept, the places that wait for it. */
#include "base/alloc.h"
#include "base/force.h"
#include "node/gossip.h"
#include "node/internal.h"

#define SWEEP_CELLS 2048u
#define FRAME_BODY_BYTES_TINY 64u /* forced: the head and an entry or three */
#define SWEEP_STEPS 8u            /* without a break, so that the thread stays open for others */

void lanes_release(struct peer_link *l)
{
    sweep_free(l->sweep);
    mem_free(l->serving);
    mem_free(l->sweep_wants);
    l->sweep = NULL;
    l->serving = NULL;
    l->sweep_wants = NULL;
    l->serving_count = l->serving_cap = l->wants_count = l->wants_cap = 0;
}

static bool link_has_room(const struct peer_link *l)
{
    return l->stage == LINK_TALKING && l->outstanding < LINK_WINDOW_BYTES && !FORCE(WINDOW_SMALL);
}

static uint32_t frame_goal(void)
{
    return FORCE(FRAME_CUT) ? FRAME_BODY_BYTES_TINY : FRAME_BODY_BYTES_GOAL;
}

static uint64_t own_top(const struct node *n)
{
    return n->syncs[n->own].recent.top;
}

static bool wants_own(const struct node *n, const struct peer_link *l)
{
    if (l->sweep && sweep_is_pending(l->sweep, n->own)) return true;
    for (uint32_t i = 0; i < l->wants_count; i++) {
        if (l->sweep_wants[i].replica == n->own) return true;
    }
    return false;
}

static void add_sweep_want(struct node *n, struct peer_link *l, uint32_t replica, uint64_t from)
{
    for (uint32_t i = 0; i < l->wants_count; i++) {
        if (l->sweep_wants[i].replica != replica) continue;
        l->sweep_wants[i].from = from;
        return;
    }
    if (l->wants_count == l->wants_cap) {
        uint32_t cap = l->wants_cap ? l->wants_cap * 2 : 4;
        struct sweep_want *wants = mem_resize(l->sweep_wants, cap * sizeof *wants);
        if (!wants) {
            n->failed = true;
            return;
        }
        l->sweep_wants = wants;
        l->wants_cap = cap;
    }
    l->sweep_wants[l->wants_count++] = (struct sweep_want){ .replica = replica, .from = from };
}

static void add_serving(struct node *n, struct peer_link *l, uint32_t replica, uint64_t from)
{
    for (uint32_t i = 0; i < l->serving_count; i++) {
        if (l->serving[i].replica != replica) continue;
        l->serving[i].cursor = from;
        return;
    }
    if (l->serving_count == l->serving_cap) {
        uint32_t cap = l->serving_cap ? l->serving_cap * 2 : 4;
        struct serving *serving = mem_resize(l->serving, cap * sizeof *serving);
        if (!serving) {
            n->failed = true;
            return;
        }
        l->serving = serving;
        l->serving_cap = cap;
    }
    l->serving[l->serving_count++] = (struct serving){ replica, from };
}

/* The peer knows `replica` up to `from`; it shall get the rest. What a sweep is bringing is passed over; this node's
 * own entries go by the cursor, and by a sweep when that is below the floor. */
void lanes_serve(struct node *n, struct peer_link *l, uint32_t replica, uint64_t from)
{
    struct replica_sync *sync = sync_of(n, replica);
    if (!sync || l->stage != LINK_TALKING) return;
    if (l->sweep && sweep_is_pending(l->sweep, replica)) return;
    if (replica == n->own) l->cursor = from;
    if (from >= sync->recent.top) return;
    if (from < sync->recent.floor || FORCE(SERVE_BY_SWEEP))
        add_sweep_want(n, l, replica, from);
    else if (replica != n->own)
        add_serving(n, l, replica, from);
}

/* One DELTA frame from recent places; *cursor moves to how far it goes. */
static void send_delta(struct node *n, struct peer_link *l, uint32_t replica, uint64_t *cursor)
{
    struct recent_request request = { .keyspace = n->keyspace,
                                      .replicas = n->replicas,
                                      .replica = replica,
                                      .from = *cursor,
                                      .bytes_goal = frame_goal() };
    struct buffer body = { 0 };
    node_fail(n, recent_write_delta(&sync_of(n, replica)->recent, &request, &body, cursor));
    if (n->failed)
        buffer_release(&body);
    else
        node_send_body(n, l, FRAME_BLOCK, &body);
}

static void pump_fresh(struct node *n, struct peer_link *l)
{
    uint64_t top = own_top(n);
    if (l->cursor >= top) return;
    if (wants_own(n, l)) return;
    if (l->cursor < n->syncs[n->own].recent.floor) {
        add_sweep_want(n, l, n->own, l->cursor);
        return;
    }
    if (n->now_ms - l->fresh_ms < PACE_MS && top - l->cursor < RECENT_OWN_MAX / 2) return;
    if (n->fresh.frame && l->cursor == n->fresh.from && n->fresh.to == top && !FORCE(FRESH_STALE)) {
        node_send(n, l, shared_hold(n->fresh.frame));
        l->cursor = top;
    }
    while (l->cursor < top && link_has_room(l) && !n->failed) send_delta(n, l, n->own, &l->cursor);
    l->fresh_ms = n->now_ms;
}

static void pump_serving(struct node *n, struct peer_link *l)
{
    while (l->serving_count > 0 && link_has_room(l) && !n->failed) {
        struct serving *s = &l->serving[l->serving_count - 1];
        const struct recent *recent = &sync_of(n, s->replica)->recent;
        if (s->cursor >= recent->top) {
            l->serving_count--;
        } else if (s->cursor < recent->floor) {
            struct serving behind = *s;
            l->serving_count--;
            add_sweep_want(n, l, behind.replica, behind.cursor);
        } else {
            send_delta(n, l, s->replica, &s->cursor);
        }
    }
}

static void sweep_start(struct node *n, struct peer_link *l)
{
    for (uint32_t i = 0; i < l->wants_count; i++) {
        struct sweep_want *want = &l->sweep_wants[i];
        /* Own entries are in the keyspace as far as they are durable; a peer's as far as they are known. */
        const struct known *known = replicas_known(n->replicas, want->replica);
        want->to = known->known;
        if (want->replica == n->own) l->sweep_own_to = want->to;
    }
    node_fail(n, sweep_new(n->keyspace, n->replicas, l->sweep_wants, l->wants_count, &l->sweep));
    l->wants_count = 0;
}

/* Blocks of what the walk has found, as long as the link takes them. */
static void sweep_send(struct node *n, struct peer_link *l)
{
    bool done = false;
    bool had_own = sweep_is_pending(l->sweep, n->own);
    while (!done && link_has_room(l) && !n->failed) {
        struct buffer body = { 0 };
        node_fail(n, sweep_write_delta(l->sweep, frame_goal(), &body, &done));
        node_send_body(n, l, FRAME_BLOCK, &body);
    }
    if (had_own && !sweep_is_pending(l->sweep, n->own)) l->cursor = l->sweep_own_to;
    if (!done) return;
    sweep_free(l->sweep);
    l->sweep = NULL;
}

static void pump_sweep(struct node *n, struct peer_link *l)
{
    if (!l->sweep && l->wants_count > 0) sweep_start(n, l);
    l->sweep_more = false;
    if (!l->sweep || n->failed) return;
    bool walked = false;
    for (uint32_t i = 0; i < SWEEP_STEPS && !walked && !n->failed; i++)
        node_fail(n, sweep_walk(l->sweep, FORCE(SWEEP_SLOW) ? 1 : SWEEP_CELLS, &walked));
    l->sweep_more = !walked;
    if (walked && !n->failed) sweep_send(n, l);
}

void lanes_pump(struct node *n, struct peer_link *l)
{
    if (l->stage != LINK_TALKING || n->failed) return;
    if (l->tell_due && n->now_ms - l->told_ms >= PACE_MS) {
        struct member *owner = &n->members.members[l->member];
        gossip_tell(n, l, replicas_find(n->replicas, &owner->replica));
    }
    if (!l->digest.heard_whole || !link_has_room(l)) return;
    pump_fresh(n, l);
    pump_serving(n, l);
    pump_sweep(n, l);
}

uint64_t lanes_wake_at_ms(const struct node *n, const struct peer_link *l)
{
    uint64_t wake = UINT64_MAX;
    if (l->stage != LINK_TALKING) return wake;
    if (l->tell_due && l->told_ms + PACE_MS < wake) wake = l->told_ms + PACE_MS;
    if (!l->digest.heard_whole || !link_has_room(l)) return wake;
    if (l->cursor < own_top(n) && !wants_own(n, l) && l->fresh_ms + PACE_MS < wake) wake = l->fresh_ms + PACE_MS;
    if (l->sweep_more || (!l->sweep && l->wants_count > 0)) wake = n->now_ms;
    return wake;
}
