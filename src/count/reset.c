/* SPDX-License-Identifier: Apache-2.0 */
#include "count/reset.h"

#include "base/alloc.h"

enum err entry_add(struct entry *own, uint64_t seq_open, int64_t delta)
{
    REQUIRE(seq_open >= own->seq);
    int128 net = own->net + delta;
    if (net > NET_MAX || net < -NET_MAX) return ERR_RANGE;
    own->net = net;
    own->seq = seq_open;
    if (own->extras) {
        own->extras->add_seq = seq_open;
        own->extras->after = own->extras->self_base.seq > 0;
    }
    return ERR_OK;
}

/* The extras that own is about to have, as a copy of its own: a change can fail until the last moment. */
static enum err extras_begin(const struct entry *own, struct extras **ret_extras)
{
    if (own->extras) return extras_copy(own->extras, ret_extras);
    struct extras *extras = mem_alloc_zero(1, sizeof *extras);
    if (!extras) return ERR_NOMEM;
    extras->add_seq = own->seq;
    *ret_extras = extras;
    return ERR_OK;
}

static void extras_finish(struct entry *own, uint64_t seq_open, struct extras *extras)
{
    extras_free(own->extras);
    own->extras = extras;
    own->seq = seq_open;
}

/* Raises the bases to what others hold now, keeping those for shares that are not among them. */
static enum err bases_observe(struct base_list *bases, const struct share *others, uint32_t count)
{
    if (count == 0) return ERR_OK;
    struct replica_base *items = mem_resize(bases->items, ((size_t)bases->count + count) * sizeof *items);
    if (!items) return ERR_NOMEM;
    bases->items = items;
    const struct base_list before = *bases;
    for (uint32_t i = 0; i < count; i++) {
        struct base seen = { others[i].entry.seq, others[i].entry.net };
        struct replica_base *present = base_list_find(&before, others[i].replica);
        if (present) {
            if (seen.seq > present->base.seq) present->base = seen;
        } else if (seen.seq > 0) {
            items[bases->count++] = (struct replica_base){ others[i].replica, seen };
        }
    }
    base_list_sort(bases);
    return ERR_OK;
}

enum err entry_observe_reset(struct entry *own, uint64_t seq_open, const struct share *others, uint32_t count,
                             const struct assignment *assigned)
{
    REQUIRE(seq_open >= own->seq);
    struct extras *extras = NULL;
    enum err err = extras_begin(own, &extras);
    if (err == ERR_OK) err = bases_observe(&extras->bases, others, count);
    if (err != ERR_OK) {
        extras_free(extras);
        return err;
    }
    mem_free(extras->later.items);
    extras->later = (struct base_list){ 0 };
    extras->self_base = (struct base){ seq_open, own->net };
    extras->after = false;
    extras->assigned = *assigned;
    extras_finish(own, seq_open, extras);
    return ERR_OK;
}

/* True if own's self base says all that base would say in its place. */
static bool covers(const struct entry *own, struct base base)
{
    if (!own->extras || own->extras->self_base.seq < base.seq) return false;
    if (own->extras->self_base.seq > base.seq) return true;
    return own->extras->self_base.net == base.net && own->extras->after == (own->extras->add_seq > base.seq);
}

enum err entry_take_over(struct entry *own, uint64_t seq_open, uint32_t own_replica, const struct share *others,
                         uint32_t count, bool *ret_changed)
{
    REQUIRE(seq_open >= own->seq);
    struct base base = shares_foreign_base(others, count, own_replica);
    /* Nobody can have seen seq_open or more of this owner. */
    bool is_news = base.seq > 0 && base.seq < seq_open && !covers(own, base);
    if (is_news) {
        struct extras *extras = NULL;
        enum err err = extras_begin(own, &extras);
        if (err != ERR_OK) return err;
        extras->self_base = base;
        extras->after = extras->add_seq > base.seq;
        extras_finish(own, seq_open, extras);
    }
    *ret_changed = is_news;
    return ERR_OK;
}

void entry_seal(struct entry *own, uint64_t seq_open, uint64_t seq)
{
    REQUIRE(own->seq == seq_open);
    REQUIRE(seq >= seq_open);
    own->seq = seq;
    if (!own->extras) return;
    if (own->extras->add_seq == seq_open) own->extras->add_seq = seq;
    if (own->extras->self_base.seq == seq_open) own->extras->self_base.seq = seq;
}
