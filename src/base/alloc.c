/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Read on every request and written by tests alone, before any thread starts. */
static struct {
    bool on;
    uint64_t nth, requests;
} plan;

static bool plan_fails(void)
{
    return plan.on && ++plan.requests == plan.nth;
}

#ifdef QUIPU_FORCE
/* Each piece has its size in front of it, and stays aligned for anything. */
#define SIZE_BYTES 16u
static uint64_t held;

static void *piece_note(uint8_t *piece, size_t bytes)
{
    if (!piece) return NULL;
    memcpy(piece, &bytes, sizeof bytes);
    held += bytes;
    return piece + SIZE_BYTES;
}

static uint8_t *piece_of(void *memory)
{
    size_t bytes;
    if (!memory) return NULL;
    uint8_t *piece = (uint8_t *)memory - SIZE_BYTES;
    memcpy(&bytes, piece, sizeof bytes);
    held -= bytes;
    return piece;
}

uint64_t mem_held(void)
{
    return held;
}

void *mem_alloc(size_t bytes)
{
    if (plan_fails() || bytes > SIZE_MAX - SIZE_BYTES) return NULL;
    return piece_note(malloc(SIZE_BYTES + bytes), bytes);
}

void *mem_alloc_zero(size_t count, size_t size)
{
    size_t bytes;
    if (plan_fails() || __builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - SIZE_BYTES) return NULL;
    return piece_note(calloc(1, SIZE_BYTES + bytes), bytes);
}

void *mem_resize(void *memory, size_t bytes)
{
    size_t before = 0;
    if (plan_fails() || bytes > SIZE_MAX - SIZE_BYTES) return NULL;
    if (memory) memcpy(&before, (uint8_t *)memory - SIZE_BYTES, sizeof before);
    uint8_t *piece = realloc(memory ? (uint8_t *)memory - SIZE_BYTES : NULL, SIZE_BYTES + bytes);
    if (!piece) return NULL;
    held -= before;
    return piece_note(piece, bytes);
}

void mem_free(void *memory)
{
    free(piece_of(memory));
}
#else
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
#endif

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
