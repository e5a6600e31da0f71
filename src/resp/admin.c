/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about the node: its settings, its cluster, its clock. INFO is in info.c. */
#include "node/view.h"
#include "resp/glob.h"
#include "resp/handler.h"

#include <inttypes.h>
#include <stdio.h>

void server_time(struct resp_session *s, const struct request *q)
{
    (void)q;
    uint64_t now_us = s->service->ops->wall_us(s->service->server);
    reply_array(&s->reply, 2);
    reply_bulk_integer(&s->reply, (int64_t)(now_us / 1000000));
    reply_bulk_integer(&s->reply, (int64_t)(now_us % 1000000));
}

void server_dbsize(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_integer(&s->reply, (int64_t)keyspace_count(s->keyspace));
}

/* --- CONFIG --- */

struct setting {
    const char *name;
    const char *text;                                    /* what never changes, or */
    const char *(*choose)(const struct service_info *i); /* a text, or */
    uint64_t (*number)(const struct service_info *i);
};

static const char *choose_appendonly(const struct service_info *i)
{
    return i->data_dir_none ? "no" : "yes";
}

/* `async` syncs within 10 ms, which is nearest to Redis's everysec. */
static const char *choose_appendfsync(const struct service_info *i)
{
    return i->durability_sync ? "always" : "everysec";
}

static uint64_t number_port(const struct service_info *i)
{
    return i->port;
}

static uint64_t number_workers(const struct service_info *i)
{
    return i->workers;
}

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number
_Static_assert(ARGUMENT_BYTES_MAX == 1048576, "proto-max-bulk-len below says so");

static const struct setting settings[] = {
    { .name = "appendfsync", .choose = choose_appendfsync },
    { .name = "appendonly", .choose = choose_appendonly },
    { .name = "cluster-enabled", .text = "no" },
    { .name = "databases", .text = "1" },
    { .name = "io-threads", .number = number_workers },
    { .name = "maxclients", .text = TEXT(CLIENTS_MAX) },
    { .name = "maxmemory", .text = "0" },
    { .name = "maxmemory-policy", .text = "noeviction" },
    { .name = "notify-keyspace-events", .text = "" },
    { .name = "port", .number = number_port },
    { .name = "proto-max-bulk-len", .text = "1048576" },
    { .name = "save", .text = "" },
    { .name = "timeout", .text = "0" },
};
#define SETTINGS_COUNT (sizeof settings / sizeof settings[0])

static void put_setting(struct reply *r, const struct setting *setting, const struct service_info *info)
{
    reply_bulk_text(r, setting->name);
    if (setting->number) {
        reply_bulk_integer(r, (int64_t)setting->number(info));
    } else {
        reply_bulk_text(r, setting->choose ? setting->choose(info) : setting->text);
    }
}

static bool any_matches(const struct request *q, const char *name)
{
    for (uint32_t i = 2; i < q->argc; i++) {
        if (glob_match(request_arg(q, i), bytes_of_text(name))) return true;
    }
    return false;
}

void config_get(struct resp_session *s, const struct request *q)
{
    bool shown[SETTINGS_COUNT];
    uint64_t count = 0;
    for (size_t i = 0; i < SETTINGS_COUNT; i++) count += shown[i] = any_matches(q, settings[i].name);
    struct service_info info = { 0 };
    s->service->ops->info(s->service->server, &info);
    reply_map(&s->reply, count);
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (shown[i]) put_setting(&s->reply, &settings[i], &info);
    }
}

static bool setting_is_known(struct bytes name)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (arg_is(name, settings[i].name)) return true;
    }
    return false;
}

/* Nothing can be set while the process runs; the answer says whether that is so or the name is wrong. */
void config_set(struct resp_session *s, const struct request *q)
{
    if (q->argc % 2 != 0) {
        reply_error(&s->reply, "ERR wrong number of arguments for 'config|set' command");
        return;
    }
    for (uint32_t i = 2; i < q->argc; i += 2) {
        struct bytes name = request_arg(q, i);
        if (setting_is_known(name)) continue;
        reply_errorf(&s->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                     reply_shown(name, 128), (const char *)name.ptr);
        return;
    }
    struct bytes first = request_arg(q, 2);
    reply_errorf(&s->reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - can't set immutable config",
                 reply_shown(first, 128), (const char *)first.ptr);
}

void config_resetstat(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_error(&s->reply, "ERR CONFIG RESETSTAT is not supported: statistics count from the start of the process");
}

void config_rewrite(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_error(&s->reply, "ERR The server is running without a config file");
}

/* --- The cluster --- */

static bool member_is_peer(const struct view_member *m)
{
    return m->heard && !m->is_self;
}

static void put_peers(struct reply *r, const struct view *view)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < view->members_count; i++) count += member_is_peer(&view->members[i]);
    reply_array(r, count);
    for (uint32_t i = 0; i < view->members_count; i++) {
        if (member_is_peer(&view->members[i])) reply_bulk_text(r, view->members[i].node);
    }
}

void quipu_peers(struct resp_session *s, const struct request *q)
{
    (void)q;
    const struct view *view = s->service->ops->view(s->service->server);
    put_peers(&s->reply, view);
    view_drop(view);
}

void quipu_join(struct resp_session *s, const struct request *q)
{
    struct bytes address = request_arg(q, 1);
    enum err err = s->service->ops->join(s->service->server, address);
    if (err == ERR_OK) {
        quipu_peers(s, q);
    } else if (err == ERR_INVALID) {
        reply_errorf(&s->reply, "ERR '%.*s' is not an address, host:port is expected", reply_shown(address, 128),
                     (const char *)address.ptr);
    } else {
        reply_errorf(&s->reply, "ERR %s", err_text(err));
    }
}

static void order_arrived(void *context, enum order_result result)
{
    struct resp_session *s = context;
    s->pause.result = result;
    s->pause.ready = true;
    s->pause.handle = NULL;
    if (!s->is_fed && s->pause.wake) s->pause.wake(s->pause.context);
}

static void order_give(struct resp_session *s, enum order_kind kind, struct bytes name)
{
    const struct service *service = s->service;
    s->pause.ready = s->pause.is_silent = false;
    void *handle = service->ops->order(service->worker, kind, name, order_arrived, s);
    if (!handle) {
        reply_errorf(&s->reply, "ERR %s", err_text(ERR_NOMEM));
        return;
    }
    if (!s->pause.ready) s->pause.handle = handle;
    s->pause.waits = true;
}

void quipu_forget(struct resp_session *s, const struct request *q)
{
    order_give(s, ORDER_FORGET, request_arg(q, 1));
}

void quipu_leave(struct resp_session *s, const struct request *q)
{
    (void)q;
    order_give(s, ORDER_LEAVE, bytes_of(NULL, 0));
}

void quipu_put_result(struct resp_session *s)
{
    if (s->pause.result == ORDER_RESULT_DONE)
        reply_ok(&s->reply);
    else
        reply_errorf(&s->reply, "ERR %s", order_result_text(s->pause.result));
}

static void put_text(struct reply *r, const char *name, const char *value)
{
    reply_bulk_text(r, name);
    reply_bulk_text(r, value);
}

static void put_id(struct reply *r, const char *name, const struct id128 *id)
{
    char hex[33];
    id128_hex(id, hex);
    put_text(r, name, hex);
}

static void put_number(struct reply *r, const char *name, uint64_t value)
{
    reply_bulk_text(r, name);
    reply_integer(r, (int64_t)value);
}

/* Milliseconds with their fraction: a double in version 3, else a text. */
static void put_ms(struct reply *r, const char *name, uint64_t us)
{
    char text[40];
    snprintf(text, sizeof text, "%" PRIu64 ".%03" PRIu64, us / 1000, us % 1000);
    reply_bulk_text(r, name);
    if (r->version < 3) {
        reply_bulk_text(r, text);
        return;
    }
    reply_literal(r, ",");
    buffer_text(r->out, text);
    reply_literal(r, "\r\n");
}

static void put_member(struct reply *r, const struct view_member *m)
{
    reply_map(r, 7);
    put_text(r, "node", m->node);
    put_text(r, "state", member_state_text(m->state));
    put_text(r, "address", m->address);
    put_ms(r, "rtt_ms", m->rtt_us);
    put_number(r, "last_heard_ms", m->last_heard_ms);
    put_number(r, "lag_entries", m->lag_entries);
    put_number(r, "lag_ms", m->lag_ms);
}

void quipu_cluster(struct resp_session *s, const struct request *q)
{
    (void)q;
    const struct view *view = s->service->ops->view(s->service->server);
    struct reply *r = &s->reply;
    reply_map(r, 4);
    put_text(r, "node", view->node);
    put_id(r, "replica", &view->replica);
    put_text(r, "cluster", view->cluster);
    reply_bulk_text(r, "members");
    reply_array(r, view->members_count);
    for (uint32_t i = 0; i < view->members_count; i++) put_member(r, &view->members[i]);
    view_drop(view);
}
