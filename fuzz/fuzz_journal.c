/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a list of changes to the disk of a sound journal, after which it is opened.
 *  - Damage without new checksums: what comes back is what was written, in order, with nothing missing but at the end
 * and where a hole is reported; or the journal is refused and the directory is as it was. A bit or two do not take away
 *    what was said to be synced, unless a hole says so.
 *  - Forgery, where heads and blocks get checksums that fit: nothing must break, and what is opened opens again with
 *    the same records. */
#include "fuzz/harness.h"
#include "journal/journal.h"
#include "journal/segment.h"
#include "sim/disk.h"

#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RECORDS 12u
#define FILES 4u

static const char *const file_names[FILES] = {
    "journal-0000000000000001",
    "journal-0000000000000002",
    "journal-0000000000000003",
    "snapshot-0000000000000002",
};

struct outcome {
    uint64_t records, digest, holes;
    uint64_t next; /* number of the record that comes next, if there is no hole */
    bool is_sound; /* each record is one that was written, in order, with none left out but in a hole */
    bool may_skip;
};

static struct bytes record_of(uint64_t number, char into[64])
{
    int len = snprintf(into, 64, "record %0*u", (int)(number * 5 + 1), (unsigned)number);
    return bytes_of(into, (size_t)len);
}

static enum err note_record(void *context, uint8_t kind, struct bytes record)
{
    struct outcome *outcome = context;
    char expected[64];
    if (kind == JOURNAL_HOLE) {
        outcome->holes++;
        outcome->may_skip = true;
        return ERR_OK;
    }
    while (outcome->may_skip && outcome->next < RECORDS && !bytes_equal(record, record_of(outcome->next, expected)))
        outcome->next++;
    bool is_next = kind == 1 && outcome->next < RECORDS && bytes_equal(record, record_of(outcome->next, expected));
    outcome->is_sound = outcome->is_sound && is_next;
    outcome->may_skip = false;
    outcome->next++;
    outcome->records++;
    outcome->digest = XXH3_64bits_withSeed(record.ptr, record.len, outcome->digest + kind);
    return ERR_OK;
}

static enum err open_journal(struct disk *disk, struct outcome *ret_outcome, struct journal **ret_journal)
{
    struct journal_options options = { .storage = disk_storage(disk), .segment_bytes = 600 };
    memset(options.id.bytes, 0x5a, sizeof options.id.bytes);
    struct journal_report report;
    *ret_outcome = (struct outcome){ .is_sound = true };
    *ret_journal = NULL;
    return journal_open(&options, note_record, ret_outcome, ret_journal, &report);
}

/* Two segments. Every third block was synced before the next was written; so the second begins in the middle of a row,
 * and its later blocks say that the earlier ones were synced. */
static struct disk *sound_disk(void)
{
    struct disk *disk = disk_new(1, 0);
    struct outcome outcome;
    struct journal *j;
    REQUIRE(open_journal(disk, &outcome, &j) == ERR_OK);
    for (uint64_t i = 0; i < RECORDS; i++) {
        char text[64];
        REQUIRE(journal_append(j, 1, record_of(i, text)) == ERR_OK);
        REQUIRE(journal_write(j) == ERR_OK);
        if (i % 3 == 2) REQUIRE(journal_sync(j) == ERR_OK);
    }
    journal_close(j);
    disk_kill(disk);
    return disk;
}

struct script {
    struct reader in;
    struct disk *disk;
    bool is_forged;
    uint32_t flips, others; /* steps that changed a bit, and that did anything else */
};

static void replace_bytes(struct script *s, const char *name, bool is_forgery)
{
    uint64_t at = reader_u16(&s->in);
    struct bytes with = reader_bytes(&s->in, reader_u8(&s->in));
    struct bytes now = disk_has(s->disk, name) ? disk_content(s->disk, name) : bytes_of(NULL, 0);
    uint64_t len = now.len > at + with.len ? now.len : at + with.len;
    uint8_t *bytes = calloc(1, len + SEGMENT_HEAD_BYTES);
    REQUIRE(bytes);
    if (now.len > 0) memcpy(bytes, now.ptr, now.len);
    if (with.len > 0) memcpy(bytes + at, with.ptr, with.len);
    struct segment_head head;
    uint64_t magic = name[0] == 's' ? SEGMENT_SNAPSHOT_MAGIC : SEGMENT_MAGIC;
    if (is_forgery && len >= SEGMENT_HEAD_BYTES) {
        memcpy(bytes, &magic, 8);
        uint64_t sum = XXH3_64bits_withSeed(bytes, 64, magic);
        memcpy(bytes + 64, &sum, 8);
        s->is_forged = true;
    }
    if (is_forgery && segment_get_head(bytes_of(bytes, len), magic, &head) == ERR_OK) {
        struct buffer blocks = { 0 };
        for (uint64_t i = 0; i < 3; i++) {
            uint8_t kind = reader_u8(&s->in), size = reader_u8(&s->in); /* one by one: arguments have no order */
            REQUIRE(segment_append(&blocks, kind, reader_bytes(&s->in, size)) == ERR_OK);
        }
        segment_seal(blocks.ptr, blocks.len, &head.place, SEGMENT_HEAD_BYTES, name[0] == 's' ? 1 : head.first_block,
                     reader_u8(&s->in));
        if (len >= SEGMENT_HEAD_BYTES + blocks.len) memcpy(bytes + SEGMENT_HEAD_BYTES, blocks.ptr, blocks.len);
        buffer_release(&blocks);
    }
    disk_put(s->disk, name, bytes_of(bytes, len));
    free(bytes);
}

static void run_step(struct script *s)
{
    uint8_t what = reader_u8(&s->in);
    const char *name = file_names[what / 8 % FILES];
    bool is_there = disk_has(s->disk, name);
    uint64_t at = is_there ? disk_content(s->disk, name).len : 0;
    s->flips += what % 8 == 0;
    s->others += what % 8 != 0;
    switch (what % 8) {
    case 0:
        if (at > 0) disk_flip_bit(s->disk, name, reader_u16(&s->in) % at, reader_u8(&s->in) % 8);
        break;
    case 1:
        if (is_there) disk_truncate(s->disk, name, reader_u16(&s->in) % (at + 1));
        break;
    case 2:
        if (is_there) disk_zero_sector(s->disk, name, reader_u8(&s->in) % 2);
        break;
    case 3:
        replace_bytes(s, name, false);
        break;
    case 4:
        replace_bytes(s, name, true);
        break;
    case 5:
        disk_set_capacity(s->disk, disk_used(s->disk) + reader_u16(&s->in));
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = { .disk = sound_disk() };
    reader_init(&s.in, bytes_of(data, size));
    for (int i = 0; i < 8 && reader_left(&s.in) > 0; i++) run_step(&s);
    struct outcome first, second;
    struct journal *j;
    uint64_t digest = disk_digest(s.disk);
    enum err err = open_journal(s.disk, &first, &j);
    if (err == ERR_OK) {
        REQUIRE(first.is_sound || s.is_forged);
        /* The last three blocks say that all before them were synced, and two bits do not silence all three. */
        REQUIRE(first.records >= RECORDS - 3 || first.holes > 0 || s.others > 0 || s.flips > 2);
        journal_close(j);
        err = open_journal(s.disk, &second, &j);
        REQUIRE(err == ERR_OK || err == ERR_FULL);
        REQUIRE(first.records == second.records && first.digest == second.digest);
    } else {
        REQUIRE(err == ERR_CORRUPT || err == ERR_NEWER || err == ERR_FULL);
        REQUIRE(err == ERR_FULL || disk_digest(s.disk) == digest);
        /* What was written over then says the same: with room again, all of it is there. */
        bool was_full = err == ERR_FULL;
        if (was_full) disk_set_capacity(s.disk, 0);
        if (was_full) err = open_journal(s.disk, &second, &j);
        REQUIRE(!was_full || err == ERR_OK || s.is_forged);
        REQUIRE(!was_full || second.is_sound || s.is_forged);
    }
    journal_close(j);
    disk_free(s.disk);
    return 0;
}
