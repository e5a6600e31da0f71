/* SPDX-License-Identifier: Apache-2.0 */
#include "count/reset.h"

#include "base/alloc.h"
#include "count/replicas.h"

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

/* Moving */

/* What the share adds by all that is known. foreign: not above its seq. */
static int128 lost_amount(const struct share *lost, struct base foreign)
{
    const struct extras *extras = lost->entry.extras;
    struct base base = extras ? extras->self_base : (struct base){ 0 };
    if (foreign.seq > 0 && foreign.seq >= base.seq) base = foreign;
    return base.seq == 0 ? lost->entry.net : lost->entry.net - base.net;
}

/* What own's bases are to be raised to, as shares; room for 1 and all bases of the lost entry. */
static uint32_t lost_observed(uint32_t own_replica, const struct share *lost, struct base foreign,
                              const struct share *shares, uint32_t count, struct share *observed)
{
    uint32_t found = 0;
    if (foreign.seq < lost->entry.seq)
        observed[found++] = (struct share){ lost->replica, { .seq = lost->entry.seq, .net = lost->entry.net } };
    const struct extras *extras = lost->entry.extras;
    for (uint32_t i = 0; extras && i < extras->bases.count; i++) {
        const struct replica_base *item = &extras->bases.items[i];
        struct base known = shares_foreign_base(shares, count, item->replica);
        if (item->replica == own_replica || item->base.seq <= known.seq) continue;
        observed[found++] = (struct share){ item->replica, { .seq = item->base.seq, .net = item->base.net } };
    }
    return found;
}

static bool is_due_later(const struct replicas *replicas, const struct extras *lost, const struct share *shares,
                         uint32_t count)
{
    if (!lost || lost->due.set.time == 0) return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct extras *extras = shares[i].entry.extras;
        if (extras && extras->due.set.time > 0 && !stamp_is_later(replicas, lost->due.set, extras->due.set))
            return false;
    }
    return true;
}

static bool is_assigned_later(const struct replicas *replicas, const struct extras *lost, const struct share *shares,
                              uint32_t count)
{
    return lost && lost->assigned.stamp.time > 0 &&
           stamp_is_later(replicas, lost->assigned.stamp, shares_assigned(replicas, shares, count).stamp);
}

/* Without what it says of own_replica itself. */
static enum err take_due(struct extras *extras, uint32_t own_replica, const struct extras *lost)
{
    struct base_list later = { 0 };
    enum err err = base_list_copy(&lost->later, &later);
    if (err != ERR_OK) return err;
    struct replica_base *own = base_list_find(&later, own_replica);
    if (own) {
        size_t behind = (size_t)(later.items + --later.count - own);
        memmove(own, own + 1, behind * sizeof *own);
    }
    mem_free(extras->later.items);
    extras->later = later;
    extras->due = lost->due;
    extras->fresh = lost->fresh;
    return ERR_OK;
}

/* The extras that own is to have: with the bases of `observed`, and what else is news. */
static enum err inherit_extras(const struct entry *own, uint32_t own_replica, const struct extras *lost, bool assigns,
                               bool ends, const struct share *observed, uint32_t found, struct extras **ret_extras)
{
    struct extras *extras = NULL;
    enum err err = extras_begin(own, &extras);
    if (err == ERR_OK) err = bases_observe(&extras->bases, observed, found);
    if (err == ERR_OK && ends) err = take_due(extras, own_replica, lost);
    if (err != ERR_OK) {
        extras_free(extras);
        return err;
    }
    if (assigns) extras->assigned = lost->assigned;
    *ret_extras = extras;
    return ERR_OK;
}

enum err entry_inherit(struct entry *own, uint32_t own_replica, const struct replicas *replicas,
                       const struct share *lost, const struct share *shares, uint32_t count, bool *ret_changed)
{
    const struct extras *from = lost->entry.extras;
    REQUIRE(lost->replica != own_replica);
    struct base foreign = shares_foreign_base(shares, count, lost->replica);
    int128 net = own->net + (foreign.seq < lost->entry.seq ? lost_amount(lost, foreign) : 0);
    if (net > NET_MAX || net < -NET_MAX) return ERR_RANGE;
    struct share *observed = mem_alloc((1 + (from ? (size_t)from->bases.count : 0)) * sizeof *observed);
    if (!observed) return ERR_NOMEM;
    uint32_t found = lost_observed(own_replica, lost, foreign, shares, count, observed);
    const bool assigns = is_assigned_later(replicas, from, shares, count);
    const bool ends = is_due_later(replicas, from, shares, count);
    const bool is_news = found > 0 || assigns || ends;
    struct extras *extras = NULL;
    enum err err = ERR_OK;
    if (is_news) err = inherit_extras(own, own_replica, from, assigns, ends, observed, found, &extras);
    mem_free(observed);
    if (err != ERR_OK) return err;
    if (is_news) extras_finish(own, own->seq, extras);
    own->net = net;
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
