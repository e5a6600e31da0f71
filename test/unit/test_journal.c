/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_world.h"

#include "journal/nowhere.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEGMENT_1 "journal-0000000000000001"
#define SEGMENT_2 "journal-0000000000000002"
#define SEGMENT_3 "journal-0000000000000003"

static void test_an_empty_directory_becomes_an_empty_journal(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(1, 0) };
    world_expect(&w, 0, 0);
    assert_true(w.report.fresh);
    assert_true(disk_has(w.disk, SEGMENT_1));
    assert_false(journal_is_full(w.journal));
    world_close(&w);
    world_expect(&w, 0, 0);
    assert_false(w.report.fresh);
    world_close(&w);
    disk_free(w.disk);
}

static void test_records_come_back_in_order(void **state)
{
    (void)state;
    struct world w = { .disk = world_disk(1, 200) };
    world_expect(&w, 200, 200);
    assert_int_equal(w.report.records, 200);
    assert_int_equal(w.report.torn_bytes, 0);
    assert_ok(world_run(&w, 50, 7));
    assert_ok(world_sync(&w));
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, 250, 250);
    world_close(&w);
    disk_free(w.disk);
}

static void test_empty_and_large_records_are_records(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(1, 0) };
    assert_ok(world_open(&w));
    static uint8_t large[100000];
    assert_ok(journal_append(w.journal, 1, bytes_of(NULL, 0)));
    assert_ok(journal_append(w.journal, 127, bytes_of(large, sizeof large)));
    assert_err(journal_append(w.journal, 1, bytes_of(large, (size_t)JOURNAL_RECORD_BYTES_MAX + 1)), ERR_TOO_LONG);
    assert_ok(journal_write(w.journal));
    assert_ok(journal_write(w.journal));
    world_close(&w);
    assert_ok(world_open(&w));
    assert_int_equal(w.recovered, 2);
    assert_int_equal(w.report.bytes, sizeof large);
    world_close(&w);
    disk_free(w.disk);
}

/* --- The end can come at any moment --- */

/* A power cut at the nth operation of a run, then one at the mth of the recovery, then a recovery that succeeds. */
static void cut_twice(uint64_t seed, uint64_t nth, uint64_t mth, uint64_t sync_every)
{
    struct world w = { .disk = disk_new(seed, 0) };
    disk_cut_at(w.disk, nth);
    enum err err = world_open(&w);
    if (err == ERR_OK) err = world_run(&w, 40, sync_every);
    assert_err(err, ERR_IO);
    uint64_t synced = w.synced, appended = w.appended;
    world_close(&w);
    disk_restart(w.disk);

    disk_cut_at(w.disk, mth);
    if (mth > 0 && world_open(&w) != ERR_OK) assert_false(w.was_strange);
    world_close(&w);
    disk_restart(w.disk);

    world_expect(&w, synced, appended);
    uint64_t before = w.recovered;
    assert_ok(world_run(&w, 30, 3));
    assert_ok(world_sync(&w));
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, before + 30, before + 30);
    world_close(&w);
    disk_free(w.disk);
}

static uint64_t operations_of_run(uint64_t sync_every)
{
    struct world w = { .disk = disk_new(1, 0) };
    assert_ok(world_open(&w));
    assert_ok(world_run(&w, 40, sync_every));
    uint64_t operations = disk_operations(w.disk);
    world_close(&w);
    disk_free(w.disk);
    return operations;
}

static void test_power_cut_at_any_operation_keeps_all_that_was_synced(void **state)
{
    (void)state;
    static const uint64_t sync_every[] = { 0, 1, 4 };
    for (size_t i = 0; i < sizeof sync_every / sizeof *sync_every; i++) {
        uint64_t operations = operations_of_run(sync_every[i]);
        assert_true(operations > 40);
        for (uint64_t nth = 1; nth <= operations; nth++) {
            for (uint64_t seed = 1; seed <= 8; seed++) cut_twice(seed, nth, 0, sync_every[i]);
            for (uint64_t mth = 1; mth <= 12; mth++) cut_twice(100 * nth + mth, nth, mth, sync_every[i]);
        }
    }
}

/* After ERR_IO the process ends; the machine goes on, so what was written is in the cache, and once it has been
 * recovered it must survive a power cut too. */
static void test_error_at_any_operation_keeps_all_that_was_written(void **state)
{
    (void)state;
    uint64_t operations = operations_of_run(3);
    for (uint64_t nth = 1; nth <= operations; nth++) {
        struct world w = { .disk = disk_new(nth, 0) };
        disk_fail_at(w.disk, nth, ERR_IO);
        enum err err = world_open(&w);
        if (err == ERR_OK) err = world_run(&w, 40, 3);
        assert_err(err, ERR_IO);
        uint64_t written = w.written, appended = w.appended;
        world_close(&w);
        disk_kill(w.disk);
        world_expect(&w, written, appended);
        uint64_t shown = w.recovered;
        world_close(&w);
        disk_restart(w.disk);
        world_expect(&w, shown, shown);
        world_close(&w);
        disk_free(w.disk);
    }
}

static void test_full_at_any_operation_loses_nothing_and_goes_on(void **state)
{
    (void)state;
    uint64_t operations = operations_of_run(3);
    for (uint64_t nth = 1; nth <= operations; nth++) {
        struct world w = { .disk = disk_new(nth, 0) };
        disk_fail_at(w.disk, nth, ERR_FULL);
        enum err err = world_open(&w);
        if (err == ERR_FULL) err = world_open(&w);
        assert_ok(err);
        err = world_run(&w, 40, 3);
        if (err == ERR_FULL) err = world_write(&w); /* nothing was written, the records are kept */
        if (err == ERR_OK) err = world_run(&w, 40 - w.appended, 3);
        assert_ok(err);
        assert_ok(journal_reserve(w.journal));
        assert_ok(world_sync(&w));
        world_close(&w);
        disk_restart(w.disk);
        world_expect(&w, 40, 40);
        world_close(&w);
        disk_free(w.disk);
    }
}

static void test_failed_sync_is_made_good_by_the_recovery(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(5, 0) };
    assert_ok(world_open(&w));
    assert_ok(world_run(&w, 4, 0));
    disk_fail_sync(w.disk);
    assert_err(world_sync(&w), ERR_IO);
    world_close(&w);
    disk_kill(w.disk);
    world_expect(&w, 4, 4); /* out of the cache: the disk never had them */
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, 4, 4);
    world_close(&w);
    disk_free(w.disk);
}

/* --- Damage --- */

/* Where each block of a file begins; returns how many there are. */
static uint32_t find_blocks(const struct disk *disk, const char *name, uint64_t starts[], uint32_t max)
{
    struct bytes file = disk_content(disk, name);
    struct segment_head head;
    assert_ok(segment_get_head(file, SEGMENT_MAGIC, &head));
    uint32_t count = 0;
    for (size_t at = SEGMENT_HEAD_BYTES; count < max; count++) {
        struct segment_block block;
        if (!segment_get_block(bytes_of(file.ptr + at, file.len - at), &head.place, at, &block)) break;
        starts[count] = at;
        at += SEGMENT_BLOCK_BYTES + block.record_bytes;
        starts[count + 1] = at;
    }
    return count;
}

static void expect_refusal(struct disk *disk, const char *file, enum err expected)
{
    struct world w = { .disk = disk };
    uint64_t digest = disk_digest(disk);
    assert_err(world_open(&w), expected);
    assert_null(w.journal);
    assert_string_equal(w.report.file, file);
    assert_false(w.was_strange);
    assert_true(disk_digest(disk) == digest);
}

/* Opens it and goes on, twice: each time there is the hole, the same records are missing, and the file is as it was. */
static void expect_hole(const struct disk *disk, const char *file, uint64_t offset, uint64_t recovered, uint64_t lost)
{
    struct world w = { .disk = disk_clone(disk, 1) };
    for (uint64_t added = 0; added < 20; added += 10) {
        assert_ok(world_open(&w));
        assert_false(w.was_strange);
        assert_true(w.holes >= 1);
        assert_string_equal(w.report.hole[0].file, file);
        assert_int_equal(w.report.hole[0].offset, offset);
        assert_int_equal(w.recovered, recovered + added);
        assert_int_equal(w.lost, lost);
        if (disk_has(disk, file)) assert_true(bytes_equal(disk_content(w.disk, file), disk_content(disk, file)));
        assert_ok(world_run(&w, 10, 3));
        assert_ok(world_sync(&w));
        world_close(&w);
        disk_restart(w.disk);
    }
    disk_free(w.disk);
}

/* Six blocks in the first segment, of which five were synced before the sixth was written. */
static struct disk *disk_of_six(void)
{
    struct world w = { .disk = disk_new(1, 0) };
    assert_ok(world_open(&w));
    for (int i = 0; i < 5; i++) {
        assert_ok(world_append(&w));
        assert_ok(world_write(&w));
    }
    assert_ok(world_sync(&w));
    assert_ok(world_append(&w));
    assert_ok(world_write(&w));
    assert_ok(world_sync(&w));
    world_close(&w);
    disk_kill(w.disk);
    return w.disk;
}

static void test_flipped_bit_before_a_synced_mark_costs_that_block(void **state)
{
    (void)state;
    struct disk *disk = disk_of_six();
    uint64_t starts[8];
    assert_int_equal(find_blocks(disk, SEGMENT_1, starts, 7), 6);
    for (uint64_t at = 0; at < starts[5]; at++) {
        uint32_t block = 0;
        while (starts[block + 1] <= at) block++;
        const unsigned bit = (unsigned)(at * 5 % 8);
        disk_flip_bit(disk, SEGMENT_1, at, bit);
        if (at >= SEGMENT_HEAD_BYTES)
            expect_hole(disk, SEGMENT_1, starts[block], 6, 1);
        else if (at < 16 || at >= 32)
            expect_hole(disk, SEGMENT_1, 0, 6, 0);
        else
            expect_hole(disk, SEGMENT_1, 0, 0, 0); /* the only copy of what every checksum covers */
        disk_flip_bit(disk, SEGMENT_1, at, bit);
    }
    disk_free(disk);
}

static void test_flipped_bit_in_the_last_block_is_a_torn_tail(void **state)
{
    (void)state;
    struct disk *disk = disk_of_six();
    uint64_t starts[8];
    assert_int_equal(find_blocks(disk, SEGMENT_1, starts, 7), 6);
    for (uint64_t at = starts[5]; at < starts[6]; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct world w = { .disk = disk_clone(disk, at) };
            disk_flip_bit(w.disk, SEGMENT_1, at, bit);
            world_expect(&w, 5, 5);
            assert_int_equal(w.report.torn_bytes, starts[6] - starts[5]);
            world_close(&w);
            world_expect(&w, 5, 5);
            assert_int_equal(w.report.torn_bytes, 0);
            world_close(&w);
            disk_free(w.disk);
        }
    }
    disk_free(disk);
}

static void test_what_a_recovery_has_synced_is_promised_to_the_last_byte(void **state)
{
    (void)state;
    struct world w = { .disk = disk_of_six() };
    world_expect(&w, 6, 6);
    world_close(&w);
    uint64_t starts[8];
    assert_int_equal(find_blocks(w.disk, SEGMENT_2, starts, 7), 6);
    for (uint64_t at = starts[5]; at < starts[6]; at++) {
        disk_flip_bit(w.disk, SEGMENT_2, at, 3);
        expect_hole(w.disk, SEGMENT_2, starts[5], 5, 0);
        disk_flip_bit(w.disk, SEGMENT_2, at, 3);
    }
    disk_truncate(w.disk, SEGMENT_2, starts[4] + 10);
    expect_hole(w.disk, SEGMENT_2, starts[4], 4, 0);
    disk_free(w.disk);
}

static void test_any_damage_in_a_segment_behind_which_there_is_another_is_a_hole(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 40);
    assert_true(disk_has(disk, SEGMENT_3));
    uint64_t starts[40];
    uint32_t count = find_blocks(disk, SEGMENT_1, starts, 39);
    assert_true(count > 3);
    uint64_t end = starts[count], size = disk_content(disk, SEGMENT_1).len;
    for (uint64_t at = 0; at < end; at += 3) {
        uint64_t expected = 0;
        for (uint32_t i = 0; i < count && starts[i] <= at; i++) expected = starts[i];
        disk_flip_bit(disk, SEGMENT_1, at, (unsigned)(at % 8));
        expect_hole(disk, SEGMENT_1, expected, 40, at < SEGMENT_HEAD_BYTES ? 0 : 1);
        disk_flip_bit(disk, SEGMENT_1, at, (unsigned)(at % 8));
    }
    if (end < size) {
        disk_flip_bit(disk, SEGMENT_1, size - 1, 0);
        expect_hole(disk, SEGMENT_1, end, 40, 0);
        disk_flip_bit(disk, SEGMENT_1, size - 1, 0);
    }
    uint64_t zeroed = 0, lost = 0;
    while (starts[zeroed + 1] <= DISK_SECTOR_BYTES) zeroed++;
    while (starts[zeroed + lost] < (uint64_t)2 * DISK_SECTOR_BYTES && zeroed + lost < count) lost++;
    disk_zero_sector(disk, SEGMENT_1, 1);
    expect_hole(disk, SEGMENT_1, starts[zeroed], 40, lost);
    disk_free(disk);
}

static void test_several_holes_are_told_one_by_one(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 40);
    uint64_t starts[40];
    uint32_t count = find_blocks(disk, SEGMENT_1, starts, 39), holes = 0;
    for (uint32_t i = 0; i + 1 < count; i += 2, holes++) disk_flip_bit(disk, SEGMENT_1, starts[i] + 42, 1);
    assert_true(holes >= 2);
    struct world w = { .disk = disk };
    assert_ok(world_open(&w));
    assert_int_equal(w.recovered, 40);
    assert_int_equal(w.lost, holes);
    assert_int_equal(w.report.holes, holes);
    for (uint32_t i = 0; i < holes; i++) {
        assert_int_equal(w.report.hole[i].offset, starts[2 * i]);
        assert_int_equal(w.report.hole[i].bytes, starts[2 * i + 1] - starts[2 * i]);
    }
    world_close(&w);
    disk_free(disk);
}

static void test_missing_segment_is_a_hole_where_its_blocks_should_follow(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 40);
    uint64_t starts[40];
    uint32_t second = find_blocks(disk, SEGMENT_2, starts, 39), count = find_blocks(disk, SEGMENT_1, starts, 39);
    struct disk *without_first = disk_clone(disk, 1);
    disk_delete(disk, SEGMENT_2);
    expect_hole(disk, SEGMENT_1, starts[count], 40, second);
    disk_delete(without_first, SEGMENT_1);
    expect_hole(without_first, SEGMENT_2, 0, 40, count);
    disk_free(without_first);
    disk_free(disk);
}

/* The power goes out during the nth operation of the opening, and of the one after it: what comes after that is always
 * the same, and a torn tail stays a torn tail. */
static void test_power_cut_at_any_operation_of_an_opening_with_a_hole_changes_nothing(void **state)
{
    (void)state;
    uint64_t opened = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world first = { .disk = disk_new(seed, 0) };
        disk_cut_at(first.disk, 45 + seed);
        assert_ok(world_open(&first));
        assert_err(world_run(&first, 300, 4), ERR_IO);
        uint64_t synced = first.synced, appended = first.appended;
        world_close(&first);
        disk_restart(first.disk);
        uint64_t starts[40];
        uint32_t count = find_blocks(first.disk, SEGMENT_1, starts, 39);
        disk_flip_bit(first.disk, SEGMENT_1, starts[count / 2], 3);
        for (uint64_t nth = 1; nth <= 8; nth++) {
            struct world w = { .disk = disk_clone(first.disk, 100 * seed + nth) };
            for (int round = 0; round < 2; round++) {
                disk_cut_at(w.disk, nth);
                opened += world_open(&w) == ERR_OK;
                assert_false(w.was_strange);
                world_close(&w);
                disk_restart(w.disk);
            }
            assert_ok(world_open(&w));
            assert_false(w.was_strange);
            assert_in_range(w.recovered, synced, appended);
            assert_int_equal(w.lost, 1);
            assert_int_equal(w.report.holes, 1);
            uint64_t shown = w.recovered;
            assert_ok(world_run(&w, 30, 1));
            world_close(&w);
            disk_restart(w.disk);
            assert_ok(world_open(&w));
            assert_int_equal(w.recovered, shown + 30);
            assert_int_equal(w.lost, 1);
            assert_int_equal(w.report.holes, 1);
            assert_int_equal(w.report.torn_bytes, 0);
            world_close(&w);
            disk_free(w.disk);
        }
        disk_free(first.disk);
    }
    assert_true(opened > 10);
}

static void test_journal_with_a_hole_opens_on_a_full_disk(void **state)
{
    (void)state;
    struct world w = { .disk = world_disk(1, 40) };
    uint64_t starts[40];
    (void)find_blocks(w.disk, SEGMENT_1, starts, 39);
    disk_flip_bit(w.disk, SEGMENT_1, starts[1], 3);
    disk_set_capacity(w.disk, 1);
    for (int round = 0; round < 3; round++) {
        assert_ok(world_open(&w));
        assert_true(journal_is_full(w.journal));
        assert_int_equal(w.recovered, 40);
        assert_int_equal(w.lost, 1);
        world_close(&w);
        disk_restart(w.disk);
    }
    disk_set_capacity(w.disk, 0);
    assert_ok(world_open(&w));
    assert_ok(world_run(&w, 30, 1));
    world_close(&w);
    disk_restart(w.disk);
    assert_ok(world_open(&w));
    assert_int_equal(w.recovered, 70);
    assert_int_equal(w.lost, 1);
    world_close(&w);
    disk_free(w.disk);
}

static void test_segment_of_another_journal_or_place_is_refused(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 20);
    struct bytes second = disk_content(disk, SEGMENT_2);
    struct disk *moved = disk_clone(disk, 1);
    disk_put(moved, SEGMENT_1, second);
    expect_refusal(moved, SEGMENT_1, ERR_CORRUPT);
    disk_free(moved);

    struct journal_options options = world_options(disk_new(2, 0));
    options.id.bytes[0] = 'b';
    struct world other = { .disk = options.storage.disk };
    assert_ok(journal_open(&options, world_sink, &other, &other.journal, &other.report));
    assert_ok(world_run(&other, 20, 1));
    world_close(&other);
    disk_put(other.disk, SEGMENT_2, second);
    expect_refusal(other.disk, SEGMENT_2, ERR_CORRUPT);
    disk_free(other.disk);
    disk_free(disk);
}

static void test_journal_of_a_later_version_is_left_alone(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 3);
    struct bytes old = disk_content(disk, SEGMENT_1);
    uint8_t *newer = malloc(old.len);
    assert_non_null(newer);
    memcpy(newer, old.ptr, old.len);
    newer[8] = JOURNAL_VERSION + 1;
    uint64_t sum = XXH3_64bits_withSeed(newer, 64, SEGMENT_MAGIC);
    memcpy(newer + 64, &sum, sizeof sum);
    disk_put(disk, SEGMENT_1, bytes_of(newer, old.len));
    free(newer);
    expect_refusal(disk, SEGMENT_1, ERR_NEWER);
    disk_free(disk);
}

/* A crash never makes a segment shorter, so that something was lost is certain, even if no mark says what. */
static void test_last_segment_cut_off_anywhere_gives_a_prefix_and_a_hole(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 6);
    struct world w = { .disk = disk };
    assert_true(disk_has(disk, SEGMENT_1) && !disk_has(disk, SEGMENT_2));
    uint64_t segment = 0;
    world_expect(&w, 6, 6);
    assert_ok(journal_rotate(w.journal, &segment));
    assert_int_equal(segment, 3);
    for (int i = 0; i < 6; i++) {
        assert_ok(world_append(&w));
        assert_ok(world_write(&w)); /* with marks that promise nothing: there is no sync between them */
    }
    assert_ok(world_sync(&w));
    world_close(&w);
    uint64_t starts[12];
    uint32_t count = find_blocks(disk, SEGMENT_3, starts, 11);
    assert_int_equal(count, 6);
    for (uint64_t len = 0; len <= starts[count]; len++) {
        struct world cut = { .disk = disk_clone(disk, len) };
        disk_truncate(cut.disk, SEGMENT_3, len);
        uint64_t whole = 0;
        while (whole < count && starts[whole + 1] <= len) whole++;
        expect_hole(cut.disk, SEGMENT_3, len < SEGMENT_HEAD_BYTES ? 0 : starts[whole], 6 + whole, 0);
        disk_free(cut.disk);
    }
    disk_free(disk);
}

/* --- Blocks in flight --- */

/* Three blocks; zeroes the second, and says what a recovery makes of it. */
static void lose_the_second(uint64_t syncs, uint64_t recovered, uint64_t lost)
{
    struct world w = { .disk = disk_new(1, 0) };
    assert_ok(world_open(&w));
    for (uint64_t i = 1; i <= 3; i++) {
        assert_ok(world_append(&w));
        assert_ok(world_write(&w));
        if (i <= syncs) assert_ok(world_sync(&w));
    }
    world_close(&w);
    disk_kill(w.disk);
    uint64_t starts[8];
    assert_int_equal(find_blocks(w.disk, SEGMENT_1, starts, 7), 3);
    struct bytes file = disk_content(w.disk, SEGMENT_1);
    uint8_t *bytes = malloc(file.len);
    assert_non_null(bytes);
    memcpy(bytes, file.ptr, file.len);
    memset(bytes + starts[1], 0, starts[2] - starts[1]);
    disk_put(w.disk, SEGMENT_1, bytes_of(bytes, file.len));
    free(bytes);
    assert_ok(world_open(&w));
    assert_false(w.was_strange);
    assert_int_equal(w.recovered, recovered);
    assert_int_equal(w.lost, lost);
    world_close(&w);
    disk_free(w.disk);
}

static void test_block_lost_in_flight_is_a_torn_tail_and_a_synced_one_is_a_hole(void **state)
{
    (void)state;
    lose_the_second(0, 1, 0);
    lose_the_second(1, 1, 0);
    lose_the_second(2, 3, 1);
}

/* A rotation, and then a record that does not fit: the empty segment in between has nothing but a head, which must be
 * on disk before the next one gets its name. */
static void test_empty_segment_that_was_passed_over_keeps_its_head(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w = { .disk = world_disk(seed, 20) };
        uint64_t segment;
        assert_ok(world_open(&w));
        assert_ok(world_run(&w, 2, 1));
        assert_ok(journal_rotate(w.journal, &segment));
        assert_ok(world_append(&w)); /* the 23rd: larger than a segment */
        assert_ok(world_write(&w));
        assert_ok(world_sync(&w));
        world_close(&w);
        disk_restart(w.disk);
        world_expect(&w, w.synced, w.appended);
        world_close(&w);
        disk_free(w.disk);
    }
}

static void test_sync_elsewhere_while_the_journal_rotates(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(3, 0) };
    struct storage storage = disk_storage(w.disk);
    struct journal_sync sync;
    assert_ok(world_open(&w));
    assert_false(journal_sync_begin(w.journal, &sync));
    for (int round = 0; round < 5; round++) {
        assert_ok(world_run(&w, 1, 0));
        assert_true(journal_sync_begin(w.journal, &sync));
        assert_ok(world_run(&w, 30, 0)); /* several segments on */
        assert_ok(storage.ops->sync(sync.file));
        journal_sync_end(w.journal, &sync);
    }
    assert_true(journal_sync_begin(w.journal, &sync));
    assert_int_equal(sync.block, w.written);
    assert_ok(storage.ops->sync(sync.file));
    journal_sync_end(w.journal, &sync);
    assert_false(journal_sync_begin(w.journal, &sync));
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, 155, 155);
    world_close(&w);
    disk_free(w.disk);
}

/* --- A full disk --- */

static void test_full_disk_takes_what_fits_and_goes_on_when_there_is_room(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(1, 8 * (uint64_t)WORLD_SEGMENT_BYTES) };
    assert_ok(world_open(&w));
    enum err err = ERR_OK;
    while (err == ERR_OK) err = world_run(&w, 1, 1);
    assert_err(err, ERR_FULL);
    assert_true(journal_is_full(w.journal));
    assert_err(journal_reserve(w.journal), ERR_FULL);
    assert_err(world_write(&w), ERR_FULL);
    assert_int_equal(w.appended, w.written + 1);

    disk_set_capacity(w.disk, 16 * (uint64_t)WORLD_SEGMENT_BYTES);
    assert_ok(journal_reserve(w.journal));
    assert_false(journal_is_full(w.journal));
    assert_ok(world_write(&w));
    assert_ok(world_sync(&w));
    uint64_t written = w.written;
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, written, written);
    world_close(&w);
    disk_free(w.disk);
}

/* Not even the spare is there: with nothing to copy to, the last segment is made good where it is. */
static void open_full_disk(uint64_t seed, uint64_t cut_at)
{
    struct world w = { .disk = disk_new(seed, 5 * (uint64_t)WORLD_SEGMENT_BYTES) };
    assert_ok(world_open(&w));
    enum err err = ERR_OK;
    while (err == ERR_OK) err = world_run(&w, 1, seed % 3 + 1);
    assert_err(err, ERR_FULL);
    uint64_t synced = w.synced, written = w.written;
    disk_fail_sync(w.disk);
    err = world_sync(&w); /* if there is something to sync, only the cache has it now */
    assert_true(err == ERR_OK || err == ERR_IO);
    world_close(&w);
    disk_kill(w.disk);

    disk_cut_at(w.disk, cut_at);
    if (world_open(&w) != ERR_OK) {
        world_close(&w);
        disk_restart(w.disk);
        world_expect(&w, synced, written);
    } else {
        assert_int_equal(w.recovered, written);
    }
    assert_false(w.was_strange);
    uint64_t shown = w.recovered;
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, shown, shown);
    disk_set_capacity(w.disk, 0);
    assert_ok(journal_reserve(w.journal));
    assert_ok(world_run(&w, 20, 1));
    world_close(&w);
    disk_restart(w.disk);
    world_expect(&w, shown + 20, shown + 20);
    world_close(&w);
    disk_free(w.disk);
}

static void test_journal_opens_on_a_full_disk(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        for (uint64_t cut_at = 0; cut_at <= 4; cut_at++) open_full_disk(seed, cut_at);
    }
}

/* The same after a power cut, which leaves torn tails and a segment without a head, on a disk that is now full. */
static void test_torn_tail_is_cut_in_place_on_a_full_disk(void **state)
{
    (void)state;
    uint64_t operations = operations_of_run(4), torn = 0;
    for (uint64_t nth = 8; nth <= operations; nth++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct world w = { .disk = disk_new(seed, 0) };
            disk_cut_at(w.disk, nth);
            assert_ok(world_open(&w));
            assert_err(world_run(&w, 40, 4), ERR_IO);
            uint64_t synced = w.synced, appended = w.appended;
            world_close(&w);
            disk_restart(w.disk);
            disk_set_capacity(w.disk, 1);
            world_expect(&w, synced, appended);
            uint64_t shown = w.recovered;
            torn += w.report.torn_bytes > 0;
            world_close(&w);
            disk_restart(w.disk);
            world_expect(&w, shown, shown);
            assert_int_equal(w.report.torn_bytes, 0);
            disk_set_capacity(w.disk, 0);
            assert_ok(world_run(&w, 20, 1));
            world_close(&w);
            world_expect(&w, shown + 20, shown + 20);
            world_close(&w);
            disk_free(w.disk);
        }
    }
    assert_true(torn > 10);
}

static void test_files_of_others_are_left_alone(void **state)
{
    (void)state;
    struct world w = { .disk = world_disk(1, 20) };
    static const char *const names[] = { "lock", "journal-1", "journal-000000000000000A", "snapshot-", "spare" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) disk_put(w.disk, names[i], bytes_of_text("theirs"));
    world_expect(&w, 20, 20);
    world_close(&w);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_true(disk_has(w.disk, names[i]));
    disk_free(w.disk);
}

static void test_record_too_large_for_the_spare_waits_for_room(void **state)
{
    (void)state;
    struct world w = { .disk = disk_new(1, 6 * (uint64_t)WORLD_SEGMENT_BYTES) };
    assert_ok(world_open(&w));
    static uint8_t large[8 * WORLD_SEGMENT_BYTES];
    assert_ok(journal_append(w.journal, 1, bytes_of(large, sizeof large)));
    assert_err(journal_write(w.journal), ERR_FULL);
    assert_true(journal_is_full(w.journal));
    disk_set_capacity(w.disk, 0);
    assert_ok(journal_reserve(w.journal));
    assert_false(journal_is_full(w.journal));
    assert_ok(journal_write(w.journal));
    assert_false(journal_is_full(w.journal));
    world_close(&w);
    assert_ok(world_open(&w));
    assert_int_equal(w.recovered, 1);
    assert_int_equal(w.report.bytes, sizeof large);
    world_close(&w);
    disk_free(w.disk);
}

/* --- Memory, and nowhere --- */

static enum err open_and_run(void *context)
{
    const struct disk *image = context;
    struct world w = { .disk = disk_clone(image, 1) };
    uint64_t digest = disk_digest(w.disk);
    enum err err = world_open(&w);
    if (err != ERR_OK) assert_true(disk_digest(w.disk) == digest);
    if (err == ERR_OK) err = world_run(&w, 60, 2);
    bool was_out_of_memory = err == ERR_NOMEM;
    if (was_out_of_memory && w.journal) assert_ok(world_run(&w, 5, 1)); /* as good as before */
    uint64_t appended = w.appended;
    world_close(&w);
    if (err == ERR_OK) {
        err = world_open(&w);
        if (err == ERR_OK) assert_int_equal(w.recovered, appended);
        world_close(&w);
    }
    disk_free(w.disk);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 20);
    assert_true(each_allocation_fails(open_and_run, disk) > 10);
    disk_free(disk);
}

static void test_nowhere_takes_everything_and_keeps_nothing(void **state)
{
    (void)state;
    struct journal_options options = { .storage = nowhere_storage() };
    options.id.bytes[0] = 1;
    static uint8_t record[1u << 20];
    for (int round = 0; round < 2; round++) {
        struct world w = { 0 };
        assert_ok(journal_open(&options, world_sink, &w, &w.journal, &w.report));
        assert_true(w.report.fresh);
        assert_int_equal(w.recovered, 0);
        for (int i = 0; i < 30; i++) {
            assert_ok(journal_append(w.journal, 1, bytes_of(record, sizeof record)));
            assert_ok(journal_write(w.journal));
        }
        assert_ok(journal_sync(w.journal));
        assert_false(journal_is_full(w.journal));
        assert_true(journal_bytes(w.journal) > 30u << 20);
        world_close(&w);
    }
}

static enum err sink_that_refuses(void *context, uint8_t kind, struct bytes record)
{
    (void)kind, (void)record;
    int *left = context;
    return (*left)-- > 0 ? ERR_OK : ERR_INVALID;
}

static void test_sink_that_refuses_a_record_ends_the_recovery(void **state)
{
    (void)state;
    struct disk *disk = world_disk(1, 20);
    uint64_t digest = disk_digest(disk);
    struct journal_options options = world_options(disk);
    struct journal *journal = NULL;
    struct journal_report report;
    int left = 7;
    assert_err(journal_open(&options, sink_that_refuses, &left, &journal, &report), ERR_INVALID);
    assert_null(journal);
    assert_true(disk_digest(disk) == digest);
    disk_free(disk);
}

static void test_restored_image_of_the_disk_opens_as_it_was(void **state)
{
    (void)state;
    struct world w = { .disk = world_disk(1, 20) };
    struct disk *image = disk_clone(w.disk, 2);
    world_expect(&w, 20, 20);
    assert_ok(world_run(&w, 20, 1));
    disk_restore(w.disk, image);
    assert_err(world_run(&w, 1, 1), ERR_IO); /* the device went away under the process */
    world_close(&w);
    world_expect(&w, 20, 20);
    world_close(&w);
    disk_free(image);
    disk_free(w.disk);
}

/* --- Bytes --- */

/* The example of docs/FORMATS.md, byte for byte. */
/* clang-format off */
static const uint8_t example[] = {
    0x51, 0x55, 0x49, 0x50, 0x55, 0x4a, 0x4e, 0x4c, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xd2, 0xab, 0xe3, 0x44, 0x6a, 0x2d, 0x2c, 0x56, 0x0d, 0xaa, 0x97, 0xaf, 0x21, 0x3a, 0xb6, 0xcd,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x2e, 0x48, 0xdb, 0x6f, 0x87, 0x68, 0x34, 0xc9, 0x05, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x71, 0x75, 0x69, 0x70, 0x75, 0xea, 0x3e, 0x76, 0x6c, 0x6a, 0xf1, 0x54, 0x66, 0x02, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc2, 0x94, 0xd3,
    0x38, 0x05, 0x80, 0x06, 0x2d, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
};
/* clang-format on */

static void test_first_segment_has_the_bytes_of_the_documentation(void **state)
{
    (void)state;
    struct disk *disk = disk_new(1, 0);
    struct journal_options options = { .storage = disk_storage(disk), .segment_bytes = 4096 };
    for (uint8_t i = 0; i < 16; i++) options.id.bytes[i] = i;
    struct world w = { .disk = disk };
    assert_ok(journal_open(&options, world_sink, &w, &w.journal, &w.report));
    assert_ok(journal_append(w.journal, 1, bytes_of_text("quipu")));
    assert_ok(journal_write(w.journal));
    assert_ok(journal_sync(w.journal));
    assert_ok(journal_append(w.journal, 2, bytes_of(NULL, 0)));
    assert_ok(journal_write(w.journal));
    struct bytes file = disk_content(disk, SEGMENT_1);
    assert_int_equal(file.len, 4096);
    assert_memory_equal(file.ptr, example, sizeof example);
    for (size_t i = sizeof example; i < file.len; i++) assert_int_equal(file.ptr[i], 0);
    world_close(&w);
    disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_directory_becomes_an_empty_journal),
        cmocka_unit_test(test_records_come_back_in_order),
        cmocka_unit_test(test_empty_and_large_records_are_records),
        cmocka_unit_test(test_power_cut_at_any_operation_keeps_all_that_was_synced),
        cmocka_unit_test(test_error_at_any_operation_keeps_all_that_was_written),
        cmocka_unit_test(test_full_at_any_operation_loses_nothing_and_goes_on),
        cmocka_unit_test(test_failed_sync_is_made_good_by_the_recovery),
        cmocka_unit_test(test_flipped_bit_before_a_synced_mark_costs_that_block),
        cmocka_unit_test(test_flipped_bit_in_the_last_block_is_a_torn_tail),
        cmocka_unit_test(test_what_a_recovery_has_synced_is_promised_to_the_last_byte),
        cmocka_unit_test(test_any_damage_in_a_segment_behind_which_there_is_another_is_a_hole),
        cmocka_unit_test(test_missing_segment_is_a_hole_where_its_blocks_should_follow),
        cmocka_unit_test(test_segment_of_another_journal_or_place_is_refused),
        cmocka_unit_test(test_several_holes_are_told_one_by_one),
        cmocka_unit_test(test_power_cut_at_any_operation_of_an_opening_with_a_hole_changes_nothing),
        cmocka_unit_test(test_journal_with_a_hole_opens_on_a_full_disk),
        cmocka_unit_test(test_journal_of_a_later_version_is_left_alone),
        cmocka_unit_test(test_empty_segment_that_was_passed_over_keeps_its_head),
        cmocka_unit_test(test_last_segment_cut_off_anywhere_gives_a_prefix_and_a_hole),
        cmocka_unit_test(test_block_lost_in_flight_is_a_torn_tail_and_a_synced_one_is_a_hole),
        cmocka_unit_test(test_sync_elsewhere_while_the_journal_rotates),
        cmocka_unit_test(test_full_disk_takes_what_fits_and_goes_on_when_there_is_room),
        cmocka_unit_test(test_journal_opens_on_a_full_disk),
        cmocka_unit_test(test_torn_tail_is_cut_in_place_on_a_full_disk),
        cmocka_unit_test(test_files_of_others_are_left_alone),
        cmocka_unit_test(test_record_too_large_for_the_spare_waits_for_room),
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_nowhere_takes_everything_and_keeps_nothing),
        cmocka_unit_test(test_sink_that_refuses_a_record_ends_the_recovery),
        cmocka_unit_test(test_restored_image_of_the_disk_opens_as_it_was),
        cmocka_unit_test(test_first_segment_has_the_bytes_of_the_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
