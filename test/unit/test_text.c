/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "server/text.h"

/* What is shown of bytes that end at an unmapped page. */
static const char *shown(struct bytes text)
{
    static char result[256];
    struct fenced copy = fenced_copy(text);
    text_show(copy.bytes, result, sizeof result);
    fenced_release(&copy);
    return result;
}

static void expect_shown(const char *text, const char *expected)
{
    assert_string_equal(shown(bytes_of_text(text)), expected);
}

static void test_plain_text_is_shown_as_it_is(void **state)
{
    (void)state;
    expect_shown("", "");
    expect_shown("hits per day!", "hits per day!");
    expect_shown("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8c",
                 "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8c");
    expect_shown("a\\x41", "a\\\\x41");
}

static void test_control_characters_are_shown_as_bytes(void **state)
{
    (void)state;
    assert_string_equal(shown(bytes_of("a\0b\x1b[2J\r\n\x7f", 10)), "a\\x00b\\x1b[2J\\x0d\\x0a\\x7f");
    expect_shown("\xc2\x9b"
                 "31m",
                 "\\xc2\\x9b31m"); /* C1: a CSI of one character */
    expect_shown("abc\xe2\x80\xae"
                 "cba",
                 "abc\\xe2\\x80\\xaecba");                                      /* right to left from here on */
    expect_shown("\xe2\x80\x8b\xef\xbb\xbf", "\\xe2\\x80\\x8b\\xef\\xbb\\xbf"); /* no width at all */
}

static void test_what_is_not_utf8_is_shown_as_bytes(void **state)
{
    (void)state;
    static const char *const broken[][2] = {
        { "\x80", "\\x80" }, /* nothing begins so */
        { "\xc3", "\\xc3" }, /* cut */
        { "\xe2\x82", "\\xe2\\x82" },
        { "\xf0\x9f\x90", "\\xf0\\x9f\\x90" },
        { "\xc3(", "\\xc3(" },        /* not continued */
        { "\xc0\xaf", "\\xc0\\xaf" }, /* longer than needed */
        { "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
        { "\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf" },
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" },                   /* half of a pair */
        { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },          /* above all characters */
        { "\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80" }, /* five bytes */
        { "\xff", "\\xff" },
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) expect_shown(broken[i][0], broken[i][1]);
}

/* At every size: it fits, ends whole, and says that it was cut. */
static void test_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    static const char text[] = "ab\xc3\xbc\n\xe2\x82\xac"
                               "cdefghij";
    char result[64];
    for (size_t cap = 8; cap <= sizeof result; cap++) {
        memset(result, '#', sizeof result);
        text_show(bytes_of_text(text), result, cap);
        size_t len = strlen(result);
        assert_true(len < cap);
        bool whole = strcmp(result, "ab\xc3\xbc\\x0a\xe2\x82\xac"
                                    "cdefghij") == 0;
        assert_true(whole || strcmp(result + len - 3, "...") == 0);
        assert_int_equal(whole, cap > strlen("ab__\\x0a___cdefghij"));
        if (!whole) assert_memory_equal(result, shown(bytes_of_text(text)), len - 3);
    }
}

static void test_nearest_word_is_found_and_far_ones_are_not(void **state)
{
    (void)state;
    static const char *const names[] = { "serve", "get", "peers", "status", "verify" };
    const size_t count = sizeof names / sizeof *names;
    assert_string_equal(text_nearest("serv", names, count), "serve");
    assert_string_equal(text_nearest("stauts", names, count), "status");
    assert_string_equal(text_nearest("ge", names, count), "get");
    assert_string_equal(text_nearest("xverify", names, count), "verify");
    assert_null(text_nearest("frobnicate", names, count));
    assert_null(text_nearest("", names, count));
    assert_null(text_nearest("verifyverifyverifyverifyverifyverifyverifyverify", names, count));
    assert_null(text_nearest("serve", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_is_shown_as_it_is),
        cmocka_unit_test(test_control_characters_are_shown_as_bytes),
        cmocka_unit_test(test_what_is_not_utf8_is_shown_as_bytes),
        cmocka_unit_test(test_long_text_is_cut_between_characters),
        cmocka_unit_test(test_nearest_word_is_found_and_far_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
