/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the simulator's build of the core only. */
#include "base/force.h"

#include <stddef.h>

static force_decider *decides;

bool force_strikes(enum force force)
{
    return decides && decides(force);
}

void force_decide_by(force_decider *decider)
{
    decides = decider;
}
