/* SPDX-License-Identifier: Apache-2.0 */
/* node: the door of the core. An event is taken in by the file whose business it is; then everything that may have
 * become possible by it is done: a new append, frames on links that have room. */
#include "node/node.h"

#include "base/alloc.h"
#include "base/force.h"
#include "node/fork.h"
#include "node/gossip.h"
#include "node/internal.h"

#define TICK_MS 100u
#define STOP_WITHIN_MS 1000u

static enum err options_check(const struct node_options *o)
{
    size_t cluster = strlen(o->cluster);
    if (!address_is_valid(bytes_of_text(o->name)) || cluster == 0 || cluster > CLUSTER_BYTES_MAX) return ERR_INVALID;
    if (o->heartbeat_ms == 0 || o->peer_timeout_ms <= o->heartbeat_ms) return ERR_INVALID;
    if (o->backoff_ms_min == 0 || o->backoff_ms_max < o->backoff_ms_min) return ERR_INVALID;
    if (o->nonce == 0 || id128_is_zero(&o->replica) || !o->stats) return ERR_INVALID;
    for (uint32_t i = 0; i < o->seeds_count; i++) {
        if (!address_is_valid(bytes_of_text(o->seeds[i]))) return ERR_INVALID;
    }
    return ERR_OK;
}

static void take_options(struct node *n, const struct node_options *o)
{
    memcpy(n->name, o->name, strlen(o->name));
    memcpy(n->cluster, o->cluster, strlen(o->cluster));
    n->heartbeat_ms = o->heartbeat_ms;
    n->durability_sync = o->durability_sync;
    n->snapshot_bytes = o->snapshot_bytes ? o->snapshot_bytes : SNAPSHOT_BYTES_DEFAULT;
    n->nonce = o->nonce;
    n->replica_offered = o->replica;
    n->stats = o->stats;
    n->link_last = UINT64_MAX; /* the first is 1 */
    random_init(&n->random, o->random_seed);
    uint32_t ask_wait_ms = o->heartbeat_ms < 500 ? o->heartbeat_ms : 500;
    n->members = (struct membership){ .peer_timeout_ms = o->peer_timeout_ms,
                                      .ask_wait_ms = ask_wait_ms,
                                      .backoff_ms_min = o->backoff_ms_min,
                                      .backoff_ms_max = o->backoff_ms_max,
                                      .random = &n->random };
    n->pause_ms_max = o->heartbeat_ms + 1000;
}

enum err node_new(const struct node_options *options, struct node **ret_node)
{
    enum err err = options_check(options);
    if (err != ERR_OK) return err;
    struct node *n = mem_alloc_zero(1, sizeof *n);
    if (!n) return ERR_NOMEM;
    take_options(n, options);
    err = replicas_new(&n->replicas);
    struct keyspace_options keyspace = { .shards = options->shards,
                                         .hash_seed = options->hash_seed,
                                         .replicas = n->replicas };
    if (err == ERR_OK) err = keyspace_new(&keyspace, &n->keyspace);
    for (uint32_t i = 0; err == ERR_OK && i < options->seeds_count; i++) {
        struct bytes seed = bytes_of_text(options->seeds[i]);
        if (!bytes_equal(seed, bytes_of_text(n->name))) err = membership_contact(&n->members, seed, CONTACT_SEED, 0);
    }
    if (err != ERR_OK) {
        node_free(n);
        return err;
    }
    *ret_node = n;
    return ERR_OK;
}

void node_free(struct node *n)
{
    if (!n) return;
    struct actions none = { 0 };
    n->actions = &none;
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        lanes_release(l);
        digest_release(&l->digest);
        buffer_release(&l->input);
        mem_free(l);
    }
    mem_free(n->links);
    commits_release(n);
    salvage_release(n);
    incoming_release(&n->incoming);
    mem_free(n->orders.items);
    shared_drop(n->fresh.frame);
    for (uint32_t i = 0; i < n->syncs_count; i++) recent_release(&n->syncs[i].recent);
    mem_free(n->syncs);
    membership_release(&n->members);
    keyspace_free(n->keyspace);
    replicas_free(n->replicas);
    mem_free(n);
}

struct keyspace *node_keyspace(struct node *n)
{
    return n->keyspace;
}

const struct replicas *node_replicas(const struct node *n)
{
    return n->replicas;
}

/* A process that was stopped, or a machine that slept, has heard nobody: that is no sign of their death. */
static void notice_pause(struct node *n, uint64_t now_ms)
{
    uint64_t gap_ms = now_ms - n->now_ms;
    if (gap_ms <= n->pause_ms_max) return;
    membership_forgive(&n->members, now_ms);
    for (uint32_t i = 0; i < n->links_count; i++) n->links[i]->heard_ms = now_ms;
    node_notice(n, NOTICE_PAUSED, n->name, gap_ms, "");
}

static void take_seed(struct node *n, const char *address, bool from_discovery)
{
    struct bytes seed = bytes_of_text(address);
    if (!address_is_valid(seed) || bytes_equal(seed, bytes_of_text(n->name)) || n->stopping) return;
    uint32_t member = membership_find(&n->members, seed);
    /* Discovery repeats itself; who is known is dialled at the pace of the waits. */
    if (from_discovery && member != MEMBER_NOBODY && n->members.members[member].met) return; /* met: since it left */
    enum err err = membership_contact(&n->members, seed, CONTACT_STRANGER, n->now_ms);
    if (err == ERR_NOMEM) n->failed = true;
}

static void take_link_event(struct node *n, const struct event *event)
{
    link_id id = event->as.link.link;
    if (event->kind == EVENT_LINK_UP) {
        link_up(n, id, event->as.link.address);
        return;
    }
    struct peer_link *l = link_find(n, id);
    if (!l) return;
    if (event->kind == EVENT_LINK_BYTES) link_bytes(n, l, event->as.link.bytes);
    if (event->kind == EVENT_LINK_DOWN) link_down(n, l, event->as.link.reason);
    if (event->kind == EVENT_LINK_SENT) {
        REQUIRE(event->as.link.sent <= l->outstanding);
        l->outstanding -= event->as.link.sent;
    }
}

void node_stop(struct node *n)
{
    if (n->stopping) return;
    if (n->orders.leave == LEAVE_WANTED) n->orders.leave = LEAVE_NONE;
    n->stopping = true;
    n->stop_by_ms = n->now_ms + STOP_WITHIN_MS;
    commit_judge_writes(n);
    n->view_version++;
}

static void take_event(struct node *n, const struct event *event)
{
    switch (event->kind) {
    case EVENT_TICK:
    case EVENT_DIRTY:
        break;
    case EVENT_WRITTEN:
        commit_written(n, event->as.done.append);
        break;
    case EVENT_SYNCED:
        commit_synced(n, event->as.done.append);
        break;
    case EVENT_JOURNAL:
        commit_journal(n, event);
        break;
    case EVENT_ROTATED:
        commit_rotated(n, event->as.rotated.segment);
        break;
    case EVENT_SNAPSHOT:
        commit_snapshot_ended(n, event->as.snapshot.result);
        break;
    case EVENT_LINK_UP:
    case EVENT_LINK_BYTES:
    case EVENT_LINK_SENT:
    case EVENT_LINK_DOWN:
        take_link_event(n, event);
        break;
    case EVENT_SEED:
        take_seed(n, event->as.seed.address, event->as.seed.from_discovery);
        break;
    case EVENT_ORDER:
        orders_take(n, event);
        break;
    case EVENT_STOP:
        node_stop(n);
        break;
    }
}

/* Ready once it holds all that the peers it met had, or after ten seconds without any. */
static void judge_readiness(struct node *n)
{
    bool alone = membership_is_alone(&n->members);
    bool met = false;
    for (uint32_t i = 0; i < n->links_count; i++) met |= n->links[i]->digest.heard_whole;
    if (!n->caught_up && n->commits.synced >= 1 && met && !gossip_is_behind(n)) {
        n->caught_up = true;
        node_notice(n, NOTICE_CAUGHT_UP, n->name, n->now_ms - n->started_ms, "");
    }
    bool waited = n->now_ms - n->started_ms >= READY_AFTER_MS;
    if (n->ready || n->commits.synced < 1 || !(alone || n->caught_up || waited)) return;
    n->ready = true;
    n->view_version++;
}

/* A peer that has heard a HELLO of this node is told last whether it comes back. */
static void say_goodbye(struct node *n, struct peer_link *l)
{
    bool is_known = l->stage == LINK_TALKING || (l->stage == LINK_OPENING && l->dialled);
    struct buffer body = { 0 };
    if (n->orders.leave == LEAVE_AGREED) leave_write(&body, n->orders.epoch);
    if (n->orders.leave == LEAVE_AGREED && is_known)
        node_send_body(n, l, FRAME_LEAVE, &body);
    else if (l->stage == LINK_TALKING)
        node_send_body(n, l, FRAME_GOODBYE, &body);
    buffer_release(&body);
    link_close(n, l, "this node is stopping");
}

/* The peers have all that was written here, or have had a second for it; then goodbye. */
static void judge_stop(struct node *n)
{
    if (!n->stopping || n->stopped) return;
    bool durable = n->commits.synced == n->commits.appended && !keyspace_is_dirty(n->keyspace);
    bool sent = true;
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        if (l->stage == LINK_TALKING && (l->cursor < n->own_seq || l->outstanding > 0)) sent = false;
    }
    if (!durable || (!sent && n->now_ms < n->stop_by_ms)) return;
    n->stopped = true;
    for (uint32_t i = 0; i < n->links_count; i++) say_goodbye(n, n->links[i]);
    orders_end(n);
    node_act(n, ACTION_STOPPED);
}

static void pump_link(struct node *n, struct peer_link *l)
{
    lanes_pump(n, l);
    uint64_t at_ms = lanes_wake_at_ms(n, l);
    if (at_ms < n->pump_at_ms) n->pump_at_ms = at_ms;
}

/* What came on one link makes work on that link alone, until the time for another has come: to look through hundreds
 * at each frame would be most of what a node does. */
static void pump_links(struct node *n, const struct event *event)
{
    bool on_link = event->kind == EVENT_LINK_BYTES || event->kind == EVENT_LINK_SENT;
    if (on_link && n->now_ms < n->pump_at_ms) {
        struct peer_link *l = link_find(n, event->as.link.link);
        if (l) pump_link(n, l);
        return;
    }
    n->pump_at_ms = UINT64_MAX;
    for (uint32_t i = 0; i < n->links_count; i++) pump_link(n, n->links[i]);
}

static void follow_up(struct node *n, const struct event *event, bool timed)
{
    if (timed) roster_tick(n);
    if (n->now_ms >= n->gossip_at_ms) {
        n->gossip_at_ms = n->now_ms + random_jitter(&n->random, GOSSIP_MS, GOSSIP_JITTER_PERCENT);
        gossip_round(n);
    }
    if (timed || n->members.told_as != n->told_as_seen) {
        n->told_as_seen = n->members.told_as;
        for (uint32_t i = 0; i < n->links_count; i++) roster_tell_changes(n, n->links[i]);
    }
    fork_step(n);
    commit_begin(n);
    if (n->orders.count > 0) orders_judge(n);
    if (!n->caught_up || !n->ready) judge_readiness(n);
    pump_links(n, event);
    judge_stop(n);
    if (timed || n->members.version != n->member_wake_version) {
        n->member_wake_version = n->members.version;
        n->member_wake_ms = membership_wake_at_ms(&n->members, n->now_ms);
    }
}

enum err node_step(struct node *n, const struct event *event, struct actions *actions)
{
    REQUIRE(n->started);
    REQUIRE(event->now_ms >= n->now_ms);
    n->actions = actions;
    notice_pause(n, event->now_ms);
    n->now_ms = event->now_ms;
    n->wall_ms = event->wall_ms;
    n->now_us = event->now_us;
    take_event(n, event);
    /* Members and links are looked after by time, not with each commit and each frame. */
    bool timed = event->kind == EVENT_TICK || event->kind == EVENT_LINK_DOWN || event->kind == EVENT_SEED ||
                 n->now_ms - n->tick_ms >= TICK_MS;
    if (timed) n->tick_ms = n->now_ms;
    if (!n->failed) follow_up(n, event, timed);
    n->actions = NULL;
    return n->failed ? ERR_NOMEM : ERR_OK;
}

uint64_t node_wake_at_ms(const struct node *n)
{
    uint64_t wake = n->tick_ms + TICK_MS;
    /* A node that stops dials and judges nobody any more. */
    if (n->member_wake_ms < wake && !n->stopping) wake = n->member_wake_ms;
    if (n->gossip_at_ms < wake) wake = n->gossip_at_ms;
    if (n->pump_at_ms < wake) wake = n->pump_at_ms;
    return wake < n->now_ms ? n->now_ms : wake;
}

bool node_takes_bytes(const struct node *n)
{
    uint64_t waiting = n->incoming.bytes;
    for (uint32_t i = 0; i < n->commits.count; i++) {
        const struct commits *c = &n->commits;
        waiting += c->items[(c->first + i) & (c->cap - 1)].incoming.bytes;
    }
    return waiting < INCOMING_BYTES_MAX && !FORCE(INCOMING_FULL);
}

uint64_t node_view_version(const struct node *n)
{
    return n->view_version + n->members.version;
}
