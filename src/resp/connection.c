/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about the connection itself. There are no users yet: everyone is `default`, who needs no password. */
#include "resp/handler.h"

#include <inttypes.h>

#define INTRODUCTION_BYTES_MAX 1024u

static void reply_syntax_error(struct resp_session *s)
{
    reply_error(&s->reply, "ERR syntax error");
}

void command_ping(struct resp_session *s, const struct request *q)
{
    if (q->argc == 1) {
        reply_literal(&s->reply, "+PONG\r\n");
    } else if (q->argc == 2) {
        reply_bulk(&s->reply, request_arg(q, 1));
    } else {
        reply_error(&s->reply, "ERR wrong number of arguments for 'ping' command");
    }
}

void command_echo(struct resp_session *s, const struct request *q)
{
    reply_bulk(&s->reply, request_arg(q, 1));
}

void command_quit(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_ok(&s->reply);
    s->close = true;
}

/* A browser was made to speak to this port: no answer that it could read, and nothing behind it is executed. */
void command_hang_up(struct resp_session *s, const struct request *q)
{
    (void)q;
    s->close = true;
}

void command_accept(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_ok(&s->reply);
}

void command_select(struct resp_session *s, const struct request *q)
{
    int64_t index;
    if (bytes_to_int64(request_arg(q, 1), &index) != ERR_OK) {
        reply_error(&s->reply, "ERR value is not an integer or out of range");
    } else if (index < INT32_MIN || index > INT32_MAX) {
        reply_errorf(&s->reply, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX);
    } else if (index != 0) {
        reply_error(&s->reply, "ERR DB index is out of range");
    } else {
        reply_ok(&s->reply);
    }
}

void command_reset(struct resp_session *s, const struct request *q)
{
    (void)q;
    s->reply.version = 2;
    s->mode = REPLY_ON;
    buffer_clear(&s->introduction.name);
    reply_literal(&s->reply, "+RESET\r\n");
}

/* --- Who is there --- */

static bool user_is_let_in(struct resp_session *s, struct bytes user)
{
    if (bytes_equal(user, bytes_of_text("default"))) return true;
    reply_error(&s->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

void command_auth(struct resp_session *s, const struct request *q)
{
    if (q->argc > 3) {
        reply_syntax_error(s);
    } else if (q->argc == 2) {
        reply_error(&s->reply, "ERR AUTH <password> called without any password configured for the default user. "
                               "Are you sure your configuration is correct?");
    } else if (user_is_let_in(s, request_arg(q, 1))) {
        reply_ok(&s->reply);
    }
}

/* Keeps what a client says of itself; `what` names it in errors. False after an error reply. */
static bool introduction_set(struct resp_session *s, struct buffer *text, struct bytes value, const char *what)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] >= '!' && value.ptr[i] <= '~') continue;
        reply_errorf(&s->reply, "ERR %s cannot contain spaces, newlines or special characters.", what);
        return false;
    }
    if (value.len > INTRODUCTION_BYTES_MAX) {
        reply_errorf(&s->reply, "ERR %s cannot be longer than %u bytes.", what, INTRODUCTION_BYTES_MAX);
        return false;
    }
    struct buffer fresh = { 0 };
    buffer_bytes(&fresh, value);
    if (fresh.failed) {
        buffer_release(&fresh);
        reply_error(&s->reply, "OOM command not allowed when used memory > 'maxmemory'.");
        return false;
    }
    buffer_release(text);
    *text = fresh;
    return true;
}

struct hello {
    int64_t version;
    bool has_user, has_name;
    struct bytes user, name;
};

static bool hello_read(struct resp_session *s, const struct request *q, struct hello *h)
{
    *h = (struct hello){ .version = s->reply.version };
    if (q->argc >= 2 && bytes_to_int64(request_arg(q, 1), &h->version) != ERR_OK) {
        reply_error(&s->reply, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (h->version < 2 || h->version > 3) {
        reply_error(&s->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    for (uint32_t i = 2; i < q->argc; i++) {
        struct bytes option = request_arg(q, i);
        uint32_t more = q->argc - i - 1;
        if (arg_is(option, "auth") && more >= 2) {
            h->has_user = true;
            h->user = request_arg(q, i + 1);
            i += 2;
        } else if (arg_is(option, "setname") && more >= 1) {
            h->has_name = true;
            h->name = request_arg(q, ++i);
        } else {
            reply_errorf(&s->reply, "ERR Syntax error in HELLO option '%.*s'", reply_shown(option, 512),
                         (const char *)option.ptr);
            return false;
        }
    }
    return true;
}

void command_hello(struct resp_session *s, const struct request *q)
{
    struct hello h;
    if (!hello_read(s, q, &h)) return;
    if (h.has_user && !user_is_let_in(s, h.user)) return;
    if (h.has_name && !introduction_set(s, &s->introduction.name, h.name, "Client names")) return;
    s->reply.version = (uint8_t)h.version;
    struct reply *r = &s->reply;
    reply_map(r, 7);
    reply_bulk_text(r, "server");
    reply_bulk_text(r, "redis");
    reply_bulk_text(r, "version");
    reply_bulk_text(r, REDIS_VERSION);
    reply_bulk_text(r, "proto");
    reply_integer(r, h.version);
    reply_bulk_text(r, "id");
    reply_integer(r, (int64_t)s->peer->id);
    reply_bulk_text(r, "mode");
    reply_bulk_text(r, "standalone");
    reply_bulk_text(r, "role");
    reply_bulk_text(r, "master");
    reply_bulk_text(r, "modules");
    reply_array(r, 0);
}

/* --- CLIENT --- */

void client_id(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_integer(&s->reply, (int64_t)s->peer->id);
}

void client_getname(struct resp_session *s, const struct request *q)
{
    (void)q;
    if (s->introduction.name.len > 0) {
        reply_bulk(&s->reply, buffer_view(&s->introduction.name));
    } else {
        reply_null(&s->reply);
    }
}

void client_setname(struct resp_session *s, const struct request *q)
{
    if (introduction_set(s, &s->introduction.name, request_arg(q, 2), "Client names")) reply_ok(&s->reply);
}

void client_setinfo(struct resp_session *s, const struct request *q)
{
    struct bytes attribute = request_arg(q, 2), value = request_arg(q, 3);
    bool done;
    if (arg_is(attribute, "lib-name")) {
        done = introduction_set(s, &s->introduction.library, value, "lib-name");
    } else if (arg_is(attribute, "lib-ver")) {
        done = introduction_set(s, &s->introduction.library_version, value, "lib-ver");
    } else {
        reply_errorf(&s->reply, "ERR Unrecognized option '%.*s'", reply_shown(attribute, 512),
                     (const char *)attribute.ptr);
        return;
    }
    if (done) reply_ok(&s->reply);
}

static void put_pair(struct buffer *line, const char *name, const struct buffer *text)
{
    buffer_text(line, name);
    buffer_bytes(line, buffer_view(text));
}

/* The fields that libraries read as numbers are all there, also those that are always 0 here. */
void client_info(struct resp_session *s, const struct request *q)
{
    (void)q;
    const struct peer_info *peer = s->peer;
    uint64_t now_ms = s->service->ops->wall_us(s->service->server) / 1000;
    uint64_t age_s = now_ms > peer->connected_ms ? (now_ms - peer->connected_ms) / 1000 : 0;
    struct buffer line = { 0 };
    buffer_printf(&line, "id=%" PRIu64 " addr=%s laddr=%s fd=-1", peer->id, peer->address, peer->local);
    put_pair(&line, " name=", &s->introduction.name);
    buffer_printf(&line,
                  " age=%" PRIu64 " idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=%" PRIu64
                  " qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=%zu oll=0 omem=0 tot-mem=%zu events=r"
                  " cmd=client|info user=default redir=-1 resp=%u",
                  age_s, s->input_bytes, s->reply.out->len,
                  sizeof *s + s->parser.cap * sizeof *s->parser.spans + s->parser.inline_text.cap, s->reply.version);
    put_pair(&line, " lib-name=", &s->introduction.library);
    put_pair(&line, " lib-ver=", &s->introduction.library_version);
    buffer_text(&line, "\n");
    reply_owned(&s->reply, &line);
}

void client_switch(struct resp_session *s, const struct request *q)
{
    struct bytes how = request_arg(q, 2);
    if (arg_is(how, "on") || arg_is(how, "off")) {
        reply_ok(&s->reply);
    } else {
        reply_syntax_error(s);
    }
}

void client_reply(struct resp_session *s, const struct request *q)
{
    struct bytes how = request_arg(q, 2);
    if (arg_is(how, "on")) {
        s->mode = REPLY_ON;
        reply_ok(&s->reply);
    } else if (arg_is(how, "off")) {
        s->mode = REPLY_OFF;
    } else if (arg_is(how, "skip")) {
        if (s->mode != REPLY_OFF) s->mode = REPLY_SKIP_NEXT;
    } else {
        reply_syntax_error(s);
    }
}
