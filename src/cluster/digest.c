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
        d->claims[replica].gone = false;
    }
    d->heard_whole = true;
    return ERR_OK;
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
        const struct known *known = replicas_known(replicas, i);
        struct claim *claim = &d->claims[i];
        const struct trail *trail = replicas_trail(replicas, i);
        /* Nothing is known of a boot that has not written. */
        uint64_t firm = trail->firm < known->known ? trail->firm : known->known;
        uint64_t pledged = trail->pledged < known->known ? trail->pledged : known->known;
        bool is_told = known->known == claim->told_known && known->durable == claim->told_durable;
        if (is_told && firm == claim->told_firm && pledged == claim->told_pledged) continue;
        struct digest_item item = { *replicas_id(replicas, i), known->known, known->durable, known->nonce, firm, pledged };
        digest_put(out, &item);
        claim->told_known = known->known;
        claim->told_durable = known->durable;
        claim->told_firm = firm;
        claim->told_pledged = pledged;
        count++;
    }
    d->told_whole = true;
    *ret_count = count;
    return buffer_end(out);
}
