/* SPDX-License-Identifier: Apache-2.0 */
/* From words to settings in four steps: find the words (a flag beats its variable, the last of equal flags holds),
 * parse each by its row, work out what has no word from the others, and check what only makes sense together. */
#include "server/settings.h"

#include "base/alloc.h"
#include "server/settings_rows.h"
#include "server/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <uv.h>

#define VALUE_SHOWN_BYTES 72 /* of a value in a message */

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
        const struct row *row = &settings_rows[i];
        size_t len = strlen(row->variable);
        w->items[i] = (struct word){ row->flag, row->fallback, false };
        for (char **at = environment; at && *at; at++) {
            if (strncmp(*at, row->variable, len) != 0 || (*at)[len] != '=') continue;
            if ((*at)[len + 1] == '\0') break; /* empty counts as unset; and no peers is what that means for peers */
            w->items[i] = (struct word){ row->variable, *at + len + 1, true };
            break;
        }
    }
}

static enum err fail_unknown(const struct words *w, struct bytes flag)
{
    const char *names[ROW_COUNT];
    char shown[VALUE_SHOWN_BYTES], name[VALUE_SHOWN_BYTES];
    for (size_t i = 0; i < ROW_COUNT; i++) names[i] = settings_rows[i].flag;
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
    while (id < ROW_COUNT && !bytes_equal(name, bytes_of_text(settings_rows[id].flag))) id++;
    if (id == ROW_COUNT) return fail_unknown(w, name);
    const struct row *row = &settings_rows[id];
    bool takes_next = !equals && row->value_name;
    if (takes_next && at + 1 >= argc) {
        return fail(w, "%s: a value is missing; allowed: %s", row->flag, row->allowed);
    }
    const char *value = equals ? equals + 1 : takes_next ? argv[at + 1] : "1";
    w->items[id] = (struct word){ row->flag, value, true };
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
        const struct row *row = &settings_rows[i];
        const char *value = w->items[i].value;
        if (!value) continue;
        enum err err = row->parse ? row->parse(row, bytes_of_text(value), s) : ERR_NOT_FOUND;
        if (err == ERR_NOMEM) return err;
        if (err == ERR_NOT_FOUND) return fail_value(w, (enum row_id)i, "is " NOT_YET, row->allowed);
        if (err != ERR_OK) return fail_value(w, (enum row_id)i, "is not understood", row->allowed);
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
        const struct row *row = &settings_rows[i];
        char flag[48];
        snprintf(flag, sizeof flag, "%s%s%s", row->flag, row->value_name ? " " : "",
                 row->value_name ? row->value_name : "");
        buffer_printf(out, "  %-28s %s\n      %s", flag, row->variable, row->help);
        if (row->fallback && row->fallback[0] != '\0') buffer_printf(out, " (default: %s)", row->fallback);
        if (row->parse) buffer_printf(out, "\n      allowed: %s", row->allowed);
        buffer_text(out, "\n");
    }
}
