/* SPDX-License-Identifier: Apache-2.0 */
#include "server/verifier.h"

#include "base/alloc.h"
#include "server/service.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CELLS_PER_SLICE 4096

/* In one of its verifier's two lists. */
struct verify_request {
    struct verify_request *next, **pointer_to_this;
    verify_done *done;
    void *context;
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

/* In the pool. */
static void walk_slice(uv_work_t *work)
{
    struct verifier *v = work->data;
    v->is_complete = !keyspace_walk(v->server->keyspace, &v->walk, CELLS_PER_SLICE, visit_counter, v);
    if (v->is_complete) replica_refresh_view(v->server->replica);
}

/* Requests */

static void request_unlink(struct verify_request *r)
{
    *r->pointer_to_this = r->next;
    if (r->next) r->next->pointer_to_this = r->pointer_to_this;
}

static void serve_those_who_wait(struct verifier *v)
{
    REQUIRE(!v->served);
    v->served = v->waiting;
    v->waiting = NULL;
    if (v->served) v->served->pointer_to_this = &v->served;
}

/* What they do then may ask anew, or cancel another. */
static void answer_all(struct verifier *v)
{
    while (v->served) {
        struct verify_request *r = v->served;
        request_unlink(r);
        r->done(r->context, &v->result);
        mem_free(r);
    }
}

/* The walk */

static void after_slice(uv_work_t *work, int status);

static void queue_slice(struct verifier *v)
{
    REQUIRE(uv_queue_work(v->loop, &v->work, walk_slice, after_slice) == 0); /* it refuses only work without a call */
}

/* For those who wait. */
static void begin_walk(struct verifier *v)
{
    serve_those_who_wait(v);
    v->is_walking = v->served != NULL;
    v->walk = (struct walk){ 0 };
    v->result = (struct verify_result){ 0 };
    v->is_complete = false;
    if (v->is_walking) queue_slice(v);
}

static void after_slice(uv_work_t *work, int status)
{
    struct verifier *v = work->data;
    REQUIRE(status == 0); /* nobody calls uv_cancel on it */
    if (v->served && !v->is_complete) {
        queue_slice(v);
    } else {
        answer_all(v);
        begin_walk(v);
    }
}

/* From the worker */

void verifier_init(struct verifier *v, uv_loop_t *loop, struct server *server)
{
    *v = (struct verifier){ .loop = loop, .server = server };
    v->work.data = v;
}

void verifier_release(struct verifier *v)
{
    REQUIRE(!v->is_walking && !v->waiting && !v->served);
}

enum err verifier_ask(struct verifier *v, verify_done *done, void *context, struct verify_request **ret_request)
{
    struct verify_request *r = mem_alloc_zero(1, sizeof *r);
    if (!r) return ERR_NOMEM;
    *r = (struct verify_request){ v->waiting, &v->waiting, done, context };
    if (r->next) r->next->pointer_to_this = &r->next;
    v->waiting = r;
    *ret_request = r;
    if (!v->is_walking) begin_walk(v);
    return ERR_OK;
}

void verifier_cancel(struct verify_request *request)
{
    request_unlink(request);
    mem_free(request);
}
