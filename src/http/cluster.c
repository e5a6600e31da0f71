/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster as this node sees it, the check that all nodes agree, and health. */
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

/* Verify */

static void verify_arrived(void *context, const struct verify_result *result)
{
    struct verify_wait *wait = context;
    wait->result = *result;
    wait->ready = true;
    wait->handle = NULL;
    if (wait->wake) wait->wake(wait->context);
}

void verify_get(struct exchange *x)
{
    struct verify_wait *wait = x->verify;
    wait->ready = false;
    void *handle = x->service->ops->verify(x->service->worker, verify_arrived, wait);
    if (!handle) {
        answer_fail(x->answer, FAULT_MEMORY, NULL);
        return;
    }
    wait->handle = wait->ready ? NULL : handle;
    x->waits = true;
}

void verify_finish(struct exchange *x)
{
    const struct verify_result *result = &x->verify->result;
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
    x->verify->ready = false;
}

void verify_cancel(const struct service *service, struct verify_wait *wait)
{
    if (wait->handle) service->ops->verify_cancel(wait->handle);
    wait->handle = NULL;
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
