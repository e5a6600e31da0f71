/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include "server/serve.h"
#include "server/settings.h"
#include "server/text.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#ifndef QUIPU_VERSION
#error "the build says which version this is"
#endif

static int verb_serve(const struct options *o, struct output *out);
static int verb_help(const struct options *o, struct output *out);

struct verb {
    const char *name, *arguments, *help;
    int (*run)(const struct options *o, struct output *out); /* NULL: not in this version yet */
    int words_min, words_max;
};

static const struct verb verbs[] = {
    { "serve", "[SETTING...]", "run a node", verb_serve, 0, INT_MAX },
    { "get", "NAME...", "show the values of counters", verb_get, 1, INT_MAX },
    { "incr", "NAME [N]", "add N, 1 if it is not given, and show the new value", verb_incr, 1, 2 },
    { "peers", "", "list the nodes that the node hears", verb_peers, 0, 0 },
    { "join", "HOST:PORT", "make the node contact another one", verb_join, 1, 1 },
    { "leave", "", "make the node leave the cluster and stop, once its peers have all that it has", verb_leave, 0, 0 },
    { "forget", "NODE", "strike a member off that will not come back; its counts stay", verb_forget, 1, 1 },
    { "status", "", "show the members of the cluster as the node sees them", verb_status, 0, 0 },
    { "verify", "", "compare the counters of all members; exit status 1 if they differ", verb_verify, 0, 0 },
    { "help", "[VERB]", "say more about a verb", verb_help, 0, 1 },
    { "set", "", "", NULL, 0, 0 },
    { "del", "", "", NULL, 0, 0 },
    { "drain", "", "", NULL, 0, 0 },
    { "list", "", "", NULL, 0, 0 },
    { "watch", "", "", NULL, 0, 0 },
    { "top", "", "", NULL, 0, 0 },
    { "bench", "", "", NULL, 0, 0 },
    { "backup", "", "", NULL, 0, 0 },
    { "restore", "", "", NULL, 0, 0 },
    { "import", "", "", NULL, 0, 0 },
    { "check", "", "", NULL, 0, 0 },
};
#define VERBS_COUNT (sizeof verbs / sizeof *verbs)

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        if (strcmp(name, verbs[i].name) == 0) return &verbs[i];
    }
    return NULL;
}

/* Says that there is no such verb, or not yet. Always the exit status. */
static int complain_verb(const struct output *out, const char *name, const struct verb *verb)
{
    const char *names[VERBS_COUNT];
    char shown[72];
    size_t count = 0;
    text_show(bytes_of_text(name), shown, sizeof shown);
    if (verb) {
        output_complain(out, "%s is not in this version yet", shown);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < VERBS_COUNT; i++) names[count++] = verbs[i].name;
    const char *nearest = text_nearest(name, names, count);
    output_complain(out, "no such verb: \"%s\"; %s %s", shown, nearest ? "did you mean" : "see",
                    nearest ? nearest : "quipu --help");
    return EXIT_USAGE;
}

/* Help */

static void help_options(struct output *out)
{
    buffer_text(&out->text, "  --node HOST:PORT  the node to ask (default: NODE_ID, or localhost:8000)\n"
                            "  --json            answers for programs\n"
                            "  --                what follows is no option\n"
                            "  -h, --help        this text\n"
                            "  -V, --version     the version\n");
}

static void help_all(struct output *out)
{
    buffer_text(&out->text, "usage: quipu VERB [ARGUMENT...] [OPTION...]\n\n"
                            "  quipu serve              run a node on localhost:8000\n"
                            "  quipu incr hits 5        count\n"
                            "  quipu get hits           look\n\nverbs:\n");
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        if (!verbs[i].run) continue;
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", verbs[i].name, verbs[i].arguments);
        buffer_printf(&out->text, "  %-20s %s\n", usage, verbs[i].help);
    }
    buffer_text(&out->text, "\noptions:\n");
    help_options(out);
    buffer_text(&out->text, "\nexit status: 0, 1 (failed), 2 (usage)\n");
}

static void help_one(struct output *out, const struct verb *verb)
{
    buffer_printf(&out->text, "usage: quipu %s%s%s\n\n%s\n", verb->name, verb->arguments[0] ? " " : "", verb->arguments,
                  verb->help);
    if (verb->run == verb_serve) {
        buffer_text(&out->text, "\nsettings, each with its environment variable; a flag beats it, the last of equal "
                                "flags holds:\n");
        settings_help(&out->text);
    } else {
        buffer_text(&out->text, "\noptions:\n");
        help_options(out);
    }
}

static int verb_help(const struct options *o, struct output *out)
{
    if (o->words_count == 0) {
        help_all(out);
        return EXIT_OK;
    }
    const struct verb *verb = verb_find(o->words[0]);
    if (!verb || !verb->run) return complain_verb(out, o->words[0], verb);
    help_one(out, verb);
    return EXIT_OK;
}

static void show_version(struct output *out)
{
    buffer_text(&out->text, "quipu " QUIPU_VERSION "\n");
}

/* Verbs */

static int verb_serve(const struct options *o, struct output *out)
{
    struct settings settings;
    char error[SETTINGS_ERROR_BYTES];
    enum err err = settings_parse(o->words_count, o->words, environ, &settings, error);
    if (err != ERR_OK) {
        output_complain(out, "%s", error);
        return err == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    int status = EXIT_OK;
    if (settings.wish == SETTINGS_HELP)
        help_one(out, verb_find("serve"));
    else if (settings.wish == SETTINGS_VERSION)
        show_version(out);
    else
        status = serve_run(&settings);
    settings_release(&settings);
    return status;
}

static int complain_words(const struct output *out, const struct verb *verb, bool few)
{
    output_complain(out, "%s; usage: quipu %s%s%s", few ? "a word is missing" : "too many words", verb->name,
                    verb->arguments[0] ? " " : "", verb->arguments);
    return EXIT_USAGE;
}

static int run(const struct options *o, struct output *out)
{
    const struct verb *verb = o->verb ? verb_find(o->verb) : NULL;
    if (o->version) {
        show_version(out);
        return EXIT_OK;
    }
    if (!o->verb && !o->help) {
        output_complain(out, "a verb is missing; see quipu --help");
        return EXIT_USAGE;
    }
    if (!o->verb) {
        help_all(out);
        return EXIT_OK;
    }
    if (!verb || !verb->run) {
        out->verb = NULL;
        return complain_verb(out, o->verb, verb);
    }
    if (o->help && verb->run != verb_help) {
        help_one(out, verb);
        return EXIT_OK;
    }
    if (o->words_count < verb->words_min) return complain_words(out, verb, true);
    if (o->words_count > verb->words_max) return complain_words(out, verb, false);
    return verb->run(o, out);
}

int verbs_run(int argc, char **argv)
{
    struct options options;
    struct output out;
    char error[OPTIONS_ERROR_BYTES];
    if (options_parse(argc, argv, &options, error) != ERR_OK) {
        output_init(&out, NULL, false);
        output_complain(&out, "%s", error);
        return EXIT_USAGE;
    }
    output_init(&out, options.verb, options.json);
    int status = run(&options, &out);
    bool written = output_end(&out);
    return written || status != EXIT_OK ? status : EXIT_FAILED;
}
