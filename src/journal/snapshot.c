/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is written under a name that means nothing, ends with a footer, and is synced before it gets its own name.
 * That rename is the moment at which it counts; whatever fails before it changes nothing for the journal. */
#include "journal/journal.h"

#include "base/alloc.h"
#include "base/force.h"
#include "count/collector.h"
#include "journal/state.h"

/* Blocks are handed over when they reach this size, so one with a longest name still fits in 64 KiB. */
#define ENTRIES_BYTES (62u << 10)

struct snapshot {
    struct snapshot_options options;
    struct collector *collector;
    struct storage_file *file;
    struct place place;
    uint64_t first_block; /* of the segment */
    struct buffer pending;
    uint64_t bytes, blocks; /* written */
    bool is_walked, is_finished;
};

static const struct segment_info *find_segment(const struct journal *j, uint64_t number)
{
    for (uint32_t i = 0; i < j->segments_count; i++) {
        if (j->segments[i].number == number) return &j->segments[i];
    }
    return NULL;
}

static enum err begin_file(struct snapshot *s)
{
    const struct storage *storage = &s->options.journal->storage;
    uint8_t head[SEGMENT_HEAD_BYTES];
    segment_put_head(head, &(struct segment_head){ .place = s->place, .first_block = s->first_block });
    enum err err = storage_create_anew(storage, NAME_SNAPSHOT_NEW, 0, &s->file);
    if (err == ERR_OK) err = storage->ops->write(s->file, 0, bytes_of(head, sizeof head));
    s->bytes = SEGMENT_HEAD_BYTES;
    return err;
}

static enum err remove_numbered(const struct journal *j, const char *prefix, uint64_t number)
{
    char name[STORAGE_NAME_MAX];
    name_of(prefix, number, name);
    enum err err = j->storage.ops->remove(j->storage.disk, name);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Removes what the newest snapshot has replaced. What cannot be removed now is tried again with the next snapshot, and
 * that is not begun before it is gone: so leftovers do not pile up. */
static enum err remove_replaced(struct journal *j)
{
    enum err err = ERR_OK;
    if (j->snapshot_replaced > 0) err = remove_numbered(j, NAME_SNAPSHOT, j->snapshot_replaced);
    if (err == ERR_OK) j->snapshot_replaced = 0;
    uint32_t gone = 0;
    while (err == ERR_OK && j->segments[gone].number < j->snapshot) {
        err = remove_numbered(j, NAME_SEGMENT, j->segments[gone].number);
        if (err == ERR_OK) gone++;
    }
    j->segments_count -= gone;
    memmove(j->segments, j->segments + gone, j->segments_count * sizeof *j->segments);
    return err;
}

enum err snapshot_begin(const struct snapshot_options *options, struct snapshot **ret_snapshot)
{
    struct journal *j = options->journal;
    REQUIRE(!j->snapshot_under_way);
    REQUIRE(options->entries_kind >= 1 && options->entries_kind <= SEGMENT_KIND_MAX);
    enum err err = remove_replaced(j);
    if (err != ERR_OK) return err;
    const struct segment_info *segment = find_segment(j, options->segment);
    REQUIRE(segment && segment->number > j->snapshot);
    struct snapshot *s = mem_alloc_zero(1, sizeof *s);
    if (!s) return ERR_NOMEM;
    s->options = *options;
    s->place = (struct place){ SEGMENT_SNAPSHOT_MAGIC, j->id, segment->number };
    s->first_block = segment->first_block;
    j->snapshot_under_way = true;
    err = collector_new(options->keyspace, options->replicas, ENTRIES_BYTES, &s->collector);
    if (err == ERR_OK) err = begin_file(s);
    if (err != ERR_OK) {
        snapshot_free(s);
        return err;
    }
    *ret_snapshot = s;
    return ERR_OK;
}

enum err snapshot_append(struct snapshot *s, uint8_t kind, struct bytes record)
{
    REQUIRE(kind >= 1 && kind <= SEGMENT_KIND_MAX);
    if (record.len > JOURNAL_RECORD_BYTES_MAX) return ERR_TOO_LONG;
    return segment_append(&s->pending, kind, record);
}

static enum err take_block(void *context, uint32_t replica, struct bytes block)
{
    struct snapshot *s = context;
    (void)replica; /* the block names it */
    return snapshot_append(s, s->options.entries_kind, block);
}

static enum err write_pending(struct snapshot *s)
{
    if (s->pending.len == 0) return ERR_OK;
    uint64_t next = segment_seal(s->pending.ptr, s->pending.len, &s->place, s->bytes, s->blocks + 1, 0);
    enum err err = s->options.journal->storage.ops->write(s->file, s->bytes, buffer_view(&s->pending));
    if (err != ERR_OK) return err;
    s->bytes += s->pending.len;
    s->blocks = next - 1;
    buffer_clear(&s->pending);
    return ERR_OK;
}

enum err snapshot_step(struct snapshot *s, uint32_t cells_max, bool *ret_done)
{
    if (FORCE(SNAPSHOT_FAILS)) return ERR_FULL;
    bool is_walked = s->is_walked;
    enum err err = is_walked ? ERR_OK : collector_step(s->collector, cells_max, take_block, s, &is_walked);
    if (err == ERR_OK) err = write_pending(s);
    if (err != ERR_OK) return err;
    s->is_walked = is_walked;
    *ret_done = is_walked;
    return ERR_OK;
}

static enum err write_footer(struct snapshot *s)
{
    enum err err = segment_append(&s->pending, SEGMENT_KIND_FOOTER, bytes_of(NULL, 0));
    if (err == ERR_OK) err = write_pending(s);
    return err == ERR_OK ? s->options.journal->storage.ops->sync(s->file) : err;
}

static enum err give_name(struct snapshot *s)
{
    const struct storage *storage = &s->options.journal->storage;
    char name[STORAGE_NAME_MAX];
    name_of(NAME_SNAPSHOT, s->place.number, name);
    return storage->ops->rename(storage->disk, NAME_SNAPSHOT_NEW, name);
}

struct storage_file *snapshot_file(struct snapshot *s)
{
    return s->file;
}

static enum err rename_aside(const struct journal *j, const char *prefix, const char *prefix_aside, uint64_t number)
{
    char from[STORAGE_NAME_MAX], to[STORAGE_NAME_MAX];
    name_of(prefix, number, from);
    name_of(prefix_aside, number, to);
    enum err err = j->storage.ops->rename(j->storage.disk, from, to);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Damaged files that this snapshot is about to replace get the names under which they stay. A recovery reads them
 * under these just the same as long as there is no newer snapshot, so an end between the two steps changes nothing. */
static enum err set_aside(struct journal *j, uint64_t below)
{
    enum err err = ERR_OK;
    if (j->snapshot_is_damaged) err = rename_aside(j, NAME_SNAPSHOT, NAME_ASIDE_SNAPSHOT, j->snapshot);
    for (uint32_t i = 0; err == ERR_OK && i < j->segments_count; i++) {
        const struct segment_info *info = &j->segments[i];
        if (info->is_damaged && info->number < below)
            err = rename_aside(j, NAME_SEGMENT, NAME_ASIDE_SEGMENT, info->number);
    }
    return err;
}

enum err snapshot_finish(struct snapshot *s)
{
    REQUIRE(s->is_walked && !s->is_finished);
    struct journal *j = s->options.journal;
    REQUIRE(j->block_synced == j->block_written);
    enum err err = write_footer(s);
    if (err == ERR_OK) err = set_aside(j, s->place.number);
    if (err == ERR_OK) err = give_name(s);
    if (err != ERR_OK) return err;
    s->is_finished = true;
    j->snapshot_is_damaged = false;
    j->snapshot_replaced = j->snapshot;
    j->snapshot = s->place.number;
    j->snapshot_bytes = s->bytes;
    err = remove_replaced(j);
    (void)err; /* it stands, whatever became of the files that it replaces; they go before the next one begins */
    return ERR_OK;
}

void snapshot_free(struct snapshot *s)
{
    if (!s) return;
    struct journal *j = s->options.journal;
    if (s->file) {
        j->storage.ops->close(s->file);
        if (!s->is_finished) storage_discard(&j->storage, NAME_SNAPSHOT_NEW);
    }
    j->snapshot_under_way = false;
    collector_free(s->collector);
    buffer_release(&s->pending);
    mem_free(s);
}
