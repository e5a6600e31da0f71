/* SPDX-License-Identifier: Apache-2.0 */
/* roster: the members as the node lives with them: whom to dial, heartbeats, who is asked about a silent one, and how
 * all hear of a new one. */
#include "base/force.h"
#include "node/internal.h"

/* The member's link, and dials that nobody wants any more: the contact behind them has gone. */
static void close_links(struct node *n, const struct member *m)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        struct peer_link *l = n->links[i];
        bool opening = l->dialled && (l->stage == LINK_DIALLING || l->stage == LINK_OPENING);
        bool unwanted = opening && !membership_contact_of(&n->members, l->id);
        if (l->id == m->link || unwanted) link_close(n, l, "it is no member any more");
    }
}

/* What follows from it here, and that the journal and the peers are to hear of it. told_by: the link whose other end
 * knows as much of it now as this node; 0: none does. */
static void take_news(struct node *n, uint32_t index, enum news news, link_id told_by, const char *from)
{
    struct member *m = &n->members.members[index];
    if (news == NEWS_NEW) node_notice(n, NOTICE_MEMBER_NEW, m->name, 0, from);
    if (news == NEWS_LEFT) {
        node_notice(n, NOTICE_PEER_LEFT, m->name, 0, from);
        close_links(n, m);
    }
    m->told_by = told_by;
    n->members_changed = true;
}

enum err roster_admit(struct node *n, struct peer_link *l, const struct hello *hello, uint32_t *ret_member)
{
    enum news news;
    uint64_t before = n->members.told_as;
    enum err err = membership_admit(&n->members, hello->node, n->now_ms, ret_member, &news);
    if (err != ERR_OK) return err;
    membership_name_replica(&n->members, *ret_member, &hello->replica);
    if (n->members.told_as > before) take_news(n, *ret_member, news, 0, l->remote);
    return ERR_OK;
}

enum err roster_hear_of(struct node *n, const struct peer_link *l, const struct member_item *item)
{
    enum news news;
    uint32_t index;
    uint64_t before = n->members.told_as;
    struct standing said = { item->epoch, item->left };
    enum err err = membership_merge(&n->members, item->node, said, n->now_ms, &index, &news);
    if (err != ERR_OK) return err;
    /* A name that is known keeps the replica it showed itself; hearsay only fills a gap. */
    if (id128_is_zero(&n->members.members[index].replica)) membership_name_replica(&n->members, index, &item->replica);
    if (n->members.told_as == before) return ERR_OK;
    const struct member *m = &n->members.members[index];
    bool agrees = m->epoch == said.epoch && member_counts(m) == !said.left;
    take_news(n, index, news, l && agrees ? l->id : 0, l ? link_name(n, l) : "a command here");
    return ERR_OK;
}

/* Those that changed after the change `since`. A peer is told of itself when there is something it may not know. */
static void tell(struct node *n, struct peer_link *l, uint64_t since)
{
    struct buffer body = { 0 };
    for (uint32_t i = 0; i < n->members.members_count; i++) {
        const struct member *m = &n->members.members[i];
        if (m->told_as <= since || (i == l->member && m->epoch == 0)) continue;
        if (m->told_by == l->id && since > 0) continue;
        struct member_item item = { bytes_of_text(m->name), m->replica, m->epoch, !member_counts(m) };
        member_put(&body, &item);
    }
    l->members_told = n->members.told_as;
    if (body.len > 0 || body.failed) {
        l->members_ms = n->now_ms;
        node_send_body(n, l, FRAME_MEMBERS, &body);
    } else {
        buffer_release(&body);
    }
}

void roster_tell_members(struct node *n, struct peer_link *l)
{
    tell(n, l, 0);
}

/* What changes later is told once, however often it changed meanwhile, and not back to where it came from. (The node
 * wakes at least every 100 ms, so nothing has to be armed for it.) */
void roster_tell_changes(struct node *n, struct peer_link *l)
{
    if (l->stage != LINK_TALKING || l->members_told == n->members.told_as) return;
    if (n->now_ms - l->members_ms < MEMBERS_PACE_MS || !node_may_answer(l)) return;
    tell(n, l, l->members_told);
}

void roster_members(struct node *n, struct peer_link *l, struct bytes body)
{
    struct reader items;
    struct member_item item;
    enum err err;
    uint32_t count = 0;
    reader_init(&items, body);
    while (l->stage == LINK_TALKING && (err = member_next(&items, &item)) != ERR_STALE) {
        /* No node can know more, and each costs a search. */
        if (err == ERR_CORRUPT || ++count > MEMBERS_MAX) {
            link_broken(n, l, "a damaged list of members");
            return;
        }
        if (bytes_equal(item.node, bytes_of_text(n->name))) {
            if (item.epoch > n->orders.epoch) n->orders.epoch = item.epoch;
            continue;
        }
        err = roster_hear_of(n, l, &item);
        if (err == ERR_NOMEM) {
            n->failed = true;
            return;
        }
    }
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

/* For good. What others know of its name and this node does not, it may know itself. */
void roster_leave(struct node *n, struct peer_link *l, struct bytes body)
{
    struct member *m = &n->members.members[l->member];
    struct member_item item = { bytes_of_text(m->name), m->replica, 0, true };
    if (leave_read(body, &item.epoch) != ERR_OK) {
        link_broken(n, l, "a damaged farewell");
        return;
    }
    if (item.epoch < m->epoch) item.epoch = m->epoch;
    node_fail(n, roster_hear_of(n, l, &item)); /* it is there, so nothing but memory can be short */
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
