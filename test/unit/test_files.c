/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "journal/journal.h"
#include "server/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A directory of its own for each test, with room for a data directory in it. */
struct place_on_disk {
    char root[64], data[80];
};

static int make_place(void **state)
{
    struct place_on_disk *p = calloc(1, sizeof *p);
    if (!p) return -1;
    snprintf(p->root, sizeof p->root, "/tmp/quipu-test-XXXXXX");
    if (!mkdtemp(p->root)) return -1;
    snprintf(p->data, sizeof p->data, "%s/data", p->root);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place_on_disk *p = *state;
    (void)umount(p->root); /* one that a failed test has left */
    char command[128];
    snprintf(command, sizeof command, "rm -rf -- '%s'", p->root);
    int status = system(command);
    free(p);
    return status;
}

static mode_t mode_of(const char *directory, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 07777;
}

struct names {
    char text[2048];
    uint64_t bytes;
};

static void note_name(void *context, const char *name, uint64_t bytes)
{
    struct names *names = context;
    size_t len = strlen(names->text);
    int more = snprintf(names->text + len, sizeof names->text - len, "%s ", name);
    assert_true(more > 0 && (size_t)more < sizeof names->text - len);
    names->bytes += bytes;
}

static void test_directory_is_made_for_its_owner_alone(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL;
    umask(0);
    assert_ok(files_open(p->data, &f));
    assert_int_equal(mode_of(p->data, "."), 0700);
    assert_int_equal(mode_of(p->data, "lock"), 0600);
    struct storage storage = files_storage(f);
    struct storage_file *file = NULL;
    assert_ok(storage.ops->create(storage.disk, "a", 10000, &file));
    assert_int_equal(mode_of(p->data, "a"), 0600);
    storage.ops->close(file);
    files_close(f);
    assert_ok(files_open(p->data, &f)); /* it is there now */
    files_close(f);
}

static void test_what_was_written_is_read_and_the_rest_is_zero(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL;
    assert_ok(files_open(p->data, &f));
    struct storage storage = files_storage(f);
    struct storage_file *file = NULL;
    uint64_t bytes = 0;
    uint8_t read[20];
    assert_ok(storage.ops->create(storage.disk, "a", 10000, &file));
    assert_ok(storage.ops->write(file, 5000, bytes_of_text("quipu")));
    assert_ok(storage.ops->sync(file));
    storage.ops->close(file);
    assert_ok(storage.ops->rename(storage.disk, "a", "b"));
    assert_err(storage.ops->open(storage.disk, "a", &file, &bytes), ERR_NOT_FOUND);
    assert_int_equal(files_last_error(f), ENOENT);
    assert_ok(storage.ops->open(storage.disk, "b", &file, &bytes));
    assert_int_equal(bytes, 10000);
    assert_ok(storage.ops->read(file, 4990, read, sizeof read));
    assert_memory_equal(read, "\0\0\0\0\0\0\0\0\0\0quipu\0\0\0\0\0", sizeof read);
    assert_err(storage.ops->read(file, 9990, read, sizeof read), ERR_IO);
    storage.ops->close(file);
    files_close(f);
}

static void test_names_come_and_go(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL;
    assert_ok(files_open(p->data, &f));
    struct storage storage = files_storage(f);
    struct storage_file *file = NULL;
    assert_ok(storage.ops->create(storage.disk, "a", 100, &file));
    storage.ops->close(file);
    file = NULL;
    assert_err(storage.ops->create(storage.disk, "a", 100, &file), ERR_EXISTS);
    assert_null(file);
    char path[200];
    snprintf(path, sizeof path, "%s/a directory", p->data);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/%0100d", p->data, 0);
    int too_long = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(too_long >= 0);
    close(too_long);
    struct names names = { 0 };
    assert_ok(storage.ops->list(storage.disk, note_name, &names));
    assert_true(strcmp(names.text, "a lock ") == 0 || strcmp(names.text, "lock a ") == 0);
    assert_int_equal(names.bytes, 100);
    assert_ok(storage.ops->remove(storage.disk, "a"));
    assert_err(storage.ops->remove(storage.disk, "a"), ERR_NOT_FOUND);
    assert_err(storage.ops->rename(storage.disk, "a", "b"), ERR_NOT_FOUND);
    files_close(f);
}

static void test_directory_belongs_to_one_process(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL, *second = NULL;
    assert_ok(files_open(p->data, &f));
    assert_err(files_open(p->data, &second), ERR_LOCKED);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(files_open(p->data, &second) == ERR_LOCKED ? 0 : 1);
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    files_close(f);
    assert_ok(files_open(p->data, &f));
    files_close(f);
}

static void test_lock_does_not_survive_exec(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL;
    assert_ok(files_open(p->data, &f));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ready[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "echo ready; exec sleep 60", (char *)NULL);
        _exit(1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1); /* it has been through exec */
    files_close(f);
    assert_ok(files_open(p->data, &f));
    files_close(f);
    close(ready[0]);
    close(ready[1]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_directories_that_will_not_do(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL;
    char path[200];
    snprintf(path, sizeof path, "%s/no/such/parent", p->root);
    assert_err(files_open(path, &f), ERR_NOT_FOUND);
    snprintf(path, sizeof path, "%s/file", p->root);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_err(files_open(path, &f), ERR_INVALID);
    assert_null(f);
}

/* As somebody to whom permissions apply. */
static void test_directory_that_may_not_be_written(void **state)
{
    struct place_on_disk *p = *state;
    assert_int_equal(mkdir(p->data, 0555), 0);
    assert_int_equal(chmod(p->root, 0755), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        struct files *f = NULL;
        enum err err = files_open(p->data, &f);
        _exit(err == ERR_IO && errno == EACCES && !f ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* --- No room --- */

static void test_limit_on_file_size_is_a_full_disk(void **state)
{
    struct place_on_disk *p = *state;
    struct files *f = NULL;
    assert_ok(files_open(p->data, &f));
    struct storage storage = files_storage(f);
    struct storage_file *file = NULL;
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err large = storage.ops->create(storage.disk, "large", 200000, &file);
    enum err small = storage.ops->create(storage.disk, "small", 50000, &file);
    static uint8_t bytes[120000];
    enum err beyond = storage.ops->write(file, 50000, bytes_of(bytes, sizeof bytes)); /* a part of it would fit */
    uint64_t length = 0;
    struct storage_file *again = NULL;
    enum err opened = storage.ops->open(storage.disk, "small", &again, &length);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_err(large, ERR_FULL);
    assert_ok(small);
    assert_err(beyond, ERR_FULL);
    assert_ok(opened);
    assert_int_equal(length, 50000); /* nothing has changed */
    assert_ok(storage.ops->write(file, 50000, bytes_of(bytes, sizeof bytes)));
    storage.ops->close(file);
    storage.ops->close(again);
    struct names names = { 0 };
    assert_ok(storage.ops->list(storage.disk, note_name, &names));
    assert_null(strstr(names.text, "large"));
    files_close(f);
}

static enum err count_records(void *context, uint8_t kind, struct bytes record)
{
    uint64_t *count = context;
    (void)kind, (void)record;
    ++*count;
    return ERR_OK;
}

/* A journal on a real disk that is too small for it. */
static void fill_the_disk(const char *data)
{
    struct files *f = NULL;
    struct journal *j = NULL;
    struct journal_report report;
    uint64_t count = 0, written = 0;
    static uint8_t record[10000];
    assert_ok(files_open(data, &f));
    struct journal_options options = { .storage = files_storage(f), .id = { { 1 } }, .segment_bytes = 256 << 10 };
    assert_ok(journal_open(&options, count_records, &count, &j, &report));
    enum err err = ERR_OK;
    while (err == ERR_OK) {
        assert_ok(journal_append(j, 1, bytes_of(record, sizeof record)));
        err = journal_write(j);
        if (err == ERR_OK) written++;
    }
    assert_err(err, ERR_FULL);
    assert_int_equal(files_last_error(f), ENOSPC);
    assert_true(journal_is_full(j));
    assert_err(journal_reserve(j), ERR_FULL);
    journal_close(j);
    j = NULL;
    assert_ok(journal_open(&options, count_records, &count, &j, &report));
    assert_int_equal(count, written);
    journal_close(j);
    files_close(f);
}

static void test_full_disk_is_survived(void **state)
{
    struct place_on_disk *p = *state;
    if (mount("quipu-test", p->root, "tmpfs", 0, "size=2m") != 0) skip();
    fill_the_disk(p->data);
    assert_int_equal(umount(p->root), 0);
}

/* --- A journal on it --- */

static void test_journal_on_a_real_directory(void **state)
{
    struct place_on_disk *p = *state;
    for (uint64_t round = 0; round < 4; round++) {
        struct files *f = NULL;
        struct journal *j = NULL;
        struct journal_report report;
        uint64_t count = 0;
        static uint8_t record[50000];
        assert_ok(files_open(p->data, &f));
        struct journal_options options = { .storage = files_storage(f), .id = { { 1 } }, .segment_bytes = 1 << 20 };
        assert_ok(journal_open(&options, count_records, &count, &j, &report));
        assert_int_equal(count, round * 50);
        for (int i = 0; i < 50; i++) {
            assert_ok(journal_append(j, 1, bytes_of(record, sizeof record)));
            assert_ok(journal_write(j));
            assert_ok(journal_sync(j));
        }
        struct names names = { 0 };
        assert_ok(options.storage.ops->list(options.storage.disk, note_name, &names));
        assert_true(names.bytes <= (round + 1) * (4u << 20) + (1u << 20));
        journal_close(j);
        files_close(f);
    }
}

static enum err open_and_write(void *context)
{
    struct place_on_disk *p = context;
    struct files *f = NULL;
    enum err err = files_open(p->data, &f);
    if (err != ERR_OK) return err;
    struct storage storage = files_storage(f);
    struct storage_file *file = NULL;
    uint64_t bytes = 0;
    err = storage.ops->create(storage.disk, "a", 100, &file);
    storage.ops->close(file);
    struct names names = { 0 };
    assert_ok(storage.ops->list(storage.disk, note_name, &names));
    assert_int_equal(err == ERR_OK, strstr(names.text, "a ") != NULL); /* it is there only if that succeeded */
    if (err == ERR_OK) {
        file = NULL;
        err = storage.ops->open(storage.disk, "a", &file, &bytes);
        storage.ops->close(file);
        assert_ok(storage.ops->remove(storage.disk, "a"));
    }
    files_close(f);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    assert_int_equal(each_allocation_fails(open_and_write, *state), 3);
}

#define on_disk(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(test_directory_is_made_for_its_owner_alone),
        on_disk(test_what_was_written_is_read_and_the_rest_is_zero),
        on_disk(test_names_come_and_go),
        on_disk(test_directory_belongs_to_one_process),
        on_disk(test_lock_does_not_survive_exec),
        on_disk(test_directories_that_will_not_do),
        on_disk(test_directory_that_may_not_be_written),
        on_disk(test_limit_on_file_size_is_a_full_disk),
        on_disk(test_full_disk_is_survived),
        on_disk(test_journal_on_a_real_directory),
        on_disk(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
