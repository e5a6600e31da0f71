/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>

/* Read on every request and written by tests alone, before any thread starts. */
static struct {
    bool on;
    uint64_t nth, requests;
} plan;

static bool plan_fails(void)
{
    return plan.on && ++plan.requests == plan.nth;
}

void *mem_alloc(size_t bytes)
{
    return plan_fails() ? NULL : malloc(bytes ? bytes : 1);
}

void *mem_alloc_zero(size_t count, size_t size)
{
    return plan_fails() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *mem_resize(void *memory, size_t bytes)
{
    return plan_fails() ? NULL : realloc(memory, bytes ? bytes : 1);
}

void mem_free(void *memory)
{
    free(memory);
}

void mem_fail_at(uint64_t nth)
{
    plan.on = nth > 0;
    plan.nth = nth;
    plan.requests = 0;
}

uint64_t mem_requests(void)
{
    return plan.requests;
}
