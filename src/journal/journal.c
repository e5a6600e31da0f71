/* SPDX-License-Identifier: Apache-2.0 */
/* How a segment comes to be: journal_reserve makes a spare, a file full of zeros. When the active segment has no room
 * for what is to be written, it is synced, the spare gets its head and its name, and becomes the active one. Neither
 * the head nor the blocks behind it are synced at that moment, so a crash can leave a named segment without a head;
 * what is known then is that all segments before it are whole, because they were synced before it got its name. */
#include "journal/journal.h"

#include "base/alloc.h"
#include "base/force.h"
#include "journal/recovery.h"
#include "journal/state.h"

#include <inttypes.h>
#include <stdio.h>

#define PENDING_BYTES_KEPT (1u << 20) /* more than this is given back after a write */

/* Names */

void name_of(const char *prefix, uint64_t number, char ret_name[STORAGE_NAME_MAX])
{
    int len = snprintf(ret_name, STORAGE_NAME_MAX, "%s%016" PRIx64, prefix, number);
    REQUIRE(len > 0 && len < STORAGE_NAME_MAX);
}

bool name_number(const char *name, const char *prefix, uint64_t *ret_number)
{
    size_t len = strlen(prefix);
    if (strncmp(name, prefix, len) != 0 || strlen(name) != len + 16) return false;
    uint64_t number = 0;
    for (const char *at = name + len; *at; at++) {
        bool decimal = *at >= '0' && *at <= '9';
        if (!decimal && (*at < 'a' || *at > 'f')) return false;
        number = number << 4 | (uint64_t)(decimal ? *at - '0' : *at - 'a' + 10);
    }
    *ret_number = number;
    return true;
}

enum err storage_create_anew(const struct storage *storage, const char *name, uint64_t reserve,
                             struct storage_file **ret_file)
{
    enum err err = storage->ops->remove(storage->disk, name);
    if (err != ERR_OK && err != ERR_NOT_FOUND) return err;
    return storage->ops->create(storage->disk, name, reserve, ret_file);
}

void storage_discard(const struct storage *storage, const char *name)
{
    enum err err = storage->ops->remove(storage->disk, name);
    (void)err; /* the failure before this one is what the caller reports */
}

/* Opening and closing */

enum err journal_reserve_info(struct journal *j, uint32_t more)
{
    if (more <= j->segments_cap - j->segments_count) return ERR_OK;
    uint32_t cap = j->segments_cap > 0 ? 2 * j->segments_cap : 16;
    REQUIRE(more <= cap - j->segments_count);
    struct segment_info *grown = mem_resize(j->segments, cap * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    j->segments = grown;
    j->segments_cap = cap;
    return ERR_OK;
}

static enum err journal_new(const struct journal_options *options, struct journal **ret_journal)
{
    struct journal *j = mem_alloc_zero(1, sizeof *j);
    if (!j) return ERR_NOMEM;
    j->storage = options->storage;
    j->id = options->id;
    j->segment_bytes = options->segment_bytes > 0 ? options->segment_bytes : JOURNAL_SEGMENT_BYTES;
    REQUIRE(j->segment_bytes >= SEGMENT_HEAD_BYTES + SEGMENT_BLOCK_BYTES);
    *ret_journal = j;
    return ERR_OK;
}

/* (5) Out of room, or out of memory for the file's handle: the journal is full, which is a state and not a failure. */
static enum err reserve_if_possible(struct journal *j)
{
    enum err err = journal_reserve(j);
    return err == ERR_FULL || err == ERR_NOMEM ? ERR_OK : err;
}

enum err journal_open(const struct journal_options *options, journal_sink *sink, void *context,
                      struct journal **ret_journal, struct journal_report *ret_report)
{
    *ret_report = (struct journal_report){ 0 };
    struct journal *j = NULL;
    enum err err = journal_new(options, &j);
    if (err == ERR_OK) err = recovery_run(j, sink, context, ret_report);
    if (err == ERR_OK) err = reserve_if_possible(j);
    if (err != ERR_OK) {
        journal_close(j);
        return err;
    }
    *ret_journal = j;
    return ERR_OK;
}

void journal_close(struct journal *j)
{
    if (!j) return;
    if (j->syncing_is_retired) j->storage.ops->close(j->syncing);
    j->storage.ops->close(j->active);
    j->storage.ops->close(j->spare);
    buffer_release(&j->pending);
    mem_free(j->segments);
    mem_free(j);
}

/* Room */

static const char *spare_name(bool is_b)
{
    return is_b ? NAME_SPARE_B : NAME_SPARE_A;
}

/* Makes a spare of that size. One that was too small goes only afterwards, so that ERR_FULL changes nothing. */
static enum err spare_make(struct journal *j, uint64_t room)
{
    struct storage_file *file = NULL;
    enum err err = storage_create_anew(&j->storage, spare_name(!j->spare_is_b), room, &file);
    if (err != ERR_OK) return err;
    bool had_one = j->spare != NULL;
    j->storage.ops->close(j->spare);
    j->spare = file;
    j->spare_room = room;
    j->spare_is_b = !j->spare_is_b;
    return had_one ? j->storage.ops->remove(j->storage.disk, spare_name(!j->spare_is_b)) : ERR_OK;
}

bool journal_is_full(const struct journal *j)
{
    return !j->spare || j->spare_room < j->room_wanted;
}

enum err journal_reserve(struct journal *j)
{
    if (!journal_is_full(j)) return ERR_OK;
    return spare_make(j, j->room_wanted > j->segment_bytes ? j->room_wanted : j->segment_bytes);
}

/* Gives the spare the head and the name of the segment after the active one. Until the name is there, nothing is. */
static enum err spare_name_it(struct journal *j, uint64_t number)
{
    struct segment_head head = {
        .place = { SEGMENT_MAGIC, j->id, number },
        .first_block = j->block_written + 1,
        .synced = j->block_written,
    };
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    segment_put_head(bytes, &head);
    enum err err = j->storage.ops->write(j->spare, 0, bytes_of(bytes, sizeof bytes));
    if (err != ERR_OK) return err;
    char name[STORAGE_NAME_MAX];
    name_of(NAME_SEGMENT, number, name);
    return j->storage.ops->rename(j->storage.disk, spare_name(j->spare_is_b), name);
}

static void retire_active(struct journal *j)
{
    if (j->active == j->syncing) {
        j->syncing_is_retired = true;
    } else {
        j->storage.ops->close(j->active);
    }
    j->active = NULL;
}

/* An empty segment has a head that no sync of blocks has covered. */
static enum err sync_before_next(struct journal *j)
{
    bool is_empty = journal_active(j)->bytes == SEGMENT_HEAD_BYTES;
    return is_empty ? j->storage.ops->sync(j->active) : journal_sync(j);
}

/* Makes a segment with room for so many bytes of blocks the active one. */
static enum err journal_advance(struct journal *j, uint64_t bytes)
{
    uint64_t number = journal_active(j)->number + 1;
    j->room_wanted = SEGMENT_HEAD_BYTES + bytes;
    enum err err = journal_reserve_info(j, 1);
    if (err == ERR_OK) err = journal_reserve(j);
    if (err == ERR_OK) err = sync_before_next(j); /* (3) */
    if (err == ERR_OK) err = spare_name_it(j, number);
    if (err != ERR_OK) return err;
    retire_active(j);
    j->active = j->spare;
    j->active_room = j->spare_room;
    j->spare = NULL;
    j->room_wanted = 0;
    j->segments[j->segments_count++] = (struct segment_info){ number, j->block_written + 1, SEGMENT_HEAD_BYTES, false };
    return reserve_if_possible(j);
}

/* Writing */

enum err journal_append(struct journal *j, uint8_t kind, struct bytes record)
{
    REQUIRE(kind >= 1 && kind <= SEGMENT_KIND_MAX);
    if (record.len > JOURNAL_RECORD_BYTES_MAX) return ERR_TOO_LONG;
    return segment_append(&j->pending, kind, record);
}

/* The blocks of one write are never split over two segments: all are in, or none is and the call can be repeated. */
enum err journal_write(struct journal *j)
{
    size_t len = j->pending.len;
    if (len == 0) return ERR_OK;
    bool is_forced = journal_active(j)->bytes > SEGMENT_HEAD_BYTES && FORCE(ROTATE_NOW);
    if (len > j->active_room - journal_active(j)->bytes || is_forced) {
        enum err err = journal_advance(j, len);
        if (err != ERR_OK) return err;
    }
    struct segment_info *active = journal_active(j);
    struct place place = { SEGMENT_MAGIC, j->id, active->number };
    uint64_t next = segment_seal(j->pending.ptr, len, &place, active->bytes, j->block_written + 1, j->block_synced);
    enum err err = j->storage.ops->write(j->active, active->bytes, buffer_view(&j->pending));
    if (err != ERR_OK) return err;
    active->bytes += len;
    j->block_written = next - 1;
    if (j->pending.cap > PENDING_BYTES_KEPT) buffer_release(&j->pending);
    buffer_clear(&j->pending);
    return ERR_OK;
}

enum err journal_sync(struct journal *j)
{
    if (j->block_synced == j->block_written) return ERR_OK;
    enum err err = j->storage.ops->sync(j->active);
    if (err == ERR_OK) j->block_synced = j->block_written;
    return err;
}

bool journal_sync_begin(struct journal *j, struct journal_sync *ret_sync)
{
    REQUIRE(!j->syncing);
    if (j->block_synced == j->block_written) return false;
    j->syncing = j->active;
    *ret_sync = (struct journal_sync){ j->active, j->block_written };
    return true;
}

void journal_sync_end(struct journal *j, const struct journal_sync *sync)
{
    REQUIRE(j->syncing && j->syncing == sync->file);
    if (sync->block > j->block_synced) j->block_synced = sync->block;
    if (j->syncing_is_retired) j->storage.ops->close(j->syncing);
    j->syncing = NULL;
    j->syncing_is_retired = false;
}

enum err journal_rotate(struct journal *j, uint64_t *ret_segment)
{
    enum err err = journal_write(j);
    if (err != ERR_OK) return err;
    const struct segment_info *active = journal_active(j);
    /* An empty one will do, unless a snapshot stands before it: the next needs a number of its own. */
    bool is_empty = active->bytes == SEGMENT_HEAD_BYTES;
    if (!is_empty || active->number == j->snapshot) err = journal_advance(j, 0);
    if (err == ERR_OK) *ret_segment = journal_active(j)->number;
    return err;
}

uint64_t journal_bytes(const struct journal *j)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < j->segments_count; i++) {
        if (j->segments[i].number >= j->snapshot) bytes += j->segments[i].bytes;
    }
    return bytes;
}

uint64_t journal_snapshot_bytes(const struct journal *j)
{
    return j->snapshot_bytes;
}
