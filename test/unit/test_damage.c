/* SPDX-License-Identifier: Apache-2.0 */
/* A node whose journal is damaged, and its peer. What there should be afterwards is worked out by a slow model that
 * reads the disks itself: of each replica and counter, the entry with the highest seq that is sound on the disk of its
 * owner or came to the peer. */
#include "pair.h"

#include "count/block.h"
#include "count/replicas.h"
#include "journal/segment.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#define FILES_MAX 40u
#define PLACES_MAX 600u

/* A block on a disk. */
struct place_of_block {
    char file[STORAGE_NAME_MAX];
    uint64_t from, to;
    bool is_in_snapshot;
};

struct places {
    struct place_of_block items[PLACES_MAX];
    uint32_t count;
};

/* What is not to be believed. */
struct spoilt {
    const char *file;
    uint64_t from, to;
};

struct model_entry {
    uint64_t seq;
    int64_t net;
};

/* By node that owns the replica. */
struct model {
    struct model_entry entries[2][PAIR_COUNTERS];
};

static bool file_name(bool is_snapshot, uint32_t number, const struct disk *disk, char ret_name[STORAGE_NAME_MAX])
{
    snprintf(ret_name, STORAGE_NAME_MAX, "%s-%016x", is_snapshot ? "snapshot" : "journal", number);
    return disk_has(disk, ret_name);
}

static void places_of(const struct disk *disk, const char *file, struct places *places)
{
    struct bytes content = disk_content(disk, file);
    struct segment_head head;
    const bool is_snapshot = file[0] == 's';
    if (segment_get_head(content, is_snapshot ? SEGMENT_SNAPSHOT_MAGIC : SEGMENT_MAGIC, &head) != ERR_OK) return;
    for (size_t at = SEGMENT_HEAD_BYTES;;) {
        struct segment_block block;
        if (!segment_get_block(bytes_of(content.ptr + at, content.len - at), &head.place, at, &block)) return;
        assert_true(places->count < PLACES_MAX);
        struct place_of_block *p = &places->items[places->count++];
        snprintf(p->file, sizeof p->file, "%.40s", file);
        p->from = at;
        p->to = at += SEGMENT_BLOCK_BYTES + block.record_bytes;
        p->is_in_snapshot = is_snapshot;
    }
}

static void places_on(const struct disk *disk, struct places *ret_places)
{
    char name[STORAGE_NAME_MAX];
    ret_places->count = 0;
    for (uint32_t number = 1; number < FILES_MAX; number++) {
        if (file_name(true, number, disk, name)) places_of(disk, name, ret_places);
        if (file_name(false, number, disk, name)) places_of(disk, name, ret_places);
    }
}

static uint32_t counter_of(struct bytes name)
{
    char text[40];
    for (uint32_t i = 0; i < PAIR_COUNTERS; i++) {
        if (bytes_equal(name, pair_name(i, text))) return i;
    }
    fail();
    return 0;
}

static void model_take_block(struct model *m, const struct id128 owners[2], struct bytes record)
{
    struct replicas *replicas;
    struct block_reader reader;
    struct bytes name;
    struct entry entry;
    if (block_open(&reader, record) != ERR_OK) return;
    assert_ok(replicas_new(&replicas));
    uint32_t owner = id128_equal(&reader.head.replica, &owners[0]) ? 0 : 1;
    assert_true(id128_equal(&reader.head.replica, &owners[owner]));
    while (block_next(&reader, replicas, &name, &entry) == ERR_OK) {
        struct model_entry *known = &m->entries[owner][counter_of(name)];
        if (entry.seq > known->seq) *known = (struct model_entry){ entry.seq, (int64_t)entry.net };
        extras_free(entry.extras);
    }
    replicas_free(replicas);
}

static void model_take_disk(struct model *m, const struct id128 owners[2], const struct disk *disk,
                            const struct spoilt *spoilt)
{
    static struct places places;
    places_on(disk, &places);
    for (uint32_t i = 0; i < places.count; i++) {
        const struct place_of_block *p = &places.items[i];
        bool is_hit = spoilt && strcmp(spoilt->file, p->file) == 0 && spoilt->from < p->to && spoilt->to > p->from;
        if (is_hit) continue;
        struct bytes record = bytes_of(disk_content(disk, p->file).ptr + p->from + SEGMENT_BLOCK_BYTES,
                                       p->to - p->from - SEGMENT_BLOCK_BYTES);
        uint8_t kind = disk_content(disk, p->file).ptr[p->from + 36];
        if (kind == RECORD_OWN || kind == RECORD_PEER || kind == RECORD_ENTRIES) model_take_block(m, owners, record);
    }
}

static int64_t model_value(const struct model *m, uint32_t counter)
{
    return m->entries[0][counter].net + m->entries[1][counter].net;
}

static struct id128 id_of(struct pair *p, uint32_t which)
{
    const struct view *view;
    assert_ok(node_view(p->nodes[which].node, p->now_ms, &view));
    struct id128 id = view->replica;
    view_drop(view);
    return id;
}

/* A life that ends with much on the first node's disk that its peer never got. */
struct life {
    struct pair pair;
    struct id128 owners[2];
};

static void run_life(uint64_t seed, uint64_t snapshot_bytes, struct life *l)
{
    struct pair *p = &l->pair;
    pair_new(seed, p);
    p->snapshot_bytes = snapshot_bytes;
    assert_ok(pair_start(p, 0));
    assert_ok(pair_start(p, 1));
    pair_settle(p);
    for (uint32_t i = 0; i < 40; i++) assert_ok(pair_add(p, i % 2, i % 20, i + 1));
    pair_settle(p);
    pair_end(p, 0);
    assert_ok(pair_start(p, 0));
    pair_settle(p);
    for (uint32_t i = 0; i < 20; i++) assert_ok(pair_add(p, i % 2, 10 + i, i + 1));
    pair_settle(p);
    for (uint32_t i = 0; i < 2; i++) l->owners[i] = id_of(p, i);
    pair_end(p, 1);
    for (uint32_t i = 0; i < 20; i++) assert_ok(pair_add(p, 0, 25 + i, 100 + i));
    for (uint32_t i = 0; i < 10; i++) assert_ok(pair_add(p, 0, 3 * i, 1000));
    pair_end(p, 0);
    disk_restart(p->nodes[0].disk);
    disk_restart(p->nodes[1].disk);
}

/* The same pair again on copies of its disks. */
static void copy_of(const struct life *l, uint64_t seed, struct pair *ret_pair)
{
    *ret_pair = l->pair;
    ret_pair->wires = NULL;
    ret_pair->wires_count = 0;
    random_init(&ret_pair->random, seed * 31 + 5);
    for (uint32_t i = 0; i < 2; i++) ret_pair->nodes[i].disk = disk_clone(l->pair.nodes[i].disk, seed + i);
}

static void expect_model(struct pair *p, uint32_t which, const struct model *m, const int64_t more[PAIR_COUNTERS])
{
    for (uint32_t i = 0; i < PAIR_COUNTERS; i++) {
        int64_t expected = model_value(m, i) + (more ? more[i] : 0);
        if (pair_value(p, which, i) != expected)
            print_error("n%u shows counter %u as %" PRId64 ", and it should be %" PRId64 "\n", which, i,
                        pair_value(p, which, i), expected);
        assert_int_equal(pair_value(p, which, i), expected);
    }
}

/* Counts on, restarts both, and expects a history without damage from then on. */
static void expect_health(struct pair *p, const struct model *m)
{
    int64_t more[PAIR_COUNTERS] = { 0 };
    for (uint32_t i = 0; i < 30; i++) {
        uint32_t counter = i * 7 % PAIR_COUNTERS;
        assert_ok(pair_add(p, i % 2, counter, 5));
        more[counter] += 5;
    }
    pair_settle(p);
    for (uint32_t i = 0; i < 2; i++) expect_model(p, i, m, more);
    for (uint32_t i = 0; i < 2; i++) {
        pair_end(p, i);
        disk_restart(p->nodes[i].disk);
        assert_ok(pair_start(p, i));
        assert_int_equal(p->nodes[i].report.holes, 0);
        expect_model(p, i, m, more);
    }
    pair_settle(p);
}

static void expect_told(const struct pair *p, const char *file)
{
    const struct pair_node *n = &p->nodes[0];
    const bool is_gone = !disk_has(n->disk, file);
    assert_true(n->report.holes > 0);
    assert_int_equal(n->notices[NOTICE_DAMAGED], 1);
    assert_int_equal(n->last[NOTICE_DAMAGED].number, n->report.holes);
    assert_non_null(strstr(n->last[NOTICE_DAMAGED].detail, n->report.hole[0].file));
    if (!is_gone) assert_string_equal(n->report.hole[0].file, file);
    assert_int_equal(stats_get(&n->stats, STAT_journal_holes), n->report.holes);
}

/* The first node starts on its damaged disk, is told of it, shows nothing that never was, and both agree on what the
 * model says. */
static void expect_mended(const struct life *l, struct pair *p, const struct spoilt *spoilt)
{
    struct model m = { 0 };
    model_take_disk(&m, l->owners, l->pair.nodes[0].disk, spoilt);
    model_take_disk(&m, l->owners, l->pair.nodes[1].disk, NULL);
    const bool is_there = disk_has(p->nodes[0].disk, spoilt->file);
    struct bytes before = { 0 };
    if (is_there) before = disk_content(p->nodes[0].disk, spoilt->file);
    uint8_t *copy = malloc(before.len + 1);
    assert_non_null(copy);
    if (is_there) memcpy(copy, before.ptr, before.len);
    assert_ok(pair_start(p, 0));
    expect_told(p, spoilt->file);
    for (uint32_t i = 0; i < PAIR_COUNTERS; i++) assert_in_range(pair_value(p, 0, i), 0, l->pair.answered[i]);
    assert_ok(pair_start(p, 1));
    pair_settle(p);
    for (uint32_t i = 0; i < 2; i++) expect_model(p, i, &m, NULL);
    expect_health(p, &m);
    char aside[STORAGE_NAME_MAX];
    snprintf(aside, sizeof aside, "damaged-%.40s", spoilt->file);
    if (is_there) assert_true(bytes_equal(disk_content(p->nodes[0].disk, aside), bytes_of(copy, before.len)));
    free(copy);
}

static void test_a_flipped_bit_in_any_block_costs_what_only_that_block_had(void **state)
{
    (void)state;
    uint32_t renewed = 0, kept = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct life l;
        run_life(seed, seed == 1 ? 1u << 20 : 1500 * seed, &l);
        static struct places places;
        places_on(l.pair.nodes[0].disk, &places);
        assert_true(places.count > (seed == 1 ? 40 : 8));
        for (uint32_t i = 0; i + 4 < places.count; i++) {
            const struct place_of_block *at = &places.items[i];
            struct pair p;
            copy_of(&l, i, &p);
            disk_flip_bit(p.nodes[0].disk, at->file, at->from + i % (at->to - at->from), i % 8);
            struct spoilt spoilt = { at->file, at->from, at->to };
            expect_mended(&l, &p, &spoilt);
            const struct id128 id = id_of(&p, 0);
            const bool is_kept = id128_equal(&id, &l.owners[0]);
            renewed += !is_kept;
            kept += is_kept;
            pair_free(&p);
        }
        pair_free(&l.pair);
    }
    assert_true(renewed > 20);
    print_message("%u went on under a new id, %u lost nothing of their own\n", renewed, kept);
}

/* Damages the first node's disk; false if it was of no use. */
typedef bool damage_to(struct disk *disk, const struct places *places, uint32_t nth, struct spoilt *ret_spoilt);

static void each_damage(uint64_t seed, uint64_t snapshot_bytes, damage_to *damage, uint32_t at_least)
{
    struct life l;
    static struct places places;
    uint32_t done = 0;
    run_life(seed, snapshot_bytes, &l);
    places_on(l.pair.nodes[0].disk, &places);
    for (uint32_t nth = 0; nth + 4 < places.count; nth++) {
        struct pair p;
        struct spoilt spoilt;
        copy_of(&l, nth, &p);
        if (damage(p.nodes[0].disk, &places, nth, &spoilt)) {
            expect_mended(&l, &p, &spoilt);
            done++;
        }
        pair_free(&p);
    }
    pair_free(&l.pair);
    assert_true(done >= at_least);
}

static bool zero_sector(struct disk *disk, const struct places *places, uint32_t nth, struct spoilt *ret_spoilt)
{
    const struct place_of_block *at = &places->items[nth];
    uint64_t sector = at->from / DISK_SECTOR_BYTES;
    const struct place_of_block *last = &places->items[places->count - 1];
    bool is_tail = strcmp(at->file, last->file) == 0 && (sector + 1) * DISK_SECTOR_BYTES >= last->from;
    if (is_tail || sector == 0) return false;
    disk_zero_sector(disk, at->file, sector);
    *ret_spoilt = (struct spoilt){ at->file, sector * DISK_SECTOR_BYTES, (sector + 1) * DISK_SECTOR_BYTES };
    return true;
}

static void test_zeroed_sector_costs_what_only_it_had(void **state)
{
    (void)state;
    each_damage(5, 1u << 20, zero_sector, 20);
    each_damage(6, 2500, zero_sector, 5);
}

static bool cut_file(struct disk *disk, const struct places *places, uint32_t nth, struct spoilt *ret_spoilt)
{
    const struct place_of_block *at = &places->items[nth];
    uint64_t len = at->from + nth % 3 * 20;
    disk_truncate(disk, at->file, len);
    *ret_spoilt = (struct spoilt){ at->file, len, UINT64_MAX };
    return true;
}

static void test_file_that_was_cut_off_costs_what_only_its_end_had(void **state)
{
    (void)state;
    each_damage(7, 1u << 20, cut_file, 20);
    each_damage(8, 2500, cut_file, 5);
}

static bool delete_file(struct disk *disk, const struct places *places, uint32_t nth, struct spoilt *ret_spoilt)
{
    const struct place_of_block *at = &places->items[nth], *last = &places->items[places->count - 1];
    bool is_first_of_file = nth == 0 || strcmp(places->items[nth - 1].file, at->file) != 0;
    if (!is_first_of_file || strcmp(at->file, last->file) == 0) return false;
    disk_delete(disk, at->file);
    *ret_spoilt = (struct spoilt){ at->file, 0, UINT64_MAX };
    return true;
}

/* Where a file is gone the report names the one before or behind it. */
static void test_file_that_is_gone_costs_what_only_it_had(void **state)
{
    (void)state;
    each_damage(9, 1u << 20, delete_file, 1);
    each_damage(10, 2500, delete_file, 1);
}

/* Nobody else is there, and nobody ever was: all that is sound is shown. */
static void test_lone_node_keeps_all_that_is_sound(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct life l = { 0 };
        struct pair *p = &l.pair;
        pair_new(seed, p);
        p->snapshot_bytes = seed == 1 ? 1u << 20 : 2000;
        assert_ok(pair_start(p, 0));
        for (uint32_t i = 0; i < 150; i++) assert_ok(pair_add(p, 0, i * i % PAIR_COUNTERS, i));
        l.owners[0] = id_of(p, 0);
        pair_end(p, 0);
        static struct places places;
        places_on(p->nodes[0].disk, &places);
        for (uint32_t i = 0; i + 4 < places.count; i++) {
            const struct place_of_block *at = &places.items[i];
            struct spoilt spoilt = { at->file, at->from, at->to };
            struct pair again;
            copy_of(&l, i, &again);
            disk_flip_bit(again.nodes[0].disk, at->file, at->from + 30, 1);
            struct model m = { 0 };
            model_take_disk(&m, l.owners, p->nodes[0].disk, &spoilt);
            assert_ok(pair_start(&again, 0));
            expect_told(&again, at->file);
            expect_model(&again, 0, &m, NULL);
            pair_free(&again);
        }
        pair_free(p);
    }
}

/* The power goes out during the nth operation after the start on a damaged disk, and once more after the next start.
 * All that was sound, and all that was answered since, counts once. */
static bool cut_at(const struct life *l, const struct spoilt *spoilt, uint64_t nth)
{
    struct pair p;
    copy_of(l, nth, &p);
    memset(p.answered, 0, sizeof p.answered);
    memset(p.maybe, 0, sizeof p.maybe);
    disk_flip_bit(p.nodes[0].disk, spoilt->file, spoilt->from + 20, 2);
    bool was_cut = false;
    for (uint64_t round = 0; round < 2; round++) {
        disk_cut_at(p.nodes[0].disk, round == 0 ? nth : 1 + nth * 7 % 40);
        enum err err = pair_start(&p, 0);
        for (uint32_t i = 0; i < 12 && err == ERR_OK; i++)
            err = pair_add(&p, 0, (uint32_t)(nth + i * 5) % PAIR_COUNTERS, 7);
        was_cut |= err != ERR_OK;
        if (p.nodes[0].node) pair_end(&p, 0);
        disk_restart(p.nodes[0].disk);
    }
    struct model m = { 0 };
    model_take_disk(&m, l->owners, l->pair.nodes[0].disk, spoilt);
    model_take_disk(&m, l->owners, l->pair.nodes[1].disk, NULL);
    for (uint32_t i = 0; i < 2; i++) assert_ok(pair_start(&p, i));
    pair_settle(&p);
    for (uint32_t i = 0; i < PAIR_COUNTERS; i++) {
        int64_t more = pair_value(&p, 0, i) - model_value(&m, i);
        assert_in_range(more, p.answered[i], p.answered[i] + p.maybe[i]);
    }
    pair_free(&p);
    return was_cut;
}

static void test_power_cut_at_any_operation_of_the_repair_counts_everything_once(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 12; seed++) {
        struct life l;
        run_life(seed, seed == 11 ? 1u << 20 : 2500, &l);
        static struct places places;
        places_on(l.pair.nodes[0].disk, &places);
        for (uint32_t i = 3; i < places.count; i += 9) {
            const struct place_of_block *at = &places.items[i];
            struct spoilt spoilt = { at->file, at->from, at->to };
            uint64_t nth = 1;
            while (cut_at(&l, &spoilt, nth) && nth < 60) nth++;
            assert_true(nth > 30);
        }
        pair_free(&l.pair);
    }
}

/* Both disks are damaged: something may be lost for good, yet the two agree, and nothing counts twice. */
static void test_two_damaged_nodes_agree_and_count_nothing_twice(void **state)
{
    (void)state;
    struct life l;
    run_life(13, 1u << 20, &l);
    static struct places places[2];
    for (uint32_t i = 0; i < 2; i++) places_on(l.pair.nodes[i].disk, &places[i]);
    struct random random;
    random_init(&random, 13);
    for (uint64_t nth = 0; nth < 60; nth++) {
        struct pair p;
        copy_of(&l, nth, &p);
        for (uint32_t i = 0; i < 2; i++) {
            for (uint32_t k = 0; k < 1 + nth % 2; k++) {
                const struct place_of_block *at = &places[i].items[random_below(&random, places[i].count - 1)];
                disk_flip_bit(p.nodes[i].disk, at->file, at->from + random_below(&random, at->to - at->from), 4);
            }
        }
        for (uint32_t i = 0; i < 2; i++) assert_ok(pair_start(&p, nth % 2 ? i : 1 - i));
        pair_settle(&p);
        for (uint32_t i = 0; i < PAIR_COUNTERS; i++)
            assert_in_range(pair_value(&p, 0, i), 0, p.answered[i] + p.maybe[i]);
        pair_free(&p);
    }
    pair_free(&l.pair);
}

/* More than one record of the journal should hold, changed between two syncs. */
static void test_commit_of_many_long_names_is_written_in_several_blocks(void **state)
{
    (void)state;
    struct pair p;
    pair_new(1, &p);
    p.snapshot_bytes = 1u << 30;
    assert_ok(pair_start(&p, 0));
    char name[1024];
    memset(name, 'x', sizeof name);
    const uint32_t counters = 48000;
    for (uint32_t i = 0; i < counters; i++) {
        int len = snprintf(name, 16, "%07u", i);
        name[len] = '-';
        struct bytes bytes = bytes_of(name, sizeof name);
        struct keyspace *k = p.nodes[0].keyspace;
        struct seen seen;
        assert_ok(keyspace_add(k, keyspace_hash(k, bytes), bytes, 1, &seen));
    }
    assert_ok(pair_advance(&p, 50));
    assert_false(keyspace_is_dirty(p.nodes[0].keyspace));
    pair_end(&p, 0);
    disk_restart(p.nodes[0].disk);
    static struct places places;
    places_on(p.nodes[0].disk, &places);
    uint32_t long_blocks = 0;
    for (uint32_t i = 0; i < places.count; i++) {
        assert_true(places.items[i].to - places.items[i].from < 41u << 20);
        long_blocks += places.items[i].to - places.items[i].from > 1u << 20;
    }
    assert_int_equal(long_blocks, 2);
    assert_ok(pair_start(&p, 0));
    assert_int_equal(keyspace_count(p.nodes[0].keyspace), counters);
    assert_ok(pair_start(&p, 1));
    pair_settle(&p);
    assert_int_equal(keyspace_count(p.nodes[1].keyspace), counters);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flipped_bit_in_any_block_costs_what_only_that_block_had),
        cmocka_unit_test(test_zeroed_sector_costs_what_only_it_had),
        cmocka_unit_test(test_file_that_was_cut_off_costs_what_only_its_end_had),
        cmocka_unit_test(test_file_that_is_gone_costs_what_only_it_had),
        cmocka_unit_test(test_lone_node_keeps_all_that_is_sound),
        cmocka_unit_test(test_power_cut_at_any_operation_of_the_repair_counts_everything_once),
        cmocka_unit_test(test_two_damaged_nodes_agree_and_count_nothing_twice),
        cmocka_unit_test(test_commit_of_many_long_names_is_written_in_several_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
