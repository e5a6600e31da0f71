/* SPDX-License-Identifier: Apache-2.0 */
/* A node in small: a keyspace, commits into a journal, and snapshots beside them. Counters only grow, so after a crash
 * each must be between what was synced and what was added. */
#include "testing.h"

#include "count/block.h"
#include "count/keyspace_replica.h"
#include "count/replicas.h"
#include "journal/journal.h"
#include "journal/segment.h"
#include "sim/disk.h"

#include <stdio.h>

#define COUNTERS 60u
#define SEGMENT_BYTES 4096u
#define STEP_CELLS 5u

enum { KIND_COMMIT = 1, KIND_ENTRIES = 2, KIND_META = 3 };

struct node {
    struct disk *disk;
    struct replicas *replicas;
    struct keyspace *keyspace;
    struct journal *journal;
    struct journal_report report;
    struct batch batch;
    struct buffer block;
    uint32_t own;
    uint32_t segment_bytes, counters;
    uint64_t commit, seq_next;
    uint64_t metas; /* recovered */
    int64_t added[COUNTERS], synced[COUNTERS];
};

static struct bytes counter_name(uint32_t counter, char into[32])
{
    return bytes_of(into, (size_t)snprintf(into, 32, "counter %u", counter));
}

static enum err node_join_block(struct node *n, struct bytes record)
{
    struct block_reader r;
    enum err err = block_open(&r, record);
    while (err == ERR_OK) {
        struct bytes name;
        struct entry entry;
        err = block_next(&r, n->replicas, &name, &entry);
        if (err != ERR_OK) break;
        cell_ref cell;
        if (entry.seq >= n->seq_next) n->seq_next = entry.seq + 1;
        err = keyspace_join(n->keyspace, n->own, keyspace_hash(n->keyspace, name), name, &entry, &cell);
        if (err != ERR_OK) extras_free(entry.extras);
    }
    return err == ERR_STALE ? ERR_OK : err;
}

static enum err node_sink(void *context, uint8_t kind, struct bytes record)
{
    struct node *n = context;
    if (kind == JOURNAL_HOLE) return ERR_OK;
    if (kind != KIND_META) return node_join_block(n, record);
    assert_true(bytes_equal(record, bytes_of_text("about the node")));
    n->metas++;
    return ERR_OK;
}

/* Starts on what the disk holds. What is added and synced stays as it was: it is the oracle. */
static enum err node_start(struct node *n)
{
    struct id128 id = { { 7 } };
    n->commit = n->seq_next = 1;
    n->metas = 0;
    enum err err = replicas_new(&n->replicas);
    if (err == ERR_OK) err = replicas_intern(n->replicas, &id, &n->own);
    struct keyspace_options keys = { .shards = 2, .hash_seed = 3, .replicas = n->replicas };
    if (err == ERR_OK) err = keyspace_new(&keys, &n->keyspace);
    if (err != ERR_OK) return err;
    keyspace_set_own(n->keyspace, n->own);
    struct journal_options options = { .storage = disk_storage(n->disk), .id = id, .segment_bytes = n->segment_bytes };
    return journal_open(&options, node_sink, n, &n->journal, &n->report);
}

static void node_stop(struct node *n)
{
    journal_close(n->journal);
    keyspace_free(n->keyspace);
    replicas_free(n->replicas);
    batch_release(&n->batch);
    buffer_release(&n->block);
    n->journal = NULL;
    n->keyspace = NULL;
    n->replicas = NULL;
}

static struct node node_new(struct disk *disk)
{
    return (struct node){ .disk = disk, .segment_bytes = SEGMENT_BYTES, .counters = COUNTERS };
}

static enum err node_add(struct node *n, uint32_t counter, int64_t delta)
{
    char text[32];
    struct bytes name = counter_name(counter, text);
    struct seen seen;
    enum err err = keyspace_add(n->keyspace, keyspace_hash(n->keyspace, name), name, delta, &seen);
    if (err == ERR_OK && counter < COUNTERS) n->added[counter] += delta;
    return err;
}

static enum err node_write_retried(struct node *n)
{
    enum err err = journal_write(n->journal);
    return err == ERR_FULL ? journal_write(n->journal) : err; /* a fault that was asked for comes once */
}

static enum err node_commit(struct node *n)
{
    struct block_head head = { .kind = BLOCK_DELTA, .replica = *replicas_id(n->replicas, n->own), .nonce = 1 };
    head.from = n->seq_next - 1;
    struct block_writer writer;
    buffer_clear(&n->block);
    n->batch.count = 0;
    block_begin(&writer, &n->block, &head);
    enum err err = keyspace_take(n->keyspace, n->commit, n->seq_next, &n->batch, &writer);
    if (err != ERR_OK) return err;
    block_end(&writer, head.from + n->batch.count);
    err = journal_append(n->journal, KIND_COMMIT, buffer_view(&n->block));
    if (err == ERR_OK) err = node_write_retried(n);
    if (err == ERR_OK) err = journal_sync(n->journal);
    if (err == ERR_FULL) err = journal_sync(n->journal);
    if (err != ERR_OK) return err;
    keyspace_publish(n->keyspace, &n->batch);
    n->commit++;
    n->seq_next += n->batch.count;
    memcpy(n->synced, n->added, sizeof n->synced);
    return ERR_OK;
}

static enum err node_count(struct node *n, uint32_t adds)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < adds; i++) {
        err = node_add(n, (uint32_t)(n->commit * 13 + i * 7) % n->counters, (int64_t)i + 1);
    }
    return err == ERR_OK ? node_commit(n) : err;
}

static enum err snapshot_start(struct node *n, struct snapshot **ret_snapshot)
{
    struct snapshot_options options = {
        .journal = n->journal, .keyspace = n->keyspace, .replicas = n->replicas, .entries_kind = KIND_ENTRIES
    };
    enum err err = journal_rotate(n->journal, &options.segment);
    if (err == ERR_OK) err = snapshot_begin(&options, ret_snapshot);
    return err;
}

/* A snapshot with commits between all of its steps. */
static enum err node_snapshot(struct node *n)
{
    struct snapshot *s = NULL;
    enum err err = snapshot_start(n, &s);
    if (err != ERR_OK) return err;
    err = snapshot_append(s, KIND_META, bytes_of_text("about the node"));
    bool done = false;
    while (err == ERR_OK && !done) {
        enum err counted = node_count(n, 9);
        err = counted == ERR_OK ? snapshot_step(s, STEP_CELLS, &done) : counted;
    }
    if (err == ERR_OK) err = journal_sync(n->journal);
    if (err == ERR_OK) err = snapshot_finish(s);
    snapshot_free(s);
    return err;
}

static int64_t node_value(struct node *n, uint32_t counter)
{
    char text[32];
    struct bytes name = counter_name(counter, text);
    struct seen seen;
    keyspace_get(n->keyspace, keyspace_hash(n->keyspace, name), name, &seen);
    return seen.value;
}

/* Starts again and compares; what is there now is the new truth. */
static void node_expect_all_synced(struct node *n)
{
    assert_ok(node_start(n));
    for (uint32_t i = 0; i < COUNTERS; i++) {
        int64_t value = node_value(n, i);
        assert_true(value >= n->synced[i] && value <= n->added[i]);
        n->added[i] = n->synced[i] = value;
    }
}

static void expect_no_work_in_progress(const struct disk *disk)
{
    assert_false(disk_has(disk, "snapshot.tmp"));
    assert_false(disk_has(disk, "journal.tmp"));
}

static void test_snapshot_replaces_what_came_before_it(void **state)
{
    (void)state;
    struct node n = node_new(disk_new(1, 0));
    assert_ok(node_start(&n));
    for (int i = 0; i < 100; i++) assert_ok(node_count(&n, 20));
    uint64_t bytes = journal_bytes(n.journal), used = disk_used(n.disk);
    assert_int_equal(journal_snapshot_bytes(n.journal), 0);
    assert_ok(node_snapshot(&n));
    assert_true(journal_bytes(n.journal) < bytes / 2);
    assert_true(journal_snapshot_bytes(n.journal) > COUNTERS * 10);
    assert_true(disk_used(n.disk) < used / 2);
    assert_false(disk_has(n.disk, "journal-0000000000000001"));
    node_stop(&n);
    disk_restart(n.disk);
    node_expect_all_synced(&n);
    assert_true(n.report.snapshot > 1);
    assert_int_equal(n.metas, 1);
    assert_true(journal_snapshot_bytes(n.journal) > COUNTERS * 10);
    assert_ok(node_snapshot(&n)); /* and the next one replaces this one */
    node_stop(&n);
    node_expect_all_synced(&n);
    assert_int_equal(n.metas, 1);
    expect_no_work_in_progress(n.disk);
    node_stop(&n);
    disk_free(n.disk);
}

static void test_snapshot_may_follow_a_snapshot_with_nothing_between(void **state)
{
    (void)state;
    struct node n = node_new(disk_new(1, 0));
    assert_ok(node_start(&n));
    for (int i = 0; i < 3; i++) {
        struct snapshot *s = NULL;
        bool done = false;
        assert_ok(snapshot_start(&n, &s));
        while (!done) assert_ok(snapshot_step(s, STEP_CELLS, &done));
        assert_ok(journal_sync(n.journal));
        assert_ok(snapshot_finish(s));
        snapshot_free(s);
        uint64_t snapshot_before = n.report.snapshot;
        node_stop(&n);
        node_expect_all_synced(&n);
        assert_true(n.report.snapshot > snapshot_before);
    }
    node_stop(&n);
    disk_free(n.disk);
}

/* Given up after each number of steps: the journal is as if nothing had been tried. */
static void test_snapshot_given_up_at_any_step_changes_nothing(void **state)
{
    (void)state;
    for (uint32_t steps = 0; steps <= COUNTERS / STEP_CELLS + 1; steps++) {
        struct node n = node_new(disk_new(steps, 0));
        assert_ok(node_start(&n));
        for (int i = 0; i < 10; i++) assert_ok(node_count(&n, 20));
        struct snapshot *s = NULL;
        assert_ok(snapshot_start(&n, &s));
        uint64_t bytes = journal_bytes(n.journal);
        bool done = false;
        for (uint32_t i = 0; i < steps && !done; i++) assert_ok(snapshot_step(s, STEP_CELLS, &done));
        snapshot_free(s);
        assert_int_equal(journal_bytes(n.journal), bytes);
        assert_int_equal(journal_snapshot_bytes(n.journal), 0);
        expect_no_work_in_progress(n.disk);
        assert_ok(node_count(&n, 5));
        node_stop(&n);
        disk_restart(n.disk);
        node_expect_all_synced(&n);
        assert_int_equal(n.report.snapshot, 0);
        assert_ok(node_snapshot(&n));
        node_stop(&n);
        disk_free(n.disk);
    }
}

/* Counts, takes two snapshots under way, counts. */
static enum err node_story(struct node *n)
{
    enum err err = node_start(n);
    for (int i = 0; err == ERR_OK && i < 4; i++) err = node_count(n, 40);
    if (err == ERR_OK) err = node_snapshot(n);
    for (int i = 0; err == ERR_OK && i < 4; i++) err = node_count(n, 40);
    if (err == ERR_OK) err = node_snapshot(n);
    return err == ERR_OK ? node_count(n, 10) : err;
}

static uint64_t operations_of_story(void)
{
    struct node n = node_new(disk_new(1, 0));
    assert_ok(node_story(&n));
    uint64_t operations = disk_operations(n.disk);
    node_stop(&n);
    disk_free(n.disk);
    return operations;
}

static void test_power_cut_at_any_operation_of_a_snapshot_loses_nothing_synced(void **state)
{
    (void)state;
    uint64_t operations = operations_of_story();
    for (uint64_t nth = 1; nth <= operations; nth++) {
        for (uint64_t seed = 0; seed < 6; seed++) {
            struct node n = node_new(disk_new(nth * 6 + seed, 0));
            disk_cut_at(n.disk, nth);
            assert_err(node_story(&n), ERR_IO);
            node_stop(&n);
            disk_restart(n.disk);
            node_expect_all_synced(&n);
            expect_no_work_in_progress(n.disk);
            assert_ok(node_snapshot(&n));
            node_stop(&n);
            disk_restart(n.disk);
            node_expect_all_synced(&n);
            node_stop(&n);
            disk_free(n.disk);
        }
    }
}

/* A snapshot that has its name stands, also when what it replaces cannot be removed: the next one needs a segment of
 * its own. */
static void test_error_after_a_snapshot_has_its_name_is_none_of_the_snapshot(void **state)
{
    (void)state;
    uint64_t stood = 0;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct node n = node_new(disk_new(nth, 0));
        assert_ok(node_start(&n));
        for (int i = 0; i < 4; i++) assert_ok(node_count(&n, 40));
        assert_ok(node_snapshot(&n));
        assert_ok(node_count(&n, 40));
        uint64_t before = disk_operations(n.disk);
        disk_fail_at(n.disk, nth, ERR_IO);
        enum err err = node_snapshot(&n);
        has_failed = disk_operations(n.disk) - before >= nth;
        disk_fail_at(n.disk, 0, ERR_OK);
        if (has_failed && err == ERR_OK) {
            stood++;
            assert_ok(node_count(&n, 40));
            assert_ok(node_snapshot(&n));
        }
        node_stop(&n);
        disk_free(n.disk);
    }
    assert_true(stood > 0);
}

/* ERR_FULL of any operation is survived by the running node: at most a snapshot is given up. */
static void test_full_at_any_operation_of_a_snapshot_harms_only_the_snapshot(void **state)
{
    (void)state;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct node n = node_new(disk_new(nth, 0));
        assert_ok(node_start(&n));
        for (int i = 0; i < 4; i++) assert_ok(node_count(&n, 40));
        assert_ok(node_snapshot(&n));
        uint64_t before = disk_operations(n.disk);
        disk_fail_at(n.disk, nth, ERR_FULL);
        enum err err = node_snapshot(&n);
        assert_true(err == ERR_OK || err == ERR_FULL);
        has_failed = disk_operations(n.disk) - before >= nth;
        assert_true(has_failed || nth > 30);
        disk_fail_at(n.disk, 0, ERR_OK);
        assert_ok(node_count(&n, 40));
        assert_ok(node_snapshot(&n));
        assert_true(disk_used(n.disk) < 8 * SEGMENT_BYTES); /* what could not be removed then is gone now */
        assert_ok(node_count(&n, 40));
        node_stop(&n);
        disk_restart(n.disk);
        node_expect_all_synced(&n);
        expect_no_work_in_progress(n.disk);
        node_stop(&n);
        disk_free(n.disk);
    }
}

static void test_snapshot_that_finds_the_disk_full_is_given_up(void **state)
{
    (void)state;
    struct node n = node_new(disk_new(1, 0));
    assert_ok(node_start(&n));
    for (int i = 0; i < 10; i++) assert_ok(node_count(&n, 40));
    uint64_t segment = 0;
    assert_ok(journal_rotate(n.journal, &segment));
    disk_set_capacity(n.disk, disk_used(n.disk) + 500); /* its first entries fit, and then no more */
    assert_err(node_snapshot(&n), ERR_FULL);
    expect_no_work_in_progress(n.disk);
    disk_set_capacity(n.disk, 0);
    assert_ok(node_snapshot(&n));
    node_stop(&n);
    node_expect_all_synced(&n);
    assert_true(n.report.snapshot > 0);
    node_stop(&n);
    disk_free(n.disk);
}

/* --- Damage --- */

static struct disk *disk_with_snapshot(char ret_snapshot[STORAGE_NAME_MAX])
{
    struct node n = node_new(disk_new(1, 0));
    assert_ok(node_start(&n));
    for (int i = 0; i < 10; i++) assert_ok(node_count(&n, 40));
    assert_ok(node_snapshot(&n));
    struct disk *disk = n.disk;
    node_stop(&n);
    assert_ok(node_start(&n));
    uint64_t snapshot = n.report.snapshot;
    node_stop(&n);
    disk_kill(disk);
    snprintf(ret_snapshot, STORAGE_NAME_MAX, "snapshot-%016llx", (unsigned long long)snapshot);
    return disk;
}

/* The first segment there is. */
static bool find_segment(const struct disk *disk, char ret_segment[STORAGE_NAME_MAX])
{
    for (unsigned long long number = 1; number < 200; number++) {
        snprintf(ret_segment, STORAGE_NAME_MAX, "journal-%016llx", number);
        if (disk_has(disk, ret_segment)) return true;
    }
    return false;
}

/* Starts, shows nothing that never was, and after the next snapshot the damage is history: the file, if there still is
 * one, has another name and the same bytes. Returns how many counters are there. */
static uint32_t expect_hole(const struct disk *disk, const char *file, uint64_t at_most)
{
    char aside[STORAGE_NAME_MAX];
    snprintf(aside, sizeof aside, "damaged-%.40s", file);
    struct node n = node_new(disk_clone(disk, 1));
    assert_ok(node_start(&n));
    assert_true(n.report.holes > 0);
    assert_string_equal(n.report.hole[0].file, file);
    assert_true(n.report.hole[0].offset <= at_most);
    uint32_t there = 0;
    for (uint32_t i = 0; i < COUNTERS; i++) {
        assert_in_range(node_value(&n, i), 0, 10000);
        there += node_value(&n, i) > 0;
    }
    assert_ok(node_snapshot(&n));
    assert_false(disk_has(n.disk, file));
    assert_int_equal(disk_has(n.disk, aside), disk_has(disk, file));
    if (disk_has(disk, file)) assert_true(bytes_equal(disk_content(n.disk, aside), disk_content(disk, file)));
    node_stop(&n);
    assert_ok(node_start(&n));
    assert_int_equal(n.report.holes, 0);
    assert_int_equal(disk_has(n.disk, aside), disk_has(disk, file));
    node_stop(&n);
    disk_free(n.disk);
    return there;
}

static void test_any_flipped_bit_in_a_snapshot_costs_one_block_at_most(void **state)
{
    (void)state;
    char snapshot[STORAGE_NAME_MAX];
    struct disk *disk = disk_with_snapshot(snapshot);
    uint64_t bytes = disk_content(disk, snapshot).len;
    uint32_t seldom = COUNTERS;
    for (uint64_t at = 0; at < bytes; at++) {
        disk_flip_bit(disk, snapshot, at, (unsigned)(at % 8));
        uint32_t there = expect_hole(disk, snapshot, at);
        if (there < seldom) seldom = there;
        if (at < SEGMENT_HEAD_BYTES) assert_int_equal(there, COUNTERS);
        disk_flip_bit(disk, snapshot, at, (unsigned)(at % 8));
    }
    assert_in_range(seldom, 0, COUNTERS - 1);
    struct node n = node_new(disk);
    assert_ok(node_start(&n));
    assert_int_equal(n.report.holes, 0);
    node_stop(&n);
    disk_free(disk);
}

static void test_snapshot_cut_off_or_longer_than_it_says_is_damaged(void **state)
{
    (void)state;
    char snapshot[STORAGE_NAME_MAX];
    struct disk *disk = disk_with_snapshot(snapshot);
    uint64_t bytes = disk_content(disk, snapshot).len;
    struct disk *longer = disk_clone(disk, 1);
    disk_truncate(longer, snapshot, bytes + 1);
    assert_int_equal(expect_hole(longer, snapshot, bytes), COUNTERS);
    disk_free(longer);
    for (uint64_t len = bytes; len-- > 0;) {
        disk_truncate(disk, snapshot, len);
        (void)expect_hole(disk, snapshot, len);
    }
    disk_free(disk);
}

static void test_snapshot_without_the_segments_behind_it_is_damage(void **state)
{
    (void)state;
    char snapshot[STORAGE_NAME_MAX], segment[STORAGE_NAME_MAX];
    struct disk *disk = disk_with_snapshot(snapshot);
    while (find_segment(disk, segment)) disk_delete(disk, segment);
    memcpy(segment, "journal-", 8);
    memcpy(segment + 8, snapshot + 9, 17); /* the one that the snapshot stands before */
    assert_int_equal(expect_hole(disk, segment, 0), COUNTERS);
    disk_free(disk);
}

static void test_journal_without_its_snapshot_is_damaged(void **state)
{
    (void)state;
    char snapshot[STORAGE_NAME_MAX], segment[STORAGE_NAME_MAX];
    struct disk *disk = disk_with_snapshot(snapshot);
    disk_delete(disk, snapshot);
    assert_true(find_segment(disk, segment));
    struct node n = node_new(disk);
    assert_ok(node_start(&n));
    assert_int_equal(n.report.holes, 1);
    assert_string_equal(n.report.hole[0].file, segment);
    assert_int_equal(n.report.hole[0].bytes, 0);
    node_stop(&n);
    disk_free(disk);
}

/* Whatever the operation of the snapshot's end in which the power goes out: the damage is there still, whole, or it is
 * history, and what was sound is there in both cases. */
static void test_power_cut_while_a_snapshot_replaces_damage(void **state)
{
    (void)state;
    char snapshot[STORAGE_NAME_MAX];
    struct disk *disk = disk_with_snapshot(snapshot);
    disk_flip_bit(disk, snapshot, disk_content(disk, snapshot).len / 2, 1);
    struct node whole = node_new(disk_clone(disk, 1));
    assert_ok(node_start(&whole));
    int64_t values[COUNTERS];
    for (uint32_t i = 0; i < COUNTERS; i++) values[i] = node_value(&whole, i);
    node_stop(&whole);
    disk_free(whole.disk);
    uint32_t unrepaired = 0, repaired = 0;
    for (uint64_t nth = 1; nth < 60; nth++) {
        struct node n = node_new(disk_clone(disk, nth));
        assert_ok(node_start(&n));
        disk_cut_at(n.disk, nth);
        enum err err = node_snapshot(&n);
        node_stop(&n);
        disk_restart(n.disk);
        assert_ok(node_start(&n));
        for (uint32_t i = 0; i < COUNTERS; i++) assert_true(node_value(&n, i) >= values[i]);
        unrepaired += n.report.holes > 0;
        repaired += n.report.holes == 0;
        node_stop(&n);
        disk_free(n.disk);
        if (err == ERR_OK) break;
    }
    assert_true(unrepaired > 3);
    assert_true(repaired > 0);
    disk_free(disk);
}

/* --- Memory and room --- */

static enum err story_on_new_disk(void *context)
{
    (void)context;
    struct node n = node_new(disk_new(1, 0));
    n.counters = 10;
    enum err err = node_story(&n);
    node_stop(&n);
    if (err == ERR_OK) err = node_start(&n);
    node_stop(&n);
    disk_free(n.disk);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(story_on_new_disk, NULL) > 50);
}

/* Ten minutes of 1,000 counters that all change ten times a second. */
static void test_directory_stays_small(void **state)
{
    (void)state;
    struct node n = node_new(disk_new(1, 0));
    n.segment_bytes = 0; /* the real size */
    assert_ok(node_start(&n));
    uint64_t used_max = 0, snapshots = 0;
    for (int commit = 0; commit < 6000; commit++) {
        for (uint32_t i = 0; i < 1000; i++) assert_ok(node_add(&n, COUNTERS + i, 1));
        assert_ok(node_commit(&n));
        if (journal_bytes(n.journal) >= 24u << 20) {
            struct snapshot *s = NULL;
            bool done = false;
            assert_ok(snapshot_start(&n, &s));
            while (!done) assert_ok(snapshot_step(s, 100, &done));
            assert_ok(journal_sync(n.journal));
            assert_ok(snapshot_finish(s));
            snapshot_free(s);
            snapshots++;
        }
        uint64_t used = disk_used(n.disk);
        if (used > used_max) used_max = used;
    }
    assert_true(snapshots >= 3);
    assert_true(used_max < 64u << 20);
    node_stop(&n);
    assert_ok(node_start(&n));
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(node_value(&n, COUNTERS + i), 6000);
    node_stop(&n);
    disk_free(n.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_replaces_what_came_before_it),
        cmocka_unit_test(test_snapshot_may_follow_a_snapshot_with_nothing_between),
        cmocka_unit_test(test_snapshot_given_up_at_any_step_changes_nothing),
        cmocka_unit_test(test_power_cut_at_any_operation_of_a_snapshot_loses_nothing_synced),
        cmocka_unit_test(test_error_after_a_snapshot_has_its_name_is_none_of_the_snapshot),
        cmocka_unit_test(test_full_at_any_operation_of_a_snapshot_harms_only_the_snapshot),
        cmocka_unit_test(test_snapshot_that_finds_the_disk_full_is_given_up),
        cmocka_unit_test(test_any_flipped_bit_in_a_snapshot_costs_one_block_at_most),
        cmocka_unit_test(test_snapshot_cut_off_or_longer_than_it_says_is_damaged),
        cmocka_unit_test(test_snapshot_without_the_segments_behind_it_is_damage),
        cmocka_unit_test(test_journal_without_its_snapshot_is_damaged),
        cmocka_unit_test(test_power_cut_while_a_snapshot_replaces_damage),
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_directory_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
