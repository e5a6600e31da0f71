/* SPDX-License-Identifier: Apache-2.0 */
/* fork: two histories of one replica, and how they become two replicas.
 *
 * A disk that went back in time (a restored backup, a snapshot of a virtual machine, a sync that lied) or was copied
 * makes a second process write on from a state of a replica from which another wrote on before. Each process life has
 * a nonce, so (seq, nonce) names a history; what a node claims, asks for and sends bears it (count/trail.h). Where it
 * does not fit, both sides show their trails and find the fork: the last seq that is common.
 *  (1) A boot that began exactly at the fork gives way, if it is loose: what it and each of its successors wrote is split
 *      off the replica, on every node that holds any of it, by that node alone, each boot's part under an id made of its
 *      nonce, so that all come to the same in any order. Both boots may give way. No value changes by a split, and
 *      nothing is fetched or taken back.
 *  (2) Whoever was split tells those that still hold the old form, and takes no more of it: the boot is `gone`.
 *  (3) The owner of a boot that gives way goes on under the id that was split off. What only others hold of its own
 *      replica it fetches like any replica's.
 *  (4) A boot is loose until its owner has compared notes with every member, and all have pledged not to split it off by
 *      their own judgement (fork_verify). A pledge is on disk before it is given. If neither of two boots is loose
 *      any more, nothing can be told apart: the alarm is NOTICE_HISTORIES, and both sides keep what they have.
 *  (5) A split is a record of its own in the journal, at a place where nothing else is under way: no append, no
 *      snapshot. So a replay comes to the same. */
#include "base/alloc.h"
#include "node/internal.h"

#define TRAIL_AGAIN_MS 1000u

static bool differ(uint64_t nonce, uint64_t other)
{
    return nonce != other && nonce != 0 && other != 0; /* 0 is a boot that nobody remembers */
}

/* How much of a replica this node has to show. */
static uint64_t held(const struct node *n, uint32_t replica)
{
    const struct known *known = replicas_known(n->replicas, replica);
    return replica == n->own ? known->durable : known->known;
}

/* How much of it there is: of the own replica also what is on its way to the disk. Whoever copied that disk may have
 * read it there already. */
static uint64_t reach(const struct node *n, uint32_t replica)
{
    return replica == n->own ? n->own_seq : replicas_known(n->replicas, replica)->known;
}

/* What the boot wrote was split off the replica. */
static bool is_gone(const struct node *n, uint32_t replica, uint64_t nonce)
{
    const struct trail *trail = replicas_trail(n->replicas, replica);
    for (uint32_t i = 0; i < trail->count; i++) {
        if (trail->boots[i].nonce == nonce) return false;
    }
    struct id128 id = trail_split_id(replicas_id(n->replicas, replica), nonce);
    return nonce != 0 && replicas_find(n->replicas, &id) != REPLICA_NONE;
}

static void send_trail(struct node *n, struct peer_link *l, uint32_t replica, uint64_t gone, bool asks)
{
    if (!node_may_answer(l)) return;
    struct buffer body = { 0 };
    struct trail_item item = { *replicas_id(n->replicas, replica), held(n, replica), gone, asks };
    trail_put(&body, &item, replicas_trail(n->replicas, replica));
    node_send_body(n, l, FRAME_TRAIL, &body);
}

static void give_way(struct node *n, uint32_t replica, uint64_t fork)
{
    struct replica_sync *sync = sync_of(n, replica);
    if (!sync || (sync->split_due && sync->fork <= fork)) return;
    sync->split_due = n->splits_due = true;
    sync->fork = fork;
}

static void alarm(struct node *n, struct peer_link *l, uint32_t replica)
{
    struct claim *claim = replica < l->digest.count ? &l->digest.claims[replica] : NULL;
    if (claim && claim->gone) return; /* once a link */
    if (claim) claim->gone = true;
    char id[33];
    id128_hex(replicas_id(n->replicas, replica), id);
    node_notice(n, NOTICE_HISTORIES, link_name(n, l), held(n, replica), id);
}

/* The boot was split off somewhere: so it is here, if it may be. */
static void let_go(struct node *n, struct peer_link *l, uint32_t replica, const struct boot *boot)
{
    if (boot->start >= replicas_trail(n->replicas, replica)->firm)
        give_way(n, replica, boot->start);
    else
        alarm(n, l, replica);
}

/* Something does not fit. The peer may go on repeating it until it has heard. */
static void tell_trail(struct node *n, struct peer_link *l, uint32_t replica, uint64_t gone)
{
    struct claim *claim = replica < l->digest.count ? &l->digest.claims[replica] : NULL;
    if (claim && claim->trail_told_ms > 0 && n->now_ms - claim->trail_told_ms < TRAIL_AGAIN_MS) return;
    if (claim) claim->trail_told_ms = n->now_ms;
    send_trail(n, l, replica, gone, true);
}

bool fork_claim_fits(struct node *n, struct peer_link *l, const struct digest_item *item, uint32_t replica)
{
    struct trail *trail = replicas_trail(n->replicas, replica);
    if (item->known == 0) return true;
    bool gone = is_gone(n, replica, item->nonce);
    bool fits = !gone;
    if (item->known <= reach(n, replica))
        fits = fits && !differ(trail_nonce_at(trail, item->known), item->nonce);
    else if (replica == n->own)
        fits = false; /* nobody knows more of this node than it wrote */
    l->digest.claims[replica].gone = gone;
    if (!fits) tell_trail(n, l, replica, gone ? item->nonce : 0);
    if (fits && replica != n->own && item->known <= held(n, replica)) fork_pledge(n, replica, item->pledged, item->firm);
    return fits;
}

bool fork_want_fits(struct node *n, struct peer_link *l, const struct want *want, uint32_t replica)
{
    if (want->from > held(n, replica)) return true; /* there is nothing to send */
    bool fits = !differ(trail_nonce_at(replicas_trail(n->replicas, replica), want->from), want->nonce);
    if (!fits) tell_trail(n, l, replica, 0);
    return fits;
}

/* A replica that nothing is known of yet may be a part of another, split off elsewhere. Here that is to be done before
 * anything of it is taken in, or it would count twice. */
static bool is_part_of_another(struct node *n, struct peer_link *l, uint32_t part)
{
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        const struct trail *trail = replicas_trail(n->replicas, i);
        for (uint32_t k = 0; k < trail->count && i != part; k++) {
            struct id128 id = trail_split_id(replicas_id(n->replicas, i), trail->boots[k].nonce);
            if (!id128_equal(&id, replicas_id(n->replicas, part))) continue;
            let_go(n, l, i, &trail->boots[k]);
            return true;
        }
    }
    return false;
}

bool fork_block_fits(struct node *n, struct peer_link *l, const struct incoming *item, uint64_t accepted)
{
    const struct block_head *head = &item->head;
    const struct trail *trail = replicas_trail(n->replicas, item->replica);
    uint64_t expected = accepted == head->from ? head->base : head->nonce;
    bool gone = is_gone(n, item->replica, head->nonce);
    bool fits = !gone && !differ(trail_nonce_at(trail, accepted), expected);
    if (!fits) tell_trail(n, l, item->replica, gone ? head->nonce : 0);
    return fits && (accepted > 0 || !is_part_of_another(n, l, item->replica));
}

/* The peer's trail beside this node's own. */
static void compare(struct node *n, struct peer_link *l, uint32_t replica, const struct trail_item *item,
                    const struct trail *theirs)
{
    const struct trail *mine = replicas_trail(n->replicas, replica);
    uint64_t known = reach(n, replica), fork;
    bool parted = trail_fork(mine, known, theirs, item->known, &fork);
    if (!parted && replica == n->own && item->known > known) {
        give_way(n, replica, known); /* it is this node that is behind: somebody wrote on before */
        return;
    }
    if (!parted) return;
    const struct boot *here = trail_boot_from(mine, fork), *there = trail_boot_from(theirs, fork);
    bool here_can = here && fork >= mine->firm, there_can = there && fork >= theirs->firm;
    bool here_gives = here_can && fork >= mine->pledged, there_gives = there_can && fork >= theirs->pledged;
    if (!here_gives && !there_gives) { /* the other side comes to the same */
        here_gives = here_can && (!there_can || here->nonce > there->nonce);
        there_gives = there_can && !here_gives;
    }
    if (here_gives) give_way(n, replica, fork);
    if (there_gives) send_trail(n, l, replica, there->nonce, false);
    if (!here_gives && !there_gives) alarm(n, l, replica);
}

static void take_gone(struct node *n, struct peer_link *l, uint32_t replica, uint64_t nonce)
{
    const struct trail *mine = replicas_trail(n->replicas, replica);
    for (uint32_t i = 0; i < mine->count; i++) {
        if (mine->boots[i].nonce == nonce) let_go(n, l, replica, &mine->boots[i]);
    }
}

void fork_trail(struct node *n, struct peer_link *l, struct bytes body)
{
    struct reader items;
    struct trail_item item;
    struct trail theirs;
    reader_init(&items, body);
    enum err err = trail_next(&items, &item, &theirs);
    if (err == ERR_NOMEM) n->failed = true;
    if (err == ERR_OK && reader_left(&items) > 0) {
        trail_release(&theirs);
        err = ERR_CORRUPT;
    }
    if (err == ERR_CORRUPT) link_broken(n, l, "a damaged trail");
    if (err != ERR_OK) return;
    uint32_t replica = replicas_find(n->replicas, &item.replica);
    if (replica != REPLICA_NONE) {
        if (item.gone != 0) take_gone(n, l, replica, item.gone);
        compare(n, l, replica, &item, &theirs);
        if (item.asks) send_trail(n, l, replica, 0, false);
    }
    trail_release(&theirs);
}

void fork_copy_met(struct node *n, struct peer_link *l)
{
    send_trail(n, l, n->own, 0, false);
    /* Nothing lost by a new id, and two that have not written yet must not both begin under the old one. */
    if (n->own_seq == n->boot_start) give_way(n, n->own, n->boot_start);
}

void fork_own_trail(struct node *n)
{
    struct trail *trail = replicas_trail(n->replicas, n->own);
    n->boot_start = n->own_seq;
    trail_limit_loose(trail, TRAIL_LOOSE_MAX - 1);
    if (trail_extend(trail, n->own_seq, n->nonce) != ERR_OK) n->failed = true;
}

void fork_pledge(struct node *n, uint32_t replica, uint64_t pledged, uint64_t firm)
{
    const struct trail *trail = replicas_trail(n->replicas, replica);
    struct replica_sync *sync = sync_of(n, replica);
    if (!sync || sync->split_due) return;
    if (pledged <= trail->pledged && firm <= trail->firm) return;
    if (pledged <= sync->pledge_due && firm <= sync->firm_due) return;
    if (pledged > sync->pledge_due) sync->pledge_due = pledged;
    if (firm > sync->firm_due) sync->firm_due = firm;
    sync->pledge_append = 0;
    n->pledges_due = true;
}

/* Everybody is to hear of it. */
static void tell_all(struct node *n)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        if (l->stage == LINK_TALKING && l->digest.told_whole) gossip_tell(n, l, REPLICA_NONE);
    }
}

void fork_pledged(struct node *n, uint64_t append)
{
    bool changed = false;
    for (uint32_t i = 1; i < n->syncs_count; i++) {
        struct replica_sync *sync = &n->syncs[i];
        if (sync->pledge_append == 0 || sync->pledge_append > append) continue;
        struct trail *trail = replicas_trail(n->replicas, i);
        if (i == n->own && trail->pledged <= n->boot_start) n->unpledged_to = n->own_seq;
        trail_set_pledged(trail, sync->pledge_due);
        if (sync->firm_due > trail->firm) {
            trail_set_firm(trail, sync->firm_due);
            keyspace_prune(n->keyspace, i);
        }
        sync->pledge_append = sync->pledge_due = sync->firm_due = 0;
        changed = true;
    }
    if (changed) tell_all(n);
}

/* Within this time all that can reach each other have met after a start: members that nobody here knew among them. */
static uint64_t meeting_ms(const struct node *n)
{
    return n->members.backoff_ms_max + n->members.backoff_ms_max / 4 + n->members.peer_timeout_ms;
}

/* First every member has shown what it has of this node, and it fits: then this node pledges, and whoever hears of it. Who
 * may hold entries from before that must say so; then the boot is firm. A node that never had a member has nobody to
 * vouch for its disk. */
void fork_verify(struct node *n)
{
    const struct trail *trail = replicas_trail(n->replicas, n->own);
    uint32_t checked = 0;
    bool pledged = true;
    if (trail->firm > n->boot_start) return;
    for (uint32_t i = 0; i < n->members.members_count; i++) {
        const struct member *m = &n->members.members[i];
        if (!member_counts(m)) continue;
        if (!m->checked) return;
        pledged = pledged && m->pledged > n->boot_start;
        checked++;
    }
    if (checked == 0 || n->now_ms - n->started_ms < meeting_ms(n)) return;
    if (trail->pledged <= n->boot_start)
        fork_pledge(n, n->own, n->boot_start + 1, 0);
    else if (pledged || n->unpledged_to <= n->boot_start)
        fork_pledge(n, n->own, n->boot_start + 1, n->boot_start + 1);
}

/* --- Carrying it out --- */

static void forget_incoming(struct node *n, uint32_t replica)
{
    struct incoming_list *list = &n->incoming;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct incoming *item = &list->items[i];
        if (item->replica != replica) {
            list->items[kept++] = *item;
            continue;
        }
        list->bytes -= item->bytes->len;
        shared_drop(item->bytes);
    }
    list->count = kept;
}

static void sync_reset(struct node *n, uint32_t replica)
{
    struct replica_sync *sync = sync_of(n, replica);
    if (!sync) return;
    uint64_t known = replicas_known(n->replicas, replica)->known;
    forget_incoming(n, replica);
    recent_release(&sync->recent);
    *sync = (struct replica_sync){ .accepted = known };
    recent_init(&sync->recent, replica == n->own ? RECENT_OWN_MAX : RECENT_PEER_MAX, known);
}

static enum err split_id(struct node *n, uint32_t replica, uint64_t nonce, uint32_t *ret_to)
{
    struct id128 id = trail_split_id(replicas_id(n->replicas, replica), nonce);
    return replicas_intern(n->replicas, &id, ret_to);
}

/* What the last boot wrote. */
static enum err split_last(struct node *n, uint32_t replica, struct boot last)
{
    uint32_t to;
    enum err err = split_id(n, replica, last.nonce, &to);
    if (err == ERR_OK) err = keyspace_split(n->keyspace, replica, last.start, to);
    if (err == ERR_OK) err = replicas_split_last(n->replicas, replica, to);
    if (err == ERR_OK && n->started) sync_reset(n, to);
    return err;
}

/* Also at recovery. own_nonce names the id under which this node goes on; 0 if the replica is not its own. */
enum err fork_split(struct node *n, uint32_t replica, uint64_t fork, uint64_t own_nonce)
{
    const struct trail *trail = replicas_trail(n->replicas, replica);
    enum err err = ERR_OK;
    while (err == ERR_OK && trail->count > 0 && trail->boots[trail->count - 1].start >= fork) {
        err = split_last(n, replica, trail->boots[trail->count - 1]);
        trail = replicas_trail(n->replicas, replica);
    }
    if (err == ERR_OK && own_nonce != 0) {
        err = split_id(n, replica, own_nonce, &n->own);
        if (err == ERR_OK) err = keyspace_split(n->keyspace, replica, fork, n->own);
        if (err == ERR_OK) keyspace_set_own(n->keyspace, n->own);
    }
    if (err == ERR_OK && n->started) sync_reset(n, replica);
    return err;
}

/* The same process goes on under the new id. */
static void own_moved(struct node *n)
{
    n->own_seq = replicas_known(n->replicas, n->own)->known;
    n->boot_start = n->unpledged_to = 0;
    struct trail *trail = replicas_trail(n->replicas, n->own);
    if (trail->count == 0 && trail_extend(trail, 0, n->nonce) != ERR_OK) n->failed = true;
    n->identity_changed = true;
    shared_drop(n->fresh.frame);
    n->fresh = (struct fresh){ 0 };
    for (uint32_t i = 0; i < n->members.members_count; i++) {
        n->members.members[i].confirmed = 0;
        n->members.members[i].checked = false;
        n->members.members[i].pledged = 0;
    }
}

static void tell_split(struct node *n, uint32_t replica, uint64_t fork, uint64_t nonce, bool was_own)
{
    char before[33], after[33], detail[80];
    struct id128 id = trail_split_id(replicas_id(n->replicas, replica), nonce);
    id128_hex(replicas_id(n->replicas, replica), before);
    id128_hex(&id, after);
    memcpy(detail, before, 32);
    memcpy(detail + 32, " to ", 4);
    memcpy(detail + 36, after, 33);
    node_notice(n, was_own ? NOTICE_ROLLBACK : NOTICE_SPLIT, n->name, fork, detail);
}

/* Somebody wrote on from where this very boot is: a copy of its disk, while this process had nothing to write, or even of
 * its machine's memory. What follows is told apart by a new boot. */
static enum err begin_anew(struct node *n)
{
    do n->nonce = random_u64(&n->random);
    while (n->nonce == 0);
    n->boot_start = n->own_seq;
    return trail_extend(replicas_trail(n->replicas, n->own), n->own_seq, n->nonce);
}

static void carry_out(struct node *n, uint32_t replica)
{
    uint64_t fork = n->syncs[replica].fork;
    const struct boot *boot = trail_boot_from(replicas_trail(n->replicas, replica), fork);
    bool is_own = replica == n->own;
    enum err err = ERR_OK;
    n->syncs[replica].split_due = false;
    if (!boot && !is_own) return;
    if (boot && fork < replicas_trail(n->replicas, replica)->firm) return; /* it became firm meanwhile */
    if (!boot) {
        err = begin_anew(n);
        fork = n->own_seq;
    }
    uint64_t nonce = is_own ? n->nonce : boot->nonce;
    if (err == ERR_OK) err = fork_split(n, replica, fork, is_own ? nonce : 0);
    if (err == ERR_OK) err = commit_hold_split(n, replica, fork, is_own ? nonce : 0);
    if (err != ERR_OK) {
        n->failed = true;
        return;
    }
    if (is_own) own_moved(n);
    tell_split(n, replica, fork, nonce, is_own);
    n->view_version++;
}

/* Links begin anew, with whole digests: claims about a replica may fall by a split, and by nothing else. */
static void close_links(struct node *n)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        if (l->stage == LINK_TALKING) link_close(n, l, "a replica was split");
    }
}

/* (5): first nothing new begins, then nothing is under way. The own replica also has clients, who are put off for that
 * long. */
void fork_step(struct node *n)
{
    struct commits *c = &n->commits;
    n->commits_held = false;
    if (!n->splits_due || c->snapshot != SNAPSHOT_NONE || c->synced < 1) return;
    if (n->syncs[n->own].split_due && !n->fenced) {
        n->fenced = true;
        commit_judge_writes(n);
        c->drain = c->appended + 1; /* after this one nothing of a client's is pending */
    }
    n->commits_held = c->appended >= c->drain;
    if (!n->commits_held || c->count > 0) return;
    for (uint32_t i = 1; i < n->syncs_count && !n->failed; i++) {
        if (n->syncs[i].split_due) carry_out(n, i);
    }
    n->splits_due = n->commits_held = n->fenced = false;
    c->drain = 0;
    c->snapshot_segment = 0; /* of one that failed: it lies before the split */
    commit_judge_writes(n);
    close_links(n);
}
