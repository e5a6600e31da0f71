/* SPDX-License-Identifier: Apache-2.0 */
/* verifier: a digest over all counters as a read would show them, made slice by slice in libuv's pool, so that no loop
 * stands still and no other work of the pool waits for long.
 *
 * The digest is the sum, over the counters that exist, of the XXH3 128-bit hash of (length of name u16, name, value
 * i64), little-endian: the order of the walk and the seed of the table do not matter, so converged nodes agree. */
#ifndef QUIPU_SERVER_VERIFIER_H
#define QUIPU_SERVER_VERIFIER_H

#include "base/err.h"
#include "node/service.h"

#include <uv.h>

struct server;
struct verifier;

/* done is called on loop, from the loop; the view that service_ops gives is then as new as the digest. ERR_NOMEM. */
MUST_USE enum err verifier_start(uv_loop_t *loop, struct server *server, verify_done *done, void *context,
                                 struct verifier **ret_verifier);
/* On the loop; done is not called any more. */
void verifier_cancel(struct verifier *v);

#endif
