/* SPDX-License-Identifier: Apache-2.0 */
/* table: every command once, with all that dispatch, arity errors and COMMAND need to know of it. */
#ifndef QUIPU_RESP_TABLE_H
#define QUIPU_RESP_TABLE_H

#include "base/bytes.h"
#include "resp/reply.h"

#include <stdint.h>

#define COMMAND_NAME_BYTES_MAX 16u

struct resp_session;
struct request;
typedef void command_handler(struct resp_session *s, const struct request *q);

/* In the order in which COMMAND shows them. */
#define COMMAND_FLAGS(X)                                                                                               \
    X(WRITE, "write")                                                                                                  \
    X(READONLY, "readonly")                                                                                            \
    X(DENYOOM, "denyoom")                                                                                              \
    X(ADMIN, "admin")                                                                                                  \
    X(NOSCRIPT, "noscript")                                                                                            \
    X(LOADING, "loading")                                                                                              \
    X(STALE, "stale")                                                                                                  \
    X(FAST, "fast")                                                                                                    \
    X(NO_AUTH, "no_auth")                                                                                              \
    X(ALLOW_BUSY, "allow_busy")

/* Access control categories, in the order in which COMMAND shows them. */
#define COMMAND_CATEGORIES(X)                                                                                          \
    X(KEYSPACE, "keyspace")                                                                                            \
    X(READ, "read")                                                                                                    \
    X(WRITE, "write")                                                                                                  \
    X(STRING, "string")                                                                                                \
    X(ADMIN, "admin")                                                                                                  \
    X(FAST, "fast")                                                                                                    \
    X(SLOW, "slow")                                                                                                    \
    X(DANGEROUS, "dangerous")                                                                                          \
    X(CONNECTION, "connection")

#define X(name, text) COMMAND_##name##_BIT,
enum command_flag_bit { COMMAND_FLAGS(X) COMMAND_FLAG_COUNT };
#undef X
#define X(name, text) COMMAND_##name = 1u << COMMAND_##name##_BIT,
enum command_flag { COMMAND_FLAGS(X) };
#undef X
#define X(name, text) CATEGORY_##name##_BIT,
enum category_bit { COMMAND_CATEGORIES(X) CATEGORY_COUNT };
#undef X
#define X(name, text) CATEGORY_##name = 1u << CATEGORY_##name##_BIT,
enum category { COMMAND_CATEGORIES(X) };
#undef X

struct command {
    char name[COMMAND_NAME_BYTES_MAX]; /* lower case, padded with NULs */
    uint8_t name_len;
    int8_t arity;               /* with the command's own name; -n: at least n */
    int8_t key_first, key_last; /* 0: none; last -1: the last argument */
    uint16_t flags, categories; /* categories that flags do not imply */
    command_handler *handler;   /* of a container: for no subcommand; NULL where there must be one */
    const struct command *children;
    uint32_t children_count;
    const char *since, *group, *summary;
};

/* NULL when there is none. The name may be in any case. */
const struct command *command_find(struct bytes name);
/* Of a container; NULL when there is none. */
const struct command *command_find_child(const struct command *container, struct bytes name);
/* As COMMAND INFO takes it: a child is "container|child". *ret_parent is NULL for what is no child. */
const struct command *command_find_full(struct bytes name, const struct command **ret_parent);
uint32_t command_table_count(void);
const struct command *command_table_at(uint32_t index);

static inline bool command_takes(const struct command *c, uint32_t argc)
{
    return c->arity >= 0 ? argc == (uint32_t)c->arity : argc >= (uint32_t)-c->arity;
}
uint32_t command_categories(const struct command *c);
/* "get", "client|id"; parent is NULL for what is no child. The result fits COMMAND_FULL_NAME_BYTES_MAX with its NUL. */
#define COMMAND_FULL_NAME_BYTES_MAX (2 * COMMAND_NAME_BYTES_MAX + 2)
void command_full_name(const struct command *parent, const struct command *c,
                       char ret_name[COMMAND_FULL_NAME_BYTES_MAX]);

#endif
