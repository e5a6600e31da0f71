/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line understands, and how it writes what it has to say. The verbs themselves are tested on the
 * program, in test/process/test_cli.py. */
#include "testing.h"

#include "cli/client.h"
#include "cli/options.h"
#include "cli/output.h"

#include <stdio.h>

#define WORDS_MAX 12

/* Options */

struct parsed {
    struct options options;
    enum err err;
    char error[OPTIONS_ERROR_BYTES];
    char line[256]; /* holds the words */
    char *words[WORDS_MAX];
};

/* Words are parted by spaces. */
static void parse(struct parsed *p, const char *line)
{
    *p = (struct parsed){ 0 };
    int count = 0;
    snprintf(p->line, sizeof p->line, "quipu %s", line);
    for (char *at = p->line; at;) {
        char *space = strchr(at, ' ');
        if (space) *space = '\0';
        assert_true(count < WORDS_MAX - 1);
        if (*at) p->words[count++] = at;
        at = space ? space + 1 : NULL;
    }
    p->err = options_parse(count, p->words, &p->options, p->error);
}

static void expect_words(const struct parsed *p, const char *expected)
{
    char joined[256] = "";
    for (int i = 0; i < p->options.words_count; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof joined - len, "%s%s", i > 0 ? " " : "", p->options.words[i]);
    }
    assert_string_equal(joined, expected);
    assert_null(p->options.words[p->options.words_count]);
}

static void test_options_may_stand_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *line, *verb, *words, *node;
        bool json;
    } cases[] = {
        { "get a b", "get", "a b", "localhost:8000", false },
        { "--json get a", "get", "a", "localhost:8000", true },
        { "get --node h:1 a --json b", "get", "a b", "h:1", true },
        { "--node=h:1 get a", "get", "a", "h:1", false },
        { "get a --node=h:1 --node=h:2", "get", "a", "h:2", false },
        { "incr a -5", "incr", "a -5", "localhost:8000", false },
        { "get -", "get", "-", "localhost:8000", false },
        { "get -- --json -- -h", "get", "--json -- -h", "localhost:8000", false },
        { "-- get a", "get", "a", "localhost:8000", false },
    };
    assert_int_equal(unsetenv("NODE_ID"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p;
        parse(&p, cases[i].line);
        assert_ok(p.err);
        assert_string_equal(p.options.verb, cases[i].verb);
        expect_words(&p, cases[i].words);
        assert_string_equal(p.options.node.text, cases[i].node);
        assert_int_equal(p.options.json, cases[i].json);
        assert_false(p.options.help || p.options.version);
    }
}

static void test_serve_keeps_its_words(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "serve --node-id a:1 --json --help --");
    assert_ok(p.err);
    expect_words(&p, "--node-id a:1 --json --help --");
    assert_false(p.options.json || p.options.help);
}

static void test_node_comes_from_the_environment_if_not_from_the_line(void **state)
{
    (void)state;
    struct parsed p;
    assert_int_equal(setenv("NODE_ID", "far:9", 1), 0);
    parse(&p, "peers");
    assert_ok(p.err);
    assert_string_equal(p.options.node.text, "far:9");
    parse(&p, "peers --node near:1");
    assert_string_equal(p.options.node.text, "near:1");
    assert_int_equal(setenv("NODE_ID", "nonsense", 1), 0);
    parse(&p, "peers");
    assert_err(p.err, ERR_INVALID);
    assert_non_null(strstr(p.error, "NODE_ID: \"nonsense\""));
    parse(&p, "peers --help"); /* who asks for help needs no node */
    assert_ok(p.err);
    assert_true(p.options.help);
    assert_int_equal(setenv("NODE_ID", "", 1), 0);
    parse(&p, "peers");
    assert_string_equal(p.options.node.text, "localhost:8000");
    assert_int_equal(unsetenv("NODE_ID"), 0);
}

static void test_what_is_not_understood_is_said_in_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *line, *error;
    } cases[] = {
        { "get a --jsno", "--jsno: no such option; did you mean --json" },
        { "get a --zzzzzzzzzz", "--zzzzzzzzzz: no such option; see quipu --help" },
        { "get a -x", "-x: no such option" },
        { "get a --node", "--node: a value is missing" },
        { "get a --node nowhere", "--node: \"nowhere\" is not understood" },
        { "get a --node=", "--node: \"\" is not understood" },
        { "--json serve", "--json: not for serve" },
        { "--node h:1 serve", "--node: not for serve" },
        { "get --\x1b[31m", "--\\x1b[31m: no such option" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p;
        parse(&p, cases[i].line);
        assert_err(p.err, ERR_INVALID);
        if (strncmp(p.error, cases[i].error, strlen(cases[i].error)) != 0) assert_string_equal(p.error, cases[i].error);
        assert_null(strchr(p.error, '\n'));
    }
}

static void test_no_words_is_no_verb(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "");
    assert_ok(p.err);
    assert_null(p.options.verb);
    parse(&p, "-h");
    assert_true(p.err == ERR_OK && p.options.help && !p.options.verb);
    parse(&p, "get -V");
    assert_true(p.err == ERR_OK && p.options.version);
}

/* Output */

static void expect_text(struct output *out, const char *expected)
{
    buffer_u8(&out->text, '\0');
    assert_ok(buffer_end(&out->text));
    assert_string_equal((const char *)out->text.ptr, expected);
    buffer_release(&out->text);
}

static void fill_sheet(struct sheet *sheet)
{
    static const char *const titles[] = { "NAME", "N", "STATE" };
    sheet_init(sheet, titles, 3);
    sheet_cell(sheet, bytes_of_text("\xc3\xbc"), COLOUR_NONE); /* one column wide, two bytes */
    sheet_printf(sheet, COLOUR_NONE, "%d", 12345);
    sheet_cell(sheet, bytes_of_text("up"), COLOUR_GOOD);
    sheet_cell(sheet, bytes_of("a\x1b[31m\nb", 8), COLOUR_NONE);
    sheet_printf(sheet, COLOUR_NONE, "%d", 6);
    sheet_cell(sheet, bytes_of_text("down"), COLOUR_BAD);
}

static void test_a_pipe_gets_lines_with_tabs(void **state)
{
    (void)state;
    struct output out = { .verb = "status" };
    struct sheet sheet;
    fill_sheet(&sheet);
    sheet_end(&sheet, &out);
    expect_text(&out, "\xc3\xbc\t12345\tup\n"
                      "a\\x1b[31m\\x0ab\t6\tdown\n");
}

static void test_a_terminal_gets_columns(void **state)
{
    (void)state;
    struct output out = { .verb = "status", .table = true };
    struct sheet sheet;
    fill_sheet(&sheet);
    sheet_end(&sheet, &out);
    expect_text(&out, "NAME            N      STATE\n"
                      "\xc3\xbc               12345  up\n"
                      "a\\x1b[31m\\x0ab  6      down\n");
}

static void test_colour_is_around_the_text_and_not_the_padding(void **state)
{
    (void)state;
    static const char *const titles[] = { "S", "T" };
    struct output out = { .verb = "status", .table = true, .colour = true };
    struct sheet sheet;
    sheet_init(&sheet, titles, 2);
    sheet_cell(&sheet, bytes_of_text("up"), COLOUR_GOOD);
    sheet_cell(&sheet, bytes_of_text("x"), COLOUR_NONE);
    sheet_end(&sheet, &out);
    expect_text(&out, "\x1b[1mS\x1b[0m   \x1b[1mT\x1b[0m\n"
                      "\x1b[32mup\x1b[0m  x\n");
}

static void test_json_is_ascii_and_one_line(void **state)
{
    (void)state;
    struct output out = { .json = true };
    json_t *value = json_pack("{s:s,s:I}", "name", "\xc3\xbc\x1b", "value", (json_int_t)INT64_MAX);
    assert_non_null(value);
    output_json(&out, value);
    json_decref(value);
    expect_text(&out, "{\"name\":\"\\u00FC\\u001B\",\"value\":9223372036854775807}\n");
}

static void test_names_are_escaped_for_a_path(void **state)
{
    (void)state;
    struct buffer path = { 0 };
    client_escape(&path, bytes_of("az-._~09/%? \xff\0+", 15));
    assert_ok(buffer_end(&path));
    static const char expected[] = "az-._~09%2F%25%3F%20%FF%00%2B";
    assert_int_equal(path.len, strlen(expected));
    assert_memory_equal(path.ptr, expected, path.len);
    buffer_release(&path);
}

/* A table is asked for memory all over; without it nothing half is written. */
static enum err write_table(void *context)
{
    (void)context;
    struct output out = { .table = true };
    struct sheet sheet;
    fill_sheet(&sheet);
    sheet_end(&sheet, &out);
    enum err err = buffer_end(&out.text);
    buffer_release(&out.text);
    return err;
}

static void test_running_out_of_memory_shows_in_the_output(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(write_table, NULL) > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_may_stand_anywhere),
        cmocka_unit_test(test_serve_keeps_its_words),
        cmocka_unit_test(test_node_comes_from_the_environment_if_not_from_the_line),
        cmocka_unit_test(test_what_is_not_understood_is_said_in_one_line),
        cmocka_unit_test(test_no_words_is_no_verb),
        cmocka_unit_test(test_a_pipe_gets_lines_with_tabs),
        cmocka_unit_test(test_a_terminal_gets_columns),
        cmocka_unit_test(test_colour_is_around_the_text_and_not_the_padding),
        cmocka_unit_test(test_json_is_ascii_and_one_line),
        cmocka_unit_test(test_names_are_escaped_for_a_path),
        cmocka_unit_test(test_running_out_of_memory_shows_in_the_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
