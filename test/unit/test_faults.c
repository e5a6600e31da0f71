/* SPDX-License-Identifier: Apache-2.0 */
/* One life of two nodes, told again and again, each time with another request for memory or operation of the disk that
 * fails. It has everything: both count, snapshots replace segments, one is restarted, is far behind and swept, has its
 * journal damaged and repairs it. A node that ends is started again from its disk, and the totals must be exact. */
#include "pair.h"

#include "journal/segment.h"

#include <stdio.h>

enum fault { FAULT_NONE, FAULT_MEMORY, FAULT_IO, FAULT_POWER };

struct plan {
    enum fault fault;
    uint64_t nth; /* counted from the start, or from the damage on */
    bool from_damage;
    uint64_t memory, disk; /* found out: how many requests and operations there were until then, and from then on */
    uint64_t memory_later, disk_later;
    bool has_failed; /* and the machine was not restarted since */
    uint32_t failures;
};

static void arm(struct pair *p, const struct plan *plan)
{
    if (plan->fault == FAULT_MEMORY || plan->fault == FAULT_NONE)
        mem_fail_at(plan->fault == FAULT_NONE ? UINT64_MAX : plan->nth);
    if (plan->fault == FAULT_IO) disk_fail_at(p->nodes[0].disk, plan->nth, ERR_IO);
    if (plan->fault == FAULT_POWER) disk_cut_at(p->nodes[0].disk, plan->nth);
}

static void note(struct plan *plan, enum err err)
{
    assert_true(err == ERR_OK || err == ERR_NOMEM || err == ERR_IO || err == ERR_CLOSED);
    if (err != ERR_NOMEM && err != ERR_IO) return;
    plan->failures++;
    plan->has_failed = true;
}

/* Starts what has ended. */
static void revive(struct pair *p, struct plan *plan)
{
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t attempt = 0; !p->nodes[i].node; attempt++) {
            assert_true(attempt < 3); /* there is one fault */
            if (plan->has_failed && plan->fault == FAULT_IO) disk_kill(p->nodes[i].disk);
            if (plan->has_failed && plan->fault == FAULT_POWER) disk_restart(p->nodes[i].disk);
            plan->has_failed = false;
            note(plan, pair_start(p, i));
        }
    }
}

static void count(struct pair *p, struct plan *plan, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        note(plan, pair_add(p, i % 2, i * 5 % PAIR_COUNTERS, i + 1));
        revive(p, plan);
    }
}

static void settle(struct pair *p, struct plan *plan)
{
    for (uint32_t round = 0; round < 400; round++) {
        note(plan, pair_advance(p, 50));
        revive(p, plan);
        if (round % 4 == 3 && pair_agrees(p)) return;
    }
    fail();
}

/* A block in the middle of the newest file: its content is at the peer. */
static void damage(struct disk *disk)
{
    char name[STORAGE_NAME_MAX], newest[STORAGE_NAME_MAX] = "";
    for (uint32_t number = 1; number < 400; number++) {
        snprintf(name, sizeof name, "journal-%016x", number);
        if (disk_has(disk, name)) memcpy(newest, name, sizeof name);
    }
    struct bytes file = disk_content(disk, newest);
    struct segment_head head;
    assert_ok(segment_get_head(file, SEGMENT_MAGIC, &head));
    uint64_t at = SEGMENT_HEAD_BYTES, starts[200], blocks = 0;
    struct segment_block block;
    while (blocks < 200 && segment_get_block(bytes_of(file.ptr + at, file.len - at), &head.place, at, &block)) {
        starts[blocks++] = at;
        at += SEGMENT_BLOCK_BYTES + block.record_bytes;
    }
    assert_true(blocks > 4);
    disk_flip_bit(disk, newest, starts[blocks / 2] + 20, 1);
}

static void live(struct plan *plan)
{
    struct pair pair, *p = &pair;
    pair_new(plan->nth, p);
    p->snapshot_bytes = 1000;
    if (!plan->from_damage) arm(p, plan);
    revive(p, plan);
    count(p, plan, 0, 24);
    settle(p, plan);
    pair_end(p, 1);
    for (uint32_t i = 0; i < 6; i++) note(plan, pair_add(p, 0, 40 + i, 3));
    p->snapshot_bytes = 1u << 20;         /* from here on there is much in one segment */
    if (p->nodes[0].node) pair_end(p, 0); /* it forgets what it did last, so the other has to be swept */
    revive(p, plan);
    count(p, plan, 24, 36);
    settle(p, plan);
    plan->memory = mem_requests();
    plan->disk = disk_operations(p->nodes[0].disk);
    pair_end(p, 0);
    damage(p->nodes[0].disk);
    if (plan->from_damage) arm(p, plan);
    revive(p, plan);
    assert_true(stats_get(&p->nodes[0].stats, STAT_journal_holes) > 0);
    count(p, plan, 36, 48);
    settle(p, plan);
    plan->memory_later = mem_requests();
    plan->disk_later = disk_operations(p->nodes[0].disk) - plan->disk;
    mem_fail_at(0);
    for (uint32_t i = 0; i < 2; i++) pair_expect_exact(p, i);
    for (uint32_t i = 0; i < 2; i++) {
        pair_end(p, i);
        disk_restart(p->nodes[i].disk);
        assert_ok(pair_start(p, i));
        pair_expect_exact(p, i);
    }
    settle(p, &(struct plan){ 0 });
    for (uint32_t i = 0; i < 2; i++) pair_expect_exact(p, i);
    pair_free(p);
}

/* Once without a fault, to learn how many requests and operations there are, and then with each of them failing. */
static void each(enum fault fault, bool from_damage)
{
    struct plan calm = { .from_damage = from_damage };
    live(&calm);
    uint64_t count = from_damage ? calm.disk_later : calm.disk;
    if (fault == FAULT_MEMORY) count = from_damage ? calm.memory_later : calm.memory;
    assert_true(count > 30);
    uint64_t failures = 0;
    for (uint64_t nth = 1; nth <= count; nth++) {
        struct plan plan = { .fault = fault, .nth = nth, .from_damage = from_damage };
        live(&plan);
        failures += plan.failures > 0;
    }
    assert_true(failures > count / 2);
}

static void test_any_request_for_memory_may_fail_in_the_life_of_two_nodes(void **state)
{
    (void)state;
    each(FAULT_MEMORY, false);
    each(FAULT_MEMORY, true);
}

static void test_any_operation_of_the_disk_may_fail_in_the_life_of_two_nodes(void **state)
{
    (void)state;
    each(FAULT_IO, false);
    each(FAULT_IO, true);
}

static void test_power_may_go_out_in_any_operation_of_the_disk_in_the_life_of_two_nodes(void **state)
{
    (void)state;
    each(FAULT_POWER, false);
    each(FAULT_POWER, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_request_for_memory_may_fail_in_the_life_of_two_nodes),
        cmocka_unit_test(test_any_operation_of_the_disk_may_fail_in_the_life_of_two_nodes),
        cmocka_unit_test(test_power_may_go_out_in_any_operation_of_the_disk_in_the_life_of_two_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
