/* SPDX-License-Identifier: Apache-2.0 */
/* roster: the members as the node lives with them: whom to dial, heartbeats, who is asked about a silent one, and how
 * all hear of a new one. */
#include "base/force.h"
#include "node/internal.h"

bool roster_meet(struct node *n, const struct peer_link *l, struct bytes name, const struct id128 *replica,
                 uint32_t *ret_member)
{
    bool is_new;
    uint32_t index;
    enum err err = membership_add(&n->members, name, n->now_ms, &index, &is_new);
    if (err != ERR_OK) {
        if (err == ERR_NOMEM) n->failed = true;
        return false;
    }
    struct member *member = &n->members.members[index];
    if (is_new) node_notice(n, NOTICE_MEMBER_NEW, member->name, 0, link_name(n, l));
    bool changed = is_new;
    if (!id128_is_zero(replica) && !id128_equal(&member->replica, replica)) {
        member->replica = *replica;
        changed = true;
    }
    if (changed) n->members_changed = n->members_untold = true;
    *ret_member = index;
    return true;
}

void roster_tell_members(struct node *n, struct peer_link *l)
{
    struct buffer body = { 0 };
    for (uint32_t i = 0; i < n->members.members_count; i++) {
        const struct member *m = &n->members.members[i];
        if (m->state == MEMBER_LEFT || i == l->member) continue;
        struct member_item item = { bytes_of_text(m->name), m->replica };
        member_put(&body, &item);
    }
    if (body.len > 0 || body.failed)
        node_send_body(n, l, FRAME_MEMBERS, &body);
    else
        buffer_release(&body);
}

/* Once a step, however many were met in it. */
void roster_tell_all(struct node *n)
{
    if (!n->members_untold) return;
    n->members_untold = false;
    for (uint32_t i = 0; i < n->links_count; i++) {
        if (n->links[i]->stage == LINK_TALKING) roster_tell_members(n, n->links[i]);
    }
}

void roster_members(struct node *n, struct peer_link *l, struct bytes body)
{
    struct reader items;
    struct member_item item;
    enum err err;
    reader_init(&items, body);
    while ((err = member_next(&items, &item)) == ERR_OK) {
        if (bytes_equal(item.node, bytes_of_text(n->name))) continue;
        /* A name that is known keeps the replica it showed itself; hearsay only fills a gap. */
        uint32_t known = membership_find(&n->members, item.node);
        struct id128 none = { 0 };
        bool gap = known == MEMBER_NOBODY || id128_is_zero(&n->members.members[known].replica);
        uint32_t member;
        if (!roster_meet(n, l, item.node, gap ? &item.replica : &none, &member)) return;
    }
    if (err == ERR_CORRUPT) link_broken(n, l, "a damaged list of members");
}

void roster_ask(struct node *n, struct peer_link *l, struct bytes body)
{
    if (!address_is_valid(body)) {
        link_broken(n, l, "a damaged question");
        return;
    }
    if (!node_may_answer(l)) return;
    uint32_t index = membership_find(&n->members, body);
    bool heard = false;
    if (index != MEMBER_NOBODY) {
        const struct member *m = &n->members.members[index];
        heard = m->link != 0 && n->now_ms - m->heard_ms <= n->members.peer_timeout_ms;
    }
    struct buffer answer = { 0 };
    heard_write(&answer, body, heard);
    node_send_body(n, l, FRAME_HEARD, &answer);
}

void roster_heard(struct node *n, struct peer_link *l, struct bytes body)
{
    struct bytes name;
    bool heard;
    if (heard_read(body, &name, &heard) != ERR_OK) {
        link_broken(n, l, "a damaged answer");
        return;
    }
    if (!heard) return;
    uint32_t index = membership_find(&n->members, name);
    if (index != MEMBER_NOBODY) membership_vouch(&n->members, index);
}

void roster_goodbye(struct node *n, struct peer_link *l, struct bytes body)
{
    if (body.len > 0) {
        link_broken(n, l, "a damaged goodbye");
        return;
    }
    membership_goodbye(&n->members, l->member, n->now_ms);
    node_notice(n, NOTICE_PEER_DOWN, link_name(n, l), 0, "it said goodbye");
    link_close(n, l, "it said goodbye");
}

/* Asks up to three members, chosen by chance, whether they hear this one. */
static uint32_t ask_others(struct node *n, uint32_t about)
{
    uint32_t asked = 0;
    uint32_t start = n->links_count ? (uint32_t)random_below(&n->random, n->links_count) : 0;
    for (uint32_t i = 0; i < n->links_count && asked < ASKED_MAX; i++) {
        struct peer_link *l = n->links[(start + i) % n->links_count];
        if (l->stage != LINK_TALKING || l->member == about) continue;
        if (n->now_ms - l->heard_ms > n->members.peer_timeout_ms) continue;
        node_send(n, l, frame_new(FRAME_ASK, bytes_of_text(n->members.members[about].name)));
        asked++;
    }
    return asked;
}

static void judge(struct node *n, uint32_t index)
{
    enum verdict verdict = membership_judge(&n->members, index, n->now_ms);
    if (verdict == VERDICT_ASK && ask_others(n, index) == 0) {
        membership_nobody_asked(&n->members, index);
        verdict = membership_judge(&n->members, index, n->now_ms);
    }
    if (verdict != VERDICT_DOWN && verdict != VERDICT_INDIRECT) return;
    struct member *m = &n->members.members[index];
    bool indirect = verdict == VERDICT_INDIRECT;
    node_notice(n, indirect ? NOTICE_PEER_INDIRECT : NOTICE_PEER_DOWN, m->name, n->now_ms - m->heard_ms,
                indirect ? "nothing was heard from it, but another member hears it" : "nothing was heard from it");
    struct peer_link *l = link_find(n, m->link);
    if (l) link_close(n, l, "nothing was heard on it");
}

static void tend_link(struct node *n, struct peer_link *l)
{
    bool opening = l->stage == LINK_DIALLING || l->stage == LINK_OPENING;
    if (opening && n->now_ms - l->opened_ms > n->members.peer_timeout_ms) link_close(n, l, "no answer");
    if (l->outstanding > LINK_UNREAD_BYTES_MAX || FORCE(LINK_CLOSES))
        link_close(n, l, "it does not read what it is sent");
    if (l->stage != LINK_TALKING || n->now_ms - l->ping_ms < n->heartbeat_ms) return;
    l->ping_ms = n->now_ms;
    /* Where nothing leaves any more, another heartbeat would only lie in the queue. */
    if (!node_may_answer(l)) return;
    struct buffer token = { 0 };
    buffer_u64(&token, n->now_us);
    node_send_body(n, l, FRAME_PING, &token);
}

/* What lies unread in the links' sockets may be signs of life. */
static void forgive_unread(struct node *n)
{
    if (node_takes_bytes(n)) return;
    membership_forgive(&n->members, n->now_ms);
    for (uint32_t i = 0; i < n->links_count; i++) n->links[i]->heard_ms = n->now_ms;
}

void roster_tick(struct node *n)
{
    forgive_unread(n);
    for (uint32_t i = 0; i < n->links_count; i++) tend_link(n, n->links[i]);
    for (uint32_t i = 0; i < n->members.members_count; i++) judge(n, i);
    struct contact *due;
    while (!n->stopping && !n->failed && (due = membership_due(&n->members, n->now_ms)) != NULL) link_dial(n, due);
}
