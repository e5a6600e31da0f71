/* SPDX-License-Identifier: Apache-2.0 */
/* What each node thinks of the others: at rest it is true, and on the way there nobody is judged unfairly and nobody
 * waits longer than it has to. */
#include "sim/world.h"

#include "cluster/frame.h"

#include <stdio.h>
#include <stdlib.h>

#define HEALTHY_SIM_MS 16000u /* ten seconds on a slow clock, and a handshake that took its time */
#define TALKS_SIM_MS 4000u    /* a link this old that is not closed has done its handshake */
#define HEARD_MS 2000u

static uint32_t node_by_name(const struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (strcmp(sim_machine(s, i)->name, name) == 0) return i;
    }
    return UINT32_MAX;
}

static struct opinion *opinion_of(struct sim *s, uint32_t node, uint32_t peer)
{
    struct machine *m = sim_machine(s, node);
    m->opinions = sim_grow(m->opinions, &m->opinions_cap, peer, sizeof *m->opinions);
    return &m->opinions[peer];
}

/* --- at rest --- */

static bool takes_part(const struct sim *s, uint32_t node)
{
    const struct machine *m = sim_machine(s, node);
    return m->up && !m->outside;
}

static bool is_counted_in(enum member_state state)
{
    return state == MEMBER_ALIVE || state == MEMBER_INDIRECT;
}

static bool member_is_true(const struct sim *s, const struct view *view, const struct view_member *member,
                           char problem[PROBLEM_BYTES])
{
    uint32_t node = node_by_name(s, member->node);
    bool there = node != UINT32_MAX && takes_part(s, node);
    const char *state = member_state_text(member->state);
    bool has_all = member->lag_entries == 0 || s->histories; /* of another history nobody gets all */
    if (there && member->state == MEMBER_ALIVE && has_all) return true;
    if (!there && !is_counted_in(member->state)) return true;
    snprintf(problem, PROBLEM_BYTES, "%.40s has %.40s as %s, %llu entries behind; it %s", view->node, member->node,
             state, (unsigned long long)member->lag_entries, there ? "takes part" : "is dead or cut off");
    return false;
}

static bool members_are_true(struct sim *s, uint32_t node, char problem[PROBLEM_BYTES])
{
    const struct view *view = sim_view(s, node);
    uint32_t met = 0, there = 0;
    bool good = true;
    for (uint32_t i = 0; i < view->members_count && good; i++) {
        const struct view_member *member = &view->members[i];
        if (!member->is_self) good = member_is_true(s, view, member, problem);
        uint32_t peer = node_by_name(s, member->node);
        met += peer != UINT32_MAX && takes_part(s, peer);
    }
    for (uint32_t i = 0; i < s->options.nodes; i++) there += takes_part(s, i);
    if (good && met < there)
        snprintf(problem, PROBLEM_BYTES, "%s knows %u of the %u nodes that take part", view->node, met, there);
    view_drop(view);
    return good && met == there;
}

bool oracle_members_agree(struct sim *s, char problem[PROBLEM_BYTES])
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (takes_part(s, i) && !members_are_true(s, i, problem)) return false;
    }
    return true;
}

void oracle_check_members(struct sim *s)
{
    char problem[PROBLEM_BYTES] = "";
    if (!oracle_members_agree(s, problem)) oracle_fail(s, 0, "MEMBERS_TRUE", "%s", problem);
    s->tally->checks[CHECK_MEMBERS_TRUE]++;
}

/* --- verdicts --- */

/* Who stood still has listened for nobody. */
void oracle_steps(struct sim *s, uint32_t node, uint64_t node_ms)
{
    struct machine *m = sim_machine(s, node);
    if (node_ms - m->stepped_ms > SIM_HEARTBEAT_MS + 1000) m->listens_ms = node_ms;
    m->stepped_ms = node_ms;
}

void oracle_sends(struct sim *s, uint32_t node, uint32_t to, struct bytes bytes)
{
    struct frame frame;
    size_t len;
    if (s->options.unchecked || bytes.ptr[4] != FRAME_ASK) return; /* cheap, for most frames */
    REQUIRE(frame_read(bytes, &frame, &len) == ERR_OK);
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        const char *name = sim_machine(s, i)->name;
        if (i != to && bytes_equal(frame.body, bytes_of_text(name)))
            opinion_of(s, node, i)->asked_ms = sim_node_ms(s, node);
    }
}

/* Somebody other than the accused who is linked and heard: pieces must be whole frames for that. */
static bool could_ask(const struct sim *s, uint32_t node, uint32_t accused)
{
    if (s->options.piece_bytes_max < 64u << 10 || s->options.link_bytes_per_ms > 0) return false;
    for (uint32_t i = 0; i < s->network.wires_count; i++) {
        const struct wire *w = &s->network.wires[i];
        for (uint32_t end = 0; w->used && end < 2; end++) {
            const struct wire_end *e = &w->ends[end];
            if (e->node != node || e->link == 0 || e->closed || e->heard_first_ms == 0) continue;
            if (w->ends[!end].node == accused || s->now_ms - e->heard_first_ms < TALKS_SIM_MS) continue;
            if (sim_node_ms(s, node) - e->heard_last_ms < HEARD_MS) return true;
        }
    }
    return false;
}

static void check_verdict(struct sim *s, uint32_t node, uint32_t peer, const struct notice *notice)
{
    const struct machine *m = sim_machine(s, node);
    const struct opinion *o = opinion_of(s, node, peer);
    uint64_t now_ms = sim_node_ms(s, node);
    s->tally->checks[CHECK_VERDICT_FAIR]++;
    if (o->up && now_ms - m->listens_ms < SIM_PEER_TIMEOUT_MS)
        oracle_fail(s, node, "VERDICT_FAIR", "it judges %s after it has listened for %llu ms", notice->node,
                    (unsigned long long)(now_ms - m->listens_ms));
    bool asked = o->asked_ms > 0 && now_ms - o->asked_ms < SIM_PEER_TIMEOUT_MS;
    if (!asked && could_ask(s, node, peer))
        oracle_fail(s, node, "VERDICT_FAIR", "it judges %s and has asked nobody", notice->node);
    if (asked && notice->kind == NOTICE_PEER_DOWN && now_ms - o->asked_ms < SIM_HEARTBEAT_MS)
        oracle_fail(s, node, "VERDICT_FAIR", "it judges %s %llu ms after it has asked", notice->node,
                    (unsigned long long)(now_ms - o->asked_ms));
}

/* --- waits --- */

void oracle_link_ends(struct sim *s, uint32_t node, uint32_t peer, bool dialled, uint64_t lived_ms)
{
    struct machine *m = sim_machine(s, node);
    m->lost_peer = peer;
    m->lost_was_healthy = !dialled || lived_ms >= HEALTHY_SIM_MS;
}

static void check_wait(struct sim *s, uint32_t node, uint32_t peer, uint64_t wait_ms)
{
    const struct machine *m = sim_machine(s, node);
    uint64_t most = m->lost_was_healthy && m->lost_peer == peer ? SIM_BACKOFF_MS_MIN : s->options.backoff_ms_max;
    s->tally->checks[CHECK_WAIT_BOUNDED]++;
    most += most / 5;
    if (wait_ms > most)
        oracle_fail(s, node, "WAIT_BOUNDED", "%llu ms for n%u; at most %llu", (unsigned long long)wait_ms, peer,
                    (unsigned long long)most);
}

void oracle_notice(struct sim *s, uint32_t node, const struct notice *notice)
{
    if (s->options.unchecked) return;
    uint32_t peer = node_by_name(s, notice->node);
    if (peer == UINT32_MAX) return;
    struct opinion *o = opinion_of(s, node, peer);
    bool verdict = notice->kind == NOTICE_PEER_DOWN || notice->kind == NOTICE_PEER_INDIRECT;
    bool silent = strncmp(notice->detail, "nothing was heard", 17) == 0;
    if (verdict && silent && !s->judges_early) check_verdict(s, node, peer, notice);
    if (notice->kind == NOTICE_RETRY) check_wait(s, node, peer, notice->number);
    if (notice->kind == NOTICE_PEER_UP) o->up = true;
    if (verdict) o->up = false;
}

/* A new life thinks nothing yet. */
void oracle_members_begin(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    if (m->opinions) memset(m->opinions, 0, m->opinions_cap * sizeof *m->opinions);
    m->listens_ms = m->stepped_ms = sim_node_ms(s, node);
    m->lost_was_healthy = false;
}
