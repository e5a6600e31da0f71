/* SPDX-License-Identifier: Apache-2.0 */
/* chase: what is missing here, and whom to ask for it. */
#include "base/force.h"
#include "node/fork.h"
#include "node/gossip.h"
#include "node/internal.h"

#define WANT_AGAIN_MS 250u
#define STALLED_ROUNDS 3u
#define MEND_AGAIN_MS 5000u

void chase_want(struct node *n, struct peer_link *l, uint32_t replica)
{
    struct replica_sync *sync = sync_of(n, replica);
    if (!sync) return;
    bool again = n->now_ms - sync->want_ms >= WANT_AGAIN_MS || FORCE(WANT_AGAIN);
    if (sync->want_accepted == sync->accepted && sync->want_ms > 0 && !again) return;
    struct buffer body = { 0 };
    const struct trail *trail = replicas_trail(n->replicas, replica);
    struct want want = { *replicas_id(n->replicas, replica), sync->accepted, trail_nonce_at(trail, sync->accepted) };
    want_put(&body, &want);
    node_send_body(n, l, FRAME_WANT, &body);
    sync->want_ms = n->now_ms;
    sync->want_accepted = sync->accepted;
}

/* The talking link whose peer claims most of the replica; ties by chance. */
static struct peer_link *best_source(struct node *n, uint32_t replica, uint64_t above)
{
    struct peer_link *best = NULL;
    uint64_t best_known = above;
    uint32_t start = n->links_count ? (uint32_t)random_below(&n->random, n->links_count) : 0;
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[(start + i) % n->links_count];
        if (l->stage != LINK_TALKING) continue;
        struct claim claim = digest_claim(&l->digest, replica);
        if (claim.gone || claim.known <= best_known) continue;
        best = l;
        best_known = claim.known;
    }
    return best;
}

static struct peer_link *owner_link(struct node *n, uint32_t replica)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        if (l->stage != LINK_TALKING) continue;
        if (id128_equal(&n->members.members[l->member].replica, replicas_id(n->replicas, replica))) return l;
    }
    return NULL;
}

/* Another owner's replica of which everybody who can be reached knows as much, and not the same: a delta leaves out
 * what its sender has superseded beyond the delta's end, and if the owner dies before the rest has come, two nodes
 * can know it up to the same seq and hold different entries. Each then takes all that the other holds; the newer
 * ones stay. */
static void mend(struct node *n, uint32_t replica)
{
    struct replica_sync *sync = sync_of(n, replica);
    const struct known *known = replicas_known(n->replicas, replica);
    bool is_still = sync->seen_print == known->print && sync->accepted == known->known;
    sync->seen_print = known->print;
    if (!is_still || known->known == 0 || n->now_ms < sync->mend_ms) return;
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        struct claim claim = digest_claim(&l->digest, replica);
        if (l->stage != LINK_TALKING || claim.gone || claim.known != known->known) continue;
        if (claim.nonce != known->nonce || claim.print == known->print) continue;
        struct buffer body = { 0 };
        struct want want = { .replica = *replicas_id(n->replicas, replica) };
        want_put(&body, &want);
        node_send_body(n, l, FRAME_WANT, &body);
        sync->mending = l->id;
        sync->mend_ms = n->now_ms + MEND_AGAIN_MS;
        return;
    }
}

bool chase_mends(const struct node *n, const struct peer_link *l, const struct incoming *item)
{
    return n->syncs[item->replica].mending == l->id;
}

/* What came beyond the usual order is not among the recent places. */
void chase_mended(struct node *n, uint32_t replica, uint64_t print_before)
{
    const struct known *known = replicas_known(n->replicas, replica);
    if (known->print == print_before) return;
    struct recent *recent = &sync_of(n, replica)->recent;
    recent_release(recent);
    recent_init(recent, RECENT_PEER_MAX, known->known);
}

/* Asks for a replica that a peer has more of, unless its owner is pushing it or an earlier request is being served. */
static void chase(struct node *n, uint32_t replica)
{
    struct replica_sync *sync = sync_of(n, replica);
    if (!sync || sync->split_due) return;
    struct peer_link *source = best_source(n, replica, sync->accepted);
    bool moved = sync->accepted != sync->seen_accepted;
    sync->seen_accepted = sync->accepted;
    sync->stalled_rounds = source && !moved ? sync->stalled_rounds + 1 : 0;
    if (!source && !moved) mend(n, replica);
    if (!source || moved) return;
    struct peer_link *owner = owner_link(n, replica);
    if (owner && sync->stalled_rounds < STALLED_ROUNDS) return;
    /* A request that is being served by a sweep raises nothing while the keyspace is walked: ask again only now and
     * then. */
    if (sync->stalled_rounds % STALLED_ROUNDS == 1 || owner) chase_want(n, owner ? owner : source, replica);
}

void gossip_round(struct node *n)
{
    uint32_t talking = 0, chosen = 0;
    for (uint32_t i = 0; i < n->links_count; i++) talking += n->links[i]->stage == LINK_TALKING;
    if (talking == 0) return;
    fork_verify(n);
    chosen = (uint32_t)random_below(&n->random, talking);
    for (uint32_t i = 0; i < n->links_count; i++) {
        if (n->links[i]->stage != LINK_TALKING || chosen-- != 0) continue;
        bool single = n->links[i]->digest.told_whole && FORCE(DIGEST_SINGLE);
        gossip_tell(n, n->links[i], single ? n->own : REPLICA_NONE);
        break;
    }
    if (n->journal_full) return;
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        if (i != n->own) chase(n, i);
    }
}

bool gossip_is_behind(struct node *n)
{
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        if (i != n->own && best_source(n, i, replicas_known(n->replicas, i)->known)) return true;
    }
    return false;
}
