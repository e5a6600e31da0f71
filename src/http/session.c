/* SPDX-License-Identifier: Apache-2.0 */
/* A session goes round: head, body, answer. A head stays with the caller until it is complete, so that it lies in one
 * piece; the scan remembers how far it looked. A body is taken as it comes, or not copied at all when it lies in the
 * input whole. Either way each byte is looked at a fixed number of times, also when they come one by one.
 *
 * What breaks framing is answered once and ends the connection: what follows it could be read in two ways. */
#include "http/session.h"

#include "base/alloc.h"
#include "http/exchange.h"
#include "http/grammar.h"
#include "http/router.h"

#define FEED_BYTES_MAX (64u << 10)  /* input of one call, about */
#define FEED_OUT_BYTES (256u << 10) /* output of one call, about: an answer can be much longer than its request */

enum phase {
    PHASE_HEAD,
    PHASE_BODY,
    PHASE_CHUNKS,
    PHASE_TRAILER,
    PHASE_WAIT, /* the request is complete, its answer comes later */
    PHASE_CLOSED
};

/* One call of feed. */
struct feed {
    struct bytes rest; /* input that is not consumed yet */
    struct buffer *out;
    struct session_result result;
};

struct http_session {
    const struct service *service;
    http_wake *wake;
    void *context;
    enum phase phase;
    struct head_scan scan; /* of the head or the trailer */
    struct request request;
    struct answer answer;
    struct wait wait;
    struct date date;
};

struct http_session *http_session_new(const struct service *service, const struct peer_info *peer, http_wake *wake,
                                      void *context)
{
    (void)peer; /* nothing here depends on who asks, yet */
    struct http_session *s = mem_alloc_zero(1, sizeof *s);
    if (!s) return NULL;
    s->service = service;
    s->wake = wake;
    s->context = context;
    request_init(&s->request);
    head_scan_init(&s->scan);
    return s;
}

void http_session_free(struct http_session *s)
{
    if (!s) return;
    wait_cancel(&s->wait);
    request_release(&s->request);
    answer_release(&s->answer);
    mem_free(s);
}

bool http_session_in_head(const struct http_session *s)
{
    return s->phase == PHASE_HEAD && s->scan.scanned > 0;
}

static struct exchange session_exchange(struct http_session *s)
{
    return (struct exchange){
        .service = s->service,
        .request = &s->request,
        .answer = &s->answer,
        .wait = &s->wait,
    };
}

static void feed_consume(struct feed *f, size_t len)
{
    f->rest = bytes_of(f->rest.ptr + len, f->rest.len - len);
    f->result.consumed += len;
}

/* Puts the answer behind what is in out and makes ready for the next request. */
static void session_answer(struct http_session *s, struct feed *f)
{
    const struct answer *a = &s->answer;
    bool draining = keyspace_writes_refused(s->service->keyspace) == ERR_CLOSED;
    bool keeps = s->request.keep_alive && !a->close && !draining;
    struct answer_frame frame = {
        .without_body = s->request.method == METHOD_HEAD,
        .close = !keeps,
        .old_version = s->request.old_version,
        .date = date_text(&s->date, s->service->ops->wall_us(s->service->server)),
    };
    answer_write(a, &frame, f->out);
    stats_add(s->service->stats, STAT_http_requests, 1);
    if (a->status >= 400) stats_add(s->service->stats, STAT_http_errors, 1);
    if (a->gate > f->result.gate) f->result.gate = a->gate;
    f->result.close = !keeps;
    s->phase = keeps ? PHASE_HEAD : PHASE_CLOSED;
    request_clear(&s->request);
    head_scan_init(&s->scan);
}

/* Framing is lost. */
static void session_refuse(struct http_session *s, enum fault fault, struct feed *f)
{
    answer_begin(&s->answer, STYLE_PROBLEM);
    answer_fail(&s->answer, fault, s->request.detail);
    s->request.keep_alive = false;
    stats_add(s->service->stats, STAT_protocol_errors, 1);
    session_answer(s, f);
}

/* The request is complete. */
static void session_execute(struct http_session *s, struct feed *f)
{
    struct exchange x = session_exchange(s);
    handler *handle = router_find(&x);
    if (handle) handle(&x);
    if (x.waits) {
        s->phase = PHASE_WAIT;
    } else {
        session_answer(s, f);
    }
}

/* Tells a client that asks before it sends a body. False: it was told no, and whether the body follows is unclear. */
static bool session_continue(struct http_session *s, struct feed *f)
{
    struct exchange x = session_exchange(s);
    if (!router_find(&x)) {
        s->request.keep_alive = false;
        session_answer(s, f);
        return false;
    }
    buffer_text(f->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

/* The head was read, and its bytes are still in front of f->rest. */
static void session_begin_body(struct http_session *s, struct feed *f)
{
    struct request *r = &s->request;
    bool has_body = r->is_chunked || r->length > 0;
    if (has_body && r->expects_continue && !session_continue(s, f)) return;
    if (!r->is_chunked && f->rest.len >= r->length) {
        enum fault fault = FAULT_NONE; /* nothing is copied, so nothing can fail */
        size_t used = request_read_body(r, f->rest, &fault);
        session_execute(s, f);
        feed_consume(f, used);
        return;
    }
    s->phase = r->is_chunked ? PHASE_CHUNKS : PHASE_BODY;
    enum fault fault = request_keep(r);
    if (fault != FAULT_NONE) session_refuse(s, fault, f);
}

/* Each step returns whether it got anywhere: if not, more input is needed. */

static bool step_head(struct http_session *s, struct feed *f)
{
    bool at_start = s->scan.scanned == 0;
    if (at_start && f->rest.len >= 2 && memcmp(f->rest.ptr, "\r\n", 2) == 0) {
        feed_consume(f, 2); /* an empty line before a request means nothing: RFC 9112, 2.2 */
        return true;
    }
    if (at_start && f->rest.len == 1 && f->rest.ptr[0] == '\r') return false;
    bool end = false;
    enum fault fault = head_scan(&s->scan, f->rest, &end);
    if (fault == FAULT_NONE && !end) return false;
    if (fault == FAULT_NONE) {
        struct bytes head = bytes_of(f->rest.ptr, s->scan.scanned);
        fault = request_read_head(&s->request, head);
        feed_consume(f, head.len);
    }
    if (fault != FAULT_NONE) {
        session_refuse(s, fault, f);
    } else {
        session_begin_body(s, f);
    }
    return true;
}

static bool step_body(struct http_session *s, struct feed *f)
{
    if (f->rest.len == 0) return false;
    enum fault fault = FAULT_NONE;
    feed_consume(f, request_read_body(&s->request, f->rest, &fault));
    if (fault != FAULT_NONE) {
        session_refuse(s, fault, f);
    } else if (s->request.body.len == s->request.length) {
        session_execute(s, f);
    }
    return true;
}

static bool step_chunks(struct http_session *s, struct feed *f)
{
    if (f->rest.len == 0) return false;
    enum fault fault = FAULT_NONE;
    bool last = false;
    feed_consume(f, request_read_chunks(&s->request, f->rest, &last, &fault));
    if (fault != FAULT_NONE) {
        session_refuse(s, fault, f);
    } else if (last) {
        s->phase = PHASE_TRAILER;
        head_scan_init_trailer(&s->scan);
    }
    return true;
}

/* Fields behind a body are checked like others and then forgotten. */
static bool step_trailer(struct http_session *s, struct feed *f)
{
    bool end = false;
    enum fault fault = head_scan(&s->scan, f->rest, &end);
    if (fault == FAULT_NONE && !end) return false;
    if (fault != FAULT_NONE) {
        session_refuse(s, fault, f);
        return true;
    }
    feed_consume(f, s->scan.scanned);
    session_execute(s, f);
    return true;
}

static bool step_wait(struct http_session *s, struct feed *f)
{
    f->result.wait = !s->wait.ready;
    if (f->result.wait) return false;
    struct exchange x = session_exchange(s);
    s->wait.finish(&x);
    session_answer(s, f);
    return true;
}

static bool session_step(struct http_session *s, struct feed *f)
{
    switch (s->phase) {
    case PHASE_HEAD:
        return step_head(s, f);
    case PHASE_BODY:
        return step_body(s, f);
    case PHASE_CHUNKS:
        return step_chunks(s, f);
    case PHASE_TRAILER:
        return step_trailer(s, f);
    case PHASE_WAIT:
        return step_wait(s, f);
    case PHASE_CLOSED:
        f->result.close = true;
        return false;
    }
    return false;
}

void http_session_feed(struct http_session *s, struct bytes input, struct buffer *out,
                       struct session_result *ret_result)
{
    static const uint8_t nothing[1];
    struct feed f = { .rest = input.len > 0 ? input : bytes_of(nothing, 0), .out = out };
    size_t out_start = out->len;
    s->wait.wake = NULL; /* what arrives meanwhile is seen below */
    while (session_step(s, &f)) {
        if (out->failed || f.result.close) break; /* nothing is executed whose answer cannot leave */
        if (f.result.consumed >= FEED_BYTES_MAX || out->len - out_start >= FEED_OUT_BYTES) break;
    }
    s->wait.wake = s->wake;
    s->wait.context = s->context;
    *ret_result = f.result;
}
