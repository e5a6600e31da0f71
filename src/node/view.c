/* SPDX-License-Identifier: Apache-2.0 */
#include "node/view.h"

#include "base/alloc.h"
#include "node/internal.h"

#include <stdlib.h>

const struct view *view_hold(const struct view *v)
{
    atomic_fetch_add_explicit(&((struct view *)v)->holders, 1, memory_order_relaxed);
    return v;
}

void view_drop(const struct view *v)
{
    struct view *mine = (struct view *)v;
    if (!mine || atomic_fetch_sub_explicit(&mine->holders, 1, memory_order_acq_rel) != 1) return;
    mem_free(mine->members);
    mem_free(mine->replicas);
    mem_free(mine);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct view_member *)a)->node, ((const struct view_member *)b)->node);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct view_replica *)a)->id.bytes, ((const struct view_replica *)b)->id.bytes, 16);
}

static void show_member(const struct node *n, uint64_t now_ms, const struct member *m, struct view_member *shown)
{
    memcpy(shown->node, m->name, sizeof shown->node);
    memcpy(shown->address, m->name, sizeof shown->address);
    shown->state = m->state;
    shown->heard = m->state == MEMBER_ALIVE;
    shown->replica = m->replica;
    shown->last_heard_ms = now_ms > m->heard_ms ? now_ms - m->heard_ms : 0;
    if (!member_counts(m)) return; /* it lags behind nothing: nobody waits for it */
    uint64_t own = replicas_known(n->replicas, n->own)->durable;
    shown->lag_entries = own > m->confirmed ? own - m->confirmed : 0;
    if (shown->lag_entries > 0 && m->lag_since_ms > 0 && now_ms > m->lag_since_ms)
        shown->lag_ms = now_ms - m->lag_since_ms;
    for (uint32_t i = 0; i < n->links_count; i++) {
        if (n->links[i]->id == m->link) shown->rtt_us = n->links[i]->rtt_us;
    }
}

static void show_self(const struct node *n, struct view_member *shown)
{
    memcpy(shown->node, n->name, sizeof shown->node);
    memcpy(shown->address, n->name, sizeof shown->address);
    shown->state = MEMBER_ALIVE;
    shown->is_self = true;
    shown->replica = *replicas_id(n->replicas, n->own);
}

static void show_replicas(const struct node *n, struct view *v)
{
    for (uint32_t i = 1; i < replicas_count(n->replicas); i++) {
        const struct known *known = replicas_known(n->replicas, i);
        if (known->known == 0) continue;
        v->replicas[v->replicas_count++] =
            (struct view_replica){ *replicas_id(n->replicas, i), known->known, known->durable };
    }
    qsort(v->replicas, v->replicas_count, sizeof *v->replicas, by_id);
}

enum err node_view(const struct node *n, uint64_t now_ms, const struct view **ret_view)
{
    struct view *v = mem_alloc_zero(1, sizeof *v);
    if (!v) return ERR_NOMEM;
    atomic_init(&v->holders, 1);
    v->members = mem_alloc_zero(n->members.members_count + 1, sizeof *v->members);
    v->replicas = mem_alloc_zero(replicas_count(n->replicas), sizeof *v->replicas);
    if (!v->members || !v->replicas) {
        view_drop(v);
        return ERR_NOMEM;
    }
    memcpy(v->node, n->name, sizeof v->node);
    memcpy(v->cluster, n->cluster, sizeof v->cluster);
    v->replica = *replicas_id(n->replicas, n->own);
    v->ready = n->ready && !n->stopping && !n->fenced;
    v->stopping = n->stopping;
    show_self(n, &v->members[0]);
    for (uint32_t i = 0; i < n->members.members_count; i++)
        show_member(n, now_ms, &n->members.members[i], &v->members[i + 1]);
    v->members_count = n->members.members_count + 1;
    qsort(v->members, v->members_count, sizeof *v->members, by_name);
    show_replicas(n, v);
    *ret_view = v;
    return ERR_OK;
}
