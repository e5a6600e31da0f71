/* SPDX-License-Identifier: Apache-2.0 */
/* alloc: the only way the core gets memory, so that a test can let the nth request fail, for every n.
 * A NULL return is an error the caller handles (ERR_NOMEM); nothing here ends the process. */
#ifndef QUIPU_BASE_ALLOC_H
#define QUIPU_BASE_ALLOC_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* As malloc, calloc and realloc; a size of 0 counts as 1. Multiplication of count and size is checked. */
MUST_USE void *mem_alloc(size_t bytes);
MUST_USE void *mem_alloc_zero(size_t count, size_t size);
MUST_USE void *mem_resize(void *memory, size_t bytes);
void mem_free(void *memory); /* NULL is fine */

/* Tests only: the nth request from now on fails (1 is the next), once; 0 switches this off. Not for threads. */
void mem_fail_at(uint64_t nth);
/* Requests made since mem_fail_at was last called with a value above 0. */
uint64_t mem_requests(void);

#ifdef QUIPU_FORCE
/* The simulator's build counts: bytes asked for and not given back. Not for threads. */
uint64_t mem_held(void);
#endif

#endif
