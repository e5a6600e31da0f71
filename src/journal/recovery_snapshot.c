/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot may be larger than memory has to spare, so it is read through a window that moves along the file. It was
 * synced before it got its name: whatever is not right in it is damage. What the first records of a snapshot claim
 * rests on all the others, so it is read twice: is it whole, and only then, what is in it. */
#include "journal/recovery.h"

#define WINDOW_BYTES (1u << 20)

struct window {
    struct recovery *r;
    struct found *f;
    struct place place;
    struct storage_file *file;
    uint64_t file_bytes;
    uint64_t start; /* of the buffer's bytes, in the file */
    struct buffer buffer;
    uint64_t at, number; /* of the next block */
    bool is_judging;     /* nothing is handed over */
};

/* The file's bytes from `at` on, at least len of them. ERR_CORRUPT if the file ends before. */
static enum err window_move(struct window *w, uint64_t at, uint64_t len, struct bytes *ret_here)
{
    if (at > w->file_bytes || len > w->file_bytes - at) return ERR_CORRUPT;
    if (at < w->start || at + len > w->start + w->buffer.len) {
        uint64_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;
        if (want > w->file_bytes - at) want = w->file_bytes - at;
        buffer_clear(&w->buffer);
        uint8_t *into = buffer_reserve(&w->buffer, (size_t)want);
        if (!into) return ERR_NOMEM;
        enum err err = w->r->j->storage.ops->read(w->file, at, into, want);
        if (err != ERR_OK) return err;
        w->start = at;
        w->buffer.len = (size_t)want;
    }
    size_t skip = (size_t)(at - w->start);
    *ret_here = bytes_of(w->buffer.ptr + skip, w->buffer.len - skip);
    return ERR_OK;
}

static enum err read_block(struct window *w, uint64_t at, struct segment_block *ret_block, struct bytes *ret_record)
{
    struct bytes here;
    enum err err = window_move(w, at, SEGMENT_BLOCK_BYTES, &here);
    if (err != ERR_OK) return err;
    if (!segment_get_block(here, &w->place, at, ret_block)) return ERR_CORRUPT;
    err = window_move(w, at, SEGMENT_BLOCK_BYTES + (uint64_t)ret_block->record_bytes, &here);
    if (err != ERR_OK) return err;
    return segment_get_record(here, ret_block, ret_record) ? ERR_OK : ERR_CORRUPT;
}

/* Up to the footer, which is the end of the file. ERR_CORRUPT: w->at is where something else stands. */
static enum err read_run(struct window *w)
{
    for (;;) {
        struct segment_block block;
        struct bytes record;
        enum err err = read_block(w, w->at, &block, &record);
        if (err != ERR_OK) return err;
        if (block.number != w->number) return ERR_CORRUPT;
        if (block.kind == SEGMENT_KIND_FOOTER) {
            w->at += SEGMENT_BLOCK_BYTES + record.len;
            return record.len == 0 && w->at == w->file_bytes ? ERR_OK : ERR_CORRUPT;
        }
        if (!w->is_judging) err = recovery_hand_over(w->r, block.kind, record);
        if (err != ERR_OK) return recovery_blame(w->r, w->f->name, w->at, err);
        w->at += SEGMENT_BLOCK_BYTES + record.len;
        w->number++;
    }
}

/* The next sound block, wherever it is. ERR_NOT_FOUND. */
static enum err find_block(struct window *w, uint64_t *ret_at, uint64_t *ret_number)
{
    uint64_t at = w->at;
    while (at + SEGMENT_BLOCK_BYTES <= w->file_bytes) {
        struct bytes here, record;
        struct segment_block block;
        size_t skip;
        enum err err = window_move(w, at, SEGMENT_BLOCK_BYTES, &here);
        if (err != ERR_OK) return err;
        if (!segment_find_head(here, at, &w->place, w->number, &skip, &block)) {
            at += here.len - SEGMENT_BLOCK_BYTES + 1;
            continue;
        }
        at += skip;
        err = read_block(w, at, &block, &record);
        if (err == ERR_OK) {
            *ret_at = at;
            *ret_number = block.number;
            return ERR_OK;
        }
        if (err != ERR_CORRUPT) return err;
        at++;
    }
    return ERR_NOT_FOUND;
}

/* Hands over whatever is sound. */
static enum err salvage(struct window *w)
{
    for (;;) {
        enum err err = read_run(w);
        if (err != ERR_CORRUPT || w->r->report->file[0]) return err; /* the sink's own is final */
        uint64_t next = 0, number = 0;
        err = find_block(w, &next, &number);
        if (err != ERR_OK && err != ERR_NOT_FOUND) return err;
        bool is_end = err == ERR_NOT_FOUND;
        if (is_end) next = w->file_bytes;
        err = recovery_hole(w->r, w->f->name, w->at, next - w->at);
        if (err != ERR_OK || is_end) return err;
        w->at = next;
        w->number = number;
    }
}

static void window_rewind(struct window *w)
{
    w->at = w->f->has_head ? SEGMENT_HEAD_BYTES : 0;
    w->number = 1;
}

static enum err read_all(struct window *w)
{
    window_rewind(w);
    w->is_judging = true;
    enum err err = w->f->has_head ? read_run(w) : ERR_CORRUPT;
    bool is_damaged = err == ERR_CORRUPT;
    if (err != ERR_OK && !is_damaged) return err;
    window_rewind(w);
    w->is_judging = false;
    if (!is_damaged) return read_run(w);
    w->f->is_damaged = true;
    err = recovery_announce(w->r);
    return err == ERR_OK ? salvage(w) : err;
}

enum err recovery_read_snapshot(struct recovery *r, struct found *snapshot)
{
    struct journal *j = r->j;
    struct window w = { .r = r, .f = snapshot, .place = { SEGMENT_SNAPSHOT_MAGIC, j->id, snapshot->number } };
    enum err err = j->storage.ops->open(j->storage.disk, snapshot->name, &w.file, &w.file_bytes);
    if (err != ERR_OK) return recovery_blame(r, snapshot->name, 0, err);
    err = read_all(&w);
    buffer_release(&w.buffer);
    j->storage.ops->close(w.file);
    if (err != ERR_OK) return r->report->file[0] ? err : recovery_blame(r, snapshot->name, w.at, err);
    r->expected = snapshot->has_head ? snapshot->head.first_block : 0;
    r->before = snapshot;
    r->before_end = w.file_bytes;
    r->report->snapshot = j->snapshot = snapshot->number;
    j->snapshot_bytes = w.file_bytes;
    j->snapshot_is_damaged = snapshot->is_damaged && !snapshot->is_aside;
    return ERR_OK;
}
