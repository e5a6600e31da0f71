/* SPDX-License-Identifier: Apache-2.0 */
/* The segment to go on with. Without a hole: what held of the last one, under a number of its own, and synced. With
 * one: the last stays, since what is in it is to be read again, and an empty one follows it. */
#include "journal/recovery.h"

static struct segment_head begin_head(const struct recovery *r, uint64_t number, uint64_t replaces)
{
    return (struct segment_head){
        .place = { SEGMENT_MAGIC, r->j->id, number },
        .first_block = r->is_damaged ? r->expected : r->first_block,
        .replaces = replaces,
        .synced = r->expected - 1,
    };
}

static enum err begin_copy(struct recovery *r, uint64_t number)
{
    struct journal *j = r->j;
    struct segment_head head = begin_head(r, number, r->replaces);
    uint8_t *blocks = r->image.ptr + SEGMENT_HEAD_BYTES;
    segment_put_head(r->image.ptr, &head);
    uint64_t next = segment_seal(blocks, r->image_good - SEGMENT_HEAD_BYTES, &head.place, SEGMENT_HEAD_BYTES,
                                 r->first_block, head.synced);
    REQUIRE(next == r->expected);
    enum err err = j->storage.ops->write(j->active, 0, bytes_of(r->image.ptr, r->image_good));
    if (err == ERR_OK) err = j->storage.ops->sync(j->active); /* (4) in journal.h */
    if (err != ERR_OK) return err;
    char name[STORAGE_NAME_MAX];
    name_of(NAME_SEGMENT, number, name);
    return j->storage.ops->rename(j->storage.disk, NAME_SEGMENT_NEW, name);
}

/* Writes the same bytes over the last segment, which puts them on disk just as a copy would, and zeros over the torn
 * ones. A crash in between leaves at each place what was there or what holds. */
static enum err write_over_last(struct recovery *r)
{
    struct journal *j = r->j;
    uint64_t room = 0;
    enum err err = j->storage.ops->open(j->storage.disk, r->last->name, &j->active, &room);
    if (err != ERR_OK) return err;
    if (r->last_is_rotation) {
        struct segment_head head = begin_head(r, r->last->number, 0);
        segment_put_head(r->image.ptr, &head);
        r->image_good = SEGMENT_HEAD_BYTES;
    }
    size_t used = recovery_image_used(r, r->image_good);
    if (!r->tail_is_damaged) memset(r->image.ptr + r->image_good, 0, used - r->image_good);
    err = j->storage.ops->write(j->active, 0, bytes_of(r->image.ptr, used));
    if (err == ERR_OK) err = j->storage.ops->sync(j->active);
    j->active_room = room;
    return err;
}

/* A node whose disk is full must be able to start: then the last segment stays the last. */
static enum err begin_in_place(struct recovery *r)
{
    if (!r->last || r->image.len < SEGMENT_HEAD_BYTES) return ERR_FULL;
    enum err err = write_over_last(r);
    r->last->is_stale = false;
    return err;
}

/* The segment's number goes to *ret_number. */
static enum err begin_sound(struct recovery *r, uint64_t *ret_number)
{
    struct journal *j = r->j;
    if (r->image_good == 0) { /* nothing holds, not even a head */
        if (r->image.len < SEGMENT_HEAD_BYTES && !buffer_reserve(&r->image, SEGMENT_HEAD_BYTES)) return ERR_NOMEM;
        r->image_good = SEGMENT_HEAD_BYTES;
    }
    if (r->last) r->last->is_stale = true; /* this is about to take its place */
    j->active_room = r->image_good > j->segment_bytes ? r->image_good : j->segment_bytes;
    enum err err = storage_create_anew(&j->storage, NAME_SEGMENT_NEW, j->active_room, &j->active);
    if (err == ERR_FULL) {
        *ret_number = r->last ? r->last->number : 0;
        return begin_in_place(r);
    }
    if (err != ERR_OK) return err;
    *ret_number = r->number_max + 1;
    err = begin_copy(r, *ret_number);
    if (err != ERR_OK) storage_discard(&j->storage, NAME_SEGMENT_NEW);
    return err;
}

/* Goes on behind a hole, in the last segment or in a new one. */
static enum err begin_empty(struct recovery *r, uint64_t number, struct storage_file **ret_file)
{
    struct journal *j = r->j;
    struct segment_head head = begin_head(r, number, 0);
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    segment_put_head(bytes, &head);
    struct storage_file *file = NULL;
    enum err err = storage_create_anew(&j->storage, NAME_SEGMENT_NEW, j->segment_bytes, &file);
    if (err != ERR_OK) return err;
    err = j->storage.ops->write(file, 0, bytes_of(bytes, sizeof bytes));
    if (err == ERR_OK) err = j->storage.ops->sync(file);
    char name[STORAGE_NAME_MAX];
    name_of(NAME_SEGMENT, number, name);
    if (err == ERR_OK) err = j->storage.ops->rename(j->storage.disk, NAME_SEGMENT_NEW, name);
    if (err != ERR_OK) {
        j->storage.ops->close(file);
        storage_discard(&j->storage, NAME_SEGMENT_NEW);
        return err;
    }
    *ret_file = file;
    return ERR_OK;
}

static bool last_may_go_on(const struct recovery *r)
{
    return r->last && !r->last->is_aside && !r->tail_is_damaged && (r->last->has_head || r->last_is_rotation);
}

/* There is room for two more in j->segments. */
static enum err begin_behind_hole(struct recovery *r)
{
    struct journal *j = r->j;
    enum err err = r->last && r->image.len >= SEGMENT_HEAD_BYTES ? write_over_last(r) : ERR_OK;
    if (err != ERR_OK) return recovery_blame(r, r->last->name, 0, err);
    if (r->last) {
        bool is_damaged = r->last->is_damaged && !r->last->is_aside;
        j->segments[j->segments_count++] =
            (struct segment_info){ r->last->number, r->first_block, r->image_good, is_damaged };
    }
    struct storage_file *file = NULL;
    uint64_t number = r->number_max + 1;
    err = begin_empty(r, number, &file);
    if (err == ERR_FULL && last_may_go_on(r)) return ERR_OK;
    if (err != ERR_OK) return recovery_blame(r, NAME_SEGMENT_NEW, 0, err);
    j->storage.ops->close(j->active);
    j->active = file;
    j->active_room = j->segment_bytes;
    j->segments[j->segments_count++] = (struct segment_info){ number, r->expected, SEGMENT_HEAD_BYTES, false };
    return ERR_OK;
}

enum err recovery_begin(struct recovery *r)
{
    struct journal *j = r->j;
    enum err err = journal_reserve_info(j, 2);
    if (err != ERR_OK) return err;
    uint64_t number = 0;
    err = r->is_damaged ? begin_behind_hole(r) : begin_sound(r, &number);
    if (err != ERR_OK) return r->is_damaged ? err : recovery_blame(r, NAME_SEGMENT_NEW, 0, err);
    if (!r->is_damaged)
        j->segments[j->segments_count++] = (struct segment_info){ number, r->first_block, r->image_good, false };
    j->block_written = j->block_synced = r->expected - 1;
    return ERR_OK;
}
