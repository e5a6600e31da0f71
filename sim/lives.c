/* SPDX-License-Identifier: Apache-2.0 */
/* How a process and a machine begin, stand still, end and come back, and what is cut between them. */
#include "sim/world.h"

#include <stdlib.h>

static enum err start(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    sim_moment(s, node, "start", 0, 0);
    enum err err = machine_start(s, node);
    if (err != ERR_OK) {
        bool dark = disk_is_dark(m->disk);
        if (dark)
            disk_restart(m->disk);
        else
            disk_kill(m->disk);
        oracle_ended(s, node, dark ? END_POWER : END_KILL);
        return err;
    }
    REQUIRE(node_start(m->node, sim_node_ms(s, node), sim_wall_ms(s, node), &s->actions) == ERR_OK);
    oracle_started(s, node);
    oracle_members_begin(s, node);
    sim_carry_out(s, node);
    sim_arm(s, node);
    return ERR_OK;
}

bool sim_try_start(struct sim *s, uint32_t node)
{
    return start(s, node) == ERR_OK;
}

void sim_start(struct sim *s, uint32_t node)
{
    enum err err = start(s, node);
    if (err != ERR_OK) oracle_fail(s, node, "RECOVERED", "it does not start: %s", err_text(err));
}

void sim_start_all(struct sim *s)
{
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        if (!sim_machine(s, i)->up) sim_start(s, i);
    }
}

void sim_end(struct sim *s, uint32_t node, enum end how)
{
    struct machine *m = sim_machine(s, node);
    if (!m->up) return;
    sim_moment(s, node, how == END_POWER ? "power cut" : "end", 0, 0);
    disk_freeze(m->disk); /* a process that is killed does not tidy up */
    machine_end(s, node);
    network_node_gone(s, node, how != END_POWER);
    oracle_ended(s, node, how);
}

void sim_kill(struct sim *s, uint32_t node)
{
    if (disk_is_dark(sim_machine(s, node)->disk)) { /* the power went out in an operation that nobody waited for */
        sim_power_cut(s, node);
        return;
    }
    sim_end(s, node, END_KILL);
    disk_kill(sim_machine(s, node)->disk);
}

void sim_power_cut(struct sim *s, uint32_t node)
{
    bool was_up = sim_is_up(s, node);
    sim_end(s, node, END_POWER);
    if (!was_up) oracle_ended(s, node, END_POWER); /* what a kill had left in the cache is lost now */
    disk_restart(sim_machine(s, node)->disk);
}

void sim_lose_disk(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    REQUIRE(!m->up);
    disk_free(m->disk);
    disk_free(m->image);
    m->image = NULL; /* who lost a disk has no backup either: DISK_OLD is another story */
    m->disk = disk_new(random_u64(&s->random), 0);
    s->disks_lost++;
    oracle_ended(s, node, END_LOST);
}

void sim_keep_image(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    disk_free(m->image);
    m->image = disk_clone(m->disk, random_u64(&s->random));
}

bool sim_has_image(const struct sim *s, uint32_t node)
{
    return sim_machine(s, node)->image != NULL;
}

void sim_restore_image(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    REQUIRE(!m->up && m->image);
    disk_restore(m->disk, m->image);
    oracle_ended(s, node, END_OLD);
    s->disks_old++;
}

uint32_t sim_add_copy(struct sim *s, uint32_t of)
{
    uint32_t node = sim_add_node(s);
    struct machine *m = sim_machine(s, node);
    disk_free(m->disk);
    m->disk = disk_clone(sim_machine(s, of)->disk, random_u64(&s->random));
    oracle_ended(s, node, END_COPIED);
    s->disks_copied++;
    return node;
}

void sim_pause(struct sim *s, uint32_t node)
{
    sim_machine(s, node)->paused = true;
}

void sim_resume(struct sim *s, uint32_t node)
{
    struct machine *m = sim_machine(s, node);
    m->paused = false;
    for (uint32_t i = 0; i < m->held_count; i++) { /* it finds everything waiting */
        m->held[i].at_ms = s->now_ms;
        sim_schedule(s, &m->held[i]);
    }
    m->held_count = 0;
}

void sim_hold_disk(struct sim *s, uint32_t node, bool held)
{
    sim_machine(s, node)->disk_held = held;
}

void sim_stop(struct sim *s, uint32_t node)
{
    sim_event(s, node, &(struct event){ .kind = EVENT_STOP });
}

void sim_blow(struct sim *s, uint32_t node, bool power, uint32_t actions)
{
    struct machine *m = sim_machine(s, node);
    m->blow = power ? BLOW_POWER : BLOW_KILL;
    m->blow_after = actions;
}

bool sim_is_up(const struct sim *s, uint32_t node)
{
    return sim_machine(s, node)->up;
}

void sim_cut(struct sim *s, uint32_t from, uint32_t to)
{
    network_path(s, from, to)->cut = true;
}

void sim_cut_both(struct sim *s, uint32_t a, uint32_t b)
{
    sim_cut(s, a, b);
    sim_cut(s, b, a);
}

void sim_mend(struct sim *s, uint32_t from, uint32_t to)
{
    struct path *p = network_path(s, from, to);
    p->cut = false;
    p->slow_ms = 0;
    p->clogged_until_ms = 0;
}

void sim_mend_all(struct sim *s)
{
    for (uint32_t from = 0; from < s->options.nodes; from++) {
        for (uint32_t to = 0; to < s->options.nodes; to++) sim_mend(s, from, to);
    }
    network_mended(s);
}
