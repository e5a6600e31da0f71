/* SPDX-License-Identifier: Apache-2.0 */
/* Sending bytes to a session as the server would, and its answers as a trace, one line each: status, then body. */
#ifndef QUIPU_TEST_UNIT_TEST_HTTP_WORLD_H
#define QUIPU_TEST_UNIT_TEST_HTTP_WORLD_H

#include "testing.h"

#include "http_fixture.h"

#include <stdio.h>

/* One call of feed, with input that ends where its memory ends. Returns how much was consumed. */
static inline size_t world_feed(struct world *w)
{
    struct session_result result = { 0 };
    struct fenced fenced = { 0 };
    uint8_t *copy = NULL;
    struct bytes input = buffer_view(&w->pending);
    if (input.len > 64) {
        fenced = fenced_copy(input);
        input = fenced.bytes;
    } else {
        copy = malloc(input.len + !input.len); /* many small ones: ASan sees these */
        assert_non_null(copy);
        if (input.len > 0) memcpy(copy, input.ptr, input.len);
        input.ptr = copy;
    }
    http_session_feed(w->session, input, &w->out, &result);
    if (fenced.map) fenced_release(&fenced);
    free(copy);
    assert_false(w->out.failed);
    assert_true(result.consumed <= w->pending.len);
    buffer_drop(&w->pending, result.consumed);
    if (result.gate > w->gate) w->gate = result.gate;
    w->closed = result.close;
    w->waits = result.wait;
    return result.consumed;
}

static inline void world_send(struct world *w, struct bytes bytes)
{
    if (w->closed) return;
    buffer_bytes(&w->pending, bytes);
    while (world_feed(w) > 0 && !w->closed && !w->waits && w->pending.len > 0) continue;
}

static inline void world_send_text(struct world *w, const char *text)
{
    world_send(w, bytes_of_text(text));
}

/* Where text begins in bytes, or NULL. */
static inline const uint8_t *find_text(struct bytes bytes, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at + len <= bytes.len; at++) {
        if (memcmp(bytes.ptr + at, text, len) == 0) return bytes.ptr + at;
    }
    return NULL;
}

/* The answers so far as a trace. */
static inline void world_trace(const struct world *w, struct buffer *trace)
{
    struct bytes rest = buffer_view(&w->out);
    while (rest.len > 0) {
        const uint8_t *end = find_text(rest, "\r\n\r\n");
        assert_non_null(end);
        size_t head_len = (size_t)(end - rest.ptr) + 4;
        const char *length_at = (const char *)find_text(bytes_of(rest.ptr, head_len), "Content-Length: ");
        size_t body_len = length_at ? (size_t)strtoul(length_at + 16, NULL, 10) : 0;
        assert_true(head_len + body_len <= rest.len);
        assert_memory_equal(rest.ptr, "HTTP/1.1 ", 9);
        buffer_bytes(trace, bytes_of(rest.ptr + 9, 3));
        if (body_len > 0) buffer_u8(trace, ' ');
        buffer_bytes(trace, bytes_of(rest.ptr + head_len, body_len));
        buffer_u8(trace, '\n');
        rest = bytes_of(rest.ptr + head_len + body_len, rest.len - head_len - body_len);
    }
    if (w->closed) buffer_text(trace, "closed\n");
}

static inline void world_expect(const struct world *w, const char *expected)
{
    struct buffer trace = { 0 };
    world_trace(w, &trace);
    buffer_u8(&trace, 0);
    assert_ok(buffer_end(&trace));
    assert_string_equal((const char *)trace.ptr, expected);
    buffer_release(&trace);
}

#endif
