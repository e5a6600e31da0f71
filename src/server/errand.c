/* SPDX-License-Identifier: Apache-2.0 */
#include "server/errand.h"

#include "base/alloc.h"

#include <stdatomic.h>

struct errand {
    uv_async_t back;    /* sent once, by the replica thread, ... */
    atomic_uint result; /* ... after it has set this */
    /* The loop's thread only. */
    order_done *done;
    void *context;
    bool is_cancelled;
};

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void on_back(uv_async_t *async)
{
    struct errand *e = async->data;
    uv_close((uv_handle_t *)async, on_closed);
    enum order_result result = (enum order_result)atomic_load_explicit(&e->result, memory_order_acquire);
    if (!e->is_cancelled) e->done(e->context, result);
}

/* The replica thread. */
static void note_result(void *context, enum order_result result)
{
    struct errand *e = context;
    atomic_store_explicit(&e->result, (unsigned)result, memory_order_release);
    uv_async_send(&e->back);
}

enum err errand_start(uv_loop_t *loop, struct replica *replica, enum order_kind kind, struct bytes name,
                      order_done *done, void *context, struct errand **ret_errand)
{
    struct errand *e = mem_alloc_zero(1, sizeof *e);
    if (!e) return ERR_NOMEM;
    e->done = done;
    e->context = context;
    if (uv_async_init(loop, &e->back, on_back) != 0) {
        mem_free(e);
        return ERR_NOMEM;
    }
    e->back.data = e;
    if (replica_order(replica, kind, name, note_result, e) != ERR_OK) {
        uv_close((uv_handle_t *)&e->back, on_closed);
        return ERR_NOMEM;
    }
    *ret_errand = e;
    return ERR_OK;
}

void errand_cancel(struct errand *e)
{
    e->is_cancelled = true;
}
