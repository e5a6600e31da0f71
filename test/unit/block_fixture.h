/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks read and written again, for the tests of blocks. */
#ifndef QUIPU_TEST_UNIT_BLOCK_FIXTURE_H
#define QUIPU_TEST_UNIT_BLOCK_FIXTURE_H

#include "testing.h"

#include "count/block.h"
#include "count/replicas.h"

static inline struct id128 id_filled(uint8_t byte)
{
    struct id128 id;
    memset(id.bytes, byte, sizeof id.bytes);
    return id;
}

static inline struct replicas *replicas_made(void)
{
    struct replicas *r = NULL;
    assert_ok(replicas_new(&r));
    return r;
}

static inline uint32_t intern(struct replicas *r, struct id128 id)
{
    uint32_t index = REPLICA_NONE;
    assert_ok(replicas_intern(r, &id, &index));
    return index;
}

static inline struct block_head head_of(enum block_kind kind, uint64_t from, uint64_t to)
{
    struct block_head head = { .kind = kind, .replica = id_filled(0xa0), .from = from, .to = to };
    if (kind != BLOCK_DELTA) return head; /* it says nothing of boots */
    head.nonce = 7;
    head.base = from > 0 ? 6 : 0;
    head.firm = 4;
    head.pledged = 5;
    return head;
}

static inline enum err recode_entry(const struct block_reader *r, struct block_writer *w, struct replicas *replicas,
                                    struct bytes name, const struct entry *entry)
{
    struct entry older[BLOCK_OLDER_MAX];
    uint32_t count = 0;
    enum err err = block_older(r, replicas, older, &count);
    if (err == ERR_OK) block_put_older(w, replicas, name, entry, older, count);
    for (uint32_t i = 0; i < count; i++) extras_free(older[i].extras);
    return err;
}

/* Reads a block and writes it again; the same bytes must come out, whatever indices replicas gives out. */
static inline enum err recode(struct bytes block, struct replicas *replicas, struct buffer *out)
{
    struct block_reader r;
    enum err err = block_open(&r, block);
    if (err != ERR_OK) return err;
    struct block_writer w;
    block_begin(&w, out, &r.head);
    struct bytes name;
    struct entry entry;
    while ((err = block_next(&r, replicas, &name, &entry)) == ERR_OK) {
        err = recode_entry(&r, &w, replicas, name, &entry);
        extras_free(entry.extras);
        if (err != ERR_OK) return err;
    }
    block_end(&w, r.head.to);
    if (err != ERR_STALE) return err;
    return buffer_end(out);
}

/* Damaged bytes are found by both readers, and sound ones have one form only. */
static inline enum err assert_corrupt_or_canonical(struct bytes bytes)
{
    struct fenced block = fenced_copy(bytes);
    struct replicas *replicas = replicas_made();
    struct buffer again = { 0 };
    enum err err = recode(block.bytes, replicas, &again);
    if (err == ERR_OK) {
        assert_true(bytes_equal(buffer_view(&again), block.bytes));
    } else {
        assert_err(err, ERR_CORRUPT);
    }
    assert_err(block_check(block.bytes), err);
    buffer_release(&again);
    replicas_free(replicas);
    fenced_release(&block);
    return err;
}

#endif
