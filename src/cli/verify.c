/* SPDX-License-Identifier: Apache-2.0 */
/* The verb verify: asks one node who is there, then each of these for the digest of what it shows. */
#include "cli/ask.h"
#include "cli/verbs.h"
#include "server/text.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define DIGEST_TIMEOUT_MS 60000 /* a node walks all its counters for it */
#define MEMBERS_COUNT_MAX 1024
#define PROGRESS_AFTER_S 1
#define PROGRESS_BYTES 160
#define NODE_SHOWN_BYTES 72

struct verify {
    const struct options *o;
    struct output *out;
    struct sheet sheet;
    json_t *members; /* of the answer in JSON */
    char digest[64]; /* the first that came; all others are compared with it */
    uint32_t asked, answered, different;
    size_t members_done, members_count; /* of the list, for the line of progress */
    const char *node;                   /* that is asked now */
};

static bool digest_is_valid(const char *digest)
{
    size_t len = digest ? strlen(digest) : 0;
    return len > 0 && len < sizeof((struct verify *)0)->digest && strspn(digest, "0123456789abcdef") == len;
}

/* digest NULL: none came. */
static void note(struct verify *v, const char *node, const char *digest, int64_t counters)
{
    bool equal = digest && (v->answered == 0 || strcmp(digest, v->digest) == 0);
    if (digest && v->answered == 0) memcpy(v->digest, digest, strlen(digest) + 1);
    v->asked++;
    v->answered += digest != NULL;
    v->different += digest && !equal;
    sheet_cell(&v->sheet, bytes_of_text(node), COLOUR_NONE);
    sheet_printf(&v->sheet, equal ? COLOUR_GOOD : COLOUR_BAD, "%s", digest ? digest : "no answer");
    if (digest)
        sheet_printf(&v->sheet, COLOUR_NONE, "%" PRId64, counters);
    else
        sheet_printf(&v->sheet, COLOUR_NONE, "-");
    json_t *member = digest ? json_pack("{s:s,s:s,s:I}", "node", node, "digest", digest, "counters", counters)
                            : json_pack("{s:s,s:n,s:n}", "node", node, "digest", "counters");
    if (json_array_append_new(v->members, member) != 0) v->out->text.failed = true;
}

/* One that is frozen holds us up for the whole time that a large one may take. */
static void show_waiting(void *context, uint32_t waited_s)
{
    const struct verify *v = context;
    char node[NODE_SHOWN_BYTES], text[PROGRESS_BYTES];
    text_show(bytes_of_text(v->node), node, sizeof node);
    snprintf(text, sizeof text, "asked %zu of %zu members; waiting for %s since %" PRIu32 " s", v->members_done,
             v->members_count, node, waited_s);
    output_progress(text);
}

static void ask_digest(struct verify *v, const char *node)
{
    struct endpoint endpoint;
    bool missing = false;
    int64_t counters = 0;
    json_t *answer = NULL;
    if (endpoint_parse(bytes_of_text(node), &endpoint) != ERR_OK) {
        output_complain(v->out, "a member's name is no address: %s", node);
    } else {
        struct question q = { .node = &endpoint,
                              .method = "GET",
                              .path = "/v1/verify",
                              .timeout_ms = DIGEST_TIMEOUT_MS,
                              .waiting = show_waiting,
                              .context = v };
        v->node = node;
        answer = ask(v->out, &q, &missing);
    }
    const char *digest = ask_text(answer, "digest");
    bool valid = digest_is_valid(digest) && ask_integer(answer, "counters", &counters);
    if (answer && !valid) ask_misfit(v->out, &endpoint);
    note(v, node, valid ? digest : NULL, counters);
    json_decref(answer);
}

static bool member_is_asked(const json_t *member)
{
    const char *state = ask_text(member, "state");
    return ask_text(member, "node") && !(state && strcmp(state, "left") == 0);
}

static void show_progress(const struct verify *v, const struct timespec *began)
{
    struct timespec now = { 0 };
    char text[PROGRESS_BYTES];
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - began->tv_sec <= PROGRESS_AFTER_S) return;
    snprintf(text, sizeof text, "asked %zu of %zu members", v->members_done, v->members_count);
    output_progress(text);
}

static void ask_all(struct verify *v, const json_t *members)
{
    struct timespec began = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &began);
    v->members_count = json_array_size(members);
    for (; v->members_done < v->members_count; v->members_done++) {
        const json_t *member = json_array_get(members, v->members_done);
        show_progress(v, &began);
        if (member_is_asked(member)) ask_digest(v, ask_text(member, "node"));
    }
    output_progress(NULL);
}

static int show_verdict(struct verify *v)
{
    bool equal = v->asked > 0 && v->answered == v->asked && v->different == 0;
    if (v->o->json) {
        sheet_release(&v->sheet);
        json_t *verdict = json_pack("{s:b,s:O}", "equal", equal, "members", v->members);
        if (verdict)
            output_json(v->out, verdict);
        else
            v->out->text.failed = true;
        json_decref(verdict);
        return equal ? EXIT_OK : EXIT_FAILED;
    }
    sheet_end(&v->sheet, v->out);
    struct buffer *text = &v->out->text;
    if (equal)
        buffer_printf(text, "equal: %" PRIu32 " members show the same\n", v->asked);
    else if (v->different > 0)
        buffer_text(text, "not equal (writes under way make a difference for a moment)\n");
    else
        buffer_printf(text, "not known: %" PRIu32 " of %" PRIu32 " members answered\n", v->answered, v->asked);
    return equal ? EXIT_OK : EXIT_FAILED;
}

int verb_verify(const struct options *o, struct output *out)
{
    static const char *const titles[] = { "NODE", "DIGEST", "COUNTERS" };
    bool missing = false;
    int status = EXIT_FAILED;
    struct question q = { .node = &o->node, .method = "GET", .path = "/v1/cluster" };
    json_t *cluster = ask(out, &q, &missing);
    const json_t *members = json_object_get(cluster, "members");
    struct verify v = { .o = o, .out = out };
    if (cluster && (!json_is_array(members) || json_array_size(members) > MEMBERS_COUNT_MAX)) {
        status = ask_misfit(out, &o->node);
    } else if (cluster) {
        v.members = json_array();
        sheet_init(&v.sheet, titles, sizeof titles / sizeof *titles);
        ask_all(&v, members);
        status = show_verdict(&v);
        json_decref(v.members);
    }
    json_decref(cluster);
    return status;
}
