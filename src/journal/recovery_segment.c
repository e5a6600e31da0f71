/* SPDX-License-Identifier: Apache-2.0 */
/* What is promised, and how recovery knows (invariant 2 in journal.h):
 *  - All of a segment behind which there is another, since it was synced before that one got its name.
 *  - Blocks that the head of a segment, or of a block found anywhere in the rest of it, says were synced.
 *  - The head of the first segment in line, which was synced before it got its name.
 *  - The room of a segment, which is made before it gets its name: one that is shorter was cut off by somebody.
 * What is bad there is a hole: whatever sound block comes next is looked for, and reading goes on from it. What is bad
 * elsewhere can only be at the tail of the last segment, and is cut. */
#include "journal/recovery.h"

size_t recovery_image_used(const struct recovery *r, size_t from)
{
    size_t end = r->image.len;
    while (end > from && r->image.ptr[end - 1] == 0) end--;
    return end;
}

/* A segment on its way through here. */
struct reading {
    struct found *f;
    struct place place;
    bool is_last;
    bool has_searched;
    uint64_t promised; /* blocks up to this one, as far as was looked */
    size_t at;
};

/* Sound blocks without a gap, to the sink. */
static enum err read_run(struct recovery *r, struct reading *s)
{
    struct bytes image = buffer_view(&r->image);
    enum err err = ERR_OK;
    while (err == ERR_OK && s->at < image.len) {
        struct bytes here = bytes_of(image.ptr + s->at, image.len - s->at), record;
        struct segment_block block;
        if (!segment_get_block(here, &s->place, s->at, &block)) break;
        if (block.number != r->expected || block.kind > SEGMENT_KIND_MAX) break;
        if (!segment_get_record(here, &block, &record)) break;
        err = recovery_hand_over(r, block.kind, record);
        if (err != ERR_OK) return recovery_blame(r, s->f->name, s->at, err);
        s->at += SEGMENT_BLOCK_BYTES + record.len;
        r->expected++;
    }
    return err;
}

/* The next sound block that may follow, wherever it is. */
static bool find_block(const struct recovery *r, const struct reading *s, size_t *ret_at, uint64_t *ret_number)
{
    size_t from = s->at, skip;
    struct segment_block block;
    struct bytes record;
    uint64_t number_min = r->expected > 0 ? r->expected : 1;
    for (; from < r->image.len; from++) {
        struct bytes here = bytes_of(r->image.ptr + from, r->image.len - from);
        if (!segment_find_head(here, from, &s->place, number_min, &skip, &block)) return false;
        from += skip;
        here = bytes_of(r->image.ptr + from, r->image.len - from);
        if (block.kind > SEGMENT_KIND_MAX || !segment_get_record(here, &block, &record)) continue;
        *ret_at = from;
        *ret_number = block.number;
        return true;
    }
    return false;
}

/* Nothing sound stands at s->at. */
static bool is_promised(struct recovery *r, struct reading *s, size_t used)
{
    if (!s->f->has_head && s->at == 0) return true;
    if (s->is_last && r->image.len < r->j->segment_bytes) return true;
    if (used > s->at && !s->is_last) return true;
    if (used > s->at && !s->has_searched) {
        uint64_t synced = segment_synced(buffer_view(&r->image), s->at, &s->place);
        if (synced > s->promised) s->promised = synced;
        s->has_searched = true; /* what comes later cannot say more */
    }
    return s->promised >= r->expected;
}

/* A hole up to the end. The numbers must show it once another segment stands behind this one. */
static enum err end_in_hole(struct recovery *r, struct reading *s, size_t used)
{
    r->tail_is_damaged = true;
    uint64_t next = s->promised >= r->expected ? s->promised + 1 : r->expected;
    if (s->is_last && r->expected > 0) r->expected = next > r->expected ? next : r->expected + 1;
    s->f->is_damaged = true;
    return recovery_hole(r, s->f->name, s->at, used - s->at);
}

static enum err read_blocks(struct recovery *r, struct reading *s)
{
    for (;;) {
        enum err err = read_run(r, s);
        if (err != ERR_OK) return err;
        size_t used = recovery_image_used(r, s->at), next = 0;
        if (!is_promised(r, s, used)) {
            r->report->torn_bytes += used - s->at;
            return ERR_OK;
        }
        uint64_t number = 0;
        if (used == s->at || !find_block(r, s, &next, &number)) return end_in_hole(r, s, used);
        s->f->is_damaged = true;
        err = recovery_hole(r, s->f->name, s->at, next - s->at);
        if (err != ERR_OK) return err;
        s->at = next;
        r->expected = number;
    }
}

/* A segment without a head may be one whose crash came in the middle of a rotation; then all before it is whole. */
static bool is_rotation(const struct recovery *r, const struct reading *s)
{
    if (!s->is_last || !r->before || r->tail_is_damaged || r->image.len < r->j->segment_bytes) return false;
    return segment_synced(buffer_view(&r->image), 0, &s->place) < r->expected;
}

/* Whether what comes before this segment reaches up to it. */
static enum err join_up(struct recovery *r, const struct found *f)
{
    uint64_t first = f->head.first_block;
    bool is_gap = r->expected > 0 && first > r->expected;
    if (r->expected > first) return recovery_blame(r, f->name, 0, ERR_CORRUPT);
    r->expected = first;
    if (!is_gap || r->tail_is_damaged) return ERR_OK; /* or it was told already */
    bool follows = r->before && r->before->kind == FOUND_SEGMENT;
    if (follows && !r->before->is_aside) /* it may have been cut off */
        r->j->segments[r->j->segments_count - 1].is_damaged = true;
    return recovery_hole(r, follows ? r->before->name : f->name, follows ? r->before_end : 0, 0);
}

static void note_rotation(struct recovery *r, const struct found *f)
{
    r->report->torn_bytes += recovery_image_used(r, 0);
    r->last_is_rotation = true;
    r->image_good = 0;
    r->first_block = r->expected;
    r->replaces = f->number;
}

enum err recovery_read_segment(struct recovery *r, struct found *f, bool is_last)
{
    struct reading s = { .f = f, .place = { SEGMENT_MAGIC, r->j->id, f->number }, .is_last = is_last };
    enum err err = journal_reserve_info(r->j, 1);
    if (err == ERR_OK) err = recovery_read_image(r, f->name, UINT64_MAX);
    if (err != ERR_OK) return err;
    if (f->has_head) {
        s.at = SEGMENT_HEAD_BYTES;
        s.promised = f->head.synced;
        err = join_up(r, f);
    } else if (is_rotation(r, &s)) {
        note_rotation(r, f);
        return ERR_OK;
    }
    r->tail_is_damaged = false;
    uint64_t first = r->expected > 0 ? r->expected : 1;
    if (err == ERR_OK) err = read_blocks(r, &s);
    if (err != ERR_OK) return err;
    r->image_good = s.at;
    r->first_block = first;
    r->replaces = f->head.replaces > 0 ? f->head.replaces : f->number;
    r->before = f;
    r->before_end = s.at;
    if (!is_last)
        r->j->segments[r->j->segments_count++] =
            (struct segment_info){ f->number, first, s.at, f->is_damaged && !f->is_aside };
    return ERR_OK;
}
