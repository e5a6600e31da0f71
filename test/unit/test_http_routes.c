/* SPDX-License-Identifier: Apache-2.0 */
/* What each route answers, body for body. */
#include "test_http_expect.h"

#include "http/json.h"

#define HOST "Host: localhost:8000\r\n"

#define PROBLEM(code, title, status, detail)                                                                           \
    status " {\"type\":\"urn:quipu:problem:" code "\",\"title\":\"" title "\",\"status\":" status                      \
           ",\"detail\":\"" detail "\",\"indeterminate\":false}\n"
#define INVALID(detail) PROBLEM("invalid-argument", "A value in the request is not allowed", "400", detail)
#define REFUSED(status, error) status " {\"success\":false,\"error\":\"" error "\"}\n"

#define NO_JSON "the body is not valid JSON"
#define NO_OBJECT "the body is not an object of known members"

/* Sends a request to a session that goes on, and compares its answer alone. */
static void ask(struct world *w, const char *line, const char *body, const char *expected)
{
    struct buffer input = { 0 };
    buffer_printf(&input, "%s HTTP/1.1\r\n" HOST, line);
    if (body) buffer_printf(&input, "Content-Length: %zu\r\n", strlen(body));
    buffer_printf(&input, "\r\n%s", body ? body : "");
    buffer_clear(&w->out);
    world_send(w, buffer_view(&input));
    buffer_release(&input);
    world_expect(w, expected);
}

/* The original's routes */

static void test_original_routes_answer_as_its_users_know_them(void **state)
{
    (void)state;
    expect_get("/ping", "200\n");
    expect_get("/count", "200 {\"count\":0}\n");
    expect_get("/count?x=1", "200 {\"count\":0}\n");
    expect_get("/peers", "200 [\"localhost:8001\",\"localhost:8003\"]\n");
    expect_post("/join", "{\"id\":\"localhost:8003\"}", "200 [\"localhost:8001\",\"localhost:8003\"]\n");
    expect_post("/increment", "{\"node_id\":\"localhost:8000\",\"increment_count\":5}",
                "200 {\"success\":true,\"count\":5}\n");
    expect_post("/increment", "{}", "200 {\"success\":true,\"count\":1}\n");
    expect_post("/increment", "{\"increment_count\":-3}", "200 {\"success\":true,\"count\":-3}\n");
    expect_request("POST /increment", "Content-Type: application/x-www-form-urlencoded\r\n", "{}",
                   "200 {\"success\":true,\"count\":1}\n");
}

static void test_alone_means_an_empty_peer_list(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.view.members_count = 1;
    ask(&w, "GET /peers", NULL, "200 []\n");
    world_release(&w);
}

static void test_join_is_passed_on(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "POST /join", "{\"id\":\"\\u006cocalhost:8003\"}", "200 [\"localhost:8001\",\"localhost:8003\"]\n");
    assert_string_equal(w.joined, "localhost:8003");
    world_release(&w);
}

static void test_bad_join_is_refused(void **state)
{
    (void)state;
    expect_post("/join", "{\"id\":\"localhost\"}", REFUSED("400", "id is not host:port"));
    expect_post("/join", "{\"id\":7}", REFUSED("400", "id is not a string"));
    expect_post("/join", "{}", REFUSED("400", "id must be there, and nothing else"));
    expect_post("/join", "{\"id\":\"a:1\",\"x\":1}", REFUSED("400", "id must be there, and nothing else"));
    expect_post("/join", "", REFUSED("400", NO_JSON));
}

static void test_bad_increments_are_refused(void **state)
{
    (void)state;
    static const char count[] = "increment_count must be an integer other than 0";
    static const struct {
        const char *body, *error;
    } cases[] = {
        { "{\"increment_count\":0}", count },
        { "{\"increment_count\":1.5}", count },
        { "{\"increment_count\":1.0}", count },
        { "{\"increment_count\":1e3}", count },
        { "{\"increment_count\":\"5\"}", count },
        { "{\"increment_count\":null}", count },
        { "{\"increment_count\":true}", count },
        { "{\"increment_count\":[5]}", count },
        { "{\"increment_count\":-0}", count },
        { "{\"increment_count\":9223372036854775808}", "a number is out of range" },
        { "{\"increment_count\":1e999}", "a number is out of range" },
        { "{\"increment_count\":1,\"increment_count\":100}", "a member stands twice in the body" },
        { "{\"increment_count\":01}", NO_JSON },
        { "{\"increment_count\":+1}", NO_JSON },
        { "{\"increment_count\":0x1}", NO_JSON },
        { "{\"increment_count\":1,}", NO_JSON },
        { "{\"increment_count\":1} x", NO_JSON },
        { "{\"increment_count\":1}{}", NO_JSON },
        { "{\"increment_count\":1}//", NO_JSON },
        { "{\"increment_count\":NaN}", NO_JSON },
        { "\xef\xbb\xbf{}", NO_JSON },
        { "", NO_JSON },
        { "{", NO_JSON },
        { "[]", NO_OBJECT },
        { "5", NO_OBJECT },
        { "null", NO_OBJECT },
        { "{\"node_id\":5}", "node_id is not a string" },
        { "{\"counter\":\"\"}", "counter must be a string of 1 to 1,024 bytes" },
        { "{\"counter\":5}", "counter must be a string of 1 to 1,024 bytes" },
        { "{\"count\":5}", "unknown member" },
        { "{\"Increment_count\":5}", "unknown member" },
        { "{\"\\u0069ncrement_count\":0}", count },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "400 {\"success\":false,\"error\":\"%s\"}\n", cases[i].error);
        expect_post("/increment", cases[i].body, expected);
    }
}

static void test_original_routes_can_name_a_counter(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "POST /increment", "{\"counter\":\"a b&\xc3\xa9\",\"increment_count\":2}",
        "200 {\"success\":true,\"count\":2}\n");
    ask(&w, "GET /count?counter=a+b%26%C3%a9", NULL, "200 {\"count\":2}\n");
    ask(&w, "GET /count?x=y&counter=a%20b%26%C3%A9&z", NULL, "200 {\"count\":2}\n");
    ask(&w, "GET /count", NULL, "200 {\"count\":0}\n");
    ask(&w, "GET /count?counter=", NULL, REFUSED("400", "the counter's name is empty"));
    ask(&w, "GET /count?counter", NULL, REFUSED("400", "the counter's name is empty"));
    ask(&w, "GET /count?counter=%4", NULL, REFUSED("400", "a percent sign without two hexadecimal digits"));
    ask(&w, "GET /count?counter=a&counter=a", NULL, REFUSED("400", "counter stands twice in the query"));
    world_release(&w);
}

/* Counters */

static void test_counter_is_counted_and_read(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "GET /v1/counters/a", NULL,
        PROBLEM("not-found", "There is nothing of this name", "404", "there is no such counter"));
    ask(&w, "POST /v1/counters/a/increment", "{\"delta\":5}",
        "200 {\"name\":\"a\",\"value\":5,\"value_string\":\"5\",\"applied\":5}\n");
    ask(&w, "POST /v1/counters/a/increment", "{}",
        "200 {\"name\":\"a\",\"value\":6,\"value_string\":\"6\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/a/increment", NULL,
        "200 {\"name\":\"a\",\"value\":7,\"value_string\":\"7\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/a/increment", "{\"delta\":0}",
        "200 {\"name\":\"a\",\"value\":7,\"value_string\":\"7\",\"applied\":0}\n");
    ask(&w, "GET /v1/counters/a", NULL, "200 {\"name\":\"a\",\"value\":7,\"value_string\":\"7\"}\n");
    assert_int_equal(stats_get(&w.stats, STAT_increments), 4);
    assert_int_equal(stats_get(&w.stats, STAT_http_requests), 6);
    assert_int_equal(stats_get(&w.stats, STAT_http_errors), 1);
    world_release(&w);
}

static void test_large_numbers_keep_all_digits(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "POST /v1/counters/a/increment", "{\"delta\":9007199254740993}",
        "200 {\"name\":\"a\",\"value\":9007199254740993,\"value_string\":\"9007199254740993\","
        "\"applied\":9007199254740993}\n");
    ask(&w, "POST /v1/counters/b/increment", "{\"delta\":-9223372036854775808}",
        "200 {\"name\":\"b\",\"value\":-9223372036854775808,\"value_string\":\"-9223372036854775808\","
        "\"applied\":-9223372036854775808}\n");
    world_release(&w);
}

static void test_every_byte_of_a_name_may_be_escaped(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "POST /v1/counters/a%2Fb/increment", NULL,
        "200 {\"name\":\"a/b\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "GET /v1/counters/%61%2f%62", NULL, "200 {\"name\":\"a/b\",\"value\":1,\"value_string\":\"1\"}\n");
    ask(&w, "POST /v1/counters/%00/increment", NULL,
        "200 {\"name\":\"\\u0000\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/%22%5C%0a/increment", NULL,
        "200 {\"name\":\"\\\"\\\\\\u000a\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/%ff%FE/increment", NULL,
        "200 {\"name_base64\":\"//4=\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/%c0%af/increment", NULL,
        "200 {\"name_base64\":\"wK8=\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/../increment", NULL,
        "200 {\"name\":\"..\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/a+b/increment", NULL,
        "200 {\"name\":\"a+b\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/increment/increment", NULL,
        "200 {\"name\":\"increment\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    ask(&w, "POST /v1/counters/%2561/increment", NULL,
        "200 {\"name\":\"%61\",\"value\":1,\"value_string\":\"1\",\"applied\":1}\n");
    assert_int_equal(keyspace_count(w.service.keyspace), 9);
    world_release(&w);
}

static void test_bad_names_are_refused(void **state)
{
    (void)state;
    static const char percent[] = INVALID("a percent sign without two hexadecimal digits");
    expect_get("/v1/counters/%", percent);
    expect_get("/v1/counters/a%2", percent);
    expect_get("/v1/counters/%zz", percent);
    expect_get("/v1/counters/%u0061", percent);
    struct buffer target = { 0 };
    buffer_text(&target, "/v1/counters/");
    for (size_t i = 0; i < NAME_BYTES_MAX; i++) buffer_text(&target, "%41");
    buffer_bytes(&target, bytes_of("", 1));
    expect_get((const char *)target.ptr,
               PROBLEM("not-found", "There is nothing of this name", "404", "there is no such counter"));
    target.len--;
    buffer_bytes(&target, bytes_of("A", 2));
    expect_get((const char *)target.ptr, INVALID("the counter's name is longer than 1,024 bytes"));
    buffer_release(&target);
}

static void test_bad_bodies_are_problems(void **state)
{
    (void)state;
    static const char later[] =
        INVALID("lower, upper, saturate, ttl_ms and only_new are not available in this version");
    expect_post("/v1/counters/a/increment", "{\"delta\":1.5}", INVALID("delta is not an integer"));
    expect_post("/v1/counters/a/increment", "{\"delta\":\"1\"}", INVALID("delta is not an integer"));
    expect_post("/v1/counters/a/increment", "{\"name\":\"a\"}", INVALID("unknown member"));
    expect_post("/v1/counters/a/increment", "{\"delta\":1,\"upper\":5}", later);
    expect_post("/v1/counters/a/increment", "{\"ttl_ms\":5}", later);
    expect_post("/v1/counters/a/increment", "{\"delta\":1,\"delta\":1}", INVALID("a member stands twice in the body"));
    expect_post("/v1/counters/a/increment", " ", INVALID(NO_JSON));
    expect_post("/v1/counters/a/increment",
                "{\"a\": true, \"b\": [ null,9999999999999999999999999999999999999999999999912345678901234567]}",
                INVALID("a number is out of range"));
}

static void test_deep_bodies_are_refused_without_going_down(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    for (int i = 0; i < 100000; i++) buffer_u8(&body, '[');
    buffer_u8(&body, 0);
    struct world w;
    world_init(&w);
    ask(&w, "POST /v1/increments", (const char *)body.ptr, INVALID("the body is nested too deep"));
    ask(&w, "POST /v1/increments", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        INVALID("item 0: not an object of known members; nothing was applied"));
    ask(&w, "POST /v1/increments", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", INVALID("the body is nested too deep"));
    ask(&w, "POST /increment", "{\"node_id\":\"[[[[[[[[[[[[[[[[[[[[[\\\"[\"}", "200 {\"success\":true,\"count\":1}\n");
    buffer_release(&body);
    world_release(&w);
}

static void test_value_that_would_not_fit_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "POST /increment", "{\"increment_count\":9223372036854775807}",
        "200 {\"success\":true,\"count\":9223372036854775807}\n");
    ask(&w, "POST /increment", "{}", REFUSED("409", "The value would not fit"));
    ask(&w, "POST /v1/counters/default/increment", "{}",
        PROBLEM("out-of-range", "The value would not fit", "409",
                "the value would leave the range of signed 64-bit integers; nothing was changed"));
    ask(&w, "GET /count", NULL, "200 {\"count\":9223372036854775807}\n");
    world_release(&w);
}

static void test_refused_writes_have_their_status(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "POST /increment", "{}", "200 {\"success\":true,\"count\":1}\n");
    keyspace_refuse_writes(w.service.keyspace, ERR_FULL);
    ask(&w, "POST /increment", "{}", REFUSED("507", "No space is left on the disk"));
    ask(&w, "POST /v1/increments", "[{\"name\":\"a\"}]",
        PROBLEM("disk-full", "No space is left on the disk", "507", "No space is left on the disk"));
    ask(&w, "GET /readyz", NULL, "503 not ready: writes are refused\n\n");
    ask(&w, "GET /count", NULL, "200 {\"count\":1}\n");
    keyspace_refuse_writes(w.service.keyspace, ERR_CLOSED);
    ask(&w, "POST /v1/counters/a/increment", "{}",
        PROBLEM("shutting-down", "The node is shutting down", "503", "The node is shutting down") "closed\n");
    assert_non_null(find_text(buffer_view(&w.out), "\r\nRetry-After: 1\r\n"));
    world_release(&w);
}

/* Batches */

static void test_batch_is_answered_in_order(void **state)
{
    (void)state;
    expect_post("/v1/increments",
                "[{\"name\":\"a\",\"delta\":2},{\"name_base64\":\"/w==\"},{\"delta\":-1,\"name\":\"a\"},"
                "{\"name\":\"b\",\"delta\":0}]",
                "200 {\"results\":[{\"name\":\"a\",\"value\":2,\"value_string\":\"2\",\"applied\":2},"
                "{\"name_base64\":\"/w==\",\"value\":1,\"value_string\":\"1\",\"applied\":1},"
                "{\"name\":\"a\",\"value\":1,\"value_string\":\"1\",\"applied\":-1},"
                "{\"name\":\"b\",\"value\":0,\"value_string\":\"0\",\"applied\":0}]}\n");
    expect_post("/v1/increments", "[]", "200 {\"results\":[]}\n");
    expect_post("/v1/increments", "[{\"name\":\"a\",\"delta\":9223372036854775807},{\"name\":\"a\"},{\"name\":\"b\"}]",
                "200 {\"results\":[{\"name\":\"a\",\"value\":9223372036854775807,\"value_string\":"
                "\"9223372036854775807\",\"applied\":9223372036854775807},"
                "{\"name\":\"a\",\"error\":\"The value would not fit\"},"
                "{\"name\":\"b\",\"value\":1,\"value_string\":\"1\",\"applied\":1}]}\n");
}

static void test_batch_with_one_bad_item_applies_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *item, *wrong;
    } cases[] = {
        { "{}", "the counter's name is missing" },
        { "5", "not an object of known members" },
        { "{\"name\":\"\"}", "the counter's name is empty" },
        { "{\"name\":5}", "the counter's name is not a string" },
        { "{\"name\":\"a\",\"name_base64\":\"YQ==\"}", "name and name_base64 exclude each other" },
        { "{\"name_base64\":\"YQ=\"}", "name_base64 is not base64 with padding" },
        { "{\"name\":\"a\",\"delta\":1.0}", "delta is not an integer" },
        { "{\"name\":\"a\",\"x\":1}", "unknown member" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        world_init(&w);
        char body[256], expected[512];
        snprintf(body, sizeof body, "[{\"name\":\"z\"},{\"name\":\"y\"},%s]", cases[i].item);
        snprintf(expected, sizeof expected, INVALID("item 2: %s; nothing was applied"), cases[i].wrong);
        ask(&w, "POST /v1/increments", body, expected);
        assert_int_equal(keyspace_count(w.service.keyspace), 0);
        world_release(&w);
    }
    expect_post("/v1/increments", "{\"name\":\"a\"}", INVALID("the body is not an array"));
}

static void test_batch_has_a_largest_size(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    buffer_u8(&body, '[');
    for (uint32_t i = 0; i < JSON_ITEMS_MAX; i++) buffer_text(&body, "{\"name\":\"a\"},");
    body.len--;
    buffer_bytes(&body, bytes_of("]", 2));
    struct world w;
    world_init(&w);
    char line[] = "POST /v1/increments";
    struct buffer request = { 0 };
    buffer_printf(&request, "%s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", line, body.len - 1,
                  (const char *)body.ptr);
    world_send(&w, buffer_view(&request));
    assert_non_null(find_text(bytes_of(w.out.ptr + w.out.len - 80, 80), "\"value\":10000,"));
    body.len -= 2;
    buffer_bytes(&body, bytes_of(",{}]", 5));
    ask(&w, line, (const char *)body.ptr, INVALID("the body has more than 10,000 items"));
    buffer_release(&request);
    buffer_release(&body);
    world_release(&w);
}

/* The cluster */

static void test_cluster_lists_members_with_their_state(void **state)
{
    (void)state;
    expect_get(
        "/v1/cluster",
        "200 {\"node\":\"localhost:8000\",\"replica\":\"01000000000000000000000000000000\",\"cluster\":\"quipu\","
        "\"members\":[{\"node\":\"localhost:8000\",\"state\":\"alive\",\"address\":\"127.0.0.1:8000\","
        "\"rtt_ms\":0.000,\"last_heard_ms\":0,\"lag_entries\":0,\"lag_ms\":0},"
        "{\"node\":\"localhost:8001\",\"state\":\"alive\",\"address\":\"127.0.0.1:8001\","
        "\"rtt_ms\":1.234,\"last_heard_ms\":250,\"lag_entries\":3,\"lag_ms\":40},"
        "{\"node\":\"localhost:8002\",\"state\":\"down\",\"address\":\"127.0.0.1:8002\","
        "\"rtt_ms\":0.000,\"last_heard_ms\":9000,\"lag_entries\":0,\"lag_ms\":0},"
        "{\"node\":\"localhost:8003\",\"state\":\"alive\",\"address\":\"127.0.0.1:8003\","
        "\"rtt_ms\":0.000,\"last_heard_ms\":0,\"lag_entries\":0,\"lag_ms\":0}]}\n");
}

static const char verify_answer[] = "200 {\"digest\":\"0000000000000abc0000000000000def\",\"counters\":7,"
                                    "\"vector\":{\"01000000000000000000000000000000\":9}}\n";

static void test_verify_answers_when_it_is_done(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, "GET /v1/verify HTTP/1.1\r\n" HOST "\r\nGET /ping HTTP/1.1\r\n" HOST "\r\n");
    assert_true(w.waits);
    assert_int_equal(world_feed(&w), 0); /* too early */
    assert_true(w.waits);
    world_expect(&w, "");
    assert_int_equal(w.woken, 0);
    w.verify_done(w.verify_context, &world_verify_result);
    assert_int_equal(w.woken, 1);
    world_send_text(&w, "");
    char expected[256];
    snprintf(expected, sizeof expected, "%s200\n", verify_answer);
    world_expect(&w, expected);
    world_release(&w);
    assert_int_equal(w.verifies_cancelled, 0);
}

static void test_verify_may_be_done_at_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.verify_at_once = true;
    ask(&w, "GET /v1/verify", NULL, verify_answer);
    ask(&w, "GET /v1/verify", NULL, verify_answer);
    assert_int_equal(w.woken, 0);
    world_release(&w);
    assert_int_equal(w.verifies_cancelled, 0);
}

static void test_verify_is_cancelled_with_its_session(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_send_text(&w, "GET /v1/verify HTTP/1.1\r\n" HOST "\r\n");
    world_release(&w);
    assert_int_equal(w.verifies_cancelled, 1);
}

static void test_an_order_answers_with_what_came_of_it(void **state)
{
    (void)state;
    static const struct {
        enum order_result result;
        const char *status;
    } rows[] = {
        { ORDER_RESULT_UNKNOWN, "404 " }, { ORDER_RESULT_SELF, "409 " },     { ORDER_RESULT_HEARD, "409 " },
        { ORDER_RESULT_UNSAFE, "409 " },  { ORDER_RESULT_STOPPING, "503 " }, { ORDER_RESULT_FULL, "507 " },
    };
    struct world w;
    world_init(&w);
    ask(&w, "DELETE /v1/cluster/members/localhost%3A8002", NULL, "204\n");
    assert_int_equal(w.orders.kind, ORDER_FORGET);
    assert_string_equal(w.orders.name, "localhost:8002");
    ask(&w, "POST /v1/cluster/leave", NULL, "204\n");
    assert_int_equal(w.orders.kind, ORDER_LEAVE);
    assert_string_equal(w.orders.name, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        w.orders.result = rows[i].result;
        buffer_clear(&w.out);
        world_send_text(&w, "DELETE /v1/cluster/members/x HTTP/1.1\r\n" HOST "\r\n");
        struct bytes out = buffer_view(&w.out);
        assert_non_null(find_text(bytes_of(out.ptr + 9, 4), rows[i].status));
        assert_non_null(find_text(out, "\r\nContent-Type: application/problem+json\r\n"));
        assert_non_null(find_text(out, order_result_text(rows[i].result)));
    }
    world_release(&w);
    assert_int_equal(w.orders.cancelled, 0);
}

static void test_an_order_is_waited_for_and_cancelled_with_its_session(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.orders.waits = true;
    world_send_text(&w, "DELETE /v1/cluster/members/a:1 HTTP/1.1\r\n" HOST "\r\nGET /ping HTTP/1.1\r\n" HOST "\r\n");
    assert_true(w.waits);
    world_expect(&w, "");
    w.orders.done(w.orders.context, ORDER_RESULT_DONE);
    assert_int_equal(w.woken, 1);
    world_send_text(&w, "");
    world_expect(&w, "204\n200\n");
    assert_null(find_text(buffer_view(&w.out), "204 No Content\r\nContent")); /* it has none, and says no length */
    world_send_text(&w, "POST /v1/cluster/leave HTTP/1.1\r\n" HOST "\r\n");
    assert_true(w.waits);
    world_release(&w);
    assert_int_equal(w.orders.cancelled, 1);
}

static void test_health_says_what_a_balancer_needs(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    ask(&w, "GET /livez", NULL, "200 ok\n\n");
    ask(&w, "GET /readyz", NULL, "200 ok\n\n");
    w.view.ready = false;
    ask(&w, "GET /readyz", NULL, "503 not ready: recovering, or no peer met yet\n\n");
    w.view.stopping = true;
    ask(&w, "GET /readyz", NULL, "503 not ready: shutting down\n\n");
    ask(&w, "GET /livez", NULL, "200 ok\n\n");
    world_release(&w);
}

static void test_metrics_follow_the_exposition_format(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    static const char odd_name[] = "a\"b\\c\nd:1";
    memcpy(w.members[1].node, odd_name, sizeof odd_name);
    ask(&w, "POST /increment", "{}", "200 {\"success\":true,\"count\":1}\n");
    buffer_clear(&w.out);
    world_send_text(&w, "GET /metrics HTTP/1.1\r\n" HOST "\r\n");
    static const char *const parts[] = {
        "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
        "# HELP quipu_build_info The version of this node, always 1.\n# TYPE quipu_build_info gauge\n"
        "quipu_build_info{version=\"0.1.0\"} 1\n",
        "# TYPE quipu_increments_total counter\nquipu_increments_total 1\n",
        "\nquipu_counters 1\n",
        "\nquipu_journal_sync_p99_seconds 0.001250\n",
        "\nprocess_cpu_seconds_total 1.500020\n",
        "\nquipu_peers_up 2\n",
        "# TYPE quipu_peer_up gauge\nquipu_peer_up{peer=\"a\\\"b\\\\c\\nd:1\"} 1\n"
        "quipu_peer_up{peer=\"localhost:8002\"} 0\nquipu_peer_up{peer=\"localhost:8003\"} 1\n",
        "\nquipu_replication_lag_seconds{peer=\"a\\\"b\\\\c\\nd:1\"} 0.040\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!find_text(buffer_view(&w.out), parts[i])) fail_msg("missing: %s", parts[i]);
    }
    assert_int_equal(w.out.ptr[w.out.len - 1], '\n');
    const char *path = getenv("METRICS_TO"); /* for promtool check metrics */
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        const uint8_t *body = find_text(buffer_view(&w.out), "\r\n\r\n") + 4;
        fwrite(body, 1, w.out.len - (size_t)(body - w.out.ptr), file);
        fclose(file);
    }
    world_release(&w);
}

/* What is not there */

static void test_unknown_routes_and_methods_are_told_apart(void **state)
{
    (void)state;
    static const char no_route[] = PROBLEM("not-found", "There is nothing of this name", "404", "no such route");
    static const char *const paths[] = { "/",
                                         "/countx",
                                         "/count/",
                                         "//count",
                                         "/v1/counters/",
                                         "/v1/counters//increment",
                                         "/v1/%63luster",
                                         "/v1/counters/a/b",
                                         "/COUNT",
                                         "/../etc/passwd",
                                         "/v1/counters/a/increment/" };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) expect_get(paths[i], no_route);
    expect_request("DELETE /nothing", "", NULL, no_route);
    static const char unknown[] =
        PROBLEM("unknown-method", "The method is not known", "501", "The method is not known");
    expect_request("PURGE /v1/cluster", "", NULL, unknown);
    expect_status("FOO /count HTTP/1.1\r\n" HOST "\r\n", "501 closed");
    expect_status("get /count HTTP/1.1\r\n" HOST "\r\n", "501 closed");
    expect_status("CONNECT localhost:80 HTTP/1.1\r\n" HOST "\r\n", "501 closed");
    expect_status("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "405");
}

static void expect_allow(const char *line, const char *allow)
{
    struct world w;
    world_init(&w);
    char input[256], field[64];
    snprintf(input, sizeof input, "%s HTTP/1.1\r\n" HOST "\r\n", line);
    snprintf(field, sizeof field, "\r\nAllow: %s\r\n", allow);
    world_send_text(&w, input);
    assert_non_null(find_text(buffer_view(&w.out), "HTTP/1.1 405 "));
    assert_non_null(find_text(buffer_view(&w.out), field));
    assert_false(w.closed);
    world_release(&w);
}

static void test_wrong_method_is_told_the_right_ones(void **state)
{
    (void)state;
    expect_allow("POST /count", "GET, HEAD");
    expect_allow("GET /increment", "POST");
    expect_allow("HEAD /v1/increments", "POST");
    expect_allow("TRACE /count", "GET, HEAD");
    expect_allow("DELETE /v1/counters/a", "GET, HEAD");
    expect_allow("GET /v1/cluster/members/a:1", "DELETE");
    expect_allow("POST /v1/cluster/members/a:1", "DELETE");
    expect_allow("PUT /v1/cluster/leave", "POST");
}

static void test_media_other_than_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *original, *v1;
    } cases[] = {
        { "Content-Type: application/json\r\n", "200", "200" },
        { "Content-Type: Application/JSON ; Charset=\"UTF-8\"\r\n", "200", "200" },
        { "Content-Type: application/json;charset=utf-16\r\n", "415", "415" },
        { "Content-Type: application/x-www-form-urlencoded\r\n", "200", "415" },
        { "Content-Type: text/xml\r\n", "415", "415" },
        { "Content-Type:\r\n", "415", "415" },
        { "Content-Encoding: gzip\r\n", "415", "415" },
        { "Content-Encoding: gzip\r\nContent-Type: application/json\r\n", "415", "415" },
        { "Content-Type: application/json\r\nContent-Encoding: identity\r\n", "200", "200" },
        { "Content-Type: application/json\r\nContent-Type: application/json\r\n", "400", "400" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int v1 = 0; v1 < 2; v1++) {
            struct world w;
            world_init(&w);
            char input[512];
            snprintf(input, sizeof input, "POST %s HTTP/1.1\r\n" HOST "%sContent-Length: 2\r\n\r\n{}",
                     v1 ? "/v1/counters/a/increment" : "/increment", cases[i].fields);
            world_send_text(&w, input);
            assert_memory_equal(w.out.ptr + 9, v1 ? cases[i].v1 : cases[i].original, 3);
            world_release(&w);
        }
    }
}

static void test_missing_body_is_asked_for(void **state)
{
    (void)state;
    expect_request("POST /increment", "", NULL, REFUSED("411", "A body is needed") "closed\n");
    expect_request("POST /v1/increments", "", NULL,
                   PROBLEM("length-required", "A body is needed", "411", "A body is needed") "closed\n");
}

static void test_unknown_query_parameters_are_refused(void **state)
{
    (void)state;
    expect_get("/v1/cluster?x=1", INVALID("unknown query parameter"));
    expect_post("/v1/counters/a/increment?ack=1", "{}", INVALID("unknown query parameter"));
    expect_get("/livez?verbose", "200 ok\n\n");
}

/* Memory, jansson's too. */

struct memory_story {
    struct world *w;
    const char *request;
};

static enum err feed_once(void *context)
{
    struct memory_story *story = context;
    struct buffer out = { 0 };
    struct session_result result;
    static const struct peer_info peer = { .id = 1 };
    struct http_session *s = http_session_new(&story->w->service, &peer, NULL, NULL);
    if (!s) return ERR_NOMEM;
    http_session_feed(s, bytes_of_text(story->request), &out, &result);
    bool refused = out.len > 12 && memcmp(out.ptr + 9, "507", 3) == 0;
    enum err err = out.failed || refused ? ERR_NOMEM : ERR_OK;
    http_session_free(s);
    buffer_release(&out);
    return err;
}

static void test_running_out_of_memory_is_told_or_ends_the_connection(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /increment HTTP/1.1\r\n" HOST "Content-Length: 23\r\n\r\n{\"\\u0063ounter\":\"aaaa\"}",
        "POST /increment HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "POST /increment HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}",
        "POST /v1/increments HTTP/1.1\r\n" HOST "Content-Length: 27\r\n\r\n[{\"name\":\"b\"},{\"name\":\"b\"}]",
        "POST /v1/increments HTTP/1.1\r\n" HOST
        "Content-Length: 43\r\n\r\n[{\"name\":\"\\u0062\"},{\"name\":\"b\",\"delta\":12}]",
        "GET /metrics HTTP/1.1\r\n" HOST "\r\n",
        "GET /v1/cluster HTTP/1.1\r\n" HOST "\r\n",
        "GET /nothing HTTP/1.1\r\n" HOST "\r\n",
    };
    struct world w;
    world_init(&w);
    ask(&w, "POST /v1/increments", "[{\"name\":\"aaaa\"},{\"name\":\"b\"},{\"name\":\"default\"}]",
        "200 {\"results\":[{\"name\":\"aaaa\",\"value\":1,\"value_string\":\"1\",\"applied\":1},"
        "{\"name\":\"b\",\"value\":1,\"value_string\":\"1\",\"applied\":1},"
        "{\"name\":\"default\",\"value\":1,\"value_string\":\"1\",\"applied\":1}]}\n");
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct memory_story story = { &w, requests[i] };
        assert_true(each_allocation_fails(feed_once, &story) > 1);
    }
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_original_routes_answer_as_its_users_know_them),
        cmocka_unit_test(test_alone_means_an_empty_peer_list),
        cmocka_unit_test(test_join_is_passed_on),
        cmocka_unit_test(test_bad_join_is_refused),
        cmocka_unit_test(test_bad_increments_are_refused),
        cmocka_unit_test(test_original_routes_can_name_a_counter),
        cmocka_unit_test(test_counter_is_counted_and_read),
        cmocka_unit_test(test_large_numbers_keep_all_digits),
        cmocka_unit_test(test_every_byte_of_a_name_may_be_escaped),
        cmocka_unit_test(test_bad_names_are_refused),
        cmocka_unit_test(test_bad_bodies_are_problems),
        cmocka_unit_test(test_deep_bodies_are_refused_without_going_down),
        cmocka_unit_test(test_value_that_would_not_fit_changes_nothing),
        cmocka_unit_test(test_refused_writes_have_their_status),
        cmocka_unit_test(test_batch_is_answered_in_order),
        cmocka_unit_test(test_batch_with_one_bad_item_applies_nothing),
        cmocka_unit_test(test_batch_has_a_largest_size),
        cmocka_unit_test(test_cluster_lists_members_with_their_state),
        cmocka_unit_test(test_verify_answers_when_it_is_done),
        cmocka_unit_test(test_verify_may_be_done_at_once),
        cmocka_unit_test(test_verify_is_cancelled_with_its_session),
        cmocka_unit_test(test_an_order_answers_with_what_came_of_it),
        cmocka_unit_test(test_an_order_is_waited_for_and_cancelled_with_its_session),
        cmocka_unit_test(test_health_says_what_a_balancer_needs),
        cmocka_unit_test(test_metrics_follow_the_exposition_format),
        cmocka_unit_test(test_unknown_routes_and_methods_are_told_apart),
        cmocka_unit_test(test_wrong_method_is_told_the_right_ones),
        cmocka_unit_test(test_media_other_than_json_is_refused),
        cmocka_unit_test(test_missing_body_is_asked_for),
        cmocka_unit_test(test_unknown_query_parameters_are_refused),
        cmocka_unit_test(test_running_out_of_memory_is_told_or_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
