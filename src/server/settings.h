/* SPDX-License-Identifier: Apache-2.0 */
/* settings: what the user wants of `quipu serve`, from flags and environment variables, checked as a whole before
 * anything is opened. One table (settings_rows.c) is the parser and the help text. */
#ifndef QUIPU_SERVER_SETTINGS_H
#define QUIPU_SERVER_SETTINGS_H

#include "base/bytes.h"
#include "base/err.h"
#include "server/endpoint.h"
#include "server/log.h"

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_BYTES_MAX 256 /* with its NUL, as in struct view */
#define DATA_DIR_BYTES_MAX 3072
#define SETTINGS_ERROR_BYTES 256
#define PEERS_COUNT_MAX 1024

enum discover { DISCOVER_OFF, DISCOVER_LOOPBACK };

/* What the command line asked for. */
enum settings_wish { SETTINGS_SERVE, SETTINGS_HELP, SETTINGS_VERSION };

struct settings {
    enum settings_wish wish; /* anything but SERVE: the rest is not filled in */
    struct endpoint node;    /* node.text is the node id */
    struct endpoint listen;
    char **peers; /* each a host:port; no duplicates, without the node itself */
    uint32_t peers_count;
    char data_dir[DATA_DIR_BYTES_MAX]; /* empty with data_dir_none */
    bool data_dir_none;                /* then durability_sync is false, whatever was asked for */
    bool durability_sync;
    uint32_t workers;
    char cluster[CLUSTER_BYTES_MAX]; /* UTF-8 */
    enum discover discover;
    uint16_t discover_port;
    uint32_t heartbeat_ms, peer_timeout_ms, backoff_ms_min, backoff_ms_max;
    bool insecure;
    enum log_format log_format;
    enum log_level log_level;
};

/* argv holds what follows the word `serve`; environment ends with NULL, as environ does. ERR_INVALID with one line in
 * ret_error that names the setting as the user gave it, the value, and what is allowed (exit status 2); ERR_NOMEM.
 * After ERR_OK the caller ends with settings_release. */
MUST_USE enum err settings_parse(int argc, char **argv, char **environment, struct settings *ret_settings,
                                 char ret_error[SETTINGS_ERROR_BYTES]);
void settings_release(struct settings *s);

/* The table as text, for --help. */
void settings_help(struct buffer *out);

#endif
