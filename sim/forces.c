/* SPDX-License-Identifier: Apache-2.0 */
/* Forced branches: the core asks at each place, and the run decides by chance. */
#include "sim/faults.h"

#include "sim/world.h"

#define ONE_IN_BITS_MAX 10u

static struct run *asked;

static bool decide(enum force force)
{
    uint32_t one_in = asked->one_in[force];
    if (one_in == 0 || random_below(&asked->random, one_in) != 0) return false;
    asked->sim->tally->forces[force]++;
    return true;
}

void forces_draw(struct run *r)
{
    for (uint32_t i = 0; i < FORCE_COUNT; i++) {
        if (run_draw(r, 100) < 40) r->one_in[i] = 2u << run_draw(r, ONE_IN_BITS_MAX);
    }
}

void forces_begin(struct run *r)
{
    asked = r;
    r->sim->judges_early = r->one_in[FORCE_JUDGE_EARLY] > 0;
    force_decide_by(decide);
}

void forces_end(void)
{
    force_decide_by(NULL);
    asked = NULL;
}
