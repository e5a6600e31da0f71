/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/segment.h"

#include "journal/journal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SUM_BYTES 8u
#define PLACE_BYTES (16u + 8u + 8u)

static void store_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void store_u64(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* The head of a file */

void segment_put_head(uint8_t *into, const struct segment_head *head)
{
    store_u64(into, head->place.magic);
    store_u32(into + 8, JOURNAL_VERSION);
    store_u32(into + 12, 0);
    memcpy(into + 16, head->place.id.bytes, sizeof head->place.id.bytes);
    store_u64(into + 32, head->place.number);
    store_u64(into + 40, head->first_block);
    store_u64(into + 48, head->replaces);
    store_u64(into + 56, head->synced);
    store_u64(into + 64, XXH3_64bits_withSeed(into, 64, head->place.magic));
}

static bool head_is_sane(const struct segment_head *head)
{
    uint64_t number = head->place.number;
    if (number == 0 || number > SEGMENT_FOUND_MAX) return false;
    if (head->first_block == 0 || head->first_block > SEGMENT_FOUND_MAX) return false;
    if (id128_is_zero(&head->place.id)) return false;
    return head->replaces < number && head->synced < SEGMENT_NUMBER_MAX;
}

enum err segment_get_head(struct bytes file, uint64_t magic, struct segment_head *ret_head)
{
    if (file.len < SEGMENT_HEAD_BYTES) return ERR_CORRUPT;
    struct reader r;
    reader_init(&r, bytes_of(file.ptr, SEGMENT_HEAD_BYTES));
    struct segment_head head = { .place.magic = reader_u64(&r) };
    uint32_t version = reader_u32(&r);
    uint32_t zero = reader_u32(&r);
    head.place.id = reader_id(&r);
    head.place.number = reader_u64(&r);
    head.first_block = reader_u64(&r);
    head.replaces = reader_u64(&r);
    head.synced = reader_u64(&r);
    uint64_t sum = reader_u64(&r);
    if (head.place.magic != magic || sum != XXH3_64bits_withSeed(file.ptr, 64, magic)) return ERR_CORRUPT;
    if (version > JOURNAL_VERSION) return ERR_NEWER;
    if (version != JOURNAL_VERSION || zero != 0 || !head_is_sane(&head)) return ERR_CORRUPT;
    *ret_head = head;
    return ERR_OK;
}

/* Blocks */

static uint64_t block_sum(const uint8_t *block, const struct place *place, uint64_t offset)
{
    uint8_t covered[PLACE_BYTES + SEGMENT_BLOCK_BYTES - SUM_BYTES];
    memcpy(covered, place->id.bytes, sizeof place->id.bytes);
    store_u64(covered + 16, place->number);
    store_u64(covered + 24, offset);
    memcpy(covered + PLACE_BYTES, block + SUM_BYTES, SEGMENT_BLOCK_BYTES - SUM_BYTES);
    return XXH3_64bits_withSeed(covered, sizeof covered, place->magic);
}

enum err segment_append(struct buffer *out, uint8_t kind, struct bytes record)
{
    REQUIRE(record.len <= JOURNAL_RECORD_BYTES_MAX);
    uint8_t *block = buffer_reserve(out, SEGMENT_BLOCK_BYTES + record.len);
    if (!block) {
        out->failed = false; /* what was in there before is whole */
        return ERR_NOMEM;
    }
    memset(block, 0, SEGMENT_BLOCK_BYTES);
    store_u64(block + 24, XXH3_64bits(record.len > 0 ? record.ptr : block, record.len));
    store_u32(block + 32, (uint32_t)record.len);
    block[36] = kind;
    if (record.len > 0) memcpy(block + SEGMENT_BLOCK_BYTES, record.ptr, record.len);
    out->len += SEGMENT_BLOCK_BYTES + record.len;
    return ERR_OK;
}

static struct segment_block block_fields(const uint8_t *block)
{
    struct reader r;
    reader_init(&r, bytes_of(block + SUM_BYTES, SEGMENT_BLOCK_BYTES - SUM_BYTES));
    struct segment_block fields = { .number = reader_u64(&r) };
    fields.synced = reader_u64(&r);
    fields.record_sum = reader_u64(&r);
    fields.record_bytes = reader_u32(&r);
    fields.kind = reader_u8(&r);
    return fields;
}

uint64_t segment_seal(uint8_t *blocks, size_t len, const struct place *place, uint64_t offset, uint64_t number_first,
                      uint64_t synced)
{
    uint64_t number = number_first;
    for (size_t at = 0; at < len; number++) {
        uint8_t *block = blocks + at;
        store_u64(block + 8, number);
        store_u64(block + 16, synced);
        store_u64(block, block_sum(block, place, offset + at));
        at += SEGMENT_BLOCK_BYTES + block_fields(block).record_bytes;
        REQUIRE(at <= len);
    }
    return number;
}

bool segment_get_block(struct bytes here, const struct place *place, uint64_t offset, struct segment_block *ret_block)
{
    if (here.len < SEGMENT_BLOCK_BYTES) return false;
    if (load_u64(here.ptr) != block_sum(here.ptr, place, offset)) return false;
    struct segment_block block = block_fields(here.ptr);
    bool padded = here.ptr[37] == 0 && here.ptr[38] == 0 && here.ptr[39] == 0;
    if (!padded || block.kind == 0 || block.kind > SEGMENT_KIND_FOOTER) return false;
    if (block.record_bytes > JOURNAL_RECORD_BYTES_MAX || block.number >= SEGMENT_NUMBER_MAX) return false;
    *ret_block = block;
    return true;
}

bool segment_get_record(struct bytes here, const struct segment_block *block, struct bytes *ret_record)
{
    if (here.len < SEGMENT_BLOCK_BYTES || here.len - SEGMENT_BLOCK_BYTES < block->record_bytes) return false;
    const uint8_t *record = here.ptr + SEGMENT_BLOCK_BYTES;
    if (XXH3_64bits(record, block->record_bytes) != block->record_sum) return false;
    *ret_record = bytes_of(record, block->record_bytes);
    return true;
}

/* What can be seen without a checksum: hardly anything but a head passes, so that a search hashes almost nowhere. */
static bool may_be_head(const uint8_t *at, uint64_t number_min)
{
    if (at[36] == 0 || at[36] > SEGMENT_KIND_FOOTER || at[37] != 0 || at[38] != 0 || at[39] != 0) return false;
    uint64_t number = load_u64(at + 8);
    return number >= number_min && number < SEGMENT_NUMBER_MAX;
}

bool segment_find_head(struct bytes here, uint64_t offset, const struct place *place, uint64_t number_min,
                       size_t *ret_skip, struct segment_block *ret_block)
{
    for (size_t at = 0; at + SEGMENT_BLOCK_BYTES <= here.len; at++) {
        if (!may_be_head(here.ptr + at, number_min)) continue;
        if (!segment_get_block(bytes_of(here.ptr + at, here.len - at), place, offset + at, ret_block)) continue;
        *ret_skip = at;
        return true;
    }
    return false;
}

uint64_t segment_synced(struct bytes file, size_t from, const struct place *place)
{
    uint64_t synced = 0;
    size_t skip;
    struct segment_block block;
    while (from < file.len &&
           segment_find_head(bytes_of(file.ptr + from, file.len - from), from, place, 1, &skip, &block)) {
        if (block.synced > synced && block.synced < SEGMENT_NUMBER_MAX) synced = block.synced;
        from += skip + SEGMENT_BLOCK_BYTES;
    }
    return synced;
}
