/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "node/internal.h"

void action_release(struct action *a)
{
    switch (a->kind) {
    case ACTION_APPEND:
    case ACTION_SNAPSHOT:
        for (uint32_t i = 0; i < a->as.append.count; i++) shared_drop(a->as.append.records[i].bytes);
        mem_free(a->as.append.records);
        a->as.append.records = NULL;
        a->as.append.count = 0;
        break;
    case ACTION_SEND:
        shared_drop(a->as.link.bytes);
        a->as.link.bytes = NULL;
        break;
    case ACTION_ROTATE:
    case ACTION_CONNECT:
    case ACTION_CLOSE:
    case ACTION_NOTICE:
    case ACTION_ORDERED:
    case ACTION_STOPPED:
        break;
    }
}

void actions_clear(struct actions *a)
{
    for (uint32_t i = 0; i < a->count; i++) action_release(&a->items[i]);
    a->count = 0;
}

void actions_release(struct actions *a)
{
    actions_clear(a);
    mem_free(a->items);
    *a = (struct actions){ 0 };
}

void node_fail(struct node *n, enum err err)
{
    REQUIRE(err == ERR_OK || err == ERR_NOMEM);
    if (err == ERR_NOMEM) n->failed = true;
}

struct action *node_act(struct node *n, enum action_kind kind)
{
    struct actions *list = n->actions;
    if (list->count == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 16;
        struct action *items = mem_resize(list->items, cap * sizeof *items);
        if (!items) {
            n->failed = true;
            return NULL;
        }
        list->items = items;
        list->cap = cap;
    }
    struct action *a = &list->items[list->count++];
    memset(a, 0, sizeof *a);
    a->kind = kind;
    return a;
}

static void text_set(char *into, size_t cap, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len >= cap) len = cap - 1;
    if (len > 0) memcpy(into, text, len);
    into[len] = '\0';
}

void node_notice(struct node *n, enum notice_kind kind, const char *node, uint64_t number, const char *detail)
{
    struct action *a = node_act(n, ACTION_NOTICE);
    if (!a) return;
    a->as.notice.kind = kind;
    a->as.notice.number = number;
    text_set(a->as.notice.node, sizeof a->as.notice.node, node);
    text_set(a->as.notice.detail, sizeof a->as.notice.detail, detail);
}

void node_send(struct node *n, struct peer_link *l, struct shared *frame)
{
    if (!frame) {
        n->failed = true;
        return;
    }
    struct action *a = l->stage == LINK_CLOSING ? NULL : node_act(n, ACTION_SEND);
    if (!a) {
        shared_drop(frame);
        return;
    }
    a->as.link.link = l->id;
    a->as.link.bytes = frame;
    l->outstanding += frame->len;
    stats_add(n->stats, STAT_peer_bytes_out, frame->len);
}

bool node_may_answer(const struct peer_link *l)
{
    return l->outstanding < LINK_ANSWERS_BYTES_MAX;
}

void node_send_body(struct node *n, struct peer_link *l, enum frame_kind kind, struct buffer *body)
{
    if (buffer_end(body) != ERR_OK)
        n->failed = true;
    else
        node_send(n, l, frame_new(kind, buffer_view(body)));
    buffer_release(body);
}
