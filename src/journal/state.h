/* SPDX-License-Identifier: Apache-2.0 */
/* state: what journal.c, recovery.c and snapshot.c share. Private to src/journal/. */
#ifndef QUIPU_JOURNAL_STATE_H
#define QUIPU_JOURNAL_STATE_H

#include "journal/journal.h"
#include "journal/segment.h"

/* Names: "journal-" or "snapshot-" and 16 hex digits are part of the journal; the rest is work in progress, which means
 * nothing to a recovery and is removed after it. */
#define NAME_SEGMENT "journal-"
#define NAME_SNAPSHOT "snapshot-"
#define NAME_ASIDE_SEGMENT "damaged-journal-" /* what damaged files become once a snapshot has replaced them */
#define NAME_ASIDE_SNAPSHOT "damaged-snapshot-"
#define NAME_SEGMENT_NEW "journal.tmp"
#define NAME_SNAPSHOT_NEW "snapshot.tmp"
#define NAME_SPARE_A "spare-a"
#define NAME_SPARE_B "spare-b"

void name_of(const char *prefix, uint64_t number, char ret_name[STORAGE_NAME_MAX]);
/* False if the name is not exactly prefix and 16 lower-case hex digits. */
bool name_number(const char *name, const char *prefix, uint64_t *ret_number);

/* Makes a file under a name of work in progress; one that is left over from an attempt before goes first. */
MUST_USE enum err storage_create_anew(const struct storage *storage, const char *name, uint64_t reserve,
                                      struct storage_file **ret_file);
/* Removes work in progress after a failure. Should that fail as well, storage_create_anew or the next start does it. */
void storage_discard(const struct storage *storage, const char *name);

struct segment_info {
    uint64_t number, first_block, bytes;
    bool is_damaged; /* and to be kept for the operator */
};

struct journal {
    struct storage storage;
    struct id128 id;
    uint64_t segment_bytes;
    struct segment_info *segments; /* rising; the last is active, those before `snapshot` are to be removed */
    uint32_t segments_count, segments_cap;
    struct storage_file *active;
    uint64_t active_room;
    struct storage_file *spare; /* NULL: the journal is full */
    uint64_t spare_room;
    bool spare_is_b;
    uint64_t room_wanted;         /* by a journal_write that ended with ERR_FULL */
    struct storage_file *syncing; /* handed out by journal_sync_begin */
    bool syncing_is_retired;      /* and no longer active: journal_sync_end closes it */
    struct buffer pending;        /* appended, not written */
    uint64_t block_written, block_synced;
    uint64_t snapshot, snapshot_bytes;
    uint64_t snapshot_replaced; /* still to be removed; 0: none */
    bool snapshot_under_way, snapshot_is_damaged;
};

static inline struct segment_info *journal_active(const struct journal *j)
{
    return &j->segments[j->segments_count - 1];
}

/* Room in memory for so many more segment_info. */
MUST_USE enum err journal_reserve_info(struct journal *j, uint32_t more);

#endif
