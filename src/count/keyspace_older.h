/* SPDX-License-Identifier: Apache-2.0 */
/* older: versions of entries that newer ones have superseded, kept beside a shard's cells for as long as a loose boot
 * came between them (trail.h, (3)): with them an entry can be taken apart into what its replica had before the fork and
 * what was added since. Private to the keyspace; always used under the shard's lock.
 *  (1) Of an entry only those versions are kept that stood when a loose boot began.
 *  (2) Nothing is kept of a replica none of whose boots is loose, so on most nodes most of the time there is nothing.
 * One costs 24 bytes, at most half of the room is used. */
#ifndef QUIPU_COUNT_KEYSPACE_OLDER_H
#define QUIPU_COUNT_KEYSPACE_OLDER_H

#include "count/block.h"
#include "count/trail.h"

enum older_kind { OLDER_FREE, OLDER_GONE, OLDER_COMPACT, OLDER_WIDE };

struct older_row {
    uint32_t cell;
    uint16_t replica;
    uint16_t kind;
    uint64_t seq;
    union {
        int64_t net;        /* COMPACT */
        struct entry *wide; /* with extras, or a net beyond 64 bits */
    };
};
_Static_assert(sizeof(struct older_row) == 24, "there may be one for each counter");

/* Zero-initialised is empty. */
struct older {
    struct older_row *rows; /* open addressing by cell and replica */
    uint32_t cap, used, live;
    size_t extras_bytes; /* what the live ones may add to a block beyond compact ones */
};

void older_release(struct older *o);
size_t older_bytes(const struct older *o);
/* At most so many bytes do all kept versions, and `more` compact ones, add to a block. */
size_t older_block_bytes(const struct older *o, uint32_t more);
/* The kept versions of the cell's entry below a seq, falling. Their extras stay the table's. Returns how many. (While a
 * commit is on its way the durable entry's own seq is among them.) */
uint32_t older_find(const struct older *o, uint32_t cell, uint32_t replica, uint64_t below,
                    struct entry ret_older[BLOCK_OLDER_MAX]);
/* Making a row is apart from adding it, so that whatever can fail comes before the first change. Takes over the
 * version's extras; ERR_NOMEM leaves them the caller's. */
MUST_USE enum err older_make(uint32_t cell, uint32_t replica, const struct entry *version, struct older_row *ret_row);
void older_unmake(struct older_row *row); /* of one that was not added */
/* After ERR_OK so many may be added. */
MUST_USE enum err older_reserve(struct older *o, uint32_t more);
void older_add(struct older *o, const struct older_row *row); /* not one that is there */
/* Drops all versions of the cell's entry but those that are in the list. */
void older_retain(struct older *o, uint32_t cell, uint32_t replica, const struct entry *versions, uint32_t count);
/* Drops all of the replica that no loose boot of the trail came after. */
void older_prune(struct older *o, uint32_t replica, const struct trail *trail);

/* Of versions falling in seq, superseded by one of seq `seq`, moves those that are to be kept to the front and returns
 * how many. */
uint32_t older_select(struct entry *versions, uint32_t count, uint64_t seq, const struct trail *trail);

#endif
