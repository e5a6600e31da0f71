/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/link.h"

#include "base/alloc.h"

struct shared *shared_new(size_t len)
{
    struct shared *s = mem_alloc(sizeof *s + len);
    if (!s) return NULL;
    atomic_init(&s->holders, 1);
    s->len = len;
    return s;
}

struct shared *shared_copy(struct bytes bytes)
{
    struct shared *s = shared_new(bytes.len);
    if (s && bytes.len > 0) memcpy(s->ptr, bytes.ptr, bytes.len);
    return s;
}

struct shared *shared_hold(struct shared *s)
{
    atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
    return s;
}

void shared_drop(struct shared *s)
{
    if (s && atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) == 1) mem_free(s);
}
