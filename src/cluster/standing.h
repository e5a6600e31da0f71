/* SPDX-License-Identifier: Apache-2.0 */
/* standing: whether a name belongs to the cluster. Merging takes the greater of two, so nodes agree in whatever order
 * they hear of it, and however often. */
#ifndef QUIPU_CLUSTER_STANDING_H
#define QUIPU_CLUSTER_STANDING_H

#include <stdbool.h>
#include <stdint.h>

struct standing {
    uint32_t epoch; /* raised by contact with the node itself after it had left, and by nothing else */
    bool left;
};

/* Whether a is what holds when both were said: the higher epoch and, at equal epochs, "left". */
static inline bool standing_beats(struct standing a, struct standing b)
{
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.left && !b.left;
}

#endif
