/* SPDX-License-Identifier: Apache-2.0 */
/* mesh_alloc: base/alloc.h as the measuring program has it, which counts the bytes that the core holds. It stands in
 * the place of base/alloc.c: the linker takes nothing from a library that the program itself defines. */
#include "base/alloc.h"
#include "sim/mesh.h"

#include <malloc.h>
#include <stdlib.h>

static uint64_t held;

static void *note(void *memory)
{
    if (memory) held += malloc_usable_size(memory);
    return memory;
}

void *mem_alloc(size_t bytes)
{
    return note(malloc(bytes ? bytes : 1));
}

void *mem_alloc_zero(size_t count, size_t size)
{
    return note(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *memory, size_t bytes)
{
    size_t before = malloc_usable_size(memory);
    void *resized = realloc(memory, bytes ? bytes : 1);
    if (resized) held -= before;
    return note(resized);
}

void mem_free(void *memory)
{
    held -= malloc_usable_size(memory);
    free(memory);
}

uint64_t mesh_memory_bytes(void)
{
    return held;
}
