/* SPDX-License-Identifier: Apache-2.0 */
#include "server/views.h"

#define WAIT_NS 1000000000u

enum err views_init(struct views *v, const struct view *first)
{
    *v = (struct views){ .current = first };
    if (uv_mutex_init(&v->lock) != 0) return ERR_NOMEM;
    if (uv_cond_init(&v->is_replaced) == 0) return ERR_OK;
    uv_mutex_destroy(&v->lock);
    return ERR_NOMEM;
}

void views_release(struct views *v)
{
    view_drop(v->current);
    uv_cond_destroy(&v->is_replaced);
    uv_mutex_destroy(&v->lock);
}

void views_replace(struct views *v, const struct view *fresh)
{
    uv_mutex_lock(&v->lock);
    const struct view *old = v->current;
    v->current = fresh;
    uv_mutex_unlock(&v->lock);
    view_drop(old);
}

const struct view *views_hold(struct views *v)
{
    uv_mutex_lock(&v->lock);
    const struct view *view = view_hold(v->current);
    uv_mutex_unlock(&v->lock);
    return view;
}

uint64_t views_want(struct views *v)
{
    uv_mutex_lock(&v->lock);
    uint64_t ticket = ++v->wanted;
    uv_mutex_unlock(&v->lock);
    return ticket;
}

void views_wait(struct views *v, uint64_t ticket)
{
    uint64_t end_ns = uv_hrtime() + WAIT_NS;
    uv_mutex_lock(&v->lock);
    for (uint64_t now_ns = uv_hrtime(); v->served < ticket && now_ns < end_ns; now_ns = uv_hrtime())
        (void)uv_cond_timedwait(&v->is_replaced, &v->lock, end_ns - now_ns);
    uv_mutex_unlock(&v->lock);
}

uint64_t views_wanted(struct views *v)
{
    uv_mutex_lock(&v->lock);
    uint64_t ticket = v->wanted;
    uv_mutex_unlock(&v->lock);
    return ticket;
}

bool views_is_wanted(struct views *v)
{
    uv_mutex_lock(&v->lock);
    bool is_wanted = v->served < v->wanted;
    uv_mutex_unlock(&v->lock);
    return is_wanted;
}

void views_serve(struct views *v, uint64_t ticket)
{
    uv_mutex_lock(&v->lock);
    v->served = ticket;
    uv_cond_broadcast(&v->is_replaced);
    uv_mutex_unlock(&v->lock);
}
