/* SPDX-License-Identifier: Apache-2.0 */
/* faults: what goes wrong in a run, and how often. Swarm testing: each run has some classes of faults and not others,
 * at rates of its own, so that none hides another. */
#ifndef QUIPU_SIM_FAULTS_H
#define QUIPU_SIM_FAULTS_H

#include "sim/run.h"

bool fault_is_on(enum fault fault); /* the core is meant to survive it */
bool fault_allow(const char *name); /* one that is off; false: there is none of that name */
void faults_draw(struct run *r);
void faults_begin(struct run *r);
/* A time that was planned has come. */
void fault_strikes(struct run *r, uint32_t what, uint32_t node);
/* All that is under way ends, for the nodes that take part. */
void faults_end(struct run *r);

/* forces.c */
void forces_draw(struct run *r);
void forces_begin(struct run *r);
void forces_end(void);

#endif
