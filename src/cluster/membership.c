/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/membership.h"

#include "base/alloc.h"
#include "base/force.h"
#include "cluster/message.h"

const char *member_state_text(enum member_state state)
{
#define X(name, text) [MEMBER_##name] = text,
    static const char *const texts[] = { MEMBER_STATE_LIST(X) };
#undef X
    REQUIRE((unsigned)state < MEMBER_STATE_COUNT);
    return texts[state];
}

void membership_release(struct membership *m)
{
    mem_free(m->members);
    mem_free(m->contacts);
    m->members = NULL;
    m->contacts = NULL;
    m->members_count = m->contacts_count = m->members_cap = m->contacts_cap = 0;
}

static bool name_is(const char *text, struct bytes name)
{
    return strlen(text) == name.len && memcmp(text, name.ptr, name.len) == 0;
}

static void name_set(char text[ADDRESS_BYTES_MAX], struct bytes name)
{
    REQUIRE(name.len < ADDRESS_BYTES_MAX);
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
}

uint32_t membership_find(const struct membership *m, struct bytes name)
{
    for (uint32_t i = 0; i < m->members_count; i++) {
        if (name_is(m->members[i].name, name)) return i;
    }
    return MEMBER_NOBODY;
}

/* Makes room for one more item of an array. */
static enum err room_for_one(void **items, uint32_t count, uint32_t *cap, size_t item_bytes)
{
    if (count < *cap) return ERR_OK;
    uint32_t more = *cap ? *cap * 2 : 8;
    void *grown = mem_resize(*items, (size_t)more * item_bytes);
    if (!grown) return ERR_NOMEM;
    *items = grown;
    *cap = more;
    return ERR_OK;
}

static struct contact *contact_find(struct membership *m, struct bytes address)
{
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        struct contact *c = &m->contacts[i];
        if (!c->gone && name_is(c->address, address)) return c;
    }
    return NULL;
}

static enum err contact_place(struct membership *m, struct contact **ret_contact)
{
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        if (m->contacts[i].gone) {
            *ret_contact = &m->contacts[i];
            return ERR_OK;
        }
    }
    if (m->contacts_count >= CONTACTS_MAX) return ERR_TOO_LONG;
    enum err err = room_for_one((void **)&m->contacts, m->contacts_count, &m->contacts_cap, sizeof *m->contacts);
    if (err != ERR_OK) return err;
    *ret_contact = &m->contacts[m->contacts_count++];
    return ERR_OK;
}

static uint32_t strangers_count(const struct membership *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->contacts_count; i++)
        count += !m->contacts[i].gone && m->contacts[i].kind == CONTACT_STRANGER;
    return count;
}

/* A member that left is nobody to whoever dials its address. */
static uint32_t find_counting(const struct membership *m, struct bytes name)
{
    uint32_t found = membership_find(m, name);
    return found != MEMBER_NOBODY && member_counts(&m->members[found]) ? found : MEMBER_NOBODY;
}

enum err membership_contact(struct membership *m, struct bytes address, enum contact_kind kind, uint64_t now_ms)
{
    REQUIRE(address_is_valid(address));
    struct contact *c = contact_find(m, address);
    if (c) {
        /* Somebody says that it is there: no need to wait out the delay. */
        if (c->link == 0 && c->next_ms > now_ms) c->next_ms = now_ms;
        if (kind < c->kind) c->kind = kind;
        c->is_seed |= kind == CONTACT_SEED;
        return ERR_OK;
    }
    if (kind == CONTACT_STRANGER && strangers_count(m) >= STRANGERS_MAX) return ERR_TOO_LONG;
    enum err err = contact_place(m, &c);
    if (err != ERR_OK) return err;
    *c = (struct contact){ .kind = kind,
                           .is_seed = kind == CONTACT_SEED,
                           .member = find_counting(m, address),
                           .next_ms = now_ms,
                           .backoff = { m->backoff_ms_min, m->backoff_ms_max, 0 } };
    name_set(c->address, address);
    return ERR_OK;
}

bool membership_is_alone(const struct membership *m)
{
    for (uint32_t i = 0; i < m->members_count; i++) {
        if (member_counts(&m->members[i])) return false;
    }
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        if (!m->contacts[i].gone && !m->contacts[i].is_self) return false;
    }
    return true;
}

static void member_changed(struct membership *m, uint32_t member)
{
    m->members[member].told_as = ++m->told_as;
    m->version++;
}

/* From now on it counts, in state joining, and is dialled. */
static enum err member_rise(struct membership *m, uint32_t member, uint64_t now_ms)
{
    struct member *who = &m->members[member];
    struct bytes name = bytes_of_text(who->name);
    enum err err = membership_contact(m, name, CONTACT_MEMBER, now_ms);
    if (err != ERR_OK) return err;
    contact_find(m, name)->member = member;
    who->state = MEMBER_JOINING;
    who->heard_ms = who->asked_ms = now_ms;
    return ERR_OK;
}

/* From now on it does not. Only what the operator or discovery names is dialled still, as nobody's. */
static void member_strike(struct membership *m, uint32_t member)
{
    struct member *who = &m->members[member];
    who->state = MEMBER_LEFT;
    who->asking = who->goodbye = who->met = false;
    who->confirmed = who->lag_since_ms = who->pledged = 0;
    who->checked = false; /* what it brings back may be another history */
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        struct contact *c = &m->contacts[i];
        if (c->gone || c->member != member) continue;
        c->member = MEMBER_NOBODY;
        c->kind = CONTACT_SEED;
        c->gone = !c->is_seed;
    }
}

static enum err member_new(struct membership *m, struct bytes name, struct standing said, uint64_t now_ms)
{
    if (m->members_count >= MEMBERS_MAX) return ERR_TOO_LONG;
    enum err err = room_for_one((void **)&m->members, m->members_count, &m->members_cap, sizeof *m->members);
    if (err != ERR_OK) return err;
    uint32_t member = m->members_count;
    m->members[member] = (struct member){ .state = MEMBER_LEFT, .epoch = said.epoch };
    name_set(m->members[member].name, name);
    if (!said.left) err = member_rise(m, member, now_ms);
    if (err != ERR_OK) return err;
    m->members_count++;
    member_changed(m, member);
    return ERR_OK;
}

enum err membership_merge(struct membership *m, struct bytes name, struct standing said, uint64_t now_ms,
                          uint32_t *ret_member, enum news *ret_news)
{
    uint32_t member = membership_find(m, name);
    bool counted = false;
    enum err err = ERR_OK;
    if (member == MEMBER_NOBODY) {
        err = member_new(m, name, said, now_ms);
        member = m->members_count - 1;
    } else {
        struct member *who = &m->members[member];
        counted = member_counts(who);
        bool holds = standing_beats(said, member_standing(who));
        if (holds && !said.left && !counted) err = member_rise(m, member, now_ms);
        if (err == ERR_OK && holds) {
            if (said.left) member_strike(m, member);
            who->epoch = said.epoch;
            member_changed(m, member);
        }
    }
    if (err != ERR_OK) return err;
    bool counts = member_counts(&m->members[member]);
    *ret_member = member;
    *ret_news = counts == counted ? NEWS_NONE : counts ? NEWS_NEW : NEWS_LEFT;
    return ERR_OK;
}

enum err membership_admit(struct membership *m, struct bytes name, uint64_t now_ms, uint32_t *ret_member,
                          enum news *ret_news)
{
    uint32_t member = membership_find(m, name);
    struct standing said = { 0 };
    if (member != MEMBER_NOBODY) {
        const struct member *who = &m->members[member];
        if (!member_counts(who) && who->epoch == UINT32_MAX) return ERR_RANGE;
        said.epoch = who->epoch + !member_counts(who);
    }
    return membership_merge(m, name, said, now_ms, ret_member, ret_news);
}

bool membership_name_replica(struct membership *m, uint32_t member, const struct id128 *replica)
{
    struct member *who = &m->members[member];
    if (id128_equal(&who->replica, replica)) return false;
    who->replica = *replica;
    member_changed(m, member);
    return true;
}

static bool contact_is_due(const struct membership *m, const struct contact *c, uint64_t now_ms)
{
    if (c->gone || c->is_self || c->link != 0 || c->next_ms > now_ms) return false;
    return c->member == MEMBER_NOBODY || m->members[c->member].link == 0;
}

/* The first moment at which less than the most was dialled in the second before it. */
static uint64_t dial_allowed_ms(const struct membership *m)
{
    return m->dials < DIALS_PER_SECOND_MAX ? 0 : m->dialled_ms[m->dials % DIALS_PER_SECOND_MAX] + 1000;
}

struct contact *membership_due(struct membership *m, uint64_t now_ms)
{
    if (now_ms < dial_allowed_ms(m) || m->contacts_count == 0) return NULL;
    /* A random start, so that the budget is not used up by the same contacts each second. */
    uint32_t start = (uint32_t)random_below(m->random, m->contacts_count);
    struct contact *stranger = NULL;
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        struct contact *c = &m->contacts[(start + i) % m->contacts_count];
        if (!contact_is_due(m, c, now_ms)) continue;
        if (c->kind != CONTACT_STRANGER) return c;
        stranger = c;
    }
    return stranger;
}

void membership_dialled(struct membership *m, struct contact *c, link_id link, uint64_t now_ms)
{
    c->link = link;
    c->next_ms = now_ms;
    m->dialled_ms[m->dials++ % DIALS_PER_SECOND_MAX] = now_ms;
}

struct contact *membership_contact_of(struct membership *m, link_id link)
{
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        if (m->contacts[i].link == link && !m->contacts[i].gone) return &m->contacts[i];
    }
    return NULL;
}

uint64_t membership_dial_ended(struct membership *m, struct contact *c, uint64_t lived_ms, uint64_t now_ms)
{
    c->link = 0;
    if (c->is_self) return 0;
    if (lived_ms >= HEALTHY_AFTER_MS) backoff_reset(&c->backoff);
    uint64_t delay = backoff_fail(&c->backoff, m->random);
    c->next_ms = now_ms + delay;
    if (c->kind == CONTACT_STRANGER && c->member == MEMBER_NOBODY && c->backoff.failures >= STRANGER_ATTEMPTS_MAX) {
        c->gone = true;
        return 0;
    }
    return delay;
}

bool membership_linked(struct membership *m, uint32_t member, link_id link, uint64_t now_ms)
{
    struct member *who = &m->members[member];
    REQUIRE(member_counts(who));
    bool risen = who->state != MEMBER_ALIVE;
    who->link = link;
    who->goodbye = false;
    who->met = true;
    who->asking = false;
    who->heard_ms = now_ms;
    who->state = MEMBER_ALIVE;
    if (risen) m->version++;
    return risen;
}

uint64_t membership_unlinked(struct membership *m, uint32_t member, uint64_t now_ms)
{
    m->members[member].link = 0;
    struct contact *c = contact_find(m, bytes_of_text(m->members[member].name));
    /* The link had come in, so no attempt of ours has failed yet: begin the row of waits. */
    if (!c || c->link != 0 || c->next_ms > now_ms) return 0;
    backoff_reset(&c->backoff);
    uint64_t delay = backoff_fail(&c->backoff, m->random);
    c->next_ms = now_ms + delay;
    return delay;
}

void membership_heard(struct membership *m, uint32_t member, uint64_t now_ms)
{
    struct member *who = &m->members[member];
    who->heard_ms = now_ms;
    who->asking = false;
}

void membership_goodbye(struct membership *m, uint32_t member, uint64_t now_ms)
{
    struct member *who = &m->members[member];
    who->state = MEMBER_DOWN;
    who->goodbye = true;
    who->asking = false;
    who->asked_ms = now_ms;
    m->version++;
}

void membership_vouch(struct membership *m, uint32_t member)
{
    struct member *who = &m->members[member];
    if (who->asking) who->vouched = true;
}

void membership_forgive(struct membership *m, uint64_t now_ms)
{
    for (uint32_t i = 0; i < m->members_count; i++) {
        struct member *who = &m->members[i];
        if (who->state == MEMBER_ALIVE || who->state == MEMBER_JOINING) who->heard_ms = now_ms;
        who->asking = false;
    }
}

/* When the member is to be asked about, while nobody is being asked; UINT64_MAX: never. */
static uint64_t ask_at_ms(const struct membership *m, const struct member *who)
{
    switch (who->state) {
    case MEMBER_ALIVE:
    case MEMBER_JOINING:
        return who->heard_ms + m->peer_timeout_ms + 1;
    case MEMBER_INDIRECT:
        return who->asked_ms + m->peer_timeout_ms;
    case MEMBER_DOWN:
        return who->goodbye ? UINT64_MAX : who->asked_ms + DOWN_ASK_AGAIN_MS;
    case MEMBER_LEFT:
    case MEMBER_STATE_COUNT:
        break;
    }
    return UINT64_MAX;
}

enum verdict membership_judge(struct membership *m, uint32_t member, uint64_t now_ms)
{
    struct member *who = &m->members[member];
    if (!member_counts(who)) return VERDICT_NONE;
    if (!who->asking) {
        if (now_ms < ask_at_ms(m, who) && !FORCE(JUDGE_EARLY)) return VERDICT_NONE;
        who->asking = true;
        who->vouched = false;
        who->asked_ms = now_ms;
        return VERDICT_ASK;
    }
    if (!who->vouched && now_ms - who->asked_ms < m->ask_wait_ms) return VERDICT_NONE;
    who->asking = false;
    enum member_state state = who->vouched ? MEMBER_INDIRECT : MEMBER_DOWN;
    if (state == who->state) return VERDICT_NONE;
    who->state = state;
    m->version++;
    return state == MEMBER_INDIRECT ? VERDICT_INDIRECT : VERDICT_DOWN;
}

void membership_nobody_asked(struct membership *m, uint32_t member)
{
    struct member *who = &m->members[member];
    who->asked_ms = who->asked_ms > m->ask_wait_ms ? who->asked_ms - m->ask_wait_ms : 0;
}

uint64_t membership_wake_at_ms(const struct membership *m, uint64_t now_ms)
{
    uint64_t wake = UINT64_MAX;
    for (uint32_t i = 0; i < m->members_count; i++) {
        const struct member *who = &m->members[i];
        uint64_t at = who->asking ? who->asked_ms + m->ask_wait_ms : ask_at_ms(m, who);
        if (who->asking && who->vouched) at = now_ms;
        if (at < wake) wake = at;
    }
    uint64_t allowed_ms = dial_allowed_ms(m);
    for (uint32_t i = 0; i < m->contacts_count; i++) {
        const struct contact *c = &m->contacts[i];
        if (!contact_is_due(m, c, UINT64_MAX)) continue;
        uint64_t at = c->next_ms > allowed_ms ? c->next_ms : allowed_ms;
        if (at < wake) wake = at;
    }
    return wake < now_ms ? now_ms : wake;
}
