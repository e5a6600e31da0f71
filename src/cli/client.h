/* SPDX-License-Identifier: Apache-2.0 */
/* client: one HTTP request to a node and its answer, with a deadline for the whole and a bound on what a hostile
 * server can make us hold. */
#ifndef QUIPU_CLI_CLIENT_H
#define QUIPU_CLI_CLIENT_H

#include "base/bytes.h"
#include "base/err.h"
#include "server/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_TIMEOUT_MS 5000
#define CLIENT_BODY_BYTES_MAX (1u << 20)
#define CLIENT_HEAD_BYTES_MAX (64u << 10)

/* Called for each whole second in which no answer has come. */
typedef void client_waiting(void *context, uint32_t waited_s);

struct call {
    const struct endpoint *node;
    const char *method, *path; /* the path as it goes over the wire */
    struct bytes body;         /* JSON, or empty */
    uint32_t timeout_ms;
    client_waiting *waiting; /* NULL: nobody wants to know */
    void *context;           /* for waiting */
};

struct answer {
    unsigned status;
    struct buffer body;
};

struct failure {
    char text[256];  /* one line; may hold strangers' bytes */
    bool maybe_done; /* the request may have reached the node */
};

/* After ERR_OK, whatever the status, the caller releases ret_answer->body. */
MUST_USE enum err client_call(const struct call *call, struct answer *ret_answer, struct failure *ret_failure);

/* Adds name as one segment of a path: all that is not a letter, a digit or one of -._~ as %HH. */
void client_escape(struct buffer *path, struct bytes name);

#endif
