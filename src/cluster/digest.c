/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/digest.h"

#include "base/alloc.h"
#include "cluster/message.h"

void digest_release(struct digest *d)
{
    mem_free(d->claims);
    *d = (struct digest){ 0 };
}

struct claim digest_claim(const struct digest *d, uint32_t replica)
{
    return replica < d->count ? d->claims[replica] : (struct claim){ 0 };
}

static enum err digest_cover(struct digest *d, uint32_t count)
{
    if (count <= d->count) return ERR_OK;
    if (count < 2 * d->count) count = 2 * d->count;
    struct claim *claims = mem_resize(d->claims, count * sizeof *claims);
    if (!claims) return ERR_NOMEM;
    memset(claims + d->count, 0, (count - d->count) * sizeof *claims);
    d->claims = claims;
    d->count = count;
    return ERR_OK;
}

/* A whole digest stands for itself: what it does not name is not known. */
static void digest_unclaim(struct digest *d)
{
    for (uint32_t i = 0; i < d->count; i++) d->claims[i].known = d->claims[i].durable = 0;
}

enum err digest_take(struct digest *d, struct replicas *replicas, struct bytes body)
{
    bool whole;
    struct reader items;
    struct digest_item item;
    enum err err = digest_read(body, &whole, &items);
    if (err != ERR_OK) return err;
    if (!whole && !d->heard_whole) return ERR_CORRUPT;
    if (whole) digest_unclaim(d);
    while (digest_next(&items, &item)) {
        uint32_t replica;
        if (item.durable > item.known) return ERR_CORRUPT;
        err = replicas_intern(replicas, &item.replica, &replica);
        if (err == ERR_OK) err = digest_cover(d, replica + 1);
        if (err != ERR_OK) return err == ERR_INVALID ? ERR_CORRUPT : err;
        d->claims[replica].known = item.known;
        d->claims[replica].durable = item.durable;
        d->claims[replica].nonce = item.nonce;
        d->claims[replica].print = item.print;
        d->claims[replica].gone = false;
    }
    d->heard_whole = true;
    return ERR_OK;
}

struct digest_item digest_item_of(const struct replicas *replicas, uint32_t replica)
{
    const struct known *known = replicas_known(replicas, replica);
    const struct trail *trail = replicas_trail(replicas, replica);
    return (struct digest_item){
        .replica = *replicas_id(replicas, replica),
        .known = known->known,
        .durable = known->durable,
        .nonce = known->nonce,
        /* Nothing is known of a boot that has not written. */
        .firm = trail->firm < known->known ? trail->firm : known->known,
        .pledged = trail->pledged < known->known ? trail->pledged : known->known,
        .print = known->print,
    };
}

static bool is_told(const struct claim *claim, const struct digest_item *item)
{
    return item->known == claim->told_known && item->durable == claim->told_durable &&
           item->firm == claim->told_firm && item->pledged == claim->told_pledged && item->print == claim->told_print;
}

static void note_told(struct claim *claim, const struct digest_item *item)
{
    claim->told_known = item->known;
    claim->told_durable = item->durable;
    claim->told_firm = item->firm;
    claim->told_pledged = item->pledged;
    claim->told_print = item->print;
}

enum err digest_tell(struct digest *d, const struct replicas *replicas, uint32_t only, struct buffer *out,
                     uint32_t *ret_count)
{
    uint32_t count = 0, replicas_end = replicas_count(replicas);
    enum err err = digest_cover(d, replicas_end);
    if (err != ERR_OK) return err;
    digest_begin(out, !d->told_whole);
    uint32_t first = only == REPLICA_NONE ? 1 : only;
    uint32_t last = only == REPLICA_NONE ? replicas_end : only + 1;
    REQUIRE(d->told_whole || only == REPLICA_NONE);
    for (uint32_t i = first; i < last; i++) {
        struct digest_item item = digest_item_of(replicas, i);
        if (is_told(&d->claims[i], &item)) continue;
        digest_put(out, &item);
        note_told(&d->claims[i], &item);
        count++;
    }
    d->told_whole = true;
    *ret_count = count;
    return buffer_end(out);
}
