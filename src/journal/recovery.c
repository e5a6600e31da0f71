/* SPDX-License-Identifier: Apache-2.0 */
/* What is promised, and how recovery knows (invariant 2 in journal.h):
 *  - All of a segment behind which there is another, since it was synced before that one got its name.
 *  - Blocks that the head of a segment, or of a block found anywhere in the rest of it, says were synced.
 *  - The head of the first segment in line, which was synced before it got its name.
 * What is bad there is ERR_CORRUPT. What is bad elsewhere can only be at the tail of the last segment, and is cut. */
#include "journal/recovery.h"

#include "base/alloc.h"

#include <stdlib.h>

enum err recovery_blame(struct recovery *r, const char *name, uint64_t offset, enum err err)
{
    memcpy(r->report->file, name, strlen(name) + 1);
    r->report->offset = offset;
    return err;
}

bool recovery_is_ours(struct recovery *r, const struct segment_head *head, uint64_t number)
{
    if (!r->has_id) r->j->id = head->place.id;
    r->has_id = true;
    return id128_equal(&head->place.id, &r->j->id) && head->place.number == number;
}

enum err recovery_hand_over(struct recovery *r, uint8_t kind, struct bytes record)
{
    r->report->records++;
    r->report->bytes += record.len;
    return r->sink(r->context, kind, record);
}

/* (1) What is there */

static bool name_is_work(const char *name)
{
    static const char *const names[] = { NAME_SEGMENT_NEW, NAME_SNAPSHOT_NEW, NAME_SPARE_A, NAME_SPARE_B };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return false;
}

static enum err found_add(struct recovery *r, const struct found *found)
{
    if (r->count == r->cap) {
        uint32_t cap = r->cap > 0 ? 2 * r->cap : 16;
        struct found *grown = mem_resize(r->found, cap * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        r->found = grown;
        r->cap = cap;
    }
    r->found[r->count++] = *found;
    return ERR_OK;
}

static void found_visit(void *context, const char *name, uint64_t bytes)
{
    struct recovery *r = context;
    (void)bytes;
    struct found found = { .kind = FOUND_WORK };
    if (name_number(name, NAME_SEGMENT, &found.number)) {
        found.kind = FOUND_SEGMENT;
    } else if (name_number(name, NAME_SNAPSHOT, &found.number)) {
        found.kind = FOUND_SNAPSHOT;
    } else if (!name_is_work(name)) {
        return; /* not ours */
    }
    memcpy(found.name, name, strlen(name) + 1);
    found.is_stale = found.kind == FOUND_WORK;
    if (r->list_err == ERR_OK) r->list_err = found_add(r, &found);
}

static int found_order(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    return (left->number > right->number) - (left->number < right->number);
}

static enum err recovery_list(struct recovery *r)
{
    const struct storage *storage = &r->j->storage;
    enum err err = storage->ops->list(storage->disk, found_visit, r);
    if (err == ERR_OK) err = r->list_err;
    if (err != ERR_OK) return err;
    if (r->count > 0) qsort(r->found, r->count, sizeof *r->found, found_order);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct found *f = &r->found[i];
        bool is_numbered = f->number > 0 && f->number <= SEGMENT_FOUND_MAX;
        if (f->kind != FOUND_WORK && !is_numbered) return recovery_blame(r, f->name, 0, ERR_CORRUPT);
        if (f->number > r->number_max) r->number_max = f->number;
    }
    return ERR_OK;
}

/* Only the newest snapshot counts, and only what comes after it. */
static const struct found *choose_snapshot(struct recovery *r)
{
    const struct found *newest = NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->found[i].kind == FOUND_SNAPSHOT) newest = &r->found[i];
    }
    if (!newest) return NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->found[i].number < newest->number) r->found[i].is_stale = true;
    }
    return newest;
}

/* (1) What is in it */

/* Reads up to bytes_max bytes of the file from its start into image. */
static enum err image_read(struct recovery *r, const char *name, uint64_t bytes_max)
{
    const struct storage *storage = &r->j->storage;
    struct storage_file *file = NULL;
    uint64_t bytes = 0;
    buffer_clear(&r->image);
    enum err err = storage->ops->open(storage->disk, name, &file, &bytes);
    if (err != ERR_OK) return recovery_blame(r, name, 0, err);
    if (bytes > bytes_max) bytes = bytes_max;
    uint8_t *into = bytes <= SIZE_MAX ? buffer_reserve(&r->image, (size_t)bytes) : NULL;
    err = into ? storage->ops->read(file, 0, into, bytes) : ERR_NOMEM;
    storage->ops->close(file);
    if (err != ERR_OK) return recovery_blame(r, name, 0, err);
    r->image.len = (size_t)bytes;
    return ERR_OK;
}

static enum err found_read_head(struct recovery *r, struct found *f)
{
    enum err err = image_read(r, f->name, SEGMENT_HEAD_BYTES);
    if (err != ERR_OK) return err;
    err = segment_get_head(buffer_view(&r->image), SEGMENT_MAGIC, &f->head);
    if (err == ERR_NEWER) return recovery_blame(r, f->name, 0, err);
    f->has_head = err == ERR_OK;
    if (f->has_head && !recovery_is_ours(r, &f->head, f->number)) return recovery_blame(r, f->name, 0, ERR_CORRUPT);
    return ERR_OK;
}

/* A segment that took the place of others may be there beside them. */
static void drop_replaced(struct recovery *r, const struct segment_head *head)
{
    if (head->replaces == 0) return;
    for (uint32_t i = 0; i < r->count; i++) {
        struct found *f = &r->found[i];
        bool is_replaced = f->number >= head->replaces && f->number < head->place.number;
        if (f->kind == FOUND_SEGMENT && is_replaced) f->is_stale = true;
    }
}

static enum err read_heads(struct recovery *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct found *f = &r->found[i];
        if (f->kind != FOUND_SEGMENT || f->is_stale) continue;
        enum err err = found_read_head(r, f);
        if (err != ERR_OK) return err;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->found[i].has_head) drop_replaced(r, &r->found[i].head);
    }
    return ERR_OK;
}

/* Where the zeros begin that go on to the end; not below from. */
static size_t image_used(struct bytes image, size_t from)
{
    size_t end = image.len;
    while (end > from && image.ptr[end - 1] == 0) end--;
    return end;
}

/* All sound blocks from the start on, to the sink. *ret_end is behind the last. */
static enum err read_blocks(struct recovery *r, const struct found *f, size_t *ret_end)
{
    struct bytes image = buffer_view(&r->image);
    size_t at = SEGMENT_HEAD_BYTES;
    enum err err = ERR_OK;
    while (err == ERR_OK) {
        struct bytes here = bytes_of(image.ptr + at, image.len - at), record;
        struct segment_block block;
        if (!segment_get_block(here, &f->head.place, at, &block)) break;
        if (block.number != r->expected || block.kind > SEGMENT_KIND_MAX) break;
        if (!segment_get_record(here, &block, &record)) break;
        err = recovery_hand_over(r, block.kind, record);
        at += SEGMENT_BLOCK_BYTES + record.len;
        r->expected++;
    }
    *ret_end = at;
    return err;
}

/* A segment without a head: the crash came in the middle of a rotation, and all before it is whole. Or damage. */
static enum err read_headless(struct recovery *r, const struct found *f, bool is_last)
{
    struct bytes image = buffer_view(&r->image);
    struct place place = { SEGMENT_MAGIC, r->j->id, f->number };
    bool is_first = !r->before;
    if (!is_last || is_first || segment_says_synced(image, 0, &place, r->expected)) {
        return recovery_blame(r, f->name, 0, ERR_CORRUPT);
    }
    r->report->torn_bytes += image_used(image, 0);
    r->image_good = 0;
    r->first_block = r->expected;
    r->replaces = f->number;
    return ERR_OK;
}

/* The blocks of the segment end at `end`. Whether they should. */
static enum err judge_tail(struct recovery *r, const struct found *f, size_t end, bool is_last)
{
    struct bytes image = buffer_view(&r->image);
    size_t used = image_used(image, end);
    bool is_promised = f->head.synced >= r->expected;
    if (used > end) {
        is_promised = is_promised || !is_last || segment_says_synced(image, end, &f->head.place, r->expected);
    }
    if (is_promised) return recovery_blame(r, f->name, end, ERR_CORRUPT);
    r->report->torn_bytes += used - end;
    return ERR_OK;
}

static enum err read_segment(struct recovery *r, const struct found *f, bool is_last)
{
    enum err err = journal_reserve_info(r->j);
    if (err == ERR_OK) err = image_read(r, f->name, UINT64_MAX);
    if (err != ERR_OK) return err;
    if (!f->has_head) return read_headless(r, f, is_last);
    if (f->head.first_block != r->expected) {
        bool is_gap = f->head.first_block > r->expected && r->before && r->before->kind == FOUND_SEGMENT;
        return recovery_blame(r, is_gap ? r->before->name : f->name, is_gap ? r->before_end : 0, ERR_CORRUPT);
    }
    size_t end = 0;
    err = read_blocks(r, f, &end);
    if (err != ERR_OK) return recovery_blame(r, f->name, end, err);
    err = judge_tail(r, f, end, is_last);
    if (err != ERR_OK) return err;
    r->image_good = end;
    r->first_block = f->head.first_block;
    r->replaces = f->head.replaces > 0 ? f->head.replaces : f->number;
    r->before = f;
    r->before_end = end;
    if (!is_last) {
        r->j->segments[r->j->segments_count++] = (struct segment_info){ f->number, f->head.first_block, end };
    }
    return ERR_OK;
}

static struct found *last_segment(struct recovery *r)
{
    for (uint32_t i = r->count; i > 0; i--) {
        struct found *f = &r->found[i - 1];
        if (f->kind == FOUND_SEGMENT && !f->is_stale) return f;
    }
    return NULL;
}

static enum err read_segments(struct recovery *r)
{
    enum err err = read_heads(r);
    if (err != ERR_OK) return err;
    struct found *last = r->last = last_segment(r);
    if (!last) { /* there is always one behind a snapshot */
        char name[STORAGE_NAME_MAX];
        name_of(NAME_SEGMENT, r->number_max, name);
        return recovery_blame(r, name, 0, ERR_CORRUPT);
    }
    for (uint32_t i = 0; i < r->count && err == ERR_OK; i++) {
        const struct found *f = &r->found[i];
        if (f->kind == FOUND_SEGMENT && !f->is_stale) err = read_segment(r, f, f == last);
    }
    last->is_stale = true; /* (2) is about to take its place */
    return err;
}

static enum err recovery_read(struct recovery *r)
{
    r->expected = 1;
    r->report->fresh = r->number_max == 0;
    if (r->report->fresh) {
        r->first_block = 1;
        return id128_is_zero(&r->j->id) ? ERR_INVALID : ERR_OK;
    }
    const struct found *snapshot = choose_snapshot(r);
    enum err err = snapshot ? recovery_snapshot(r, snapshot) : ERR_OK;
    return err == ERR_OK ? read_segments(r) : err;
}

/* (2) The segment to go on with: what held of the last one, under a number of its own, and synced */

static struct segment_head begin_head(const struct recovery *r, uint64_t number, uint64_t replaces)
{
    return (struct segment_head){
        .place = { SEGMENT_MAGIC, r->j->id, number },
        .first_block = r->first_block,
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

/* A node whose disk is full must be able to start. Then the last segment stays: the same bytes are written over it,
 * which puts them on disk just as a copy would, and zeros over the torn ones. A crash in between leaves at each place
 * what was there or what holds. */
static enum err begin_in_place(struct recovery *r)
{
    struct journal *j = r->j;
    uint64_t room = 0;
    if (!r->last || r->image.len < SEGMENT_HEAD_BYTES) return ERR_FULL;
    enum err err = j->storage.ops->open(j->storage.disk, r->last->name, &j->active, &room);
    if (err != ERR_OK) return err;
    if (!r->last->has_head) {
        struct segment_head head = begin_head(r, r->last->number, 0);
        segment_put_head(r->image.ptr, &head);
    }
    size_t used = image_used(buffer_view(&r->image), r->image_good);
    memset(r->image.ptr + r->image_good, 0, used - r->image_good);
    err = j->storage.ops->write(j->active, 0, bytes_of(r->image.ptr, used));
    if (err == ERR_OK) err = j->storage.ops->sync(j->active);
    j->active_room = room;
    r->last->is_stale = false;
    return err;
}

/* The segment's number goes to *ret_number. */
static enum err begin_segment(struct recovery *r, uint64_t *ret_number)
{
    struct journal *j = r->j;
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

static enum err recovery_begin(struct recovery *r)
{
    struct journal *j = r->j;
    enum err err = journal_reserve_info(j);
    if (err != ERR_OK) return err;
    if (r->image_good == 0) { /* nothing holds, not even a head */
        if (r->image.len < SEGMENT_HEAD_BYTES && !buffer_reserve(&r->image, SEGMENT_HEAD_BYTES)) return ERR_NOMEM;
        r->image_good = SEGMENT_HEAD_BYTES;
    }
    uint64_t number = 0;
    err = begin_segment(r, &number);
    if (err != ERR_OK) return recovery_blame(r, NAME_SEGMENT_NEW, 0, err);
    j->segments[j->segments_count++] = (struct segment_info){ number, r->first_block, r->image_good };
    j->block_written = j->block_synced = r->expected - 1;
    return ERR_OK;
}

/* (3) */
static enum err recovery_tidy(struct recovery *r)
{
    const struct storage *storage = &r->j->storage;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct found *f = &r->found[i];
        if (!f->is_stale) continue;
        enum err err = storage->ops->remove(storage->disk, f->name);
        if (err != ERR_OK && err != ERR_NOT_FOUND) return recovery_blame(r, f->name, 0, err);
    }
    return ERR_OK;
}

enum err recovery_run(struct journal *j, journal_sink *sink, void *context, struct journal_report *report)
{
    struct recovery r = { .j = j, .sink = sink, .context = context, .report = report };
    enum err err = recovery_list(&r);
    if (err == ERR_OK) err = recovery_read(&r);
    if (err == ERR_OK) err = recovery_begin(&r);
    if (err == ERR_OK) err = recovery_tidy(&r);
    buffer_release(&r.image);
    mem_free(r.found);
    return err;
}
