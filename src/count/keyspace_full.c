/* SPDX-License-Identifier: Apache-2.0 */
#include "count/keyspace_full.h"

#include "base/alloc.h"
#include "count/reset.h"

struct full *full_new(uint32_t cap)
{
    struct full *f = mem_alloc(sizeof *f + cap * sizeof f->shares[0]);
    if (f) *f = (struct full){ .cap = cap, .own = FULL_OWN_UNKNOWN };
    return f;
}

void full_free(struct full *f)
{
    if (!f) return;
    for (uint32_t i = 0; i < f->count; i++) extras_free(f->shares[i].entry.extras);
    mem_free(f);
}

size_t full_bytes(const struct full *f)
{
    size_t bytes = sizeof *f + f->cap * sizeof f->shares[0];
    for (uint32_t i = 0; f->with_extras > 0 && i < f->count; i++) {
        const struct extras *extras = f->shares[i].entry.extras;
        if (!extras) continue;
        size_t bases = (size_t)extras->bases.count + extras->later.count;
        bytes += sizeof *extras + bases * sizeof extras->bases.items[0];
    }
    return bytes;
}

enum err full_reserve(struct full **f)
{
    struct full *old = *f;
    if (old->count < old->cap) return ERR_OK;
    uint32_t cap = old->cap < 4 ? old->cap + 1 : old->cap + old->cap / 2; /* three nodes are the common cluster */
    struct full *grown = mem_resize(old, sizeof *old + cap * sizeof old->shares[0]);
    if (!grown) return ERR_NOMEM;
    grown->cap = cap;
    *f = grown;
    return ERR_OK;
}

struct share *full_find(struct full *f, uint32_t replica)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->shares[i].replica == replica) return &f->shares[i];
    }
    return NULL;
}

/* A new last share; before one that is not durable yet, by invariant (1). */
static struct share *full_append(struct full *f, uint32_t replica)
{
    REQUIRE(f->count < f->cap);
    uint32_t at = full_count_durable(f);
    if (at < f->count) {
        f->shares[f->count] = f->shares[at];
        if (f->own == at) f->own = f->count;
    }
    f->count++;
    f->shares[at] = (struct share){ .replica = replica };
    return &f->shares[at];
}

uint32_t full_count_durable(const struct full *f)
{
    bool last_waits = f->count > 0 && f->shares[f->count - 1].entry.seq == 0;
    return f->count - last_waits;
}

static int128 full_sum(const struct full *f)
{
    int128 sum = 0;
    for (uint32_t i = 0; i < f->count; i++) sum += f->shares[i].entry.net;
    return sum;
}

/* Works out invariant (3) by (2). */
static void full_refresh(struct full *f, const struct replicas *replicas)
{
    bool is_plain = f->with_extras == 0;
    f->shown = is_plain ? full_sum(f) : shares_value(replicas, f->shares, f->count);
    if (f->pending) f->shown += f->net - f->shares[f->own].entry.net;
    f->exists = f->pending || (is_plain ? full_count_durable(f) > 0 : shares_exist(replicas, f->shares, f->count));
}

void full_join(struct full *f, const struct replicas *replicas, uint32_t replica, const struct entry *entry)
{
    struct share *share = full_find(f, replica);
    if (!share) share = full_append(f, replica);
    REQUIRE(entry->seq > share->entry.seq);
    if (share->entry.extras) f->with_extras--;
    if (entry->extras) f->with_extras++;
    extras_free(share->entry.extras);
    share->entry = *entry;
    full_refresh(f, replicas);
}

static void full_remove(struct full *f, struct share *share)
{
    uint32_t at = (uint32_t)(share - f->shares);
    memmove(share, share + 1, (f->count - at - 1) * sizeof *share);
    f->count--;
    if (f->own == at) f->own = FULL_OWN_UNKNOWN;
    if (f->own != FULL_OWN_UNKNOWN && f->own > at) f->own--;
}

enum err full_split(struct full **f, const struct replicas *replicas, uint32_t from, struct entry *before, uint32_t to,
                    struct entry *after)
{
    const struct share *there = full_find(*f, to);
    enum err err = there ? ERR_OK : full_reserve(f);
    if (err != ERR_OK) return err;
    struct share *share = full_find(*f, from);
    REQUIRE(share && (!(*f)->pending || (*f)->own != (uint32_t)(share - (*f)->shares)));
    if (share->entry.extras) (*f)->with_extras--;
    extras_free(share->entry.extras);
    share->entry = *before;
    if (before->extras) (*f)->with_extras++;
    before->extras = NULL;
    if (before->seq == 0) full_remove(*f, share);
    there = full_find(*f, to);
    if (!there || there->entry.seq < after->seq) {
        full_join(*f, replicas, to, after);
        after->extras = NULL;
    }
    full_refresh(*f, replicas);
    return ERR_OK;
}

enum err full_own(struct full **f, uint32_t own)
{
    if ((*f)->own != FULL_OWN_UNKNOWN) return ERR_OK;
    struct share *share = full_find(*f, own);
    if (!share) {
        enum err err = full_reserve(f);
        if (err) return err;
        share = full_append(*f, own);
    }
    (*f)->own = (uint32_t)(share - (*f)->shares);
    return ERR_OK;
}

static int128 full_net(const struct full *f)
{
    return f->pending ? f->net : f->shares[f->own].entry.net;
}

enum err full_add(struct full *f, int64_t delta)
{
    int128 net = full_net(f) + delta, shown = f->shown + delta;
    if (net > NET_MAX || net < -NET_MAX) return ERR_RANGE;
    /* Several nodes together can leave the range; steps back towards it are taken. */
    if ((shown > INT64_MAX && delta > 0) || (shown < INT64_MIN && delta < 0)) return ERR_RANGE;
    f->net = net;
    f->shown = shown;
    f->pending = f->exists = true;
    return ERR_OK;
}

struct entry full_take_out(struct full *f, const struct replicas *replicas, uint32_t replica)
{
    struct share *share = full_find(f, replica);
    REQUIRE(share && share->entry.seq > 0);
    const struct entry entry = share->entry;
    if (entry.extras) f->with_extras--;
    full_remove(f, share);
    full_refresh(f, replicas);
    return entry;
}

enum err full_inherit(struct full **f, uint32_t own, const struct replicas *replicas, const struct share *lost,
                      bool *ret_changed)
{
    const struct share *present = full_find(*f, own);
    REQUIRE(!present || present->entry.seq == 0);
    struct entry entry = present ? present->entry : (struct entry){ 0 };
    const bool had_extras = entry.extras != NULL;
    if ((*f)->pending) entry.net = (*f)->net;
    enum err err = present ? ERR_OK : full_reserve(f); /* before anything that cannot be undone */
    bool changed = false;
    if (err == ERR_OK) err = entry_inherit(&entry, own, replicas, lost, (*f)->shares, (*f)->count, &changed);
    if (err != ERR_OK) return err;
    *ret_changed = changed;
    if (!changed) return ERR_OK;
    err = full_own(f, own);
    REQUIRE(err == ERR_OK); /* there is room */
    (*f)->shares[(*f)->own].entry.extras = entry.extras;
    (*f)->with_extras += !had_extras;
    (*f)->net = entry.net;
    (*f)->pending = true;
    full_refresh(*f, replicas);
    return ERR_OK;
}

struct entry full_take(const struct full *f, uint64_t seq, struct extras *scratch)
{
    const struct extras *extras = f->shares[f->own].entry.extras;
    struct entry entry = { .seq = seq, .net = f->net };
    if (!extras) return entry;
    *scratch = *extras;
    scratch->add_seq = seq;
    scratch->after = scratch->self_base.seq > 0;
    entry.extras = scratch;
    return entry;
}

void full_publish(struct full *f, const struct replicas *replicas, uint64_t seq, int128 net, bool is_last)
{
    struct entry *own = &f->shares[f->own].entry;
    REQUIRE(seq > own->seq);
    REQUIRE(!is_last || f->net == net);
    own->seq = seq;
    own->net = net;
    f->pending = !is_last;
    if (own->extras) {
        own->extras->add_seq = seq;
        own->extras->after = own->extras->self_base.seq > 0;
    }
    if (f->with_extras > 0) full_refresh(f, replicas); /* a plain sum stays what it is */
}
