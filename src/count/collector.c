/* SPDX-License-Identifier: Apache-2.0 */
/* A visit happens under a shard's lock, where the sink must not be called: entries go into an open block per replica,
 * and a block that is full is set aside until the slice of the walk is over. */
#include "count/collector.h"

#include "base/alloc.h"
#include "count/block.h"
#include "count/replicas.h"

struct slot {
    struct buffer block;
    struct block_writer writer;
    uint64_t seq_max;
    bool is_open;
};

struct full_block {
    uint32_t replica;
    struct buffer bytes;
};

struct collector {
    struct keyspace *keyspace;
    const struct replicas *replicas;
    uint32_t block_bytes;
    bool has_failed; /* no memory, during a visit */
    bool is_done;
    struct walk walk;
    struct slot **slots; /* by replica; NULL: not met yet */
    uint32_t slots_count;
    struct full_block *full;
    uint32_t full_count, full_cap;
};

static enum err slots_grow(struct collector *c, uint32_t count)
{
    if (count <= c->slots_count) return ERR_OK;
    uint32_t grown_count = 2 * c->slots_count > count ? 2 * c->slots_count : count;
    struct slot **grown = mem_resize(c->slots, grown_count * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    for (uint32_t i = c->slots_count; i < grown_count; i++) grown[i] = NULL;
    c->slots = grown;
    c->slots_count = grown_count;
    return ERR_OK;
}

static enum err slot_for(struct collector *c, uint32_t replica, struct slot **ret_slot)
{
    enum err err = slots_grow(c, replica + 1);
    if (err != ERR_OK) return err;
    if (!c->slots[replica]) c->slots[replica] = mem_alloc_zero(1, sizeof **c->slots);
    if (!c->slots[replica]) return ERR_NOMEM;
    *ret_slot = c->slots[replica];
    return ERR_OK;
}

enum err collector_new(struct keyspace *keyspace, const struct replicas *replicas, uint32_t block_bytes,
                       struct collector **ret_collector)
{
    struct collector *c = mem_alloc_zero(1, sizeof *c);
    if (!c) return ERR_NOMEM;
    c->keyspace = keyspace;
    c->replicas = replicas;
    c->block_bytes = block_bytes;
    *ret_collector = c;
    return ERR_OK;
}

void collector_free(struct collector *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->slots_count; i++) {
        if (c->slots[i]) buffer_release(&c->slots[i]->block);
        mem_free(c->slots[i]);
    }
    for (uint32_t i = 0; i < c->full_count; i++) buffer_release(&c->full[i].bytes);
    mem_free(c->slots);
    mem_free(c->full);
    mem_free(c);
}

/* Ends the replica's block and sets it aside. */
static enum err slot_set_aside(struct collector *c, uint32_t replica)
{
    struct slot *slot = c->slots[replica];
    block_end(&slot->writer, slot->seq_max);
    enum err err = buffer_end(&slot->block);
    if (err != ERR_OK) return err;
    if (c->full_count == c->full_cap) {
        uint32_t cap = c->full_cap > 0 ? 2 * c->full_cap : 8;
        struct full_block *grown = mem_resize(c->full, cap * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        c->full = grown;
        c->full_cap = cap;
    }
    c->full[c->full_count++] = (struct full_block){ replica, slot->block };
    slot->block = (struct buffer){ 0 };
    slot->is_open = false;
    return ERR_OK;
}

static void slot_begin(struct collector *c, struct slot *slot, uint32_t replica)
{
    struct block_head head = { .kind = BLOCK_SNAPSHOT, .replica = *replicas_id(c->replicas, replica) };
    block_begin(&slot->writer, &slot->block, &head);
    slot->seq_max = 0;
    slot->is_open = true;
}

static enum err collect(struct collector *c, const struct visit *visit, const struct share *share)
{
    struct entry older[BLOCK_OLDER_MAX];
    uint32_t older_count = visit_older(visit, share, older);
    struct slot *slot = NULL;
    enum err err = slot_for(c, share->replica, &slot);
    if (err != ERR_OK) return err;
    if (!slot->is_open) slot_begin(c, slot, share->replica);
    block_put_older(&slot->writer, c->replicas, visit->name, &share->entry, older, older_count);
    if (share->entry.seq > slot->seq_max) slot->seq_max = share->entry.seq;
    return slot->block.len >= c->block_bytes ? slot_set_aside(c, share->replica) : buffer_end(&slot->block);
}

static void visit_shares(void *context, const struct visit *visit)
{
    struct collector *c = context;
    for (uint32_t i = 0; i < visit->count && !c->has_failed; i++) {
        c->has_failed = collect(c, visit, &visit->shares[i]) != ERR_OK;
    }
}

static enum err hand_over(struct collector *c, collector_sink *sink, void *context)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < c->full_count; i++) {
        struct full_block *full = &c->full[i];
        if (err == ERR_OK) err = sink(context, full->replica, buffer_view(&full->bytes));
        buffer_release(&full->bytes);
    }
    c->full_count = 0;
    return err;
}

enum err collector_step(struct collector *c, uint32_t cells_max, collector_sink *sink, void *context, bool *ret_done)
{
    REQUIRE(!c->is_done && !c->has_failed);
    bool has_more = keyspace_walk(c->keyspace, &c->walk, cells_max, visit_shares, c);
    enum err err = c->has_failed ? ERR_NOMEM : ERR_OK;
    for (uint32_t i = 0; !has_more && err == ERR_OK && i < c->slots_count; i++) {
        if (c->slots[i] && c->slots[i]->is_open) err = slot_set_aside(c, i);
    }
    if (err == ERR_OK) err = hand_over(c, sink, context);
    if (err != ERR_OK) return err;
    c->is_done = !has_more;
    *ret_done = c->is_done;
    return ERR_OK;
}
