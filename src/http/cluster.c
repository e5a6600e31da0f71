/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster as this node sees it and what a person changes of it, the check that all nodes agree, and health. */
#include "http/exchange.h"

#include <inttypes.h>

static void write_id(struct buffer *out, const struct id128 *id)
{
    char hex[33];
    id128_hex(id, hex);
    buffer_u8(out, '"');
    buffer_text(out, hex);
    buffer_u8(out, '"');
}

static void write_member(struct buffer *out, const struct view_member *member)
{
    buffer_text(out, "{\"node\":");
    json_write_text(out, bytes_of_text(member->node));
    buffer_text(out, ",\"state\":");
    json_write_text(out, bytes_of_text(member_state_text(member->state)));
    buffer_text(out, ",\"address\":");
    json_write_text(out, bytes_of_text(member->address));
    buffer_printf(out, ",\"rtt_ms\":%" PRIu64 ".%03" PRIu64, member->rtt_us / 1000, member->rtt_us % 1000);
    buffer_printf(out, ",\"last_heard_ms\":%" PRIu64, member->last_heard_ms);
    buffer_printf(out, ",\"lag_entries\":%" PRIu64 ",\"lag_ms\":%" PRIu64 "}", member->lag_entries, member->lag_ms);
}

void cluster_get(struct exchange *x)
{
    struct buffer *body = &x->answer->body;
    const struct view *view = x->service->ops->view(x->service->server);
    buffer_text(body, "{\"node\":");
    json_write_text(body, bytes_of_text(view->node));
    buffer_text(body, ",\"replica\":");
    write_id(body, &view->replica);
    buffer_text(body, ",\"cluster\":");
    json_write_text(body, bytes_of_text(view->cluster));
    buffer_text(body, ",\"members\":[");
    for (uint32_t i = 0; i < view->members_count; i++) {
        if (i > 0) buffer_u8(body, ',');
        write_member(body, &view->members[i]);
    }
    buffer_text(body, "]}");
    view_drop(view);
}

/* Forget and leave */

static void order_arrived(void *context, enum order_result result)
{
    struct wait *wait = context;
    wait->order = result;
    wait_over(wait);
}

static enum fault fault_of_order(enum order_result result)
{
    switch (result) {
    case ORDER_RESULT_UNKNOWN:
        return FAULT_NOT_FOUND;
    case ORDER_RESULT_STOPPING:
        return FAULT_CLOSING;
    case ORDER_RESULT_FULL:
        return FAULT_DISK_FULL;
    default:
        return FAULT_CONFLICT;
    }
}

static void order_finish(struct exchange *x)
{
    enum order_result result = x->wait->order;
    if (result == ORDER_RESULT_DONE)
        x->answer->status = 204;
    else
        answer_fail(x->answer, fault_of_order(result), order_result_text(result));
}

static void order_give(struct exchange *x, enum order_kind kind, struct bytes name)
{
    const struct service_ops *ops = x->service->ops;
    x->wait->ready = false;
    exchange_wait(x, ops->order(x->service->worker, kind, name, order_arrived, x->wait), ops->order_cancel,
                  order_finish);
}

void cluster_forget(struct exchange *x)
{
    struct name node;
    if (exchange_decode(x, x->segment, false, &node)) order_give(x, ORDER_FORGET, bytes_of(node.ptr, node.len));
}

void cluster_leave(struct exchange *x)
{
    if (x->request->body.len > 0)
        answer_fail(x->answer, FAULT_INVALID, "there is nothing to say in a body");
    else
        order_give(x, ORDER_LEAVE, bytes_of(NULL, 0));
}

/* Verify */

static void verify_arrived(void *context, const struct verify_result *result)
{
    struct wait *wait = context;
    wait->verify = *result;
    wait_over(wait);
}

static void verify_finish(struct exchange *x)
{
    const struct verify_result *result = &x->wait->verify;
    struct buffer *body = &x->answer->body;
    const struct view *view = x->service->ops->view(x->service->server);
    buffer_printf(body, "{\"digest\":\"%016" PRIx64 "%016" PRIx64 "\",\"counters\":%" PRIu64 ",\"vector\":{",
                  result->digest[0], result->digest[1], result->counters);
    for (uint32_t i = 0; i < view->replicas_count; i++) {
        if (i > 0) buffer_u8(body, ',');
        write_id(body, &view->replicas[i].id);
        buffer_printf(body, ":%" PRIu64, view->replicas[i].known);
    }
    buffer_text(body, "}}");
    view_drop(view);
}

void verify_get(struct exchange *x)
{
    const struct service_ops *ops = x->service->ops;
    x->wait->ready = false;
    exchange_wait(x, ops->verify(x->service->worker, verify_arrived, x->wait), ops->verify_cancel, verify_finish);
}

/* Health */

void live_get(struct exchange *x)
{
    x->answer->media = "text/plain; charset=utf-8";
    buffer_text(&x->answer->body, "ok\n"); /* that this loop turns is all that was asked */
}

void ready_get(struct exchange *x)
{
    const struct view *view = x->service->ops->view(x->service->server);
    enum err refused = keyspace_writes_refused(x->service->keyspace);
    const char *reason = "ok";
    if (!view->ready) reason = "not ready: recovering, or no peer met yet";
    if (refused != ERR_OK) reason = "not ready: writes are refused";
    if (view->stopping) reason = "not ready: shutting down";
    x->answer->status = view->ready && !view->stopping && refused == ERR_OK ? 200 : 503;
    x->answer->media = "text/plain; charset=utf-8";
    buffer_text(&x->answer->body, reason);
    buffer_u8(&x->answer->body, '\n');
    view_drop(view);
}
