/* SPDX-License-Identifier: Apache-2.0 */
/* lone_node: one real node whose whole world is the test: links are scripts, the disk says at once that it is done.
 * Needs no cmocka, so that fuzz targets can have it; takes its own memory from malloc, so that a test which lets the
 * node's requests fail does not meet its own. */
#ifndef QUIPU_TEST_UNIT_LONE_NODE_H
#define QUIPU_TEST_UNIT_LONE_NODE_H

#include "cluster/frame.h"
#include "cluster/message.h"
#include "node/node.h"

#include <stdlib.h>

#define LONE_LINKS_MAX 300u

struct lone_link {
    link_id id;         /* 0: its down event was given */
    bool closing, deaf; /* deaf: the other end does not read */
    uint8_t *sent;
    size_t len, cap, read, unread; /* of sent; what the test has looked at; what was not reported as gone */
};

struct lone {
    struct node *node;
    struct stats stats;
    uint64_t now_ms, appended, done, records, append_of[256]; /* by kind of record, the last append that has one */
    link_id link_last;
    struct lone_link links[LONE_LINKS_MAX];
    uint32_t links_count, dials, ordered, notices[NOTICE_COUNT];
    struct notice last[NOTICE_COUNT];
    struct action order; /* the last that was answered */
    char dialled[ADDRESS_BYTES_MAX];
};

static inline struct lone_link *lone_link(struct lone *w, link_id id)
{
    for (uint32_t i = 0; i < w->links_count; i++) {
        if (w->links[i].id == id) return &w->links[i];
    }
    return NULL;
}

static inline struct lone_link *lone_link_new(struct lone *w, link_id id)
{
    struct lone_link *l = lone_link(w, 0);
    if (!l) {
        REQUIRE(w->links_count < LONE_LINKS_MAX);
        l = &w->links[w->links_count++];
    }
    free(l->sent);
    *l = (struct lone_link){ .id = id };
    return l;
}

static inline void lone_keep(struct lone_link *l, const struct shared *bytes)
{
    if (l->len + bytes->len > l->cap) {
        l->cap = 2 * (l->len + bytes->len);
        l->sent = realloc(l->sent, l->cap);
        REQUIRE(l->sent);
    }
    memcpy(l->sent + l->len, bytes->ptr, bytes->len);
    l->len += bytes->len;
    l->unread += bytes->len;
}

static inline void lone_carry_out(struct lone *w, const struct action *a)
{
    struct lone_link *l = a->kind == ACTION_SEND || a->kind == ACTION_CLOSE ? lone_link(w, a->as.link.link) : NULL;
    if (a->kind == ACTION_APPEND) {
        REQUIRE(a->as.append.number == w->appended + 1);
        w->appended++;
        w->records += a->as.append.count;
        for (uint32_t i = 0; i < a->as.append.count; i++) w->append_of[a->as.append.records[i].kind] = w->appended;
    } else if (a->kind == ACTION_CONNECT) {
        w->dials++;
        lone_link_new(w, a->as.link.link);
        memcpy(w->dialled, a->as.link.address, sizeof w->dialled);
    } else if (a->kind == ACTION_SEND) {
        REQUIRE(l && !l->closing);
        lone_keep(l, a->as.link.bytes);
    } else if (a->kind == ACTION_CLOSE) {
        REQUIRE(l && !l->closing);
        l->closing = true;
    } else if (a->kind == ACTION_ORDERED) {
        w->ordered++;
        w->order = *a;
    } else if (a->kind == ACTION_NOTICE) {
        w->notices[a->as.notice.kind]++;
        w->last[a->as.notice.kind] = a->as.notice;
    }
}

static inline enum err lone_done(struct lone *w, struct actions *actions, enum err err)
{
    for (uint32_t i = 0; err == ERR_OK && i < actions->count; i++) lone_carry_out(w, &actions->items[i]);
    actions_release(actions);
    return err;
}

static inline enum err lone_step(struct lone *w, struct event event)
{
    struct actions actions = { 0 };
    event.now_ms = w->now_ms;
    event.now_us = w->now_ms * 1000;
    event.wall_ms = 1700000000000u + w->now_ms;
    enum err err = node_step(w->node, &event, &actions);
    return lone_done(w, &actions, err);
}

/* What the world has to say about a link by itself; false if nothing. */
static inline bool lone_link_event(struct lone_link *l, struct event *ret_event)
{
    *ret_event = (struct event){ .as.link.link = l->id };
    if (l->id == 0) return false;
    if (l->closing) {
        ret_event->kind = EVENT_LINK_DOWN;
        l->id = 0;
        return true;
    }
    ret_event->kind = EVENT_LINK_SENT;
    ret_event->as.link.sent = l->unread;
    if (l->deaf || l->unread == 0) return false;
    l->unread = 0;
    return true;
}

/* The event, and all that follows from it: appends are on disk, what was sent is gone, closed links are down. */
static inline enum err lone_event(struct lone *w, struct event event)
{
    enum err err = lone_step(w, event);
    for (bool quiet = false; err == ERR_OK && !quiet;) {
        quiet = w->done == w->appended;
        for (; err == ERR_OK && w->done < w->appended; w->done++) {
            err = lone_step(w, (struct event){ .kind = EVENT_WRITTEN, .as.done.append = w->done + 1 });
            if (err != ERR_OK) break;
            err = lone_step(w, (struct event){ .kind = EVENT_SYNCED, .as.done.append = w->done + 1 });
        }
        for (uint32_t i = 0; err == ERR_OK && i < w->links_count; i++) {
            struct event more;
            if (!lone_link_event(&w->links[i], &more)) continue;
            quiet = false;
            err = lone_step(w, more);
        }
    }
    return err;
}

#endif
