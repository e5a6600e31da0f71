/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/schedule.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdlib.h>

static bool sooner(const struct happening *a, const struct happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void schedule_add(struct schedule *q, const struct happening *h)
{
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 256;
        q->items = realloc(q->items, q->cap * sizeof *q->items);
        REQUIRE(q->items);
    }
    struct happening added = *h;
    added.order = ++q->order;
    uint32_t at = q->count++;
    for (; at > 0 && sooner(&added, &q->items[(at - 1) / 2]); at = (at - 1) / 2) q->items[at] = q->items[(at - 1) / 2];
    q->items[at] = added;
}

struct happening schedule_take(struct schedule *q)
{
    REQUIRE(q->count > 0);
    struct happening first = q->items[0], moved = q->items[--q->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= q->count) break;
        if (child + 1 < q->count && sooner(&q->items[child + 1], &q->items[child])) child++;
        if (!sooner(&q->items[child], &moved)) break;
        q->items[at] = q->items[child];
        at = child;
    }
    q->items[at] = moved;
    return first;
}

void schedule_release(struct schedule *q)
{
    free(q->items);
    *q = (struct schedule){ 0 };
}
