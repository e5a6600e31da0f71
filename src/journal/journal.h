/* SPDX-License-Identifier: Apache-2.0 */
/* journal: records made durable in segments of checksummed blocks, and brought back at start.
 *
 * Records carry absolute state, so replaying them in any order and any number of times gives the same state. The
 * journal does not look into them: a kind and bytes go in, the same come out.
 *  (1) Blocks are numbered without a gap across segments; a checksum covers journal id, segment, position, number,
 *      kind, length and content, so that a block is valid only where it was written.
 *  (2) Each block says up to which block everything was known to be synced when it was written. A bad block is a torn
 *      tail if no valid later block says that it had been synced: it and all after it are cut. Else it is damage: data
 *      that was promised is gone. (Under `async` several blocks may be in flight, and a power loss can keep a later
 *      one and lose an earlier one; without this mark that would look like damage.)
 *  (3) A segment is synced before the next one gets its first block.
 *  (4) What was recovered may be in the page cache only, so the last segment is copied to a new one, synced, before
 *      anything recovered counts as durable.
 *  (5) Room for the next segment is reserved ahead. When that fails the journal is full: what fits is still taken.
 *  (6) Damage is a hole, and what is sound on either side of it is kept. A damaged file is left as it is and read again
 *      at each start, with the same outcome, until a snapshot stands in the place of all that was before it; then it
 *      is kept under another name, for whoever wants to look at it.
 *
 * Owned by one thread, the journal thread, except where noted. No file handle, no clock: see storage.h. */
#ifndef QUIPU_JOURNAL_JOURNAL_H
#define QUIPU_JOURNAL_JOURNAL_H

#include "base/bytes.h"
#include "base/err.h"
#include "journal/storage.h"

#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_VERSION 1u
#define JOURNAL_SEGMENT_BYTES (8u << 20)
#define JOURNAL_RECORD_BYTES_MAX (256u << 20)

struct journal;

struct journal_options {
    struct storage storage;
    struct id128 id;        /* random; names this journal if the directory holds none yet */
    uint32_t segment_bytes; /* 0: JOURNAL_SEGMENT_BYTES */
};

/* Called for each record at recovery, snapshot first, then segments in order. An error ends the recovery with it.
 * With the kind JOURNAL_HOLE it is no record: what comes next stands behind a hole, and `record` is a text that says
 * where that is. Before the first record of a damaged snapshot there is one with no text: its holes are still to come,
 * but what its first records say of the rest is not true. */
#define JOURNAL_HOLE 0u
typedef enum err journal_sink(void *context, uint8_t kind, struct bytes record);

/* Where something that was promised could not be read. */
struct journal_hole {
    char file[STORAGE_NAME_MAX];
    uint64_t offset;
    uint64_t bytes; /* up to what is sound again, or to the end; 0: it is not here any more, as when a file is gone */
};

#define JOURNAL_HOLES_MAX 16u

/* What recovery found, for the log and for the one line that a refusal prints. */
struct journal_report {
    bool fresh;              /* there was no journal: an empty one was made */
    uint64_t records, bytes; /* handed to the sink */
    uint64_t snapshot;       /* segment number the snapshot stands before; 0 if none */
    uint64_t torn_bytes;     /* cut from the tail */
    uint64_t holes;          /* how many there are; the first of them are in `hole` */
    struct journal_hole hole[JOURNAL_HOLES_MAX];
    char file[STORAGE_NAME_MAX]; /* on error: where */
    uint64_t offset;             /* on error: at which byte */
};

/* Recovers what is there and opens for appending; nothing is changed in the directory if it fails.
 * Damage is in the report and no error. ERR_CORRUPT: files of another journal, or at the place of others, are among
 * them, or a record that the sink does not understand. ERR_NEWER: made by a later version. ERR_FULL, ERR_IO, ERR_NOMEM.
 */
MUST_USE enum err journal_open(const struct journal_options *options, journal_sink *sink, void *context,
                               struct journal **ret_journal, struct journal_report *ret_report);
void journal_close(struct journal *j); /* syncs nothing; NULL is fine */

/* Adds a record to what the next journal_write writes. The record is copied. kind is 1 to 127. ERR_NOMEM,
 * ERR_TOO_LONG. */
MUST_USE enum err journal_append(struct journal *j, uint8_t kind, struct bytes record);
/* Writes all appended records, with one write where they fit. ERR_FULL: nothing was written, the records are kept, call
 * again when there is room. ERR_IO: end the process. */
MUST_USE enum err journal_write(struct journal *j);
/* Everything written before the call is durable. journal_sync_begin and _end are its two halves for a sync on another
 * thread: begin (journal thread) says what to sync, sync that file there, end (journal thread) notes the result. At
 * most one at a time; while it is under way journal_write goes on, and a rotation in it waits for nothing. */
MUST_USE enum err journal_sync(struct journal *j);
struct journal_sync {
    struct storage_file *file;
    uint64_t block; /* the last block written when it began */
};
bool journal_sync_begin(struct journal *j, struct journal_sync *ret_sync); /* false: nothing to sync */
void journal_sync_end(struct journal *j, const struct journal_sync *sync);

/* True when no room could be reserved for the next segment. journal_reserve tries again; ERR_FULL if still not. */
bool journal_is_full(const struct journal *j);
MUST_USE enum err journal_reserve(struct journal *j);

/* Bytes in segments since the last snapshot, and of that snapshot. */
uint64_t journal_bytes(const struct journal *j);
uint64_t journal_snapshot_bytes(const struct journal *j);

/* --- Snapshots: fuzzy, written in slices while others go on ---
 * journal_rotate: what is appended from now on goes to a new segment, whose number is returned. When all that was
 * appended before is in the keyspace, snapshot_begin may start the walk: the snapshot stands before that segment.
 * snapshot_finish syncs it, gives it its name, and removes what it replaces. What was written while the walk went on
 * may be in it, so that has to be synced before (journal_sync, whose failure is the journal's): else a power cut could
 * keep entries of a block and lose the block that claims them. */
MUST_USE enum err journal_rotate(struct journal *j, uint64_t *ret_segment);

struct keyspace;
struct replicas;
struct snapshot;

struct snapshot_options {
    struct journal *journal;
    struct keyspace *keyspace;
    const struct replicas *replicas;
    uint64_t segment;
    uint8_t entries_kind; /* the record kind under which blocks of entries are written */
};

MUST_USE enum err snapshot_begin(const struct snapshot_options *options, struct snapshot **ret_snapshot);
/* A record of the caller's, before the first step: identity, vector, members. */
MUST_USE enum err snapshot_append(struct snapshot *s, uint8_t kind, struct bytes record);
/* Walks cells_max cells further. ERR_FULL: the snapshot is given up, nothing else is harmed. ERR_IO: the same; the
 * journal itself is still sound, since a snapshot replaces nothing before it is finished. */
MUST_USE enum err snapshot_step(struct snapshot *s, uint32_t cells_max, bool *ret_done);
MUST_USE enum err snapshot_finish(struct snapshot *s);
/* The file being written: after the last step a sync of it on another thread leaves snapshot_finish little to sync. */
struct storage_file *snapshot_file(struct snapshot *s);
void snapshot_free(struct snapshot *s); /* removes an unfinished file; NULL is fine */

#endif
