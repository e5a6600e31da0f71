/* SPDX-License-Identifier: Apache-2.0 */
#include "server/files.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "lock"
#define DIRECTORY_MODE 0700
#define FILE_MODE 0600
#define WRITE_BYTES_MAX (64u << 20) /* in one call, well below what the kernel cuts off */

struct files {
    int directory, lock;
    atomic_int last_error;
};

struct storage_file {
    struct files *files;
    int fd;
    uint64_t bytes; /* its length */
};

/* Opening */

static enum err err_of_open(int error)
{
    switch (error) {
    case EWOULDBLOCK:
        return ERR_LOCKED;
    case ENOENT:
        return ERR_NOT_FOUND;
    case ENOTDIR:
        return ERR_INVALID;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

/* The name of a new directory lasts once its parent is on disk. */
static int sync_parent(int directory)
{
    int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) return errno == EACCES ? 0 : -1; /* one that we may not read we cannot sync */
    int result = fsync(parent);
    int error = errno;
    close(parent);
    errno = error;
    return result;
}

static int open_directory(const char *path)
{
    bool is_new = mkdir(path, DIRECTORY_MODE) == 0;
    if (!is_new && errno != EEXIST) return -1;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || !is_new || sync_parent(directory) == 0) return directory;
    int error = errno;
    close(directory);
    errno = error;
    return -1;
}

static int take_lock(int directory)
{
    int lock = openat(directory, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (lock < 0) return -1;
    int result;
    do result = flock(lock, LOCK_EX | LOCK_NB);
    while (result < 0 && errno == EINTR);
    if (result == 0) return lock;
    int error = errno;
    close(lock);
    errno = error;
    return -1;
}

enum err files_open(const char *path, struct files **ret_files)
{
    struct files *f = mem_alloc_zero(1, sizeof *f);
    if (!f) return ERR_NOMEM;
    f->directory = open_directory(path);
    f->lock = f->directory >= 0 ? take_lock(f->directory) : -1;
    if (f->lock < 0) {
        int error = errno;
        if (f->directory >= 0) close(f->directory);
        mem_free(f);
        errno = error;
        return err_of_open(error);
    }
    *ret_files = f;
    return ERR_OK;
}

void files_close(struct files *f)
{
    if (!f) return;
    close(f->lock);
    close(f->directory);
    mem_free(f);
}

int files_last_error(const struct files *f)
{
    return atomic_load_explicit(&f->last_error, memory_order_relaxed);
}

/* Errors */

static enum err files_fail(struct files *f, int error)
{
    atomic_store_explicit(&f->last_error, error, memory_order_relaxed);
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

/* Where a failure means that nothing is known any more. */
static enum err files_fail_hard(struct files *f, int error)
{
    (void)files_fail(f, error);
    return ERR_IO;
}

static enum err sync_directory(struct files *f)
{
    return fsync(f->directory) == 0 ? ERR_OK : files_fail_hard(f, errno);
}

/* The operations */

static enum err files_list(void *disk, storage_name_visitor *visitor, void *context)
{
    struct files *f = disk;
    int fd = openat(f->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return files_fail_hard(f, errno);
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int error = errno;
        close(fd);
        return files_fail_hard(f, error);
    }
    enum err err = ERR_OK;
    for (;;) {
        errno = 0;
        const struct dirent *item = readdir(directory);
        if (!item) break;
        struct stat about;
        if (strlen(item->d_name) >= STORAGE_NAME_MAX) continue; /* never one of ours */
        if (fstatat(f->directory, item->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) break;
        if (S_ISREG(about.st_mode)) visitor(context, item->d_name, (uint64_t)about.st_size);
    }
    if (errno != 0) err = files_fail_hard(f, errno);
    closedir(directory);
    return err;
}

static enum err file_new(struct files *f, int fd, uint64_t bytes, struct storage_file **ret_file)
{
    struct storage_file *file = mem_alloc(sizeof *file);
    if (!file) return ERR_NOMEM;
    *file = (struct storage_file){ f, fd, bytes };
    *ret_file = file;
    return ERR_OK;
}

/* 0 or an error number, as posix_fallocate. */
static int reserve_room(int fd, uint64_t bytes)
{
    if (bytes > INT64_MAX) return EFBIG;
    int error;
    do error = bytes > 0 ? posix_fallocate(fd, 0, (off_t)bytes) : 0;
    while (error == EINTR);
    if (error == 0 && fsync(fd) != 0) error = errno;
    return error;
}

static enum err files_create(void *disk, const char *name, uint64_t reserve, struct storage_file **ret_file)
{
    struct files *f = disk;
    int fd = openat(f->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0) return files_fail(f, errno);
    int error = reserve_room(fd, reserve);
    enum err err = error != 0 ? files_fail(f, error) : sync_directory(f);
    if (err == ERR_OK) err = file_new(f, fd, reserve, ret_file);
    if (err == ERR_OK) return ERR_OK;
    close(fd);
    if (unlinkat(f->directory, name, 0) != 0) return files_fail_hard(f, errno);
    return err;
}

static enum err files_open_file(void *disk, const char *name, struct storage_file **ret_file, uint64_t *ret_bytes)
{
    struct files *f = disk;
    int fd = openat(f->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return files_fail(f, errno);
    struct stat about;
    enum err err = fstat(fd, &about) == 0 ? ERR_OK : files_fail_hard(f, errno);
    if (err == ERR_OK) err = file_new(f, fd, (uint64_t)about.st_size, ret_file);
    if (err != ERR_OK) {
        close(fd);
        return err;
    }
    *ret_bytes = (*ret_file)->bytes;
    return ERR_OK;
}

static enum err files_read(struct storage_file *file, uint64_t offset, uint8_t *into, uint64_t len)
{
    for (uint64_t done = 0; done < len;) {
        ssize_t n = pread(file->fd, into + done, (size_t)(len - done), (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return files_fail_hard(file->files, errno);
        if (n == 0) return files_fail_hard(file->files, ENODATA);
        done += (uint64_t)n;
    }
    return ERR_OK;
}

/* ERR_FULL promises that nothing changed. What made the file longer can be taken back. */
static enum err write_fail(struct storage_file *file, uint64_t offset, size_t done, int error)
{
    bool is_undone = done == 0 || (offset >= file->bytes && ftruncate(file->fd, (off_t)file->bytes) == 0);
    return is_undone ? files_fail(file->files, error) : files_fail_hard(file->files, error);
}

static enum err files_write(struct storage_file *file, uint64_t offset, struct bytes bytes)
{
    for (size_t done = 0; done < bytes.len;) {
        size_t want = bytes.len - done < WRITE_BYTES_MAX ? bytes.len - done : WRITE_BYTES_MAX;
        ssize_t n = pwrite(file->fd, bytes.ptr + done, want, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_fail(file, offset, done, n < 0 ? errno : EIO);
        done += (size_t)n;
    }
    if (offset + bytes.len > file->bytes) file->bytes = offset + bytes.len;
    return ERR_OK;
}

static enum err files_sync(struct storage_file *file)
{
    return fdatasync(file->fd) == 0 ? ERR_OK : files_fail_hard(file->files, errno);
}

static void files_close_file(struct storage_file *file)
{
    if (!file) return;
    close(file->fd);
    mem_free(file);
}

static enum err files_rename(void *disk, const char *from, const char *to)
{
    struct files *f = disk;
    if (renameat(f->directory, from, f->directory, to) != 0) return files_fail(f, errno);
    return sync_directory(f);
}

static enum err files_remove(void *disk, const char *name)
{
    struct files *f = disk;
    if (unlinkat(f->directory, name, 0) != 0) return files_fail(f, errno);
    return sync_directory(f);
}

struct storage files_storage(struct files *f)
{
    static const struct storage_ops ops = {
        .list = files_list,
        .create = files_create,
        .open = files_open_file,
        .read = files_read,
        .write = files_write,
        .sync = files_sync,
        .close = files_close_file,
        .rename = files_rename,
        .remove = files_remove,
    };
    return (struct storage){ &ops, f };
}
