/* SPDX-License-Identifier: Apache-2.0 */
/* err: the one list of error codes, and what to do about a broken promise.
 *
 * Broken input (from a client, a peer, a disk) is an error code. Broken logic of ours is REQUIRE, which stays on in
 * release builds: a node that no longer knows what it is doing must not go on counting. */
#ifndef QUIPU_BASE_ERR_H
#define QUIPU_BASE_ERR_H

#define ERR_LIST(X)                                                                                                    \
    X(OK, "ok")                                                                                                        \
    X(NOMEM, "out of memory")                                                                                          \
    X(RANGE, "value does not fit")                                                                                     \
    X(PARTIAL, "more input needed")                                                                                    \
    X(CORRUPT, "damaged bytes")                                                                                        \
    X(INVALID, "not allowed")                                                                                          \
    X(TOO_LONG, "too long")                                                                                            \
    X(NOT_FOUND, "not found")                                                                                          \
    X(EXISTS, "exists already")                                                                                        \
    X(FULL, "no space left on the disk")                                                                               \
    X(IO, "input or output failed")                                                                                    \
    X(LOCKED, "in use by another process")                                                                             \
    X(NEWER, "written by a newer version")                                                                             \
    X(STALE, "nothing new")                                                                                            \
    X(CLOSED, "closed")                                                                                                \
    X(FENCED, "this node's data directory is an old state or a copy; its writes would not count")

#define X(name, text) ERR_##name,
enum err { ERR_LIST(X) ERR_COUNT };
#undef X

#define MUST_USE __attribute__((warn_unused_result))

/* A static text of one line, without a full stop; never NULL. */
const char *err_text(enum err err);

/* Ends the process after one line on standard error; the simulator and the tests see it as an abort. */
_Noreturn void require_failed(const char *condition, const char *file, int line);
#define REQUIRE(condition) ((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))

#endif
