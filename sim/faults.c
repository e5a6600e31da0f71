/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/faults.h"

#include "sim/world.h"

#define YEAR_MS INT64_C(31557600000)
#define PLAN_RESUME 1000u
#define PLAN_START 1001u
#define PLAN_ROOM 1002u

/* Off until core and oracle agree about them; whoever brings that about takes the line out. `--with NAME` switches one
 * on. DISK_OLD, DISK_COPIED  2,000 seeds pass, one of the first fresh ones did not: answered increments were missing at
 *   rest, after many orders to forget (seed 620605277 at e134625)
 *   BIT_FLIP, SECTOR_ZERO, MISDIRECT  nodes agree and totals are right, but a damaged node shows less for a while than
 * it had shown (READ_GROWS: seeds 119, 1486 at 5a8a4e2 with old and copied disks too), and holds less after a later
 * start than before it (FOUND_AGAIN: seed 370): either is allowed after damage, and the oracle does not know yet when.
 */
static bool is_off[FAULT_COUNT] = {
    [FAULT_DISK_OLD] = true,    [FAULT_DISK_COPIED] = true, [FAULT_BIT_FLIP] = true,
    [FAULT_SECTOR_ZERO] = true, [FAULT_MISDIRECT] = true,
};

bool fault_is_on(enum fault fault)
{
    return !is_off[fault];
}

bool fault_allow(const char *name)
{
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(fault_name(i), name) != 0) continue;
        is_off[i] = false;
        return true;
    }
    return false;
}

/* --- drawing --- */

static bool is_weather(uint32_t fault)
{
    return fault == FAULT_LOSS || fault == FAULT_TAIL || (fault >= FAULT_FRAME_DROP && fault <= FAULT_FRAME_REPLAY);
}

/* What a run cannot do without, when it has what goes before it. */
static void draw_remedies(struct run *r)
{
    r->every_ms[FAULT_START] = 500u << run_draw(r, 4);
    r->every_ms[FAULT_MEND] = 1000u << run_draw(r, 5);
    r->every_ms[FAULT_DISK_ROOM] = 0; /* planned with each full disk */
}

static bool is_of_history(uint32_t fault)
{
    return fault == FAULT_DISK_OLD || fault == FAULT_DISK_COPIED || fault == FAULT_BIT_FLIP ||
           fault == FAULT_SECTOR_ZERO || fault == FAULT_MISDIRECT;
}

/* After such a fault a run is judged at rest only, so most runs have none; and nobody goes for good in one that has,
 * since then all must be there to be judged. */
void faults_draw(struct run *r)
{
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        uint32_t percent = is_of_history(i) ? 8 : 35;
        if (is_off[i] || run_draw(r, 100) >= percent) continue;
        r->every_ms[i] = 500u << run_draw(r, 7);
        r->forks = r->forks || is_of_history(i);
    }
    if (r->forks) r->every_ms[FAULT_REMOVE] = 0;
    draw_remedies(r);
}

static uint32_t rate_of(struct run *r, enum fault fault, uint32_t max)
{
    return r->every_ms[fault] > 0 ? 1 + run_draw(r, 1 + run_draw(r, max)) : 0;
}

static void plan_next(struct run *r, enum fault fault)
{
    uint32_t mean = r->every_ms[fault];
    if (mean > 0 && !is_weather(fault)) sim_plan_at(r->sim, 1 + run_draw(r, 2 * mean), fault, 0);
}

void faults_begin(struct run *r)
{
    r->sim->network.weather = (struct weather){ .loss = rate_of(r, FAULT_LOSS, 3000),
                                                .tail = rate_of(r, FAULT_TAIL, 500),
                                                .tail_ms = 100u << run_draw(r, 8),
                                                .drop = rate_of(r, FAULT_FRAME_DROP, 1000),
                                                .twice = rate_of(r, FAULT_FRAME_TWICE, 2000),
                                                .swap = rate_of(r, FAULT_FRAME_SWAP, 1000),
                                                .late = rate_of(r, FAULT_FRAME_LATE, 500),
                                                .replay = rate_of(r, FAULT_FRAME_REPLAY, 500) };
    for (uint32_t i = 0; i < FAULT_COUNT; i++) plan_next(r, i);
}

/* --- striking --- */

static struct machine *machine_of(struct run *r, uint32_t node)
{
    return sim_machine(r->sim, node);
}

static uint32_t nodes_of(const struct run *r)
{
    return r->sim->options.nodes;
}

/* A node that is up; UINT32_MAX if none was met by chance. */
static uint32_t any_up(struct run *r)
{
    uint32_t node = run_draw(r, nodes_of(r));
    return machine_of(r, node)->up ? node : UINT32_MAX;
}

static uint32_t nodes_left(struct run *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < nodes_of(r); i++) count += !machine_of(r, i)->stopped_for_good;
    return count;
}

static bool start(struct run *r, uint32_t node)
{
    struct machine *m = machine_of(r, node);
    return !m->up && !m->stopped_for_good && sim_try_start(r->sim, node);
}

/* Which side a node is on, for each shape of a partition. */
static void split(struct run *r, enum fault shape)
{
    struct sim *s = r->sim;
    uint32_t count = nodes_of(r), alone = run_draw(r, count);
    uint64_t sides = random_u64(&r->random);
    for (uint32_t a = 0; a < count; a++) {
        for (uint32_t b = a + 1; b < count; b++) {
            bool apart = (sides >> (a % 64) & 1) != (sides >> (b % 64) & 1);
            if (shape == FAULT_SPLIT_ONE) apart = a == alone || b == alone;
            if (shape == FAULT_SPLIT_RING) apart = b - a != 1 && b - a != count - 1;
            if (shape == FAULT_SPLIT_BRIDGE) apart = apart && a != alone && b != alone;
            if (apart) sim_cut_both(s, a, b);
        }
    }
}

static bool strike_network(struct run *r, enum fault fault)
{
    struct sim *s = r->sim;
    uint32_t a = run_draw(r, nodes_of(r)), b = run_draw(r, nodes_of(r));
    if (fault >= FAULT_SPLIT_HALVES && fault <= FAULT_SPLIT_BRIDGE) {
        split(r, fault);
        return true;
    }
    if (fault == FAULT_MEND) {
        sim_mend_all(s);
        return true;
    }
    if (a == b) return false;
    if (fault == FAULT_SLOW) network_path(s, a, b)->slow_ms = run_draw(r, 2000);
    if (fault == FAULT_CLOG) network_path(s, a, b)->clogged_until_ms = s->now_ms + run_draw(r, 15000);
    if (fault == FAULT_BREAK) sim_break_links(s, a, b);
    if (fault == FAULT_CUT_ONE_WAY) sim_cut(s, a, b);
    if (fault == FAULT_CUT_BOTH) sim_cut_both(s, a, b);
    return true;
}

static bool crash_all(struct run *r)
{
    bool power = run_draw(r, 2) == 0;
    for (uint32_t i = 0; i < nodes_of(r); i++) {
        if (power)
            sim_power_cut(r->sim, i);
        else if (machine_of(r, i)->up)
            sim_kill(r->sim, i);
    }
    return true;
}

static bool strike_life(struct run *r, enum fault fault)
{
    struct sim *s = r->sim;
    if (fault == FAULT_CRASH_ALL) return crash_all(r);
    if (fault == FAULT_START) return start(r, run_draw(r, nodes_of(r)));
    if (fault == FAULT_ADD) {
        if (nodes_of(r) >= r->nodes_max) return false;
        return start(r, sim_add_node(s));
    }
    uint32_t node = any_up(r);
    if (node == UINT32_MAX) return false;
    if (fault == FAULT_FORGET) {
        uint32_t dead = run_draw(r, nodes_of(r));
        if (machine_of(r, dead)->up) return false;
        sim_forget(s, node, machine_of(r, dead)->name);
    }
    if (fault == FAULT_LEAVE) sim_leave(s, node);
    if (fault == FAULT_KILL) sim_kill(s, node);
    if (fault == FAULT_POWER) sim_power_cut(s, node);
    if (fault == FAULT_KILL_IN_STEP) sim_blow(s, node, false, run_draw(r, 6));
    if (fault == FAULT_POWER_IN_STEP) sim_blow(s, node, true, run_draw(r, 6));
    if (fault == FAULT_STOP) sim_stop(s, node);
    if (fault == FAULT_PAUSE) {
        sim_pause(s, node);
        sim_plan_at(s, 100 + run_draw(r, 20000), PLAN_RESUME, node);
    }
    if (fault == FAULT_REMOVE) {
        if (nodes_left(r) <= 2) return false;
        sim_kill(s, node);
        machine_of(r, node)->stopped_for_good = true;
    }
    /* These two are counted where they fall. */
    return fault != FAULT_KILL_IN_STEP && fault != FAULT_POWER_IN_STEP;
}

/* Anywhere in any file, written or not. */
static bool damage(struct run *r, enum fault fault, uint32_t node)
{
    struct disk *disk = sim_disk(r->sim, node);
    char name[STORAGE_NAME_MAX];
    uint64_t bytes;
    if (!disk_pick(disk, random_u64(&r->random), name, &bytes) || bytes == 0) return false;
    uint64_t at = random_below(&r->random, bytes);
    oracle_damaged(r->sim, node);
    if (fault == FAULT_BIT_FLIP)
        disk_flip_bit(disk, name, at, run_draw(r, 8));
    else
        disk_zero_sector(disk, name, at / DISK_SECTOR_BYTES);
    return true;
}

/* A backup is taken first, and gone back to the next time. */
static bool strike_fork(struct run *r, enum fault fault, uint32_t node)
{
    struct sim *s = r->sim;
    if (fault == FAULT_DISK_COPIED) {
        if (nodes_of(r) >= r->nodes_max) return false;
        return start(r, sim_add_copy(s, node));
    }
    if (!sim_has_image(s, node)) {
        sim_keep_image(s, node);
        return false;
    }
    if (s->disks_old >= 2) return false;
    sim_kill(s, node);
    sim_restore_image(s, node);
    sim_plan_at(s, 1 + run_draw(r, 5000), PLAN_START, node);
    return true;
}

static bool strike_disk(struct run *r, enum fault fault)
{
    struct sim *s = r->sim;
    uint32_t node = any_up(r);
    if (node == UINT32_MAX) return false;
    struct disk *disk = sim_disk(s, node);
    if (fault == FAULT_POWER_IN_DISK) disk_cut_at(disk, 1 + run_draw(r, 30));
    if (fault == FAULT_SYNC_FAILS) disk_fail_sync(disk);
    if (fault == FAULT_WRITE_SHORT) disk_fail_at(disk, 1 + run_draw(r, 20), ERR_IO);
    if (fault == FAULT_DISK_OLD || fault == FAULT_DISK_COPIED) return strike_fork(r, fault, node);
    if (fault == FAULT_BIT_FLIP || fault == FAULT_SECTOR_ZERO) return damage(r, fault, node);
    if (fault == FAULT_MISDIRECT) {
        oracle_damaged(r->sim, node);
        r->sim->lossy = true; /* the write to come is lost */
        disk_misdirect(disk);
    }
    if (fault == FAULT_DISK_FULL) {
        disk_set_capacity(disk, disk_used(disk) + 1 + run_draw(r, 100000));
        sim_plan_at(s, 500 + run_draw(r, 10000), PLAN_ROOM, node);
    }
    if (fault == FAULT_DISK_LOST) {
        if (s->disks_lost >= r->disks_lost_max) return false;
        sim_kill(s, node);
        sim_lose_disk(s, node);
        sim_plan_at(s, 1 + run_draw(r, 5000), PLAN_START, node);
    }
    return true;
}

static bool strike_clock(struct run *r, enum fault fault)
{
    uint32_t node = run_draw(r, nodes_of(r));
    int64_t years = (int64_t)run_draw(r, 21) - 10;
    if (fault == FAULT_WALL_JUMP) sim_wall_offset(r->sim, node, years * YEAR_MS + (int64_t)run_draw(r, 1000000));
    if (fault == FAULT_CLOCK_DRIFT) sim_clock_rate(r->sim, node, 900 + run_draw(r, 201));
    if (fault == FAULT_CLOCK_JUMP) sim_clock_jump(r->sim, node, 1 + run_draw(r, 1u << run_draw(r, 17)));
    return true;
}

static bool strike(struct run *r, enum fault fault)
{
    switch (fault) {
    case FAULT_SLOW:
    case FAULT_CLOG:
    case FAULT_BREAK:
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT_BOTH:
    case FAULT_SPLIT_HALVES:
    case FAULT_SPLIT_ONE:
    case FAULT_SPLIT_RING:
    case FAULT_SPLIT_BRIDGE:
    case FAULT_MEND:
        return strike_network(r, fault);
    case FAULT_KILL:
    case FAULT_KILL_IN_STEP:
    case FAULT_POWER:
    case FAULT_POWER_IN_STEP:
    case FAULT_CRASH_ALL:
    case FAULT_START:
    case FAULT_PAUSE:
    case FAULT_STOP:
    case FAULT_REMOVE:
    case FAULT_FORGET:
    case FAULT_LEAVE:
    case FAULT_ADD:
        return strike_life(r, fault);
    case FAULT_POWER_IN_DISK:
    case FAULT_DISK_LOST:
    case FAULT_DISK_OLD:
    case FAULT_DISK_COPIED:
    case FAULT_DISK_FULL:
    case FAULT_SYNC_FAILS:
    case FAULT_WRITE_SHORT:
    case FAULT_BIT_FLIP:
    case FAULT_SECTOR_ZERO:
    case FAULT_MISDIRECT:
        return strike_disk(r, fault);
    case FAULT_WALL_JUMP:
    case FAULT_CLOCK_DRIFT:
    case FAULT_CLOCK_JUMP:
        return strike_clock(r, fault);
    case FAULT_LOSS:
    case FAULT_TAIL:
    case FAULT_FRAME_DROP:
    case FAULT_FRAME_TWICE:
    case FAULT_FRAME_SWAP:
    case FAULT_FRAME_LATE:
    case FAULT_FRAME_REPLAY:
    case FAULT_DISK_ROOM:
    case FAULT_COUNT:
        break;
    }
    return false;
}

void fault_strikes(struct run *r, uint32_t what, uint32_t node)
{
    if (r->quiet) return;
    if (what == PLAN_RESUME) {
        sim_resume(r->sim, node);
    } else if (what == PLAN_START) {
        start(r, node);
    } else if (what == PLAN_ROOM) {
        disk_set_capacity(sim_disk(r->sim, node), 0);
        r->sim->tally->faults[FAULT_DISK_ROOM]++;
    } else {
        enum fault fault = (enum fault)what;
        sim_moment(r->sim, node, fault_name(fault), 0, 0);
        if (strike(r, fault)) r->sim->tally->faults[fault]++;
        plan_next(r, fault);
    }
}

void faults_end(struct run *r)
{
    r->sim->network.weather = (struct weather){ 0 };
    network_end_tampered(r->sim);
}
