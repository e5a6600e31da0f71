/* SPDX-License-Identifier: Apache-2.0 */
/* commit: one batch, three uses. The dirty counters and the peers' blocks that have come in since the last append make
 * the next one. What it holds is shown to nobody but this node's own readers until it is in the journal:
 *
 *   begin ----> written ----------------------> synced
 *   seqs given  peers' blocks are joined and    own entries are published: they may leave the node;
 *               claimed; `async` replies go     `sync` replies go; claims become durable
 *
 * Under `sync` the next append begins when the last one is synced, under `async` when it is written, so that batches
 * grow with the load by themselves. A counter changed a million times between two appends costs one entry. */
#include "base/alloc.h"
#include "base/force.h"
#include "count/keyspace_replica.h"
#include "node/fork.h"
#include "node/gossip.h"
#include "node/internal.h"

static struct commit *commit_at(struct commits *c, uint32_t index)
{
    return &c->items[(c->first + index) & (c->cap - 1)];
}

enum err incoming_add(struct incoming_list *list, const struct incoming *item)
{
    if (list->count == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 16;
        struct incoming *items = mem_resize(list->items, cap * sizeof *items);
        if (!items) return ERR_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = *item;
    list->bytes += item->bytes->len;
    return ERR_OK;
}

void incoming_release(struct incoming_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) shared_drop(list->items[i].bytes);
    mem_free(list->items);
    *list = (struct incoming_list){ 0 };
}

static void commit_release(struct commit *c)
{
    batch_release(&c->batch);
    shared_drop(c->frame);
    for (uint32_t i = 0; i < c->blocks_count; i++) shared_drop(c->blocks[i]);
    mem_free(c->blocks);
    incoming_release(&c->incoming);
    *c = (struct commit){ 0 };
}

void commits_release(struct node *n)
{
    struct commits *c = &n->commits;
    for (uint32_t i = 0; i < c->count; i++) commit_release(commit_at(c, i));
    for (uint32_t i = 0; i < c->held_count; i++) shared_drop(c->held[i].bytes);
    mem_free(c->held);
    c->held = NULL;
    c->held_count = 0;
    mem_free(c->items);
    c->items = NULL;
    c->count = c->cap = 0;
}

static enum err commits_grow(struct commits *c)
{
    uint32_t cap = c->cap ? c->cap * 2 : 8;
    struct commit *items = mem_alloc_zero(cap, sizeof *items);
    if (!items) return ERR_NOMEM;
    for (uint32_t i = 0; i < c->count; i++) items[i] = *commit_at(c, i);
    mem_free(c->items);
    c->items = items;
    c->first = 0;
    c->cap = cap;
    return ERR_OK;
}

/* Cuts the buffer, which begins with room for a frame's head, into the blocks that were written to it. */
static enum err split_blocks(struct commit *c, struct bytes written)
{
    uint32_t count = c->batch.blocks_count + 1;
    c->blocks = mem_alloc_zero(count, sizeof *c->blocks);
    if (!c->blocks) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        size_t from = i > 0 ? c->batch.blocks[i - 1] : FRAME_HEAD_BYTES;
        size_t to = i + 1 < count ? c->batch.blocks[i] : written.len;
        c->blocks[i] = shared_copy(bytes_of(written.ptr + from, to - from));
        if (!c->blocks[i]) return ERR_NOMEM;
        c->blocks_count++;
    }
    return ERR_OK;
}

/* One block can go to a peer as it is; several were too long for that anyway. */
static enum err commit_keep_blocks(struct commit *c, struct bytes written)
{
    if (c->batch.blocks_count > 0) return split_blocks(c, written);
    c->frame = shared_copy(written);
    if (!c->frame) return ERR_NOMEM;
    size_t body = c->frame->len - FRAME_HEAD_BYTES;
    if (body <= FRAME_BODY_BYTES_MAX)
        frame_seal(c->frame->ptr, FRAME_BLOCK, bytes_of(c->frame->ptr + FRAME_HEAD_BYTES, body));
    return ERR_OK;
}

/* Takes the dirty counters into the commit, and their block into a frame that can go to a peer as it is. */
static enum err commit_take(struct node *n, struct commit *c)
{
    struct buffer out = { 0 };
    struct block_writer writer;
    struct block_head head = {
        .kind = BLOCK_DELTA,
        .replica = *replicas_id(n->replicas, n->own),
        .nonce = n->nonce,
        .base = trail_nonce_at(replicas_trail(n->replicas, n->own), n->own_seq),
        .firm = replicas_trail(n->replicas, n->own)->firm,
        .pledged = replicas_trail(n->replicas, n->own)->pledged,
        .from = n->own_seq,
    };
    static const uint8_t frame_head[FRAME_HEAD_BYTES];
    buffer_bytes(&out, bytes_of(frame_head, sizeof frame_head));
    block_begin(&writer, &out, &head);
    c->batch.block_bytes_max = COMMIT_BLOCK_BYTES_MAX;
    enum err err = buffer_end(&out);
    if (err == ERR_OK) err = keyspace_take(n->keyspace, c->number, n->own_seq + 1, &c->batch, &writer);
    c->seq_from = n->append_seq = n->own_seq;
    c->seq_to = n->own_seq + c->batch.count;
    if (err == ERR_OK && c->batch.count > 0) {
        block_end(&writer, c->seq_to);
        err = buffer_end(&out);
        if (err == ERR_OK) err = commit_keep_blocks(c, buffer_view(&out));
    }
    buffer_release(&out);
    if (err == ERR_OK) n->own_seq = c->seq_to;
    return err;
}

static void members_record(struct node *n, struct record *records, uint32_t *count)
{
    struct record all[IDENTITY_RECORDS_MAX];
    uint32_t all_count;
    identity_records(n, all, &all_count, false);
    for (uint32_t i = 0; i < all_count; i++) {
        bool first_append = n->commits.appended == 1;
        bool is_due = n->identity_changed && all[i].kind != RECORD_MEMBERS;
        if (first_append || is_due || all[i].kind == RECORD_MEMBERS)
            records[(*count)++] = all[i];
        else
            shared_drop(all[i].bytes);
    }
    n->members_changed = n->identity_changed = false;
}

static void commit_emit(struct node *n, struct commit *c)
{
    uint32_t held = n->commits.held_count;
    uint32_t others = held + c->blocks_count + c->incoming.count;
    struct record *records = mem_alloc((IDENTITY_RECORDS_MAX + 2 + others) * sizeof *records);
    struct action *a = records ? node_act(n, ACTION_APPEND) : NULL;
    if (!a) {
        mem_free(records);
        n->failed = true;
        return;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < held; i++) records[count++] = n->commits.held[i];
    n->commits.held_count = 0;
    if (n->pledges_due) records[count++] = identity_pledges_record(n, c->number);
    if (c->number == 1 || n->members_changed || n->identity_changed) members_record(n, records, &count);
    if (c->frame)
        records[count++] =
            (struct record){ .kind = RECORD_OWN, .bytes = shared_hold(c->frame), .skip = FRAME_HEAD_BYTES };
    for (uint32_t i = 0; i < c->blocks_count; i++)
        records[count++] = (struct record){ .kind = RECORD_OWN, .bytes = shared_hold(c->blocks[i]) };
    for (uint32_t i = 0; i < c->incoming.count; i++)
        records[count++] = (struct record){ .kind = RECORD_PEER, .bytes = shared_hold(c->incoming.items[i].bytes) };
    a->as.append.number = c->number;
    a->as.append.records = records;
    a->as.append.count = count;
    stats_add(n->stats, STAT_commits, 1);
    stats_add(n->stats, STAT_commit_entries, c->batch.count);
}

static bool append_may_begin(const struct node *n)
{
    const struct commits *c = &n->commits;
    if (!n->started || (c->appended > 0 && FORCE(COMMIT_WAITS)) ||
        c->synced < (c->appended < c->gate ? c->appended : c->gate))
        return false;
    return n->durability_sync ? c->synced == c->appended : c->written == c->appended;
}

/* The next append begins with the record of a split. */
enum err commit_hold_split(struct node *n, uint32_t replica, uint64_t fork, uint64_t nonce)
{
    struct commits *c = &n->commits;
    struct record *grown = mem_resize(c->held, (c->held_count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    c->held = grown;
    c->held[c->held_count] = identity_split_record(n, replica, fork, nonce);
    if (n->failed) return ERR_NOMEM;
    c->held_count++;
    return ERR_OK;
}

void commit_begin(struct node *n)
{
    struct commits *c = &n->commits;
    if (n->failed || !append_may_begin(n)) return;
    bool is_due = c->appended == 0 || c->appended < c->drain || c->held_count > 0 || n->identity_changed;
    bool has_more = n->members_changed || n->pledges_due || n->incoming.count > 0 || keyspace_is_dirty(n->keyspace);
    if (n->commits_held || (!is_due && !has_more)) return;
    if (c->count == c->cap && commits_grow(c) != ERR_OK) {
        n->failed = true;
        return;
    }
    struct commit *next = commit_at(c, c->count);
    *next = (struct commit){ .number = ++c->appended, .incoming = n->incoming };
    c->count++;
    n->incoming = (struct incoming_list){ 0 };
    node_fail(n, commit_take(n, next));
    if (!n->failed) commit_emit(n, next);
}

void commit_written(struct node *n, uint64_t append)
{
    struct commits *c = &n->commits;
    REQUIRE(append <= c->appended);
    for (uint32_t i = 0; i < c->count; i++) {
        struct commit *commit = commit_at(c, i);
        if (commit->number > append) break;
        if (commit->written) continue;
        commit->written = true;
        for (uint32_t k = 0; k < commit->incoming.count; k++) node_fail(n, gossip_join(n, &commit->incoming.items[k]));
    }
    if (append > c->written) c->written = append;
}

/* The newest commit may be forwarded as it is if it is small; an older frame is of no use any more. */
static void fresh_set(struct node *n, struct commit *c)
{
    shared_drop(n->fresh.frame);
    n->fresh = (struct fresh){ .from = c->seq_from, .to = c->seq_to };
    if (c->frame && c->frame->len <= FRAME_HEAD_BYTES + FRAME_BODY_BYTES_GOAL) n->fresh.frame = shared_hold(c->frame);
}

static void commit_publish(struct node *n, struct commit *c)
{
    keyspace_publish(n->keyspace, &c->batch);
    struct recent *recent = &sync_of(n, n->own)->recent;
    for (uint32_t i = 0; i < c->batch.count; i++) recent_add(recent, c->batch.items[i].seq, c->batch.items[i].cell);
    if (c->batch.count > 0) {
        replicas_raise_known(n->replicas, n->own, c->seq_to, n->nonce);
        replicas_raise_durable(n->replicas, n->own, c->seq_to);
        fresh_set(n, c);
        for (uint32_t i = 0; i < n->members.members_count; i++) {
            struct member *m = &n->members.members[i];
            if (member_counts(m) && m->lag_since_ms == 0) m->lag_since_ms = n->now_ms;
        }
    }
    for (uint32_t i = 0; i < c->incoming.count; i++) {
        const struct incoming *item = &c->incoming.items[i];
        const struct known *known = replicas_known(n->replicas, item->replica);
        uint64_t to = item->head.to < known->known ? item->head.to : known->known;
        replicas_raise_durable(n->replicas, item->replica, to);
    }
}

/* Peers learn from the next digest what of theirs is on this disk. */
static void mark_told(struct node *n)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        if (l->stage != LINK_TALKING || !l->digest.told_whole) continue;
        uint32_t replica = replicas_find(n->replicas, &n->members.members[l->member].replica);
        if (replica == REPLICA_NONE) continue;
        const struct known *known = replicas_known(n->replicas, replica);
        struct claim claim = digest_claim(&l->digest, replica);
        if (known->durable > claim.told_durable) l->tell_due = true;
    }
}

void commit_synced(struct node *n, uint64_t append)
{
    struct commits *c = &n->commits;
    commit_written(n, append);
    while (c->count > 0 && commit_at(c, 0)->number <= append) {
        struct commit *oldest = commit_at(c, 0);
        commit_publish(n, oldest);
        commit_release(oldest);
        c->first = (c->first + 1) & (c->cap - 1);
        c->count--;
    }
    if (append > c->synced) c->synced = append;
    fork_pledged(n, append);
    mark_told(n);
    if (c->snapshot == SNAPSHOT_WAITING && c->synced >= c->snapshot_after) {
        struct action *a = node_act(n, ACTION_SNAPSHOT);
        struct record *records = mem_alloc(IDENTITY_RECORDS_MAX * sizeof *records);
        if (!a || !records) {
            mem_free(records);
            n->failed = true;
            return;
        }
        /* identity_records adds no action, so `a` stays where it is. */
        a->as.append.segment = c->snapshot_segment;
        a->as.append.records = records;
        identity_records(n, records, &a->as.append.count, true);
        c->snapshot = SNAPSHOT_RUNNING;
    }
}

/* Whether clients' writes are taken, and if not, why: the gravest reason counts. */
void commit_judge_writes(struct node *n)
{
    enum err reason = n->journal_full ? ERR_FULL : ERR_OK;
    if (n->fenced) reason = ERR_FENCED;
    if (n->stopping || n->orders.leave != LEAVE_NONE) reason = ERR_CLOSED;
    keyspace_refuse_writes(n->keyspace, reason);
}

/* A rotation uses up a segment, so the boundary of a snapshot that failed serves the next one as well: what was written
 * before it is in the keyspace still. */
static void snapshot_seek(struct node *n)
{
    struct commits *c = &n->commits;
    uint64_t limit = n->snapshot_bytes;
    if (limit < 2 * n->journal_snapshot_bytes) limit = 2 * n->journal_snapshot_bytes;
    if (n->journal_bytes < limit && !n->salvage.is_unrepaired && !FORCE(SNAPSHOT_NOW)) return;
    if (c->snapshot_segment != 0) {
        c->snapshot = SNAPSHOT_WAITING;
        commit_synced(n, c->synced);
    } else if (!n->journal_full && node_act(n, ACTION_ROTATE)) {
        c->snapshot = SNAPSHOT_ROTATING;
        c->snapshot_after = c->appended;
    }
}

void commit_journal(struct node *n, const struct event *event)
{
    bool full = event->as.journal.full;
    n->journal_bytes = event->as.journal.bytes;
    n->journal_snapshot_bytes = event->as.journal.snapshot_bytes;
    if (full != n->journal_full) {
        n->journal_full = full;
        commit_judge_writes(n);
        node_notice(n, full ? NOTICE_WRITES_REFUSED : NOTICE_WRITES_TAKEN, n->name, 0, err_text(ERR_FULL));
        n->view_version++;
    }
    if (n->commits.snapshot == SNAPSHOT_NONE && !n->stopping && !n->splits_due &&
        n->now_ms >= n->commits.snapshot_retry_ms)
        snapshot_seek(n);
}

void commit_rotated(struct node *n, uint64_t segment)
{
    REQUIRE(n->commits.snapshot == SNAPSHOT_ROTATING);
    n->commits.snapshot = SNAPSHOT_WAITING;
    n->commits.snapshot_segment = segment;
    /* The new segment says whose it is too, should the snapshot ever be damaged just where it does. */
    n->identity_changed = true;
    commit_synced(n, n->commits.synced); /* it may be the time already */
}

void commit_snapshot_ended(struct node *n, enum err result)
{
    REQUIRE(n->commits.snapshot != SNAPSHOT_NONE);
    n->commits.snapshot = SNAPSHOT_NONE;
    if (result == ERR_OK) {
        n->commits.snapshot_segment = 0;
        n->salvage.is_unrepaired = false;
        stats_add(n->stats, STAT_snapshots, 1);
        return;
    }
    n->commits.snapshot_retry_ms = n->now_ms + 10000;
    node_notice(n, NOTICE_SNAPSHOT_FAILED, n->name, 0, err_text(result));
}
