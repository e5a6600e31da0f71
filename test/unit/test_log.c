/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "server/log.h"

#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <unistd.h>

#define OUTPUT_BYTES_MAX (1u << 20)
#define TIME_TEXT "2026-11-23T00:30:12.123Z"

/* What a story writes to standard error, caught in a file. */
struct catch
{
    FILE *file;
    int stderr_before;
    char text[OUTPUT_BYTES_MAX];
};
static struct catch caught;

static void catch_begin(void)
{
    caught.file = tmpfile();
    assert_non_null(caught.file);
    caught.stderr_before = dup(STDERR_FILENO);
    assert_true(dup2(fileno(caught.file), STDERR_FILENO) >= 0);
}

static const char *catch_end(void)
{
    assert_true(dup2(caught.stderr_before, STDERR_FILENO) >= 0);
    assert_int_equal(close(caught.stderr_before), 0);
    rewind(caught.file);
    size_t len = fread(caught.text, 1, sizeof caught.text - 1, caught.file);
    caught.text[len] = '\0';
    assert_int_equal(fclose(caught.file), 0);
    return caught.text;
}

static size_t lines_in(const char *text)
{
    size_t lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0) fail_msg("\"%s\" does not match \"%s\"", text, pattern);
    regfree(&regex);
}

static void test_text_line_has_time_level_message_and_fields(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    catch_begin();
    log_event(LOG_INFO, "listening", log_text("address", "localhost:8000"), log_number("workers", -2));
    const char *line = catch_end();
    assert_matches(line, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z ");
    assert_string_equal(line + strlen(TIME_TEXT), " info  listening address=localhost:8000 workers=-2\n");
}

static void test_messages_stand_in_one_column_at_every_level(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_DEBUG);
    static const char *const expected[] = { " error hi\n", " warn  hi\n", " info  hi\n", " debug hi\n" };
    for (enum log_level level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        catch_begin();
        log_line(level, "hi");
        assert_string_equal(catch_end() + strlen(TIME_TEXT), expected[level]);
    }
}

static void test_json_line_is_one_object(void **state)
{
    (void)state;
    log_setup(LOG_JSON, LOG_INFO);
    catch_begin();
    log_event(LOG_WARN, "say \"hi\"\n", log_text("back", "a\\b"), log_number("n", INT64_MIN),
              log_bytes("raw", bytes_of("\x00\xff\xc3\xa9", 4)));
    const char *line = catch_end();
    assert_matches(line, "^\\{\"time\":\"[0-9T:.-]+Z\",\"level\":\"warn\",\"message\":");
    assert_string_equal(strstr(line, "\"message\""),
                        "\"message\":\"say \\\"hi\\\"\\u000a\",\"back\":\"a\\\\b\",\"n\":-9223372036854775808,"
                        "\"raw\":\"\\u0000\\ufffd\xc3\xa9\"}\n");
}

static void test_less_important_lines_are_left_out(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_WARN);
    catch_begin();
    log_line(LOG_DEBUG, "debug");
    log_line(LOG_INFO, "info");
    log_line(LOG_WARN, "warn");
    log_line(LOG_ERROR, "error");
    const char *lines = catch_end();
    assert_int_equal(lines_in(lines), 2);
    assert_null(strstr(lines, "info"));
    assert_true(log_wants(LOG_WARN));
    assert_false(log_wants(LOG_INFO));
}

/* A name with a line feed in it must not look like two lines, nor one with an escape colour the terminal. */
static void test_strangers_bytes_cannot_forge_lines_or_fields(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    catch_begin();
    log_event(LOG_INFO, "bad\r\nname", log_text("a", "x\ny"), log_text("b", "1 c=2"), log_text("d", "q\"\\"),
              log_text("e", ""), log_text("f", "\x1b[31m\xe2\x80\xae\x80gr\xc3\xbc\xc3\x9f"));
    assert_string_equal(catch_end() + strlen(TIME_TEXT),
                        " info  bad\\x0d\\x0aname a=\"x\\x0ay\" b=\"1 c=2\" d=\"q\\\"\\\\\" e=\"\" "
                        "f=\"\\x1b[31m\\xe2\\x80\\xae\\x80gr\xc3\xbc\xc3\x9f\"\n");
}

static void test_long_line_is_cut_and_stays_whole(void **state)
{
    (void)state;
    char *text = mem_alloc_zero(100001, 1);
    assert_non_null(text);
    memset(text, '"', 100000);
    for (enum log_format format = LOG_TEXT; format <= LOG_JSON; format++) {
        log_setup(format, LOG_INFO);
        catch_begin();
        log_line(LOG_INFO, "%s", text);
        log_event(LOG_INFO, "short", log_number("kept", 1), log_text("long", text), log_number("behind", 2));
        const char *lines = catch_end();
        assert_int_equal(lines_in(lines), 2);
        assert_true(strlen(lines) < (size_t)2 * LOG_LINE_BYTES_MAX);
        assert_non_null(strstr(lines, format == LOG_JSON ? "...\"}\n" : "...\n"));
        assert_non_null(strstr(lines, format == LOG_JSON ? "\"kept\":1}\n" : " kept=1\n"));
        assert_null(strstr(lines, "behind"));
    }
    mem_free(text);
}

static void flood(int count)
{
    for (int i = 0; i < count; i++) log_line(LOG_INFO, "flood");
}

static void test_flood_from_one_place_is_kept_back_and_counted(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    catch_begin();
    flood(100000);
    log_line(LOG_INFO, "from another place");
    log_tell_suppressed();
    log_tell_suppressed();
    const char *lines = catch_end();
    size_t count = lines_in(lines);
    assert_in_range(count, LOG_BURST + 2, LOG_BURST + 2 + 10 * LOG_LINES_PER_S); /* the machine may be slow */
    assert_non_null(strstr(lines, "from another place"));
    assert_matches(lines, " warn  [0-9]{5} more lines from test_log\\.c:[0-9]+ were kept back\n$");
}

static struct log_site shared_site = LOG_SITE_INIT;

/* The line after a flood says how many it stands for. */
static void test_next_line_says_how_many_were_kept_back(void **state)
{
    (void)state;
    log_setup(LOG_JSON, LOG_INFO);
    catch_begin();
    for (int i = 0; i < 1000; i++) log_line_at(&shared_site, LOG_INFO, "flood");
    shared_site.filled_at_ms -= 250; /* a quarter of a second later */
    log_line_at(&shared_site, LOG_INFO, "after");
    log_tell_suppressed();
    const char *lines = catch_end();
    assert_matches(lines, "\"message\":\"(after|flood)\",\"suppressed\":[0-9]+}\n");
}

#define THREADS 4
#define LINES_PER_THREAD 500

static void *write_lines(void *text)
{
    for (int i = 0; i < LINES_PER_THREAD; i++) {
        struct log_site site = { .listed = false }; /* a fresh budget for each line */
        log_line_at(&site, LOG_INFO, "%s", (const char *)text);
        log_line(LOG_INFO, "%s", (const char *)text);
    }
    return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static char texts[THREADS][200];
    pthread_t threads[THREADS];
    log_setup(LOG_TEXT, LOG_INFO);
    catch_begin();
    for (size_t i = 0; i < THREADS; i++) {
        memset(texts[i], 'a' + (int)i, sizeof texts[i] - 1);
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, texts[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    log_tell_suppressed();
    char *rest = (char *)(uintptr_t)catch_end(), *line;
    size_t count = 0;
    while ((line = strsep(&rest, "\n")) && *line) {
        if (strstr(line, "kept back")) continue;
        const char *message = line + strlen(TIME_TEXT " info  ");
        assert_int_equal(strspn(message, (const char[]){ message[0], '\0' }), sizeof texts[0] - 1);
        count++;
    }
    assert_true(count >= THREADS * LINES_PER_THREAD);
}

static void test_closed_standard_error_is_no_trouble(void **state)
{
    (void)state;
    int before = dup(STDERR_FILENO);
    assert_int_equal(close(STDERR_FILENO), 0);
    log_line(LOG_INFO, "nobody hears this");
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    assert_int_equal(close(before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_line_has_time_level_message_and_fields),
        cmocka_unit_test(test_messages_stand_in_one_column_at_every_level),
        cmocka_unit_test(test_json_line_is_one_object),
        cmocka_unit_test(test_less_important_lines_are_left_out),
        cmocka_unit_test(test_strangers_bytes_cannot_forge_lines_or_fields),
        cmocka_unit_test(test_long_line_is_cut_and_stays_whole),
        cmocka_unit_test(test_flood_from_one_place_is_kept_back_and_counted),
        cmocka_unit_test(test_next_line_says_how_many_were_kept_back),
        cmocka_unit_test(test_lines_of_threads_do_not_mix),
        cmocka_unit_test(test_closed_standard_error_is_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
