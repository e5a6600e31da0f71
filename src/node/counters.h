/* SPDX-License-Identifier: Apache-2.0 */
/* counters: the second door of the core, for workers: the keyspace calls that any thread may make. What is outside the
 * core includes this header and never count/ itself. */
#ifndef QUIPU_NODE_COUNTERS_H
#define QUIPU_NODE_COUNTERS_H

#include "count/block.h" /* NAME_BYTES_MAX */
#include "count/keyspace.h"

#endif
