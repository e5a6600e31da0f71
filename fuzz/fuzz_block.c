/* SPDX-License-Identifier: Apache-2.0 */
/* A block is damaged, or it has one form only: what was read is written again and must be the same bytes. Read by a
 * node that knew the ids in another order, it must say the same. The mutator forges blocks and changes sound ones. */
#include "count/block.h"

#include "count/replicas.h"
#include "fuzz/forge.h"
#include "fuzz/harness.h"

/* Writes the entry that was read last, changed or not, with its older versions. */
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

/* Reads block and writes it to out. False if it is damaged. */
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
        REQUIRE(recode_entry(&r, &w, replicas, name, &entry) == ERR_OK);
        extras_free(entry.extras);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes block = fence_copy(0, bytes_of(data, size));
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

/* Copies a sound block with other numbers in it, which is a sound block again. */
static bool vary(struct random *random, struct bytes block, struct buffer *out)
{
    struct block_reader r;
    struct replicas *replicas = NULL;
    REQUIRE(replicas_new(&replicas) == ERR_OK);
    bool is_sound = block_check(block) == ERR_OK && block_open(&r, block) == ERR_OK;
    if (is_sound) {
        struct block_writer w;
        struct bytes name;
        struct entry entry;
        block_begin(&w, out, &r.head);
        while (block_next(&r, replicas, &name, &entry) == ERR_OK) {
            uint64_t dice = random_below(random, 4);
            if (dice == 0 && r.older_count == 0) entry.net = forge_net(random);
            if (dice != 1) REQUIRE(recode_entry(&r, &w, replicas, name, &entry) == ERR_OK);
            extras_free(entry.extras);
        }
        block_end(&w, r.head.to);
    }
    replicas_free(replicas);
    return is_sound;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct random random;
    struct buffer out = { 0 };
    random_init(&random, seed);
    uint64_t dice = random_below(&random, 8);
    if (dice > 2 || (dice > 0 && !vary(&random, bytes_of(data, size), &out)))
        return LLVMFuzzerMutate(data, size, size_max);
    if (dice == 0) forge_block(&random, random_below(&random, 2), &out);
    return mutator_finish(&out, data, size_max);
}
