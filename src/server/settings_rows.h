/* SPDX-License-Identifier: Apache-2.0 */
/* settings_rows: the table of settings, for settings.c alone. */
#ifndef QUIPU_SERVER_SETTINGS_ROWS_H
#define QUIPU_SERVER_SETTINGS_ROWS_H

#include "base/bytes.h"
#include "base/err.h"
#include "server/settings.h"

#include <stdint.h>

#define WORKERS_MAX 64
#define NOT_YET "not in this version yet"

/* In the order of parsing: the list of peers leaves out the node itself. */
enum row_id {
    ROW_NODE_ID,
    ROW_PEERS,
    ROW_LISTEN,
    ROW_DATA_DIR,
    ROW_DURABILITY,
    ROW_WORKERS,
    ROW_MAX_MEMORY,
    ROW_CLUSTER,
    ROW_DISCOVER,
    ROW_DISCOVER_PORT,
    ROW_HEARTBEAT,
    ROW_PEER_TIMEOUT,
    ROW_BACKOFF_MIN,
    ROW_BACKOFF_MAX,
    ROW_INSECURE,
    ROW_USERS_FILE,
    ROW_PEER_SECRET_FILE,
    ROW_TLS_CERT,
    ROW_TLS_KEY,
    ROW_TLS_CA,
    ROW_TLS_CLIENT_AUTH,
    ROW_ALLOW_ORIGIN,
    ROW_ALLOW_HOST,
    ROW_LOG_FORMAT,
    ROW_LOG_LEVEL,
    ROW_COUNT
};

struct row;
/* ERR_INVALID: not understood; ERR_NOT_FOUND: understood, but this version does not have it; ERR_NOMEM. */
typedef enum err row_parse(const struct row *row, struct bytes value, struct settings *s);

struct row {
    const char *flag, *variable;
    const char *value_name; /* for the help; NULL: a switch */
    const char *fallback;   /* what holds without a word; NULL: worked out from the others, or nothing */
    const char *allowed, *help;
    row_parse *parse; /* NULL: not in this version yet */
    int64_t min, max; /* of a number */
};

extern const struct row settings_rows[ROW_COUNT];

#endif
