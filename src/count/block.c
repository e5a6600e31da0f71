/* SPDX-License-Identifier: Apache-2.0 */
/* An entry has exactly one form, so that equal entries are equal bytes on every node, whatever its replica indices and
 * the history of its memory:
 *  (1) Extras that say no more than a compact entry are not written, nor is any part that says nothing (entry.h).
 *  (2) Lists are in the order of ids. A stamp by the block's own replica has no id, any other has.
 *  (3) The reader refuses whatever the writer would have written otherwise.
 * Reading has two steps: parse checks all of an entry and keeps views; build takes in ids and asks for memory, which
 * damaged bytes therefore never do. */
#include "count/block.h"

#include "base/alloc.h"
#include "count/replicas.h"

#include <stdlib.h>

#define AT_TO (1 + 16 + 5 * 8)
#define AT_COUNT (AT_TO + 8)
#define ENTRY_BYTES_MIN 5 /* step, name length, name, flags, net */
#define BASE_BYTES_MIN 18 /* id, seq, net */
#define NUMBER_BYTES_MAX 19

enum { FLAG_EXTRAS = 1, FLAG_OLDER = 2 };

enum part {
    PART_ADD_SEQ = 1 << 0,
    PART_SELF_BASE = 1 << 1,
    PART_AFTER = 1 << 2,
    PART_ASSIGNED = 1 << 3,
    PART_ASSIGNED_BY = 1 << 4, /* stamped by a replica other than the block's */
    PART_VALUE = 1 << 5,
    PART_DUE = 1 << 6,
    PART_DUE_BY = 1 << 7,
    PART_FRESH = 1 << 8,
    PART_BASES = 1 << 9,
    PART_LATER = 1 << 10,
};

/* Which part says nothing without which other; all there are. */
static const struct {
    uint16_t part, without;
} parts_needed[] = {
    { PART_ADD_SEQ, 0 },
    { PART_SELF_BASE, 0 },
    { PART_AFTER, PART_SELF_BASE },
    { PART_ASSIGNED, 0 },
    { PART_ASSIGNED_BY, PART_ASSIGNED },
    { PART_VALUE, PART_ASSIGNED },
    { PART_DUE, 0 },
    { PART_DUE_BY, PART_DUE },
    { PART_FRESH, PART_DUE },
    { PART_BASES, 0 },
    { PART_LATER, PART_DUE },
};

/* Of these parts, those that are known and say something. */
static unsigned parts_meant(unsigned parts)
{
    unsigned meant = 0;
    for (size_t i = 0; i < sizeof parts_needed / sizeof *parts_needed; i++) {
        unsigned part = parts_needed[i].part, without = parts_needed[i].without;
        if ((parts & without) == without) meant |= parts & part;
    }
    return meant;
}

/* Without a history. */
static bool head_is_bare(const struct block_head *head)
{
    return head->nonce == 0 && head->base == 0 && head->firm == 0 && head->pledged == 0;
}

/* Writing */

void block_begin(struct block_writer *w, struct buffer *out, const struct block_head *head)
{
    REQUIRE(head->kind == BLOCK_DELTA || head->kind == BLOCK_SNAPSHOT);
    REQUIRE(!id128_is_zero(&head->replica));
    REQUIRE(head->kind == BLOCK_DELTA || head_is_bare(head));
    *w = (struct block_writer){ .out = out, .at = out->len, .head = *head, .seq_last = head->from };
    w->seq_max = head->from;
    buffer_u8(out, (uint8_t)head->kind);
    buffer_id(out, &head->replica);
    buffer_u64(out, head->nonce);
    buffer_u64(out, head->base);
    buffer_u64(out, head->firm);
    buffer_u64(out, head->pledged);
    buffer_u64(out, head->from);
    buffer_u64(out, head->from);
    buffer_u32(out, 0);
}

/* A base while its list is being sorted: in the buffer itself, where its final form takes less room. */
struct wide_base {
    struct id128 id;
    uint64_t seq;
    int128 net;
};
_Static_assert(sizeof(struct wide_base) >= sizeof(struct id128) + 10 + NUMBER_BYTES_MAX, "sorting must have room");

static int wide_base_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id128));
}

static void put_list(struct block_writer *w, const struct replicas *replicas, const struct base_list *list)
{
    struct buffer *out = w->out;
    buffer_varint(out, list->count);
    const size_t start = out->len;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct replica_base *item = &list->items[i];
        struct wide_base wide;
        memset(&wide, 0, sizeof wide); /* padding too: it goes through the buffer */
        wide.id = *replicas_id(replicas, item->replica);
        wide.seq = item->base.seq;
        wide.net = item->base.net;
        REQUIRE(!id128_equal(&wide.id, &w->head.replica));
        buffer_bytes(out, bytes_of(&wide, sizeof wide));
    }
    qsort(out->ptr + start, list->count, sizeof(struct wide_base), wide_base_compare);
    out->len = start;
    for (uint32_t i = 0; i < list->count; i++) {
        struct wide_base wide;
        memcpy(&wide, out->ptr + start + i * sizeof wide, sizeof wide);
        buffer_id(out, &wide.id);
        buffer_varint(out, wide.seq);
        buffer_signed(out, wide.net);
    }
}

static bool is_by_other(const struct block_writer *w, const struct replicas *replicas, struct stamp stamp)
{
    if (stamp.time == 0) return false;
    REQUIRE(stamp.replica != REPLICA_NONE);
    return !id128_equal(replicas_id(replicas, stamp.replica), &w->head.replica);
}

static unsigned parts_of(const struct block_writer *w, const struct replicas *replicas, const struct entry *entry)
{
    const struct extras *x = entry->extras;
    if (!x) return 0;
    unsigned parts = 0;
    if (x->add_seq != entry->seq) parts |= PART_ADD_SEQ;
    if (x->self_base.seq > 0) parts |= PART_SELF_BASE;
    if (x->after) parts |= PART_AFTER;
    if (x->assigned.stamp.time > 0) parts |= PART_ASSIGNED;
    if (is_by_other(w, replicas, x->assigned.stamp)) parts |= PART_ASSIGNED_BY;
    if (x->assigned.has_value) parts |= PART_VALUE;
    if (x->due.set.time > 0) parts |= PART_DUE;
    if (is_by_other(w, replicas, x->due.set)) parts |= PART_DUE_BY;
    if (x->fresh) parts |= PART_FRESH;
    if (x->bases.count > 0) parts |= PART_BASES;
    if (x->later.count > 0) parts |= PART_LATER;
    return parts_meant(parts);
}

static void put_extras(struct block_writer *w, const struct replicas *replicas, const struct entry *entry,
                       unsigned parts)
{
    struct buffer *out = w->out;
    const struct extras *x = entry->extras;
    buffer_u16(out, (uint16_t)parts);
    if (parts & PART_ADD_SEQ) buffer_varint(out, entry->seq - x->add_seq);
    if (parts & PART_SELF_BASE) {
        buffer_varint(out, entry->seq - x->self_base.seq);
        buffer_signed(out, x->self_base.net);
    }
    if (parts & PART_ASSIGNED) buffer_varint(out, x->assigned.stamp.time);
    if (parts & PART_ASSIGNED_BY) buffer_id(out, replicas_id(replicas, x->assigned.stamp.replica));
    if (parts & PART_VALUE) buffer_signed(out, x->assigned.value);
    if (parts & PART_DUE) buffer_varint(out, x->due.set.time);
    if (parts & PART_DUE_BY) buffer_id(out, replicas_id(replicas, x->due.set.replica));
    if (parts & PART_DUE) buffer_varint(out, x->due.at_ms + 1); /* DEADLINE_NEVER, which is common, becomes 0 */
    if (parts & PART_BASES) put_list(w, replicas, &x->bases);
    if (parts & PART_LATER) put_list(w, replicas, &x->later);
}

/* Each number is counted with the room that a buffer wants for the longest, which it does before it knows the length.
 */
size_t block_older_bytes(const struct entry *older)
{
    size_t bytes = 2 * NUMBER_BYTES_MAX + 1;
    if (!older->extras) return bytes;
    size_t bases = (size_t)older->extras->bases.count + older->extras->later.count;
    return bytes + 2 * sizeof(struct id128) + 10 * NUMBER_BYTES_MAX + bases * sizeof(struct wide_base);
}

size_t block_put_bytes(struct bytes name, const struct entry *entry)
{
    return name.len + 2 * NUMBER_BYTES_MAX + block_older_bytes(entry);
}

static bool is_net_within(int128 net, int128 most)
{
    return net >= -most && net <= most;
}

static bool is_net(int128 net)
{
    return is_net_within(net, NET_MAX);
}

/* May be subtracted from another. */
static bool is_half(const struct entry *entry, const struct extras *x)
{
    return is_net_within(entry->net, NET_MAX / 2) && (!x || is_net_within(x->self_base.net, NET_MAX / 2));
}

static void require_list_sound(const struct base_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        REQUIRE(list->items[i].replica > (i > 0 ? list->items[i - 1].replica : REPLICA_NONE));
        REQUIRE(list->items[i].base.seq > 0);
        REQUIRE(is_net(list->items[i].base.net));
    }
}

static void require_version_sound(const struct entry *entry)
{
    REQUIRE(is_net(entry->net));
    if (!entry->extras) return;
    REQUIRE(entry->extras->add_seq <= entry->seq);
    REQUIRE(entry->extras->self_base.seq <= entry->seq);
    REQUIRE(is_net(entry->extras->self_base.net));
    require_list_sound(&entry->extras->bases);
    require_list_sound(&entry->extras->later);
}

static void require_put_sound(const struct block_writer *w, struct bytes name, const struct entry *entry,
                              const struct entry *older, uint32_t count)
{
    REQUIRE(name.len > 0);
    REQUIRE(name.len <= NAME_BYTES_MAX);
    REQUIRE(w->count < UINT32_MAX);
    REQUIRE(entry->seq > (w->head.kind == BLOCK_DELTA ? w->seq_last : w->head.from));
    require_version_sound(entry);
    REQUIRE(count <= BLOCK_OLDER_MAX);
    for (uint32_t i = 0; i < count; i++) {
        REQUIRE(older[i].seq > 0 && older[i].seq < (i > 0 ? older[i - 1].seq : entry->seq));
        require_version_sound(&older[i]);
        REQUIRE(is_half(&older[i], older[i].extras));
    }
    REQUIRE(count == 0 || is_half(entry, entry->extras));
}

/* What two versions of an entry have each of their own, behind its seq. */
static void put_version(struct block_writer *w, const struct replicas *replicas, const struct entry *entry,
                        uint8_t flags)
{
    unsigned parts = parts_of(w, replicas, entry);
    buffer_u8(w->out, (uint8_t)(flags | (parts ? FLAG_EXTRAS : 0)));
    buffer_signed(w->out, entry->net);
    if (parts) put_extras(w, replicas, entry, parts);
}

void block_put_older(struct block_writer *w, const struct replicas *replicas, struct bytes name,
                     const struct entry *entry, const struct entry *older, uint32_t count)
{
    require_put_sound(w, name, entry, older, count);
    size_t bytes = block_put_bytes(name, entry);
    for (uint32_t i = 0; i < count; i++) bytes += block_older_bytes(&older[i]);
    if (!buffer_reserve(w->out, bytes)) return;
    buffer_signed(w->out, (int128)entry->seq - w->seq_last);
    buffer_string(w->out, name);
    put_version(w, replicas, entry, count > 0 ? FLAG_OLDER : 0);
    if (count > 0) buffer_u8(w->out, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++) {
        buffer_varint(w->out, (i > 0 ? older[i - 1].seq : entry->seq) - older[i].seq);
        put_version(w, replicas, &older[i], 0);
    }
    w->seq_last = entry->seq;
    if (entry->seq > w->seq_max) w->seq_max = entry->seq;
    w->count++;
}

void block_put(struct block_writer *w, const struct replicas *replicas, struct bytes name, const struct entry *entry)
{
    block_put_older(w, replicas, name, entry, NULL, 0);
}

void block_end(struct block_writer *w, uint64_t to)
{
    REQUIRE(to >= w->seq_max);
    buffer_patch_u32(w->out, w->at + AT_TO, (uint32_t)to);
    buffer_patch_u32(w->out, w->at + AT_TO + 4, (uint32_t)(to >> 32));
    buffer_patch_u32(w->out, w->at + AT_COUNT, w->count);
}

/* Reading */

/* A list that was found sound, still as bytes. */
struct parsed_list {
    struct reader items;
    uint32_t count;
};

struct parsed {
    struct bytes name;
    struct entry entry;   /* without extras */
    unsigned parts;       /* 0: compact, and what follows is not set */
    struct extras extras; /* without lists and without the replicas of its stamps */
    struct id128 assigned_by, due_by;
    struct parsed_list bases, later;
    struct parsed_list older;
};

static void reader_expect(struct reader *in, bool holds)
{
    if (!holds) in->failed = true;
}

static int128 reader_net(struct reader *in)
{
    int128 net = reader_signed(in);
    reader_expect(in, is_net(net));
    return net;
}

static struct replica_base read_base(struct reader *in, struct id128 *ret_id)
{
    *ret_id = reader_id(in);
    struct base base = { .seq = reader_varint(in) };
    base.net = reader_net(in);
    return (struct replica_base){ .base = base };
}

static struct parsed_list parse_list(struct reader *in, const struct id128 *owner)
{
    uint64_t count = reader_varint(in);
    reader_expect(in, count > 0 && count <= reader_left(in) / BASE_BYTES_MIN);
    struct parsed_list list = { *in, (uint32_t)count };
    struct id128 before = { { 0 } };
    for (uint64_t i = 0; i < count && !in->failed; i++) {
        struct id128 id;
        struct base base = read_base(in, &id).base;
        reader_expect(in, base.seq > 0 && !id128_equal(&id, owner));
        reader_expect(in, memcmp(before.bytes, id.bytes, sizeof id.bytes) < 0);
        before = id;
    }
    return list;
}

static uint64_t parse_seq_back(struct reader *in, uint64_t seq, uint64_t back_min, uint64_t seq_min)
{
    uint64_t back = reader_varint(in);
    reader_expect(in, back >= back_min && back <= seq - seq_min);
    return seq - back;
}

static uint64_t parse_stamp(struct reader *in, const struct id128 *owner, bool is_by_id, struct id128 *ret_by)
{
    uint64_t time = reader_varint(in);
    *ret_by = is_by_id ? reader_id(in) : *owner;
    reader_expect(in, time > 0);
    reader_expect(in, !is_by_id || (!id128_equal(ret_by, owner) && !id128_is_zero(ret_by)));
    return time;
}

static void parse_assigned(struct reader *in, const struct id128 *owner, struct parsed *p)
{
    struct assignment *assigned = &p->extras.assigned;
    assigned->stamp.time = parse_stamp(in, owner, p->parts & PART_ASSIGNED_BY, &p->assigned_by);
    assigned->has_value = p->parts & PART_VALUE;
    if (!assigned->has_value) return;
    int128 value = reader_signed(in);
    reader_expect(in, value >= INT64_MIN && value <= INT64_MAX);
    assigned->value = (int64_t)value;
}

static void parse_extras(struct reader *in, const struct id128 *owner, struct parsed *p)
{
    const uint64_t seq = p->entry.seq;
    struct extras *x = &p->extras;
    p->extras = (struct extras){ 0 };
    p->bases = p->later = (struct parsed_list){ .count = 0 };
    p->parts = reader_u16(in);
    reader_expect(in, p->parts != 0 && parts_meant(p->parts) == p->parts);
    x->after = p->parts & PART_AFTER;
    x->fresh = p->parts & PART_FRESH;
    x->add_seq = p->parts & PART_ADD_SEQ ? parse_seq_back(in, seq, 1, 0) : seq;
    if (p->parts & PART_SELF_BASE) {
        x->self_base.seq = parse_seq_back(in, seq, 0, 1);
        x->self_base.net = reader_net(in);
    }
    if (p->parts & PART_ASSIGNED) parse_assigned(in, owner, p);
    if (p->parts & PART_DUE) {
        x->due.set.time = parse_stamp(in, owner, p->parts & PART_DUE_BY, &p->due_by);
        x->due.at_ms = reader_varint(in) - 1;
    }
    if (p->parts & PART_BASES) p->bases = parse_list(in, owner);
    if (p->parts & PART_LATER) p->later = parse_list(in, owner);
}

static uint64_t parse_seq(struct reader *in, const struct block_head *head, uint64_t seq_last)
{
    int128 step = reader_signed(in);
    bool in_range = step >= -(int128)UINT64_MAX && step <= UINT64_MAX;
    int128 seq = in_range ? seq_last + step : 0;
    int128 above = head->kind == BLOCK_DELTA ? seq_last : head->from;
    reader_expect(in, seq > above && seq <= head->to);
    return (uint64_t)seq;
}

static void parse_version(struct reader *in, const struct id128 *owner, uint8_t flags, struct parsed *p)
{
    p->entry.net = reader_net(in);
    p->parts = 0;
    if (!in->failed && flags & FLAG_EXTRAS) parse_extras(in, owner, p);
}

/* Reads one more version, older than the one of *seq, which becomes its own. */
static void parse_older(struct reader *in, const struct id128 *owner, uint64_t *seq, struct parsed *p)
{
    *seq = parse_seq_back(in, *seq, 1, 1);
    p->entry = (struct entry){ .seq = *seq };
    uint8_t flags = reader_u8(in);
    reader_expect(in, (flags & ~FLAG_EXTRAS) == 0);
    parse_version(in, owner, flags, p);
}

static struct parsed_list parse_versions(struct reader *in, const struct id128 *owner, uint64_t seq)
{
    uint8_t count = reader_u8(in);
    reader_expect(in, count > 0 && count <= BLOCK_OLDER_MAX);
    struct parsed_list list = { *in, count };
    struct parsed older;
    for (uint8_t i = 0; i < count && !in->failed; i++) {
        parse_older(in, owner, &seq, &older);
        reader_expect(in, is_half(&older.entry, older.parts ? &older.extras : NULL));
    }
    return list;
}

static enum err parse_entry(struct reader *in, const struct block_head *head, uint64_t seq_last, struct parsed *p)
{
    p->entry = (struct entry){ .seq = parse_seq(in, head, seq_last) };
    p->name = reader_string(in, NAME_BYTES_MAX);
    reader_expect(in, p->name.len > 0);
    uint8_t flags = reader_u8(in);
    reader_expect(in, (flags & ~(FLAG_EXTRAS | FLAG_OLDER)) == 0);
    parse_version(in, &head->replica, flags, p);
    p->older = (struct parsed_list){ .count = 0 };
    if (!in->failed && flags & FLAG_OLDER) {
        reader_expect(in, is_half(&p->entry, p->parts ? &p->extras : NULL));
        p->older = parse_versions(in, &head->replica, p->entry.seq);
    }
    return in->failed ? ERR_CORRUPT : ERR_OK;
}

enum err block_open(struct block_reader *r, struct bytes block)
{
    struct reader in;
    reader_init(&in, block);
    uint8_t kind = reader_u8(&in);
    struct block_head head = { .replica = reader_id(&in) };
    head.nonce = reader_u64(&in);
    head.base = reader_u64(&in);
    head.firm = reader_u64(&in);
    head.pledged = reader_u64(&in);
    head.from = reader_u64(&in);
    head.to = reader_u64(&in);
    head.count = reader_u32(&in);
    reader_expect(&in, (kind == BLOCK_DELTA || kind == BLOCK_SNAPSHOT) && !id128_is_zero(&head.replica));
    reader_expect(&in, kind == BLOCK_DELTA || head_is_bare(&head));
    reader_expect(&in, head.from <= head.to && head.count <= reader_left(&in) / ENTRY_BYTES_MIN);
    if (in.failed) return ERR_CORRUPT;
    head.kind = (enum block_kind)kind;
    *r = (struct block_reader){ .head = head, .rest = in, .seq_last = head.from, .left = head.count };
    return ERR_OK;
}

/* Parses the next entry and moves on; ERR_STALE at the end. */
static enum err block_parse(struct block_reader *r, struct parsed *p)
{
    if (r->left == 0) return reader_end(&r->rest) == ERR_OK ? ERR_STALE : ERR_CORRUPT;
    enum err err = parse_entry(&r->rest, &r->head, r->seq_last, p);
    if (err != ERR_OK) return err;
    r->seq_last = p->entry.seq;
    r->left--;
    return ERR_OK;
}

static enum err build_list(struct parsed_list parsed, struct replicas *replicas, struct base_list *ret_list)
{
    if (parsed.count == 0) return ERR_OK;
    struct replica_base *items = mem_alloc(parsed.count * sizeof *items);
    if (!items) return ERR_NOMEM;
    for (uint32_t i = 0; i < parsed.count; i++) {
        struct id128 id;
        items[i] = read_base(&parsed.items, &id);
        enum err err = replicas_intern(replicas, &id, &items[i].replica);
        if (err != ERR_OK) {
            mem_free(items);
            return err;
        }
    }
    *ret_list = (struct base_list){ items, parsed.count };
    base_list_sort(ret_list);
    return ERR_OK;
}

static enum err build_parts(const struct parsed *p, struct replicas *replicas, struct extras *x)
{
    enum err err = ERR_OK;
    if (p->parts & PART_ASSIGNED) err = replicas_intern(replicas, &p->assigned_by, &x->assigned.stamp.replica);
    if (err == ERR_OK && p->parts & PART_DUE) err = replicas_intern(replicas, &p->due_by, &x->due.set.replica);
    if (err == ERR_OK) err = build_list(p->bases, replicas, &x->bases);
    if (err == ERR_OK) err = build_list(p->later, replicas, &x->later);
    return err;
}

static enum err build_extras(const struct parsed *p, struct replicas *replicas, struct extras **ret_extras)
{
    struct extras *extras = mem_alloc(sizeof *extras);
    if (!extras) return ERR_NOMEM;
    *extras = p->extras;
    enum err err = build_parts(p, replicas, extras);
    if (err != ERR_OK) {
        extras_free(extras);
        return err;
    }
    *ret_extras = extras;
    return ERR_OK;
}

enum err block_next(struct block_reader *r, struct replicas *replicas, struct bytes *ret_name, struct entry *ret_entry)
{
    const struct block_reader before = *r;
    struct parsed p;
    enum err err = block_parse(r, &p);
    if (err == ERR_OK && p.parts != 0) {
        err = build_extras(&p, replicas, &p.entry.extras);
        if (err != ERR_OK) *r = before;
    }
    if (err != ERR_OK) return err;
    r->older = p.older.items;
    r->older_count = p.older.count;
    *ret_name = p.name;
    *ret_entry = p.entry;
    return ERR_OK;
}

enum err block_older(const struct block_reader *r, struct replicas *replicas, struct entry ret_older[BLOCK_OLDER_MAX],
                     uint32_t *ret_count)
{
    struct reader in = r->older;
    uint64_t seq = r->seq_last;
    for (uint32_t i = 0; i < r->older_count; i++) {
        struct parsed p;
        parse_older(&in, &r->head.replica, &seq, &p);
        enum err err = p.parts != 0 ? build_extras(&p, replicas, &p.entry.extras) : ERR_OK;
        if (err != ERR_OK) {
            while (i > 0) extras_free(ret_older[--i].extras);
            return err;
        }
        ret_older[i] = p.entry;
    }
    *ret_count = r->older_count;
    return ERR_OK;
}

enum err block_check(struct bytes block)
{
    struct block_reader r;
    enum err err = block_open(&r, block);
    struct parsed p;
    while (err == ERR_OK) err = block_parse(&r, &p);
    return err == ERR_STALE ? ERR_OK : err;
}
