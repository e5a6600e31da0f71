/* SPDX-License-Identifier: Apache-2.0 */
/* membership: who belongs to the cluster, who of them is heard, and whom to dial next. No links of its own: the node
 * tells it what happened, and asks it what to do.
 *
 * A member is a node known by name, met or told of. A contact is an address to dial: that of a member, or a seed that
 * turns out to be a member (perhaps under another name, perhaps this node itself) when it answers. Rules:
 *  (1) A member is alive while something was heard from it within the peer timeout. When the silence is longer, up to
 *      three others are asked; it is then indirect if one of them hears it, else down. A goodbye is down at once.
 *  (2) Nobody is given up: contacts are dialled for ever, with growing waits. Only addresses that came by discovery or
 *      by a command and never answered are dropped after some attempts.
 *  (3) A node that stood still itself judges nobody until it has listened for a whole timeout.
 *  (4) Time is monotonic milliseconds, handed in.
 *  (5) Whether a name belongs to the cluster is its standing (standing.h). One that left stays in the list for ever, so
 *      that old hearsay cannot bring it back; only contact with the node itself raises its epoch (membership_admit).
 *      Nobody dials it, judges it or waits for it. */
#ifndef QUIPU_CLUSTER_MEMBERSHIP_H
#define QUIPU_CLUSTER_MEMBERSHIP_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/random.h"
#include "cluster/backoff.h"
#include "cluster/link.h"
#include "cluster/member_state.h"
#include "cluster/standing.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBERS_MAX 10000u
#define CONTACTS_MAX 20000u
#define MEMBER_NOBODY UINT32_MAX
#define DIALS_PER_SECOND_MAX 20u
#define HEALTHY_AFTER_MS 10000u /* a link that lasted this long resets the waits */
#define DOWN_ASK_AGAIN_MS 10000u
#define STRANGER_ATTEMPTS_MAX 8u
#define STRANGERS_MAX 256u /* addresses of nobody known; members and seeds have places and dials of their own */

struct member {
    char name[ADDRESS_BYTES_MAX];
    struct id128 replica;    /* zero while unknown */
    enum member_state state; /* MEMBER_LEFT: it left under this epoch */
    uint32_t epoch;
    uint64_t told_as;      /* the number of its last change that others are to hear of */
    link_id told_by;       /* the link that told of that change; 0: none did */
    link_id link;          /* 0: none */
    uint64_t heard_ms;     /* last time; when it was added if never */
    uint64_t asked_ms;     /* when others were asked last */
    bool asking, vouched;  /* an answer is awaited; somebody hears it */
    bool met;              /* heard at least once in this process's life */
    uint64_t confirmed;    /* seq up to which it has said to hold this node's entries on its disk */
    uint64_t lag_since_ms; /* since when that is less than what there is; 0: it is not */
    bool goodbye;
    bool checked;     /* what it has of this node's replica was compared with what is here */
    uint64_t pledged; /* of this node's replica, as it says */
};

enum contact_kind { CONTACT_MEMBER, CONTACT_SEED, CONTACT_STRANGER };

struct contact {
    char address[ADDRESS_BYTES_MAX];
    enum contact_kind kind;
    bool is_seed;     /* also while it is a member's: whoever leaves, seeds are dialled */
    uint32_t member;  /* MEMBER_NOBODY until it answered */
    bool is_self;     /* it answered, and was this node */
    bool gone;        /* given up; the place may be used again */
    link_id link;     /* dialling or up; 0: none */
    uint64_t next_ms; /* not dialled before */
    struct backoff backoff;
};

struct membership {
    uint32_t peer_timeout_ms, ask_wait_ms, backoff_ms_min, backoff_ms_max;
    struct random *random;
    struct member *members;
    struct contact *contacts;
    uint32_t members_count, members_cap, contacts_count, contacts_cap;
    uint64_t dialled_ms[DIALS_PER_SECOND_MAX]; /* when the last dials were made, in a ring */
    uint64_t dials;                            /* made so far */
    uint64_t version;                          /* rises with each change of a member or its state */
    uint64_t told_as; /* the number of the last change that others are to hear of: who, standing, replica */
};

void membership_release(struct membership *m);

/* MEMBER_NOBODY if there is none of that name. */
uint32_t membership_find(const struct membership *m, struct bytes name);
/* A member that counts: it is dialled, waited for, asked. All of them: a loop from 0 to members_count with this. */
static inline bool member_counts(const struct member *who)
{
    return who->state != MEMBER_LEFT;
}
static inline struct standing member_standing(const struct member *who)
{
    return (struct standing){ who->epoch, !member_counts(who) };
}
/* True if there is nobody to dial or to wait for. */
bool membership_is_alone(const struct membership *m);

/* The two ways in, for whatever path a name comes by. They answer ERR_TOO_LONG: too many. ERR_NOMEM. After an error
 * nothing has changed. */
enum news { NEWS_NONE, NEWS_NEW, NEWS_LEFT }; /* it counts now and did not before; it counted, and left */
/* Hearsay (a peer's list, the journal, a command): takes the standing if it beats what is known. */
MUST_USE enum err membership_merge(struct membership *m, struct bytes name, struct standing said, uint64_t now_ms,
                                   uint32_t *ret_member, enum news *ret_news);
/* Contact: the node of that name itself says hello. If it had left it is a member again, under the next epoch;
 * ERR_RANGE when there is none. */
MUST_USE enum err membership_admit(struct membership *m, struct bytes name, uint64_t now_ms, uint32_t *ret_member,
                                   enum news *ret_news);
/* It belongs to that replica. True if that is new. */
bool membership_name_replica(struct membership *m, uint32_t member, const struct id128 *replica);
/* Adds an address to dial at once, or dials a known one at once if nobody is linked behind it. */
MUST_USE enum err membership_contact(struct membership *m, struct bytes address, enum contact_kind kind,
                                     uint64_t now_ms);

/* The next contact to dial now, or NULL; the caller dials it and calls membership_dialled. */
struct contact *membership_due(struct membership *m, uint64_t now_ms);
void membership_dialled(struct membership *m, struct contact *c, link_id link, uint64_t now_ms);
struct contact *membership_contact_of(struct membership *m, link_id link);
/* The dialled link ended without serving the member, or it served for lived_ms. Returns the wait before the next
 * attempt, 0 if there is none to come. */
uint64_t membership_dial_ended(struct membership *m, struct contact *c, uint64_t lived_ms, uint64_t now_ms);

/* The member speaks to us over this link from now on. True if it was not alive before. */
bool membership_linked(struct membership *m, uint32_t member, link_id link, uint64_t now_ms);
/* Its link has ended: it is dialled again soon; its state does not change by that. Returns the wait before the first
 * attempt if that begins now, 0 if a wait is under way. */
uint64_t membership_unlinked(struct membership *m, uint32_t member, uint64_t now_ms);
void membership_heard(struct membership *m, uint32_t member, uint64_t now_ms);
/* It said that it stops. */
void membership_goodbye(struct membership *m, uint32_t member, uint64_t now_ms);
/* Somebody asked hears it. */
void membership_vouch(struct membership *m, uint32_t member);
/* This process stood still: nobody is judged by what was not heard meanwhile. */
void membership_forgive(struct membership *m, uint64_t now_ms);

/* What to do about a member at this time. ASK: ask others, then call judge again if nobody could be asked. */
enum verdict { VERDICT_NONE, VERDICT_ASK, VERDICT_DOWN, VERDICT_INDIRECT };
enum verdict membership_judge(struct membership *m, uint32_t member, uint64_t now_ms);
/* Nobody could be asked: the next judgement does not wait for answers. */
void membership_nobody_asked(struct membership *m, uint32_t member);

/* Not later than this membership_due or membership_judge may have something to say. */
uint64_t membership_wake_at_ms(const struct membership *m, uint64_t now_ms);

#endif
