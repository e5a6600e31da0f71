/* SPDX-License-Identifier: Apache-2.0 */
/* recovery: from the files of a directory to an open journal. Private to src/journal/.
 *  (1) Everything is read and judged, and the sink has had every record, before anything in the directory changes.
 *  (2) Then one rename makes the new last segment part of the journal; before it, what was there stays as it was. If
 *      the disk is full there is no new one, and the last is written over with what it holds.
 *  (3) Then goes what is of no use any more. A crash or an error in between leaves files that the next one removes. */
#ifndef QUIPU_JOURNAL_RECOVERY_H
#define QUIPU_JOURNAL_RECOVERY_H

#include "journal/state.h"

/* j has storage, id (used by a fresh journal) and segment_bytes. On OK it is ready but for the spare. */
MUST_USE enum err recovery_run(struct journal *j, journal_sink *sink, void *context, struct journal_report *report);

enum found_kind { FOUND_SEGMENT, FOUND_SNAPSHOT, FOUND_WORK };

struct found {
    char name[STORAGE_NAME_MAX];
    enum found_kind kind;
    uint64_t number; /* 0 for work in progress */
    bool is_stale;   /* no part of the journal: to be removed */
    bool has_head;
    struct segment_head head;
};

struct recovery {
    struct journal *j;
    journal_sink *sink;
    void *context;
    struct journal_report *report;
    enum err list_err;   /* of the visitor, which cannot return one */
    struct found *found; /* by number */
    uint32_t count, cap;
    uint64_t number_max;
    bool has_id;
    uint64_t expected;          /* number of the next block */
    const struct found *before; /* what was read last, and up to where */
    uint64_t before_end;
    struct found *last;  /* segment; NULL: a fresh journal */
    struct buffer image; /* the segment read last, and how much of it holds; 0: not even its head */
    size_t image_good;
    uint64_t first_block, replaces; /* for the segment that takes its place */
};

/* For the report. Returns err. */
MUST_USE enum err recovery_blame(struct recovery *r, const char *name, uint64_t offset, enum err err);
/* Whether the head's place is the one its name says, in the same journal as the others'. The first one decides. */
bool recovery_is_ours(struct recovery *r, const struct segment_head *head, uint64_t number);
MUST_USE enum err recovery_hand_over(struct recovery *r, uint8_t kind, struct bytes record);
/* Hands over all of a snapshot, and learns with which block its segment begins. */
MUST_USE enum err recovery_snapshot(struct recovery *r, const struct found *snapshot);

#endif
