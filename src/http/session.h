/* SPDX-License-Identifier: Apache-2.0 */
/* http: a client's session in HTTP/1.1. Bytes in, bytes out; no socket and no clock of its own. */
#ifndef QUIPU_HTTP_SESSION_H
#define QUIPU_HTTP_SESSION_H

#include "base/bytes.h"
#include "base/err.h"
#include "node/service.h"

struct http_session;

/* Called on the worker's loop when an answer that was waited for (session_result.wait) is ready: feed again, with
 * whatever input there is, none included, to get it. */
typedef void http_wake(void *context);

/* service and peer outlive the session. NULL without memory. */
MUST_USE struct http_session *http_session_new(const struct service *service, const struct peer_info *peer,
                                               http_wake *wake, void *context);
void http_session_free(struct http_session *s); /* NULL is fine; cancels what is under way */

/* As resp_session_feed. */
void http_session_feed(struct http_session *s, struct bytes input, struct buffer *out,
                       struct session_result *ret_result);
/* True between the first byte of a request's head and its end: the connection is closed when that takes over 10 s. */
bool http_session_in_head(const struct http_session *s);

#endif
