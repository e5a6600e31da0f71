/* SPDX-License-Identifier: Apache-2.0 */
/* Replies leave in order and never before the commits that they wait for; a protocol is told by its first bytes. */
#include "testing.h"

#include "base/random.h"
#include "server/histogram.h"
#include "server/notices.h"
#include "server/outbox.h"
#include "server/sniff.h"

static void say(struct outbox *o, const char *text, uint64_t commit, uint64_t released)
{
    buffer_text(&o->bytes, text);
    outbox_close(o, commit, released);
}

static void assert_ready(const struct outbox *o, const char *expected)
{
    struct bytes ready = outbox_ready(o);
    assert_int_equal(ready.len, strlen(expected));
    if (ready.len > 0) assert_memory_equal(ready.ptr, expected, ready.len);
}

static void test_reply_waits_for_its_commit(void **state)
{
    (void)state;
    struct outbox o = { 0 };
    say(&o, "a", 7, 6);
    assert_ready(&o, "");
    assert_int_equal(outbox_waits_for(&o), 7);
    outbox_release(&o, 6);
    assert_ready(&o, "");
    outbox_release(&o, 7);
    assert_ready(&o, "a");
    assert_int_equal(outbox_waits_for(&o), 0);
    buffer_release(&o.bytes);
}

static void test_reply_that_need_not_wait_stays_behind_one_that_must(void **state)
{
    (void)state;
    struct outbox o = { 0 };
    say(&o, "a", 0, 5);
    say(&o, "b", 6, 5);
    say(&o, "c", 0, 5);
    say(&o, "d", 4, 5);
    assert_ready(&o, "a");
    outbox_release(&o, 6);
    assert_ready(&o, "abcd");
    buffer_release(&o.bytes);
}

static void test_more_commits_than_marks_let_nothing_out_early(void **state)
{
    (void)state;
    struct outbox o = { 0 };
    for (uint64_t commit = 1; commit <= 3 * OUTBOX_MARKS_MAX; commit++) say(&o, "x", commit, 0);
    assert_true(o.marks_count <= OUTBOX_MARKS_MAX);
    for (uint64_t commit = 1; commit < 3 * OUTBOX_MARKS_MAX; commit++) {
        outbox_release(&o, commit);
        assert_true(outbox_ready(&o).len <= commit);
    }
    outbox_release(&o, 3 * OUTBOX_MARKS_MAX);
    assert_int_equal(outbox_ready(&o).len, 3 * OUTBOX_MARKS_MAX);
    buffer_release(&o.bytes);
}

static void test_what_waits_stays_when_the_rest_is_handed_over(void **state)
{
    (void)state;
    struct outbox o = { 0 };
    struct buffer fresh = { 0 }, ready = { 0 };
    size_t from = 0;
    say(&o, "abc", 0, 1);
    outbox_take(&o, 1);
    say(&o, "de", 2, 1);
    say(&o, "f", 3, 1);
    assert_ok(outbox_detach(&o, &fresh, &ready, &from));
    assert_int_equal(ready.len - from, 2);
    assert_memory_equal(ready.ptr + from, "bc", 2);
    assert_ready(&o, "");
    outbox_release(&o, 2);
    assert_ready(&o, "de");
    outbox_release(&o, 3);
    assert_ready(&o, "def");
    outbox_take(&o, 3);
    assert_true(outbox_is_empty(&o));
    buffer_release(&ready);
    buffer_release(&o.bytes);
}

/* The model: each byte with the highest commit that it or one before it waits for. */
static void test_random_histories_agree_with_a_list_of_bytes(void **state)
{
    (void)state;
    enum { BYTES_MAX = 4000 };
    static uint64_t needs[BYTES_MAX];
    struct random random;
    random_init(&random, 11);
    for (int history = 0; history < 500; history++) {
        struct outbox o = { 0 };
        uint64_t released = 0, highest = 0;
        size_t said = 0, sent = 0;
        while (said < BYTES_MAX - 8) {
            uint64_t commit = random_below(&random, 3) == 0 ? 0 : released + random_below(&random, 4);
            size_t len = (size_t)random_below(&random, 8);
            if (len > 0 && commit > highest) highest = commit;
            for (size_t i = 0; i < len; i++) {
                buffer_u8(&o.bytes, (uint8_t)said);
                needs[said++] = highest;
            }
            outbox_close(&o, commit, released);
            released += random_below(&random, 2);
            outbox_release(&o, released);
            struct bytes ready = outbox_ready(&o);
            size_t taken = (size_t)random_below(&random, ready.len + 1);
            for (size_t i = 0; i < ready.len; i++) {
                assert_int_equal(ready.ptr[i], (uint8_t)(sent + i));
                assert_true(needs[sent + i] <= released);
            }
            outbox_take(&o, taken);
            sent += taken;
        }
        outbox_release(&o, highest);
        assert_int_equal(outbox_ready(&o).len, said - sent);
        buffer_release(&o.bytes);
    }
}

static void test_first_bytes_tell_the_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sniff expected;
    } cases[] = {
        { "", SNIFF_MORE },          { "\x16\x03", SNIFF_TLS },    { "QUIPU/1", SNIFF_MORE },
        { "QUIPU/1\n", SNIFF_PEER }, { "QUIPU/2\n", SNIFF_RESP },  { "QUIT\r\n", SNIFF_RESP },
        { "G", SNIFF_MORE },         { "GET ", SNIFF_MORE },       { "GET /", SNIFF_HTTP },
        { "GET http", SNIFF_HTTP },  { "GET a\r\n", SNIFF_RESP },  { "OPTIONS *", SNIFF_HTTP },
        { "get /", SNIFF_RESP },     { "*1\r\n", SNIFF_RESP },     { "P", SNIFF_MORE },
        { "PING\r\n", SNIFF_RESP },  { "POST x\r\n", SNIFF_RESP }, { "\r\n", SNIFF_RESP },
        { "DELETE", SNIFF_MORE },    { "DELETE /v1", SNIFF_HTTP }, { "PRI * HTTP/2", SNIFF_HTTP },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fenced input = fenced_copy(bytes_of_text(cases[i].text));
        assert_int_equal(sniff_protocol(input.bytes), cases[i].expected);
        fenced_release(&input);
    }
}

static void test_protocol_once_told_does_not_change_with_more_bytes(void **state)
{
    (void)state;
    static const char *const inputs[] = { "QUIPU/1\nmore bytes", "OPTIONS /v1/counters", "INCR a\r\nINCR b\r\n",
                                          "CONNECT host:80 HT", "DELETE is no command" };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        enum sniff told = SNIFF_MORE;
        for (size_t len = 1; len <= strlen(inputs[i]); len++) {
            enum sniff now = sniff_protocol(bytes_of(inputs[i], len));
            if (told != SNIFF_MORE) assert_int_equal(now, told);
            told = now;
            if (len >= SNIFF_BYTES_MAX) assert_int_not_equal(told, SNIFF_MORE);
        }
    }
}

static void test_percentile_is_within_a_step_of_the_truth(void **state)
{
    (void)state;
    struct histogram h = { 0 };
    assert_int_equal(histogram_percentile(&h, 99), 0);
    for (uint64_t us = 1; us <= 10000; us++) histogram_add(&h, us);
    uint64_t p99 = histogram_percentile(&h, 99), p50 = histogram_percentile(&h, 50);
    assert_in_range(p99, 9900, 9900 * 125 / 100);
    assert_in_range(p50, 5000, 5000 * 125 / 100);
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(histogram_percentile(&h, 50), p50);
}

static void test_retry_notice_reads_as_a_sentence(void **state)
{
    (void)state;
    struct notice notice = {
        .kind = NOTICE_RETRY, .node = "localhost:8001", .detail = "connection refused", .number = 512
    };
    char text[NOTICE_TEXT_BYTES];
    notice_text(&notice, text);
    assert_string_equal(text, "connect to localhost:8001 failed: connection refused; next attempt in 512 ms");
}

static void test_every_notice_has_a_text(void **state)
{
    (void)state;
    for (int kind = 0; kind < NOTICE_COUNT; kind++) {
        struct notice notice = { .kind = (enum notice_kind)kind };
        char text[NOTICE_TEXT_BYTES];
        memset(notice.node, 'n', sizeof notice.node - 1);
        memset(notice.detail, 'd', sizeof notice.detail - 1);
        notice_text(&notice, text);
        assert_true(strlen(text) > 10);
        assert_null(strchr(text, '%'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply_waits_for_its_commit),
        cmocka_unit_test(test_reply_that_need_not_wait_stays_behind_one_that_must),
        cmocka_unit_test(test_more_commits_than_marks_let_nothing_out_early),
        cmocka_unit_test(test_what_waits_stays_when_the_rest_is_handed_over),
        cmocka_unit_test(test_random_histories_agree_with_a_list_of_bytes),
        cmocka_unit_test(test_first_bytes_tell_the_protocol),
        cmocka_unit_test(test_protocol_once_told_does_not_change_with_more_bytes),
        cmocka_unit_test(test_percentile_is_within_a_step_of_the_truth),
        cmocka_unit_test(test_retry_notice_reads_as_a_sentence),
        cmocka_unit_test(test_every_notice_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
