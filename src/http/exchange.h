/* SPDX-License-Identifier: Apache-2.0 */
/* exchange: a request on its way to its answer, and what each route does with it. */
#ifndef QUIPU_HTTP_EXCHANGE_H
#define QUIPU_HTTP_EXCHANGE_H

#include "http/answer.h"
#include "http/json.h"
#include "http/request.h"
#include "http/session.h"
#include "node/service.h"

#include <stdbool.h>

struct exchange;
typedef void handler(struct exchange *x);

/* Something elsewhere in the process that a session waits for. */
struct wait {
    void *handle; /* for cancel; NULL when it is over */
    void (*cancel)(void *handle);
    handler *finish; /* once it is ready: writes the answer that was left open */
    bool ready;
    struct verify_result verify;
    enum order_result order;
    http_wake *wake; /* NULL while the session is being fed: it looks for itself afterwards */
    void *context;
};

struct exchange {
    const struct service *service;
    const struct request *request;
    struct bytes segment; /* the {name} in the path, still encoded */
    struct answer *answer;
    struct wait *wait;
    bool waits; /* set by a handler whose answer comes later */
};

handler original_ping, original_peers, original_join, original_increment, original_count;
handler route_get, route_increment, route_increments;
handler cluster_get, cluster_forget, cluster_leave, verify_get, live_get, ready_get, metrics_get;

/* For a handler: what was begun under this handle, NULL if there was no memory for it, is waited for. */
void exchange_wait(struct exchange *x, void *handle, void (*cancel)(void *handle), handler *finish);
/* For whoever has the result, after it was put into the wait. */
void wait_over(struct wait *wait);
void wait_cancel(struct wait *wait);

/* A counter's or a member's name as bytes. */
struct name {
    uint8_t ptr[NAME_BYTES_MAX];
    size_t len;
};
/* Takes the percent escapes out of a part of the target. False: the exchange was answered. */
bool exchange_decode(struct exchange *x, struct bytes encoded, bool plus_is_space, struct name *ret_name);
/* The body as an object. False: the exchange was answered. *ret_root: NULL, or what the object's views lie in, for
 * json_decref. */
bool exchange_read_object(struct exchange *x, struct json_object *ret_object, json_t **ret_root);
/* keyspace_add, with the gate and the counts kept. A delta of 0 only reads. */
MUST_USE enum err exchange_add(struct exchange *x, struct bytes name, int64_t delta, struct seen *ret_seen);
void exchange_read(struct exchange *x, struct bytes name, struct seen *ret_seen);

#endif
