/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that no writer makes, one mistake each. */
#include "block_fixture.h"

/* A block of replica a0a0… with these bytes as its entries. */
static enum err check_entries(const struct block_head *head, struct bytes entries)
{
    struct buffer b = { 0 };
    buffer_u8(&b, (uint8_t)head->kind);
    buffer_id(&b, &head->replica);
    buffer_u64(&b, head->nonce);
    buffer_u64(&b, head->base);
    buffer_u64(&b, head->firm);
    buffer_u64(&b, head->pledged);
    buffer_u64(&b, head->from);
    buffer_u64(&b, head->to);
    buffer_u32(&b, head->count);
    buffer_bytes(&b, entries);
    enum err err = assert_corrupt_or_canonical(buffer_view(&b));
    buffer_release(&b);
    return err;
}

/* One entry of seq 15 in a delta of (10, 20]. */
static enum err check_entry(const char *bytes, size_t len)
{
    struct block_head head = head_of(BLOCK_DELTA, 10, 20);
    head.count = 1;
    return check_entries(&head, bytes_of(bytes, len));
}

#define OWN "\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0\xa0"
#define ID1 "\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11"
#define ID2 "\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22\x22"
#define NUL "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define NET_OVER "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x40"  /* 2^110 */
#define NET_EDGE "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f"  /* 2^110 - 1 */
#define HALF_OVER "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x20" /* 2^109 */
#define HALF_EDGE "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x1f" /* 2^109 - 1 */

#define SOUND(bytes) assert_ok(check_entry(bytes, sizeof(bytes) - 1))
#define DAMAGED(bytes) assert_err(check_entry(bytes, sizeof(bytes) - 1), ERR_CORRUPT)
/* seq 15, name "n", net 2, and extras */
#define SOUND_EXTRAS(bytes) SOUND("\x0a\1n\1\4" bytes)
#define DAMAGED_EXTRAS(bytes) DAMAGED("\x0a\1n\1\4" bytes)

static void test_entry_must_be_within_its_bounds(void **state)
{
    (void)state;
    SOUND("\x0a\1n\0\4");
    DAMAGED("\x0a\0\0\x84\1");     /* no name */
    DAMAGED("\x8a\0\1n\0\4");      /* step longer than needed */
    DAMAGED("\x0a\x81\0n\0\4");    /* name length longer than needed */
    DAMAGED("\x0a\1n\4\4");        /* unknown flag */
    DAMAGED("\x0a\1n\0\4\0");      /* one byte too many */
    DAMAGED("\x0a\1n\0\x84\0");    /* net longer than needed */
    SOUND("\x0a\1n\0" NET_EDGE);   /* the largest net */
    DAMAGED("\x0a\1n\0" NET_OVER); /* one above */
    SOUND("\x02\1n\0\4");          /* the first seq of the interval */
    DAMAGED("\0\1n\0\4");          /* seq at from */
    DAMAGED("\1\1n\0\4");          /* below from */
    SOUND("\x14\1n\0\4");          /* the last */
    DAMAGED("\x16\1n\0\4");        /* above to */
    DAMAGED("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03\1n\0\4"); /* 2^127 - 1 */
}

/* seq 15, name "n", net 2, and older versions */
#define SOUND_OLDER(bytes) SOUND("\x0a\1n\2\4" bytes)
#define DAMAGED_OLDER(bytes) DAMAGED("\x0a\1n\2\4" bytes)

static void test_older_versions_fall_in_seq_and_are_few(void **state)
{
    (void)state;
    SOUND_OLDER("\1\1\0\2");       /* seq 14 */
    DAMAGED_OLDER("\1\x0f\0\2");   /* seq 0: no version */
    DAMAGED_OLDER("\1\x10\0\2");   /* below 0 */
    DAMAGED_OLDER("\1\0\0\2");     /* the entry's own seq */
    DAMAGED_OLDER("\0");           /* the flag, and none */
    DAMAGED_OLDER("\2\1\0\2");     /* one is missing */
    DAMAGED_OLDER("\1\1\2\2");     /* an older version has no older ones of its own */
    DAMAGED_OLDER("\1\1\0\2\0");   /* one byte too many */
    DAMAGED_OLDER("\1\x81\0\0\2"); /* a step longer than needed */
    SOUND_OLDER("\1\1\0" HALF_EDGE);
    DAMAGED_OLDER("\1\1\0" HALF_OVER);
    SOUND("\x0a\1n\2" HALF_EDGE "\1\1\0\2"); /* the entry itself: their difference is to be a net */
    DAMAGED("\x0a\1n\2" HALF_OVER "\1\1\0\2");
    SOUND_OLDER("\1\1\1\2\2\0\0" HALF_EDGE); /* a self base */
    DAMAGED_OLDER("\1\1\1\2\2\0\0" HALF_OVER);
    SOUND_OLDER("\2\1\0\2\x0d\0\3");    /* seq 14, then 1 */
    DAMAGED_OLDER("\2\1\0\2\0\0\3");    /* 14 twice */
    SOUND_OLDER("\1\1\1\2\1\0\x0e");    /* extras: add_seq 0 */
    DAMAGED_OLDER("\1\1\1\2\1\0\x0f");  /* below 0 */
    SOUND("\x0a\1n\3\4\1\0\1\1\1\0\2"); /* extras and older */
}

static void test_an_entry_has_at_most_so_many_older_versions(void **state)
{
    (void)state;
    for (uint32_t count = BLOCK_OLDER_MAX; count <= BLOCK_OLDER_MAX + 1; count++) {
        struct block_head head = head_of(BLOCK_DELTA, 0, 100);
        struct buffer b = { 0 };
        head.count = 1;
        buffer_signed(&b, 100); /* the seq */
        buffer_string(&b, bytes_of_text("n"));
        buffer_u8(&b, 2); /* older versions follow */
        buffer_signed(&b, 1);
        buffer_u8(&b, (uint8_t)count);
        for (uint32_t i = 0; i < count; i++) {
            buffer_varint(&b, 1);
            buffer_u8(&b, 0);
            buffer_signed(&b, 1);
        }
        assert_err(check_entries(&head, buffer_view(&b)), count <= BLOCK_OLDER_MAX ? ERR_OK : ERR_CORRUPT);
        buffer_release(&b);
    }
}

static void test_name_has_at_most_its_limit(void **state)
{
    (void)state;
    for (uint64_t len = NAME_BYTES_MAX; len <= NAME_BYTES_MAX + 1; len++) {
        struct block_head head = head_of(BLOCK_DELTA, 0, 1);
        head.count = 1;
        struct buffer b = { 0 };
        buffer_signed(&b, 1);
        buffer_varint(&b, len);
        for (uint64_t i = 0; i < len; i++) buffer_u8(&b, 'n');
        buffer_text(&b, "zz");
        b.ptr[b.len - 2] = 0;
        assert_err(check_entries(&head, buffer_view(&b)), len <= NAME_BYTES_MAX ? ERR_OK : ERR_CORRUPT);
        buffer_release(&b);
    }
}

static void test_extras_have_only_parts_that_say_something(void **state)
{
    (void)state;
    DAMAGED_EXTRAS("\0\0");                  /* no part */
    DAMAGED_EXTRAS("\1\x08\1");              /* an unknown part */
    DAMAGED_EXTRAS("\4\0");                  /* after, without a self base */
    DAMAGED_EXTRAS("\5\0\1");                /* the same with an add_seq */
    DAMAGED_EXTRAS("\x20\0\2");              /* a value, unassigned */
    DAMAGED_EXTRAS("\x10\0" ID1);            /* by another, unassigned */
    DAMAGED_EXTRAS("\0\1");                  /* fresh, without a deadline */
    DAMAGED_EXTRAS("\0\4\1" ID1 "\1\2");     /* later, without a deadline */
    DAMAGED_EXTRAS("\x80\0" ID1);            /* set by another, without a deadline */
    SOUND_EXTRAS("\x40\5\5\1\1" ID1 "\1\2"); /* fresh and later, with one */
}

static void test_seqs_of_extras_are_not_above_the_entry(void **state)
{
    (void)state;
    SOUND_EXTRAS("\1\0\x0f");     /* add_seq 0 */
    DAMAGED_EXTRAS("\1\0\x10");   /* below 0 */
    DAMAGED_EXTRAS("\1\0\0");     /* equal to seq: not written */
    SOUND_EXTRAS("\2\0\0\2");     /* self base at seq */
    SOUND_EXTRAS("\6\0\x0e\2");   /* at 1, and after */
    DAMAGED_EXTRAS("\2\0\x0f\2"); /* at 0: none */
    SOUND_EXTRAS("\2\0\0" NET_EDGE);
    DAMAGED_EXTRAS("\2\0\0" NET_OVER);
}

static void test_stamps_have_a_time_and_an_id_only_of_others(void **state)
{
    (void)state;
    SOUND_EXTRAS("\x08\0\1");
    DAMAGED_EXTRAS("\x08\0\0");
    SOUND_EXTRAS("\x18\0\1" ID1);
    DAMAGED_EXTRAS("\x18\0\1" OWN);
    DAMAGED_EXTRAS("\x18\0\1" NUL);
    SOUND_EXTRAS("\x28\0\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1");   /* INT64_MIN */
    DAMAGED_EXTRAS("\x28\0\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\2"); /* INT64_MAX + 1 */
    SOUND_EXTRAS("\x40\0\1\0");
    DAMAGED_EXTRAS("\x40\0\0\0");
    SOUND_EXTRAS("\xc0\0\1" ID1 "\0");
    DAMAGED_EXTRAS("\xc0\0\1" OWN "\0");
    DAMAGED_EXTRAS("\xc0\0\1" NUL "\0");
}

static void test_lists_are_in_the_order_of_ids(void **state)
{
    (void)state;
    SOUND_EXTRAS("\0\2\1" ID1 "\1\2");
    SOUND_EXTRAS("\0\2\2" ID1 "\1\2" ID2 "\1\2");
    DAMAGED_EXTRAS("\0\2\2" ID2 "\1\2" ID1 "\1\2");
    DAMAGED_EXTRAS("\0\2\2" ID1 "\1\2" ID1 "\1\2");
    DAMAGED_EXTRAS("\0\2\0");            /* an empty list is no list */
    DAMAGED_EXTRAS("\0\2\2" ID1 "\1\2"); /* one is missing */
    DAMAGED_EXTRAS("\0\2\1" OWN "\1\2"); /* its own share has the self base */
    DAMAGED_EXTRAS("\0\2\1" NUL "\1\2");
    DAMAGED_EXTRAS("\0\2\1" ID1 "\0\2"); /* seq 0: nothing was seen */
    SOUND_EXTRAS("\0\2\1" ID1 "\1" NET_EDGE);
    DAMAGED_EXTRAS("\0\2\1" ID1 "\1" NET_OVER);
    DAMAGED_EXTRAS("\0\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1" ID1 "\1\2"); /* 2^64 - 1 of them */
}

/* Three entries; their steps are from 10: +1, +2, then what the case says. */
static enum err check_third_step(enum block_kind kind, char step)
{
    char bytes[] = "\2\1a\0\2"
                   "\4\1b\0\2"
                   "?\1c\0\2";
    bytes[10] = step;
    struct block_head head = head_of(kind, 10, 20);
    head.count = 3;
    return check_entries(&head, bytes_of(bytes, sizeof bytes - 1));
}

static void test_delta_only_rises_and_a_snapshot_may_fall(void **state)
{
    (void)state;
    assert_ok(check_third_step(BLOCK_DELTA, 2));
    assert_err(check_third_step(BLOCK_DELTA, 0), ERR_CORRUPT);
    assert_err(check_third_step(BLOCK_DELTA, 1), ERR_CORRUPT);
    assert_ok(check_third_step(BLOCK_SNAPSHOT, 1));
    assert_ok(check_third_step(BLOCK_SNAPSHOT, 3));                /* down to 11 */
    assert_err(check_third_step(BLOCK_SNAPSHOT, 5), ERR_CORRUPT);  /* down to from */
    assert_err(check_third_step(BLOCK_SNAPSHOT, 16), ERR_CORRUPT); /* above to */
}

/* A reader may ask for memory by head.count, so block_open compares it with the bytes there are. */
static void assert_count_is_refused_at_open(uint32_t count)
{
    struct buffer b = { 0 };
    struct block_writer w;
    struct block_reader r;
    const struct block_head head = head_of(BLOCK_DELTA, 10, 20);
    block_begin(&w, &b, &head);
    buffer_bytes(&b, bytes_of("\2\1a\0\2\2\1b\0", 9));
    block_end(&w, 20);
    buffer_patch_u32(&b, BLOCK_HEAD_BYTES - 4, count);
    assert_err(block_open(&r, buffer_view(&b)), ERR_CORRUPT);
    buffer_patch_u32(&b, BLOCK_HEAD_BYTES - 4, count - 1);
    assert_ok(block_open(&r, buffer_view(&b)));
    buffer_release(&b);
}

static void test_head_must_be_sound(void **state)
{
    (void)state;
    const struct bytes entry = bytes_of("\2\1a\0\2", 5);
    struct block_head sound = head_of(BLOCK_DELTA, 10, 20);
    sound.count = 1;
    struct block_head head = sound;
    assert_ok(check_entries(&head, entry));
    head.kind = (enum block_kind)0;
    assert_err(check_entries(&head, entry), ERR_CORRUPT);
    head.kind = (enum block_kind)4;
    assert_err(check_entries(&head, entry), ERR_CORRUPT);
    head = sound;
    head.replica = id_filled(0);
    assert_err(check_entries(&head, entry), ERR_CORRUPT);
    head = sound;
    head.kind = BLOCK_SNAPSHOT; /* it says nothing of boots */
    assert_err(check_entries(&head, entry), ERR_CORRUPT);
    head = head_of(BLOCK_SNAPSHOT, 10, 20);
    head.count = 1;
    assert_ok(check_entries(&head, entry));
    for (int field = 0; field < 4; field++) {
        struct block_head spoilt = head;
        uint64_t *fields[] = { &spoilt.nonce, &spoilt.base, &spoilt.firm, &spoilt.pledged };
        *fields[field] = 1;
        assert_err(check_entries(&spoilt, entry), ERR_CORRUPT);
    }
    head = sound;
    head.from = 21;
    assert_err(check_entries(&head, entry), ERR_CORRUPT);
    for (uint32_t count = 0; count < 4; count++) {
        head = sound;
        head.count = count;
        assert_err(check_entries(&head, entry), count == 1 ? ERR_OK : ERR_CORRUPT);
    }
    head.count = UINT32_MAX;
    assert_err(check_entries(&head, entry), ERR_CORRUPT);
    assert_count_is_refused_at_open(2);
    head = sound;
    head.to = head.from;
    head.count = 0;
    assert_ok(check_entries(&head, bytes_of(NULL, 0))); /* nothing happened, and that is all of it */
}

static void test_seq_reaches_all_64_bits(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_made();
    struct block_head head = head_of(BLOCK_SNAPSHOT, 0, 0);
    struct buffer out = { 0 };
    struct block_writer w;
    block_begin(&w, &out, &head);
    block_put(&w, replicas, bytes_of_text("a"), &(struct entry){ .seq = UINT64_MAX });
    block_put(&w, replicas, bytes_of_text("b"), &(struct entry){ .seq = 1 });
    block_end(&w, UINT64_MAX);
    assert_ok(assert_corrupt_or_canonical(buffer_view(&out)));
    buffer_release(&out);
    replicas_free(replicas);
}

static void test_ids_of_damaged_entries_are_not_taken_in(void **state)
{
    (void)state;
    struct block_head head = head_of(BLOCK_DELTA, 10, 20);
    struct buffer out = { 0 };
    struct block_writer w;
    struct replicas *replicas = replicas_made();
    block_begin(&w, &out, &head);
    block_end(&w, 20);
    buffer_patch_u32(&out, out.len - 4, 1);
    buffer_bytes(&out, bytes_of("\x0a\1n\1\4\0\2\2" ID2 "\1\2" ID1 "\1\2", 8 + 36)); /* not in order */
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    assert_ok(block_open(&r, buffer_view(&out)));
    assert_err(block_next(&r, replicas, &name, &entry), ERR_CORRUPT);
    assert_err(block_next(&r, replicas, &name, &entry), ERR_CORRUPT); /* it stays so */
    assert_int_equal(replicas_count(replicas), 1);
    buffer_release(&out);
    replicas_free(replicas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_must_be_within_its_bounds),
        cmocka_unit_test(test_older_versions_fall_in_seq_and_are_few),
        cmocka_unit_test(test_an_entry_has_at_most_so_many_older_versions),
        cmocka_unit_test(test_name_has_at_most_its_limit),
        cmocka_unit_test(test_extras_have_only_parts_that_say_something),
        cmocka_unit_test(test_seqs_of_extras_are_not_above_the_entry),
        cmocka_unit_test(test_stamps_have_a_time_and_an_id_only_of_others),
        cmocka_unit_test(test_lists_are_in_the_order_of_ids),
        cmocka_unit_test(test_delta_only_rises_and_a_snapshot_may_fall),
        cmocka_unit_test(test_head_must_be_sound),
        cmocka_unit_test(test_seq_reaches_all_64_bits),
        cmocka_unit_test(test_ids_of_damaged_entries_are_not_taken_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
