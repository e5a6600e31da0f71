/* SPDX-License-Identifier: Apache-2.0 */
/* Input and the trace that it must give, however it is cut into pieces. */
#ifndef QUIPU_TEST_UNIT_TEST_HTTP_EXPECT_H
#define QUIPU_TEST_UNIT_TEST_HTTP_EXPECT_H

#include "test_http_world.h"

/* Sends input in pieces that end at each of the cuts: 0 for none, SIZE_MAX for one byte at a time. */
static inline void transcript(struct bytes input, size_t cut, struct world *w)
{
    world_init(w);
    if (cut == SIZE_MAX) {
        for (size_t at = 0; at < input.len; at++) world_send(w, bytes_of(input.ptr + at, 1));
    } else {
        if (cut > 0) world_send(w, bytes_of(input.ptr, cut));
        world_send(w, bytes_of(input.ptr + cut, input.len - cut));
    }
}

static inline void assert_same_transcript(struct bytes input, size_t cut, const struct world *wanted)
{
    struct world w;
    transcript(input, cut, &w);
    assert_int_equal(w.out.len, wanted->out.len);
    if (w.out.len > 0) assert_memory_equal(w.out.ptr, wanted->out.ptr, w.out.len);
    assert_int_equal(w.closed, wanted->closed);
    assert_int_equal(w.gate, wanted->gate);
    assert_int_equal(keyspace_count(w.service.keyspace), keyspace_count(wanted->service.keyspace));
    world_release(&w);
}

/* Sends input to fresh sessions, whole, cut in two at every place, and byte by byte: all must give this trace. */
static inline void expect_bytes(struct bytes input, const char *expected)
{
    struct world whole;
    transcript(input, 0, &whole);
    world_expect(&whole, expected);
    for (size_t cut = 1; cut < input.len; cut += 1 + input.len / 400) assert_same_transcript(input, cut, &whole);
    assert_same_transcript(input, SIZE_MAX, &whole);
    world_release(&whole);
}

static inline void expect(const char *input, const char *expected)
{
    expect_bytes(bytes_of_text(input), expected);
}

/* As expect, for one request: lines are fields, each ended by \r\n. */
static inline void expect_request(const char *line, const char *fields, const char *body, const char *expected)
{
    struct buffer input = { 0 };
    buffer_printf(&input, "%s HTTP/1.1\r\nHost: localhost:8000\r\n%s", line, fields);
    if (body) buffer_printf(&input, "Content-Length: %zu\r\n", strlen(body));
    buffer_printf(&input, "\r\n%s", body ? body : "");
    assert_ok(buffer_end(&input));
    expect_bytes(buffer_view(&input), expected);
    buffer_release(&input);
}

static inline void expect_get(const char *target, const char *expected)
{
    struct buffer line = { 0 };
    buffer_printf(&line, "GET %s", target);
    buffer_u8(&line, 0);
    expect_request((const char *)line.ptr, "", NULL, expected);
    buffer_release(&line);
}

static inline void expect_post(const char *target, const char *body, const char *expected)
{
    struct buffer line = { 0 };
    buffer_printf(&line, "POST %s", target);
    buffer_u8(&line, 0);
    expect_request((const char *)line.ptr, "", body, expected);
    buffer_release(&line);
}

/* Only the status, and "closed" where it applies, for a body whose wording is of no interest. */
static inline void expect_status(const char *input, const char *expected)
{
    struct world w;
    transcript(bytes_of_text(input), 0, &w);
    struct buffer trace = { 0 };
    assert_true(w.out.len > 12);
    buffer_bytes(&trace, bytes_of(w.out.ptr + 9, 3));
    buffer_text(&trace, w.closed ? " closed" : "");
    buffer_u8(&trace, 0);
    assert_string_equal((const char *)trace.ptr, expected);
    buffer_release(&trace);
    struct bytes input_bytes = bytes_of_text(input);
    for (size_t cut = 1; cut < input_bytes.len; cut++) assert_same_transcript(input_bytes, cut, &w);
    assert_same_transcript(input_bytes, SIZE_MAX, &w);
    assert_int_equal(keyspace_count(w.service.keyspace), 0); /* nothing was counted */
    world_release(&w);
}

#endif
