/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/sweep.h"

#include "base/alloc.h"
#include "cluster/frame.h"
#include "count/block.h"
#include "count/replicas.h"

struct sweep {
    struct collector *collector;
    const struct replicas *replicas;
    uint32_t count;
    struct claimed {
        struct collector_want want;
        uint64_t nonce; /* of `to`, as it was when the sweep began */
    } claims[];
};

enum err sweep_new(struct keyspace *keyspace, const struct replicas *replicas, const struct collector_want *wants,
                   uint32_t count, struct sweep **ret_sweep)
{
    struct sweep *s = mem_alloc(sizeof *s + count * sizeof *s->claims);
    if (!s) return ERR_NOMEM;
    s->replicas = replicas;
    s->count = count;
    for (uint32_t i = 0; i < count; i++)
        s->claims[i] = (struct claimed){ wants[i], replicas_known(replicas, wants[i].replica)->nonce };
    enum err err = collector_new(keyspace, replicas, wants, count, FRAME_BODY_BYTES_GOAL, &s->collector);
    if (err != ERR_OK) {
        mem_free(s);
        return err;
    }
    *ret_sweep = s;
    return ERR_OK;
}

void sweep_free(struct sweep *s)
{
    if (!s) return;
    collector_free(s->collector);
    mem_free(s);
}

bool sweep_covers(const struct sweep *s, uint32_t replica)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->claims[i].want.replica == replica) return true;
    }
    return false;
}

static enum err sweep_claim(const struct sweep *s, const struct claimed *claimed, collector_sink *sink, void *context)
{
    const struct collector_want *want = &claimed->want;
    struct buffer out = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_SWEEP_END,
                               .replica = *replicas_id(s->replicas, want->replica),
                               .nonce = claimed->nonce,
                               .from = want->from };
    block_begin(&writer, &out, &head);
    block_end(&writer, want->to);
    enum err err = buffer_end(&out);
    if (err == ERR_OK) err = sink(context, want->replica, buffer_view(&out));
    buffer_release(&out);
    return err;
}

enum err sweep_step(struct sweep *s, uint32_t cells_max, collector_sink *sink, void *context, bool *ret_done)
{
    enum err err = collector_step(s->collector, cells_max, sink, context, ret_done);
    for (uint32_t i = 0; err == ERR_OK && *ret_done && i < s->count; i++)
        err = sweep_claim(s, &s->claims[i], sink, context);
    return err;
}
