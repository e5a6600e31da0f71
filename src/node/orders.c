/* SPDX-License-Identifier: Apache-2.0 */
/* orders: what a person tells the node about its cluster, until it is done.
 *
 *   forget   struck off here at once; answered when the journal has it on disk; told to the peers like any change
 *   leave    writes are refused; when peers have on their disks all that this node has, it stops, and its last word
 *            to each is LEAVE; when they have not within ten seconds it goes on as if nothing had been said */
#include "node/internal.h"

#include "base/alloc.h"

const char *order_result_text(enum order_result result)
{
#define X(name, text) [ORDER_RESULT_##name] = text,
    static const char *const texts[] = { ORDER_RESULT_LIST(X) };
#undef X
    REQUIRE((unsigned)result < ORDER_RESULT_COUNT);
    return texts[result];
}

static void answer(struct node *n, uint64_t ticket, enum order_result result)
{
    struct action *a = node_act(n, ACTION_ORDERED);
    if (!a) return;
    a->as.ordered.ticket = ticket;
    a->as.ordered.result = result;
}

static void wait_for_it(struct node *n, const struct order *order)
{
    struct orders *o = &n->orders;
    if (o->count == o->cap) {
        uint32_t cap = o->cap ? o->cap * 2 : 4;
        struct order *items = mem_resize(o->items, cap * sizeof *items);
        if (!items) {
            n->failed = true;
            return;
        }
        o->items = items;
        o->cap = cap;
    }
    o->items[o->count++] = *order;
}

/* Answers those of this kind whose append is at most `append`. */
static void answer_all(struct node *n, enum order_kind kind, uint64_t append, enum order_result result)
{
    struct orders *o = &n->orders;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        const struct order *order = &o->items[i];
        if (order->kind == kind && order->append <= append)
            answer(n, order->ticket, result);
        else
            o->items[kept++] = *order;
    }
    o->count = kept;
}

/* --- forget --- */

static enum order_result forget_objection(const struct node *n, struct bytes name)
{
    if (bytes_equal(name, bytes_of_text(n->name))) return ORDER_RESULT_SELF;
    uint32_t index = membership_find(&n->members, name);
    if (index == MEMBER_NOBODY) return ORDER_RESULT_UNKNOWN;
    /* One that others hear would only come back: they would lose their links to it, and it would say hello again. */
    enum member_state state = n->members.members[index].state;
    if (state == MEMBER_ALIVE || state == MEMBER_INDIRECT) return ORDER_RESULT_HEARD;
    return n->journal_full ? ORDER_RESULT_FULL : ORDER_RESULT_DONE;
}

static void forget(struct node *n, struct order *order, struct bytes name)
{
    enum order_result objection = forget_objection(n, name);
    if (objection != ORDER_RESULT_DONE) {
        answer(n, order->ticket, objection);
        return;
    }
    const struct member *m = &n->members.members[membership_find(&n->members, name)];
    struct member_item item = { bytes_of_text(m->name), m->replica, m->epoch, true };
    node_fail(n, roster_hear_of(n, NULL, &item)); /* it is there, so nothing but memory can be short */
    order->append = n->commits.appended + n->members_changed;
    wait_for_it(n, order);
}

/* --- leave --- */

/* Some linked peer has this much of the replica on its disk. */
static bool is_held_elsewhere(const struct node *n, uint32_t replica, uint64_t seq)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        const struct peer_link *l = n->links[i];
        if (l->stage != LINK_TALKING || !l->digest.heard_whole) continue;
        bool is_owner = id128_equal(&n->members.members[l->member].replica, replicas_id(n->replicas, replica));
        struct claim claim = digest_claim(&l->digest, replica);
        bool is_same = !claim.gone && claim.trail_told_ms == 0; /* and not another history under the same id */
        if (is_owner || (is_same && claim.durable >= seq)) return true;
    }
    return false;
}

/* Also what only this node has of a replica whose node is gone must not end with it. The node's own entries come first:
 * with none of them, somebody must be there at least. */
static bool leave_is_safe(const struct node *n)
{
    if (n->fenced || n->splits_due || n->commits.synced < n->commits.appended || keyspace_is_dirty(n->keyspace))
        return false;
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        uint64_t seq = i == n->own ? n->own_seq : replicas_known(n->replicas, i)->known;
        if ((i == n->own || seq > 0) && !is_held_elsewhere(n, i, seq)) return false;
    }
    return true;
}

static void leave_begin(struct node *n)
{
    if (n->orders.leave != LEAVE_NONE) return;
    n->orders.leave = LEAVE_WANTED;
    n->orders.leave_by_ms = n->now_ms + LEAVE_WITHIN_MS;
    commit_judge_writes(n);
    node_notice(n, NOTICE_LEAVING, n->name, 0, "");
}

static void leave_judge(struct node *n)
{
    if (leave_is_safe(n)) {
        n->orders.leave = LEAVE_AGREED;
        node_stop(n);
    } else if (n->now_ms >= n->orders.leave_by_ms) {
        n->orders.leave = LEAVE_NONE;
        commit_judge_writes(n);
        node_notice(n, NOTICE_LEAVE_FAILED, n->name, 0, order_result_text(ORDER_RESULT_UNSAFE));
        answer_all(n, ORDER_LEAVE, UINT64_MAX, ORDER_RESULT_UNSAFE);
    }
}

/* --- all --- */

void orders_take(struct node *n, const struct event *event)
{
    struct order order = { .kind = event->as.order.kind, .ticket = event->as.order.ticket };
    if (n->stopping) {
        answer(n, order.ticket, ORDER_RESULT_STOPPING);
    } else if (order.kind == ORDER_FORGET) {
        forget(n, &order, event->as.order.name);
    } else {
        leave_begin(n);
        wait_for_it(n, &order);
    }
}

void orders_judge(struct node *n)
{
    answer_all(n, ORDER_FORGET, n->commits.synced, ORDER_RESULT_DONE);
    if (n->orders.leave == LEAVE_WANTED) leave_judge(n);
}

void orders_end(struct node *n)
{
    enum order_result left = n->orders.leave == LEAVE_AGREED ? ORDER_RESULT_DONE : ORDER_RESULT_STOPPING;
    answer_all(n, ORDER_LEAVE, UINT64_MAX, left);
    answer_all(n, ORDER_FORGET, UINT64_MAX, ORDER_RESULT_STOPPING);
}
