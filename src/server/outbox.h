/* SPDX-License-Identifier: Apache-2.0 */
/* outbox: the replies of one connection on their way out, in order. Some must wait until a commit is let through the
 * gate; those behind them wait too.
 *
 *   0        sent       open                 len
 *   | gone    | may leave | waits for commits |
 *
 *  (1) sent <= open <= bytes.len, and open == bytes.len if and only if there are no marks.
 *  (2) Marks rise in both end and commit; the last one ends at bytes.len.
 *  (3) Few marks are kept: with more commits under way than that, the last one takes in what is new, which delays some
 *      replies and lets none out early. */
#ifndef QUIPU_SERVER_OUTBOX_H
#define QUIPU_SERVER_OUTBOX_H

#include "base/bytes.h"

#include <stdint.h>

#define OUTBOX_MARKS_MAX 4

struct outbox_mark {
    size_t end;
    uint64_t commit;
};

/* Zero-initialised is empty. Replies are appended to `bytes` by the session; outbox_close comes after. */
struct outbox {
    struct buffer bytes;
    size_t sent, open;
    struct outbox_mark marks[OUTBOX_MARKS_MAX];
    uint32_t marks_count;
};

/* What was appended since the last call must wait for commit (0: for nothing); `released` is what the gate lets out. */
void outbox_close(struct outbox *o, uint64_t commit, uint64_t released);
/* Opens what the gate lets out by now. */
void outbox_release(struct outbox *o, uint64_t released);
/* The next commit that something waits for; 0 if nothing waits. */
uint64_t outbox_waits_for(const struct outbox *o);
/* What may leave. */
struct bytes outbox_ready(const struct outbox *o);
void outbox_take(struct outbox *o, size_t sent);
/* Hands over the bytes whose view outbox_ready gave, in the buffer that holds them; what waits stays, in `fresh`, which
 * is empty and taken over. ERR_NOMEM: nothing changed, fresh is still the caller's. */
MUST_USE enum err outbox_detach(struct outbox *o, struct buffer *fresh, struct buffer *ret_ready, size_t *ret_from);

static inline bool outbox_is_empty(const struct outbox *o)
{
    return o->sent == o->bytes.len;
}
static inline size_t outbox_bytes(const struct outbox *o)
{
    return o->bytes.len - o->sent;
}

#endif
