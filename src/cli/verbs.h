/* SPDX-License-Identifier: Apache-2.0 */
/* verbs: what the program can be told to do. */
#ifndef QUIPU_CLI_VERBS_H
#define QUIPU_CLI_VERBS_H

#include "cli/options.h"
#include "cli/output.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The whole program; returns its exit status. */
int verbs_run(int argc, char **argv);

/* The client verbs. Each gets as many words as its row of the table allows and returns an exit status. */
int verb_get(const struct options *o, struct output *out);
int verb_incr(const struct options *o, struct output *out);
int verb_peers(const struct options *o, struct output *out);
int verb_join(const struct options *o, struct output *out);
int verb_forget(const struct options *o, struct output *out);
int verb_leave(const struct options *o, struct output *out);
int verb_status(const struct options *o, struct output *out);
int verb_verify(const struct options *o, struct output *out);

#endif
