/* SPDX-License-Identifier: Apache-2.0 */
/* gossip: what comes in. An owner pushes its own entries; everything else is pulled. A node asks (WANT) for a replica
 * when a peer's digest claims more of it than this node has accepted, and its owner is not there to push it; or when
 * a block leaves a gap. So a healthy mesh sends each entry once, and a dead node's entries still reach everyone.
 *
 *   accepted >= known >= durable
 *
 * accepted counts blocks that wait for the journal, so that the next block of a row is not taken for a gap. */
#include "base/alloc.h"
#include "node/internal.h"

struct replica_sync *sync_of(struct node *n, uint32_t replica)
{
    uint32_t count = replicas_count(n->replicas);
    REQUIRE(replica < count);
    if (replica >= n->syncs_count) {
        struct replica_sync *syncs = mem_resize(n->syncs, count * sizeof *syncs);
        if (!syncs) {
            n->failed = true;
            return NULL;
        }
        for (uint32_t i = n->syncs_count; i < count; i++) {
            uint64_t known = replicas_known(n->replicas, i)->known;
            syncs[i] = (struct replica_sync){ .accepted = known };
            recent_init(&syncs[i].recent, i == n->own ? RECENT_OWN_MAX : RECENT_PEER_MAX, known);
        }
        n->syncs = syncs;
        n->syncs_count = count;
    }
    return &n->syncs[replica];
}

/* Which boot wrote an accepted block. */
static enum err trail_note(struct node *n, const struct incoming *item)
{
    const struct block_head *head = &item->head;
    struct trail *trail = replicas_trail(n->replicas, item->replica);
    bool is_known = trail->count > 0 && trail_nonce_at(trail, head->from + 1) == head->nonce;
    if (!is_known && trail->count > 0 && trail->boots[trail->count - 1].start > head->from) return ERR_OK;
    return is_known ? ERR_OK : trail_extend(trail, head->from, head->nonce);
}

/* What the block's writer held for settled holds here too: the block is in the journal. */
static void note_firm(struct node *n, const struct incoming *item)
{
    struct trail *trail = replicas_trail(n->replicas, item->replica);
    trail_set_pledged(trail, item->head.pledged);
    if (item->head.firm <= trail->firm) return;
    trail_set_firm(trail, item->head.firm);
    keyspace_prune(n->keyspace, item->replica);
}

static enum err join_entry(struct node *n, uint32_t replica, const struct block_reader *reader, struct bytes name,
                           struct entry *entry, cell_ref *ret_cell)
{
    struct entry older[BLOCK_OLDER_MAX];
    uint32_t older_count = 0;
    uint64_t hash = keyspace_hash(n->keyspace, name);
    enum err err = block_older(reader, n->replicas, older, &older_count);
    if (err == ERR_OK)
        err = keyspace_join_older(n->keyspace, replica, hash, name, entry, older, older_count, ret_cell);
    if (err == ERR_OK) return ERR_OK;
    extras_free(entry->extras);
    for (uint32_t i = 0; i < older_count; i++) extras_free(older[i].extras);
    return err;
}

/* The block is in the journal: its entries become visible and its claim holds. Also used at recovery. */
enum err gossip_join(struct node *n, const struct incoming *item)
{
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    const struct block_head *head = &item->head;
    const struct known *known = replicas_known(n->replicas, item->replica);
    const uint64_t print_before = known->print;
    bool claims = head->kind == BLOCK_DELTA && head->from <= known->known && head->to > known->known;
    struct recent *recent = n->started ? &sync_of(n, item->replica)->recent : NULL;
    enum err err = block_open(&reader, bytes_of(item->bytes->ptr, item->bytes->len));
    REQUIRE(err == ERR_OK || !n->started); /* it was checked when it came in */
    if (err != ERR_OK) return err;
    if (claims) err = trail_note(n, item);
    if (err != ERR_OK) return err;
    while ((err = block_next(&reader, n->replicas, &name, &entry)) == ERR_OK) {
        cell_ref cell;
        uint64_t seq = entry.seq;
        err = join_entry(n, item->replica, &reader, name, &entry, &cell);
        if (err != ERR_OK) return err;
        if (recent && claims && seq > recent->top) recent_add(recent, seq, cell);
    }
    if (err != ERR_STALE) return err;
    if (claims) replicas_raise_known(n->replicas, item->replica, head->to, head->nonce);
    if (claims) note_firm(n, item);
    if (recent && claims) recent_raise(recent, head->to);
    if (recent && !claims) chase_mended(n, item->replica, print_before);
    if (n->started) stats_add(n->stats, STAT_peer_entries_in, head->count);
    return ERR_OK;
}

/* Reads the block through, so that nothing can fail once it is in the journal: every replica that it names is in the
 * table afterwards. ERR_TOO_LONG: that is full. */
static enum err block_inspect(struct node *n, struct bytes block, struct incoming *item)
{
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    enum err err = block_open(&reader, block);
    if (err == ERR_OK && reader.head.kind != BLOCK_DELTA) err = ERR_CORRUPT;
    if (err != ERR_OK) return err;
    item->head = reader.head;
    size_t left = reader_left(&reader.rest);
    while ((err = block_next(&reader, n->replicas, &name, &entry)) == ERR_OK) {
        struct entry older[BLOCK_OLDER_MAX];
        uint32_t older_count = 0;
        extras_free(entry.extras);
        err = block_older(&reader, n->replicas, older, &older_count);
        for (uint32_t i = 0; i < older_count; i++) extras_free(older[i].extras);
        if (err != ERR_OK) return err;
        if (left - reader_left(&reader.rest) > PEER_ENTRY_BYTES_MAX) return ERR_CORRUPT;
        left = reader_left(&reader.rest);
    }
    return err == ERR_STALE ? replicas_intern(n->replicas, &item->head.replica, &item->replica) : err;
}

static bool block_is_taken(struct node *n, struct peer_link *l, const struct incoming *item, uint64_t accepted)
{
    const struct block_head *head = &item->head;
    if (item->replica == n->own) return false; /* nobody else writes this node's entries */
    if (n->journal_full) return false;         /* it is asked for again when there is room */
    if (n->syncs[item->replica].split_due) return false;
    if (head->from > accepted) chase_want(n, l, item->replica);
    if (head->from > accepted) return false;
    if (head->to <= accepted && !chase_mends(n, l, item)) return false;
    return fork_block_fits(n, l, item, head->to < accepted ? head->to : accepted);
}

void gossip_block(struct node *n, struct peer_link *l, struct bytes body)
{
    struct incoming item = { 0 };
    enum err err = block_inspect(n, body, &item);
    struct replica_sync *sync = err == ERR_OK ? sync_of(n, item.replica) : NULL;
    if (!sync) {
        if (err == ERR_NOMEM) n->failed = true;
        const char *what = err == ERR_TOO_LONG ? "more replicas than fit" : "a damaged block of entries";
        if (!n->failed) link_broken(n, l, what);
        return;
    }
    if (!block_is_taken(n, l, &item, sync->accepted)) return;
    item.bytes = shared_copy(body);
    if (!item.bytes || trail_note(n, &item) != ERR_OK || incoming_add(&n->incoming, &item) != ERR_OK) {
        shared_drop(item.bytes);
        n->failed = true;
        return;
    }
    if (item.head.to >= sync->accepted) { /* what is missing below has come before it */
        sync->accepted = item.head.to;
        sync->mending = 0;
    }
}

/* What the peer says of each replica in this digest; whether what it says of this node's own fits. */
static bool claims_fit(struct node *n, struct peer_link *l, struct bytes body)
{
    struct member *member = &n->members.members[l->member];
    bool whole, own_fits = true;
    struct reader items;
    struct digest_item item;
    REQUIRE(digest_read(body, &whole, &items) == ERR_OK);
    while (digest_next(&items, &item)) {
        uint32_t replica = replicas_find(n->replicas, &item.replica);
        bool fits = fork_claim_fits(n, l, &item, replica);
        if (replica != n->own) continue;
        own_fits = fits;
        if (fits) member->pledged = item.pledged;
    }
    return own_fits;
}

void gossip_digest(struct node *n, struct peer_link *l, struct bytes body)
{
    bool first = !l->digest.heard_whole;
    enum err err = digest_take(&l->digest, n->replicas, body);
    if (err == ERR_NOMEM) n->failed = true;
    if (err == ERR_CORRUPT) link_broken(n, l, "a damaged digest");
    if (err == ERR_TOO_LONG) link_broken(n, l, "more replicas than fit");
    if (err != ERR_OK) return;
    struct member *member = &n->members.members[l->member];
    if (!claims_fit(n, l, body)) {
        l->cursor = UINT64_MAX; /* it gets nothing of this node's own until that is settled, by a split and a new link */
        return;
    }
    struct claim mine = digest_claim(&l->digest, n->own);
    member->confirmed = mine.durable;
    if (mine.durable >= replicas_known(n->replicas, n->own)->durable) member->lag_since_ms = 0;
    if (!first) return;
    member->checked = true;
    lanes_serve(n, l, n->own, mine.known);
}

void gossip_wants(struct node *n, struct peer_link *l, struct bytes body)
{
    struct reader items;
    struct want want;
    if (wants_read(body, &items) != ERR_OK) {
        link_broken(n, l, "a damaged request");
        return;
    }
    while (want_next(&items, &want)) {
        uint32_t replica = replicas_find(n->replicas, &want.replica);
        if (replica != REPLICA_NONE && fork_want_fits(n, l, &want, replica)) lanes_serve(n, l, replica, want.from);
    }
}

void gossip_tell(struct node *n, struct peer_link *l, uint32_t only)
{
    struct buffer body = { 0 };
    uint32_t count;
    bool whole = !l->digest.told_whole;
    enum err err = digest_tell(&l->digest, n->replicas, only, &body, &count);
    if (err == ERR_OK && (whole || count > 0))
        node_send_body(n, l, FRAME_DIGEST, &body);
    else
        buffer_release(&body);
    node_fail(n, err);
    l->tell_due = false;
    l->told_ms = n->now_ms;
}
