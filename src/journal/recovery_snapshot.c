/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot may be larger than memory has to spare, so it is read through a window that moves along the file. It was
 * synced before it got its name: whatever is not right in it is damage. */
#include "journal/recovery.h"

#define WINDOW_BYTES (1u << 20)

struct window {
    const struct storage *storage;
    struct storage_file *file;
    uint64_t file_bytes;
    uint64_t start; /* of the buffer's bytes, in the file */
    struct buffer buffer;
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
        enum err err = w->storage->ops->read(w->file, at, into, want);
        if (err != ERR_OK) return err;
        w->start = at;
        w->buffer.len = (size_t)want;
    }
    size_t skip = (size_t)(at - w->start);
    *ret_here = bytes_of(w->buffer.ptr + skip, w->buffer.len - skip);
    return ERR_OK;
}

static enum err read_head(struct recovery *r, struct window *w, uint64_t number, struct segment_head *ret_head)
{
    struct bytes here;
    enum err err = window_move(w, 0, SEGMENT_HEAD_BYTES, &here);
    if (err == ERR_OK) err = segment_get_head(here, SEGMENT_SNAPSHOT_MAGIC, ret_head);
    if (err == ERR_OK && !recovery_is_ours(r, ret_head, number)) err = ERR_CORRUPT;
    return err;
}

static enum err read_block(struct window *w, const struct place *place, uint64_t at, uint64_t number,
                           struct segment_block *ret_block, struct bytes *ret_record)
{
    struct bytes here;
    enum err err = window_move(w, at, SEGMENT_BLOCK_BYTES, &here);
    if (err != ERR_OK) return err;
    if (!segment_get_block(here, place, at, ret_block) || ret_block->number != number) return ERR_CORRUPT;
    err = window_move(w, at, SEGMENT_BLOCK_BYTES + (uint64_t)ret_block->record_bytes, &here);
    if (err != ERR_OK) return err;
    return segment_get_record(here, ret_block, ret_record) ? ERR_OK : ERR_CORRUPT;
}

/* *at moves along with what was read, so that an error can be placed. */
static enum err read_blocks(struct recovery *r, struct window *w, const struct place *place, uint64_t *at)
{
    for (uint64_t number = 1;; number++) {
        struct segment_block block;
        struct bytes record;
        enum err err = read_block(w, place, *at, number, &block, &record);
        if (err != ERR_OK) return err;
        if (block.kind == SEGMENT_KIND_FOOTER) {
            bool is_end = record.len == 0 && *at + SEGMENT_BLOCK_BYTES == w->file_bytes;
            return is_end ? ERR_OK : ERR_CORRUPT;
        }
        err = recovery_hand_over(r, block.kind, record);
        if (err != ERR_OK) return err;
        *at += SEGMENT_BLOCK_BYTES + record.len;
    }
}

enum err recovery_snapshot(struct recovery *r, const struct found *snapshot)
{
    const struct storage *storage = &r->j->storage;
    struct window w = { .storage = storage };
    enum err err = storage->ops->open(storage->disk, snapshot->name, &w.file, &w.file_bytes);
    if (err != ERR_OK) return recovery_blame(r, snapshot->name, 0, err);
    uint64_t at = 0;
    struct segment_head head;
    err = read_head(r, &w, snapshot->number, &head);
    if (err == ERR_OK) {
        at = SEGMENT_HEAD_BYTES;
        err = read_blocks(r, &w, &head.place, &at);
    }
    buffer_release(&w.buffer);
    storage->ops->close(w.file);
    if (err != ERR_OK) return recovery_blame(r, snapshot->name, at, err);
    r->expected = head.first_block;
    r->before = snapshot;
    r->before_end = w.file_bytes;
    r->report->snapshot = r->j->snapshot = snapshot->number;
    r->j->snapshot_bytes = w.file_bytes;
    return ERR_OK;
}
