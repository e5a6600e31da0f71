/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "server/settings.h"
#include "server/text.h"

#include <inttypes.h>
#include <stdio.h>

#define WORDS_MAX 16

/* A command line and an environment, each as words in one text, separated by '|'. */
struct start {
    char *argv[WORDS_MAX], *environment[WORDS_MAX];
    int argc;
    char text[2][8192];
};

static int split(char text[static 8192], const char *words, char *ret_words[WORDS_MAX])
{
    int count = 0;
    assert_true(strlen(words) < 8192);
    memcpy(text, words, strlen(words) + 1);
    for (char *rest = text, *word; words[0] != '\0' && (word = strsep(&rest, "|"));) {
        assert_true(count < WORDS_MAX - 1);
        ret_words[count++] = word;
    }
    ret_words[count] = NULL;
    return count;
}

static enum err parse(const char *flags, const char *variables, struct settings *ret_settings, char ret_error[256])
{
    static struct start start;
    start.argc = split(start.text[0], flags, start.argv);
    split(start.text[1], variables, start.environment);
    return settings_parse(start.argc, start.argv, start.environment, ret_settings, ret_error);
}

static struct settings parse_well(const char *flags, const char *variables)
{
    struct settings s = { 0 };
    char error[SETTINGS_ERROR_BYTES];
    enum err err = parse(flags, variables, &s, error);
    assert_string_equal(error, "");
    assert_ok(err);
    return s;
}

static void refuse(const char *flags, const char *variables, const char *expected)
{
    struct settings s;
    char error[SETTINGS_ERROR_BYTES];
    assert_err(parse(flags, variables, &s, error), ERR_INVALID);
    assert_string_equal(error, expected);
}

/* Says one setting as text, so that a table of expectations can be read. */
static const char *show(const struct settings *s, const char *flag)
{
    static char text[16384];
    text[0] = '\0';
    if (strcmp(flag, "--peers") == 0) {
        for (uint32_t i = 0; i < s->peers_count; i++) {
            size_t len = strlen(text);
            snprintf(text + len, sizeof text - len, "%s%s", i > 0 ? "," : "", s->peers[i]);
        }
        return text;
    }
    if (strcmp(flag, "--node-id") == 0) return s->node.text;
    if (strcmp(flag, "--listen") == 0) return s->listen.text;
    if (strcmp(flag, "--data-dir") == 0) return s->data_dir_none ? "none" : s->data_dir;
    if (strcmp(flag, "--durability") == 0) return s->durability_sync ? "sync" : "async";
    if (strcmp(flag, "--cluster") == 0) return s->cluster;
    if (strcmp(flag, "--discover") == 0) return s->discover == DISCOVER_OFF ? "off" : "loopback";
    if (strcmp(flag, "--insecure") == 0) return s->insecure ? "1" : "0";
    if (strcmp(flag, "--log-format") == 0) return s->log_format == LOG_TEXT ? "text" : "json";
    if (strcmp(flag, "--log-level") == 0) {
        return (const char *[]){ "error", "warn", "info", "debug" }[s->log_level];
    }
    uint32_t number = strcmp(flag, "--workers") == 0           ? s->workers
                      : strcmp(flag, "--discover-port") == 0   ? s->discover_port
                      : strcmp(flag, "--heartbeat-ms") == 0    ? s->heartbeat_ms
                      : strcmp(flag, "--peer-timeout-ms") == 0 ? s->peer_timeout_ms
                      : strcmp(flag, "--backoff-min-ms") == 0  ? s->backoff_ms_min
                      : strcmp(flag, "--backoff-max-ms") == 0  ? s->backoff_ms_max
                                                               : 0;
    if (strcmp(flag, "--max-memory") != 0) assert_true(number > 0);
    snprintf(text, sizeof text, "%" PRIu32, number);
    return text;
}

static const struct {
    const char *flag, *variable;
    const char *fallback; /* NULL: depends on the machine */
    const char *good[3];  /* in its canonical form; at least one other than the fallback, where there is one */
    const char *bad[6];
    const char *allowed;
} rows[] = {
    { "--node-id",
      "NODE_ID",
      "localhost:8000",
      { "[::1]:1", "127.0.0.9:65535", "a.localhost:8000" },
      { "localhost", "localhost:0", "localhost:65536", "::1:8000", "0.0.0.0:1", "a b:1" },
      "host:port, IPv6 as [::1]:8000, port 1 to 65535" },
    { "--peers",
      "PEERS",
      "",
      { "a:1", "a:1,b:2", "[::1]:8000,10.0.0.1:80" },
      { "a", "a:1,b", "a:1;b:2", "a:1 b:2", "a:01", "[::]:1" },
      "a comma-separated list of up to 1024 host:port, or none" },
    { "--listen",
      "QUIPU_LISTEN",
      "localhost:8000",
      { "127.0.0.1:1", "[::1]:8000" },
      { "8000", ":8000", "*:8000", "[::1]", "127.1:80", "[::1%lo]:1" },
      "host:port, IPv6 as [::1]:8000, port 1 to 65535" },
    { "--data-dir",
      "QUIPU_DATA_DIR",
      "./localhost_8000.quipu",
      { "/tmp/a b", "none", "./none" },
      { "a\nb", "\x7f" },
      "none, or a path of at most 3071 bytes without control characters" },
    { "--durability",
      "QUIPU_DURABILITY",
      "sync",
      { "async", "sync" },
      { "SYNC", "always", "sync, async", " sync" },
      "sync, async" },
    { "--workers",
      "QUIPU_WORKERS",
      NULL,
      { "1", "64" },
      { "0", "65", "-1", "1.5", "two", "18446744073709551617" },
      "1 to 64" },
    { "--max-memory", "QUIPU_MAX_MEMORY", "0", { "0" }, { "-1", "1GB", "9223372036854775808" }, "0" },
    { "--cluster",
      "QUIPU_CLUSTER",
      "quipu",
      { "my cluster", "\xc3\xa9" },
      { "a\tb", "\xff", "\xe2\x80\xae", "\x1b[1m" },
      "1 to 255 bytes of printable UTF-8" },
    { "--discover", "QUIPU_DISCOVER", "loopback", { "off", "loopback" }, { "on", "OFF", "loopbac" }, "off, loopback" },
    { "--discover-port",
      "QUIPU_DISCOVER_PORT",
      "7745",
      { "1", "65535" },
      { "0", "65536", "07745", "+1" },
      "1 to 65535" },
    { "--heartbeat-ms", "QUIPU_HEARTBEAT_MS", "500", { "10", "2999" }, { "9", "60001", "1s", "0x10" }, "10 to 60000" },
    { "--peer-timeout-ms",
      "QUIPU_PEER_TIMEOUT_MS",
      "3000",
      { "501", "600000" },
      { "10", "600001", "-5" },
      "11 to 600000" },
    { "--backoff-min-ms", "QUIPU_BACKOFF_MIN_MS", "500", { "10", "30000" }, { "9", "600001", "1e3" }, "10 to 600000" },
    { "--backoff-max-ms",
      "QUIPU_BACKOFF_MAX_MS",
      "30000",
      { "500", "600000" },
      { "9", "600001", "1_000" },
      "10 to 600000" },
    { "--insecure", "QUIPU_INSECURE", "0", { "1", "0" }, { "yes", "true", "01", "2" }, "0, 1" },
    { "--log-format", "QUIPU_LOG_FORMAT", "text", { "json", "text" }, { "xml", "JSON" }, "text, json" },
    { "--log-level",
      "QUIPU_LOG_LEVEL",
      "info",
      { "error", "debug", "warn" },
      { "trace", "3" },
      "error, warn, info, debug" },
};
#define ROWS (sizeof rows / sizeof *rows)
#define EACH(item, list) for (size_t item = 0; item < sizeof(list) / sizeof *(list) && (list)[item]; item++)

static void expect(const char *flags, const char *variables, const char *flag, const char *expected)
{
    struct settings s = parse_well(flags, variables);
    assert_string_equal(show(&s, flag), expected);
    settings_release(&s);
}

static void test_each_setting_has_its_default(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].fallback) expect("", "", rows[i].flag, rows[i].fallback);
    }
    struct settings s = parse_well("", "");
    assert_in_range(s.workers, 1, 64);
    assert_int_equal(s.wish, SETTINGS_SERVE);
    assert_int_equal(s.node.port, 8000);
    assert_string_equal(s.node.host, "localhost");
    settings_release(&s);
}

static void test_each_setting_is_taken_from_flag_or_variable_and_the_flag_wins(void **state)
{
    (void)state;
    char flags[512], variables[512];
    for (size_t i = 0; i < ROWS; i++) {
        EACH(good, rows[i].good)
        {
            const char *value = rows[i].good[good], *other = rows[i].bad[0];
            snprintf(flags, sizeof flags, "%s=%s", rows[i].flag, value);
            snprintf(variables, sizeof variables, "%s=%s", rows[i].variable, value);
            expect(flags, "", rows[i].flag, value);
            expect("", variables, rows[i].flag, value);
            /* What the flag overrules is not even looked at. */
            snprintf(variables, sizeof variables, "%s=%s", rows[i].variable, other);
            expect(flags, variables, rows[i].flag, value);
            if (strcmp(rows[i].flag, "--insecure") == 0) continue; /* takes no word of its own */
            snprintf(flags, sizeof flags, "%s|%s|%s|%s", rows[i].flag, other, rows[i].flag, value);
            expect(flags, "", rows[i].flag, value);
        }
    }
}

static void test_each_bad_value_is_named_with_what_is_allowed(void **state)
{
    (void)state;
    char words[512], expected[512], shown[128];
    for (size_t i = 0; i < ROWS; i++) {
        EACH(bad, rows[i].bad)
        {
            text_show(bytes_of_text(rows[i].bad[bad]), shown, sizeof shown);
            snprintf(words, sizeof words, "%s=%s", rows[i].flag, rows[i].bad[bad]);
            snprintf(expected, sizeof expected, "%s: \"%s\" is not understood; allowed: %s", rows[i].flag, shown,
                     rows[i].allowed);
            refuse(words, "", expected);
            snprintf(words, sizeof words, "%s=%s", rows[i].variable, rows[i].bad[bad]);
            snprintf(expected, sizeof expected, "%s: \"%s\" is not understood; allowed: %s", rows[i].variable, shown,
                     rows[i].allowed);
            refuse("", words, expected);
        }
    }
}

static void test_empty_variable_counts_as_unset_and_empty_flag_is_a_value(void **state)
{
    (void)state;
    char words[512], expected[512];
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(words, sizeof words, "%s=", rows[i].variable);
        if (rows[i].fallback) expect("", words, rows[i].flag, rows[i].fallback);
        snprintf(words, sizeof words, "%s=", rows[i].flag);
        snprintf(expected, sizeof expected, "%s: \"\" is not understood; allowed: %s", rows[i].flag, rows[i].allowed);
        if (strcmp(rows[i].flag, "--peers") == 0)
            expect(words, "PEERS=a:1", "--peers", "");
        else
            refuse(words, "", expected);
    }
}

static void test_missing_value_and_unknown_flag_are_named(void **state)
{
    (void)state;
    refuse("--workers", "", "--workers: a value is missing; allowed: 1 to 64");
    refuse("--insecure|--log-level", "", "--log-level: a value is missing; allowed: error, warn, info, debug");
    refuse("--wrokers=3", "", "--wrokers: no such setting; did you mean --workers?");
    refuse("--frobnicate|1", "", "--frobnicate: no such setting; allowed: what `quipu serve --help` lists");
    refuse("--a\nb", "", "--a\\x0ab: no such setting; allowed: what `quipu serve --help` lists");
    refuse("localhost:8000", "", "\"localhost:8000\": serve takes settings only; each begins with --");
    refuse("--peers|a:1|b:1", "", "\"b:1\": serve takes settings only; each begins with --");
    refuse("-", "", "-: no such setting; allowed: what `quipu serve --help` lists");
}

static void test_variables_of_similar_names_are_others(void **state)
{
    (void)state;
    expect("", "QUIPU_WORKERSX=9|QUIPU_WORKER=9|XQUIPU_WORKERS=9|QUIPU_WORKERS=3", "--workers", "3");
    expect("", "QUIPU_PORT=tcp://10.0.0.1:8000|PEERS", "--peers", "");
}

static void test_list_of_peers_forgives_spaces_gaps_repeats_and_the_node_itself(void **state)
{
    (void)state;
    expect("--peers|  a:1 , b:2 ,, a:1,localhost:8000, ", "", "--peers", "a:1,b:2");
    expect("--peers|localhost:8000,localhost:8001", "NODE_ID=localhost:8001", "--peers", "localhost:8000");
    expect("--peers| ", "", "--peers", "");
}

static size_t add_peer(char *text, size_t cap, int port)
{
    int len = snprintf(text, cap, "a:%d,", port);
    assert_true(len > 0 && (size_t)len < cap);
    return (size_t)len;
}

static void test_list_of_peers_is_bounded(void **state)
{
    (void)state;
    char words[8192] = "--peers=", error[SETTINGS_ERROR_BYTES];
    size_t len = strlen(words);
    for (int i = 1; i <= PEERS_COUNT_MAX; i++) len += add_peer(words + len, sizeof words - len, i);
    struct settings s = parse_well(words, "");
    assert_int_equal(s.peers_count, PEERS_COUNT_MAX);
    settings_release(&s);
    add_peer(words + len, sizeof words - len, PEERS_COUNT_MAX + 1);
    assert_err(parse(words, "", &s, error), ERR_INVALID);
    assert_non_null(strstr(error, "up to 1024"));
}

static void test_data_directory_is_named_after_the_node(void **state)
{
    (void)state;
    expect("--node-id|[::1]:8001", "", "--data-dir", "./::1_8001.quipu");
    expect("--node-id|127.0.0.1:9|--listen|127.0.0.1:10", "", "--data-dir", "./127.0.0.1_9.quipu");
}

static void test_no_data_directory_implies_async(void **state)
{
    (void)state;
    expect("--data-dir|none", "", "--durability", "async");
    expect("--data-dir|none|--durability|sync", "", "--durability", "async");
    expect("--data-dir|./none", "", "--durability", "sync");
}

static void test_discovery_is_on_only_where_the_bind_address_is_loopback(void **state)
{
    (void)state;
    expect("--node-id|10.0.0.1:8000|--insecure", "", "--discover", "off");
    expect("--node-id|10.0.0.1:8000|--listen|127.0.0.1:8000", "", "--discover", "loopback");
    expect("--node-id|10.0.0.1:8000|--insecure|--discover|loopback", "", "--discover", "loopback");
}

static void test_listening_beyond_loopback_must_be_asked_for(void **state)
{
    (void)state;
    refuse("--node-id|10.0.0.1:8000", "",
           "--node-id: \"10.0.0.1:8000\" would be open beyond loopback without authentication; "
           "allowed: a loopback address, or --insecure");
    refuse("", "NODE_ID=db.example:1|QUIPU_LISTEN=[::]:1",
           "QUIPU_LISTEN: \"[::]:1\" would be open beyond loopback without authentication; "
           "allowed: a loopback address, or --insecure");
    expect("--listen|0.0.0.0:1", "NODE_ID=db.example:1|QUIPU_INSECURE=1", "--listen", "0.0.0.0:1");
}

static void test_loopback_name_cannot_stand_for_a_public_address(void **state)
{
    (void)state;
    refuse("--listen|0.0.0.0:8000|--insecure", "",
           "--listen: \"0.0.0.0:8000\" is beyond loopback but the node id is not; "
           "allowed: a loopback address, or a node id (--node-id) that others can reach");
}

static void test_times_must_stand_in_order(void **state)
{
    (void)state;
    refuse("--peer-timeout-ms|500", "",
           "--peer-timeout-ms: \"500\" does not fit; allowed: more than 500 (--heartbeat-ms)");
    refuse("--heartbeat-ms|3000", "",
           "--heartbeat-ms: \"3000\" does not fit; allowed: less than 3000 (--peer-timeout-ms)");
    refuse("", "QUIPU_HEARTBEAT_MS=900|QUIPU_PEER_TIMEOUT_MS=800",
           "QUIPU_PEER_TIMEOUT_MS: \"800\" does not fit; allowed: more than 900 (QUIPU_HEARTBEAT_MS)");
    refuse("--backoff-max-ms|499", "",
           "--backoff-max-ms: \"499\" does not fit; allowed: at least 500 (--backoff-min-ms)");
    refuse("--backoff-min-ms|30001", "",
           "--backoff-min-ms: \"30001\" does not fit; allowed: at most 30000 (--backoff-max-ms)");
    expect("--backoff-min-ms|700|--backoff-max-ms|700", "", "--backoff-max-ms", "700");
}

static void test_what_comes_later_is_known_and_refused(void **state)
{
    (void)state;
    static const char *const later[] = { "--users-file", "--peer-secret-file", "--tls-cert",     "--tls-key",
                                         "--tls-ca",     "--tls-client-auth",  "--allow-origin", "--allow-host" };
    char words[128], expected[256];
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        snprintf(words, sizeof words, "%s|x", later[i]);
        snprintf(expected, sizeof expected, "%s: \"x\" is not in this version yet; allowed: leaving it out", later[i]);
        refuse(words, "", expected);
    }
    refuse("", "QUIPU_TLS_CERT=/a", "QUIPU_TLS_CERT: \"/a\" is not in this version yet; allowed: leaving it out");
    refuse("--max-memory|1", "", "--max-memory: \"1\" is not in this version yet; allowed: 0");
    refuse("--discover|lan", "", "--discover: \"lan\" is not in this version yet; allowed: off, loopback");
}

static void test_long_values_are_refused_and_cut_in_the_message(void **state)
{
    (void)state;
    char words[4096] = "--data-dir=", error[SETTINGS_ERROR_BYTES];
    size_t len = strlen(words);
    struct settings s;
    memset(words + len, 'd', DATA_DIR_BYTES_MAX);
    assert_err(parse(words, "", &s, error), ERR_INVALID);
    assert_non_null(strstr(error, "dddd...\" is not understood; allowed: none, or a path of at most 3071 bytes"));
    words[len + DATA_DIR_BYTES_MAX - 1] = '\0';
    s = parse_well(words, "");
    assert_int_equal(strlen(s.data_dir), DATA_DIR_BYTES_MAX - 1);
    settings_release(&s);
    memcpy(words, "--cluster=", strlen("--cluster=") + 1);
    memset(words + strlen(words), 'c', CLUSTER_BYTES_MAX);
    assert_err(parse(words, "", &s, error), ERR_INVALID);
}

static void test_help_and_version_end_the_parsing(void **state)
{
    (void)state;
    struct settings s = parse_well("--help|--frobnicate", "QUIPU_WORKERS=x");
    assert_int_equal(s.wish, SETTINGS_HELP);
    settings_release(&s);
    s = parse_well("--workers|x|--version", "");
    assert_int_equal(s.wish, SETTINGS_VERSION);
    settings_release(&s);
    s = parse_well("-h", "");
    assert_int_equal(s.wish, SETTINGS_HELP);
    settings_release(&s);
}

static void test_help_lists_every_flag_variable_and_default(void **state)
{
    (void)state;
    struct buffer help = { 0 };
    settings_help(&help);
    buffer_u8(&help, '\0');
    assert_ok(buffer_end(&help));
    for (size_t i = 0; i < ROWS; i++) {
        assert_non_null(strstr((const char *)help.ptr, rows[i].flag));
        assert_non_null(strstr((const char *)help.ptr, rows[i].variable));
        assert_non_null(strstr((const char *)help.ptr, rows[i].allowed));
    }
    assert_non_null(strstr((const char *)help.ptr, "(default: 7745)"));
    buffer_release(&help);
}

static enum err parse_and_forget(void *context)
{
    struct settings s;
    enum err err = parse("--peers|a:1,b:2,c:3", "", &s, context);
    if (err == ERR_OK) settings_release(&s);
    return err;
}

static void test_running_out_of_memory_is_said_and_leaves_nothing(void **state)
{
    (void)state;
    char error[SETTINGS_ERROR_BYTES];
    assert_true(each_allocation_fails(parse_and_forget, error) >= 4);
}

/* Addresses */

static void test_address_is_read_strictly(void **state)
{
    (void)state;
    static const char *const good[] = { "a:1",         "a-b_c.D9:65535", "1.2.3.4:5",   "[::1]:8000",
                                        "[fe80::1]:1", "a.b.:1",         "9a.example:1" };
    static const char *const bad[] = { "",         ":",          "a",     "a:",          ":1",      "a:0",
                                       "a:65536",  "a:01",       "a:+1",  "a:1 ",        " a:1",    "a:-1",
                                       "-a:1",     "a..b:1",     ".:1",   ".a:1",        "::1:1",   "[::1]",
                                       "[::1]1",   "[]:1",       "[a]:1", "[1.2.3.4]:1", "1.2.3:1", "1.2.3.256:1",
                                       "0x7f.1:1", "0:1",        "1:1",   "a/b:1",       "a@b:1",   "a,b:1",
                                       "[::1]]:1", "\xc3\xa9:1", "a\n:1", "a:1:2" };
    struct endpoint e;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct fenced copy = fenced_copy(bytes_of_text(good[i]));
        assert_ok(endpoint_parse(copy.bytes, &e));
        assert_string_equal(e.text, good[i]);
        fenced_release(&copy);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fenced copy = fenced_copy(bytes_of_text(bad[i]));
        if (endpoint_parse(copy.bytes, &e) != ERR_INVALID) fail_msg("\"%s\" was taken for an address", bad[i]);
        fenced_release(&copy);
    }
    assert_err(endpoint_parse(bytes_of("a\0b:1", 5), &e), ERR_INVALID);
    assert_err(endpoint_parse(bytes_of("[::1\0]:1", 8), &e), ERR_INVALID);
}

static void test_only_what_is_loopback_for_sure_counts_as_loopback(void **state)
{
    (void)state;
    static const char *const inside[] = { "localhost:1", "LocalHost:1", "x.localhost:1", "127.9.9.9:1", "[::1]:1" };
    static const char *const beyond[] = { "localhost.example:1", "xlocalhost:1", "128.0.0.1:1",
                                          "0.0.0.0:1",           "[::]:1",       "[::2]:1",
                                          "10.0.0.1:1",          "a:1" };
    struct endpoint e;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        assert_ok(endpoint_parse(bytes_of_text(inside[i]), &e));
        assert_true(endpoint_is_loopback(&e));
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        assert_ok(endpoint_parse(bytes_of_text(beyond[i]), &e));
        assert_false(endpoint_is_loopback(&e));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_setting_has_its_default),
        cmocka_unit_test(test_each_setting_is_taken_from_flag_or_variable_and_the_flag_wins),
        cmocka_unit_test(test_each_bad_value_is_named_with_what_is_allowed),
        cmocka_unit_test(test_empty_variable_counts_as_unset_and_empty_flag_is_a_value),
        cmocka_unit_test(test_missing_value_and_unknown_flag_are_named),
        cmocka_unit_test(test_variables_of_similar_names_are_others),
        cmocka_unit_test(test_list_of_peers_forgives_spaces_gaps_repeats_and_the_node_itself),
        cmocka_unit_test(test_list_of_peers_is_bounded),
        cmocka_unit_test(test_data_directory_is_named_after_the_node),
        cmocka_unit_test(test_no_data_directory_implies_async),
        cmocka_unit_test(test_discovery_is_on_only_where_the_bind_address_is_loopback),
        cmocka_unit_test(test_listening_beyond_loopback_must_be_asked_for),
        cmocka_unit_test(test_loopback_name_cannot_stand_for_a_public_address),
        cmocka_unit_test(test_times_must_stand_in_order),
        cmocka_unit_test(test_what_comes_later_is_known_and_refused),
        cmocka_unit_test(test_long_values_are_refused_and_cut_in_the_message),
        cmocka_unit_test(test_help_and_version_end_the_parsing),
        cmocka_unit_test(test_help_lists_every_flag_variable_and_default),
        cmocka_unit_test(test_running_out_of_memory_is_said_and_leaves_nothing),
        cmocka_unit_test(test_address_is_read_strictly),
        cmocka_unit_test(test_only_what_is_loopback_for_sure_counts_as_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
