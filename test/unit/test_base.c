/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "base/lock.h"
#include "base/random.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define INT128_MAX ((int128)(~(uint128)0 >> 1))
#define INT128_MIN (-INT128_MAX - 1)

/* Errors */

static void test_every_error_has_its_own_text(void **state)
{
    (void)state;
    for (int a = 0; a < ERR_COUNT; a++) {
        assert_true(strlen(err_text((enum err)a)) > 0);
        for (int b = 0; b < a; b++) assert_string_not_equal(err_text((enum err)a), err_text((enum err)b));
    }
    assert_string_equal(err_text(ERR_COUNT), "unknown error");
    assert_string_equal(err_text((enum err) - 1), "unknown error");
}

static void require_truth_of(void *context)
{
    REQUIRE(*(bool *)context);
}

static void test_broken_invariant_ends_the_process(void **state)
{
    (void)state;
    bool truth = true;
    require_truth_of(&truth);
    truth = false;
    assert_aborts(require_truth_of, &truth);
}

/* Memory */

static void test_nothing_is_a_valid_amount_of_memory(void **state)
{
    (void)state;
    void *alloc = mem_alloc(0), *zero = mem_alloc_zero(0, 8), *resized = mem_resize(NULL, 0);
    assert_non_null(alloc);
    assert_non_null(zero);
    assert_non_null(resized);
    mem_free(alloc);
    mem_free(zero);
    mem_free(resized);
    mem_free(NULL);
}

static void test_memory_too_large_to_count_is_refused(void **state)
{
    (void)state;
    /* volatile, because compilers know that nobody can have this much and answer for calloc */
    volatile size_t half = SIZE_MAX / 2 + 2;
    void *volatile memory = mem_alloc_zero(half, 2);
    assert_null(memory);
}

static void test_only_the_nth_request_fails(void **state)
{
    (void)state;
    mem_fail_at(2);
    void *first = mem_alloc(8), *second = mem_alloc_zero(1, 8), *third = mem_resize(NULL, 8);
    uint64_t requests = mem_requests();
    mem_fail_at(0);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    assert_int_equal(requests, 3);
    mem_free(first);
    mem_free(third);
}

/* Views and ids */

static void test_views_are_equal_by_content(void **state)
{
    (void)state;
    assert_true(bytes_equal(bytes_of_text("hits"), bytes_of("hits!", 4)));
    assert_false(bytes_equal(bytes_of_text("hits"), bytes_of_text("hitz")));
    assert_false(bytes_equal(bytes_of_text("hits"), bytes_of_text("hit")));
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of_text("")));
}

static void test_id_is_shown_as_32_hex_digits(void **state)
{
    (void)state;
    struct id128 id = { { 0x00, 0x01, 0x9a, 0xff } }, other = id;
    id.bytes[15] = 0xe0;
    char text[33];
    id128_hex(&id, text);
    assert_string_equal(text, "00019aff0000000000000000000000e0");
    assert_false(id128_equal(&id, &other));
    assert_false(id128_is_zero(&id));
    other = (struct id128){ { 0 } };
    assert_true(id128_is_zero(&other));
}

/* Reader and buffer together */

static void write_one_of_each(struct buffer *b, const struct id128 *id)
{
    buffer_u8(b, 0xfe);
    buffer_u16(b, 0xfedc);
    buffer_u32(b, 0xfedcba98);
    buffer_u64(b, 0xfedcba9876543210);
    buffer_varint(b, 300);
    buffer_signed(b, -2);
    buffer_id(b, id);
    buffer_string(b, bytes_of_text("hits"));
    buffer_string(b, bytes_of(NULL, 0));
}

static void test_what_is_written_is_read_back(void **state)
{
    (void)state;
    struct id128 id = { { 1, 2, 3 } };
    struct buffer b = { 0 };
    write_one_of_each(&b, &id);
    assert_ok(buffer_end(&b));

    struct fenced copy = fenced_copy(buffer_view(&b));
    struct reader r;
    reader_init(&r, copy.bytes);
    assert_int_equal(reader_left(&r), b.len);
    assert_int_equal(reader_u8(&r), 0xfe);
    assert_int_equal(reader_u16(&r), 0xfedc);
    assert_int_equal(reader_u32(&r), 0xfedcba98);
    assert_int_equal(reader_u64(&r), 0xfedcba9876543210);
    assert_int_equal(reader_varint(&r), 300);
    assert_true(reader_signed(&r) == -2);
    struct id128 id_read = reader_id(&r);
    assert_true(id128_equal(&id_read, &id));
    assert_true(bytes_equal(reader_string(&r, 4), bytes_of_text("hits")));
    assert_int_equal(reader_string(&r, 0).len, 0);
    assert_int_equal(reader_left(&r), 0);
    assert_ok(reader_end(&r));
    fenced_release(&copy);
    buffer_release(&b);
}

static void test_integers_are_little_endian(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_u16(&b, 0x0102);
    buffer_u32(&b, 0x03040506);
    buffer_u64(&b, 0x0708090a0b0c0d0e);
    static const uint8_t expected[] = { 2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7 };
    assert_true(bytes_equal(buffer_view(&b), bytes_of(expected, sizeof expected)));
    buffer_release(&b);
}

static void read_one_of_each(struct reader *r)
{
    reader_u8(r);
    reader_u16(r);
    reader_u32(r);
    reader_u64(r);
    reader_varint(r);
    (void)reader_signed(r);
    reader_id(r);
    reader_string(r, 4);
    reader_string(r, 0);
}

/* Cut anywhere, a record is damaged, and nobody reads past the cut: the next page is not there. */
static void test_record_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    struct id128 id = { { 0 } };
    struct buffer b = { 0 };
    write_one_of_each(&b, &id);
    for (size_t len = 0; len < b.len; len++) {
        struct fenced cut = fenced_copy(bytes_of(b.ptr, len));
        struct reader r;
        reader_init(&r, cut.bytes);
        read_one_of_each(&r);
        assert_err(reader_end(&r), ERR_CORRUPT);
        fenced_release(&cut);
    }
    buffer_release(&b);
}

static void test_bytes_left_over_are_corrupt(void **state)
{
    (void)state;
    struct reader r;
    reader_init(&r, bytes_of_text("ab"));
    assert_int_equal(reader_u8(&r), 'a');
    assert_err(reader_end(&r), ERR_CORRUPT);
    assert_int_equal(reader_u8(&r), 'b');
    assert_ok(reader_end(&r));
}

static void test_empty_input_is_a_complete_record(void **state)
{
    (void)state;
    struct reader r;
    reader_init(&r, bytes_of(NULL, 0));
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_bytes(&r, 0).len, 0);
    assert_ok(reader_end(&r));
    assert_int_equal(reader_u8(&r), 0);
    assert_err(reader_end(&r), ERR_CORRUPT);
}

static void test_reader_is_quiet_after_its_first_failure(void **state)
{
    (void)state;
    struct reader r;
    reader_init(&r, bytes_of_text("abc"));
    assert_int_equal(reader_u32(&r), 0);
    const uint8_t *at = r.ptr;
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_varint(&r), 0);
    assert_true(reader_signed(&r) == 0);
    struct id128 id = reader_id(&r);
    assert_true(id128_is_zero(&id));
    struct bytes none = reader_bytes(&r, 1);
    assert_true(none.ptr == NULL && none.len == 0);
    none = reader_string(&r, 8);
    assert_true(none.ptr == NULL && none.len == 0);
    assert_int_equal(reader_left(&r), 0);
    assert_ptr_equal(r.ptr, at);
    assert_err(reader_end(&r), ERR_CORRUPT);
}

static void test_length_of_any_size_cannot_lead_outside(void **state)
{
    (void)state;
    static const uint64_t lengths[] = { 5, UINT32_MAX, (uint64_t)INT64_MAX, UINT64_MAX - 2, UINT64_MAX };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buffer b = { 0 };
        buffer_varint(&b, lengths[i]);
        buffer_text(&b, "abc");
        struct fenced copy = fenced_copy(buffer_view(&b));
        struct reader r;
        reader_init(&r, copy.bytes);
        assert_int_equal(reader_string(&r, SIZE_MAX).len, 0);
        assert_err(reader_end(&r), ERR_CORRUPT);
        reader_init(&r, copy.bytes);
        assert_int_equal(reader_bytes(&r, (size_t)lengths[i]).len, 0);
        assert_err(reader_end(&r), ERR_CORRUPT);
        fenced_release(&copy);
        buffer_release(&b);
    }
}

static void test_string_above_its_limit_is_corrupt(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_string(&b, bytes_of_text("hits"));
    struct reader r;
    reader_init(&r, buffer_view(&b));
    assert_true(bytes_equal(reader_string(&r, 4), bytes_of_text("hits")));
    assert_ok(reader_end(&r));
    reader_init(&r, buffer_view(&b));
    assert_int_equal(reader_string(&r, 3).len, 0);
    assert_err(reader_end(&r), ERR_CORRUPT);
    buffer_release(&b);
}

/* Varints */

static void expect_varint(uint64_t value, size_t len)
{
    struct buffer b = { 0 };
    buffer_varint(&b, value);
    assert_ok(buffer_end(&b));
    assert_int_equal(b.len, len);
    struct fenced copy = fenced_copy(buffer_view(&b));
    struct reader r;
    reader_init(&r, copy.bytes);
    assert_int_equal(reader_varint(&r), value);
    assert_ok(reader_end(&r));
    fenced_release(&copy);
    buffer_release(&b);
}

static void test_varint_takes_a_byte_for_each_seven_bits(void **state)
{
    (void)state;
    expect_varint(0, 1);
    for (unsigned bits = 1; bits < 64; bits++) {
        expect_varint((UINT64_C(1) << bits) - 1, (bits + 6) / 7);
        expect_varint(UINT64_C(1) << bits, bits / 7 + 1);
    }
    expect_varint(UINT64_MAX, 10);
}

static enum err read_varint(struct bytes encoded)
{
    struct fenced copy = fenced_copy(encoded);
    struct reader r;
    reader_init(&r, copy.bytes);
    uint64_t value = reader_varint(&r);
    enum err err = reader_end(&r);
    if (err) assert_int_equal(value, 0);
    fenced_release(&copy);
    return err;
}

static void test_varint_longer_than_needed_is_corrupt(void **state)
{
    (void)state;
    assert_ok(read_varint(bytes_of("\x00", 1)));
    assert_err(read_varint(bytes_of("\x80\x00", 2)), ERR_CORRUPT);
    assert_ok(read_varint(bytes_of("\xff\x01", 2)));
    assert_err(read_varint(bytes_of("\xff\x81\x00", 3)), ERR_CORRUPT);
    assert_err(read_varint(bytes_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10)), ERR_CORRUPT);
}

static void test_varint_above_64_bits_is_corrupt(void **state)
{
    (void)state;
    assert_ok(read_varint(bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10)));
    assert_err(read_varint(bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10)), ERR_CORRUPT);
    assert_err(read_varint(bytes_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", 10)), ERR_CORRUPT);
    assert_err(read_varint(bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", 11)), ERR_CORRUPT);
    assert_err(read_varint(bytes_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11)), ERR_CORRUPT);
}

static void expect_signed(int128 value, size_t len)
{
    struct buffer b = { 0 };
    buffer_signed(&b, value);
    assert_ok(buffer_end(&b));
    assert_int_equal(b.len, len);
    struct fenced copy = fenced_copy(buffer_view(&b));
    struct reader r;
    reader_init(&r, copy.bytes);
    assert_true(reader_signed(&r) == value);
    assert_ok(reader_end(&r));
    fenced_release(&copy);
    buffer_release(&b);
}

static void test_signed_number_near_zero_is_short(void **state)
{
    (void)state;
    expect_signed(0, 1);
    expect_signed(-64, 1);
    expect_signed(63, 1);
    expect_signed(-65, 2);
    expect_signed(64, 2);
}

static void test_signed_number_reaches_all_128_bits(void **state)
{
    (void)state;
    expect_signed(INT64_MAX, 10);
    expect_signed(INT64_MIN, 10);
    expect_signed((int128)INT64_MAX + 1, 10);
    expect_signed((int128)INT64_MIN - 1, 10);
    expect_signed(INT128_MAX, 19);
    expect_signed(INT128_MIN, 19);
    expect_signed(INT128_MIN + 1, 19);
    for (unsigned bits = 0; bits < 127; bits++) {
        int128 power = (int128)1 << bits;
        expect_signed(power, (bits + 1) / 7 + 1);
        expect_signed(-power, (bits + 7) / 7);
    }
}

static void test_signed_number_above_128_bits_is_corrupt(void **state)
{
    (void)state;
    uint8_t encoded[20];
    memset(encoded, 0xff, sizeof encoded);
    for (int last = 0; last < 256; last++) {
        encoded[18] = (uint8_t)last;
        struct fenced copy = fenced_copy(bytes_of(encoded, 19));
        struct reader r;
        reader_init(&r, copy.bytes);
        (void)reader_signed(&r);
        assert_err(reader_end(&r), last >= 1 && last <= 3 ? ERR_OK : ERR_CORRUPT);
        fenced_release(&copy);
    }
    encoded[18] = 0x83;
    encoded[19] = 0x01;
    struct reader r;
    reader_init(&r, bytes_of(encoded, 20));
    assert_true(reader_signed(&r) == 0);
    assert_err(reader_end(&r), ERR_CORRUPT);
}

/* Buffer */

static void test_buffer_grows_and_keeps_what_it_holds(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    for (uint32_t i = 0; i < 1000; i++) buffer_u32(&b, i);
    assert_ok(buffer_end(&b));
    assert_int_equal(b.len, 4000);
    struct reader r;
    reader_init(&r, buffer_view(&b));
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(reader_u32(&r), i);
    assert_ok(reader_end(&r));
    buffer_release(&b);
    assert_true(b.ptr == NULL && b.len == 0 && b.cap == 0);
}

static void test_reserved_room_is_filled_by_the_caller(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    uint8_t *room = buffer_reserve(&b, 100);
    assert_non_null(room);
    memset(room, 'x', 100);
    assert_int_equal(b.len, 0);
    b.len += 3;
    assert_true(bytes_equal(buffer_view(&b), bytes_of_text("xxx")));
    assert_non_null(buffer_reserve(&b, 0));
    buffer_release(&b);
    assert_non_null(buffer_reserve(&b, 0));
    buffer_release(&b);
}

static void test_room_that_cannot_exist_is_a_failure(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_text(&b, "a");
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_err(buffer_end(&b), ERR_NOMEM);
    buffer_clear(&b);
    assert_null(buffer_reserve(&b, SIZE_MAX / 2 + 1));
    assert_err(buffer_end(&b), ERR_NOMEM);
    buffer_release(&b);
}

static void test_buffer_is_quiet_after_its_first_failure(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    mem_fail_at(1);
    buffer_text(&b, "lost");
    mem_fail_at(0);
    write_one_of_each(&b, &(struct id128){ { 0 } });
    buffer_decimal(&b, 7);
    buffer_printf(&b, "%d", 7);
    buffer_patch_u32(&b, 0, 7);
    assert_null(buffer_reserve(&b, 1));
    assert_int_equal(b.len, 0);
    assert_err(buffer_end(&b), ERR_NOMEM);

    buffer_clear(&b);
    buffer_text(&b, "kept");
    assert_ok(buffer_end(&b));
    assert_true(bytes_equal(buffer_view(&b), bytes_of_text("kept")));
    buffer_release(&b);
}

static enum err write_a_lot(void *context)
{
    struct buffer b = { 0 };
    for (int i = 0; i < 1000; i++) {
        buffer_printf(&b, "line %d of a story that needs memory again and again\n", i);
        buffer_signed(&b, INT128_MIN);
        buffer_string(&b, bytes_of_text("hits"));
    }
    enum err err = buffer_end(&b);
    *(size_t *)context = b.len;
    buffer_release(&b);
    return err;
}

static void test_every_failed_growth_is_reported(void **state)
{
    (void)state;
    size_t len = 0;
    uint64_t growths = each_allocation_fails(write_a_lot, &len);
    assert_true(growths >= 5);  /* it grew more than once */
    assert_true(growths <= 20); /* but not for each line */
    assert_true(len > 64000);
}

static void test_clear_keeps_the_memory(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_text(&b, "first");
    const uint8_t *ptr = b.ptr;
    buffer_clear(&b);
    buffer_text(&b, "second");
    assert_ptr_equal(b.ptr, ptr);
    assert_true(bytes_equal(buffer_view(&b), bytes_of_text("second")));
    buffer_release(&b);
}

static void test_dropping_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_drop(&b, 0);
    buffer_text(&b, "abcdef");
    buffer_drop(&b, 0);
    buffer_drop(&b, 2);
    assert_true(bytes_equal(buffer_view(&b), bytes_of_text("cdef")));
    buffer_drop(&b, 4);
    assert_int_equal(b.len, 0);
    buffer_text(&b, "again");
    assert_true(bytes_equal(buffer_view(&b), bytes_of_text("again")));
    buffer_release(&b);
}

static void drop_too_much(void *context)
{
    struct buffer *b = context;
    buffer_drop(b, b->len + 1);
}

static void patch_behind_the_end(void *context)
{
    struct buffer *b = context;
    buffer_patch_u32(b, b->len - 3, 0);
}

static void test_dropping_or_patching_what_is_not_there_is_a_bug(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_text(&b, "abcdef");
    assert_aborts(drop_too_much, &b);
    assert_aborts(patch_behind_the_end, &b);
    buffer_release(&b);
}

static void test_count_known_late_is_patched_in(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_u8(&b, 9);
    buffer_u32(&b, 0);
    buffer_u8(&b, 8);
    buffer_patch_u32(&b, 1, 0x04030201);
    static const uint8_t expected[] = { 9, 1, 2, 3, 4, 8 };
    assert_true(bytes_equal(buffer_view(&b), bytes_of(expected, sizeof expected)));
    buffer_release(&b);
}

static void test_formatted_text_has_no_nul(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    buffer_printf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    buffer_printf(&b, "%s has %d", "hits", 5);
    assert_true(bytes_equal(buffer_view(&b), bytes_of_text("hits has 5")));
    buffer_clear(&b);
    buffer_printf(&b, "%*d", (int)b.cap, 1); /* as long as the memory: its NUL needs more */
    assert_ok(buffer_end(&b));
    assert_int_equal(b.ptr[b.len - 1], '1');
    buffer_release(&b);
}

/* Decimal text */

static void expect_decimal(int64_t value)
{
    char expected[32];
    int len = snprintf(expected, sizeof expected, "%" PRId64, value);
    struct buffer b = { 0 };
    buffer_decimal(&b, value);
    assert_true(bytes_equal(buffer_view(&b), bytes_of(expected, (size_t)len)));

    struct fenced text = fenced_copy(buffer_view(&b));
    int64_t back = ~value;
    assert_ok(bytes_to_int64(text.bytes, &back));
    assert_int_equal(back, value);
    fenced_release(&text);
    buffer_release(&b);
}

static void test_decimal_goes_there_and_back(void **state)
{
    (void)state;
    static const int64_t special[] = { 0, 1, -1, 9, 10, -10, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1 };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) expect_decimal(special[i]);
    struct random r;
    random_init(&r, 1);
    for (int i = 0; i < 1000; i++) expect_decimal((int64_t)(random_u64(&r) >> random_below(&r, 64)));
}

static void test_text_that_is_no_strict_decimal_is_invalid(void **state)
{
    (void)state;
    static const char *const texts[] = { "",   "-",   "+1", " 1",  "1 ",  "01",  "-01", "-0",
                                         "00", "1.0", "1a", "0x1", "--1", "1-1", "١",   "99999999999999999999999x" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fenced text = fenced_copy(bytes_of_text(texts[i]));
        int64_t value = 42;
        assert_err(bytes_to_int64(text.bytes, &value), ERR_INVALID);
        assert_int_equal(value, 42);
        fenced_release(&text);
    }
    int64_t value = 42;
    assert_err(bytes_to_int64(bytes_of("1\0", 2), &value), ERR_INVALID);
    assert_err(bytes_to_int64(bytes_of(NULL, 0), &value), ERR_INVALID);
    assert_int_equal(value, 42);
}

static void test_number_outside_64_bits_is_out_of_range(void **state)
{
    (void)state;
    static const char *const texts[] = { "9223372036854775808",  "-9223372036854775809",  "18446744073709551616",
                                         "18446744073709551617", "-18446744073709551617", "99999999999999999999999" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t value = 42;
        assert_err(bytes_to_int64(bytes_of_text(texts[i]), &value), ERR_RANGE);
        assert_int_equal(value, 42);
    }
}

/* Randomness */

/* The first draws of xoshiro256** from the state 1, 2, 3, 4, worked out by hand from its definition. */
static void test_random_is_xoshiro256(void **state)
{
    (void)state;
    struct random r = { { 1, 2, 3, 4 } };
    assert_int_equal(random_u64(&r), 11520);
    assert_int_equal(random_u64(&r), 0);
    assert_int_equal(random_u64(&r), 1509978240);
    assert_int_equal(random_u64(&r), 1215971899390074240);
}

static void test_same_seed_gives_the_same_draws(void **state)
{
    (void)state;
    struct random a, b, other;
    random_init(&a, 0);
    random_init(&b, 0);
    random_init(&other, 1);
    int same_as_other = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t draw = random_u64(&a);
        assert_int_equal(draw, random_u64(&b));
        same_as_other += draw == random_u64(&other);
    }
    assert_int_equal(same_as_other, 0);
}

static void test_draws_below_a_bound_are_even(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 2);
    uint32_t seen[6] = { 0 };
    for (int i = 0; i < 60000; i++) {
        uint64_t draw = random_below(&r, 6);
        assert_true(draw < 6);
        seen[draw]++;
    }
    for (int i = 0; i < 6; i++) assert_in_range(seen[i], 9500, 10500);
    for (int i = 0; i < 100; i++) assert_int_equal(random_below(&r, 1), 0);
}

/* Two thirds of all 64-bit numbers: without drawing again, the odd ones of the lower half would come twice as often. */
static void test_draws_below_a_huge_bound_are_even(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 3);
    const uint64_t third = UINT64_MAX / 3;
    uint32_t lower = 0, lower_odd = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t draw = random_below(&r, 2 * third);
        assert_true(draw < 2 * third);
        lower += draw < third;
        lower_odd += draw < third && draw % 2 == 1;
    }
    assert_in_range(lower, 4700, 5300);
    assert_in_range(lower_odd, 2300, 2700);
    assert_true(random_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void draw_below_nothing(void *context)
{
    (void)random_below(context, 0);
}

static void test_drawing_below_nothing_is_a_bug(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 4);
    assert_aborts(draw_below_nothing, &r);
}

static void test_jitter_stays_within_its_percentage_and_uses_it(void **state)
{
    (void)state;
    struct random r;
    random_init(&r, 5);
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t value = random_jitter(&r, 1000, 20);
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    assert_int_equal(least, 800);
    assert_int_equal(most, 1200);
    assert_int_equal(random_jitter(&r, 1000, 0), 1000);
    assert_int_equal(random_jitter(&r, 0, 100), 0);
    assert_int_equal(random_jitter(&r, UINT64_MAX, 100), UINT64_MAX);
    assert_true(random_jitter(&r, UINT64_MAX - 10, 100) >= UINT64_MAX - 20);
    for (int i = 0; i < 100; i++) assert_true(random_jitter(&r, UINT64_MAX / 2, 100) < UINT64_MAX);
}

/* Lock */

struct shared {
    struct spinlock lock;
    uint64_t count; /* plain: the lock is all that protects it */
};

static void *add_many(void *context)
{
    struct shared *shared = context;
    for (int i = 0; i < 20000; i++) {
        spinlock_take(&shared->lock);
        shared->count++;
        spinlock_give(&shared->lock);
    }
    return NULL;
}

static void test_threads_under_a_lock_lose_nothing(void **state)
{
    (void)state;
    struct shared shared = { .count = 0 };
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, add_many, &shared), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(shared.count, 4 * 20000);
    assert_int_equal(atomic_load(&shared.lock.held), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error_has_its_own_text),
        cmocka_unit_test(test_broken_invariant_ends_the_process),
        cmocka_unit_test(test_nothing_is_a_valid_amount_of_memory),
        cmocka_unit_test(test_memory_too_large_to_count_is_refused),
        cmocka_unit_test(test_only_the_nth_request_fails),
        cmocka_unit_test(test_views_are_equal_by_content),
        cmocka_unit_test(test_id_is_shown_as_32_hex_digits),
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_integers_are_little_endian),
        cmocka_unit_test(test_record_cut_anywhere_is_corrupt),
        cmocka_unit_test(test_bytes_left_over_are_corrupt),
        cmocka_unit_test(test_empty_input_is_a_complete_record),
        cmocka_unit_test(test_reader_is_quiet_after_its_first_failure),
        cmocka_unit_test(test_length_of_any_size_cannot_lead_outside),
        cmocka_unit_test(test_string_above_its_limit_is_corrupt),
        cmocka_unit_test(test_varint_takes_a_byte_for_each_seven_bits),
        cmocka_unit_test(test_varint_longer_than_needed_is_corrupt),
        cmocka_unit_test(test_varint_above_64_bits_is_corrupt),
        cmocka_unit_test(test_signed_number_near_zero_is_short),
        cmocka_unit_test(test_signed_number_reaches_all_128_bits),
        cmocka_unit_test(test_signed_number_above_128_bits_is_corrupt),
        cmocka_unit_test(test_buffer_grows_and_keeps_what_it_holds),
        cmocka_unit_test(test_reserved_room_is_filled_by_the_caller),
        cmocka_unit_test(test_room_that_cannot_exist_is_a_failure),
        cmocka_unit_test(test_buffer_is_quiet_after_its_first_failure),
        cmocka_unit_test(test_every_failed_growth_is_reported),
        cmocka_unit_test(test_clear_keeps_the_memory),
        cmocka_unit_test(test_dropping_moves_the_rest_to_the_front),
        cmocka_unit_test(test_dropping_or_patching_what_is_not_there_is_a_bug),
        cmocka_unit_test(test_count_known_late_is_patched_in),
        cmocka_unit_test(test_formatted_text_has_no_nul),
        cmocka_unit_test(test_decimal_goes_there_and_back),
        cmocka_unit_test(test_text_that_is_no_strict_decimal_is_invalid),
        cmocka_unit_test(test_number_outside_64_bits_is_out_of_range),
        cmocka_unit_test(test_random_is_xoshiro256),
        cmocka_unit_test(test_same_seed_gives_the_same_draws),
        cmocka_unit_test(test_draws_below_a_bound_are_even),
        cmocka_unit_test(test_draws_below_a_huge_bound_are_even),
        cmocka_unit_test(test_drawing_below_nothing_is_a_bug),
        cmocka_unit_test(test_jitter_stays_within_its_percentage_and_uses_it),
        cmocka_unit_test(test_threads_under_a_lock_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
