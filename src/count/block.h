/* SPDX-License-Identifier: Apache-2.0 */
/* block: a run of one replica's entries as bytes, the same bytes in the journal and on the wire.
 *
 *   kind u8 | replica id 16 | nonce u64 | base u64 | firm u64 | pledged u64 |
 *   from u64 | to u64 | count u32 | entries
 *
 * BLOCK_DELTA holds every live entry with from < seq <= to, in rising order of seq, and says so: whoever knows the
 * replica up to `from` knows it up to `to` afterwards, if it knows the same history (count/trail.h): one boot, of that
 * nonce, wrote all of (from, to], and seq `from` was written by that of nonce `base` (0: nobody knows, or from is 0).
 * BLOCK_SNAPSHOT holds entries in any order and claims nothing; its nonce, base, firm and pledged are 0.
 *
 *   entry: seq step, signed varint (from the entry before, at first from `from`) | name length varint, name |
 *          flags u8 | net, signed varint | extras by flag | older versions by flag
 *
 * Older versions: those that it superseded and that a loose boot, one starting at or above firm, came between. No net
 * of an entry that has them is beyond NET_MAX / 2, so that the difference of any two is a net.
 *
 * docs/FORMATS.md has the extras and a worked example. An entry's bytes can be skipped or copied, not guessed:
 * unknown flags are damage, new ones need a feature bit of the link and a new journal version. */
#ifndef QUIPU_COUNT_BLOCK_H
#define QUIPU_COUNT_BLOCK_H

#include "base/bytes.h"
#include "base/err.h"
#include "count/entry.h"

#include <stdint.h>

#define NAME_BYTES_MAX 1024
#define BLOCK_HEAD_BYTES (1 + 16 + 6 * 8 + 4)
#define BLOCK_OLDER_MAX 32u /* as many boots can be loose */

enum block_kind { BLOCK_DELTA = 1, BLOCK_SNAPSHOT = 2 };

struct block_head {
    enum block_kind kind;
    struct id128 replica;
    uint64_t nonce, base, firm, pledged, from, to; /* firm, pledged: of the writer's trail */
    uint32_t count;
};

/* Writing: begin, put any number of entries, end. Errors are remembered by the buffer. */
struct block_writer {
    struct buffer *out;
    size_t at;              /* where the head begins */
    struct block_head head; /* its `to` and count are not used */
    uint64_t seq_last, seq_max;
    uint32_t count;
};

void block_begin(struct block_writer *w, struct buffer *out, const struct block_head *head);
/* Room in the buffer that is certainly enough to put this entry, and each older version with it: reserve it, and
 * block_put cannot fail. */
size_t block_put_bytes(struct bytes name, const struct entry *entry);
size_t block_older_bytes(const struct entry *older);
/* replicas gives the ids that extras name. Without memory the buffer ends after the entry before, marked as failed. */
void block_put(struct block_writer *w, const struct replicas *replicas, struct bytes name, const struct entry *entry);
/* With older versions, falling in seq, at most BLOCK_OLDER_MAX. */
void block_put_older(struct block_writer *w, const struct replicas *replicas, struct bytes name,
                     const struct entry *entry, const struct entry *older, uint32_t count);
/* Fills in count, and `to` where it became known only now. */
void block_end(struct block_writer *w, uint64_t to);

/* Reading. The head and every bound are checked before anything is handed out: ERR_CORRUPT for anything that
 * block_put could not have written in this kind of block, a step back or a seq outside (from, to] among them. */
struct block_reader {
    struct block_head head;
    struct reader rest;
    uint64_t seq_last;
    uint32_t left;
    struct reader older; /* versions of the entry handed out last, still as bytes */
    uint32_t older_count;
};

MUST_USE enum err block_open(struct block_reader *r, struct bytes block);
/* ERR_STALE at the end of a sound block. replicas takes in ids that extras name. The caller owns ret_entry->extras
 * after OK; the name is a view into the block. After ERR_NOMEM and ERR_TOO_LONG (more ids than replicas holds) the call
 * may be repeated; an ERR_CORRUPT stays. */
MUST_USE enum err block_next(struct block_reader *r, struct replicas *replicas, struct bytes *ret_name,
                             struct entry *ret_entry);
/* The older versions of the entry that block_next handed out last, falling in seq. The caller owns their extras.
 * ERR_NOMEM, ERR_TOO_LONG: there are none, and the call may be repeated. */
MUST_USE enum err block_older(const struct block_reader *r, struct replicas *replicas,
                              struct entry ret_older[BLOCK_OLDER_MAX], uint32_t *ret_count);
/* Reads the whole block without keeping anything. Replicas that extras name are not taken in. */
MUST_USE enum err block_check(struct bytes block);

#endif
