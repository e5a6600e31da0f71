/* SPDX-License-Identifier: Apache-2.0 */
#include "count/entry.h"

#include "base/alloc.h"
#include "count/replicas.h"

#include <stdlib.h>

/* Extras */

void extras_free(struct extras *extras)
{
    if (!extras) return;
    mem_free(extras->bases.items);
    mem_free(extras->later.items);
    mem_free(extras);
}

enum err base_list_copy(const struct base_list *list, struct base_list *ret_copy)
{
    struct replica_base *items = NULL;
    if (list->count > 0) {
        size_t bytes = list->count * sizeof *items;
        items = mem_alloc(bytes);
        if (!items) return ERR_NOMEM;
        memcpy(items, list->items, bytes);
    }
    *ret_copy = (struct base_list){ items, list->count };
    return ERR_OK;
}

enum err extras_copy(const struct extras *extras, struct extras **ret_copy)
{
    if (!extras) {
        *ret_copy = NULL;
        return ERR_OK;
    }
    struct extras *copy = mem_alloc(sizeof *copy);
    if (!copy) return ERR_NOMEM;
    *copy = *extras;
    copy->bases = copy->later = (struct base_list){ 0 };
    enum err err = base_list_copy(&extras->bases, &copy->bases);
    if (err == ERR_OK) err = base_list_copy(&extras->later, &copy->later);
    if (err != ERR_OK) {
        extras_free(copy);
        return err;
    }
    *ret_copy = copy;
    return ERR_OK;
}

static bool base_equal(struct base a, struct base b)
{
    return a.seq == b.seq && a.net == b.net;
}

static bool base_list_equal(const struct base_list *a, const struct base_list *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->items[i].replica != b->items[i].replica) return false;
        if (!base_equal(a->items[i].base, b->items[i].base)) return false;
    }
    return true;
}

static bool stamp_equal(struct stamp a, struct stamp b)
{
    return a.time == b.time && a.replica == b.replica;
}

static bool assignment_equal(const struct assignment *a, const struct assignment *b)
{
    if (a->stamp.time == 0 && b->stamp.time == 0) return true;
    if (!stamp_equal(a->stamp, b->stamp) || a->has_value != b->has_value) return false;
    return !a->has_value || a->value == b->value;
}

static bool deadline_equal(const struct extras *a, const struct extras *b)
{
    if (a->due.set.time == 0 && b->due.set.time == 0) return true;
    return stamp_equal(a->due.set, b->due.set) && a->due.at_ms == b->due.at_ms && a->fresh == b->fresh &&
           base_list_equal(&a->later, &b->later);
}

bool extras_equal(const struct extras *a, const struct extras *b)
{
    if (!a || !b) return a == b;
    if (a->add_seq != b->add_seq || a->self_base.seq != b->self_base.seq) return false;
    if (a->self_base.seq > 0 && (a->self_base.net != b->self_base.net || a->after != b->after)) return false;
    return assignment_equal(&a->assigned, &b->assigned) && deadline_equal(a, b) &&
           base_list_equal(&a->bases, &b->bases);
}

static int replica_base_compare(const void *a, const void *b)
{
    uint32_t x = ((const struct replica_base *)a)->replica, y = ((const struct replica_base *)b)->replica;
    return (x > y) - (x < y);
}

void base_list_sort(struct base_list *list)
{
    if (list->count > 1) qsort(list->items, list->count, sizeof *list->items, replica_base_compare);
}

struct replica_base *base_list_find(const struct base_list *list, uint32_t replica)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list->items[middle].replica == replica) return &list->items[middle];
        if (list->items[middle].replica < replica) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* Algebra */

bool stamp_is_later(const struct replicas *replicas, struct stamp a, struct stamp b)
{
    if (a.time != b.time) return a.time > b.time;
    if (a.replica == b.replica) return false;
    return memcmp(replicas_id(replicas, a.replica), replicas_id(replicas, b.replica), sizeof(struct id128)) > 0;
}

struct base shares_foreign_base(const struct share *shares, uint32_t count, uint32_t replica)
{
    struct base best = { 0 };
    for (uint32_t i = 0; i < count; i++) {
        const struct extras *extras = shares[i].entry.extras;
        if (!extras || shares[i].replica == replica) continue;
        const struct replica_base *item = base_list_find(&extras->bases, replica);
        if (item && item->base.seq > best.seq) best = item->base;
    }
    return best;
}

struct base shares_base(const struct share *shares, uint32_t count, uint32_t which, bool *ret_is_foreign)
{
    const struct extras *extras = shares[which].entry.extras;
    struct base self = extras ? extras->self_base : (struct base){ 0 };
    struct base foreign = shares_foreign_base(shares, count, shares[which].replica);
    *ret_is_foreign = foreign.seq > 0 && foreign.seq >= self.seq;
    return *ret_is_foreign ? foreign : self;
}

/* A base without a seq has seen nothing, whatever its net says. */
static int128 entry_part(const struct entry *entry, struct base base)
{
    if (base.seq > entry->seq) return 0;
    return base.seq == 0 ? entry->net : entry->net - base.net;
}

int128 shares_part(const struct share *shares, uint32_t count, uint32_t which)
{
    bool is_foreign;
    return entry_part(&shares[which].entry, shares_base(shares, count, which, &is_foreign));
}

struct assignment shares_assigned(const struct replicas *replicas, const struct share *shares, uint32_t count)
{
    struct assignment best = { 0 };
    for (uint32_t i = 0; i < count; i++) {
        const struct extras *extras = shares[i].entry.extras;
        if (!extras || extras->assigned.stamp.time == 0) continue;
        /* A deadline that has ended assigns "none" at the stamp of the SET that brought it. */
        bool ends_best = stamp_equal(extras->assigned.stamp, best.stamp) && !extras->assigned.has_value;
        if (ends_best || stamp_is_later(replicas, extras->assigned.stamp, best.stamp)) best = extras->assigned;
    }
    return best;
}

int128 shares_value(const struct replicas *replicas, const struct share *shares, uint32_t count)
{
    struct assignment assigned = shares_assigned(replicas, shares, count);
    int128 value = assigned.has_value ? assigned.value : 0;
    for (uint32_t i = 0; i < count; i++) value += shares_part(shares, count, i);
    return value;
}

static bool share_exists(const struct share *shares, uint32_t count, uint32_t which)
{
    const struct entry *entry = &shares[which].entry;
    bool is_foreign;
    struct base base = shares_base(shares, count, which, &is_foreign);
    if (base.seq > 0 && !is_foreign) return entry->extras->after;
    return (entry->extras ? entry->extras->add_seq : entry->seq) > base.seq;
}

bool shares_exist(const struct replicas *replicas, const struct share *shares, uint32_t count)
{
    if (shares_assigned(replicas, shares, count).has_value) return true;
    for (uint32_t i = 0; i < count; i++) {
        if (share_exists(shares, count, i)) return true;
    }
    return false;
}

int64_t value_shown(int128 value)
{
    if (value > INT64_MAX) return INT64_MAX;
    if (value < INT64_MIN) return INT64_MIN;
    return (int64_t)value;
}
