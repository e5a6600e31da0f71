/* SPDX-License-Identifier: Apache-2.0 */
#include "server/settings_rows.h"

#include "base/alloc.h"
#include "server/text.h"

#include <string.h>

/* Parsers */

static enum err parse_node(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    if (endpoint_parse(value, &s->node) != ERR_OK || endpoint_is_anywhere(&s->node)) return ERR_INVALID;
    return ERR_OK;
}

static enum err parse_listen(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    return endpoint_parse(value, &s->listen);
}

static struct bytes trimmed(struct bytes text)
{
    while (text.len > 0 && text.ptr[0] == ' ') text = bytes_of(text.ptr + 1, text.len - 1);
    while (text.len > 0 && text.ptr[text.len - 1] == ' ') text.len--;
    return text;
}

/* Adds one peer; the node itself and what is there already count as there. */
static enum err peers_add(struct settings *s, struct bytes item)
{
    struct endpoint peer;
    if (endpoint_parse(item, &peer) != ERR_OK || endpoint_is_anywhere(&peer)) return ERR_INVALID;
    if (strcmp(peer.text, s->node.text) == 0) return ERR_OK;
    for (uint32_t i = 0; i < s->peers_count; i++) {
        if (strcmp(peer.text, s->peers[i]) == 0) return ERR_OK;
    }
    if (s->peers_count == PEERS_COUNT_MAX) return ERR_INVALID;
    char **grown = mem_resize(s->peers, (s->peers_count + 1) * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    s->peers = grown;
    s->peers[s->peers_count] = mem_alloc_zero(item.len + 1, 1);
    if (!s->peers[s->peers_count]) return ERR_NOMEM;
    memcpy(s->peers[s->peers_count++], item.ptr, item.len);
    return ERR_OK;
}

static enum err parse_peers(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    enum err err = ERR_OK;
    while (value.len > 0 && err == ERR_OK) {
        const uint8_t *comma = memchr(value.ptr, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.ptr) : value.len, taken = comma ? len + 1 : len;
        struct bytes item = trimmed(bytes_of(value.ptr, len));
        if (item.len > 0) err = peers_add(s, item);
        value = bytes_of(value.ptr + taken, value.len - taken);
    }
    return err;
}

static bool has_control(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < ' ' || value.ptr[i] == 0x7f) return true;
    }
    return false;
}

static enum err parse_data_dir(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    s->data_dir_none = bytes_equal(value, bytes_of_text("none"));
    if (s->data_dir_none) return ERR_OK;
    if (value.len == 0 || value.len >= sizeof s->data_dir || has_control(value)) return ERR_INVALID;
    memcpy(s->data_dir, value.ptr, value.len);
    return ERR_OK;
}

static enum err parse_cluster(const struct row *row, struct bytes value, struct settings *s)
{
    (void)row;
    if (value.len == 0 || value.len >= sizeof s->cluster) return ERR_INVALID;
    for (struct bytes rest = value; rest.len > 0;) {
        size_t len = text_shown_bytes(rest);
        if (len == 0) return ERR_INVALID;
        rest = bytes_of(rest.ptr + len, rest.len - len);
    }
    memcpy(s->cluster, value.ptr, value.len);
    return ERR_OK;
}

/* Which of the names in `allowed` ("sync, async") the value is. */
static enum err choice(const struct row *row, struct bytes value, unsigned *ret_index)
{
    struct bytes rest = bytes_of_text(row->allowed);
    for (unsigned index = 0; rest.len > 0; index++) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len, taken = comma ? len + 2 : len;
        if (bytes_equal(bytes_of(rest.ptr, len), value)) {
            *ret_index = index;
            return ERR_OK;
        }
        rest = bytes_of(rest.ptr + taken, rest.len - taken);
    }
    return ERR_INVALID;
}

static enum err parse_durability(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->durability_sync = index == 0;
    return err;
}

static enum err parse_discover(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    if (bytes_equal(value, bytes_of_text("lan"))) return ERR_NOT_FOUND;
    enum err err = choice(row, value, &index);
    s->discover = index == 0 ? DISCOVER_OFF : DISCOVER_LOOPBACK;
    return err;
}

static enum err parse_log_format(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->log_format = (enum log_format)index;
    return err;
}

static enum err parse_log_level(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->log_level = (enum log_level)index;
    return err;
}

static enum err parse_insecure(const struct row *row, struct bytes value, struct settings *s)
{
    unsigned index = 0;
    enum err err = choice(row, value, &index);
    s->insecure = index == 1;
    return err;
}

static enum err number(const struct row *row, struct bytes value, int64_t *ret_number)
{
    if (bytes_to_int64(value, ret_number) != ERR_OK) return ERR_INVALID;
    return *ret_number < row->min || *ret_number > row->max ? ERR_INVALID : ERR_OK;
}

/* A number's place among the settings; its row bounds it well inside 32 bits. */
#define NUMBER_PARSER(name, type)                                                                                      \
    static enum err parse_##name(const struct row *row, struct bytes value, struct settings *s)                        \
    {                                                                                                                  \
        int64_t parsed = 0;                                                                                            \
        enum err err = number(row, value, &parsed);                                                                    \
        if (err == ERR_OK) s->name = (type)parsed;                                                                     \
        return err;                                                                                                    \
    }
NUMBER_PARSER(workers, uint32_t)
NUMBER_PARSER(discover_port, uint16_t)
NUMBER_PARSER(heartbeat_ms, uint32_t)
NUMBER_PARSER(peer_timeout_ms, uint32_t)
NUMBER_PARSER(backoff_ms_min, uint32_t)
NUMBER_PARSER(backoff_ms_max, uint32_t)

static enum err parse_max_memory(const struct row *row, struct bytes value, struct settings *s)
{
    (void)s;
    int64_t bytes = 0;
    if (number(row, value, &bytes) != ERR_OK) return ERR_INVALID;
    return bytes == 0 ? ERR_OK : ERR_NOT_FOUND;
}

/* The table */

const struct row settings_rows[ROW_COUNT] = {
    [ROW_NODE_ID] = { "--node-id", "NODE_ID", "HOST:PORT", "localhost:8000", ENDPOINT_ALLOWED,
                      "name and advertised address", parse_node, 0, 0 },
    [ROW_PEERS] = { "--peers", "PEERS", "HOST:PORT,...", "", "a comma-separated list of up to 1024 host:port, or none",
                    "peers to join; a DNS name stands for all its addresses", parse_peers, 0, 0 },
    [ROW_LISTEN] = { "--listen", "QUIPU_LISTEN", "HOST:PORT", NULL, ENDPOINT_ALLOWED,
                     "bind address; a host name binds every address it stands for (default: the node id)", parse_listen,
                     0, 0 },
    [ROW_DATA_DIR] = { "--data-dir", "QUIPU_DATA_DIR", "PATH", NULL,
                       "none, or a path of at most 3071 bytes without control characters",
                       "data directory; none keeps all in memory and implies async (default: ./<host>_<port>.quipu)",
                       parse_data_dir, 0, 0 },
    [ROW_DURABILITY] = { "--durability", "QUIPU_DURABILITY", "WHEN", "sync", "sync, async",
                         "when a write is answered: after fdatasync, or after it was written to the journal file",
                         parse_durability, 0, 0 },
    [ROW_WORKERS] = { "--workers", "QUIPU_WORKERS", "N", NULL, "1 to 64",
                      "worker threads (default: the number of cores)", parse_workers, 1, WORKERS_MAX },
    [ROW_MAX_MEMORY] = { "--max-memory", "QUIPU_MAX_MEMORY", "BYTES", "0", "0",
                         "memory at which a new counter is refused; 0 is none; others are " NOT_YET, parse_max_memory,
                         0, INT64_MAX },
    [ROW_CLUSTER] = { "--cluster", "QUIPU_CLUSTER", "NAME", "quipu", "1 to 255 bytes of printable UTF-8",
                      "cluster name; nodes of another name never join", parse_cluster, 0, 0 },
    [ROW_DISCOVER] = { "--discover", "QUIPU_DISCOVER", "HOW", NULL, "off, loopback",
                       "finding peers without a list; lan is " NOT_YET
                       " (default: loopback when the bind address is loopback, else off)",
                       parse_discover, 0, 0 },
    [ROW_DISCOVER_PORT] = { "--discover-port", "QUIPU_DISCOVER_PORT", "PORT", "7745", "1 to 65535", "UDP port for that",
                            parse_discover_port, 1, 65535 },
    [ROW_HEARTBEAT] = { "--heartbeat-ms", "QUIPU_HEARTBEAT_MS", "MS", "500", "10 to 60000", "heartbeat period",
                        parse_heartbeat_ms, 10, 60000 },
    [ROW_PEER_TIMEOUT] = { "--peer-timeout-ms", "QUIPU_PEER_TIMEOUT_MS", "MS", "3000", "11 to 600000",
                           "silence after which a peer is taken off the peer list; above the heartbeat period",
                           parse_peer_timeout_ms, 11, 600000 },
    [ROW_BACKOFF_MIN] = { "--backoff-min-ms", "QUIPU_BACKOFF_MIN_MS", "MS", "500", "10 to 600000",
                          "first reconnect delay", parse_backoff_ms_min, 10, 600000 },
    [ROW_BACKOFF_MAX] = { "--backoff-max-ms", "QUIPU_BACKOFF_MAX_MS", "MS", "30000", "10 to 600000",
                          "longest reconnect delay; not below the first", parse_backoff_ms_max, 10, 600000 },
    [ROW_INSECURE] = { "--insecure", "QUIPU_INSECURE", NULL, "0", "0, 1",
                       "listen beyond loopback without authentication; the flag alone is 1", parse_insecure, 0, 0 },
    [ROW_USERS_FILE] = { "--users-file", "QUIPU_USERS_FILE", "PATH", NULL, "leaving it out", NOT_YET, NULL, 0, 0 },
    [ROW_PEER_SECRET_FILE] = { "--peer-secret-file", "QUIPU_PEER_SECRET_FILE", "PATH", NULL, "leaving it out", NOT_YET,
                               NULL, 0, 0 },
    [ROW_TLS_CERT] = { "--tls-cert", "QUIPU_TLS_CERT", "PATH", NULL, "leaving it out", NOT_YET, NULL, 0, 0 },
    [ROW_TLS_KEY] = { "--tls-key", "QUIPU_TLS_KEY", "PATH", NULL, "leaving it out", NOT_YET, NULL, 0, 0 },
    [ROW_TLS_CA] = { "--tls-ca", "QUIPU_TLS_CA", "PATH", NULL, "leaving it out", NOT_YET, NULL, 0, 0 },
    [ROW_TLS_CLIENT_AUTH] = { "--tls-client-auth", "QUIPU_TLS_CLIENT_AUTH", "HOW", NULL, "leaving it out", NOT_YET,
                              NULL, 0, 0 },
    [ROW_ALLOW_ORIGIN] = { "--allow-origin", "QUIPU_ALLOW_ORIGIN", "ORIGIN", NULL, "leaving it out", NOT_YET, NULL, 0,
                           0 },
    [ROW_ALLOW_HOST] = { "--allow-host", "QUIPU_ALLOW_HOST", "HOST", NULL, "leaving it out", NOT_YET, NULL, 0, 0 },
    [ROW_LOG_FORMAT] = { "--log-format", "QUIPU_LOG_FORMAT", "FORMAT", "text", "text, json", "format of the log",
                         parse_log_format, 0, 0 },
    [ROW_LOG_LEVEL] = { "--log-level", "QUIPU_LOG_LEVEL", "LEVEL", "info", "error, warn, info, debug",
                        "what is too unimportant for it", parse_log_level, 0, 0 },
};
