/* SPDX-License-Identifier: Apache-2.0 */
/* recovery: from the files of a directory to an open journal. Private to src/journal/.
 *  (1) Everything is read and judged, and the sink has had every record, before anything in the directory changes.
 *  (2) Then one rename makes the new last segment part of the journal; before it, what was there stays as it was. If
 *      the disk is full there is no new one, and the last is written over with what it holds.
 *  (3) Then goes what is of no use any more. A crash or an error in between leaves files that the next one removes.
 *  (4) With a hole anywhere, the new segment is empty, begins behind a gap in the numbers of blocks if nothing else
 *      would show the hole, and (3) leaves everything that holds a block. So the next recovery finds the same holes
 *      at the same places, until a snapshot ends this.
 *
 * recovery.c            what is there, and the order of things
 * recovery_snapshot.c   reads a snapshot
 * recovery_segment.c    reads a segment, and tells a torn tail from a hole
 * recovery_begin.c      the segment to go on with */
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
    bool is_aside;   /* under the name of a damaged file: never removed */
    bool is_damaged;
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
    bool is_damaged;
    uint64_t expected;          /* number of the next block; 0: unknown, since it was in a damaged place */
    const struct found *before; /* what was read last, and up to where */
    uint64_t before_end;
    bool tail_is_damaged;  /* its end is a hole */
    bool last_is_rotation; /* the last segment is an empty one whose head never got to the disk */
    struct found *last;    /* segment; NULL: a fresh journal, or none is left */
    struct buffer image;   /* the segment read last, and how much of it holds; 0: not even its head */
    size_t image_good;
    uint64_t first_block, replaces; /* for the segment that takes its place */
};

/* For the report. Returns err. */
MUST_USE enum err recovery_blame(struct recovery *r, const char *name, uint64_t offset, enum err err);
MUST_USE enum err recovery_hand_over(struct recovery *r, uint8_t kind, struct bytes record);
/* Tells the sink that there are holes in what follows. */
MUST_USE enum err recovery_announce(struct recovery *r);
/* Tells the sink of a hole, and puts it into the report. */
MUST_USE enum err recovery_hole(struct recovery *r, const char *name, uint64_t offset, uint64_t bytes);
/* Reads up to bytes_max bytes of the file from its start into image. */
MUST_USE enum err recovery_read_image(struct recovery *r, const char *name, uint64_t bytes_max);

/* Hands over all of a snapshot, and learns with which block its segment begins. */
MUST_USE enum err recovery_read_snapshot(struct recovery *r, struct found *snapshot);
MUST_USE enum err recovery_read_segment(struct recovery *r, struct found *f, bool is_last);
/* Where the zeros begin that a file ends with, not before `from`. */
size_t recovery_image_used(const struct recovery *r, size_t from);
/* (2) or (4). */
MUST_USE enum err recovery_begin(struct recovery *r);

#endif
