/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "server/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_DEFAULT "localhost:8000"
#define VALUE_SHOWN_BYTES 72

/* Always ERR_INVALID. */
static enum err fail(char ret_error[OPTIONS_ERROR_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static enum err fail(char ret_error[OPTIONS_ERROR_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ret_error, OPTIONS_ERROR_BYTES, format, args);
    va_end(args);
    return ERR_INVALID;
}

/* "-5" is a number, "-" a name. */
static bool looks_like_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9');
}

/* "--node x" and "--node=x": whether argv[*at] is that option; then its value, NULL if there is none. */
static bool takes_value(const char *name, char **argv, int *at, const char **ret_value)
{
    size_t len = strlen(name);
    const char *word = argv[*at];
    if (strncmp(word, name, len) != 0 || (word[len] != '\0' && word[len] != '=')) return false;
    *ret_value = word[len] == '=' ? word + len + 1 : argv[++*at];
    return true;
}

static bool is_either(const char *word, const char *name, const char *letter)
{
    return strcmp(word, name) == 0 || strcmp(word, letter) == 0;
}

static enum err fail_unknown(const char *word, char ret_error[OPTIONS_ERROR_BYTES])
{
    static const char *const names[] = { "--node", "--json", "--help", "--version" };
    char shown[VALUE_SHOWN_BYTES];
    text_show(bytes_of_text(word), shown, sizeof shown);
    const char *nearest = text_nearest(word, names, sizeof names / sizeof *names);
    return fail(ret_error, "%s: no such option; %s %s", shown, nearest ? "did you mean" : "see",
                nearest ? nearest : "quipu --help");
}

static enum err resolve_node(struct options *o, const char *given, char ret_error[OPTIONS_ERROR_BYTES])
{
    char shown[VALUE_SHOWN_BYTES];
    const char *name = "--node", *value = given;
    if (!value) {
        name = "NODE_ID";
        value = getenv(name);
    }
    if (!value || (!given && value[0] == '\0')) value = NODE_DEFAULT;
    if (endpoint_parse(bytes_of_text(value), &o->node) == ERR_OK) return ERR_OK;
    text_show(bytes_of_text(value), shown, sizeof shown);
    return fail(ret_error, "%s: \"%s\" is not understood; allowed: " ENDPOINT_ALLOWED, name, shown);
}

/* The words of serve are not options but settings, which it parses itself. */
static bool verb_parses_itself(const struct options *o)
{
    return o->verb && strcmp(o->verb, "serve") == 0;
}

enum err options_parse(int argc, char **argv, struct options *ret_options, char ret_error[OPTIONS_ERROR_BYTES])
{
    struct options o = { .words = argv };
    const char *node = NULL;
    bool options_ended = false;
    int at = 1;
    for (; at < argc && !verb_parses_itself(&o); at++) {
        char *word = argv[at];
        if (options_ended || !looks_like_option(word)) {
            if (o.verb)
                argv[o.words_count++] = word;
            else
                o.verb = word;
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (strcmp(word, "--json") == 0) {
            o.json = true;
        } else if (is_either(word, "--help", "-h")) {
            o.help = true;
        } else if (is_either(word, "--version", "-V")) {
            o.version = true;
        } else if (takes_value("--node", argv, &at, &node)) {
            if (!node) return fail(ret_error, "--node: a value is missing; allowed: " ENDPOINT_ALLOWED);
        } else {
            return fail_unknown(word, ret_error);
        }
    }
    if (verb_parses_itself(&o) && (node || o.json)) {
        return fail(ret_error, "%s: not for serve; its settings follow the word", node ? "--node" : "--json");
    }
    for (; at < argc; at++) argv[o.words_count++] = argv[at];
    if (argc > 0) argv[o.words_count] = NULL;
    bool needs_node = o.verb && !verb_parses_itself(&o) && !o.help && !o.version;
    if (needs_node && resolve_node(&o, node, ret_error) != ERR_OK) return ERR_INVALID;
    *ret_options = o;
    return ERR_OK;
}
