/* SPDX-License-Identifier: Apache-2.0 */
#include "server/views.h"

enum err views_init(struct views *v, const struct view *first)
{
    *v = (struct views){ .current = first };
    return uv_mutex_init(&v->lock) == 0 ? ERR_OK : ERR_NOMEM;
}

void views_release(struct views *v)
{
    view_drop(v->current);
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

const struct view *views_hold(struct views *v, bool *ret_is_first)
{
    *ret_is_first = !views_is_asked(v) && !atomic_exchange(&v->is_asked, true);
    uv_mutex_lock(&v->lock);
    const struct view *view = view_hold(v->current);
    uv_mutex_unlock(&v->lock);
    return view;
}

bool views_was_asked(struct views *v)
{
    return atomic_exchange(&v->is_asked, false);
}

bool views_is_asked(const struct views *v)
{
    return atomic_load_explicit(&v->is_asked, memory_order_relaxed);
}
