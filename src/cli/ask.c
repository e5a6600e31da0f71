/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <stdlib.h>
#include <string.h>

static json_t *parse(const struct answer *answer)
{
    return json_loadb((const char *)answer->body.ptr, answer->body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

/* What the node said in its problem (RFC 9457), or in the original's {"error":...}. */
static void complain_status(const struct output *out, const struct question *q, const struct answer *answer)
{
    json_t *problem = parse(answer);
    const char *detail = ask_text(problem, "detail");
    if (!detail) detail = ask_text(problem, "error");
    if (!detail) detail = ask_text(problem, "title");
    bool unsure = q->unsure_text && json_is_true(json_object_get(problem, "indeterminate"));
    output_complain(out, "%s answered %u%s%s%s%s", q->node->text, answer->status, detail ? ": " : "",
                    detail ? detail : "", unsure ? "; " : "", unsure ? q->unsure_text : "");
    json_decref(problem);
}

static json_t *take_answer(const struct output *out, const struct question *q, const struct answer *answer,
                           bool *ret_missing)
{
    if (answer->status == 404 && q->may_be_missing) {
        *ret_missing = true;
        return NULL;
    }
    if (answer->status != 200) {
        complain_status(out, q, answer);
        return NULL;
    }
    json_t *value = parse(answer);
    if (!value) {
        output_complain(out, "the answer of %s is not JSON%s%s", q->node->text, q->unsure_text ? "; " : "",
                        q->unsure_text ? q->unsure_text : "");
    }
    return value;
}

/* False after a message. */
static bool call_node(const struct output *out, const struct question *q, struct answer *ret_answer)
{
    struct failure failure;
    char *body = q->body ? json_dumps(q->body, JSON_COMPACT) : NULL;
    if (q->body && !body) {
        output_complain(out, "%s", err_text(ERR_NOMEM));
        return false;
    }
    struct call call = { .node = q->node,
                         .method = q->method,
                         .path = q->path,
                         .body = bytes_of_text(body ? body : ""),
                         .timeout_ms = q->timeout_ms > 0 ? q->timeout_ms : CLIENT_TIMEOUT_MS,
                         .waiting = q->waiting,
                         .context = q->context };
    enum err err = client_call(&call, ret_answer, &failure);
    free(body);
    if (err == ERR_OK) return true;
    bool unsure = failure.maybe_done && q->unsure_text;
    output_complain(out, "%s%s%s", failure.text, unsure ? "; " : "", unsure ? q->unsure_text : "");
    return false;
}

json_t *ask(const struct output *out, const struct question *question, bool *ret_missing)
{
    struct answer answer = { 0 };
    if (!call_node(out, question, &answer)) return NULL;
    json_t *value = take_answer(out, question, &answer, ret_missing);
    buffer_release(&answer.body);
    return value;
}

bool ask_done(const struct output *out, const struct question *question)
{
    struct answer answer = { 0 };
    if (!call_node(out, question, &answer)) return false;
    bool done = answer.status == 204;
    if (!done) complain_status(out, question, &answer);
    buffer_release(&answer.body);
    return done;
}

const char *ask_text(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

bool ask_integer(const json_t *object, const char *member, int64_t *ret_value)
{
    const json_t *value = json_object_get(object, member);
    if (!json_is_integer(value)) return false;
    *ret_value = json_integer_value(value);
    return true;
}

int ask_misfit(const struct output *out, const struct endpoint *node)
{
    output_complain(out, "the answer of %s is not what this version knows", node->text);
    return 1;
}
