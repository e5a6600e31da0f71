/* SPDX-License-Identifier: Apache-2.0 */
/* A block is damaged, or it has one form only: what was read is written again and must be the same bytes. Read by a
 * node that knew the ids in another order, it must say the same. */
#include "count/block.h"
#include "count/replicas.h"

static enum err recode_entry(const struct block_reader *r, struct block_writer *w, struct replicas *replicas,
                             struct bytes name, const struct entry *entry)
{
    struct entry older[BLOCK_OLDER_MAX];
    uint32_t count = 0;
    enum err err = block_older(r, replicas, older, &count);
    if (err == ERR_OK) block_put_older(w, replicas, name, entry, older, count);
    for (uint32_t i = 0; i < count; i++) extras_free(older[i].extras);
    return err;
}

/* Reads block and writes it to out. False if it is damaged, or memory or indices ran out. */
static bool recode(struct bytes block, struct replicas *replicas, struct buffer *out)
{
    struct block_reader r;
    if (block_open(&r, block) != ERR_OK) return false;
    struct block_writer w;
    block_begin(&w, out, &r.head);
    struct bytes name;
    struct entry entry;
    enum err err;
    while ((err = block_next(&r, replicas, &name, &entry)) == ERR_OK) {
        REQUIRE(name.ptr >= block.ptr && name.ptr + name.len <= block.ptr + block.len);
        err = recode_entry(&r, &w, replicas, name, &entry);
        extras_free(entry.extras);
        if (err != ERR_OK) return false;
    }
    block_end(&w, r.head.to);
    return err == ERR_STALE;
}

/* Takes in the ids of another table, the last first. */
static struct replicas *turned_around(const struct replicas *replicas)
{
    struct replicas *turned = NULL;
    REQUIRE(replicas_new(&turned) == ERR_OK);
    for (uint32_t i = replicas_count(replicas); i-- > 1;) {
        uint32_t index;
        REQUIRE(replicas_intern(turned, replicas_id(replicas, i), &index) == ERR_OK);
    }
    return turned;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes block = bytes_of(data, size);
    struct replicas *replicas = NULL;
    REQUIRE(replicas_new(&replicas) == ERR_OK);
    struct buffer again = { 0 }, elsewhere = { 0 };
    bool is_sound = recode(block, replicas, &again);
    REQUIRE((block_check(block) == ERR_OK) == is_sound);
    if (is_sound) {
        REQUIRE(bytes_equal(buffer_view(&again), block));
        struct replicas *turned = turned_around(replicas);
        REQUIRE(recode(block, turned, &elsewhere));
        REQUIRE(bytes_equal(buffer_view(&elsewhere), block));
        replicas_free(turned);
    }
    buffer_release(&again);
    buffer_release(&elsewhere);
    replicas_free(replicas);
    return 0;
}
