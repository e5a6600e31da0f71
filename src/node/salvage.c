/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "count/keyspace_inherit.h"
#include "node/internal.h"

void salvage_release(struct node *n)
{
    incoming_release(&n->salvage.aside);
    mem_free(n->salvage.former);
    n->salvage.former = NULL;
    n->salvage.former_count = n->salvage.former_cap = 0;
}

void salvage_hole(struct node *n, struct bytes where)
{
    struct salvage *s = &n->salvage;
    if (where.len > 0 && s->holes++ == 0) {
        size_t len = where.len < sizeof s->where ? where.len : sizeof s->where - 1;
        memcpy(s->where, where.ptr, len);
        s->where[len] = '\0';
    }
    s->is_damaged = true;
    s->own_is_whole = false;
}

enum err salvage_note_own(struct node *n, uint32_t replica)
{
    struct salvage *s = &n->salvage;
    for (uint32_t i = 0; i < s->former_count; i++) {
        if (s->former[i] == replica) return ERR_OK;
    }
    if (s->former_count == s->former_cap) {
        uint32_t cap = s->former_cap ? 2 * s->former_cap : 4;
        uint32_t *former = mem_resize(s->former, cap * sizeof *former);
        if (!former) return ERR_NOMEM;
        s->former = former;
        s->former_cap = cap;
    }
    s->former[s->former_count++] = replica;
    return ERR_OK;
}

void salvage_note_boot(struct node *n, const struct id128 *replica, uint64_t seq)
{
    if (n->own == REPLICA_NONE || !id128_equal(replica, replicas_id(n->replicas, n->own))) return;
    if (seq <= replicas_known(n->replicas, n->own)->known) n->salvage.own_is_whole = true;
}

bool salvage_takes_block(const struct node *n, const struct incoming *item)
{
    if (!n->salvage.is_damaged || item->head.kind != BLOCK_DELTA) return false;
    return item->head.from > replicas_known(n->replicas, item->replica)->known;
}

enum err salvage_keep_block(struct node *n, uint8_t kind, const struct incoming *item)
{
    if (kind != RECORD_OWN) return block_check(bytes_of(item->bytes->ptr, item->bytes->len));
    enum err err = incoming_add(&n->salvage.aside, item);
    if (err == ERR_OK) shared_hold(item->bytes);
    return err;
}

/* Behind a hole it cannot be taken apart; and under the old id it would be of another history. */
void salvage_forget_split(struct node *n, uint32_t replica, uint64_t fork)
{
    struct incoming_list *list = &n->salvage.aside;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].replica == replica && list->items[i].head.to > fork)
            shared_drop(list->items[i].bytes);
        else
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
}

/* Entries up to what is known by now are there. */
static enum err inherit_block(struct node *n, const struct incoming *item)
{
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    const uint64_t known = replicas_known(n->replicas, item->replica)->known;
    enum err err = block_open(&reader, bytes_of(item->bytes->ptr, item->bytes->len));
    while (err == ERR_OK && (err = block_next(&reader, n->replicas, &name, &entry)) == ERR_OK) {
        bool has_moved = false;
        if (entry.seq > known)
            err = keyspace_inherit(n->keyspace, item->replica, keyspace_hash(n->keyspace, name), name, &entry,
                                   &has_moved);
        extras_free(entry.extras);
        n->salvage.moved += has_moved;
    }
    return err == ERR_STALE ? ERR_OK : err;
}

static enum err inherit_all(struct node *n)
{
    struct salvage *s = &n->salvage;
    enum err err = ERR_OK;
    if (s->former_count == 0) {
        for (uint32_t i = 1; i < replicas_count(n->replicas) && err == ERR_OK; i++) {
            if (i != n->own) err = salvage_note_own(n, i);
        }
    }
    for (uint32_t i = s->aside.count; i-- > 0 && err == ERR_OK;) err = inherit_block(n, &s->aside.items[i]);
    if (err == ERR_OK) err = keyspace_drop_unclaimed(n->keyspace, s->former, s->former_count, &s->moved);
    return err == ERR_RANGE || err == ERR_TOO_LONG ? ERR_CORRUPT : err;
}

enum err salvage_finish(struct node *n)
{
    struct salvage *s = &n->salvage;
    if (!s->is_damaged) return ERR_OK;
    /* An id that was met before is nobody's to take. */
    if (replicas_find(n->replicas, &n->replica_offered) != REPLICA_NONE) return ERR_INVALID;
    const uint32_t before = n->own;
    enum err err = replicas_intern(n->replicas, &n->replica_offered, &n->own);
    if (err != ERR_OK) return err;
    keyspace_set_own(n->keyspace, n->own);
    err = inherit_all(n);
    incoming_release(&s->aside);
    if (err != ERR_OK) return err;
    if (before != REPLICA_NONE && s->own_is_whole && s->moved == 0) {
        n->own = before;
        keyspace_set_own(n->keyspace, before);
    }
    s->replica_before = before;
    n->identity_recovered = true;
    return ERR_OK;
}

void salvage_notice(struct node *n)
{
    const struct salvage *s = &n->salvage;
    if (!s->is_damaged) return;
    char before[33] = "lost", now[33];
    if (s->replica_before != REPLICA_NONE) id128_hex(replicas_id(n->replicas, s->replica_before), before);
    id128_hex(replicas_id(n->replicas, n->own), now);
    struct buffer text = { 0 };
    buffer_printf(&text, "%s; its replica was %s, now it is %s", s->where, before, now);
    buffer_u8(&text, 0);
    if (buffer_end(&text) == ERR_OK)
        node_notice(n, NOTICE_DAMAGED, n->name, s->holes, (const char *)text.ptr);
    else
        n->failed = true;
    buffer_release(&text);
    stats_add(n->stats, STAT_journal_holes, s->holes);
}
