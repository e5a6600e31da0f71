/* SPDX-License-Identifier: Apache-2.0 */
/* What a node writes about itself and takes back; docs/FORMATS.md has the bytes. */
#include "testing.h"

#include "base/random.h"
#include "cluster/message.h"
#include "count/replicas.h"
#include "node/internal.h"

static struct stats stats;

static struct id128 example_id(uint8_t first)
{
    struct id128 id;
    for (uint8_t i = 0; i < 16; i++) id.bytes[i] = (uint8_t)(first + i);
    return id;
}

static struct node *node_make(const char *cluster)
{
    struct node_options options = { .name = "a:1",
                                    .cluster = cluster,
                                    .heartbeat_ms = 500,
                                    .peer_timeout_ms = 3000,
                                    .backoff_ms_min = 500,
                                    .backoff_ms_max = 30000,
                                    .shards = 1,
                                    .nonce = 0x0102030405060708,
                                    .replica = example_id(0xa0),
                                    .stats = &stats };
    struct node *n;
    assert_ok(node_new(&options, &n));
    return n;
}

static const uint8_t identity[] = {
    0x01, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa,
    0xab, 0xac, 0xad, 0xae, 0xaf, 0x05, 0x71, 0x75, 0x69, 0x70, 0x75,
};
static const uint8_t boot[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t members[] = {
    0x03, 0x62, 0x3a, 0x32, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc,
    0xbd, 0xbe, 0xbf, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x63, 0x3a, 0x33, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01,
};
static const uint8_t vector[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x28, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
/* As the boot that is about to begin adds itself. */
static const uint8_t trails[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x28,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x28, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
};
#define TRAILS_AT_COUNT 49
#define TRAILS_BEFORE_BYTES (sizeof trails - 16)
static const uint8_t split[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
};

static const uint8_t pledges[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static enum err give(struct node *n, uint8_t kind, const uint8_t *bytes, size_t len)
{
    struct fenced f = fenced_copy(bytes_of(bytes, len));
    enum err err = node_recover(n, kind, f.bytes);
    fenced_release(&f);
    return err;
}

/* The example before this boot: one boot, which wrote all 40 seqs. */
static enum err give_trails(struct node *n)
{
    uint8_t before[TRAILS_BEFORE_BYTES];
    memcpy(before, trails, sizeof before);
    before[TRAILS_AT_COUNT] = 1;
    return give(n, RECORD_TRAILS, before, sizeof before);
}

/* A node that has recovered the example, as its journal would hand it out. */
static struct node *node_recovered(void)
{
    struct node *n = node_make("quipu");
    assert_ok(give(n, RECORD_IDENTITY, identity, sizeof identity));
    assert_ok(give(n, RECORD_BOOT, boot, sizeof boot));
    assert_ok(give(n, RECORD_MEMBERS, members, sizeof members));
    assert_ok(give(n, RECORD_VECTOR, vector, sizeof vector));
    assert_ok(give_trails(n));
    return n;
}

static void check_record(const struct record *r, uint8_t kind, const uint8_t *expected, size_t len)
{
    assert_int_equal(r->kind, kind);
    assert_int_equal(r->bytes->len - r->skip, len);
    assert_memory_equal(r->bytes->ptr + r->skip, expected, len);
}

static void test_the_examples_of_the_formats_page(void **state)
{
    (void)state;
    struct node *n = node_recovered();
    struct id128 hearsay = { { 7 } };
    uint32_t index;
    assert_ok(replicas_intern(n->replicas, &hearsay, &index)); /* met, nothing known: not in the vector */
    struct actions actions = { 0 };
    assert_ok(node_start(n, 1000, 1700000000000u, &actions));
    const struct action *append = NULL;
    for (uint32_t i = 0; i < actions.count && !append; i++) {
        if (actions.items[i].kind == ACTION_APPEND) append = &actions.items[i];
    }
    assert_non_null(append);
    assert_int_equal(append->as.append.number, 1);
    assert_int_equal(append->as.append.count, 3);
    check_record(&append->as.append.records[0], RECORD_IDENTITY, identity, sizeof identity);
    check_record(&append->as.append.records[1], RECORD_BOOT, boot, sizeof boot);
    check_record(&append->as.append.records[2], RECORD_MEMBERS, members, sizeof members);
    actions_release(&actions);
    struct record records[IDENTITY_RECORDS_MAX];
    uint32_t count;
    identity_records(n, records, &count, true); /* as at the head of a snapshot */
    assert_int_equal(count, 5);
    check_record(&records[3], RECORD_VECTOR, vector, sizeof vector);
    check_record(&records[4], RECORD_TRAILS, trails, sizeof trails);
    for (uint32_t i = 0; i < count; i++) shared_drop(records[i].bytes);
    struct record record = identity_split_record(n, n->own, 40, n->nonce);
    check_record(&record, RECORD_SPLIT, split, sizeof split);
    shared_drop(record.bytes);
    fork_pledge(n, n->own, 41, 40);
    record = identity_pledges_record(n, 2);
    check_record(&record, RECORD_PLEDGES, pledges, sizeof pledges);
    shared_drop(record.bytes);
    node_free(n);
}

static void test_what_was_recovered_is_who_the_node_is(void **state)
{
    (void)state;
    struct node *n = node_recovered();
    struct actions actions = { 0 };
    assert_ok(node_start(n, 1000, 1700000000000u, &actions));
    actions_release(&actions);
    struct id128 own = example_id(0xa0), peer = example_id(0xb0);
    assert_true(id128_equal(replicas_id(n->replicas, n->own), &own));
    assert_int_equal(n->own_seq, 40); /* the next seq is 41 */
    assert_int_equal(n->members.members_count, 2);
    assert_string_equal(n->members.members[0].name, "b:2");
    assert_true(id128_equal(&n->members.members[0].replica, &peer));
    assert_true(member_counts(&n->members.members[0]));
    assert_int_equal(n->members.members[1].epoch, 1);
    assert_false(member_counts(&n->members.members[1])); /* who has left stays so */
    node_free(n);
}

static void test_a_record_cut_anywhere_is_damage(void **state)
{
    (void)state;
    const struct {
        uint8_t kind;
        const uint8_t *bytes;
        size_t len;
    } records[] = { { RECORD_IDENTITY, identity, sizeof identity }, { RECORD_BOOT, boot, sizeof boot },
                    { RECORD_MEMBERS, members, sizeof members },    { RECORD_VECTOR, vector, sizeof vector },
                    { RECORD_TRAILS, trails, sizeof trails },       { RECORD_SPLIT, split, sizeof split },
                    { RECORD_PLEDGES, pledges, sizeof pledges } };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        for (size_t len = 0; len < records[i].len; len++) {
            const uint8_t kind = records[i].kind;
            bool list =
                kind == RECORD_MEMBERS || kind == RECORD_VECTOR || kind == RECORD_TRAILS || kind == RECORD_PLEDGES;
            bool between = list && (len == 0 || (records[i].kind == RECORD_MEMBERS && len == 25));
            struct node *n = node_make("quipu");
            assert_err(give(n, records[i].kind, records[i].bytes, len), between ? ERR_OK : ERR_CORRUPT);
            node_free(n);
        }
    }
}

static enum err give_changed(uint8_t kind, const uint8_t *bytes, size_t len, size_t at, uint8_t value)
{
    uint8_t copy[96];
    assert_true(len <= sizeof copy && at < len);
    memcpy(copy, bytes, len);
    copy[at] = value;
    struct node *n = node_make("quipu");
    enum err err = give(n, kind, copy, len);
    node_free(n);
    return err;
}

static void test_records_that_this_version_could_not_have_written(void **state)
{
    (void)state;
    struct node *n = node_make("another");
    assert_err(give(n, RECORD_IDENTITY, identity, sizeof identity), ERR_INVALID); /* the journal of another cluster */
    assert_err(give(n, RECORD_PLEDGES + 1, identity, sizeof identity), ERR_CORRUPT);
    assert_err(give(n, RECORD_OWN, identity, sizeof identity), ERR_CORRUPT);
    node_free(n);
    assert_err(give_changed(RECORD_IDENTITY, identity, sizeof identity, 0, 2), ERR_NEWER);
    assert_err(give_changed(RECORD_IDENTITY, identity, sizeof identity, 0, 0), ERR_CORRUPT);
    assert_err(give_changed(RECORD_IDENTITY, identity, sizeof identity, 17, 4), ERR_CORRUPT); /* a byte too many */
    assert_err(give_changed(RECORD_MEMBERS, members, sizeof members, 3, 'x'), ERR_CORRUPT);   /* no port */
    assert_ok(give_changed(RECORD_MEMBERS, members, sizeof members, 3, '9'));
    assert_err(give_changed(RECORD_TRAILS, trails, sizeof trails, 66, 0), ERR_CORRUPT); /* two boots in one place */
    assert_err(give_changed(RECORD_TRAILS, trails, sizeof trails, TRAILS_AT_COUNT, 1), ERR_CORRUPT); /* one too many */
    assert_err(give_changed(RECORD_MEMBERS, members, sizeof members, 49, 2), ERR_CORRUPT); /* neither left nor not */
}

static void test_entries_of_nobody_are_not_a_journal_of_ours(void **state)
{
    (void)state;
    struct node *n = node_make("quipu");
    struct actions actions = { 0 };
    assert_ok(give(n, RECORD_VECTOR, vector, sizeof vector));
    assert_err(node_start(n, 1000, 1700000000000u, &actions), ERR_CORRUPT); /* it never says who wrote it */
    actions_release(&actions);
    node_free(n);
}

static void test_random_records_are_refused_or_taken_and_nothing_worse(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 5);
    struct node *n = node_make("quipu");
    uint32_t taken = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[96];
        size_t len = (size_t)random_below(&random, sizeof bytes);
        for (size_t k = 0; k < len; k++) bytes[k] = (uint8_t)random_u64(&random);
        if (len > 0 && i % 2) bytes[0] = (uint8_t)random_below(&random, 4);
        taken += give(n, (uint8_t)random_below(&random, RECORD_PLEDGES + 2), bytes, len) == ERR_OK;
    }
    assert_true(taken > 0);
    node_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_examples_of_the_formats_page),
        cmocka_unit_test(test_what_was_recovered_is_who_the_node_is),
        cmocka_unit_test(test_a_record_cut_anywhere_is_damage),
        cmocka_unit_test(test_records_that_this_version_could_not_have_written),
        cmocka_unit_test(test_entries_of_nobody_are_not_a_journal_of_ours),
        cmocka_unit_test(test_random_records_are_refused_or_taken_and_nothing_worse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
