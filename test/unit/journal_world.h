/* SPDX-License-Identifier: Apache-2.0 */
/* journal_world: a journal on a simulated disk, and records that say which one they are. A recovery must hand over the
 * records 0, 1, 2 ... without a gap, so how many there were says all; but for a hole that was announced. */
#ifndef QUIPU_TEST_UNIT_JOURNAL_WORLD_H
#define QUIPU_TEST_UNIT_JOURNAL_WORLD_H

#include "testing.h"

#include "journal/journal.h"
#include "journal/segment.h"
#include "sim/disk.h"

#include <inttypes.h>
#include <stdio.h>

#define WORLD_SEGMENT_BYTES 2048u
#define WORLD_RECORD_BYTES_MAX 4096u

struct world {
    struct disk *disk;
    struct journal *journal;
    struct journal_report report;
    uint64_t recovered; /* one above the number of the last */
    uint64_t holes;     /* announced */
    uint64_t lost;      /* numbers that were passed over behind one */
    bool was_strange;   /* a record that nobody had written at that place, or that was passed over without a word */
    bool may_jump;
    uint64_t appended; /* tried to write */
    uint64_t written;  /* journal_write said OK */
    uint64_t synced;   /* journal_sync said OK */
};

static inline uint8_t world_kind(uint64_t number)
{
    return (uint8_t)(1 + number % 127);
}

static inline struct bytes world_record(uint64_t number, uint8_t into[WORLD_RECORD_BYTES_MAX])
{
    int head = snprintf((char *)into, WORLD_RECORD_BYTES_MAX, "record %" PRIu64 " ", number);
    size_t len = (size_t)head + (size_t)(number * 37 % 301);
    if (number % 23 == 22) len += WORLD_SEGMENT_BYTES; /* needs a segment of its own size */
    memset(into + head, (int)('a' + number % 26), len - (size_t)head);
    return bytes_of(into, len);
}

static inline bool world_is_record(uint64_t number, uint8_t kind, struct bytes record)
{
    uint8_t expected[WORLD_RECORD_BYTES_MAX];
    return kind == world_kind(number) && bytes_equal(record, world_record(number, expected));
}

static inline enum err world_sink(void *context, uint8_t kind, struct bytes record)
{
    struct world *w = context;
    if (kind == JOURNAL_HOLE) {
        w->holes++;
        w->may_jump = true;
        return ERR_OK;
    }
    uint64_t number = w->recovered, last = w->may_jump ? number + 100 : number;
    while (number < last && !world_is_record(number, kind, record)) number++;
    if (!world_is_record(number, kind, record)) w->was_strange = true;
    w->lost += number - w->recovered;
    w->recovered = number + 1;
    w->may_jump = false;
    return ERR_OK;
}

static inline struct journal_options world_options(struct disk *disk)
{
    struct journal_options options = { .storage = disk_storage(disk), .segment_bytes = WORLD_SEGMENT_BYTES };
    memcpy(options.id.bytes, "a journal's name", 16);
    return options;
}

static inline enum err world_open(struct world *w)
{
    struct journal_options options = world_options(w->disk);
    w->recovered = w->holes = w->lost = 0;
    w->was_strange = w->may_jump = false;
    enum err err = journal_open(&options, world_sink, w, &w->journal, &w->report);
    if (err == ERR_OK) w->appended = w->written = w->synced = w->recovered;
    return err;
}

static inline void world_close(struct world *w)
{
    journal_close(w->journal);
    w->journal = NULL;
}

static inline enum err world_append(struct world *w)
{
    uint8_t record[WORLD_RECORD_BYTES_MAX];
    enum err err = journal_append(w->journal, world_kind(w->appended), world_record(w->appended, record));
    if (err == ERR_OK) w->appended++;
    return err;
}

static inline enum err world_write(struct world *w)
{
    enum err err = journal_write(w->journal);
    if (err == ERR_OK) w->written = w->appended;
    return err;
}

static inline enum err world_sync(struct world *w)
{
    enum err err = journal_sync(w->journal);
    if (err == ERR_OK) w->synced = w->written;
    return err;
}

/* Appends so many records, up to three with each write; with sync_every > 0 that many writes have one sync. */
static inline enum err world_run(struct world *w, uint64_t records, uint64_t sync_every)
{
    uint64_t until = w->appended + records;
    enum err err = ERR_OK;
    for (uint64_t writes = 1; err == ERR_OK && w->appended < until; writes++) {
        for (uint64_t i = 0; err == ERR_OK && i <= writes % 3 && w->appended < until; i++) err = world_append(w);
        if (err == ERR_OK) err = world_write(w);
        if (err == ERR_OK && sync_every > 0 && writes % sync_every == 0) err = world_sync(w);
    }
    return err;
}

/* A disk on which so many records are, all synced, and no process. */
static inline struct disk *world_disk(uint64_t seed, uint64_t records)
{
    struct world w = { .disk = disk_new(seed, 0) };
    assert_ok(world_open(&w));
    assert_ok(world_run(&w, records, 1));
    assert_ok(world_sync(&w));
    world_close(&w);
    disk_kill(w.disk);
    return w.disk;
}

/* Opens what is on the disk, and expects these many records and a journal that goes on. */
static inline void world_expect(struct world *w, uint64_t min, uint64_t max)
{
    assert_ok(world_open(w));
    assert_false(w->was_strange);
    assert_int_equal(w->holes, 0);
    assert_in_range(w->recovered, min, max);
}

#endif
