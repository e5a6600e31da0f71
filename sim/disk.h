/* SPDX-License-Identifier: Apache-2.0 */
/* disk: the simulator's storage. One directory, kept twice: as programs see it (the cache) and as it would be after a
 * power cut. Everything random comes from the seed.
 *  (1) A sync that returns OK moves what was written before it to the durable side; create, rename and remove that
 * return OK are durable at once. (2) At a power cut each 512-byte sector of what was not synced is as it was before, or
 * as it was after one of the writes since; so writes are lost, torn, and kept out of order. (3) A sync that fails
 * forgets what it should have written: the cache still shows it, and no later sync writes it. Breaking it in any other
 * way is for the test to ask for. A name that is not there, in such a request, is a bug of the test. Handles of before
 * a cut, a kill or a restore answer ERR_IO to everything but close. */
#ifndef QUIPU_SIM_DISK_H
#define QUIPU_SIM_DISK_H

#include "journal/storage.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_SECTOR_BYTES 512u

struct disk;

struct disk *disk_new(uint64_t seed, uint64_t capacity_bytes); /* capacity 0: no limit */
void disk_free(struct disk *d);                                /* open handles must be closed before */
struct storage disk_storage(struct disk *d);

/* --- Faults to come. Operations are create, write, sync, rename and remove, counted from 1 --- */
uint64_t disk_operations(const struct disk *d);
/* The nth operation from now on fails: ERR_FULL changes nothing, ERR_IO may have done any part of it. 0: none will. */
void disk_fail_at(struct disk *d, uint64_t nth, enum err err);
/* The power goes out during the nth operation from now on, of which any part may be done; it and everything after it is
 * ERR_IO until disk_restart. 0: it will not. */
void disk_cut_at(struct disk *d, uint64_t nth);
/* The next sync from now on fails, as in (3). */
void disk_fail_sync(struct disk *d);
/* The next write from now on lands at another place of the same file, or of another one. */
void disk_misdirect(struct disk *d);
void disk_set_capacity(struct disk *d, uint64_t capacity_bytes);

void disk_calm(struct disk *d); /* no fault is to come, and there is room */

/* --- Ends of a process --- */
/* From now on everything is ERR_IO, until disk_kill or disk_restart: what a process does while it ends is not done. */
void disk_freeze(struct disk *d);
bool disk_is_dark(const struct disk *d); /* the power went out in an operation */
void disk_kill(struct disk *d);          /* the process ends, the machine goes on: the cache stays */
void disk_restart(struct disk *d);       /* a power cut, unless there was one, and power again */

/* --- Damage, on both sides at once --- */
void disk_flip_bit(struct disk *d, const char *name, uint64_t offset, unsigned bit);
void disk_zero_sector(struct disk *d, const char *name, uint64_t sector);
void disk_truncate(struct disk *d, const char *name, uint64_t bytes);
void disk_put(struct disk *d, const char *name, struct bytes content); /* makes or replaces a file */
void disk_delete(struct disk *d, const char *name);

/* One of the files, by chance; false if there is none. */
bool disk_pick(const struct disk *d, uint64_t chance, char ret_name[STORAGE_NAME_MAX], uint64_t *ret_bytes);

/* --- Copies: what a snapshot of the device holds, which is the durable side only --- */
struct disk *disk_clone(const struct disk *d, uint64_t seed);
/* Puts the device back to what the image holds. */
void disk_restore(struct disk *d, const struct disk *image);

/* --- Looking at it --- */
bool disk_has(const struct disk *d, const char *name);
struct bytes disk_content(const struct disk *d, const char *name); /* as the cache shows it; until the next change */
uint64_t disk_used(const struct disk *d);                          /* bytes of all files */
/* Name and content of every file, as one number. */
uint64_t disk_digest(const struct disk *d);

#endif
