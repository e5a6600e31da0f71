/* SPDX-License-Identifier: Apache-2.0 */
/* fault: the one list of what can be wrong with a request, and how each is told to the client. */
#ifndef QUIPU_HTTP_FAULT_H
#define QUIPU_HTTP_FAULT_H

#include "base/err.h"

/* name, status, the code that stands in a problem's type, its title */
#define FAULT_LIST(X)                                                                                                  \
    X(MALFORMED, 400, "malformed-request", "The request is not well-formed HTTP")                                      \
    X(INVALID, 400, "invalid-argument", "A value in the request is not allowed")                                       \
    X(NOT_FOUND, 404, "not-found", "There is nothing of this name")                                                    \
    X(METHOD, 405, "method-not-allowed", "This resource does not take this method")                                    \
    X(RANGE, 409, "out-of-range", "The value would not fit")                                                           \
    X(CONFLICT, 409, "conflict", "The state of the cluster does not allow it")                                         \
    X(LENGTH, 411, "length-required", "A body is needed")                                                              \
    X(BODY_LARGE, 413, "body-too-large", "The body is too large")                                                      \
    X(TARGET_LONG, 414, "target-too-long", "The request target is too long")                                           \
    X(MEDIA, 415, "unsupported-media-type", "The body has a form that is not understood")                              \
    X(EXPECTATION, 417, "expectation-failed", "The expectation cannot be met")                                         \
    X(HEAD_LARGE, 431, "head-too-large", "The header fields are too large")                                            \
    X(UNKNOWN_METHOD, 501, "unknown-method", "The method is not known")                                                \
    X(CODING, 501, "unknown-transfer-coding", "The transfer coding is not known")                                      \
    X(CLOSING, 503, "shutting-down", "The node is shutting down")                                                      \
    X(FENCED, 503, "fenced", "The node's data directory is an old state or a copy")                                    \
    X(VERSION, 505, "version-not-supported", "The version of HTTP is not supported")                                   \
    X(DISK_FULL, 507, "disk-full", "No space is left on the disk")                                                     \
    X(MEMORY, 507, "out-of-memory", "No memory is left")

#define X(name, status, code, title) FAULT_##name,
enum fault { FAULT_NONE, FAULT_LIST(X) FAULT_COUNT };
#undef X

/* What a request that a counter refused is told. err is not ERR_OK. */
enum fault fault_of_err(enum err err);
const char *fault_title(enum fault fault);

#endif
