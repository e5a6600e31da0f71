/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a journal back from a disk that answers badly: a read that fails is an error with a name, and changes
 * nothing; a large snapshot is read through its window; a journal on nothing begins anew each time. */
#include "journal_world.h"

#include "count/keyspace.h"
#include "count/replicas.h"
#include "journal/nowhere.h"

/* A storage on which the nth question fails; all else goes to the disk behind it. */
struct unreadable {
    struct storage disk;
    uint64_t asked, fails_at;
};

static struct unreadable unreadable; /* handles do not know their storage */

static bool fails(void)
{
    return ++unreadable.asked == unreadable.fails_at;
}

static enum err ask_list(void *disk, storage_name_visitor *visitor, void *context)
{
    return fails() ? ERR_IO : unreadable.disk.ops->list(disk, visitor, context);
}

static enum err ask_open(void *disk, const char *name, struct storage_file **ret_file, uint64_t *ret_bytes)
{
    return fails() ? ERR_IO : unreadable.disk.ops->open(disk, name, ret_file, ret_bytes);
}

static enum err ask_read(struct storage_file *file, uint64_t offset, uint8_t *into, uint64_t len)
{
    return fails() ? ERR_IO : unreadable.disk.ops->read(file, offset, into, len);
}

static enum err open_unreadable(struct world *w, uint64_t fails_at)
{
    static struct storage_ops ops;
    struct journal_options options = world_options(w->disk);
    unreadable = (struct unreadable){ .disk = options.storage, .fails_at = fails_at };
    ops = *options.storage.ops;
    ops.list = ask_list;
    ops.open = ask_open;
    ops.read = ask_read;
    options.storage.ops = &ops;
    w->recovered = 0;
    return journal_open(&options, world_sink, w, &w->journal, &w->report);
}

/* A snapshot before some segments, all synced. */
static struct disk *disk_with_snapshot(void)
{
    struct world w = { .disk = world_disk(3, 20) };
    struct replicas *replicas;
    struct keyspace *keyspace;
    struct snapshot *snapshot;
    bool done = false;
    assert_ok(world_open(&w));
    assert_ok(replicas_new(&replicas));
    struct keyspace_options keys = { .shards = 1, .replicas = replicas };
    assert_ok(keyspace_new(&keys, &keyspace));
    struct snapshot_options options = {
        .journal = w.journal, .keyspace = keyspace, .replicas = replicas, .entries_kind = 9
    };
    assert_ok(journal_rotate(w.journal, &options.segment));
    assert_ok(snapshot_begin(&options, &snapshot));
    for (uint64_t i = 0; i < 20; i++) {
        uint8_t record[WORLD_RECORD_BYTES_MAX];
        assert_ok(snapshot_append(snapshot, world_kind(i), world_record(i, record)));
    }
    while (!done) assert_ok(snapshot_step(snapshot, 8, &done));
    assert_ok(journal_sync(w.journal));
    assert_ok(snapshot_finish(snapshot));
    snapshot_free(snapshot);
    keyspace_free(keyspace);
    replicas_free(replicas);
    assert_ok(world_run(&w, 10, 1));
    assert_ok(world_sync(&w));
    world_close(&w);
    disk_kill(w.disk);
    return w.disk;
}

static void test_whichever_read_fails_the_start_is_refused_and_nothing_is_changed(void **state)
{
    (void)state;
    struct world w = { .disk = disk_with_snapshot() };
    uint64_t digest = disk_digest(w.disk), asked = 0;
    for (uint64_t nth = 1;; nth++) {
        enum err err = open_unreadable(&w, nth);
        asked = unreadable.asked;
        if (asked < nth) {
            assert_ok(err);
            break;
        }
        assert_err(err, ERR_IO);
        assert_true(nth == 1 || w.report.file[0] != '\0'); /* where, but for the list of all */
        assert_int_equal(disk_digest(w.disk), digest);
        disk_kill(w.disk);
    }
    assert_true(asked > 6);
    assert_int_equal(w.recovered, 30);
    world_close(&w);
    disk_free(w.disk);
}

/* Then the last segment is opened once more, to be written over with itself. */
static void test_on_a_full_disk_as_well(void **state)
{
    (void)state;
    uint64_t asked = 0;
    for (uint64_t nth = 1; asked + 1 >= nth; nth++) {
        struct world w = { .disk = disk_with_snapshot() };
        disk_set_capacity(w.disk, disk_used(w.disk));
        uint64_t digest = disk_digest(w.disk);
        enum err err = open_unreadable(&w, nth);
        asked = unreadable.asked;
        assert_err(err, asked < nth ? ERR_OK : ERR_IO);
        if (err == ERR_OK) {
            assert_int_equal(w.recovered, 30);
            world_close(&w);
        } else {
            assert_int_equal(disk_digest(w.disk), digest);
        }
        disk_kill(w.disk);
        disk_free(w.disk);
    }
}

/* --- A large snapshot --- */

#define LARGE_BYTES ((size_t)3 << 19) /* more than the window that a snapshot is read through */
#define LARGE_RECORDS 5u

static struct bytes large_record(uint8_t number)
{
    static uint8_t content[LARGE_BYTES];
    memset(content, number, sizeof content);
    return bytes_of(content, number % 2 ? sizeof content : 700000);
}

static enum err expect_large(void *context, uint8_t kind, struct bytes record)
{
    uint8_t *expected = context;
    assert_int_equal(kind, 5);
    assert_true(bytes_equal(record, large_record(*expected)));
    ++*expected;
    return ERR_OK;
}

static void test_a_snapshot_is_larger_than_the_window_it_is_read_through(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(1, 0) };
    struct replicas *replicas;
    struct keyspace *keyspace;
    struct snapshot *snapshot;
    assert_ok(replicas_new(&replicas));
    struct keyspace_options keys = { .shards = 1, .replicas = replicas };
    assert_ok(keyspace_new(&keys, &keyspace));
    assert_ok(world_open(&w));
    struct snapshot_options options = {
        .journal = w.journal, .keyspace = keyspace, .replicas = replicas, .entries_kind = 9
    };
    assert_ok(journal_rotate(w.journal, &options.segment));
    assert_ok(snapshot_begin(&options, &snapshot));
    assert_err(snapshot_append(snapshot, 5, bytes_of(&options, (size_t)JOURNAL_RECORD_BYTES_MAX + 1)), ERR_TOO_LONG);
    for (uint8_t i = 0; i < LARGE_RECORDS; i++) assert_ok(snapshot_append(snapshot, 5, large_record(i)));
    bool done = false;
    while (!done) assert_ok(snapshot_step(snapshot, 8, &done));
    assert_ok(disk_storage(w.disk).ops->sync(snapshot_file(snapshot))); /* as another thread does */
    assert_ok(journal_sync(w.journal));
    assert_ok(snapshot_finish(snapshot));
    snapshot_free(snapshot);
    world_close(&w);
    disk_kill(w.disk);
    uint8_t seen = 0;
    struct journal_options again = world_options(w.disk);
    assert_ok(journal_open(&again, expect_large, &seen, &w.journal, &w.report));
    assert_int_equal(seen, LARGE_RECORDS);
    world_close(&w);
    keyspace_free(keyspace);
    replicas_free(replicas);
    disk_free(w.disk);
}

/* --- Nowhere --- */

static enum err expect_none(void *context, uint8_t kind, struct bytes record)
{
    (void)context, (void)kind, (void)record;
    fail_msg("nothing is kept, so nothing comes back");
    return ERR_OK;
}

static void test_a_journal_on_nothing_begins_anew_each_time(void **state)
{
    (void)state;
    struct world w = { .appended = 0 };
    struct storage_file *file = NULL;
    uint64_t bytes;
    uint8_t byte;
    struct journal_options options = { .storage = nowhere_storage(), .segment_bytes = WORLD_SEGMENT_BYTES };
    memset(options.id.bytes, 7, sizeof options.id.bytes);
    for (int start = 0; start < 2; start++) {
        w.appended = 0;
        assert_ok(journal_open(&options, expect_none, NULL, &w.journal, &w.report));
        assert_true(w.report.fresh);
        assert_ok(world_run(&w, 100, 3));
        assert_ok(world_sync(&w));
        world_close(&w);
    }
    assert_err(options.storage.ops->open(options.storage.disk, "journal-0000000000000001", &file, &bytes),
               ERR_NOT_FOUND);
    assert_ok(options.storage.ops->create(options.storage.disk, "a", 9, &file));
    assert_ok(options.storage.ops->read(file, 0, &byte, 0));
    assert_err(options.storage.ops->read(file, 0, &byte, 1), ERR_IO);
    options.storage.ops->close(file);
}

/* --- Names --- */

static void test_only_sixteen_small_hex_digits_are_a_number(void **state)
{
    (void)state;
    static const char *const others[] = {
        "journal-000000000000000G",
        "journal-000000000000000A",
        "journal-000000000000000/",
        "journal-00000000000000 1",
        "journal-1",
        "journal-00000000000000001",
        "journal-",
        "notes",
    };
    struct world w = { .disk = world_disk(1, 5) };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) disk_put(w.disk, others[i], bytes_of_text("not ours"));
    world_expect(&w, 5, 5);
    world_close(&w);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_true(bytes_equal(disk_content(w.disk, others[i]), bytes_of_text("not ours")));
    }
    disk_put(w.disk, "journal-7fffffffffffffff", bytes_of_text("nobody gets there"));
    disk_kill(w.disk);
    assert_err(world_open(&w), ERR_CORRUPT);
    assert_string_equal(w.report.file, "journal-7fffffffffffffff");
    disk_free(w.disk);
}

/* A journal without a name of its own would fit into any other's place. */
static void test_a_journal_needs_an_id(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(1, 0) };
    struct journal_options options = { .storage = disk_storage(w.disk) };
    assert_err(journal_open(&options, expect_none, NULL, &w.journal, &w.report), ERR_INVALID);
    assert_int_equal(disk_used(w.disk), 0);
    disk_free(w.disk);
}

/* What fuzz_recovery found: block numbers so high that blocks behind them would not have been read again. */
static void test_numbers_near_the_end_are_refused(void **state)
{
    (void)state;
    const uint64_t numbers[] = { SEGMENT_FOUND_MAX, SEGMENT_FOUND_MAX + 1, SEGMENT_NUMBER_MAX - 1, UINT64_MAX };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint8_t bytes[SEGMENT_HEAD_BYTES];
        struct segment_head read, head = { .place = { SEGMENT_MAGIC, { { 1 } }, 1 }, .first_block = numbers[i] };
        segment_put_head(bytes, &head);
        assert_err(segment_get_head(bytes_of(bytes, sizeof bytes), SEGMENT_MAGIC, &read), i ? ERR_CORRUPT : ERR_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whichever_read_fails_the_start_is_refused_and_nothing_is_changed),
        cmocka_unit_test(test_on_a_full_disk_as_well),
        cmocka_unit_test(test_a_snapshot_is_larger_than_the_window_it_is_read_through),
        cmocka_unit_test(test_a_journal_on_nothing_begins_anew_each_time),
        cmocka_unit_test(test_only_sixteen_small_hex_digits_are_a_number),
        cmocka_unit_test(test_a_journal_needs_an_id),
        cmocka_unit_test(test_numbers_near_the_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
