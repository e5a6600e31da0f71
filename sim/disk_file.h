/* SPDX-License-Identifier: Apache-2.0 */
/* disk_file: one file of the simulated disk, kept twice: as programs see it, and as it would be after a power cut.
 * Private to disk.c. */
#ifndef QUIPU_SIM_DISK_FILE_H
#define QUIPU_SIM_DISK_FILE_H

#include "base/random.h"

#include <stddef.h>
#include <stdint.h>

/* Written, but not synced. */
struct unsynced {
    uint64_t offset;
    uint8_t *bytes;
    size_t len;
};

struct content {
    uint8_t *bytes;
    uint64_t len;
};

struct disk_file { /* a file, which its name and its handles hold */
    uint32_t holders;
    struct content cache, durable;
    struct unsynced *unsynced;
    uint32_t unsynced_count;
};

void *disk_need(void *memory); /* a simulator that is out of memory has nothing to say */
void content_resize(struct content *c, uint64_t len);
void content_write(struct content *c, uint64_t offset, const uint8_t *bytes, size_t len);
void content_set(struct content *c, const struct content *from);

struct disk_file *disk_file_new(uint64_t bytes);
void disk_file_drop(struct disk_file *n); /* one holder less; freed with the last */
void disk_file_write(struct disk_file *n, uint64_t offset, const uint8_t *bytes, size_t len);
void disk_file_sync(struct disk_file *n);
void disk_file_forget_unsynced(struct disk_file *n);
void disk_file_cut(struct disk_file *n, struct random *random); /* the power goes out */

#endif
