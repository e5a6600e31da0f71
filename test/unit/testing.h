/* SPDX-License-Identifier: Apache-2.0 */
/* testing: what cmocka lacks for us. Include it first; it brings cmocka along. */
#ifndef QUIPU_TEST_UNIT_TESTING_H
#define QUIPU_TEST_UNIT_TESTING_H

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Says the error's text, where assert_int_equal would say a number. */
#define assert_err(actual, expected) assert_string_equal(err_text(actual), err_text(expected))
#define assert_ok(actual) assert_err(actual, ERR_OK)

/* A copy of some bytes whose end is the end of a page, with an unmapped page behind: reading one too many is a crash.
 */
struct fenced {
    struct bytes bytes;
    uint8_t *map;
    size_t map_bytes;
};

static inline struct fenced fenced_copy(struct bytes bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t used = (bytes.len / page + 1) * page;
    uint8_t *map = mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(munmap(map + used, page), 0);
    uint8_t *start = map + used - bytes.len;
    if (bytes.len > 0) memcpy(start, bytes.ptr, bytes.len);
    return (struct fenced){ bytes_of(start, bytes.len), map, used };
}

static inline void fenced_release(struct fenced *f)
{
    assert_int_equal(munmap(f->map, f->map_bytes), 0);
    *f = (struct fenced){ 0 };
}

/* Calls story again and again, with the first request for memory failing, then the second, and so on, until it runs
 * without asking for the failing one. Story must answer ERR_NOMEM when a request failed and ERR_OK when none did, and
 * leave nothing behind in either case. Returns how many requests there were. */
static inline uint64_t each_allocation_fails(enum err (*story)(void *context), void *context)
{
    for (uint64_t nth = 1;; nth++) {
        mem_fail_at(nth);
        enum err err = story(context);
        uint64_t requests = mem_requests();
        mem_fail_at(0);
        assert_err(err, requests >= nth ? ERR_NOMEM : ERR_OK);
        if (requests < nth) return requests;
    }
}

/* Runs call in a child process and expects it to end in abort, as a broken REQUIRE does. */
static inline void assert_aborts(void (*call)(void *context), void *context)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        call(context);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

#endif
