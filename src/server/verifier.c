/* SPDX-License-Identifier: Apache-2.0 */
#include "server/verifier.h"

#include "base/alloc.h"
#include "server/service.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CELLS_PER_SLICE 4096

struct verifier {
    uv_work_t work;
    struct server *server;
    verify_done *done;
    void *context;
    bool is_cancelled, is_complete;
    struct walk walk;
    struct verify_result result;
};

static void visit_counter(void *context, const struct visit *visit)
{
    struct verifier *v = context;
    if (!visit->exists) return;
    uint8_t text[2 + NAME_BYTES_MAX + 8];
    struct bytes name = visit->name;
    uint64_t value = (uint64_t)visit->value;
    text[0] = (uint8_t)name.len;
    text[1] = (uint8_t)(name.len >> 8);
    memcpy(text + 2, name.ptr, name.len);
    for (size_t i = 0; i < 8; i++) text[2 + name.len + i] = (uint8_t)(value >> (8 * i));
    XXH128_hash_t hash = XXH3_128bits(text, 2 + name.len + 8);
    v->result.digest[0] += hash.low64;
    v->result.digest[1] += hash.high64;
    v->result.counters++;
}

/* In the pool. The loop does not touch v meanwhile. */
static void walk_slice(uv_work_t *work)
{
    struct verifier *v = work->data;
    v->is_complete = !keyspace_walk(v->server->keyspace, &v->walk, CELLS_PER_SLICE, visit_counter, v);
    if (v->is_complete) replica_refresh_view(v->server->replica);
}

static void after_slice(uv_work_t *work, int status)
{
    struct verifier *v = work->data;
    REQUIRE(status == 0); /* nobody calls uv_cancel on it */
    if (!v->is_cancelled && !v->is_complete) {
        REQUIRE(uv_queue_work(work->loop, work, walk_slice, after_slice) == 0);
        return;
    }
    if (!v->is_cancelled) v->done(v->context, &v->result);
    mem_free(v);
}

enum err verifier_start(uv_loop_t *loop, struct server *server, verify_done *done, void *context,
                        struct verifier **ret_verifier)
{
    struct verifier *v = mem_alloc_zero(1, sizeof *v);
    if (!v) return ERR_NOMEM;
    v->server = server;
    v->done = done;
    v->context = context;
    v->work.data = v;
    if (uv_queue_work(loop, &v->work, walk_slice, after_slice) != 0) {
        mem_free(v);
        return ERR_NOMEM;
    }
    *ret_verifier = v;
    return ERR_OK;
}

void verifier_cancel(struct verifier *v)
{
    v->is_cancelled = true;
}
