/* SPDX-License-Identifier: Apache-2.0 */
/* handler: what the code behind a command works with. Private to resp. */
#ifndef QUIPU_RESP_HANDLER_H
#define QUIPU_RESP_HANDLER_H

#include "base/bytes.h"
#include "node/service.h"
#include "resp/parser.h"
#include "resp/reply.h"
#include "resp/session.h"
#include "resp/table.h"

#include <stdbool.h>
#include <stdint.h>

/* What clients that look at a version are told; INFO has Quipu's own beside it. */
#define REDIS_VERSION "7.2.4"

#define CLIENTS_MAX 10000 /* INTERFACE: connections */

/* CLIENT REPLY. */
enum reply_mode { REPLY_ON, REPLY_SKIP_NEXT, REPLY_SKIP, REPLY_OFF };

/* What a client said of itself; owned texts, empty when it said nothing. */
struct introduction {
    struct buffer name, library, library_version;
};

/* A command whose reply comes later: nothing behind it is executed before. */
struct pause {
    bool waits;
    bool is_silent; /* nobody wants the reply */
    void *handle;   /* to cancel it; NULL when it is over */
    bool ready;
    enum order_result result;
    resp_wake *wake;
    void *context;
};

struct resp_session {
    const struct service *service;
    const struct peer_info *peer;
    struct keyspace *keyspace;
    struct parser parser;
    struct reply reply; /* its output is the one of the call under way */
    struct introduction introduction;
    uint64_t gate;                        /* of the call under way */
    uint64_t commands, increments, reads; /* of the call under way, until they go to the stats */
    uint64_t input_bytes;                 /* of the call under way */
    enum reply_mode mode;
    bool close;  /* nothing is read or executed any more */
    bool is_fed; /* just now: what arrives meanwhile wakes nobody */
    struct pause pause;
};

/* One command of a batch. Its texts are good until the batch has ended. */
struct request {
    const uint8_t *base;
    const struct span *spans;
    uint32_t argc;
    const struct command *command;
    uint64_t hash; /* of the name, if the command is about one counter */
    size_t end;    /* where the command ends in the batch's input */
};

static inline struct bytes request_arg(const struct request *q, uint32_t index)
{
    return bytes_of(q->base + q->spans[index].at, q->spans[index].len);
}

/* Case does not matter; word is in lower case. */
bool arg_is(struct bytes arg, const char *word);

/* Adds what this call counted so far to the stats. */
void session_count(struct resp_session *s);

/* As they are written in the table. */
void command_ping(struct resp_session *s, const struct request *q);
void command_echo(struct resp_session *s, const struct request *q);
void command_quit(struct resp_session *s, const struct request *q);
void command_hang_up(struct resp_session *s, const struct request *q);
void command_hello(struct resp_session *s, const struct request *q);
void command_auth(struct resp_session *s, const struct request *q);
void command_reset(struct resp_session *s, const struct request *q);
void command_select(struct resp_session *s, const struct request *q);
void command_accept(struct resp_session *s, const struct request *q); /* +OK, for what is so anyway */

void client_id(struct resp_session *s, const struct request *q);
void client_getname(struct resp_session *s, const struct request *q);
void client_setname(struct resp_session *s, const struct request *q);
void client_setinfo(struct resp_session *s, const struct request *q);
void client_info(struct resp_session *s, const struct request *q);
void client_switch(struct resp_session *s, const struct request *q); /* NO-EVICT and NO-TOUCH */
void client_reply(struct resp_session *s, const struct request *q);

void command_all(struct resp_session *s, const struct request *q);
void command_count(struct resp_session *s, const struct request *q);
void command_info(struct resp_session *s, const struct request *q);
void command_docs(struct resp_session *s, const struct request *q);
void command_list(struct resp_session *s, const struct request *q);
void command_getkeys(struct resp_session *s, const struct request *q);
void command_help(struct resp_session *s, const struct request *q); /* of any container */

void server_info(struct resp_session *s, const struct request *q);
void server_time(struct resp_session *s, const struct request *q);
void server_dbsize(struct resp_session *s, const struct request *q);
void config_get(struct resp_session *s, const struct request *q);
void config_set(struct resp_session *s, const struct request *q);
void config_resetstat(struct resp_session *s, const struct request *q);
void config_rewrite(struct resp_session *s, const struct request *q);
void quipu_peers(struct resp_session *s, const struct request *q);
void quipu_join(struct resp_session *s, const struct request *q);
void quipu_cluster(struct resp_session *s, const struct request *q);
void quipu_forget(struct resp_session *s, const struct request *q);
void quipu_leave(struct resp_session *s, const struct request *q);
/* The reply that one of these two left open. */
void quipu_put_result(struct resp_session *s);

void counter_incr(struct resp_session *s, const struct request *q);
void counter_decr(struct resp_session *s, const struct request *q);
void counter_incrby(struct resp_session *s, const struct request *q);
void counter_decrby(struct resp_session *s, const struct request *q);
void counter_get(struct resp_session *s, const struct request *q);
void counter_mget(struct resp_session *s, const struct request *q);
void counter_exists(struct resp_session *s, const struct request *q);

#endif
