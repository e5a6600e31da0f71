/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint: where somebody listens, as people write it: "localhost:8000", "10.0.0.1:8000", "[::1]:8000". Nothing is
 * resolved here. */
#ifndef QUIPU_SERVER_ENDPOINT_H
#define QUIPU_SERVER_ENDPOINT_H

#include "base/bytes.h"
#include "base/err.h"
#include "cluster/link.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint {
    char text[ADDRESS_BYTES_MAX]; /* as it was written */
    char host[254];               /* without brackets */
    uint16_t port;                /* never 0 */
};

#define ENDPOINT_ALLOWED "host:port, IPv6 as [::1]:8000, port 1 to 65535"

/* Strict: a host name of letters, digits, '-', '_' and '.', an IPv4 address, or an IPv6 address in brackets; then a
 * decimal port. ERR_INVALID for anything else. */
MUST_USE enum err endpoint_parse(struct bytes text, struct endpoint *ret_endpoint);
/* Only what is loopback for sure: localhost and names below it, 127.0.0.0/8, ::1. */
bool endpoint_is_loopback(const struct endpoint *e);
/* 0.0.0.0 or [::]: can be bound, cannot be reached. */
bool endpoint_is_anywhere(const struct endpoint *e);

#endif
