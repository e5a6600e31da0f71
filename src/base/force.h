/* SPDX-License-Identifier: Apache-2.0 */
/* force: rare branches, taken on purpose. In the product FORCE(NAME) is constant false and costs nothing. The simulator
 * builds the core with -DQUIPU_FORCE and decides at each place, by chance, whether the branch is taken now. A switch
 * is one line at its place and never does what could not happen without it. */
#ifndef QUIPU_BASE_FORCE_H
#define QUIPU_BASE_FORCE_H

#include <stdbool.h>

#define FORCE_LIST(X)                                                                                                  \
    X(FRAME_CUT, "a bulk frame is cut after an entry or three")                                                        \
    X(WINDOW_SMALL, "a link has no room for bulk")                                                                     \
    X(RECENT_FORGET, "recent places are forgotten, so that a sweep is needed")                                         \
    X(SERVE_BY_SWEEP, "a request is served by a sweep")                                                                \
    X(SWEEP_SLOW, "a sweep walks one cell at a time")                                                                  \
    X(INCOMING_FULL, "links are not read: too much waits for the journal")                                             \
    X(FRESH_STALE, "the ready frame of the newest commit is not used")                                                 \
    X(DIGEST_SINGLE, "one replica is told of instead of all")                                                          \
    X(SPILL, "a compact counter becomes a full one")                                                                   \
    X(TABLE_GROWS, "a table grows early")                                                                              \
    X(SNAPSHOT_NOW, "a snapshot is due")                                                                               \
    X(SNAPSHOT_FAILS, "a snapshot fails")                                                                              \
    X(ROTATE_NOW, "a segment counts as full")                                                                          \
    X(COMMIT_WAITS, "the next commit waits")                                                                           \
    X(WANT_AGAIN, "what is missing is asked for again at once")                                                        \
    X(LINK_CLOSES, "this side closes a link")                                                                          \
    X(HANDSHAKE_REFUSED, "a connection that comes in is closed")                                                       \
    X(JUDGE_EARLY, "a member is asked about before its time")

#define X(name, text) FORCE_##name,
enum force { FORCE_LIST(X) FORCE_COUNT };
#undef X

#ifdef QUIPU_FORCE
bool force_strikes(enum force force);
typedef bool force_decider(enum force force);
void force_decide_by(force_decider *decider); /* NULL: never */
#define FORCE(name) force_strikes(FORCE_##name)
#else
#define FORCE(name) false
#endif

#endif
