/* SPDX-License-Identifier: Apache-2.0 */
/* storage: one directory of files, as the journal needs it. Two implementations: the file system (server/files.c), and
 * the simulator's disk, which can lose, tear and damage.
 *
 * Calls block and come from one thread at a time, except that sync may run beside write on the same file.
 * Names are plain file names. Promises that recovery leans on:
 *  (1) What was written before a sync that returned OK is on disk. What was not synced may be there or not, in any
 *      part.
 *  (2) After a create, rename or remove that returned OK the directory says so on disk.
 *  (3) ERR_FULL changes nothing. After ERR_IO from write or sync nothing is known of the file: the process must end. */
#ifndef QUIPU_JOURNAL_STORAGE_H
#define QUIPU_JOURNAL_STORAGE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

#define STORAGE_NAME_MAX 64

struct storage_file; /* an open file; the implementation's own */

typedef void storage_name_visitor(void *context, const char *name, uint64_t bytes);

struct storage_ops {
    enum err (*list)(void *disk, storage_name_visitor *visitor, void *context);
    /* Makes a new file with room for `reserve` bytes, all reading as zero. ERR_EXISTS, ERR_FULL, ERR_IO. */
    enum err (*create)(void *disk, const char *name, uint64_t reserve, struct storage_file **ret_file);
    /* Opens an existing file to be read, and written where it has room. ERR_NOT_FOUND, ERR_IO. */
    enum err (*open)(void *disk, const char *name, struct storage_file **ret_file, uint64_t *ret_bytes);
    /* Exactly len bytes; fewer is ERR_IO. */
    enum err (*read)(struct storage_file *file, uint64_t offset, uint8_t *into, uint64_t len);
    /* All of it or an error. ERR_FULL is possible only past what was reserved. */
    enum err (*write)(struct storage_file *file, uint64_t offset, struct bytes bytes);
    enum err (*sync)(struct storage_file *file);
    void (*close)(struct storage_file *file); /* NULL is fine */
    enum err (*rename)(void *disk, const char *from, const char *to);
    enum err (*remove)(void *disk, const char *name);
};

struct storage {
    const struct storage_ops *ops;
    void *disk;
};

#endif
