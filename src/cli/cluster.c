/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs about nodes: peers, join, forget, leave, status. */
#include "cli/ask.h"
#include "cli/verbs.h"
#include "server/text.h"

#include <inttypes.h>
#include <string.h>

/* An array of node ids, as it is or one a line. */
static int show_nodes(const struct options *o, struct output *out, const json_t *nodes)
{
    size_t count = json_array_size(nodes);
    if (!json_is_array(nodes)) return ask_misfit(out, &o->node);
    for (size_t i = 0; i < count; i++) {
        if (!json_is_string(json_array_get(nodes, i))) return ask_misfit(out, &o->node);
    }
    if (o->json) {
        output_json(out, nodes);
        return EXIT_OK;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *node = json_array_get(nodes, i);
        output_shown(out, bytes_of(json_string_value(node), json_string_length(node)));
        buffer_text(&out->text, "\n");
    }
    return EXIT_OK;
}

static int ask_nodes(const struct options *o, struct output *out, const struct question *q)
{
    bool missing = false;
    json_t *nodes = ask(out, q, &missing);
    int status = nodes ? show_nodes(o, out, nodes) : EXIT_FAILED;
    json_decref(nodes);
    return status;
}

int verb_peers(const struct options *o, struct output *out)
{
    return ask_nodes(o, out, &(struct question){ .node = &o->node, .method = "GET", .path = "/peers" });
}

int verb_join(const struct options *o, struct output *out)
{
    struct endpoint other;
    char shown[72];
    if (endpoint_parse(bytes_of_text(o->words[0]), &other) != ERR_OK) {
        text_show(bytes_of_text(o->words[0]), shown, sizeof shown);
        output_complain(out, "\"%s\" is not understood; allowed: " ENDPOINT_ALLOWED, shown);
        return EXIT_USAGE;
    }
    json_t *body = json_pack("{s:s}", "id", other.text);
    if (!body) {
        output_complain(out, "%s", err_text(ERR_NOMEM));
        return EXIT_FAILED;
    }
    int status =
        ask_nodes(o, out, &(struct question){ .node = &o->node, .method = "POST", .path = "/join", .body = body });
    json_decref(body);
    return status;
}

/* Forget and leave */

#define LEAVE_TIMEOUT_MS 15000 /* the node itself gives its peers ten seconds */

static int show_gone(const struct options *o, struct output *out, const char *node)
{
    if (o->json) {
        json_t *gone = json_pack("{s:s,s:s}", "node", node, "state", "left");
        if (!gone) return EXIT_FAILED;
        output_json(out, gone);
        json_decref(gone);
    } else {
        output_shown(out, bytes_of_text(node));
        buffer_text(&out->text, " is no member any more\n");
    }
    return EXIT_OK;
}

int verb_forget(const struct options *o, struct output *out)
{
    struct buffer path = { 0 };
    buffer_text(&path, "/v1/cluster/members/");
    client_escape(&path, bytes_of_text(o->words[0]));
    buffer_u8(&path, '\0');
    int status = EXIT_FAILED;
    if (o->words[0][0] == '\0') {
        output_complain(out, "NODE: the name of a member is missing");
        status = EXIT_USAGE;
    } else if (buffer_end(&path) != ERR_OK) {
        output_complain(out, "%s", err_text(ERR_NOMEM));
    } else {
        struct question q = { .node = &o->node, .method = "DELETE", .path = (const char *)path.ptr };
        if (ask_done(out, &q)) status = show_gone(o, out, o->words[0]);
    }
    buffer_release(&path);
    return status;
}

int verb_leave(const struct options *o, struct output *out)
{
    struct question q = { .node = &o->node,
                          .method = "POST",
                          .path = "/v1/cluster/leave",
                          .timeout_ms = LEAVE_TIMEOUT_MS,
                          .unsure_text = "it may have left or not" };
    return ask_done(out, &q) ? show_gone(o, out, o->node.text) : EXIT_FAILED;
}

/* Status */

static enum colour state_colour(const char *state)
{
    if (strcmp(state, "alive") == 0) return COLOUR_GOOD;
    return strcmp(state, "down") == 0 || strcmp(state, "left") == 0 ? COLOUR_BAD : COLOUR_WARN;
}

static void put_text(struct sheet *t, const json_t *member, const char *name)
{
    const char *text = ask_text(member, name);
    sheet_cell(t, bytes_of_text(text ? text : "-"), COLOUR_NONE);
}

/* Milliseconds may come with a fraction; 0 means that it is not known. */
static void put_rtt(struct sheet *t, const json_t *member)
{
    const json_t *rtt = json_object_get(member, "rtt_ms");
    double rtt_ms = json_number_value(rtt);
    if (!json_is_number(rtt) || !(rtt_ms > 0))
        sheet_printf(t, COLOUR_NONE, "-");
    else
        sheet_printf(t, COLOUR_NONE, "%.*f ms", rtt_ms < 10 ? 2 : 0, rtt_ms);
}

static void put_heard(struct sheet *t, const json_t *member, bool is_self)
{
    int64_t heard_ms = 0;
    if (is_self || !ask_integer(member, "last_heard_ms", &heard_ms))
        sheet_printf(t, COLOUR_NONE, "-");
    else if (heard_ms < 10000)
        sheet_printf(t, COLOUR_NONE, "%" PRId64 " ms ago", heard_ms);
    else
        sheet_printf(t, COLOUR_NONE, "%" PRId64 " s ago", heard_ms / 1000);
}

static void put_lag(struct sheet *t, const json_t *member)
{
    int64_t entries = 0, lag_ms = 0;
    if (!ask_integer(member, "lag_entries", &entries))
        sheet_printf(t, COLOUR_NONE, "-");
    else if (!ask_integer(member, "lag_ms", &lag_ms) || entries == 0)
        sheet_printf(t, COLOUR_NONE, "%" PRId64, entries);
    else
        sheet_printf(t, COLOUR_WARN, "%" PRId64 " for %" PRId64 " ms", entries, lag_ms);
}

/* On a terminal the node that was asked is marked; programs compare it with the line above. */
static void put_member(struct sheet *t, const json_t *member, const char *self, bool marks)
{
    const char *node = ask_text(member, "node"), *state = ask_text(member, "state");
    bool is_self = node && strcmp(node, self) == 0;
    sheet_cell(t, bytes_of_text(node ? node : "-"), is_self ? COLOUR_STRONG : COLOUR_NONE);
    sheet_printf(t, is_self ? COLOUR_GOOD : state_colour(state ? state : ""), "%s%s", state ? state : "-",
                 is_self && marks ? " (asked)" : "");
    put_text(t, member, "address");
    put_rtt(t, member);
    put_heard(t, member, is_self);
    put_lag(t, member);
}

static int show_status(const struct options *o, struct output *out, const json_t *cluster)
{
    static const char *const titles[] = { "NODE", "STATE", "ADDRESS", "RTT", "HEARD", "LAG" };
    const char *self = ask_text(cluster, "node"), *name = ask_text(cluster, "cluster");
    const char *replica = ask_text(cluster, "replica");
    const json_t *members = json_object_get(cluster, "members"), *member = NULL;
    if (!self || !name || !replica || !json_is_array(members)) return ask_misfit(out, &o->node);
    buffer_text(&out->text, "node ");
    output_shown(out, bytes_of_text(self));
    buffer_text(&out->text, ", cluster ");
    output_shown(out, bytes_of_text(name));
    buffer_text(&out->text, ", replica ");
    output_shown(out, bytes_of_text(replica));
    buffer_text(&out->text, "\n");
    struct sheet sheet;
    sheet_init(&sheet, titles, sizeof titles / sizeof *titles);
    for (size_t i = 0; i < json_array_size(members); i++) {
        member = json_array_get(members, i);
        put_member(&sheet, member, self, out->table);
    }
    sheet_end(&sheet, out);
    return EXIT_OK;
}

int verb_status(const struct options *o, struct output *out)
{
    bool missing = false;
    int status = EXIT_FAILED;
    struct question q = { .node = &o->node, .method = "GET", .path = "/v1/cluster" };
    json_t *cluster = ask(out, &q, &missing);
    if (cluster && o->json && !json_is_object(cluster)) {
        status = ask_misfit(out, &o->node);
    } else if (cluster && o->json) {
        output_json(out, cluster);
        status = EXIT_OK;
    } else if (cluster) {
        status = show_status(o, out, cluster);
    }
    json_decref(cluster);
    return status;
}
