/* SPDX-License-Identifier: Apache-2.0 */
/* options: what all client verbs understand, wherever it stands on the command line. */
#ifndef QUIPU_CLI_OPTIONS_H
#define QUIPU_CLI_OPTIONS_H

#include "base/err.h"
#include "server/endpoint.h"

#include <stdbool.h>

#define OPTIONS_ERROR_BYTES 256

struct options {
    const char *verb; /* NULL: none */
    bool help, version, json;
    struct endpoint node; /* only with a verb other than serve, and without help and version */
    int words_count;      /* what follows the verb: of serve all words, else those that are no options */
    char **words;         /* words[words_count] is NULL */
};

/* Moves the words of argv together in place. ERR_INVALID with one line in ret_error: exit status 2. */
MUST_USE enum err options_parse(int argc, char **argv, struct options *ret_options,
                                char ret_error[OPTIONS_ERROR_BYTES]);

#endif
