/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and the bodies of the small ones, byte by byte; docs/FORMATS.md has the example. */
#include "testing.h"

#include "cluster/frame.h"
#include "cluster/message.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define X(name, number) FRAME_##name,
static const enum frame_kind kinds[] = { FRAME_KIND_LIST(X) };
#undef X
#define KINDS (sizeof kinds / sizeof *kinds)

static struct hello example_hello(void)
{
    struct hello hello = { .version = 1,
                           .cluster = bytes_of_text("quipu"),
                           .node = bytes_of_text("localhost:8000"),
                           .nonce = 0x0102030405060708 };
    for (uint8_t i = 0; i < 16; i++) hello.replica.bytes[i] = (uint8_t)(0xa0 + i);
    return hello;
}

static void test_the_example_of_the_formats_page(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        0x38, 0x00, 0x00, 0x00, 0x01, 0x18, 0x70, 0xcd, 0xbe, 0x3f, 0x85, 0x25, 0xdb, 0x1d, 0x03, 0x85, 0x01, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x71, 0x75, 0x69, 0x70, 0x75, 0x0e, 0x6c, 0x6f, 0x63,
        0x61, 0x6c, 0x68, 0x6f, 0x73, 0x74, 0x3a, 0x38, 0x30, 0x30, 0x30, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6,
        0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x00,
    };
    struct hello hello = example_hello();
    struct buffer body = { 0 };
    hello_write(&body, &hello);
    assert_ok(buffer_end(&body));
    struct shared *frame = frame_new(FRAME_HELLO, buffer_view(&body));
    assert_non_null(frame);
    assert_int_equal(frame->len, sizeof expected);
    assert_memory_equal(frame->ptr, expected, sizeof expected);
    shared_drop(frame);
    buffer_release(&body);
}

static void test_a_frame_goes_there_and_back(void **state)
{
    (void)state;
    static uint8_t body[FRAME_BODY_BYTES_GOAL];
    for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)(i * 7);
    const size_t lengths[] = { 0, 1, 8, 255, sizeof body };
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct shared *s = frame_new(kinds[k], bytes_of(body, lengths[i]));
            assert_non_null(s);
            assert_int_equal(s->len, FRAME_HEAD_BYTES + lengths[i]);
            struct frame frame;
            size_t len;
            assert_ok(frame_read(bytes_of(s->ptr, s->len), &frame, &len));
            assert_int_equal(frame.kind, kinds[k]);
            assert_int_equal(len, s->len);
            assert_true(bytes_equal(frame.body, bytes_of(body, lengths[i])));
            shared_drop(s);
        }
    }
}

static void test_a_frame_cut_anywhere_needs_more_and_reads_no_further(void **state)
{
    (void)state;
    struct shared *s = frame_new(FRAME_PING, bytes_of("12345678", 8));
    assert_non_null(s);
    for (size_t len = 0; len <= s->len; len++) {
        struct fenced f = fenced_copy(bytes_of(s->ptr, len));
        struct frame frame = { 0 };
        size_t taken = 99;
        assert_err(frame_read(f.bytes, &frame, &taken), len < s->len ? ERR_PARTIAL : ERR_OK);
        assert_int_equal(taken, len < s->len ? 99 : s->len); /* results are written on success only */
        fenced_release(&f);
    }
    shared_drop(s);
}

static void test_each_flipped_bit_is_found(void **state)
{
    (void)state;
    struct shared *s = frame_new(FRAME_ASK, bytes_of_text("somewhere:1234"));
    assert_non_null(s);
    for (size_t bit = 0; bit < 8 * s->len; bit++) {
        struct frame frame;
        size_t len;
        s->ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct fenced f = fenced_copy(bytes_of(s->ptr, s->len));
        enum err err = frame_read(f.bytes, &frame, &len);
        assert_err(err, ERR_CORRUPT); /* a longer length too, without waiting for what it promises */
        fenced_release(&f);
        s->ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    shared_drop(s);
}

static enum err read_head(uint32_t len, uint8_t kind)
{
    struct buffer head = { 0 };
    struct frame frame;
    size_t taken;
    buffer_u32(&head, len);
    buffer_u8(&head, kind);
    uint64_t check = XXH3_64bits(head.ptr, 5);
    for (unsigned i = 0; i < 3; i++) buffer_u8(&head, (uint8_t)(check >> (8 * i)));
    buffer_u64(&head, 0);
    assert_ok(buffer_end(&head));
    enum err err = frame_read(buffer_view(&head), &frame, &taken);
    buffer_release(&head);
    return err;
}

static void test_a_head_that_cannot_be_is_refused_before_its_body_comes(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        bool known = kind >= FRAME_HELLO && kind <= FRAME_LEAVE;
        assert_err(read_head(1, (uint8_t)kind), known ? ERR_PARTIAL : ERR_CORRUPT);
    }
    assert_err(read_head(FRAME_BODY_BYTES_MAX, FRAME_BLOCK), ERR_PARTIAL);
    assert_err(read_head(FRAME_BODY_BYTES_MAX + 1, FRAME_BLOCK), ERR_CORRUPT);
    assert_err(read_head(UINT32_MAX, FRAME_BLOCK), ERR_CORRUPT);
}

static void test_the_checksum_knows_the_kind(void **state)
{
    (void)state;
    struct shared *s = frame_new(FRAME_PING, bytes_of("12345678", 8));
    assert_non_null(s);
    struct frame frame;
    size_t len;
    uint8_t checksum[8];
    memcpy(checksum, s->ptr + 8, sizeof checksum);
    frame_seal(s->ptr, FRAME_PONG, bytes_of("12345678", 8));
    assert_ok(frame_read(bytes_of(s->ptr, s->len), &frame, &len));
    memcpy(s->ptr + 8, checksum, sizeof checksum);
    assert_err(frame_read(bytes_of(s->ptr, s->len), &frame, &len), ERR_CORRUPT);
    shared_drop(s);
}

/* --- bodies --- */

static enum err read_hello(struct bytes body)
{
    struct hello hello;
    struct fenced f = fenced_copy(body);
    enum err err = hello_read(f.bytes, &hello);
    fenced_release(&f);
    return err;
}

static enum err reread(const struct hello *hello, const char *behind)
{
    struct buffer body = { 0 };
    hello_write(&body, hello);
    buffer_text(&body, behind);
    enum err err = read_hello(buffer_view(&body));
    buffer_release(&body);
    return err;
}

static void test_a_hello_goes_there_and_back(void **state)
{
    (void)state;
    struct hello hello = example_hello(), back;
    struct buffer body = { 0 };
    hello.features = 1ull << 63;
    hello.proof = bytes_of_text("proof");
    hello_write(&body, &hello);
    assert_ok(hello_read(buffer_view(&body), &back));
    assert_int_equal(back.version, 1);
    assert_true(back.features == hello.features && back.nonce == hello.nonce);
    assert_true(bytes_equal(back.cluster, hello.cluster) && bytes_equal(back.node, hello.node));
    assert_true(bytes_equal(back.proof, hello.proof) && id128_equal(&back.replica, &hello.replica));
    for (size_t len = 0; len < body.len; len++) assert_err(read_hello(bytes_of(body.ptr, len)), ERR_CORRUPT);
    buffer_release(&body);
}

static void test_a_hello_that_cannot_be_is_damage(void **state)
{
    (void)state;
    static const char filler[300] = { 0 };
    struct hello hello = example_hello();
    assert_ok(reread(&hello, ""));
    assert_err(reread(&hello, "x"), ERR_CORRUPT);
    hello.version = 2;
    assert_ok(reread(&hello, "what version 2 says besides"));
    hello = example_hello();
    hello.nonce = 0;
    assert_err(reread(&hello, ""), ERR_CORRUPT);
    hello = example_hello();
    hello.replica = (struct id128){ 0 };
    assert_err(reread(&hello, ""), ERR_CORRUPT);
    hello = example_hello();
    hello.node = bytes_of_text("no-port");
    assert_err(reread(&hello, ""), ERR_CORRUPT);
    hello = example_hello();
    hello.cluster = bytes_of(filler, CLUSTER_BYTES_MAX);
    assert_ok(reread(&hello, ""));
    hello.cluster = bytes_of(filler, CLUSTER_BYTES_MAX + 1);
    assert_err(reread(&hello, ""), ERR_CORRUPT);
    hello = example_hello();
    hello.proof = bytes_of(filler, 256);
    assert_err(reread(&hello, ""), ERR_CORRUPT);
}

static void test_digests_and_wants_come_in_whole_items(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    struct digest_item item = { { { 1 } }, 9, 8, 7, 5, 6, 4 }, back;
    struct reader items;
    bool whole;
    digest_begin(&body, true);
    digest_put(&body, &item);
    digest_put(&body, &item);
    for (size_t len = 0; len <= body.len; len++) {
        struct fenced f = fenced_copy(bytes_of(body.ptr, len));
        bool sound = len % DIGEST_ITEM_BYTES == 1;
        assert_err(digest_read(f.bytes, &whole, &items), sound ? ERR_OK : ERR_CORRUPT);
        uint32_t count = 0;
        while (sound && digest_next(&items, &back)) {
            assert_true(id128_equal(&back.replica, &item.replica) && back.known == 9 && back.durable == 8);
            assert_true(back.nonce == 7 && back.firm == 5 && back.pledged == 6 && back.print == 4);
            count++;
        }
        assert_int_equal(count, sound ? len / DIGEST_ITEM_BYTES : 0);
        fenced_release(&f);
    }
    assert_true(whole);
    body.ptr[0] = 2;
    assert_err(digest_read(buffer_view(&body), &whole, &items), ERR_CORRUPT);
    buffer_clear(&body);
    struct want want = { { { 5 } }, 0x1234, 0x5678 }, want_back;
    want_put(&body, &want);
    for (size_t len = 0; len <= body.len; len++)
        assert_err(wants_read(bytes_of(body.ptr, len), &items), len % WANT_BYTES == 0 ? ERR_OK : ERR_CORRUPT);
    assert_true(want_next(&items, &want_back));
    assert_true(id128_equal(&want_back.replica, &want.replica) && want_back.from == want.from);
    assert_true(want_back.nonce == want.nonce);
    assert_false(want_next(&items, &want_back));
    buffer_release(&body);
}

static const uint8_t trail_bytes[] = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,                                                 /* replica */
    0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,                                                 /* */
    0x2b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                                                 /* known 43 */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                                                 /* gone: none */
    0x01,                                                                                           /* asks */
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                                                 /* firm 40 */
    0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,                                                 /* pledged 41 */
    0x02,                                                                                           /* two boots */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* from 0 on */
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* from 40 on */
};

static enum err read_trail(struct bytes body, struct trail_item *ret_item, struct trail *ret_trail)
{
    struct fenced f = fenced_copy(body);
    struct reader items;
    reader_init(&items, f.bytes);
    enum err err = trail_next(&items, ret_item, ret_trail);
    if (err == ERR_OK) assert_int_equal(reader_left(&items), 0);
    fenced_release(&f);
    return err;
}

static void test_the_example_of_a_trail(void **state)
{
    (void)state;
    struct trail trail = { 0 }, back = { 0 };
    struct trail_item item = { .replica = example_hello().replica, .known = 43, .asks = true }, item_back;
    struct buffer body = { 0 };
    assert_ok(trail_extend(&trail, 0, 0x0102030405060708));
    assert_ok(trail_extend(&trail, 40, 0x1122334455667788));
    trail_set_firm(&trail, 40);
    trail_set_pledged(&trail, 41);
    trail_put(&body, &item, &trail);
    assert_int_equal(body.len, sizeof trail_bytes);
    assert_memory_equal(body.ptr, trail_bytes, sizeof trail_bytes);
    assert_ok(read_trail(buffer_view(&body), &item_back, &back));
    assert_true(id128_equal(&item_back.replica, &item.replica) && item_back.asks);
    assert_true(item_back.known == 43 && item_back.gone == 0 && back.firm == 40 && back.pledged == 41 &&
                back.count == 2);
    assert_memory_equal(back.boots, trail.boots, 2 * sizeof *back.boots);
    trail_release(&back);
    for (size_t len = 0; len < body.len; len++)
        assert_err(read_trail(bytes_of(body.ptr, len), &item_back, &back), ERR_CORRUPT);
    trail_release(&trail);
    buffer_release(&body);
}

/* The example with one byte changed. */
static enum err read_spoilt_trail(size_t at, uint8_t value)
{
    uint8_t spoilt[sizeof trail_bytes];
    struct trail_item item;
    struct trail trail = { 0 };
    memcpy(spoilt, trail_bytes, sizeof spoilt);
    spoilt[at] = value;
    enum err err = read_trail(bytes_of(spoilt, sizeof spoilt), &item, &trail);
    trail_release(&trail);
    return err;
}

static void test_a_trail_that_cannot_be_is_damage(void **state)
{
    (void)state;
    assert_err(read_spoilt_trail(32, 2), ERR_CORRUPT); /* asks: neither yes nor no */
    assert_err(read_spoilt_trail(49, 3), ERR_CORRUPT); /* a boot is missing */
    assert_err(read_spoilt_trail(66, 0), ERR_CORRUPT); /* the second begins where the first does */
    assert_ok(read_spoilt_trail(66, 1));
    assert_ok(read_spoilt_trail(50, 0x27));
    assert_err(read_spoilt_trail(50, 0x28), ERR_CORRUPT);
    assert_err(read_spoilt_trail(50, 0x29), ERR_CORRUPT);
    struct buffer body = { 0 };
    struct trail longest = { 0 }, back = { 0 };
    struct trail_item item = { .replica = { { 1 } } };
    for (uint64_t i = 0; i < TRAIL_BOOTS_MAX; i++) assert_ok(trail_extend(&longest, 5 * i, i + 1));
    trail_put(&body, &item, &longest);
    assert_ok(read_trail(buffer_view(&body), &item, &back));
    assert_int_equal(back.count, TRAIL_BOOTS_MAX);
    trail_release(&back);
    body.ptr[49] = TRAIL_BOOTS_MAX + 1;
    buffer_u64(&body, 5 * TRAIL_BOOTS_MAX);
    buffer_u64(&body, 1);
    assert_err(read_trail(buffer_view(&body), &item, &back), ERR_CORRUPT);
    buffer_clear(&body);
    item.replica = (struct id128){ 0 };
    trail_put(&body, &item, &longest);
    assert_err(read_trail(buffer_view(&body), &item, &back), ERR_CORRUPT);
    trail_release(&longest);
    buffer_release(&body);
}

static enum err trail_in_memory(void *context)
{
    struct trail_item item;
    struct trail trail = { 0 };
    struct reader items;
    reader_init(&items, *(const struct bytes *)context);
    enum err err = trail_next(&items, &item, &trail);
    trail_release(&trail);
    return err;
}

static void test_a_trail_without_memory_says_so(void **state)
{
    (void)state;
    struct bytes body = bytes_of(trail_bytes, sizeof trail_bytes);
    assert_true(each_allocation_fails(trail_in_memory, &body) > 0);
}

static void test_members_before_the_damage_are_sound(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    struct member_item a = { bytes_of_text("a:1"), { { 1 } }, 0, false }, back;
    struct member_item b = { bytes_of_text("[::1]:65535"), { { 0 } }, UINT32_MAX, true };
    member_put(&body, &a);
    size_t first = body.len;
    member_put(&body, &b);
    for (size_t len = 0; len <= body.len; len++) {
        struct fenced f = fenced_copy(bytes_of(body.ptr, len));
        struct reader items;
        enum err err;
        uint32_t count = 0;
        reader_init(&items, f.bytes);
        while ((err = member_next(&items, &back)) == ERR_OK) {
            const struct member_item *item = count == 0 ? &a : &b;
            assert_true(bytes_equal(back.node, item->node));
            assert_true(back.epoch == item->epoch && back.left == item->left);
            count++;
        }
        assert_int_equal(count, len == body.len ? 2 : len >= first ? 1 : 0);
        assert_err(err, len == 0 || len == first || len == body.len ? ERR_STALE : ERR_CORRUPT);
        assert_err(member_next(&items, &back), err); /* the end stays the end, damage stays damage */
        fenced_release(&f);
    }
    buffer_release(&body);
}

static void test_a_farewell_is_an_epoch_and_nothing_else(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    uint32_t epoch = 0;
    leave_write(&body, 0x01020304);
    assert_ok(leave_read(buffer_view(&body), &epoch));
    assert_int_equal(epoch, 0x01020304);
    buffer_u8(&body, 0);
    for (size_t len = 0; len <= body.len; len++) {
        struct fenced f = fenced_copy(bytes_of(body.ptr, len));
        assert_err(leave_read(f.bytes, &epoch), len == 4 ? ERR_OK : ERR_CORRUPT);
        fenced_release(&f);
    }
    buffer_release(&body);
}

static void test_an_answer_names_whom_it_is_about(void **state)
{
    (void)state;
    struct buffer body = { 0 };
    struct bytes node;
    bool heard = false;
    heard_write(&body, bytes_of_text("a:1"), true);
    assert_ok(heard_read(buffer_view(&body), &node, &heard));
    assert_true(heard && bytes_equal(node, bytes_of_text("a:1")));
    for (size_t len = 0; len < body.len; len++) {
        struct fenced f = fenced_copy(bytes_of(body.ptr, len));
        assert_err(heard_read(f.bytes, &node, &heard), ERR_CORRUPT);
        fenced_release(&f);
    }
    body.ptr[0] = 2;
    assert_err(heard_read(buffer_view(&body), &node, &heard), ERR_CORRUPT);
    buffer_release(&body);
}

static void test_what_an_address_is(void **state)
{
    (void)state;
    const char *good[] = { "a:1", "localhost:65535", "10.0.0.1:8000", "[::1]:80", "[fe80::1%eth0]:7000", "x_y-z.:9" };
    const char *bad[] = { "",         "a",
                          "a:",       ":1",
                          "a:0",      "a:65536",
                          "a:-1",     "a:+1",
                          "a:01",     "a :1",
                          "a:1 ",     "a,b:1",
                          "a/b:1",    "::1:80",
                          "[]:1",     "[::1]",
                          "[::1]x:1", "[::1:1",
                          "a\x7f:1",  "\xc3\xa4:1",
                          "a:1:2",    "a:99999999999999999999" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(address_is_valid(bytes_of_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(address_is_valid(bytes_of_text(bad[i])));
    char longest[ADDRESS_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    memcpy(longest + NODE_BYTES_MAX - 2, ":1", 2);
    assert_true(address_is_valid(bytes_of(longest, NODE_BYTES_MAX)));
    memcpy(longest + NODE_BYTES_MAX - 2, "x:1", 3);
    assert_false(address_is_valid(bytes_of(longest, NODE_BYTES_MAX + 1)));
    assert_false(address_is_valid(bytes_of("a\0:1", 4)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_the_formats_page),
        cmocka_unit_test(test_a_frame_goes_there_and_back),
        cmocka_unit_test(test_a_frame_cut_anywhere_needs_more_and_reads_no_further),
        cmocka_unit_test(test_each_flipped_bit_is_found),
        cmocka_unit_test(test_a_head_that_cannot_be_is_refused_before_its_body_comes),
        cmocka_unit_test(test_the_checksum_knows_the_kind),
        cmocka_unit_test(test_a_hello_goes_there_and_back),
        cmocka_unit_test(test_a_hello_that_cannot_be_is_damage),
        cmocka_unit_test(test_digests_and_wants_come_in_whole_items),
        cmocka_unit_test(test_the_example_of_a_trail),
        cmocka_unit_test(test_a_trail_that_cannot_be_is_damage),
        cmocka_unit_test(test_a_trail_without_memory_says_so),
        cmocka_unit_test(test_members_before_the_damage_are_sound),
        cmocka_unit_test(test_a_farewell_is_an_epoch_and_nothing_else),
        cmocka_unit_test(test_an_answer_names_whom_it_is_about),
        cmocka_unit_test(test_what_an_address_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
