/* SPDX-License-Identifier: Apache-2.0 */
/* verifier: a digest over all counters as a read would show them, made slice by slice in libuv's pool, so that no loop
 * stands still and no other work of the pool waits for long.
 *
 * The digest is the sum, over the counters that exist, of the XXH3 128-bit hash of (length of name u16, name, value
 * i64), little-endian: the order of the walk and the seed of the table do not matter, so converged nodes agree.
 *
 * Each worker has one verifier, which makes one walk at a time. Who asks during a walk waits for the next, since a
 * digest must show all that was answered before it was asked for; all who wait share that walk. So the work does not
 * grow with the number of clients that ask, however many they are and whether they stay or not:
 *
 *   asked ---> [waiting] ---> walk begins ---> [served] ---> done
 */
#ifndef QUIPU_SERVER_VERIFIER_H
#define QUIPU_SERVER_VERIFIER_H

#include "base/err.h"
#include "node/service.h"

#include <uv.h>

struct server;
struct verify_request;

/* All on the loop; only walk, result and is_complete belong to the pool's thread during a slice. */
struct verifier {
    uv_loop_t *loop;
    struct server *server;
    uv_work_t work;
    struct verify_request *waiting, *served;
    bool is_walking, is_complete;
    struct walk walk;
    struct verify_result result;
};

void verifier_init(struct verifier *v, uv_loop_t *loop, struct server *server);
/* Its loop has ended, and all that was asked was answered or cancelled. */
void verifier_release(struct verifier *v);

/* done is called from the loop; the view that service_ops gives is then as new as the digest. ERR_NOMEM. */
MUST_USE enum err verifier_ask(struct verifier *v, verify_done *done, void *context,
                               struct verify_request **ret_request);
/* done is not called any more. A walk that nobody waits for is given up. */
void verifier_cancel(struct verify_request *request);

#endif
