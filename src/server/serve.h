/* SPDX-License-Identifier: Apache-2.0 */
/* serve: the whole life of `quipu serve`, on the calling thread. */
#ifndef QUIPU_SERVER_SERVE_H
#define QUIPU_SERVER_SERVE_H

#include "base/err.h"

struct settings;

/* Returns the exit status: 0 after SIGTERM or SIGINT, once everything is durable; 1, after one line on standard error,
 * when the node could not start or could not make everything durable. */
MUST_USE int serve_run(const struct settings *settings);

#endif
