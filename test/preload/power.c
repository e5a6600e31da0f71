/* SPDX-License-Identifier: Apache-2.0 */
/* A layer between a node and its disk, loaded with LD_PRELOAD. It writes down, in the order in which things happened,
 * what the process did to one directory, so that a test can work out afterwards what a power loss would have left of
 * it (test/process/power.py does, and knows this format). It can also make that disk fail.
 *
 *   QUIPU_POWER_DIR     the directory to watch; files in it, not below
 *   QUIPU_POWER_LOG     where to write it down; a kill leaves whole records and at most one torn one, at the end
 *   QUIPU_POWER_FAULTS  a directory whose files are switches, looked at before each call:
 *                         no-sync   fsync and fdatasync do nothing and say that all is well
 *                         eio-sync  fsync and fdatasync fail with EIO
 *                         full      growing a file, and writing past its end, fails with ENOSPC
 *                         nth       holds "KIND CALL N": of the calls of that name since it appeared, on the directory
 *                                   or a file in it, the Nth fails. KIND is EIO or ENOSPC, with a + behind it for all
 *                                   from the Nth on, or SHORT: the Nth write takes half. CALL is create, reserve
 *                                   (posix_fallocate), resize, write, sync, rename or unlink. "COUNT any 0" lets
 *                                   all pass. Each call that failed, or was counted, is a line in the file `struck`
 *
 * What makes the record honest:
 *  (1) A write is noted after it was done, a sync when it begins and again when it has ended well. So a sync covers
 *      exactly the writes noted before its beginning, and nothing counts as synced that the process was not told.
 *  (2) A file is known by its inode, which a rename does not change. Names last when the directory was synced.
 *  (3) The log is opened for appending and each record is one call, so records of several threads do not mix. */
/* Both names of each call, open and open64, are made here, so the headers must not turn one into the other. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FDS_MAX 65536
#define DIRECTORY_MARK UINT64_MAX
#define RECORD_MAGIC 0x51505752u

enum op {
    OP_CREATE = 1, /* name, inode */
    OP_OPEN,       /* name, inode */
    OP_WRITE,      /* inode, offset, data */
    OP_RESIZE,     /* inode, offset: the new length */
    OP_RENAME,     /* name, NUL, new name */
    OP_UNLINK,     /* name */
    OP_SYNC_BEGIN, /* inode, or DIRECTORY_MARK; offset: a number for this sync */
    OP_SYNC_END,   /* as above */
};

/* 32 bytes, then `len` bytes of names or data. Little-endian, as the machines are that run this. */
struct record {
    uint32_t magic, op;
    uint64_t inode, offset, len;
};

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
    int (*fdatasync)(int), (*fsync)(int);
    int (*renameat)(int, const char *, int, const char *);
    int (*unlinkat)(int, const char *, int);
    int (*ftruncate)(int, off_t);
    int (*fallocate)(int, off_t, off_t);
} real;

static const char *watched_path, *faults_path;
static int log_fd = -1;
static _Atomic uint64_t inodes[FDS_MAX]; /* of what is open: 0 for what is not watched */
static _Atomic uint64_t sync_next = 1;
static pthread_once_t setup_once = PTHREAD_ONCE_INIT;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "power: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void *find(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) fail(name);
    return found;
}

/* A function pointer out of a data pointer, which POSIX promises to work and C does not. */
#define FIND(member, name)                                                                                             \
    do {                                                                                                               \
        void *found = find(name);                                                                                      \
        memcpy(&real.member, &found, sizeof found);                                                                    \
    } while (0)

static void setup(void)
{
    FIND(openat, "openat");
    FIND(close, "close");
    FIND(pwrite, "pwrite");
    FIND(write, "write");
    FIND(pwritev, "pwritev");
    FIND(fdatasync, "fdatasync");
    FIND(fsync, "fsync");
    FIND(renameat, "renameat");
    FIND(unlinkat, "unlinkat");
    FIND(ftruncate, "ftruncate");
    FIND(fallocate, "posix_fallocate");
    faults_path = getenv("QUIPU_POWER_FAULTS");
    watched_path = getenv("QUIPU_POWER_DIR");
    const char *log_path = getenv("QUIPU_POWER_LOG");
    if (!log_path) return;
    log_fd = real.openat(AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) fail(log_path);
}

static void ready(void)
{
    if (pthread_once(&setup_once, setup) != 0) abort();
}

/* --- what is watched, and what is broken */

static bool is_watched_directory(int fd)
{
    struct stat about, watched;
    if (!watched_path || stat(watched_path, &watched) != 0) return false;
    if (fd == AT_FDCWD || fstat(fd, &about) != 0) return false;
    return about.st_ino == watched.st_ino && about.st_dev == watched.st_dev;
}

static uint64_t inode_of(int fd)
{
    return fd >= 0 && fd < FDS_MAX ? atomic_load(&inodes[fd]) : 0;
}

static bool is_broken(const char *fault)
{
    char path[4096];
    if (!faults_path) return false;
    snprintf(path, sizeof path, "%s/%s", faults_path, fault);
    return access(path, F_OK) == 0;
}

/* Reads a small file of the faults directory as text; false if it is not there. */
static bool fault_read(const char *fault, char *ret_text, size_t cap)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", faults_path, fault);
    int fd = real.openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t len = read(fd, ret_text, cap - 1);
    real.close(fd);
    if (len < 0) fail(path);
    ret_text[len] = '\0';
    return true;
}

static void tell_struck(const char *call)
{
    char path[4096], line[32];
    snprintf(path, sizeof path, "%s/struck", faults_path);
    int len = snprintf(line, sizeof line, "%s\n", call);
    int fd = real.openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || real.write(fd, line, (size_t)len) != len) fail(path);
    real.close(fd);
}

#define TAKE_HALF (-1)

/* What the switch `nth` has for this call: 0 for nothing, an error number, or TAKE_HALF. */
static int nth_verdict(const char *call)
{
    static _Atomic unsigned long calls;
    char text[64], kind[16], name[16];
    unsigned long nth = 0;
    if (!faults_path) return 0;
    if (!fault_read("nth", text, sizeof text)) {
        atomic_store(&calls, 0);
        return 0;
    }
    if (sscanf(text, "%15s %15s %lu", kind, name, &nth) != 3) fail("the switch nth");
    bool counts = strcmp(kind, "COUNT") == 0;
    if (!counts && strcmp(call, name) != 0) return 0;
    unsigned long number = atomic_fetch_add(&calls, 1) + 1;
    bool is_struck = kind[strlen(kind) - 1] == '+' ? number >= nth : number == nth;
    if (is_struck || counts) tell_struck(call);
    if (!is_struck) return 0;
    if (strcmp(kind, "SHORT") == 0) return TAKE_HALF;
    return strncmp(kind, "EIO", 3) == 0 ? EIO : ENOSPC;
}

/* True, with errno, if the call fails. */
static bool is_nth(const char *call)
{
    int verdict = nth_verdict(call);
    if (verdict > 0) errno = verdict;
    return verdict > 0;
}

/* Calls must not disturb errno of those around them. */
static void note(enum op op, uint64_t inode, uint64_t offset, const void *data, size_t len)
{
    int error = errno;
    struct record record = { RECORD_MAGIC, op, inode, offset, len };
    struct iovec parts[2] = { { &record, sizeof record }, { (void *)(uintptr_t)data, len } };
    if (log_fd >= 0 && writev(log_fd, parts, 2) != (ssize_t)(sizeof record + len)) fail("writing the log");
    errno = error;
}

/* --- names */

static void note_open(int directory, const char *name, int fd, bool is_new)
{
    struct stat about;
    if (fd < 0 || fd >= FDS_MAX || fstat(fd, &about) != 0) return;
    if (S_ISDIR(about.st_mode)) {
        atomic_store(&inodes[fd], is_watched_directory(fd) ? DIRECTORY_MARK : 0);
    } else if (S_ISREG(about.st_mode) && is_watched_directory(directory)) {
        atomic_store(&inodes[fd], about.st_ino);
        note(is_new ? OP_CREATE : OP_OPEN, about.st_ino, 0, name, strlen(name));
    }
}

static int open_noted(int directory, const char *name, int flags, mode_t mode)
{
    ready();
    struct stat about;
    bool is_new = (flags & O_CREAT) && fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) != 0;
    if (is_new && is_watched_directory(directory)) {
        if (is_nth("create")) return -1;
        if (is_broken("full")) {
            errno = ENOSPC;
            return -1;
        }
    }
    int fd = real.openat(directory, name, flags, mode);
    int error = errno;
    note_open(directory, name, fd, is_new);
    errno = error;
    return fd;
}

#define OPEN_BODY(directory)                                                                                           \
    mode_t mode = 0;                                                                                                   \
    if (flags & O_CREAT) {                                                                                             \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }                                                                                                                  \
    return open_noted(directory, path, flags, mode)

EXPORT int open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}
EXPORT int open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}
EXPORT int openat(int directory, const char *path, int flags, ...)
{
    OPEN_BODY(directory);
}
EXPORT int openat64(int directory, const char *path, int flags, ...)
{
    OPEN_BODY(directory);
}

EXPORT int close(int fd)
{
    ready();
    if (fd >= 0 && fd < FDS_MAX) atomic_store(&inodes[fd], 0);
    return real.close(fd);
}

EXPORT int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    ready();
    if (is_watched_directory(from_directory) && is_nth("rename")) return -1;
    int result = real.renameat(from_directory, from, to_directory, to);
    if (result != 0 || !is_watched_directory(from_directory)) return result;
    char names[512];
    int len = snprintf(names, sizeof names, "%s%c%s", from, '\0', to);
    note(OP_RENAME, 0, 0, names, (size_t)len);
    return 0;
}

EXPORT int unlinkat(int directory, const char *name, int flags)
{
    ready();
    if (is_watched_directory(directory) && is_nth("unlink")) return -1;
    int result = real.unlinkat(directory, name, flags);
    if (result == 0 && is_watched_directory(directory)) note(OP_UNLINK, 0, 0, name, strlen(name));
    return result;
}

/* --- contents */

static bool would_grow(int fd, uint64_t end)
{
    struct stat about;
    return fstat(fd, &about) == 0 && end > (uint64_t)about.st_size;
}

static bool is_full(int fd, off_t offset, size_t len)
{
    if (inode_of(fd) == 0 || !would_grow(fd, (uint64_t)offset + len) || !is_broken("full")) return false;
    errno = ENOSPC;
    return true;
}

static ssize_t pwrite_noted(int fd, const void *data, size_t len, off_t offset)
{
    ready();
    if (is_full(fd, offset, len)) return -1;
    int verdict = inode_of(fd) != 0 ? nth_verdict("write") : 0;
    if (verdict > 0) {
        errno = verdict;
        return -1;
    }
    ssize_t written = real.pwrite(fd, data, verdict == TAKE_HALF ? (len + 1) / 2 : len, offset);
    if (written > 0 && inode_of(fd) != 0) note(OP_WRITE, inode_of(fd), (uint64_t)offset, data, (size_t)written);
    return written;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite_noted(fd, data, len, offset);
}
EXPORT ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite_noted(fd, data, len, offset);
}

static ssize_t pwritev_noted(int fd, const struct iovec *parts, int count, off_t offset)
{
    ready();
    size_t whole = 0;
    for (int i = 0; i < count; i++) whole += parts[i].iov_len;
    if (is_full(fd, offset, whole) || (inode_of(fd) != 0 && is_nth("write"))) return -1;
    ssize_t written = real.pwritev(fd, parts, count, offset);
    size_t left = written > 0 && inode_of(fd) != 0 ? (size_t)written : 0;
    for (int i = 0; left > 0; i++) {
        size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;
        note(OP_WRITE, inode_of(fd), (uint64_t)offset, parts[i].iov_base, len);
        offset += (off_t)len;
        left -= len;
    }
    return written;
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev_noted(fd, parts, count, offset);
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev_noted(fd, parts, count, offset);
}

EXPORT ssize_t write(int fd, const void *data, size_t len)
{
    ready();
    if (inode_of(fd) == 0) return real.write(fd, data, len);
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (is_full(fd, at, len) || is_nth("write")) return -1;
    ssize_t written = real.write(fd, data, len);
    if (written > 0) note(OP_WRITE, inode_of(fd), (uint64_t)at, data, (size_t)written);
    return written;
}

static int ftruncate_noted(int fd, off_t len)
{
    ready();
    if (inode_of(fd) != 0 && is_nth("resize")) return -1;
    int result = real.ftruncate(fd, len);
    if (result == 0 && inode_of(fd) != 0) note(OP_RESIZE, inode_of(fd), (uint64_t)len, NULL, 0);
    return result;
}

EXPORT int ftruncate(int fd, off_t len)
{
    return ftruncate_noted(fd, len);
}
EXPORT int ftruncate64(int fd, off_t len)
{
    return ftruncate_noted(fd, len);
}

/* Returns an error number, as its real one. */
static int fallocate_noted(int fd, off_t offset, off_t len)
{
    ready();
    bool grows = inode_of(fd) != 0 && would_grow(fd, (uint64_t)(offset + len));
    if (grows && is_broken("full")) return ENOSPC;
    int verdict = inode_of(fd) != 0 ? nth_verdict("reserve") : 0;
    if (verdict > 0) return verdict;
    int error = real.fallocate(fd, offset, len);
    if (error == 0 && grows) note(OP_RESIZE, inode_of(fd), (uint64_t)(offset + len), NULL, 0);
    return error;
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t len)
{
    return fallocate_noted(fd, offset, len);
}
EXPORT int posix_fallocate64(int fd, off_t offset, off_t len)
{
    return fallocate_noted(fd, offset, len);
}

/* --- durability */

static int sync_noted(int fd, int (*sync)(int))
{
    uint64_t inode = inode_of(fd);
    if (inode == 0) return sync(fd);
    if (is_broken("no-sync")) return 0;
    if (is_nth("sync")) return -1;
    if (is_broken("eio-sync")) {
        errno = EIO;
        return -1;
    }
    uint64_t number = atomic_fetch_add(&sync_next, 1);
    note(OP_SYNC_BEGIN, inode, number, NULL, 0);
    int result = sync(fd);
    if (result == 0) note(OP_SYNC_END, inode, number, NULL, 0);
    return result;
}

EXPORT int fdatasync(int fd)
{
    ready();
    return sync_noted(fd, real.fdatasync);
}

EXPORT int fsync(int fd)
{
    ready();
    return sync_noted(fd, real.fsync);
}
