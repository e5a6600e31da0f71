/* SPDX-License-Identifier: Apache-2.0 */
/* peering: links from the first byte to the last. The side that dialled says HELLO first, the other answers with its
 * own; then both send what they know (digest, members) and talk.
 *
 * Two nodes may dial each other at the same time, and a peer may come back before its old link is seen to be dead. One
 * link a pair stays: a new boot or a link from the same side replaces the old one, and so does any when the old one
 * has been silent; else the link dialled by the node with the smaller name stays. Both sides judge alike. */
#include "base/alloc.h"
#include "base/force.h"
#include "node/fork.h"
#include "node/gossip.h"
#include "node/internal.h"

struct peer_link *link_find(struct node *n, link_id id)
{
    for (uint32_t i = 0; i < n->links_count; i++) {
        if (n->links[i]->id == id) return n->links[i];
    }
    return NULL;
}

const char *link_name(const struct node *n, const struct peer_link *l)
{
    return l->member == MEMBER_NOBODY ? l->remote : n->members.members[l->member].name;
}

static struct peer_link *link_new(struct node *n, link_id id, const char *remote)
{
    if (n->links_count == n->links_cap) {
        uint32_t cap = n->links_cap ? n->links_cap * 2 : 8;
        struct peer_link **links = mem_resize(n->links, cap * sizeof *links);
        if (!links) {
            n->failed = true;
            return NULL;
        }
        n->links = links;
        n->links_cap = cap;
    }
    struct peer_link *l = mem_alloc_zero(1, sizeof *l);
    if (!l) {
        n->failed = true;
        return NULL;
    }
    l->id = id;
    l->member = MEMBER_NOBODY;
    l->opened_ms = l->heard_ms = n->now_ms;
    size_t len = remote ? strlen(remote) : 0;
    if (len >= sizeof l->remote) len = sizeof l->remote - 1;
    if (len > 0) memcpy(l->remote, remote, len);
    n->links[n->links_count++] = l;
    return l;
}

void link_dial(struct node *n, struct contact *c)
{
    link_id id = n->link_last + 2;
    struct peer_link *l = link_new(n, id, c->address);
    struct action *a = l ? node_act(n, ACTION_CONNECT) : NULL;
    if (!a) return;
    n->link_last = id;
    l->dialled = true;
    l->stage = LINK_DIALLING;
    a->as.link.link = id;
    memcpy(a->as.link.address, c->address, sizeof a->as.link.address);
    membership_dialled(&n->members, c, id, n->now_ms);
    stats_add(n->stats, STAT_peer_connects, 1);
}

void link_close(struct node *n, struct peer_link *l, const char *why)
{
    if (l->stage == LINK_CLOSING) return;
    struct action *a = node_act(n, ACTION_CLOSE);
    if (!a) return;
    a->as.link.link = l->id;
    l->stage = LINK_CLOSING;
    size_t len = strlen(why) < sizeof l->why ? strlen(why) : sizeof l->why - 1;
    memcpy(l->why, why, len);
    l->why[len] = '\0';
    lanes_release(l);
}

void link_broken(struct node *n, struct peer_link *l, const char *what)
{
    if (l->stage == LINK_CLOSING) return;
    stats_add(n->stats, STAT_peer_frames_bad, 1);
    node_notice(n, NOTICE_LINK_BROKEN, link_name(n, l), 0, what);
    link_close(n, l, what);
}

static void send_hello(struct node *n, struct peer_link *l)
{
    struct buffer body = { 0 };
    struct hello hello = { .version = PROTOCOL_VERSION,
                           .cluster = bytes_of_text(n->cluster),
                           .node = bytes_of_text(n->name),
                           .replica = *replicas_id(n->replicas, n->own),
                           .nonce = n->nonce };
    hello_write(&body, &hello);
    node_send_body(n, l, FRAME_HELLO, &body);
}

void link_up(struct node *n, link_id id, const char *address)
{
    struct peer_link *l = link_find(n, id);
    if (l) {
        if (l->stage != LINK_DIALLING) return;
        l->stage = LINK_OPENING;
        send_hello(n, l);
        return;
    }
    REQUIRE(id % 2 == 0);
    uint32_t opening = 0;
    for (uint32_t i = 0; i < n->links_count; i++) opening += n->links[i]->stage == LINK_OPENING;
    l = link_new(n, id, address);
    if (!l) return;
    l->stage = LINK_OPENING;
    if (opening >= HANDSHAKES_MAX || FORCE(HANDSHAKE_REFUSED)) link_close(n, l, "too many handshakes at a time");
    if (n->stopping) link_close(n, l, "this node is stopping");
}

static void refuse(struct node *n, struct peer_link *l, const struct hello *hello, const char *why)
{
    char name[ADDRESS_BYTES_MAX];
    memcpy(name, hello->node.ptr, hello->node.len);
    name[hello->node.len] = '\0';
    struct buffer body = { 0 };
    buffer_text(&body, why);
    node_send_body(n, l, FRAME_REFUSE, &body);
    node_notice(n, NOTICE_LINK_REFUSED, name, 0, why);
    link_close(n, l, why);
}

/* Why two nodes may not talk; the text goes to the other side and to the log. */
#define OBJECTION_LIST(X)                                                                                              \
    X(NONE, "")                                                                                                        \
    X(SELF, "it is this node itself")                                                                                  \
    X(CLUSTER, "it belongs to another cluster")                                                                        \
    X(VERSION, "it speaks another version of the protocol")                                                            \
    X(FEATURES, "it needs features that this version does not have")                                                   \
    X(NAME, "another process runs under the same node id")                                                             \
    X(COPY, "another process runs on a copy of the same data directory")

#define X(name, text) OBJECTION_##name,
enum objection { OBJECTION_LIST(X) };
#undef X

static const char *objection_text(enum objection objection)
{
#define X(name, text) [OBJECTION_##name] = text,
    static const char *const texts[] = { OBJECTION_LIST(X) };
#undef X
    return texts[objection];
}

static enum objection hello_objection(const struct node *n, const struct hello *hello)
{
    bool same_name = bytes_equal(hello->node, bytes_of_text(n->name));
    if (!bytes_equal(hello->cluster, bytes_of_text(n->cluster))) return OBJECTION_CLUSTER;
    if (hello->version != PROTOCOL_VERSION) return OBJECTION_VERSION;
    if (hello->features != 0) return OBJECTION_FEATURES;
    if (hello->nonce == n->nonce && same_name) return OBJECTION_SELF;
    if (same_name) return OBJECTION_NAME;
    if (id128_equal(&hello->replica, replicas_id(n->replicas, n->own))) return OBJECTION_COPY;
    return OBJECTION_NONE;
}

/* The other process must see the same, and both show their trails; that is all there is to say. */
static void meet_copy(struct node *n, struct peer_link *l)
{
    node_notice(n, NOTICE_CLONE, l->remote, 0, objection_text(OBJECTION_COPY));
    if (!l->dialled) send_hello(n, l);
    l->to_copy = true;
    fork_copy_met(n, l);
}

/* True if the link is not going to talk. */
static bool objected(struct node *n, struct peer_link *l, const struct hello *hello)
{
    enum objection objection = hello_objection(n, hello);
    if (objection == OBJECTION_NONE) return false;
    if (objection == OBJECTION_SELF) {
        struct contact *contact = l->dialled ? membership_contact_of(&n->members, l->id) : NULL;
        /* A seed may be a DNS name that stands for this node among others: another attempt may reach those. */
        if (contact) contact->is_self = contact->kind != CONTACT_SEED;
        l->to_self = true;
        link_close(n, l, objection_text(objection));
        return true;
    }
    if (objection == OBJECTION_COPY) {
        meet_copy(n, l);
        return true;
    }
    if (objection == OBJECTION_NAME) node_notice(n, NOTICE_CLONE, l->remote, 0, objection_text(objection));
    refuse(n, l, hello, objection_text(objection));
    return true;
}

/* Whether the link that talks to this member already is to stay rather than the new one. */
static bool old_link_stays(struct node *n, const struct peer_link *old, const struct peer_link *new,
                           const struct hello *hello)
{
    if (old->stage != LINK_TALKING || old->nonce != hello->nonce || old->dialled == new->dialled) return false;
    if (n->now_ms - old->heard_ms > 3 * n->heartbeat_ms) return false;
    bool we_are_smaller = strcmp(n->name, n->members.members[old->member].name) < 0;
    return old->dialled == we_are_smaller;
}

static void begin_to_talk(struct node *n, struct peer_link *l)
{
    l->stage = LINK_TALKING;
    l->talking_ms = l->heard_ms = n->now_ms;
    struct member *member = &n->members.members[l->member];
    member->checked = false;
    member->pledged = 0;
    if (membership_linked(&n->members, l->member, l->id, n->now_ms))
        node_notice(n, NOTICE_PEER_UP, member->name, 0, "");
    roster_tell_members(n, l); /* before the digest: who has heard both knows whom else to ask (fork_verify) */
    gossip_tell(n, l, REPLICA_NONE);
}

static void hello_taken(struct node *n, struct peer_link *l, const struct hello *hello)
{
    if (objected(n, l, hello)) return;
    uint32_t member;
    enum err err = roster_admit(n, l, hello, &member);
    if (err == ERR_NOMEM) n->failed = true;
    if (err == ERR_TOO_LONG) refuse(n, l, hello, "there are too many members");
    if (err == ERR_RANGE) refuse(n, l, hello, "a node of this name has left for good; take another one");
    if (err != ERR_OK) return;
    struct contact *contact = l->dialled ? membership_contact_of(&n->members, l->id) : NULL;
    if (contact) contact->member = member;
    l->member = member;
    l->nonce = hello->nonce;
    if (!l->dialled) send_hello(n, l);
    struct peer_link *old = link_find(n, n->members.members[member].link);
    if (old && old != l) {
        if (old_link_stays(n, old, l, hello)) {
            link_close(n, l, "there is a link already");
            return;
        }
        link_close(n, old, "replaced by a newer link");
    }
    begin_to_talk(n, l);
}

static void refused(struct node *n, struct peer_link *l, struct bytes why)
{
    char text[128];
    size_t len = why.len < sizeof text ? why.len : sizeof text - 1;
    for (size_t i = 0; i < len; i++) text[i] = why.ptr[i] >= ' ' && why.ptr[i] <= '~' ? (char)why.ptr[i] : '?';
    text[len] = '\0';
    node_notice(n, NOTICE_LINK_REFUSED, l->remote, 0, text);
    link_close(n, l, text);
}

static void frame_before_talk(struct node *n, struct peer_link *l, const struct frame *frame)
{
    struct hello hello;
    if (l->to_copy) { /* with anything but a trail it has moved to another id meanwhile */
        if (frame->kind == FRAME_TRAIL) fork_trail(n, l, frame->body);
        link_close(n, l, objection_text(OBJECTION_COPY));
        return;
    }
    if (frame->kind == FRAME_REFUSE)
        refused(n, l, frame->body);
    else if (frame->kind != FRAME_HELLO || hello_read(frame->body, &hello) != ERR_OK)
        link_broken(n, l, "a handshake that is not understood");
    else
        hello_taken(n, l, &hello);
}

static void send_pong(struct node *n, struct peer_link *l, struct bytes token)
{
    if (token.len != 8)
        link_broken(n, l, "a damaged heartbeat");
    else if (node_may_answer(l))
        node_send(n, l, frame_new(FRAME_PONG, token));
}

static void take_pong(struct node *n, struct peer_link *l, struct bytes token)
{
    struct reader r;
    reader_init(&r, token);
    uint64_t sent_us = reader_u64(&r);
    if (reader_end(&r) != ERR_OK || sent_us > n->now_us)
        link_broken(n, l, "a damaged heartbeat");
    else
        l->rtt_us = n->now_us - sent_us;
}

static void frame_in_talk(struct node *n, struct peer_link *l, const struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_PING:
        send_pong(n, l, frame->body);
        return;
    case FRAME_PONG:
        take_pong(n, l, frame->body);
        return;
    case FRAME_DIGEST:
        gossip_digest(n, l, frame->body);
        return;
    case FRAME_BLOCK:
        gossip_block(n, l, frame->body);
        return;
    case FRAME_WANT:
        gossip_wants(n, l, frame->body);
        return;
    case FRAME_MEMBERS:
        roster_members(n, l, frame->body);
        return;
    case FRAME_ASK:
        roster_ask(n, l, frame->body);
        return;
    case FRAME_HEARD:
        roster_heard(n, l, frame->body);
        return;
    case FRAME_TRAIL:
        fork_trail(n, l, frame->body);
        return;
    case FRAME_GOODBYE:
        roster_goodbye(n, l, frame->body);
        return;
    case FRAME_LEAVE:
        roster_leave(n, l, frame->body);
        return;
    case FRAME_HELLO:
    case FRAME_REFUSE:
        break;
    }
    link_broken(n, l, "a second handshake");
}

/* Handles whole frames at the front; returns how many bytes they took. */
static size_t take_frames(struct node *n, struct peer_link *l, struct bytes input)
{
    size_t taken = 0;
    while (l->stage != LINK_CLOSING && !n->failed) {
        struct frame frame;
        size_t len;
        enum err err = frame_read(bytes_of(input.ptr + taken, input.len - taken), &frame, &len);
        /* Strangers get no memory for a frame of 4 MiB that never ends. */
        size_t here = err == ERR_OK ? len : input.len - taken;
        if (l->stage != LINK_TALKING && here > HANDSHAKE_BYTES_MAX) err = ERR_CORRUPT;
        if (err == ERR_PARTIAL) return taken;
        if (err != ERR_OK) {
            link_broken(n, l, "bytes that are no frame");
            return input.len;
        }
        /* Whole frames are a sign of life; bytes that never become one are not. */
        l->heard_ms = n->now_ms;
        if (l->stage == LINK_TALKING) membership_heard(&n->members, l->member, n->now_ms);
        if (l->stage == LINK_TALKING)
            frame_in_talk(n, l, &frame);
        else
            frame_before_talk(n, l, &frame);
        taken += len;
    }
    return input.len;
}

void link_bytes(struct node *n, struct peer_link *l, struct bytes bytes)
{
    if (l->stage == LINK_CLOSING || l->stage == LINK_DIALLING) return;
    stats_add(n->stats, STAT_peer_bytes_in, bytes.len);
    if (l->input.len > 0) {
        buffer_bytes(&l->input, bytes);
        if (buffer_end(&l->input) == ERR_OK) buffer_drop(&l->input, take_frames(n, l, buffer_view(&l->input)));
    } else {
        size_t taken = take_frames(n, l, bytes);
        buffer_bytes(&l->input, bytes_of(bytes.ptr + taken, bytes.len - taken));
    }
    if (l->input.failed) n->failed = true;
}

static void dial_ended(struct node *n, struct peer_link *l, const char *reason)
{
    struct contact *c = membership_contact_of(&n->members, l->id);
    if (!c) return;
    if (c->member != MEMBER_NOBODY && n->members.members[c->member].link != l->id &&
        n->members.members[c->member].link != 0) {
        c->link = 0; /* the pair has another link: no failure */
        return;
    }
    uint64_t lived_ms = l->talking_ms > 0 ? n->now_ms - l->talking_ms : 0;
    uint64_t delay = membership_dial_ended(&n->members, c, lived_ms, n->now_ms);
    if (delay > 0 && !n->stopping && !l->to_self) node_notice(n, NOTICE_RETRY, c->address, delay, reason);
}

void link_down(struct node *n, struct peer_link *l, const char *reason)
{
    const char *why = l->why[0] ? l->why : reason ? reason : "the connection ended";
    if (l->dialled) dial_ended(n, l, why);
    if (l->member != MEMBER_NOBODY && n->members.members[l->member].link == l->id) {
        uint64_t delay = membership_unlinked(&n->members, l->member, n->now_ms);
        if (delay > 0 && !n->stopping) node_notice(n, NOTICE_RETRY, link_name(n, l), delay, why);
    }
    for (uint32_t i = 0; i < n->links_count; i++) {
        if (n->links[i] != l) continue;
        n->links[i] = n->links[--n->links_count];
        break;
    }
    lanes_release(l);
    digest_release(&l->digest);
    buffer_release(&l->input);
    mem_free(l);
}
