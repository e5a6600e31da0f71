/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/recovery.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdlib.h>

enum err recovery_blame(struct recovery *r, const char *name, uint64_t offset, enum err err)
{
    memcpy(r->report->file, name, strlen(name) + 1);
    r->report->offset = offset;
    return err;
}

enum err recovery_hand_over(struct recovery *r, uint8_t kind, struct bytes record)
{
    r->report->records++;
    r->report->bytes += record.len;
    return r->sink(r->context, kind, record);
}

enum err recovery_announce(struct recovery *r)
{
    r->is_damaged = true;
    return r->sink(r->context, JOURNAL_HOLE, bytes_of(NULL, 0));
}

enum err recovery_hole(struct recovery *r, const char *name, uint64_t offset, uint64_t bytes)
{
    if (r->report->holes < JOURNAL_HOLES_MAX) {
        struct journal_hole *hole = &r->report->hole[r->report->holes];
        *hole = (struct journal_hole){ .offset = offset, .bytes = bytes };
        memcpy(hole->file, name, strlen(name) + 1);
    }
    r->report->holes++;
    r->is_damaged = true;
    struct buffer where = { 0 };
    buffer_printf(&where, "%s at byte %" PRIu64, name, offset);
    enum err err = buffer_end(&where);
    if (err == ERR_OK) err = r->sink(r->context, JOURNAL_HOLE, buffer_view(&where));
    buffer_release(&where);
    return err;
}

/* What is there */

static bool name_is_work(const char *name)
{
    static const char *const names[] = { NAME_SEGMENT_NEW, NAME_SNAPSHOT_NEW, NAME_SPARE_A, NAME_SPARE_B };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return false;
}

static bool name_is_numbered(const char *name, struct found *found)
{
    static const struct {
        const char *prefix;
        enum found_kind kind;
        bool is_aside;
    } forms[] = { { NAME_SEGMENT, FOUND_SEGMENT, false },
                  { NAME_SNAPSHOT, FOUND_SNAPSHOT, false },
                  { NAME_ASIDE_SEGMENT, FOUND_SEGMENT, true },
                  { NAME_ASIDE_SNAPSHOT, FOUND_SNAPSHOT, true } };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!name_number(name, forms[i].prefix, &found->number)) continue;
        found->kind = forms[i].kind;
        found->is_aside = forms[i].is_aside;
        return true;
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
    if (!name_is_numbered(name, &found) && !name_is_work(name)) return; /* not ours */
    memcpy(found.name, name, strlen(name) + 1);
    found.is_stale = found.kind == FOUND_WORK;
    if (r->list_err == ERR_OK) r->list_err = found_add(r, &found);
}

/* By number; of two of one kind and number the one that was set aside stands behind. */
static int found_order(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->number != right->number) return left->number > right->number ? 1 : -1;
    if (left->kind != right->kind) return left->kind > right->kind ? 1 : -1;
    return (int)left->is_aside - (int)right->is_aside;
}

static enum err recovery_list(struct recovery *r)
{
    const struct storage *storage = &r->j->storage;
    enum err err = storage->ops->list(storage->disk, found_visit, r);
    if (err == ERR_OK) err = r->list_err;
    if (err != ERR_OK) return err;
    if (r->count > 0) qsort(r->found, r->count, sizeof *r->found, found_order);
    for (uint32_t i = 0; i < r->count; i++) {
        struct found *f = &r->found[i];
        if (f->kind == FOUND_WORK) continue;
        bool is_numbered = f->number > 0 && f->number <= SEGMENT_FOUND_MAX;
        if (!is_numbered) return recovery_blame(r, f->name, 0, ERR_CORRUPT);
        if (f->number > r->number_max) r->number_max = f->number;
        const struct found *before = i > 0 ? &r->found[i - 1] : f;
        if (f->is_aside && before->kind == f->kind && before->number == f->number && !before->is_aside)
            f->is_stale = true; /* somebody put the file back */
    }
    return ERR_OK;
}

/* Only the newest snapshot counts, and only what comes after it. */
static struct found *choose_snapshot(struct recovery *r)
{
    struct found *newest = NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->found[i].kind == FOUND_SNAPSHOT && !r->found[i].is_stale) newest = &r->found[i];
    }
    if (!newest) return NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->found[i].number < newest->number) r->found[i].is_stale = true;
    }
    return newest;
}

/* Heads */

enum err recovery_read_image(struct recovery *r, const char *name, uint64_t bytes_max)
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

/* A head that is sound and says another place was put there by somebody: no damage, and no guess is made. */
static enum err found_read_head(struct recovery *r, struct found *f)
{
    enum err err = recovery_read_image(r, f->name, SEGMENT_HEAD_BYTES);
    if (err != ERR_OK) return err;
    uint64_t magic = f->kind == FOUND_SNAPSHOT ? SEGMENT_SNAPSHOT_MAGIC : SEGMENT_MAGIC;
    err = segment_get_head(buffer_view(&r->image), magic, &f->head);
    if (err == ERR_NEWER) return recovery_blame(r, f->name, 0, err);
    f->has_head = err == ERR_OK;
    if (!f->has_head) return ERR_OK;
    if (!r->has_id) r->j->id = f->head.place.id;
    r->has_id = true;
    bool is_ours = id128_equal(&f->head.place.id, &r->j->id) && f->head.place.number == f->number;
    return is_ours ? ERR_OK : recovery_blame(r, f->name, 0, ERR_CORRUPT);
}

/* No head is sound. What one has at the place of the id is the id, if its damage is elsewhere; and if it is not, no
 * block will agree with it. */
static enum err guess_id(struct recovery *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct found *f = &r->found[i];
        if (f->is_stale) continue;
        enum err err = recovery_read_image(r, f->name, SEGMENT_HEAD_BYTES);
        if (err != ERR_OK) return err;
        if (r->image.len < SEGMENT_HEAD_BYTES) continue;
        struct id128 id;
        memcpy(id.bytes, r->image.ptr + 16, sizeof id.bytes);
        if (id128_is_zero(&id)) continue;
        r->j->id = id;
        return ERR_OK;
    }
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
        if (f->kind == FOUND_WORK || f->is_stale) continue;
        enum err err = found_read_head(r, f);
        if (err != ERR_OK) return err;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->found[i].has_head && r->found[i].kind == FOUND_SEGMENT) drop_replaced(r, &r->found[i].head);
    }
    return r->has_id ? ERR_OK : guess_id(r);
}

/* Everything */

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
    enum err err = ERR_OK;
    r->last = last_segment(r);
    for (uint32_t i = 0; i < r->count && err == ERR_OK; i++) {
        struct found *f = &r->found[i];
        if (f->kind == FOUND_SEGMENT && !f->is_stale) err = recovery_read_segment(r, f, f == r->last);
    }
    if (err != ERR_OK || r->last) return err;
    char name[STORAGE_NAME_MAX]; /* there is always one behind a snapshot */
    name_of(NAME_SEGMENT, r->number_max, name);
    r->tail_is_damaged = true;
    if (r->expected > 0) r->expected++;
    return recovery_hole(r, name, 0, 0);
}

static enum err recovery_read(struct recovery *r)
{
    r->expected = 1;
    r->report->fresh = r->number_max == 0;
    if (r->report->fresh) {
        r->first_block = 1;
        return id128_is_zero(&r->j->id) ? ERR_INVALID : ERR_OK;
    }
    struct found *snapshot = choose_snapshot(r);
    enum err err = read_heads(r);
    if (err == ERR_OK && snapshot) err = recovery_read_snapshot(r, snapshot);
    if (err == ERR_OK) err = read_segments(r);
    if (err == ERR_OK && r->expected == 0)
        r->expected = 1; /* not one block was found, whose numbers could be met again */
    if (err == ERR_OK && id128_is_zero(&r->j->id)) err = ERR_INVALID;
    return err;
}

/* (3) */
static enum err recovery_tidy(struct recovery *r)
{
    const struct storage *storage = &r->j->storage;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct found *f = &r->found[i];
        if (!f->is_stale || f->is_aside || (r->is_damaged && f->kind != FOUND_WORK)) continue;
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
