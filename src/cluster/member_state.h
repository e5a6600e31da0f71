/* SPDX-License-Identifier: Apache-2.0 */
/* member_state: what a node thinks of another one, as /v1/cluster shows it. */
#ifndef QUIPU_CLUSTER_MEMBER_STATE_H
#define QUIPU_CLUSTER_MEMBER_STATE_H

#define MEMBER_STATE_LIST(X)                                                                                           \
    X(JOINING, "joining")   /* known by name or dialled, not heard yet */                                              \
    X(ALIVE, "alive")       /* heard directly within the peer timeout */                                               \
    X(INDIRECT, "indirect") /* not heard, but another member hears it */                                               \
    X(DOWN, "down")         /* nobody asked hears it, or it said goodbye */                                            \
    X(LEFT, "left")         /* left or was forgotten */

#define X(name, text) MEMBER_##name,
enum member_state { MEMBER_STATE_LIST(X) MEMBER_STATE_COUNT };
#undef X
const char *member_state_text(enum member_state state);

#endif
