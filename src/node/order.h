/* SPDX-License-Identifier: Apache-2.0 */
/* order: what a person can tell a node about its cluster and wait for, and what comes of it. The same texts are the
 * answer over HTTP, RESP and on the command line. */
#ifndef QUIPU_NODE_ORDER_H
#define QUIPU_NODE_ORDER_H

enum order_kind {
    ORDER_FORGET, /* strike a member off; done when this node's journal has it on disk */
    ORDER_LEAVE,  /* this node leaves; done when the peers have all of it and were told; the node stops then */
};

#define ORDER_RESULT_LIST(X)                                                                                           \
    X(DONE, "done")                                                                                                    \
    X(UNKNOWN, "there is no member of this name")                                                                      \
    X(SELF, "that is this node itself; to take it out of the cluster, use leave")                                      \
    X(HEARD, "this member is heard right now; stop it first, or use leave on it")                                      \
    X(UNSAFE, "no peer that is heard has on its disk all that this node has; it stays, and takes writes again")        \
    X(STOPPING, "the node is shutting down")                                                                           \
    X(FULL, "no space is left on the disk to remember it")

#define X(name, text) ORDER_RESULT_##name,
enum order_result { ORDER_RESULT_LIST(X) ORDER_RESULT_COUNT };
#undef X
/* One line, without a full stop. */
const char *order_result_text(enum order_result result);

#endif
