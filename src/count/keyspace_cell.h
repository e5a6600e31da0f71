/* SPDX-License-Identifier: Apache-2.0 */
/* cell: a counter's fixed 40 bytes, and the open record it has while it has changes that are not durable. Private to
 * the keyspace.
 *
 * Open records: a counter has one from its first change that is not durable until all its changes are. A commit takes
 * a dirty list by taking its head under the lock, and encodes it later in slices, while workers already put the same
 * counters on the next list. So a record has a link, and a cell a dirty bit, for even and one for odd commit numbers:
 * at most two neighbouring commits use them at a time. The bits are in the cell and not in the record, since encoding
 * has to touch the cell anyway, and an increment of a dirty counter then needs no record. */
#ifndef QUIPU_COUNT_KEYSPACE_CELL_H
#define QUIPU_COUNT_KEYSPACE_CELL_H

#include "base/bytes.h"
#include "count/keyspace_full.h"

#include <stdbool.h>
#include <stdint.h>

#define NAME_INLINE_MAX 16

enum cell_kind {
    CELL_DIRTY_EVEN = 1, /* on the dirty list of an even commit number; EVEN << 1 is odd */
    CELL_DIRTY_ODD = 2,
    CELL_FULL = 4, /* `full` holds the counter; seq and replica mean nothing */
    CELL_NAME_LONG = 8,
};

/* A compact cell is one replica's entry without extras. It exists, and its value is net. */
struct cell {
    uint64_t seq; /* durable; 0: nothing is */
    union {
        int64_t net; /* with everything pending */
        struct full *full;
    };
    uint32_t open; /* the number of its open record; 0: nothing is pending */
    uint16_t replica;
    uint8_t kind;
    uint8_t name_len; /* of an inline name */
    union {
        uint8_t name[NAME_INLINE_MAX];
        struct {
            uint8_t *bytes;
            uint32_t hash; /* its low half: other names rarely get past it */
            uint16_t len;
        } name_long;
    };
};
_Static_assert(sizeof(struct cell) == 40, "a cell is what most of the memory goes to");

/* in_flight counts the commits that took the counter and were not published yet; the last of them is `commit`. */
struct open_record {
    uint64_t commit;
    int64_t net_durable; /* of a compact cell */
    uint32_t cell;
    uint32_t next[2]; /* on the dirty lists of even and odd numbers; [0] also links free records */
    uint32_t in_flight;
};
_Static_assert(sizeof(struct open_record) == 32, "two records share a line");

static inline bool cell_is_full(const struct cell *c)
{
    return c->kind & CELL_FULL;
}

/* The dirty bit of a commit number. */
static inline uint8_t dirty_bit(uint64_t number)
{
    return number % 2 ? CELL_DIRTY_ODD : CELL_DIRTY_EVEN;
}

struct bytes cell_name(const struct cell *c);

#endif
