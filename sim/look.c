/* SPDX-License-Identifier: Apache-2.0 */
/* What a test may look at. */
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

struct node *sim_node(struct sim *s, uint32_t node)
{
    return sim_machine(s, node)->node;
}

struct disk *sim_disk(struct sim *s, uint32_t node)
{
    return sim_machine(s, node)->disk;
}

const struct view *sim_view(struct sim *s, uint32_t node)
{
    const struct view *view;
    REQUIRE(node_view(sim_machine(s, node)->node, sim_node_ms(s, node), &view) == ERR_OK);
    return view;
}

const char *sim_peers(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    size_t len = 0;
    const struct view *view = sim_view(s, node);
    uint32_t cap = 0;
    char *text = sim_grow(NULL, &cap, view->members_count * (uint32_t)sizeof m->name + 1, 1);
    for (uint32_t i = 0; i < view->members_count; i++) {
        if (!view->members[i].heard) continue;
        int more = snprintf(text + len, cap - len, "%s%s", len ? " " : "", view->members[i].node);
        REQUIRE(more > 0 && len + (size_t)more < cap);
        len += (size_t)more;
    }
    view_drop(view);
    free(m->peers);
    m->peers = text;
    return text;
}

uint64_t sim_bytes_sent(const struct sim *s, uint32_t node)
{
    return sim_machine(s, node)->bytes_sent;
}

uint32_t sim_notices(const struct sim *s, uint32_t node, enum notice_kind kind)
{
    return sim_machine(s, node)->notices[kind];
}

const struct notice *sim_last_notice(const struct sim *s, uint32_t node, enum notice_kind kind)
{
    return &sim_machine(s, node)->notice_last[kind];
}

void sim_listen(struct sim *s, sim_listener *listener, void *context)
{
    s->listener = listener;
    s->listener_context = context;
}

uint64_t sim_trace(const struct sim *s)
{
    return s->trace;
}
