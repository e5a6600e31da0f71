/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "base/random.h"
#include "http/json.h"

#include <stdio.h>

/* The plain reader against jansson */

static bool read_tree_object(struct bytes body, struct json_object *ret_object, json_t **ret_root)
{
    const char *detail;
    if (json_read_tree(body, ret_root, &detail) != ERR_OK) return false;
    if (json_read_object(*ret_root, ret_object) == ERR_OK) return true;
    json_decref(*ret_root);
    return false;
}

/* What the plain reader takes, jansson takes too, and both read the same. Returns whether it took it. */
static bool assert_both_agree(struct bytes body)
{
    struct json_object plain, tree;
    json_t *root;
    struct fenced fenced = fenced_copy(body);
    bool taken = json_read_plain(fenced.bytes, &plain);
    if (taken) {
        assert_true(read_tree_object(body, &tree, &root));
        assert_int_equal(plain.count, tree.count);
        for (uint32_t i = 0; i < plain.count; i++) {
            assert_true(bytes_equal(plain.fields[i].key, tree.fields[i].key));
            assert_int_equal(plain.fields[i].kind, tree.fields[i].kind);
            assert_int_equal(plain.fields[i].integer, tree.fields[i].integer);
            assert_true(bytes_equal(plain.fields[i].text, tree.fields[i].text));
        }
        json_decref(root);
    }
    fenced_release(&fenced);
    return taken;
}

static void test_common_bodies_need_no_tree(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{}",
        " { } ",
        "{\"delta\":5}",
        "{\"delta\":-9223372036854775808}",
        "{\"delta\":9223372036854775807}",
        "\r\n\t{ \"node_id\" : \"localhost:8000\" ,\n\"increment_count\" : 5 }\n",
        "{\"\":\"\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_true(assert_both_agree(bytes_of_text(bodies[i])));
    }
}

static void test_everything_else_is_left_to_jansson(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{",
        "{}x",
        "[]",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":01}",
        "{\"a\":-0}",
        "{\"a\":1.0}",
        "{\"a\":1e1}",
        "{\"a\":null}",
        "{\"a\":[1]}",
        "{\"\\u0061\":1}",
        "{\"a\":\"\xc3\xa9\"}",
        "{\"a\"}",
        "{,}",
        "{\"a\":9223372036854775808}",
        "{\"a\":+1}",
        "{\"a\":--1}",
        "{\"a\":-}",
        "{\"a\":\"\t\"}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1}}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_false(assert_both_agree(bytes_of_text(bodies[i])));
    }
    static const char with_nul[] = "{}\0";
    assert_false(assert_both_agree(bytes_of(with_nul, 3)));
}

static size_t mutate(struct random *r, uint8_t *text, size_t len, size_t cap)
{
    static const char bytes[] = "{}[]\",:\\ -+.eE0123456789ab\n\t/\x7f\xc3";
    for (uint64_t changes = random_below(r, 4); changes > 0; changes--) {
        size_t at = (size_t)random_below(r, len + 1);
        uint8_t byte = (uint8_t)bytes[random_below(r, sizeof bytes)];
        switch (random_below(r, 3)) {
        case 0:
            if (at < len) text[at] = byte;
            break;
        case 1:
            if (at < len) memmove(text + at, text + at + 1, --len - at);
            break;
        default:
            if (len == cap) break;
            memmove(text + at + 1, text + at, len++ - at);
            text[at] = byte;
        }
    }
    return len;
}

static void test_plain_reader_agrees_with_jansson_on_mutations(void **state)
{
    (void)state;
    static const char *const seeds[] = { "{\"node_id\":\"localhost:8000\",\"increment_count\":5}", "{\"delta\":-12}",
                                         "{\"a\":1,\"b\":\"x\",\"c\":0}", "{\"a\":9223372036854775807 }" };
    struct random r;
    random_init(&r, 8);
    uint32_t taken = 0;
    for (int round = 0; round < 40000; round++) {
        uint8_t text[128];
        const char *seed = seeds[round % 4];
        memcpy(text, seed, strlen(seed));
        size_t len = mutate(&r, text, strlen(seed), sizeof text);
        taken += assert_both_agree(bytes_of(text, len));
    }
    assert_in_range(taken, 10000, 39999);
}

static void test_objects_have_a_largest_size(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    struct json_object object;
    json_t *root;
    buffer_text(&body, "{\"k0\":0");
    for (uint32_t i = 1; i < JSON_FIELDS_MAX; i++) buffer_printf(&body, ",\"k%u\":%u", i, i);
    size_t most = body.len;
    buffer_u8(&body, '}');
    assert_true(assert_both_agree(buffer_view(&body)));
    body.len = most;
    buffer_text(&body, ",\"one\":1}");
    assert_false(json_read_plain(buffer_view(&body), &object));
    assert_false(read_tree_object(buffer_view(&body), &object, &root));
    buffer_release(&body);
}

/* Texts */

static void assert_written(struct bytes text, const char *expected)
{
    struct buffer out = { 0 };
    json_write_text(&out, text);
    assert_true(bytes_equal(buffer_view(&out), bytes_of_text(expected)));
    buffer_release(&out);
}

static void test_texts_are_escaped(void **state)
{
    (void)state;
    assert_written(bytes_of_text("a\"b\\c/\x7f"), "\"a\\\"b\\\\c/\x7f\"");
    assert_written(bytes_of("\0\n\x1f", 3), "\"\\u0000\\u000a\\u001f\"");
    assert_written(bytes_of_text("\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
    assert_written(bytes_of_text("a\xff\xe2\x82"), "\"a\\ufffd\\ufffd\\ufffd\"");
    assert_written(bytes_of(NULL, 0), "\"\"");
}

static void test_only_utf8_is_utf8(void **state)
{
    (void)state;
    static const char *const good[] = { "",
                                        "a",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = { "\x80",
                                       "\xbf",
                                       "\xc0\xaf",
                                       "\xc1\xbf",
                                       "\xc2",
                                       "\xc2z",
                                       "\xe0\x9f\xbf",
                                       "\xed\xa0\x80",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xfe",
                                       "\xe2\x82",
                                       "\xf0\x9f\x98" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) assert_true(utf8_is_valid(bytes_of_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(utf8_is_valid(bytes_of_text(bad[i])));
}

/* Names */

static void test_names_come_back_from_base64(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 3);
    for (size_t len = 1; len < 70; len++) {
        uint8_t name[70], back[70];
        for (size_t i = 0; i < len; i++) name[i] = (uint8_t)random_u64(&r);
        name[0] = 0xff; /* no UTF-8 */
        struct buffer out = { 0 };
        json_write_name(&out, bytes_of(name, len));
        static const char before[] = "\"name_base64\":\"";
        assert_memory_equal(out.ptr, before, sizeof before - 1);
        struct bytes text = bytes_of(out.ptr + sizeof before - 1, out.len - sizeof before);
        size_t back_len;
        assert_ok(base64_read(text, back, len, &back_len));
        assert_true(bytes_equal(bytes_of(back, back_len), bytes_of(name, len)));
        assert_err(base64_read(text, back, len - 1, &back_len), ERR_TOO_LONG);
        buffer_release(&out);
    }
}

static void test_base64_has_one_form(void **state)
{
    (void)state;
    static const char *const bad[] = { "Y",        "YQ",   "YQ=",    "Y===", "====", "YR==", "YWJ=",
                                       "YQ==YQ==", "Y=Q=", "YQ==\n", "Y Q=", "_w==", "YQ=a" };
    uint8_t out[16];
    size_t len;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_err(base64_read(bytes_of_text(bad[i]), out, sizeof out, &len), ERR_INVALID);
    }
    assert_ok(base64_read(bytes_of_text("YWJj"), out, sizeof out, &len));
    assert_true(bytes_equal(bytes_of(out, len), bytes_of_text("abc")));
    assert_ok(base64_read(bytes_of(NULL, 0), out, sizeof out, &len));
    assert_int_equal(len, 0);
}

/* Whichever request of jansson's own fails: a sound body is not called invalid. */
static enum err read_tree_once(void *body)
{
    const char *detail = NULL;
    json_t *root = NULL;
    enum err err = json_read_tree(bytes_of_text(body), &root, &detail);
    json_decref(root);
    return err;
}

static void test_no_memory_is_not_the_clients_fault(void **state)
{
    (void)state;
    char body[] = "[{\"name\":\"\\u00fc and more\",\"delta\":123456789012},[true,null,1.5],\"text\",-7]";
    assert_true(each_allocation_fails(read_tree_once, body) > 10);
    char broken[] = "[{\"name\":\"x\"},";
    assert_err(read_tree_once(broken), ERR_INVALID); /* and is told apart also afterwards */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_bodies_need_no_tree),
        cmocka_unit_test(test_everything_else_is_left_to_jansson),
        cmocka_unit_test(test_plain_reader_agrees_with_jansson_on_mutations),
        cmocka_unit_test(test_objects_have_a_largest_size),
        cmocka_unit_test(test_texts_are_escaped),
        cmocka_unit_test(test_only_utf8_is_utf8),
        cmocka_unit_test(test_names_come_back_from_base64),
        cmocka_unit_test(test_base64_has_one_form),
        cmocka_unit_test(test_no_memory_is_not_the_clients_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
