/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests begin and end, and what happens when that is unclear. */
#include "test_http_expect.h"

#include "http/grammar.h"

#include <time.h>

#define BODY_BYTES_MAX (1u << 20) /* as INTERFACE.md has it */
#define HOST "Host: localhost:8000\r\n"
#define PING "GET /ping HTTP/1.1\r\n" HOST "\r\n"
#define SMUGGLED "POST /increment HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}"

static void expect_malformed(const char *input)
{
    expect_status(input, "400 closed");
}

/* A POST with these fields, five bytes of body, and then another POST that must never run. */
static void expect_no_smuggling(const char *fields, const char *expected)
{
    char input[1024];
    snprintf(input, sizeof input, "POST /ping HTTP/1.1\r\n" HOST "%s\r\n0\r\n\r\n" SMUGGLED, fields);
    expect_status(input, expected);
}

/* Sound requests */

static void test_requests_in_one_packet_are_answered_in_order(void **state)
{
    (void)state;
    expect(PING "GET /count HTTP/1.1\r\n" HOST "\r\n" SMUGGLED "GET /count HTTP/1.1\r\n" HOST "\r\n" PING,
           "200\n200 {\"count\":0}\n200 {\"success\":true,\"count\":1}\n200 {\"count\":1}\n200\n");
}

static void test_answer_to_the_byte(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, SMUGGLED);
    buffer_u8(&w.out, 0);
    assert_string_equal((const char *)w.out.ptr, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                                 "Content-Length: 26\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
                                                 "{\"success\":true,\"count\":1}");
    assert_int_equal(w.gate, 1);
    world_release(&w);
}

static void test_connection_is_kept_or_closed_as_asked(void **state)
{
    (void)state;
    expect("GET /ping HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n" PING, "200\nclosed\n");
    expect("GET /ping HTTP/1.1\r\n" HOST "Connection: keep-alive, close\r\n\r\n" PING, "200\nclosed\n");
    expect("GET /ping HTTP/1.0\r\n\r\n" PING, "200\nclosed\n");
    expect("GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" PING, "200\n200\n");
}

static void test_old_version_is_told_that_the_connection_stays(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, "GET /ping HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_non_null(find_text(buffer_view(&w.out), "\r\nConnection: keep-alive\r\n"));
    world_release(&w);
}

static void test_head_is_answered_like_get_without_a_body(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, "HEAD /count HTTP/1.1\r\n" HOST "\r\n");
    buffer_u8(&w.out, 0);
    assert_string_equal((const char *)w.out.ptr, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                                 "Content-Length: 11\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    world_release(&w);
}

static void test_empty_lines_before_a_request_mean_nothing(void **state)
{
    (void)state;
    expect("\r\n\r\n" PING "\r\n" PING, "200\n200\n");
    expect_malformed("\n" PING);
    expect_malformed("\r" PING);
}

static void test_target_may_be_an_address(void **state)
{
    (void)state;
    expect_get("http://localhost:8000/count", "200 {\"count\":0}\n");
    expect_get("HTTP://[::1]:8000/count?counter=a", "200 {\"count\":0}\n");
    expect_status("GET http://a HTTP/1.1\r\n" HOST "\r\n", "404");
    expect_malformed("GET http:///count HTTP/1.1\r\n" HOST "\r\n");
    expect_malformed("GET http://user@a/count HTTP/1.1\r\n" HOST "\r\n");
}

static void test_upgrades_are_ignored(void **state)
{
    (void)state;
    expect("GET /ping HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
           "\r\n" PING,
           "200\n200\n");
    expect("GET /ping HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" PING, "200\n200\n");
}

static void test_body_of_a_get_is_skipped(void **state)
{
    (void)state;
    expect_request("GET /ping", "", "{\"delta\":1}", "200\n");
}

/* Bodies */

static void test_chunked_body_is_put_together(void **state)
{
    (void)state;
    expect("POST /increment HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
           "5\r\n{\"inc\r\n15\r\nrement_count\":5      \r\n1\r\n}\r\n0\r\n\r\n" PING,
           "200 {\"success\":true,\"count\":5}\n200\n");
    expect("POST /increment HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
           "0002\r\n{}\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n" PING,
           "200 {\"success\":true,\"count\":1}\n200\n");
}

static void test_broken_chunks_end_the_connection(void **state)
{
    (void)state;
    static const char *const chunks[] = {
        "2;a=b\r\n{}\r\n0\r\n\r\n",
        "2;\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\n: a\r\n\r\n",
        "2\r\n{}\r\n0\r\nA : b\r\n\r\n",
        "2\r\n{}\r\n0\r\nA: b\r\n c\r\n\r\n",
        "2\r\n{}\r\n0\r\n\n",
        "2\r\n{}\r\n0\n\r\n",
        "2\r\r\n{}\r\n0\r\n\r\n",
        "2;a=\"\x01\"\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}}\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        char input[512];
        snprintf(input, sizeof input,
                 "POST /increment HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s" SMUGGLED, chunks[i]);
        struct world w;
        transcript(bytes_of_text(input), 0, &w);
        bool too_large = find_text(buffer_view(&w.out), "HTTP/1.1 413") != NULL;
        world_release(&w);
        expect_status(input, too_large ? "413 closed" : "400 closed");
    }
}

static void test_body_over_the_limit_is_refused_before_it_comes(void **state)
{
    (void)state;
    expect_status("POST /increment HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n", "413 closed");
    expect_status("POST /increment HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", "413 closed");
    expect_status("POST /increment HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n100001\r\n", "413 closed");
    expect_status("POST /increment HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n100000\r\n",
                  "413 closed");
}

/* A count of one behind spaces that fill the body up to the limit. */
static struct buffer largest_request(void)
{
    static const char body[] = "{\"increment_count\":1}";
    struct buffer input = { 0 };
    buffer_printf(&input, "POST /increment HTTP/1.1\r\n" HOST "Content-Length: %u\r\n\r\n", BODY_BYTES_MAX);
    uint8_t *room = buffer_reserve(&input, BODY_BYTES_MAX);
    assert_non_null(room);
    memset(room, ' ', BODY_BYTES_MAX);
    memcpy(room, body, sizeof body - 1);
    input.len += BODY_BYTES_MAX;
    return input;
}

/* Twice: what the first round leaves behind must not slow down the second. Quadratic work would take minutes. */
static void test_largest_body_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct buffer input = largest_request(), out = { 0 };
    struct world w;
    world_init(&w);
    clock_t start = clock();
    for (int round = 0; round < 2; round++) {
        struct session_result result;
        size_t consumed = 0;
        for (size_t end = 1; end <= input.len; end++) {
            http_session_feed(w.session, bytes_of(input.ptr + consumed, end - consumed), &out, &result);
            consumed += result.consumed;
        }
        assert_int_equal(consumed, input.len);
    }
    assert_true((clock() - start) / CLOCKS_PER_SEC < 20);
    buffer_bytes(&w.out, buffer_view(&out));
    world_expect(&w, "200 {\"success\":true,\"count\":1}\n200 {\"success\":true,\"count\":2}\n");
    buffer_release(&out);
    buffer_release(&input);
    world_release(&w);
}

static void test_body_that_never_ends_counts_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, "POST /increment HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n{\"increment_count\":1}");
    world_expect(&w, "");
    http_session_free(w.session);
    w.session = NULL;
    assert_int_equal(keyspace_count(w.service.keyspace), 0);
    world_release(&w);
}

static void test_body_that_is_expected_is_asked_for(void **state)
{
    (void)state;
    expect("POST /increment HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}" PING,
           "100\n200 {\"success\":true,\"count\":1}\n200\n");
    expect_status("POST /none HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n", "404 closed");
    expect_status("POST /increment HTTP/1.1\r\n" HOST "Expect: 101\r\nContent-Length: 2\r\n\r\n{}", "417 closed");
    expect("POST /increment HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
           "200 {\"success\":true,\"count\":1}\nclosed\n");
}

/* Unsound ones */

static void test_host_must_be_there_once_and_be_one(void **state)
{
    (void)state;
    expect_malformed("GET /ping HTTP/1.1\r\n\r\n");
    expect_malformed("GET /ping HTTP/1.1\r\n" HOST HOST "\r\n");
    expect_malformed("GET /ping HTTP/1.0\r\n" HOST HOST "\r\n");
    static const char *const hosts[] = { "",   " ",       "user@a", "a/b", "a b",      "a:b", "a:80:90", "[::1",
                                         "[]", "a:70000", ":80",    "a,b", "http://a", "a?b", "a#b",     "[::1]x" };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char input[128];
        snprintf(input, sizeof input, "GET /ping HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i]);
        expect_malformed(input);
    }
    expect("GET /ping HTTP/1.1\r\nhOST:\t[fe80::1]:8000 \r\n\r\n", "200\n");
    expect("GET /ping HTTP/1.1\r\nHost: my_node-1.example.\r\n\r\n", "200\n");
}

static void test_line_that_can_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "X : a\r\n",   " X: a\r\n",    "X: a\r\n b\r\n", "X: a\r\n\tb\r\n", ": a\r\n",
        "[X]: a\r\n",  "X\r\n",        "X: a\rb\r\n",    "X: a\n",          "X: a\r\r\n",
        "X: \x01\r\n", "X: a\x7f\r\n", "X\t: a\r\n",     "X\x80: a\r\n",    "X: a\r\nY : b\r\n",
        "\r: a\r\n",   "X: a\v\r\n",   "(X): a\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char input[512];
        snprintf(input, sizeof input, "GET /ping HTTP/1.1\r\n" HOST "%s\r\n" SMUGGLED, lines[i]);
        expect_malformed(input);
        snprintf(input, sizeof input, "GET /ping HTTP/1.1\r\n%s" HOST "\r\n" SMUGGLED, lines[i]);
        expect_malformed(input);
    }
    static const char nul[] = "GET /ping HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    struct world w;
    transcript(bytes_of(nul, sizeof nul - 1), 0, &w);
    assert_true(w.closed);
    assert_non_null(find_text(buffer_view(&w.out), "HTTP/1.1 400 "));
    world_release(&w);
}

static void test_request_line_is_taken_strictly(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "GET /a b HTTP/1.1\r\n", "GET /a#b HTTP/1.1\r\n",   "GET /a\tb HTTP/1.1\r\n",    "GET  HTTP/1.1\r\n",
        "GET HTTP/1.1\r\n",      "GET  /ping HTTP/1.1\r\n", "GET /ping  HTTP/1.1\r\n",   "GET /ping HTTP/1.1 \r\n",
        "GET /ping\r\n",         "GET /ping http/1.1\r\n",  "GET /ping HTTP/1\r\n",      "GET /ping HTTP/1.10\r\n",
        "GET /ping HTTP/1.1\n",  "GET\t/ping HTTP/1.1\r\n", " GET /ping HTTP/1.1\r\n",   "GET /p\xc3\xa9 HTTP/1.1\r\n",
        "GET * HTTP/1.1\r\n",    "GET ping HTTP/1.1\r\n",   "GET ftp://a/ HTTP/1.1\r\n", "(GET) / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char input[256];
        snprintf(input, sizeof input, "%s" HOST "Connection: close\r\n\r\n", lines[i]);
        expect_malformed(input);
    }
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    expect_status("GET /ping HTTP/2.0\r\n" HOST "\r\n", "505 closed");
    expect_status("GET /ping HTTP/0.9\r\n" HOST "\r\n", "505 closed");
    expect_status("GET /ping HTTP/1.2\r\n" HOST "\r\n", "505 closed");
    expect_status("GET /ping HTTP/3.1\r\n" HOST "\r\n", "505 closed");
    expect_status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 closed");
}

static void test_garbage_is_refused(void **state)
{
    (void)state;
    expect_malformed("\x16\x03\x01\x02\x01\xfc\x03\x03");
    expect_malformed("\xff\xfe\xfd");
    expect_malformed("{\"increment_count\":1}");
}

static void test_length_is_one_plain_number(void **state)
{
    (void)state;
    static const char *const lengths[] = { "abc",
                                           "+5",
                                           "-1",
                                           "-0",
                                           "0x5",
                                           "0o5",
                                           "1_0",
                                           "1 0",
                                           "",
                                           "18446744073709551617",
                                           "5,5",
                                           "5;",
                                           "5.0",
                                           "005",
                                           "5, 5",
                                           "\"5\"",
                                           "5e0",
                                           "\xd9\xa5",
                                           "9223372036854775808" };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char fields[64];
        snprintf(fields, sizeof fields, "Content-Length: %s\r\n", lengths[i]);
        expect_no_smuggling(fields, "400 closed");
    }
    expect_no_smuggling("Content-Length: 5\r\nContent-Length: 5\r\n", "400 closed");
    expect_no_smuggling("Content-Length: 5\r\nX: a\r\ncontent-length: 6\r\n", "400 closed");
    expect_no_smuggling("Content-Length : 5\r\n", "400 closed");
    expect_no_smuggling("Content-Length: 0\r\n 5\r\n", "400 closed");
}

static void test_two_kinds_of_length_are_refused(void **state)
{
    (void)state;
    expect_no_smuggling("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding:\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding: chunked\v\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding : chunked\r\n", "400 closed");
    expect_no_smuggling("Transfer-Encoding:\r\n chunked\r\n", "400 closed");
}

static void expect_coding_refused(const char *coding)
{
    char input[512];
    snprintf(input, sizeof input, "POST /ping HTTP/1.1\r\n" HOST "Transfer-Encoding: %s\r\n\r\n0\r\n\r\n" SMUGGLED,
             coding);
    struct world w;
    transcript(bytes_of_text(input), 0, &w);
    assert_true(w.closed);
    assert_int_equal(keyspace_count(w.service.keyspace), 0);
    world_release(&w);
}

static void test_only_chunked_is_a_transfer_coding(void **state)
{
    (void)state;
    static const char *const codings[] = { "identity",         "xchunked",    "chunked, gzip", "gzip, chunked", "gzip",
                                           "chunked, chunked", "\"chunked\"", "chunkedx",      "chunked;a=b",   "cow" };
    for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++) expect_coding_refused(codings[i]);
    expect_no_smuggling("Transfer-Encoding: gzip\r\n", "501 closed");
    expect_status("POST /increment HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "400 closed");
    expect_status("POST /increment HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "2\r\n{}\r\n0\r\n\r\n",
                  "400 closed");
}

/* Sizes */

static void expect_after_fill(const char *before, size_t fill, const char *expected)
{
    struct buffer input = { 0 };
    buffer_text(&input, before);
    for (size_t i = 0; i < fill; i++) buffer_u8(&input, 'a');
    struct world w;
    transcript(buffer_view(&input), 0, &w);
    assert_true(w.closed);
    assert_non_null(find_text(buffer_view(&w.out), expected));
    assert_same_transcript(buffer_view(&input), fill / 2, &w);
    world_release(&w);
    buffer_release(&input);
}

static void test_what_is_too_long_is_refused_while_it_comes(void **state)
{
    (void)state;
    expect_after_fill("GET /", 1 << 20, "HTTP/1.1 414 ");
    expect_after_fill("", 1 << 20, "HTTP/1.1 501 ");
    expect_after_fill("GET /ping HTTP/1.1\r\nX: ", 1 << 20, "HTTP/1.1 431 ");
    expect_after_fill("GET /ping HTTP/1.1\r\n", 1 << 20, "HTTP/1.1 431 ");
}

static void test_too_many_fields_are_refused(void **state)
{
    (void)state;
    struct buffer input = { 0 };
    buffer_text(&input, "GET /ping HTTP/1.1\r\n" HOST);
    for (size_t i = 1; i < FIELDS_MAX; i++) buffer_text(&input, "A:\r\n");
    size_t most = input.len;
    buffer_text(&input, "\r\n");
    expect_bytes(buffer_view(&input), "200\n");
    input.len = most;
    buffer_text(&input, "A:\r\n\r\n");
    struct world w;
    transcript(buffer_view(&input), 0, &w);
    assert_non_null(find_text(buffer_view(&w.out), "HTTP/1.1 431 "));
    world_release(&w);
    buffer_release(&input);
}

static void test_session_knows_when_it_is_within_a_head(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_false(http_session_in_head(w.session));
    world_send_text(&w, "\r\n");
    assert_false(http_session_in_head(w.session));
    world_send_text(&w, "P");
    assert_true(http_session_in_head(w.session));
    world_send_text(&w, "OST /increment HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r");
    assert_true(http_session_in_head(w.session));
    world_send_text(&w, "\n{");
    assert_false(http_session_in_head(w.session));
    world_send_text(&w, "}G");
    assert_true(http_session_in_head(w.session));
    world_release(&w);
}

/* One feed must not turn a small input into an answer without end. */
static void test_long_answers_are_given_in_portions(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (int i = 0; i < 500; i++) buffer_text(&w.pending, "GET /metrics HTTP/1.1\r\n" HOST "\r\n");
    size_t calls = 0;
    while (w.pending.len > 0) {
        assert_true(world_feed(&w) > 0);
        assert_true(w.out.len < 300 << 10);
        buffer_clear(&w.out);
        calls++;
    }
    assert_true(calls > 2);
    assert_int_equal(stats_get(&w.stats, STAT_http_requests), 500);
    world_release(&w);
}

static void test_after_the_end_nothing_is_read(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, "GET /ping HTTP/1.0\r\n\r\n");
    assert_true(w.closed);
    buffer_clear(&w.out);
    buffer_text(&w.pending, PING);
    assert_int_equal(world_feed(&w), 0);
    assert_true(w.closed);
    assert_int_equal(w.out.len, 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_in_one_packet_are_answered_in_order),
        cmocka_unit_test(test_answer_to_the_byte),
        cmocka_unit_test(test_connection_is_kept_or_closed_as_asked),
        cmocka_unit_test(test_old_version_is_told_that_the_connection_stays),
        cmocka_unit_test(test_head_is_answered_like_get_without_a_body),
        cmocka_unit_test(test_empty_lines_before_a_request_mean_nothing),
        cmocka_unit_test(test_target_may_be_an_address),
        cmocka_unit_test(test_upgrades_are_ignored),
        cmocka_unit_test(test_body_of_a_get_is_skipped),
        cmocka_unit_test(test_chunked_body_is_put_together),
        cmocka_unit_test(test_broken_chunks_end_the_connection),
        cmocka_unit_test(test_body_over_the_limit_is_refused_before_it_comes),
        cmocka_unit_test(test_largest_body_may_come_byte_by_byte),
        cmocka_unit_test(test_body_that_never_ends_counts_nothing),
        cmocka_unit_test(test_body_that_is_expected_is_asked_for),
        cmocka_unit_test(test_host_must_be_there_once_and_be_one),
        cmocka_unit_test(test_line_that_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(test_request_line_is_taken_strictly),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_garbage_is_refused),
        cmocka_unit_test(test_length_is_one_plain_number),
        cmocka_unit_test(test_two_kinds_of_length_are_refused),
        cmocka_unit_test(test_only_chunked_is_a_transfer_coding),
        cmocka_unit_test(test_what_is_too_long_is_refused_while_it_comes),
        cmocka_unit_test(test_too_many_fields_are_refused),
        cmocka_unit_test(test_session_knows_when_it_is_within_a_head),
        cmocka_unit_test(test_long_answers_are_given_in_portions),
        cmocka_unit_test(test_after_the_end_nothing_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
