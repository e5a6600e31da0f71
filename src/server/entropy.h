/* SPDX-License-Identifier: Apache-2.0 */
/* entropy: the system's randomness, for what the core asks of the outside: seeds, nonces, ids. */
#ifndef QUIPU_SERVER_ENTROPY_H
#define QUIPU_SERVER_ENTROPY_H

#include "base/bytes.h"

#include <stdint.h>

/* Neither ever returns zero; a system without randomness ends the process. */
uint64_t entropy_u64(void);
struct id128 entropy_id(void);

#endif
