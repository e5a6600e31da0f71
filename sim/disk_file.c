/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/disk_file.h"

#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

void *disk_need(void *memory)
{
    REQUIRE(memory);
    return memory;
}

/* Contents */

void content_resize(struct content *c, uint64_t len)
{
    if (len > c->len || !c->bytes) {
        uint8_t *bytes = disk_need(calloc(1, len > 0 ? len : 1)); /* a large reservation stays untouched pages */
        if (c->len > 0) memcpy(bytes, c->bytes, c->len < len ? c->len : len);
        free(c->bytes);
        c->bytes = bytes;
    }
    c->len = len;
}

void content_write(struct content *c, uint64_t offset, const uint8_t *bytes, size_t len)
{
    if (offset + len > c->len) content_resize(c, offset + len);
    if (len > 0) memcpy(c->bytes + offset, bytes, len);
}

void content_set(struct content *c, const struct content *from)
{
    free(c->bytes);
    *c = (struct content){ 0 };
    content_resize(c, from->len);
    memcpy(c->bytes, from->bytes, from->len);
}

/* Nodes */

void disk_file_forget_unsynced(struct disk_file *n)
{
    for (uint32_t i = 0; i < n->unsynced_count; i++) free(n->unsynced[i].bytes);
    free(n->unsynced);
    n->unsynced = NULL;
    n->unsynced_count = 0;
}

void disk_file_drop(struct disk_file *n)
{
    if (--n->holders > 0) return;
    disk_file_forget_unsynced(n);
    free(n->cache.bytes);
    free(n->durable.bytes);
    free(n);
}

struct disk_file *disk_file_new(uint64_t bytes)
{
    struct disk_file *n = disk_need(calloc(1, sizeof *n));
    content_resize(&n->cache, bytes);
    content_resize(&n->durable, bytes);
    n->holders = 1;
    return n;
}

void disk_file_write(struct disk_file *n, uint64_t offset, const uint8_t *bytes, size_t len)
{
    n->unsynced = disk_need(realloc(n->unsynced, (n->unsynced_count + 1) * sizeof *n->unsynced));
    struct unsynced *u = &n->unsynced[n->unsynced_count++];
    *u = (struct unsynced){ offset, disk_need(malloc(len > 0 ? len : 1)), len };
    if (len > 0) memcpy(u->bytes, bytes, len);
    content_write(&n->cache, offset, bytes, len);
}

void disk_file_sync(struct disk_file *n)
{
    for (uint32_t i = 0; i < n->unsynced_count; i++) {
        const struct unsynced *u = &n->unsynced[i];
        content_write(&n->durable, u->offset, u->bytes, u->len);
    }
    disk_file_forget_unsynced(n);
}

/* The part of the first `count` writes that falls into the sector. */
static void settle_sector(struct disk_file *n, uint64_t sector, uint32_t count)
{
    uint64_t from = sector * DISK_SECTOR_BYTES, to = from + DISK_SECTOR_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        const struct unsynced *u = &n->unsynced[i];
        uint64_t start = u->offset > from ? u->offset : from;
        uint64_t end = u->offset + u->len < to ? u->offset + u->len : to;
        if (start < end) content_write(&n->durable, start, u->bytes + (start - u->offset), end - start);
    }
}

/* Invariant (2). Now and then all or nothing, which real disks do most of the time. */
void disk_file_cut(struct disk_file *n, struct random *random)
{
    uint64_t mood = random_below(random, 4);
    uint64_t sectors = (n->cache.len + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
    uint64_t len_before = n->durable.len;
    for (uint64_t sector = 0; n->unsynced_count > 0 && sector < sectors; sector++) {
        uint32_t count = (uint32_t)random_below(random, n->unsynced_count + 1u);
        if (mood == 0) count = 0;
        if (mood == 1) count = n->unsynced_count;
        settle_sector(n, sector, count);
    }
    /* A file that grew may still have its old length. */
    if (n->durable.len > len_before && mood > 1 && random_below(random, 2) == 0)
        content_resize(&n->durable, len_before);
    disk_file_forget_unsynced(n);
    content_set(&n->cache, &n->durable);
}
