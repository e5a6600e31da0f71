/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a batch: up to 64 commands are parsed, the counters that they name are hashed and their memory is asked
 * for, then they are executed in order. While one command waits for nothing, the memory of the next ones arrives.
 *
 * The few commands whose reply comes from another thread end their batch: what follows is parsed again when that is
 * there. */
#include "resp/session.h"

#include "base/alloc.h"
#include "node/counters.h"
#include "resp/handler.h"

#include <stdio.h>

#define PIPELINE_COMMANDS_MAX 64u
#define FEED_BYTES_MAX (64u * 1024)      /* of input in a call; a command begun within is executed whole */
#define FEED_OUT_BYTES_MAX (256u * 1024) /* of replies in a call; small commands with large replies stop here */

struct pipeline {
    struct request requests[PIPELINE_COMMANDS_MAX];
    uint32_t first[PIPELINE_COMMANDS_MAX]; /* each request's first span; the spans may move while the batch is read */
    uint32_t count;
    size_t bytes; /* of input that is done with once the batch is */
    enum parsed end;
};

struct resp_session *resp_session_new(const struct service *service, const struct peer_info *peer)
{
    struct resp_session *s = mem_alloc_zero(1, sizeof *s);
    if (!s) return NULL;
    s->service = service;
    s->peer = peer;
    s->keyspace = service->keyspace;
    s->reply.version = 2;
    return s;
}

void resp_session_set_wake(struct resp_session *s, resp_wake *wake, void *context)
{
    s->pause.wake = wake;
    s->pause.context = context;
}

void resp_session_free(struct resp_session *s)
{
    if (!s) return;
    if (s->pause.handle) s->service->ops->order_cancel(s->pause.handle);
    parser_release(&s->parser);
    buffer_release(&s->introduction.name);
    buffer_release(&s->introduction.library);
    buffer_release(&s->introduction.library_version);
    mem_free(s);
}

bool arg_is(struct bytes arg, const char *word)
{
    size_t len = strlen(word);
    if (arg.len != len) return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = arg.ptr[i];
        if (c >= 'A' && c <= 'Z') c |= 0x20;
        if (c != (uint8_t)word[i]) return false;
    }
    return true;
}

void session_count(struct resp_session *s)
{
    struct stats *stats = s->service->stats;
    if (s->commands > 0) stats_add(stats, STAT_resp_commands, s->commands);
    if (s->increments > 0) stats_add(stats, STAT_increments, s->increments);
    if (s->reads > 0) stats_add(stats, STAT_reads, s->reads);
    if (s->reply.errors > 0) stats_add(stats, STAT_resp_errors, s->reply.errors);
    s->commands = s->increments = s->reads = s->reply.errors = 0;
}

/* --- Which handler --- */

static void reply_unknown(struct resp_session *s, const struct request *q)
{
    char args[192]; /* 128 bytes are shown, and the quotes and blank of the last */
    size_t len = 0;
    for (uint32_t i = 1; i < q->argc && len < 128; i++) {
        struct bytes arg = request_arg(q, i);
        int shown = reply_shown(arg, 128 - len);
        int wrote = snprintf(args + len, sizeof args - len, "'%.*s' ", shown, (const char *)arg.ptr);
        REQUIRE(wrote > 0 && (size_t)wrote < sizeof args - len);
        len += (size_t)wrote;
    }
    args[len] = 0;
    struct bytes name = request_arg(q, 0);
    reply_errorf(&s->reply, "ERR unknown command '%.*s', with args beginning with: %s", reply_shown(name, 128),
                 (const char *)name.ptr, args);
}

static void reply_arity(struct resp_session *s, const struct command *parent, const struct command *c)
{
    char name[COMMAND_FULL_NAME_BYTES_MAX];
    command_full_name(parent, c, name);
    reply_errorf(&s->reply, "ERR wrong number of arguments for '%s' command", name);
}

static void reply_unknown_child(struct resp_session *s, const struct request *q)
{
    struct bytes child = request_arg(q, 1);
    char container[COMMAND_NAME_BYTES_MAX + 1] = { 0 };
    for (uint32_t i = 0; i < q->command->name_len; i++) {
        char c = q->command->name[i];
        container[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    reply_errorf(&s->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", reply_shown(child, 128),
                 (const char *)child.ptr, container);
}

static void child_run(struct resp_session *s, const struct request *q)
{
    const struct command *child = command_find_child(q->command, request_arg(q, 1));
    if (!child) {
        reply_unknown_child(s, q);
    } else if (!command_takes(child, q->argc)) {
        reply_arity(s, q->command, child);
    } else {
        child->handler(s, q);
    }
}

static inline void command_run(struct resp_session *s, const struct request *q)
{
    const struct command *c = q->command;
    if (__builtin_expect(!c, 0)) {
        reply_unknown(s, q);
    } else if (c->children && q->argc > 1) {
        child_run(s, q);
    } else if (__builtin_expect(!command_takes(c, q->argc), 0)) {
        reply_arity(s, NULL, c);
    } else {
        c->handler(s, q);
    }
}

/* While the client wants no replies: whatever the command writes is taken back, unless it wants them again. */
static void command_run_silent(struct resp_session *s, const struct request *q)
{
    size_t len = s->reply.out->len;
    uint64_t gate = s->gate;
    if (s->mode == REPLY_SKIP_NEXT) s->mode = REPLY_SKIP;
    command_run(s, q);
    if (s->mode == REPLY_ON) return;
    s->reply.out->len = len;
    s->gate = gate;
    s->pause.is_silent = true;
    if (s->mode == REPLY_SKIP) s->mode = REPLY_ON;
}

/* --- Batches --- */

static inline void request_prepare(struct resp_session *s, struct request *q, const struct span *spans)
{
    q->spans = spans;
    q->hash = 0;
    q->command = command_find(request_arg(q, 0));
    bool one_counter = q->command && q->command->key_first == 1 && q->command->key_last == 1 && q->argc > 1;
    if (!one_counter || spans[1].len > NAME_BYTES_MAX) return;
    q->hash = keyspace_hash(s->keyspace, request_arg(q, 1));
    keyspace_prefetch(s->keyspace, q->hash);
}

static void pipeline_read(struct resp_session *s, struct bytes input, struct pipeline *p)
{
    struct parser *parser = &s->parser;
    p->count = 0;
    p->bytes = 0;
    do {
        struct parsed_command found;
        const uint8_t *at = p->bytes > 0 ? input.ptr + p->bytes : input.ptr; /* which is NULL when there is nothing */
        p->end = parser_next(parser, bytes_of(at, input.len - p->bytes), &found);
        if (p->end >= PARSED_PARTIAL) break;
        p->bytes += found.bytes;
        if (p->end == PARSED_NOTHING) continue;
        struct request *q = &p->requests[p->count];
        q->base = found.base;
        q->argc = found.argc;
        q->end = p->bytes;
        p->first[p->count++] = found.first;
        request_prepare(s, q, parser->spans + found.first);
    } while (p->end != PARSED_INLINE && p->count < PIPELINE_COMMANDS_MAX && p->bytes < FEED_BYTES_MAX);
}

/* Misses stand in a row before a counter: the table's slot, the cell, what the cell points to. By now the slots are
 * there. */
static void pipeline_prefetch(const struct resp_session *s, const struct pipeline *p)
{
    if (p->count < 4) return;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->requests[i].hash != 0) keyspace_prefetch_cell(s->keyspace, p->requests[i].hash);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->requests[i].hash != 0) keyspace_prefetch_rest(s->keyspace, p->requests[i].hash);
    }
}

/* Returns how many commands were executed. */
static uint32_t pipeline_execute(struct resp_session *s, struct pipeline *p, size_t out_len_max)
{
    struct buffer *out = s->reply.out;
    if (!buffer_reserve(out, (size_t)p->count * REPLY_NUMBER_BYTES_MAX)) return 0;
    uint32_t i = 0;
    while (i < p->count && !s->close && !s->pause.waits && !out->failed && out->len < out_len_max) {
        struct request *q = &p->requests[i];
        q->spans = s->parser.spans + p->first[i++];
        s->commands++;
        if (__builtin_expect(s->mode == REPLY_ON, 1)) {
            command_run(s, q);
        } else {
            command_run_silent(s, q);
        }
    }
    return i;
}

static void session_break(struct resp_session *s)
{
    if (s->mode == REPLY_ON) parser_put_error(&s->parser, s->reply.out);
    stats_add(s->service->stats, STAT_protocol_errors, 1);
    s->close = true;
}

/* One batch; returns how many bytes of input it is done with, 0 when there is no whole command. */
static size_t pipeline_run(struct resp_session *s, struct bytes input, size_t out_len_max)
{
    struct pipeline pipeline;
    pipeline_read(s, input, &pipeline);
    pipeline_prefetch(s, &pipeline);
    uint32_t executed = pipeline.count > 0 ? pipeline_execute(s, &pipeline, out_len_max) : 0;
    if (executed < pipeline.count || s->pause.waits) {
        parser_rewind(&s->parser);
        return executed > 0 ? pipeline.requests[executed - 1].end : 0;
    }
    if (pipeline.end == PARSED_BROKEN && !s->close) session_break(s);
    if (pipeline.end == PARSED_NOMEM) s->reply.out->failed = true;
    parser_recycle(&s->parser);
    return pipeline.bytes;
}

/* False while a command's reply is to come; writes it when it is there. */
static bool pause_is_over(struct resp_session *s)
{
    if (!s->pause.waits) return true;
    if (!s->pause.ready) return false;
    size_t len = s->reply.out->len;
    s->pause.waits = false;
    quipu_put_result(s);
    if (s->pause.is_silent) s->reply.out->len = len;
    return true;
}

void resp_session_feed(struct resp_session *s, struct bytes input, struct buffer *out,
                       struct session_result *ret_result)
{
    s->reply.out = out;
    s->gate = 0;
    s->input_bytes = input.len;
    s->is_fed = true;
    size_t used = 0, out_len_max = out->len + FEED_OUT_BYTES_MAX;
    while (pause_is_over(s) && !s->close && !out->failed && used < FEED_BYTES_MAX && out->len < out_len_max) {
        struct bytes rest = bytes_of(input.len > used ? input.ptr + used : NULL, input.len - used);
        size_t bytes = pipeline_run(s, rest, out_len_max);
        if (bytes == 0) break;
        used += bytes;
    }
    s->is_fed = false;
    session_count(s);
    if (out->failed) s->close = true;
    *ret_result = (struct session_result){
        .consumed = s->close ? input.len : used,
        .gate = s->gate,
        .close = s->close,
        .wait = s->pause.waits,
    };
}
