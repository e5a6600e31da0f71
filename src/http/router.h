/* SPDX-License-Identifier: Apache-2.0 */
/* router: which route a path names, and whether a request may go there. */
#ifndef QUIPU_HTTP_ROUTER_H
#define QUIPU_HTTP_ROUTER_H

#include "http/exchange.h"

/* Finds the route before anything is decoded and begins the answer in its style. NULL: the request was answered
 * (unknown path, method, media, query), without a look at its body. Also sets x->segment. */
handler *router_find(struct exchange *x);

#endif
