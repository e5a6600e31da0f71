/* SPDX-License-Identifier: Apache-2.0 */
/* errand: an order that a session gives the node, and its answer on the way back from the replica thread to the loop
 * that the session lives on. Neither thread waits for the other. The loop does not end before its errands are back:
 * each has a handle on it, and the node answers every order, at the latest when it stops. */
#ifndef QUIPU_SERVER_ERRAND_H
#define QUIPU_SERVER_ERRAND_H

#include "base/err.h"
#include "node/service.h"
#include "server/replica.h"

#include <uv.h>

struct errand;

/* done is called on loop, from the loop. ERR_NOMEM: nothing was ordered. */
MUST_USE enum err errand_start(uv_loop_t *loop, struct replica *replica, enum order_kind kind, struct bytes name,
                               order_done *done, void *context, struct errand **ret_errand);
/* On the loop; done is not called any more. The order stands. */
void errand_cancel(struct errand *e);

#endif
