/* SPDX-License-Identifier: Apache-2.0 */
/* listener: the sockets of the one port, on the main thread's loop. A host name binds every address it stands for. */
#ifndef QUIPU_SERVER_LISTENER_H
#define QUIPU_SERVER_LISTENER_H

#include "base/err.h"
#include "server/endpoint.h"

#include <sys/socket.h>
#include <uv.h>

#define LISTENER_ERROR_BYTES 512

struct listener;

/* Takes over fd. */
typedef void listener_accepted(void *context, int fd, const struct sockaddr_storage *from);

/* Binds and listens; what connects waits in the kernel until listener_start. ERR_IO with one line in ret_error: the
 * port is taken, or no address of the host can be bound. ERR_NOMEM. */
MUST_USE enum err listener_open(const struct endpoint *endpoint, struct listener **ret_listener,
                                char ret_error[LISTENER_ERROR_BYTES]);
MUST_USE enum err listener_start(struct listener *l, uv_loop_t *loop, listener_accepted *accepted, void *context);
/* Closes the sockets; on the loop. */
void listener_stop(struct listener *l);
/* After listener_stop and once the loop has ended, or without listener_start. NULL is fine. */
void listener_free(struct listener *l);

#endif
