/* SPDX-License-Identifier: Apache-2.0 */
/* ask: a request whose answer must be JSON, for the verbs; whatever goes wrong is said on standard error. */
#ifndef QUIPU_CLI_ASK_H
#define QUIPU_CLI_ASK_H

#include "cli/client.h"
#include "cli/output.h"

struct question {
    const struct endpoint *node;
    const char *method, *path; /* body is JSON; without it: NULL */
    const json_t *body;
    uint32_t timeout_ms;     /* 0: CLIENT_TIMEOUT_MS */
    const char *unsure_text; /* for a request that may have been carried out although no answer came; NULL: none */
    bool may_be_missing;     /* 404 is not worth a message */
    client_waiting *waiting; /* as in struct call */
    void *context;
};

/* Whether the answer was 204, which has no body; false after a message. */
MUST_USE bool ask_done(const struct output *out, const struct question *question);

/* The answer's body if the status was 200; NULL after a message, or with *ret_missing after a 404 that may be. */
MUST_USE json_t *ask(const struct output *out, const struct question *question, bool *ret_missing);

/* Strict looks into an answer: NULL, or false, for a member that is not there or of another kind. */
const char *ask_text(const json_t *object, const char *member);
bool ask_integer(const json_t *object, const char *member, int64_t *ret_value);

/* Says that node's answer is not what was asked for. Always 1, the exit status. */
int ask_misfit(const struct output *out, const struct endpoint *node);

#endif
