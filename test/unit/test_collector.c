/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "count/block.h"
#include "count/collector.h"
#include "count/keyspace_replica.h"
#include "count/replicas.h"

#include <stdio.h>

#define REPLICAS 3u
#define NAMES 300u
#define BLOCK_BYTES 400u

struct world {
    struct replicas *replicas;
    struct keyspace *keyspace;
    uint32_t indices[REPLICAS];
};

/* What came out: for each name and replica how often, checked against what went in. */
struct seen_entries {
    struct world *world;
    uint32_t times[NAMES][REPLICAS];
    uint32_t entries, blocks;
    size_t block_bytes_max;
    uint32_t refuse_at; /* the nth block; 0: none */
};

static uint64_t seq_of(uint32_t name, uint32_t replica)
{
    return 1 + (name * 7 + replica) % NAMES; /* 7 and NAMES share no factor: each once for a replica */
}

static int64_t net_of(uint32_t name, uint32_t replica)
{
    return (int64_t)name * 1000 - (int64_t)replica;
}

static struct bytes name_of_number(uint32_t name, char into[32])
{
    return bytes_of(into, (size_t)snprintf(into, 32, "counter %u", name));
}

static enum err world_join(struct world *w, uint32_t number, uint32_t replica, struct entry *entry)
{
    char text[32];
    struct bytes name = name_of_number(number, text);
    cell_ref cell;
    return keyspace_join(w->keyspace, w->indices[replica], keyspace_hash(w->keyspace, name), name, entry, &cell);
}

static enum err world_init(struct world *w, uint32_t names)
{
    *w = (struct world){ 0 };
    enum err err = replicas_new(&w->replicas);
    for (uint8_t i = 0; err == ERR_OK && i < REPLICAS; i++) {
        struct id128 id = { { (uint8_t)(i + 1) } };
        err = replicas_intern(w->replicas, &id, &w->indices[i]);
    }
    struct keyspace_options options = { .shards = 4, .hash_seed = 1, .replicas = w->replicas };
    if (err == ERR_OK) err = keyspace_new(&options, &w->keyspace);
    if (err == ERR_OK) keyspace_set_own(w->keyspace, w->indices[0]);
    for (uint32_t name = 0; err == ERR_OK && name < names; name++) {
        for (uint32_t replica = 0; err == ERR_OK && replica < REPLICAS; replica++) {
            struct entry entry = { .seq = seq_of(name, replica), .net = net_of(name, replica) };
            err = world_join(w, name, replica, &entry);
        }
    }
    return err;
}

static void world_release(struct world *w)
{
    keyspace_free(w->keyspace);
    replicas_free(w->replicas);
}

static void check_entry(struct seen_entries *s, uint32_t replica, struct bytes name, const struct entry *entry)
{
    uint32_t number = 0;
    char text[32];
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    assert_int_equal(sscanf(text, "counter %u", &number), 1);
    assert_true(number < NAMES);
    assert_int_equal(entry->seq, seq_of(number, replica));
    assert_true(entry->net == net_of(number, replica));
    s->times[number][replica]++;
    s->entries++;
}

static enum err take_block(void *context, uint32_t replica, struct bytes block)
{
    struct seen_entries *s = context;
    s->blocks++;
    if (s->blocks == s->refuse_at) return ERR_FULL;
    if (block.len > s->block_bytes_max) s->block_bytes_max = block.len;
    struct block_reader r;
    assert_ok(block_open(&r, block));
    assert_int_equal(r.head.kind, BLOCK_SNAPSHOT);
    assert_true(id128_equal(&r.head.replica, replicas_id(s->world->replicas, replica)));
    uint32_t index = replica - s->world->indices[0];
    struct bytes name;
    struct entry entry;
    enum err err;
    while ((err = block_next(&r, s->world->replicas, &name, &entry)) == ERR_OK) {
        check_entry(s, index, name, &entry);
        extras_free(entry.extras);
    }
    return err == ERR_STALE ? ERR_OK : err;
}

static enum err collect(struct world *w, uint32_t cells, struct seen_entries *ret_seen)
{
    struct collector *c = NULL;
    enum err err = collector_new(w->keyspace, w->replicas, BLOCK_BYTES, &c);
    bool done = false;
    ret_seen->world = w;
    while (err == ERR_OK && !done) err = collector_step(c, cells, take_block, ret_seen, &done);
    collector_free(c);
    return err;
}

static void test_everything_is_collected_once_in_blocks_of_one_replica(void **state)
{
    (void)state;
    static const uint32_t cells[] = { 1, 7, 100, 100000 };
    struct world w;
    assert_ok(world_init(&w, NAMES));
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        struct seen_entries seen = { 0 };
        assert_ok(collect(&w, cells[i], &seen));
        assert_int_equal(seen.entries, NAMES * REPLICAS);
        for (uint32_t name = 0; name < NAMES; name++) {
            for (uint32_t replica = 0; replica < REPLICAS; replica++) assert_int_equal(seen.times[name][replica], 1);
        }
        assert_true(seen.blocks > 20);
        assert_in_range(seen.block_bytes_max, BLOCK_BYTES, BLOCK_BYTES + 40); /* one entry more at most */
    }
    world_release(&w);
}

static void test_what_is_not_durable_is_not_collected(void **state)
{
    (void)state;
    struct world w;
    assert_ok(world_init(&w, 0));
    struct bytes name = bytes_of_text("pending");
    struct seen at_once;
    assert_ok(keyspace_add(w.keyspace, keyspace_hash(w.keyspace, name), name, 5, &at_once));
    struct seen_entries seen = { 0 };
    assert_ok(collect(&w, 10, &seen));
    assert_int_equal(seen.blocks, 0);
    world_release(&w);
}

static void test_error_of_the_sink_ends_the_collection(void **state)
{
    (void)state;
    struct world w;
    assert_ok(world_init(&w, NAMES));
    struct seen_entries seen = { .refuse_at = 5 };
    assert_err(collect(&w, 100000, &seen), ERR_FULL);
    assert_int_equal(seen.blocks, 5);
    world_release(&w);
}

static enum err fill_and_collect(void *context)
{
    (void)context;
    struct world w;
    struct seen_entries seen = { 0 };
    enum err err = world_init(&w, 40);
    if (err == ERR_OK) err = collect(&w, 16, &seen);
    if (err == ERR_OK) assert_int_equal(seen.entries, 40 * REPLICAS);
    world_release(&w);
    return err;
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(each_allocation_fails(fill_and_collect, NULL) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_collected_once_in_blocks_of_one_replica),
        cmocka_unit_test(test_what_is_not_durable_is_not_collected),
        cmocka_unit_test(test_error_of_the_sink_ends_the_collection),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
