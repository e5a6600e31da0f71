/* SPDX-License-Identifier: Apache-2.0 */
/* resp: a client's session in the Redis protocol. Bytes in, bytes out; no socket and no clock of its own. */
#ifndef QUIPU_RESP_SESSION_H
#define QUIPU_RESP_SESSION_H

#include "base/bytes.h"
#include "base/err.h"
#include "node/service.h"

struct resp_session;

/* service and peer outlive the session. NULL without memory. */
MUST_USE struct resp_session *resp_session_new(const struct service *service, const struct peer_info *peer);
/* wake is called on the worker's loop when an answer that was waited for (session_result.wait) is there: feed again,
 * with whatever input there is, none included. Without this no command that waits is to be sent. */
typedef void resp_wake(void *context);
void resp_session_set_wake(struct resp_session *s, resp_wake *wake, void *context);
void resp_session_free(struct resp_session *s); /* NULL is fine; cancels what is under way */

/* Executes the complete commands at the front of input and appends their replies to out, at most about 64 KiB of input
 * a call. The input must begin where the last call's consumed ended. A buffer that ran out of memory (out->failed) ends
 * the connection; the caller looks at it. */
void resp_session_feed(struct resp_session *s, struct bytes input, struct buffer *out,
                       struct session_result *ret_result);

#endif
