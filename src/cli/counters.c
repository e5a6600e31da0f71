/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs about single counters: get, incr. */
#include "node/counters.h"
#include "cli/ask.h"
#include "cli/verbs.h"
#include "server/text.h"

#include <inttypes.h>
#include <string.h>

#define NAME_SHOWN_BYTES 256 /* in a message */

/* False after a message. */
static bool name_is_valid(const struct output *out, const char *name)
{
    size_t len = strlen(name);
    if (len >= 1 && len <= NAME_BYTES_MAX) return true;
    output_complain(out, "a name of %zu bytes; allowed: 1 to %u", len, (unsigned)NAME_BYTES_MAX);
    return false;
}

/* /v1/counters/{name} and what follows. ERR_NOMEM after a message. */
static enum err counter_path(const struct output *out, const char *name, const char *rest, struct buffer *ret_path)
{
    buffer_text(ret_path, "/v1/counters/");
    client_escape(ret_path, bytes_of_text(name));
    buffer_text(ret_path, rest);
    buffer_u8(ret_path, '\0');
    enum err err = buffer_end(ret_path);
    if (err != ERR_OK) output_complain(out, "%s", err_text(err));
    return err;
}

static void show_missing(struct output *out, const char *name)
{
    char shown[NAME_SHOWN_BYTES];
    text_show(bytes_of_text(name), shown, sizeof shown);
    output_complain(out, "no counter \"%s\"", shown);
}

static void show_value(struct output *out, struct sheet *sheet, const char *name, int64_t value)
{
    if (sheet) {
        sheet_cell(sheet, bytes_of_text(name), COLOUR_NONE);
        sheet_printf(sheet, COLOUR_NONE, "%" PRId64, value);
    } else {
        buffer_printf(&out->text, "%" PRId64 "\n", value);
    }
}

/* sheet NULL: the value stands alone. */
static int get_one(const struct options *o, struct output *out, const char *name, struct sheet *sheet)
{
    struct buffer path = { 0 };
    bool missing = false;
    int64_t value = 0;
    int status = EXIT_FAILED;
    json_t *counter = NULL;
    if (counter_path(out, name, "", &path) == ERR_OK) {
        struct question q = {
            .node = &o->node, .method = "GET", .path = (const char *)path.ptr, .may_be_missing = true
        };
        counter = ask(out, &q, &missing);
    }
    if (missing) {
        show_missing(out, name);
    } else if (counter && !ask_integer(counter, "value", &value)) {
        status = ask_misfit(out, &o->node);
    } else if (counter) {
        if (o->json)
            output_json(out, counter);
        else
            show_value(out, sheet, name, value);
        status = EXIT_OK;
    }
    json_decref(counter);
    buffer_release(&path);
    return status;
}

int verb_get(const struct options *o, struct output *out)
{
    static const char *const titles[] = { "NAME", "VALUE" };
    for (int i = 0; i < o->words_count; i++) {
        if (!name_is_valid(out, o->words[i])) return EXIT_USAGE;
    }
    bool alone = o->words_count == 1;
    int status = EXIT_OK;
    struct sheet sheet;
    sheet_init(&sheet, titles, 2);
    for (int i = 0; i < o->words_count; i++) {
        int one = get_one(o, out, o->words[i], alone ? NULL : &sheet);
        if (one != EXIT_OK) status = one;
    }
    if (alone || o->json)
        sheet_release(&sheet);
    else
        sheet_end(&sheet, out);
    return status;
}

static bool delta_parse(const struct options *o, const struct output *out, int64_t *ret_delta)
{
    *ret_delta = 1;
    if (o->words_count < 2 || bytes_to_int64(bytes_of_text(o->words[1]), ret_delta) == ERR_OK) return true;
    char shown[72];
    text_show(bytes_of_text(o->words[1]), shown, sizeof shown);
    output_complain(out, "N: \"%s\" is not understood; allowed: a whole number of 64 bits with its sign", shown);
    return false;
}

int verb_incr(const struct options *o, struct output *out)
{
    struct buffer path = { 0 };
    int64_t delta = 0, value = 0;
    int status = EXIT_FAILED;
    bool missing = false;
    if (!name_is_valid(out, o->words[0]) || !delta_parse(o, out, &delta)) return EXIT_USAGE;
    json_t *body = json_pack("{s:I}", "delta", (json_int_t)delta), *counter = NULL;
    if (!body) {
        output_complain(out, "%s", err_text(ERR_NOMEM));
    } else if (counter_path(out, o->words[0], "/increment", &path) == ERR_OK) {
        struct question q = { .node = &o->node,
                              .method = "POST",
                              .path = (const char *)path.ptr,
                              .body = body,
                              .unsure_text = "it may have counted or not" };
        counter = ask(out, &q, &missing);
    }
    if (counter && !ask_integer(counter, "value", &value)) {
        status = ask_misfit(out, &o->node);
    } else if (counter) {
        if (o->json)
            output_json(out, counter);
        else
            show_value(out, NULL, o->words[0], value);
        status = EXIT_OK;
    }
    json_decref(counter);
    json_decref(body);
    buffer_release(&path);
    return status;
}
