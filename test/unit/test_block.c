/* SPDX-License-Identifier: Apache-2.0 */
#include "block_fixture.h"

#include "base/random.h"

/* --- Random blocks --- */

#define IDS 12 /* those a random entry names, besides the block's own */

struct sample {
    struct random random;
    struct replicas *replicas;
    uint32_t ids[IDS];
};

static void sample_init(struct sample *s, uint64_t seed)
{
    random_init(&s->random, seed);
    s->replicas = replicas_made();
    for (uint32_t i = 0; i < IDS; i++) {
        struct id128 id;
        for (size_t b = 0; b < sizeof id.bytes; b++) id.bytes[b] = (uint8_t)random_u64(&s->random);
        s->ids[i] = intern(s->replicas, id);
    }
}

static bool coin(struct sample *s)
{
    return random_below(&s->random, 2) == 0;
}

/* Of any magnitude up to max. */
static uint64_t number_up_to(struct sample *s, uint64_t max)
{
    uint64_t number = random_u64(&s->random) >> random_below(&s->random, 64);
    return max == UINT64_MAX ? number : number % (max + 1);
}

/* Up to half of what a net may be, as in entries that have older versions. */
static int128 random_net(struct sample *s)
{
    uint128 wide = (uint128)random_u64(&s->random) << 64 | random_u64(&s->random);
    int128 net = (int128)(wide >> (19 + random_below(&s->random, 109)));
    return coin(s) ? net : -net;
}

static struct stamp random_stamp(struct sample *s, uint32_t own)
{
    uint64_t time = number_up_to(s, UINT64_MAX);
    return (struct stamp){ time, coin(s) ? own : s->ids[random_below(&s->random, IDS)] };
}

static struct base_list random_list(struct sample *s)
{
    struct base_list list = { mem_alloc_zero(IDS, sizeof *list.items), 0 };
    assert_non_null(list.items);
    for (uint32_t i = 0; i < IDS; i++) {
        struct base base = { 1 + number_up_to(s, UINT64_MAX - 1), random_net(s) };
        if (coin(s)) list.items[list.count++] = (struct replica_base){ s->ids[i], base };
    }
    return list;
}

static struct extras *random_extras(struct sample *s, uint64_t seq, uint32_t own)
{
    struct extras *x = mem_alloc_zero(1, sizeof *x);
    assert_non_null(x);
    x->add_seq = coin(s) ? seq : number_up_to(s, seq);
    x->after = coin(s);
    x->fresh = coin(s);
    if (coin(s)) x->self_base = (struct base){ number_up_to(s, seq), random_net(s) };
    if (coin(s)) x->assigned = (struct assignment){ random_stamp(s, own), coin(s), (int64_t)random_u64(&s->random) };
    if (coin(s))
        x->due = (struct deadline){ random_stamp(s, own), coin(s) ? DEADLINE_NEVER : number_up_to(s, UINT64_MAX) };
    if (coin(s)) x->bases = random_list(s);
    if (coin(s)) x->later = random_list(s);
    return x;
}

static struct bytes random_name(struct sample *s, uint8_t *room)
{
    size_t len = 1 + (size_t)number_up_to(s, NAME_BYTES_MAX - 1);
    for (size_t i = 0; i < len; i++) room[i] = (uint8_t)random_u64(&s->random);
    return bytes_of(room, len);
}

static struct entry random_entry(struct sample *s, uint64_t seq, uint32_t own)
{
    struct entry entry = { .seq = seq, .net = random_net(s) };
    if (coin(s)) entry.extras = random_extras(s, seq, own);
    return entry;
}

/* Versions that one of this seq superseded, often none. Returns how many. */
static uint32_t random_older(struct sample *s, uint64_t seq, uint32_t own, struct entry ret_older[BLOCK_OLDER_MAX])
{
    uint64_t count_max = random_below(&s->random, 32) == 0 ? BLOCK_OLDER_MAX : 3;
    uint64_t count = coin(s) ? random_below(&s->random, count_max + 1) : 0;
    for (uint32_t i = 0; i < count; i++) {
        if (seq == 1) return i;
        seq -= 1 + number_up_to(s, coin(s) ? seq - 2 : seq > 9 ? 7 : 0);
        ret_older[i] = random_entry(s, seq, own);
    }
    return (uint32_t)count;
}

#define ENTRIES_MAX 8

/* An entry and what it superseded. */
struct versions {
    struct entry older[BLOCK_OLDER_MAX];
    uint32_t count;
};

/* A random block and what was put into it. */
struct block_made {
    struct buffer bytes;
    struct block_head head;
    struct entry entries[ENTRIES_MAX];
    struct versions versions[ENTRIES_MAX];
    uint8_t names[ENTRIES_MAX][NAME_BYTES_MAX];
    size_t name_bytes[ENTRIES_MAX];
};

static void block_make(struct sample *s, struct block_made *b)
{
    memset(b, 0, sizeof *b);
    uint64_t from = number_up_to(s, UINT64_MAX - 1000), seq = from;
    b->head = head_of((enum block_kind)(1 + random_below(&s->random, 2)), from, 0);
    uint32_t own = intern(s->replicas, b->head.replica);
    uint64_t count = random_below(&s->random, ENTRIES_MAX + 1);
    struct block_writer w;
    block_begin(&w, &b->bytes, &b->head);
    for (uint32_t i = 0; i < count; i++) {
        seq = b->head.kind == BLOCK_DELTA ? seq + 1 + random_below(&s->random, 9)
                                          : from + 1 + random_below(&s->random, 99);
        b->entries[i] = random_entry(s, seq, own);
        struct bytes name = random_name(s, b->names[i]);
        b->name_bytes[i] = name.len;
        struct versions *v = &b->versions[i];
        v->count = random_older(s, seq, own, v->older);
        block_put_older(&w, s->replicas, name, &b->entries[i], v->older, v->count);
        b->head.count++;
    }
    b->head.to = from + random_below(&s->random, 2) * 800 + 100;
    block_end(&w, b->head.to);
    assert_ok(buffer_end(&b->bytes));
}

static void block_made_release(struct block_made *b)
{
    for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
        extras_free(b->entries[i].extras);
        for (uint32_t k = 0; k < b->versions[i].count; k++) extras_free(b->versions[i].older[k].extras);
    }
    buffer_release(&b->bytes);
}

/* Compact on one side is the same as extras that say no more. */
static void assert_same_extras(uint64_t seq, const struct extras *a, const struct extras *b)
{
    const struct extras compact = { .add_seq = seq };
    assert_true(extras_equal(a ? a : &compact, b ? b : &compact));
}

static void assert_older_reads_as(const struct block_reader *r, struct replicas *replicas, const struct versions *v)
{
    struct entry older[BLOCK_OLDER_MAX];
    uint32_t count = 99;
    assert_ok(block_older(r, replicas, older, &count));
    assert_int_equal(count, v->count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(older[i].seq == v->older[i].seq && older[i].net == v->older[i].net);
        assert_same_extras(older[i].seq, older[i].extras, v->older[i].extras);
        extras_free(older[i].extras);
    }
}

static void assert_reads_as(struct bytes block, struct replicas *replicas, const struct block_made *b)
{
    struct block_reader r;
    assert_ok(block_open(&r, block));
    assert_int_equal(r.head.kind, b->head.kind);
    assert_true(id128_equal(&r.head.replica, &b->head.replica));
    assert_true(r.head.nonce == b->head.nonce && r.head.base == b->head.base && r.head.firm == b->head.firm);
    assert_true(r.head.from == b->head.from && r.head.to == b->head.to && r.head.pledged == b->head.pledged);
    assert_int_equal(r.head.count, b->head.count);
    struct bytes name;
    struct entry entry;
    for (uint32_t i = 0; i < b->head.count; i++) {
        assert_ok(block_next(&r, replicas, &name, &entry));
        assert_true(bytes_equal(name, bytes_of(b->names[i], b->name_bytes[i])));
        assert_true(entry.seq == b->entries[i].seq && entry.net == b->entries[i].net);
        assert_same_extras(entry.seq, entry.extras, b->entries[i].extras);
        extras_free(entry.extras);
        assert_older_reads_as(&r, replicas, &b->versions[i]);
        assert_older_reads_as(&r, replicas, &b->versions[i]); /* as often as one likes */
    }
    assert_err(block_next(&r, replicas, &name, &entry), ERR_STALE);
    assert_err(block_next(&r, replicas, &name, &entry), ERR_STALE);
}

static void test_what_is_written_is_read_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct sample s;
        struct block_made b;
        sample_init(&s, seed);
        block_make(&s, &b);
        struct fenced block = fenced_copy(buffer_view(&b.bytes));
        assert_reads_as(block.bytes, s.replicas, &b);
        assert_ok(block_check(block.bytes));
        fenced_release(&block);
        assert_ok(assert_corrupt_or_canonical(buffer_view(&b.bytes)));
        block_made_release(&b);
        replicas_free(s.replicas);
    }
}

/* The two nodes met the replicas in opposite order. */
static void test_bytes_do_not_depend_on_local_indices(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s, 5);
    struct replicas *turned = replicas_made();
    for (uint32_t i = IDS; i-- > 0;) intern(turned, *replicas_id(s.replicas, s.ids[i]));
    for (int i = 0; i < 100; i++) {
        struct block_made b;
        struct buffer again = { 0 };
        block_make(&s, &b);
        assert_ok(recode(buffer_view(&b.bytes), turned, &again));
        assert_true(bytes_equal(buffer_view(&again), buffer_view(&b.bytes)));
        buffer_release(&again);
        block_made_release(&b);
    }
    replicas_free(turned);
    replicas_free(s.replicas);
}

static void test_block_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sample s;
        struct block_made b;
        sample_init(&s, seed);
        block_make(&s, &b);
        for (size_t len = 0; len < b.bytes.len; len++) {
            assert_err(assert_corrupt_or_canonical(bytes_of(b.bytes.ptr, len)), ERR_CORRUPT);
        }
        buffer_u8(&b.bytes, 0);
        assert_err(assert_corrupt_or_canonical(buffer_view(&b.bytes)), ERR_CORRUPT);
        block_made_release(&b);
        replicas_free(s.replicas);
    }
}

static void test_any_flipped_bit_is_corrupt_or_canonical(void **state)
{
    (void)state;
    uint32_t found = 0, flips = 0;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct sample s;
        struct block_made b;
        sample_init(&s, seed);
        block_make(&s, &b);
        for (size_t bit = 0; bit < b.bytes.len * 8; bit++) {
            b.bytes.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
            found += assert_corrupt_or_canonical(buffer_view(&b.bytes)) != ERR_OK;
            flips++;
            b.bytes.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        block_made_release(&b);
        replicas_free(s.replicas);
    }
    assert_in_range(found, flips / 50, flips - 1); /* both endings are met */
}

/* --- The example of docs/FORMATS.md --- */

static const uint8_t example[] = {
    0x01,                                                       /* kind: delta */
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,             /* replica id */
    0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,             /* */
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,             /* nonce */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,             /* base: of the boot before */
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* firm 40: this boot is loose */
    0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* pledged 41: it is not to be taken off any more */
    0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* from 40 */
    0x2b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* to 43 */
    0x02, 0x00, 0x00, 0x00,                                     /* two entries */
    0x02, 0x04, 0x68, 0x69, 0x74, 0x73, 0x00, 0x0a,             /* seq +1, "hits", compact, net 5 */
    0x04, 0x06, 0x76, 0x69, 0x73, 0x69, 0x74, 0x73, 0x03, 0x05, /* seq +2, "visits", extras and older, net -3 */
    0x6b, 0x02,                                                 /* parts */
    0x04,                                                       /* add_seq 43 - 4 */
    0x00, 0x05,                                                 /* self base: seq 43 - 0, net -3 */
    0xe8, 0x07, 0xc8, 0x01,                                     /* assigned at 1,000: 100 */
    0xe8, 0x07, 0x00,                                           /* due, set at 1,000: never */
    0x01,                                                       /* one base */
    0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7,             /* for this replica */
    0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf,             /* */
    0x07, 0x18,                                                 /* seq 7, net 12 */
    0x01, 0x04, 0x00, 0x05,                                     /* one older: seq 43 - 4, compact, net -3 */
};

/* Seq 43 is the commit of SET visits 100 by a replica that had added -3 up to seq 39 and saw another's 12. Its boot
 * began after seq 40 and has not compared notes with everybody yet. */
static void test_example_of_the_manual_holds(void **state)
{
    (void)state;
    struct id128 own_id, other_id;
    for (uint8_t i = 0; i < 16; i++) own_id.bytes[i] = (uint8_t)(0xa0 + i);
    for (uint8_t i = 0; i < 16; i++) other_id.bytes[i] = (uint8_t)(0xb0 + i);
    struct replicas *replicas = replicas_made();
    uint32_t other = intern(replicas, other_id), own = intern(replicas, own_id);

    struct replica_base base = { other, { 7, 12 } };
    struct extras extras = { .add_seq = 39, .self_base = { 43, -3 }, .bases = { &base, 1 } };
    extras.assigned = (struct assignment){ { 1000, own }, true, 100 };
    extras.due = (struct deadline){ { 1000, own }, DEADLINE_NEVER };
    const struct entry hits = { .seq = 41, .net = 5 }, visits = { .seq = 43, .net = -3, .extras = &extras };
    const struct entry before = { .seq = 39, .net = -3 };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = own_id, .nonce = 0x1122334455667788, .from = 40 };
    head.base = 0x0102030405060708;
    head.firm = 40;
    head.pledged = 41;
    struct buffer out = { 0 };
    struct block_writer w;
    block_begin(&w, &out, &head);
    block_put(&w, replicas, bytes_of_text("hits"), &hits);
    block_put_older(&w, replicas, bytes_of_text("visits"), &visits, &before, 1);
    block_end(&w, 43);
    assert_int_equal(out.len, sizeof example);
    assert_memory_equal(out.ptr, example, sizeof example);
    assert_ok(assert_corrupt_or_canonical(bytes_of(example, sizeof example)));
    buffer_release(&out);
    replicas_free(replicas);
}

/* --- Size, memory and promises --- */

static void test_compact_entry_has_no_byte_to_spare(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_made();
    struct block_head head = head_of(BLOCK_DELTA, 1000000, 0);
    struct extras quiet = { .add_seq = 1000002, .after = true, .fresh = true };
    struct buffer out = { 0 };
    struct block_writer w;
    block_begin(&w, &out, &head);
    assert_int_equal(out.len, BLOCK_HEAD_BYTES);
    block_put(&w, replicas, bytes_of_text("hits"), &(struct entry){ .seq = 1000001, .net = 63 });
    assert_int_equal(out.len, BLOCK_HEAD_BYTES + 8);
    block_put(&w, replicas, bytes_of_text("hits"), &(struct entry){ .seq = 1000002, .net = 63, .extras = &quiet });
    assert_int_equal(out.len, BLOCK_HEAD_BYTES + 16);
    buffer_release(&out);
    replicas_free(replicas);
}

static void test_room_reserved_is_room_enough(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s, 11);
    struct block_head head = head_of(BLOCK_SNAPSHOT, 0, 0);
    uint32_t own = intern(s.replicas, head.replica);
    uint8_t room[NAME_BYTES_MAX];
    for (int i = 0; i < 3000; i++) {
        struct entry entry = random_entry(&s, 1 + number_up_to(&s, UINT64_MAX - 1), own);
        struct bytes name = random_name(&s, room);
        struct versions v;
        v.count = random_older(&s, entry.seq, own, v.older);
        struct buffer out = { 0 };
        struct block_writer w;
        block_begin(&w, &out, &head);
        /* Exactly the room that is asked for, whatever a buffer would rather have. */
        out.cap = out.len + block_put_bytes(name, &entry);
        for (uint32_t k = 0; k < v.count; k++) out.cap += block_older_bytes(&v.older[k]);
        out.ptr = mem_resize(out.ptr, out.cap);
        mem_fail_at(1);
        block_put_older(&w, s.replicas, name, &entry, v.older, v.count);
        mem_fail_at(0);
        block_end(&w, UINT64_MAX);
        assert_ok(buffer_end(&out));
        assert_ok(block_check(buffer_view(&out)));
        buffer_release(&out);
        extras_free(entry.extras);
        for (uint32_t k = 0; k < v.count; k++) extras_free(v.older[k].extras);
    }
    replicas_free(s.replicas);
}

static enum err recode_in_memory(void *context)
{
    const struct block_made *b = context;
    struct replicas *replicas = NULL;
    struct buffer out = { 0 };
    enum err err = replicas_new(&replicas);
    if (err == ERR_OK) err = recode(buffer_view(&b->bytes), replicas, &out);
    buffer_release(&out);
    replicas_free(replicas);
    return err;
}

/* The call that failed may be repeated and then goes on where it was. */
static enum err read_with_patience(void *context)
{
    const struct block_made *b = context;
    struct replicas *replicas = NULL;
    enum err err = replicas_new(&replicas), failed = err;
    struct block_reader r;
    assert_ok(block_open(&r, buffer_view(&b->bytes)));
    for (uint32_t i = 0; i < b->head.count && replicas;) {
        struct bytes name = { 0 };
        struct entry entry = { 0 };
        err = block_next(&r, replicas, &name, &entry);
        if (err != ERR_OK) {
            failed = err;
            assert_null(entry.extras);
            continue;
        }
        assert_true(entry.seq == b->entries[i].seq);
        extras_free(entry.extras);
        struct entry older[BLOCK_OLDER_MAX];
        uint32_t count = 0;
        while ((err = block_older(&r, replicas, older, &count)) != ERR_OK) failed = err;
        assert_int_equal(count, b->versions[i++].count);
        while (count > 0) extras_free(older[--count].extras);
    }
    replicas_free(replicas);
    return failed;
}

static void test_every_failed_allocation_is_reported(void **state)
{
    (void)state;
    uint64_t requests = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct sample s;
        struct block_made b;
        sample_init(&s, seed);
        block_make(&s, &b);
        requests += each_allocation_fails(recode_in_memory, &b);
        each_allocation_fails(read_with_patience, &b);
        block_made_release(&b);
        replicas_free(s.replicas);
    }
    assert_true(requests > 200);
}

/* What was put before stays whole. */
static void test_put_without_memory_ends_after_the_entry_before(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_made();
    struct block_head head = head_of(BLOCK_DELTA, 0, 0);
    struct buffer out = { 0 };
    struct block_writer w;
    block_begin(&w, &out, &head);
    block_put(&w, replicas, bytes_of_text("a"), &(struct entry){ .seq = 1 });
    size_t len = out.len;
    uint8_t room[NAME_BYTES_MAX] = { 0 };
    mem_fail_at(1);
    block_put(&w, replicas, bytes_of(room, sizeof room), &(struct entry){ .seq = 2 });
    mem_fail_at(0);
    assert_err(buffer_end(&out), ERR_NOMEM);
    assert_int_equal(out.len, len);
    assert_int_equal(w.count, 1);
    block_end(&w, 2);
    buffer_release(&out);
    replicas_free(replicas);
}

static void test_more_ids_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_made();
    for (uint32_t i = 1; i <= REPLICAS_MAX; i++) {
        struct id128 id = { { 0x70, (uint8_t)i, (uint8_t)(i >> 8) } };
        intern(replicas, id);
    }
    struct buffer again = { 0 };
    assert_err(recode(bytes_of(example, sizeof example), replicas, &again), ERR_TOO_LONG);
    assert_ok(block_check(bytes_of(example, sizeof example)));
    buffer_release(&again);
    replicas_free(replicas);
}

/* What a writer must not be asked for. */
struct misuse {
    struct block_head head;
    struct bytes name;
    struct entry first, second;
    uint64_t to;
    struct entry older[2]; /* of the second; seq 0: none */
};

static void write_two(void *context)
{
    const struct misuse *m = context;
    struct replicas *replicas = replicas_made();
    struct buffer out = { 0 };
    struct block_writer w;
    intern(replicas, id_filled(0xa0)); /* its index is 1 */
    intern(replicas, id_filled(0x11));
    block_begin(&w, &out, &m->head);
    block_put(&w, replicas, m->name, &m->first);
    uint32_t older_count = m->older[0].seq == 0 ? 0 : m->older[1].seq == 0 ? 1 : 2;
    block_put_older(&w, replicas, m->name, &m->second, m->older, older_count);
    block_end(&w, m->to);
    buffer_release(&out);
    replicas_free(replicas);
}

static const struct misuse no_misuse = {
    .head = { .kind = BLOCK_DELTA, .replica = { { 0xa0 } }, .nonce = 7, .base = 6, .firm = 4, .from = 10 },
    .name = { (const uint8_t *)"n", 1 },
    .first = { .seq = 11 },
    .second = { .seq = 12 },
    .to = 12,
    .older = { { .seq = 9, .net = 3 }, { .seq = 4 } },
};

#define MISUSE(field, value)                                                                                           \
    do {                                                                                                               \
        struct misuse m = no_misuse;                                                                                   \
        m.field = (value);                                                                                             \
        assert_aborts(write_two, &m);                                                                                  \
    } while (0)

static void test_writer_is_not_given_nonsense(void **state)
{
    (void)state;
    struct misuse right = no_misuse;
    write_two(&right);
    MISUSE(head.kind, (enum block_kind)4);
    MISUSE(head.kind, BLOCK_SNAPSHOT); /* one that speaks of boots */
    MISUSE(head.replica.bytes[0], 0);
    MISUSE(name.len, 0);
    MISUSE(name.len, NAME_BYTES_MAX + 1);
    MISUSE(first.seq, 10);
    MISUSE(second.seq, 11);
    MISUSE(second.net, NET_MAX + 1);
    MISUSE(second.net, -NET_MAX - 1);
    MISUSE(to, 11);
    MISUSE(older[0].seq, 12);
    MISUSE(older[1].seq, 9);
    MISUSE(older[0].net, NET_MAX / 2 + 1);
    MISUSE(second.net, NET_MAX / 2 + 1);
}

static void assert_extras_refused(struct extras extras)
{
    MISUSE(second.extras, &extras);
}

static void assert_base_refused(uint32_t replica, uint64_t seq, int128 net)
{
    struct replica_base item = { replica, { seq, net } };
    assert_extras_refused((struct extras){ .bases = { &item, 1 } });
    assert_extras_refused((struct extras){ .due = { { 1, 1 }, 1 }, .later = { &item, 1 } });
}

static void test_writer_is_not_given_extras_that_cannot_be(void **state)
{
    (void)state;
    struct misuse right = no_misuse;
    struct replica_base base = { 2, { 1, 1 } };
    struct extras extras = { .self_base = { 12, NET_MAX / 2 },
                             .assigned = { .stamp = { 5, 1 } },
                             .bases = { &base, 1 } };
    right.second.extras = &extras;
    write_two(&right);
    assert_extras_refused((struct extras){ .add_seq = 13 });
    assert_extras_refused((struct extras){ .self_base = { 13, 0 } });
    assert_extras_refused((struct extras){ .self_base = { 12, NET_MAX + 1 } });
    assert_extras_refused((struct extras){ .due = { { 5, REPLICA_NONE }, 9 } });
    assert_extras_refused((struct extras){ .assigned = { .stamp = { 5, REPLICA_NONE } } });
    assert_base_refused(REPLICA_NONE, 1, 1);
    assert_base_refused(2, 0, 1);
    assert_base_refused(2, 1, NET_MAX + 1);
    struct replica_base twice[] = { base, base };
    assert_extras_refused((struct extras){ .bases = { twice, 2 } });
}

/* Its own share has the self base. */
static void test_writer_is_not_given_a_base_for_its_own_share(void **state)
{
    (void)state;
    struct replica_base own = { 1, { 1, 1 } };
    struct extras extras = { .bases = { &own, 1 } };
    struct misuse m = no_misuse;
    m.head.replica = id_filled(0xa0);
    m.second.extras = &extras;
    assert_aborts(write_two, &m);
    m.head.replica = id_filled(0xbb);
    write_two(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_bytes_do_not_depend_on_local_indices),
        cmocka_unit_test(test_block_cut_anywhere_is_corrupt),
        cmocka_unit_test(test_any_flipped_bit_is_corrupt_or_canonical),
        cmocka_unit_test(test_example_of_the_manual_holds),
        cmocka_unit_test(test_compact_entry_has_no_byte_to_spare),
        cmocka_unit_test(test_room_reserved_is_room_enough),
        cmocka_unit_test(test_every_failed_allocation_is_reported),
        cmocka_unit_test(test_put_without_memory_ends_after_the_entry_before),
        cmocka_unit_test(test_more_ids_than_there_is_room_for_are_refused),
        cmocka_unit_test(test_writer_is_not_given_nonsense),
        cmocka_unit_test(test_writer_is_not_given_extras_that_cannot_be),
        cmocka_unit_test(test_writer_is_not_given_a_base_for_its_own_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
