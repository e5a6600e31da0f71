/* SPDX-License-Identifier: Apache-2.0 */
/* segment: the bytes of journal and snapshot files, and nothing about where they are kept. Private to src/journal/.
 *
 *   file:  head 72 bytes | block | block | ... | zeros up to what was reserved
 *   block: head 40 bytes | record
 *
 * A block's head has a checksum of its own, which also covers where it stands and the checksum of its record. So a head
 * alone proves what it says, and looking for one in eight million bytes hashes 64 bytes here and there, not records.
 * The journal's id is random and in every checksum: no counter's name can be made to look like a block.
 * docs/FORMATS.md has every byte and a worked example. */
#ifndef QUIPU_JOURNAL_SEGMENT_H
#define QUIPU_JOURNAL_SEGMENT_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_HEAD_BYTES 72u
#define SEGMENT_BLOCK_BYTES 40u             /* the head of a block */
#define SEGMENT_NUMBER_MAX (UINT64_MAX / 2) /* of segments and blocks: adding one never wraps */
/* What a file that is found may be numbered, so that whoever goes on from there does not come to the end. */
#define SEGMENT_FOUND_MAX (SEGMENT_NUMBER_MAX / 2)

#define SEGMENT_MAGIC UINT64_C(0x4c4e4a5550495551)          /* "QUIPUJNL" */
#define SEGMENT_SNAPSHOT_MAGIC UINT64_C(0x504e535550495551) /* "QUIPUSNP" */

/* The caller's kinds are 1 to 127. A snapshot ends with this one, an empty record. */
#define SEGMENT_KIND_MAX 127u
#define SEGMENT_KIND_FOOTER 128u

/* Which file a block is in; with its offset there, where it stands. */
struct place {
    uint64_t magic;
    struct id128 id;
    uint64_t number;
};

struct segment_head {
    struct place place;
    uint64_t first_block;
    uint64_t replaces; /* segments from this number up to its own are no longer part of the journal; 0: none */
    uint64_t synced;   /* blocks up to this one were synced when the file got its name */
};

void segment_put_head(uint8_t *into, const struct segment_head *head);
/* ERR_CORRUPT, also if it is the head of another kind of file; ERR_NEWER if it is sound and of a later version. */
MUST_USE enum err segment_get_head(struct bytes file, uint64_t magic, struct segment_head *ret_head);

/* What the head of a block says. */
struct segment_block {
    uint64_t number;
    uint64_t synced; /* all blocks up to this one were known to be synced when this one was written */
    uint64_t record_sum;
    uint32_t record_bytes;
    uint8_t kind;
};

/* Adds a block that does not know yet where it will stand. ERR_NOMEM: out is as it was. */
MUST_USE enum err segment_append(struct buffer *out, uint8_t kind, struct bytes record);
/* Settles that for all the blocks in `blocks`, which stand one after the other from `offset` on. Can be done again, for
 * another place. Returns the number after the last. */
uint64_t segment_seal(uint8_t *blocks, size_t len, const struct place *place, uint64_t offset, uint64_t number_first,
                      uint64_t synced);

/* here: the file's bytes from `offset` on. False if no head was written there. The record may be damaged or cut off. */
bool segment_get_block(struct bytes here, const struct place *place, uint64_t offset, struct segment_block *ret_block);
/* The record of a block whose head was read; false if it is cut off or damaged. */
bool segment_get_record(struct bytes here, const struct segment_block *block, struct bytes *ret_record);
/* The first head in `here`, the file's bytes from `offset` on, of a block with this number or a higher one; false if
 * there is none. Where it stands is in its checksum, so what is found was written there, whatever is around it. */
bool segment_find_head(struct bytes here, uint64_t offset, const struct place *place, uint64_t number_min,
                       size_t *ret_skip, struct segment_block *ret_block);
/* The highest number that some head in file[from..] says was synced; 0 if none does. */
uint64_t segment_synced(struct bytes file, size_t from, const struct place *place);

#endif
