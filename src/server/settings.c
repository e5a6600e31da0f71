/* SPDX-License-Identifier: Apache-2.0 */
/* From words to settings in four steps: find the words (a flag beats its variable, the last of equal flags holds),
 * parse each by its row, work out what has no word from the others, and check what only makes sense together. */
#include "server/settings.h"

#include "base/alloc.h"
#include "server/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <uv.h>

#define VALUE_SHOWN_BYTES 72 /* of a value in a message */
#define WORKERS_MAX 64

enum row_id {
    ROW_NODE_ID,
    ROW_PEERS,
    ROW_LISTEN,
    ROW_DATA_DIR,
    ROW_DURABILITY,
    ROW_WORKERS,
    ROW_MAX_MEMORY,
    ROW_CLUSTER,
    ROW_DISCOVER,
    ROW_DISCOVER_PORT,
    ROW_HEARTBEAT,
    ROW_PEER_TIMEOUT,
    ROW_BACKOFF_MIN,
    ROW_BACKOFF_MAX,
    ROW_INSECURE,
    ROW_USERS_FILE,
    ROW_PEER_SECRET_FILE,
    ROW_TLS_CERT,
    ROW_TLS_KEY,
    ROW_TLS_CA,
    ROW_TLS_CLIENT_AUTH,
    ROW_ALLOW_ORIGIN,
    ROW_ALLOW_HOST,
    ROW_LOG_FORMAT,
    ROW_LOG_LEVEL,
    ROW_COUNT
};

struct row;
/* ERR_INVALID: not understood; ERR_NOT_FOUND: understood, but this version does not have it; ERR_NOMEM. */
typedef enum err row_parse(const struct row *row, struct bytes value, struct settings *s);

struct row {
    const char *flag, *variable;
    const char *value_name; /* for the help; NULL: a switch */
    const char *fallback;   /* what holds without a word; NULL: worked out from the others, or nothing */
    const char *allowed, *help;
    row_parse *parse;
    int64_t min, max; /* of a number */
};

/* Parsers */

static enum err parse_node(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    if (endpoint_parse(value, &s->node) != ERR_OK || endpoint_is_anywhere(&s->node)) return ERR_INVALID;
    return ERR_OK;
}

static enum err parse_listen(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    return endpoint_parse(value, &s->listen);
}

static struct bytes trimmed(struct bytes text)
{
    while (text.len > 0 && text.ptr[0] == ' ') text = bytes_of(text.ptr + 1, text.len - 1);
    while (text.len > 0 && text.ptr[text.len - 1] == ' ') text.len--;
    return text;
}

/* Adds one peer; the node itself and what is there already count as there. */
static enum err peers_add(struct settings *s, struct bytes item)
{
    struct endpoint peer;
    if (endpoint_parse(item, &peer) != ERR_OK || endpoint_is_anywhere(&peer)) return ERR_INVALID;
    if (strcmp(peer.text, s->node.text) == 0) return ERR_OK;
    for (uint32_t i = 0; i < s->peers_count; i++) {
        if (strcmp(peer.text, s->peers[i]) == 0) return ERR_OK;
    }
    if (s->peers_count == PEERS_COUNT_MAX) return ERR_INVALID;
    char **grown = mem_resize(s->peers, (s->peers_count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    s->peers = grown;
    s->peers[s->peers_count] = mem_alloc_zero(item.len + 1, 1);
    if (!s->peers[s->peers_count]) return ERR_NOMEM;
    memcpy(s->peers[s->peers_count++], item.ptr, item.len);
    return ERR_OK;
}

static enum err parse_peers(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    enum err err = ERR_OK;
    while (value.len > 0 && err == ERR_OK) {
        const uint8_t *comma = memchr(value.ptr, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.ptr) : value.len, taken = comma ? len + 1 : len;
        struct bytes item = trimmed(bytes_of(value.ptr, len));
        if (item.len > 0) err = peers_add(s, item);
        value = bytes_of(value.ptr + taken, value.len - taken);
    }
    return err;
}

static bool has_control(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < ' ' || value.ptr[i] == 0x7f) return true;
    }
    return false;
}

static enum err parse_data_dir(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    s->data_dir_none = bytes_equal(value, bytes_of_text("none"));
    if (s->data_dir_none) return ERR_OK;
    if (value.len == 0 || value.len >= sizeof s->data_dir || has_control(value)) return ERR_INVALID;
    memcpy(s->data_dir, value.ptr, value.len);
    return ERR_OK;
}

static enum err parse_cluster(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    if (value.len == 0 || value.len >= sizeof s->cluster) return ERR_INVALID;
    for (struct bytes rest = value; rest.len > 0;) {
        size_t len = text_shown_bytes(rest);
        if (len == 0) return ERR_INVALID;
        rest = bytes_of(rest.ptr + len, rest.len - len);
    }
    memcpy(s->cluster, value.ptr, value.len);
    return ERR_OK;
}

/* Which of the names in `allowed` ("sync, async") the value is. */
static enum err choice(const struct row *row, struct bytes value, unsigned *ret_index)
{
    struct bytes rest = bytes_of_text(row->allowed);
    for (unsigned index = 0; rest.len > 0; index++) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len, taken = comma ? len + 2 : len;
        if (bytes_equal(bytes_of(rest.ptr, len), value)) {
            *ret_index = index;
            return ERR_OK;
        }
        rest = bytes_of(rest.ptr + taken, rest.len - taken);
    }
    return ERR_INVALID;
}

static enum err parse_durability(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->durability_sync = index == 0;
    return err;
}

static enum err parse_discover(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    if (bytes_equal(value, bytes_of_text("lan"))) return ERR_NOT_FOUND;
    enum err err = choice(row, value, &index);
    s->discover = index == 0 ? DISCOVER_OFF : DISCOVER_LOOPBACK;
    return err;
}

static enum err parse_log_format(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->log_format = (enum log_format)index;
    return err;
}

static enum err parse_log_level(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->log_level = (enum log_level)index;
    return err;
}

static enum err parse_insecure(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->insecure = index == 1;
    return err;
}

static enum err number(const struct row *row, struct bytes value, int64_t *ret_number)
{
    if (bytes_to_int64(value, ret_number) != ERR_OK) return ERR_INVALID;
    return *ret_number < row->min || *ret_number > row->max ? ERR_INVALID : ERR_OK;
}

/* A number's place among the settings; its row bounds it well inside 32 bits. */
#define NUMBER_PARSER(name, type)                                                                                      \
    static enum err parse_##name(const struct row *row, struct bytes value, struct settings *s)                        \
    {                                                                                                                  \
        int64_t parsed = 0;                                                                                            \
        enum err err = number(row, value, &parsed);                                                                    \
        if (err == ERR_OK) s->name = (type)parsed;                                                                     \
        return err;                                                                                                    \
    }
NUMBER_PARSER(workers, uint32_t)
NUMBER_PARSER(discover_port, uint16_t)
NUMBER_PARSER(heartbeat_ms, uint32_t)
NUMBER_PARSER(peer_timeout_ms, uint32_t)
NUMBER_PARSER(backoff_ms_min, uint32_t)
NUMBER_PARSER(backoff_ms_max, uint32_t)

static enum err parse_max_memory(const struct row *row, struct bytes value, struct settings *s)
{
    (void)s;
    int64_t bytes = 0;
    if (number(row, value, &bytes) != ERR_OK) return ERR_INVALID;
    return bytes == 0 ? ERR_OK : ERR_NOT_FOUND;
}

static enum err parse_not_yet(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    (void)value;
    (void)s;
    return ERR_NOT_FOUND;
}

/* The table. In the order of parsing: the list of peers leaves out the node itself. */

#define NOT_YET "not in this version yet"

static const struct row rows[ROW_COUNT] = {
    [ROW_NODE_ID] = { "--node-id", "NODE_ID", "HOST:PORT", "localhost:8000", ENDPOINT_ALLOWED,
                      "name and advertised address", parse_node, 0, 0 },
    [ROW_PEERS] = { "--peers", "PEERS", "HOST:PORT,...", "", "a comma-separated list of up to 1024 host:port, or none",
                    "peers to join; a DNS name stands for all its addresses", parse_peers, 0, 0 },
    [ROW_LISTEN] = { "--listen", "QUIPU_LISTEN", "HOST:PORT", NULL, ENDPOINT_ALLOWED,
                     "bind address; a host name binds every address it stands for (default: the node id)",
                     parse_listen, 0, 0 },
    [ROW_DATA_DIR] = { "--data-dir", "QUIPU_DATA_DIR", "PATH", NULL,
                       "none, or a path of at most 3071 bytes without control characters",
                       "data directory; none keeps all in memory and implies async (default: ./<host>_<port>.quipu)",
                       parse_data_dir, 0, 0 },
    [ROW_DURABILITY] = { "--durability", "QUIPU_DURABILITY", "WHEN", "sync", "sync, async",
                         "when a write is answered: after fdatasync, or after it was written to the journal file",
                         parse_durability, 0, 0 },
    [ROW_WORKERS] = { "--workers", "QUIPU_WORKERS", "N", NULL, "1 to 64",
                      "worker threads (default: the number of cores)", parse_workers, 1, WORKERS_MAX },
    [ROW_MAX_MEMORY] = { "--max-memory", "QUIPU_MAX_MEMORY", "BYTES", "0", "0",
                         "memory at which a new counter is refused; 0 is none; others are " NOT_YET, parse_max_memory,
                         0, INT64_MAX },
    [ROW_CLUSTER] = { "--cluster", "QUIPU_CLUSTER", "NAME", "quipu", "1 to 255 bytes of printable UTF-8",
                      "cluster name; nodes of another name never join", parse_cluster, 0, 0 },
    [ROW_DISCOVER] = { "--discover", "QUIPU_DISCOVER", "HOW", NULL, "off, loopback",
                       "finding peers without a list; lan is " NOT_YET
                       " (default: loopback when the bind address is loopback, else off)",
                       parse_discover, 0, 0 },
    [ROW_DISCOVER_PORT] = { "--discover-port", "QUIPU_DISCOVER_PORT", "PORT", "7745", "1 to 65535",
                            "UDP port for that", parse_discover_port, 1, 65535 },
    [ROW_HEARTBEAT] = { "--heartbeat-ms", "QUIPU_HEARTBEAT_MS", "MS", "500", "10 to 60000", "heartbeat period",
                        parse_heartbeat_ms, 10, 60000 },
    [ROW_PEER_TIMEOUT] = { "--peer-timeout-ms", "QUIPU_PEER_TIMEOUT_MS", "MS", "3000", "11 to 600000",
                           "silence after which a peer is taken off the peer list; above the heartbeat period",
                           parse_peer_timeout_ms, 11, 600000 },
    [ROW_BACKOFF_MIN] = { "--backoff-min-ms", "QUIPU_BACKOFF_MIN_MS", "MS", "500", "10 to 600000",
                          "first reconnect delay", parse_backoff_ms_min, 10, 600000 },
    [ROW_BACKOFF_MAX] = { "--backoff-max-ms", "QUIPU_BACKOFF_MAX_MS", "MS", "30000", "10 to 600000",
                          "longest reconnect delay; not below the first", parse_backoff_ms_max, 10, 600000 },
    [ROW_INSECURE] = { "--insecure", "QUIPU_INSECURE", NULL, "0", "0, 1",
                       "listen beyond loopback without authentication; the flag alone is 1", parse_insecure, 0, 0 },
    [ROW_USERS_FILE] = { "--users-file", "QUIPU_USERS_FILE", "PATH", NULL, "leaving it out", NOT_YET, parse_not_yet, 0,
                         0 },
    [ROW_PEER_SECRET_FILE] = { "--peer-secret-file", "QUIPU_PEER_SECRET_FILE", "PATH", NULL, "leaving it out", NOT_YET,
                               parse_not_yet, 0, 0 },
    [ROW_TLS_CERT] = { "--tls-cert", "QUIPU_TLS_CERT", "PATH", NULL, "leaving it out", NOT_YET, parse_not_yet, 0, 0 },
    [ROW_TLS_KEY] = { "--tls-key", "QUIPU_TLS_KEY", "PATH", NULL, "leaving it out", NOT_YET, parse_not_yet, 0, 0 },
    [ROW_TLS_CA] = { "--tls-ca", "QUIPU_TLS_CA", "PATH", NULL, "leaving it out", NOT_YET, parse_not_yet, 0, 0 },
    [ROW_TLS_CLIENT_AUTH] = { "--tls-client-auth", "QUIPU_TLS_CLIENT_AUTH", "HOW", NULL, "leaving it out", NOT_YET,
                              parse_not_yet, 0, 0 },
    [ROW_ALLOW_ORIGIN] = { "--allow-origin", "QUIPU_ALLOW_ORIGIN", "ORIGIN", NULL, "leaving it out", NOT_YET,
                           parse_not_yet, 0, 0 },
    [ROW_ALLOW_HOST] = { "--allow-host", "QUIPU_ALLOW_HOST", "HOST", NULL, "leaving it out", NOT_YET, parse_not_yet, 0,
                         0 },
    [ROW_LOG_FORMAT] = { "--log-format", "QUIPU_LOG_FORMAT", "FORMAT", "text", "text, json", "format of the log",
                         parse_log_format, 0, 0 },
    [ROW_LOG_LEVEL] = { "--log-level", "QUIPU_LOG_LEVEL", "LEVEL", "info", "error, warn, info, debug",
                        "what is too unimportant for it", parse_log_level, 0, 0 },
};

/* Words */

struct word {
    const char *name;  /* flag or variable, as the user gave it; the flag, where nobody gave any */
    const char *value; /* NULL: nobody gave any, and there is no fallback */
    bool given;
};

struct words {
    struct word items[ROW_COUNT];
    enum settings_wish wish;
    char *ret_error; /* SETTINGS_ERROR_BYTES */
};

/* Always ERR_INVALID. */
static enum err fail(const struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum err fail(const struct words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->ret_error, SETTINGS_ERROR_BYTES, format, args);
    va_end(args);
    return ERR_INVALID;
}

static enum err fail_value(const struct words *w, enum row_id id, const char *complaint, const char *allowed)
{
    char shown[VALUE_SHOWN_BYTES];
    text_show(bytes_of_text(w->items[id].value), shown, sizeof shown);
    return fail(w, "%s: \"%s\" %s; allowed: %s", w->items[id].name, shown, complaint, allowed);
}

static void words_from_environment(struct words *w, char **environment)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        w->items[i] = (struct word){ rows[i].flag, rows[i].fallback, false };
        size_t len = strlen(rows[i].variable);
        for (char **at = environment; at && *at; at++) {
            if (strncmp(*at, rows[i].variable, len) != 0 || (*at)[len] != '=') continue;
            if ((*at)[len + 1] == '\0') break; /* empty counts as unset; and no peers is what that means for peers */
            w->items[i] = (struct word){ rows[i].variable, *at + len + 1, true };
            break;
        }
    }
}

static enum err fail_unknown(const struct words *w, struct bytes flag)
{
    const char *names[ROW_COUNT];
    char shown[VALUE_SHOWN_BYTES], name[VALUE_SHOWN_BYTES];
    for (size_t i = 0; i < ROW_COUNT; i++) names[i] = rows[i].flag;
    text_show(flag, shown, sizeof shown);
    snprintf(name, sizeof name, "%.*s", (int)flag.len, (const char *)flag.ptr);
    const char *nearest = text_nearest(name, names, ROW_COUNT);
    if (nearest) return fail(w, "%s: no such setting; did you mean %s?", shown, nearest);
    return fail(w, "%s: no such setting; allowed: what `quipu serve --help` lists", shown);
}

static bool is_wish(const char *word, const char *name, const char *letter)
{
    return strcmp(word, name) == 0 || strcmp(word, letter) == 0;
}

/* Takes the flag at argv[at], with its value if that is a word of its own. */
static enum err words_take(struct words *w, int argc, char **argv, int at, int *ret_next)
{
    const char *word = argv[at], *equals = strchr(word, '=');
    struct bytes name = bytes_of(word, equals ? (size_t)(equals - word) : strlen(word));
    size_t id = 0;
    while (id < ROW_COUNT && !bytes_equal(name, bytes_of_text(rows[id].flag))) id++;
    if (id == ROW_COUNT) return fail_unknown(w, name);
    const char *value = equals ? equals + 1 : rows[id].value_name ? argv[at + 1] : "1";
    bool takes_next = !equals && rows[id].value_name;
    if (takes_next && at + 1 >= argc) {
        return fail(w, "%s: a value is missing; allowed: %s", rows[id].flag, rows[id].allowed);
    }
    w->items[id] = (struct word){ rows[id].flag, value, true };
    *ret_next = at + (takes_next ? 2 : 1);
    return ERR_OK;
}

static enum err words_from_flags(struct words *w, int argc, char **argv)
{
    enum err err = ERR_OK;
    for (int at = 0; at < argc && err == ERR_OK;) {
        char shown[VALUE_SHOWN_BYTES];
        if (is_wish(argv[at], "--help", "-h")) {
            w->wish = SETTINGS_HELP;
            return ERR_OK;
        }
        if (is_wish(argv[at], "--version", "-V")) {
            w->wish = SETTINGS_VERSION;
            return ERR_OK;
        }
        text_show(bytes_of_text(argv[at]), shown, sizeof shown);
        if (argv[at][0] != '-') return fail(w, "\"%s\": serve takes settings only; each begins with --", shown);
        err = words_take(w, argc, argv, at, &at);
    }
    return err;
}

/* Settings */

static enum err settings_apply(struct settings *s, const struct words *w)
{
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        if (!w->items[i].value) continue;
        enum err err = rows[i].parse(&rows[i], bytes_of_text(w->items[i].value), s);
        if (err == ERR_NOMEM) return err;
        if (err == ERR_NOT_FOUND) return fail_value(w, (enum row_id)i, "is " NOT_YET, rows[i].allowed);
        if (err != ERR_OK) return fail_value(w, (enum row_id)i, "is not understood", rows[i].allowed);
    }
    return ERR_OK;
}

static void settings_complete(struct settings *s, const struct words *w)
{
    if (!w->items[ROW_LISTEN].value) s->listen = s->node;
    if (!w->items[ROW_DATA_DIR].value) {
        snprintf(s->data_dir, sizeof s->data_dir, "./%s_%" PRIu16 ".quipu", s->node.host, s->node.port);
    }
    if (s->data_dir_none) s->durability_sync = false;
    if (!w->items[ROW_WORKERS].value) {
        unsigned cores = uv_available_parallelism();
        s->workers = cores < WORKERS_MAX ? cores : WORKERS_MAX;
    }
    if (!w->items[ROW_DISCOVER].value) {
        s->discover = endpoint_is_loopback(&s->listen) ? DISCOVER_LOOPBACK : DISCOVER_OFF;
    }
}

static enum err check_listen(const struct settings *s, const struct words *w)
{
    if (endpoint_is_loopback(&s->listen)) return ERR_OK;
    if (endpoint_is_loopback(&s->node)) {
        return fail_value(w, ROW_LISTEN, "is beyond loopback but the node id is not",
                          "a loopback address, or a node id (--node-id) that others can reach");
    }
    if (s->insecure) return ERR_OK;
    return fail_value(w, w->items[ROW_LISTEN].given ? ROW_LISTEN : ROW_NODE_ID,
                      "would be open beyond loopback without authentication", "a loopback address, or --insecure");
}

/* Two numbers that must stand in an order: blames one that the user gave. */
static enum err check_order(const struct words *w, enum row_id low, enum row_id high, bool in_order,
                            const char *relation_low, const char *relation_high)
{
    if (in_order) return ERR_OK;
    bool blame_high = w->items[high].given;
    enum row_id blamed = blame_high ? high : low, other = blame_high ? low : high;
    char allowed[96];
    snprintf(allowed, sizeof allowed, "%s %s (%s)", blame_high ? relation_high : relation_low, w->items[other].value,
             w->items[other].name);
    return fail_value(w, blamed, "does not fit", allowed);
}

static enum err settings_check(const struct settings *s, const struct words *w)
{
    enum err err = check_listen(s, w);
    if (err == ERR_OK) {
        err = check_order(w, ROW_HEARTBEAT, ROW_PEER_TIMEOUT, s->heartbeat_ms < s->peer_timeout_ms, "less than",
                          "more than");
    }
    if (err == ERR_OK) {
        err = check_order(w, ROW_BACKOFF_MIN, ROW_BACKOFF_MAX, s->backoff_ms_min <= s->backoff_ms_max, "at most",
                          "at least");
    }
    return err;
}

enum err settings_parse(int argc, char **argv, char **environment, struct settings *ret_settings,
                        char ret_error[SETTINGS_ERROR_BYTES])
{
    struct words words = { .wish = SETTINGS_SERVE, .ret_error = ret_error };
    struct settings s = { 0 };
    ret_error[0] = '\0';
    words_from_environment(&words, environment);
    enum err err = words_from_flags(&words, argc, argv);
    if (err == ERR_OK && words.wish == SETTINGS_SERVE) {
        err = settings_apply(&s, &words);
        settings_complete(&s, &words);
        if (err == ERR_OK) err = settings_check(&s, &words);
    }
    if (err == ERR_OK) {
        s.wish = words.wish;
        *ret_settings = s;
        return ERR_OK;
    }
    if (err == ERR_NOMEM) snprintf(ret_error, SETTINGS_ERROR_BYTES, "%s", err_text(err));
    settings_release(&s);
    return err;
}

void settings_release(struct settings *s)
{
    for (uint32_t i = 0; i < s->peers_count; i++) mem_free(s->peers[i]);
    mem_free(s->peers);
    s->peers = NULL;
    s->peers_count = 0;
}

void settings_help(struct buffer *out)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        char flag[48];
        snprintf(flag, sizeof flag, "%s%s%s", row->flag, row->value_name ? " " : "",
                 row->value_name ? row->value_name : "");
        buffer_printf(out, "  %-28s %s\n      %s", flag, row->variable, row->help);
        if (row->fallback && row->fallback[0] != '\0') buffer_printf(out, " (default: %s)", row->fallback);
        if (row->parse != parse_not_yet) buffer_printf(out, "\n      allowed: %s", row->allowed);
        buffer_text(out, "\n");
    }
}
