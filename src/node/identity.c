/* SPDX-License-Identifier: Apache-2.0 */
/* identity: which replica this node is, what it knew before it stopped, and the records that say so.
 * docs/FORMATS.md has the records byte by byte. */
#include "base/alloc.h"
#include "node/internal.h"
#include "node/journal.h"

#define IDENTITY_VERSION 1u
#define OWN_SEQ_MAX (UINT64_MAX / 2) /* a million a second for 290,000 years */

void record_from(struct node *n, uint8_t kind, struct buffer *body, struct record *ret_record)
{
    struct shared *bytes = buffer_end(body) == ERR_OK ? shared_copy(buffer_view(body)) : NULL;
    if (!bytes) n->failed = true;
    *ret_record = (struct record){ .kind = kind, .bytes = bytes };
    buffer_release(body);
}

static void write_identity(const struct node *n, struct buffer *out)
{
    buffer_u8(out, IDENTITY_VERSION);
    buffer_id(out, replicas_id(n->replicas, n->own));
    buffer_string(out, bytes_of_text(n->cluster));
}

static void write_boot(const struct node *n, struct buffer *out)
{
    buffer_id(out, replicas_id(n->replicas, n->own));
    buffer_u64(out, n->nonce);
    buffer_u64(out, n->append_seq);
}

static void write_members(const struct node *n, struct buffer *out)
{
    for (uint32_t i = 0; i < n->members.members_count; i++) {
        const struct member *m = &n->members.members[i];
        struct member_item item = { bytes_of_text(m->name), m->replica, m->epoch, !member_counts(m) };
        member_put(out, &item);
    }
}

static void write_vector(const struct node *n, struct buffer *out)
{
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        struct digest_item item = digest_item_of(n->replicas, i);
        if (item.known > 0) digest_put(out, &item); /* else hearsay, from a digest or another's reset */
    }
}

static void write_trails(const struct node *n, struct buffer *out)
{
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        struct trail_item item = { *replicas_id(n->replicas, i), replicas_known(n->replicas, i)->known, 0, false };
        if (item.known > 0) trail_put(out, &item, replicas_trail(n->replicas, i));
    }
}

/* Those that wait to be written; they are on disk with that append. */
struct record identity_pledges_record(struct node *n, uint64_t append)
{
    struct buffer out = { 0 };
    struct record record;
    for (uint32_t i = 1; i < n->syncs_count; i++) {
        struct replica_sync *sync = &n->syncs[i];
        if ((sync->pledge_due == 0 && sync->firm_due == 0) || sync->pledge_append != 0) continue;
        sync->pledge_append = append;
        buffer_id(&out, replicas_id(n->replicas, i));
        buffer_u64(&out, sync->pledge_due);
        buffer_u64(&out, sync->firm_due);
    }
    n->pledges_due = false;
    record_from(n, RECORD_PLEDGES, &out, &record);
    return record;
}

struct record identity_split_record(struct node *n, uint32_t replica, uint64_t fork, uint64_t nonce)
{
    struct buffer out = { 0 };
    struct record record;
    buffer_id(&out, replicas_id(n->replicas, replica));
    buffer_u64(&out, fork);
    buffer_u64(&out, nonce);
    record_from(n, RECORD_SPLIT, &out, &record);
    return record;
}

void identity_records(struct node *n, struct record *records, uint32_t *count, bool with_vector)
{
    struct buffer out = { 0 };
    *count = 0;
    write_identity(n, &out);
    record_from(n, RECORD_IDENTITY, &out, &records[(*count)++]);
    write_boot(n, &out);
    record_from(n, RECORD_BOOT, &out, &records[(*count)++]);
    if (n->members.members_count > 0) {
        write_members(n, &out);
        record_from(n, RECORD_MEMBERS, &out, &records[(*count)++]);
    }
    if (with_vector) {
        write_vector(n, &out);
        record_from(n, RECORD_VECTOR, &out, &records[(*count)++]);
        write_trails(n, &out);
        record_from(n, RECORD_TRAILS, &out, &records[(*count)++]);
    }
}

static enum err recover_identity(struct node *n, struct bytes record)
{
    struct reader r;
    reader_init(&r, record);
    uint8_t version = reader_u8(&r);
    if (!r.failed && version > IDENTITY_VERSION) return ERR_NEWER;
    struct id128 id = reader_id(&r);
    struct bytes cluster = reader_string(&r, CLUSTER_BYTES_MAX);
    if (reader_end(&r) != ERR_OK || version != IDENTITY_VERSION || id128_is_zero(&id)) return ERR_CORRUPT;
    if (!bytes_equal(cluster, bytes_of_text(n->cluster))) return ERR_INVALID;
    /* Each boot says it again. Another identity is a new one: nothing was ever written or heard of it. */
    uint32_t met = replicas_find(n->replicas, &id);
    bool is_own = n->identity_recovered && met == n->own;
    if (met != REPLICA_NONE && !is_own && !n->salvage.is_damaged) return ERR_CORRUPT;
    if (met == REPLICA_NONE) n->own_recovered = 0;
    enum err err = replicas_intern(n->replicas, &id, &n->own);
    if (err != ERR_OK) return err == ERR_NOMEM ? err : ERR_CORRUPT;
    keyspace_set_own(n->keyspace, n->own);
    n->identity_recovered = true;
    return salvage_note_own(n, n->own);
}

static enum err recover_boot(struct node *n, struct bytes record)
{
    struct reader r;
    reader_init(&r, record);
    struct id128 replica = reader_id(&r);
    uint64_t nonce = reader_u64(&r);
    uint64_t seq = reader_u64(&r);
    if (reader_end(&r) != ERR_OK || nonce == 0) return ERR_CORRUPT;
    salvage_note_boot(n, &replica, seq);
    return ERR_OK;
}

static enum err recover_members(struct node *n, struct bytes record)
{
    struct reader items;
    struct member_item item;
    enum err err;
    reader_init(&items, record);
    while ((err = member_next(&items, &item)) == ERR_OK) {
        uint32_t member;
        enum news news;
        struct standing said = { item.epoch, item.left };
        if (bytes_equal(item.node, bytes_of_text(n->name))) continue; /* this node had another name before */
        err = membership_merge(&n->members, item.node, said, 0, &member, &news);
        if (err != ERR_OK) return err == ERR_NOMEM ? err : ERR_CORRUPT;
        n->members.members[member].replica = item.replica;
    }
    return err == ERR_STALE ? ERR_OK : err;
}

static enum err recover_vector(struct node *n, struct bytes record)
{
    struct reader items;
    struct digest_item item;
    if (record.len % DIGEST_ITEM_BYTES != 0) return ERR_CORRUPT;
    reader_init(&items, record);
    while (digest_next(&items, &item)) {
        uint32_t replica;
        enum err err = replicas_intern(n->replicas, &item.replica, &replica);
        if (err != ERR_OK) return err == ERR_NOMEM ? err : ERR_CORRUPT;
        /* With a hole in the snapshot it may claim what is not there. */
        if (!n->salvage.is_damaged) replicas_raise_known(n->replicas, replica, item.known, item.nonce);
    }
    n->salvage.own_is_whole = false; /* whatever the snapshot's record of the boot said */
    return ERR_OK;
}

static enum err recover_trails(struct node *n, struct bytes record)
{
    struct reader items;
    reader_init(&items, record);
    while (reader_left(&items) > 0) {
        struct trail_item item;
        struct trail trail;
        uint32_t replica;
        enum err err = trail_next(&items, &item, &trail);
        if (err != ERR_OK) return err;
        err = replicas_intern(n->replicas, &item.replica, &replica);
        if (err != ERR_OK) {
            trail_release(&trail);
            return err == ERR_NOMEM ? err : ERR_CORRUPT;
        }
        if (n->salvage.is_damaged) { /* as with the vector: it goes with what is claimed */
            trail_release(&trail);
            continue;
        }
        trail_release(replicas_trail(n->replicas, replica));
        *replicas_trail(n->replicas, replica) = trail;
    }
    return items.failed ? ERR_CORRUPT : ERR_OK;
}

static enum err recover_pledges(struct node *n, struct bytes record)
{
    struct reader r;
    reader_init(&r, record);
    while (reader_left(&r) > 0) {
        uint32_t replica;
        struct id128 id = reader_id(&r);
        uint64_t pledged = reader_u64(&r), firm = reader_u64(&r);
        enum err err = r.failed ? ERR_CORRUPT : replicas_intern(n->replicas, &id, &replica);
        if (err != ERR_OK) return err == ERR_NOMEM ? err : ERR_CORRUPT;
        trail_set_pledged(replicas_trail(n->replicas, replica), pledged);
        if (firm <= replicas_trail(n->replicas, replica)->firm) continue;
        trail_set_firm(replicas_trail(n->replicas, replica), firm);
        keyspace_prune(n->keyspace, replica);
    }
    return ERR_OK;
}

static enum err recover_split(struct node *n, struct bytes record)
{
    struct reader r;
    reader_init(&r, record);
    struct id128 id = reader_id(&r);
    uint64_t fork = reader_u64(&r), nonce = reader_u64(&r);
    uint32_t replica;
    if (reader_end(&r) != ERR_OK) return ERR_CORRUPT;
    enum err err = replicas_intern(n->replicas, &id, &replica);
    uint32_t own = n->own;
    if (err == ERR_OK) err = fork_split(n, replica, fork, nonce);
    if (n->own != own) n->own_recovered = 0; /* what went along is known of the new one */
    if (err == ERR_OK && nonce != 0) err = salvage_note_own(n, n->own);
    salvage_forget_split(n, replica, fork);
    return err == ERR_OK || err == ERR_NOMEM ? err : ERR_CORRUPT;
}

static enum err recover_block(struct node *n, uint8_t kind, struct bytes record)
{
    struct block_reader reader;
    struct incoming item = { 0 };
    enum err err = block_open(&reader, record);
    bool is_first = !n->identity_recovered && !n->salvage.is_damaged; /* the identity comes before all else */
    if (err == ERR_OK && is_first) err = ERR_CORRUPT;
    if (err == ERR_OK) err = replicas_intern(n->replicas, &reader.head.replica, &item.replica);
    if (err != ERR_OK) return err == ERR_NOMEM ? err : ERR_CORRUPT;
    if (item.replica == n->own && reader.head.to > n->own_recovered) n->own_recovered = reader.head.to;
    item.head = reader.head;
    if (kind == RECORD_OWN) err = salvage_note_own(n, item.replica);
    item.bytes = err == ERR_OK ? shared_copy(record) : NULL;
    if (!item.bytes) return ERR_NOMEM;
    err = salvage_takes_block(n, &item) ? salvage_keep_block(n, kind, &item) : gossip_join(n, &item);
    shared_drop(item.bytes);
    return err;
}

enum err node_recover(void *node, uint8_t kind, struct bytes record)
{
    struct node *n = node;
    REQUIRE(!n->started);
    switch (kind) {
    case JOURNAL_HOLE:
        salvage_hole(n, record);
        return ERR_OK;
    case RECORD_IDENTITY:
        return recover_identity(n, record);
    case RECORD_BOOT:
        return recover_boot(n, record);
    case RECORD_OWN:
    case RECORD_PEER:
    case RECORD_ENTRIES:
        return recover_block(n, kind, record);
    case RECORD_MEMBERS:
        return recover_members(n, record);
    case RECORD_VECTOR:
        return recover_vector(n, record);
    case RECORD_TRAILS:
        return recover_trails(n, record);
    case RECORD_PLEDGES:
        return recover_pledges(n, record);
    case RECORD_SPLIT:
        return recover_split(n, record);
    default:
        return ERR_CORRUPT;
    }
}

static enum err take_identity(struct node *n)
{
    if (n->identity_recovered) return ERR_OK;
    /* A journal that holds entries but does not say whose it is was not written by this program. */
    if (replicas_count(n->replicas) > 1) return ERR_CORRUPT;
    enum err err = replicas_intern(n->replicas, &n->replica_offered, &n->own);
    if (err == ERR_OK) keyspace_set_own(n->keyspace, n->own);
    return err;
}

/* All that was recovered has been synced by the journal before it opened. */
static enum err settle_recovered(struct node *n)
{
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        struct replica_sync *sync = sync_of(n, i);
        if (!sync) return ERR_NOMEM;
        uint64_t known = replicas_known(n->replicas, i)->known;
        replicas_raise_durable(n->replicas, i, known);
        sync->accepted = known;
        recent_init(&sync->recent, i == n->own ? RECENT_OWN_MAX : RECENT_PEER_MAX, known);
        keyspace_prune(n->keyspace, i);
    }
    n->own_seq = n->append_seq = replicas_known(n->replicas, n->own)->known;
    /* Own entries come without a gap, or a seq would be given twice; and there is always a next one. */
    if (n->own_recovered > n->own_seq && !n->salvage.is_damaged) return ERR_CORRUPT;
    if (n->own_seq > OWN_SEQ_MAX) return ERR_CORRUPT;
    const struct trail *trail = replicas_trail(n->replicas, n->own);
    if (trail->count > 0 && trail->boots[trail->count - 1].start > n->own_seq) return ERR_CORRUPT;
    fork_own_trail(n);
    return n->failed ? ERR_NOMEM : ERR_OK;
}

enum err node_start(struct node *n, uint64_t now_ms, uint64_t wall_ms, struct actions *actions)
{
    REQUIRE(!n->started);
    enum err err = salvage_finish(n);
    if (err == ERR_OK) err = take_identity(n);
    if (err == ERR_OK) err = settle_recovered(n);
    if (err != ERR_OK) return err;
    n->started = true;
    n->view_version++; /* it may have become another replica */
    n->now_ms = n->started_ms = now_ms;
    n->wall_ms = wall_ms;
    n->gossip_at_ms = now_ms + random_jitter(&n->random, GOSSIP_MS, GOSSIP_JITTER_PERCENT);
    n->actions = actions;
    membership_forgive(&n->members, now_ms);
    char id[33];
    id128_hex(replicas_id(n->replicas, n->own), id);
    node_notice(n, NOTICE_STARTED, n->name, keyspace_count(n->keyspace), id);
    salvage_notice(n);
    n->salvage.is_unrepaired = n->salvage.is_damaged;
    /* The boot must be on disk before a seq is given under its nonce. */
    n->commits.gate = 1;
    commit_begin(n);
    roster_tick(n);
    n->actions = NULL;
    return n->failed ? ERR_NOMEM : ERR_OK;
}
