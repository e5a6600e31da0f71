/* SPDX-License-Identifier: Apache-2.0 */
/* files: journal/storage.h on a directory of the file system, which belongs to one process at a time.
 *
 * Room is reserved with posix_fallocate, and every change to the directory is followed by an fsync of it, so that the
 * promises of storage.h hold on any Linux file system that keeps its own. ENOSPC, EDQUOT and a reached limit on file
 * size are ERR_FULL, as long as nothing was written; a sync never is. The process must ignore SIGXFSZ. */
#ifndef QUIPU_SERVER_FILES_H
#define QUIPU_SERVER_FILES_H

#include "journal/storage.h"

struct files;

/* Makes the directory (mode 0700, its parent must exist) if it is not there, and locks it. ERR_LOCKED: another process
 * has it. ERR_NOT_FOUND: no parent. ERR_INVALID: not a directory. ERR_FULL, ERR_IO, ERR_NOMEM. errno is as the system
 * left it. */
MUST_USE enum err files_open(const char *path, struct files **ret_files);
/* Gives up the lock; open files must be closed before. NULL is fine. */
void files_close(struct files *f);
struct storage files_storage(struct files *f);
/* errno of the operation that failed last, on any thread; 0 if none did. */
int files_last_error(const struct files *f);

#endif
