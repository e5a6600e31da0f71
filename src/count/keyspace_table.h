/* SPDX-License-Identifier: Apache-2.0 */
/* table: finds a cell's number by its name. Private to the keyspace; see keyspace_table.c for how it grows. */
#ifndef QUIPU_COUNT_KEYSPACE_TABLE_H
#define QUIPU_COUNT_KEYSPACE_TABLE_H

#include "count/keyspace_shard.h"

/* Where a hash begins to look. It rises with the hash's low half, whatever the size: growing rests on that. */
static inline uint32_t table_home(uint32_t cap, uint64_t hash)
{
    return (uint32_t)((hash & UINT32_MAX) * cap >> 32);
}

void table_init(struct shard *s);
void table_release(struct shard *s);
size_t table_bytes(const struct shard *s);

/* 0 if there is no counter of this name. */
uint32_t table_find(const struct shard *s, uint64_t hash, struct bytes name);
/* The first cell on the way whose tag is the hash's, which is nearly always the right one; no cell is looked at. */
uint32_t table_guess(const struct shard *s, uint64_t hash);
/* Before a new counter: goes on with growing, or begins to. After ERR_OK the next table_insert cannot fail.
 * *ret_retired is set to a table that is no longer used, if there is one: freeing it can take long, and wants no lock.
 */
MUST_USE enum err table_reserve(const struct keyspace *k, struct shard *s, void **ret_retired);
void table_insert(struct shard *s, uint64_t hash, uint32_t number);

#endif
