/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/forge.h"

#include "base/alloc.h"
#include "cluster/message.h"
#include "count/block.h"
#include "count/replicas.h"
#include "test/unit/lone_peer.h"

static bool one_in(struct random *r, uint64_t chances)
{
    return random_below(r, chances) == 0;
}

struct id128 forge_id(struct random *r)
{
    struct id128 id = peer_id((uint8_t)(1 + random_below(r, FORGE_IDS)));
    if (one_in(r, 32)) id.bytes[2] = (uint8_t)random_u64(r);
    return id;
}

struct bytes forge_name(struct random *r, char into[16])
{
    static const uint8_t longest[NAME_BYTES_MAX];
    if (one_in(r, 64)) return bytes_of(longest, NAME_BYTES_MAX - random_below(r, 2));
    size_t len = one_in(r, 4) ? 15 : 1;
    memset(into, 'a' + (int)random_below(r, 8), len);
    return bytes_of(into, len);
}

uint64_t forge_seq(struct random *r)
{
    if (one_in(r, 24)) return UINT64_MAX - random_below(r, 3);
    return random_below(r, one_in(r, 8) ? 5000 : 24);
}

/* Of boots: some small ones, and those of the node itself and of the peers in most targets. */
static uint64_t forge_nonce(struct random *r)
{
    return one_in(r, 2) ? random_below(r, 4) : (one_in(r, 2) ? 0x1000u : 0x2000u) + 1 + random_below(r, 4);
}

int128 forge_net(struct random *r)
{
    int128 net = (int128)random_below(r, 300) - 100;
    if (one_in(r, 6)) net = (int128)random_u64(r) << random_below(r, 47);
    return one_in(r, 3) ? -net : net;
}

static struct stamp forge_stamp(struct random *r, uint32_t replicas)
{
    return (struct stamp){ 1 + random_below(r, 9), 1 + (uint32_t)random_below(r, replicas) };
}

/* Sorted by index, without the owner. */
static void forge_bases(struct random *r, uint32_t owner, uint32_t replicas, struct base_list *ret_list)
{
    struct replica_base *items = mem_alloc(replicas * sizeof *items);
    REQUIRE(items);
    *ret_list = (struct base_list){ .items = items };
    for (uint32_t i = 1; i <= replicas; i++) {
        if (i == owner || one_in(r, 2)) continue;
        items[ret_list->count++] = (struct replica_base){ i, { 1 + random_below(r, 24), forge_net(r) } };
    }
}

struct extras *forge_extras(struct random *r, uint64_t seq, uint32_t owner, uint32_t replicas)
{
    if (seq == 0 || !one_in(r, 3)) return NULL;
    struct extras *x = mem_alloc_zero(1, sizeof *x);
    REQUIRE(x);
    x->add_seq = one_in(r, 2) ? seq : random_below(r, seq);
    if (one_in(r, 2)) x->self_base = (struct base){ 1 + random_below(r, seq), forge_net(r) };
    x->after = one_in(r, 2);
    if (one_in(r, 2)) x->assigned = (struct assignment){ forge_stamp(r, replicas), one_in(r, 2), 0 };
    if (x->assigned.has_value) x->assigned.value = (int64_t)random_u64(r) >> random_below(r, 64);
    if (one_in(r, 3)) x->due = (struct deadline){ forge_stamp(r, replicas), one_in(r, 2) ? DEADLINE_NEVER : 1234 };
    x->fresh = one_in(r, 4);
    if (one_in(r, 2)) forge_bases(r, owner, replicas, &x->bases);
    if (one_in(r, 4)) forge_bases(r, owner, replicas, &x->later);
    return x;
}

static struct block_head forge_head(struct random *r, bool is_snapshot)
{
    struct block_head head = { .kind = is_snapshot ? BLOCK_SNAPSHOT : BLOCK_DELTA, .replica = forge_id(r) };
    head.from = one_in(r, 2) ? 0 : forge_seq(r);
    if (is_snapshot) return head;
    head.nonce = forge_nonce(r);
    head.base = forge_nonce(r);
    head.firm = one_in(r, 3) ? forge_seq(r) : 0;
    head.pledged = one_in(r, 3) ? forge_seq(r) : head.firm;
    return head;
}

void forge_block(struct random *r, bool is_snapshot, struct buffer *out)
{
    struct replicas *replicas = NULL;
    REQUIRE(replicas_new(&replicas) == ERR_OK);
    uint32_t owner = 0;
    struct block_head head = forge_head(r, is_snapshot);
    for (uint8_t i = 1; i <= FORGE_IDS; i++) {
        struct id128 id = peer_id(i);
        REQUIRE(replicas_intern(replicas, &id, &owner) == ERR_OK);
    }
    REQUIRE(replicas_intern(replicas, &head.replica, &owner) == ERR_OK);
    struct block_writer w;
    block_begin(&w, out, &head);
    uint64_t seq = head.from;
    for (uint64_t left = random_below(r, 8); left > 0 && seq < UINT64_MAX - 3; left--) {
        char memory[16];
        struct entry entry = { .seq = seq + 1 + (one_in(r, 4) ? random_below(r, 3) : 0), .net = forge_net(r) };
        struct entry older[2] = { { .seq = entry.seq - 1, .net = 7 }, { .seq = entry.seq / 2, .net = -3 } };
        uint32_t older_count = one_in(r, 3) ? (entry.seq > 4) + (uint32_t)(entry.seq > 1) : 0;
        if (older_count > 0)
            entry.net %= 1000000;
        else
            entry.extras = forge_extras(r, entry.seq, owner, FORGE_IDS);
        block_put_older(&w, replicas, forge_name(r, memory), &entry, older, older_count);
        extras_free(entry.extras);
        seq = entry.seq;
    }
    block_end(&w, one_in(r, 16) && seq < UINT64_MAX - 9 ? seq + random_below(r, 9) : seq);
    replicas_free(replicas);
}

static struct bytes forge_address(struct random *r)
{
    static const char *const addresses[] = { "m:1",        "good:1", "bad:1",    "p2:1",
                                             "[::1]:8000", "p3:1",   "p4:65535", "127.0.0.1:80" };
    return bytes_of_text(addresses[random_below(r, sizeof addresses / sizeof *addresses)]);
}

static void forge_hello(struct random *r, struct buffer *out)
{
    uint8_t number = (uint8_t)(1 + random_below(r, FORGE_IDS));
    struct hello hello = peer_hello("bad:1", number);
    if (one_in(r, 2)) hello.node = forge_address(r);
    if (one_in(r, 8)) hello.replica = forge_id(r);
    if (one_in(r, 8)) hello.cluster = bytes_of_text("another");
    if (one_in(r, 8)) hello.version++;
    if (one_in(r, 8)) hello.features = 1;
    if (one_in(r, 8)) hello.nonce = 0x1001; /* the node's own, in most targets */
    if (one_in(r, 8)) hello.proof = bytes_of_text("a secret");
    hello_write(out, &hello);
}

static void forge_digest(struct random *r, struct buffer *out)
{
    digest_begin(out, !one_in(r, 3));
    for (uint64_t left = random_below(r, 5); left > 0; left--) {
        struct digest_item item = { .replica = forge_id(r), .known = forge_seq(r), .nonce = forge_nonce(r) };
        item.durable = one_in(r, 2) ? item.known : forge_seq(r);
        item.firm = one_in(r, 2) ? 0 : random_below(r, item.known + (item.known < UINT64_MAX));
        item.pledged = one_in(r, 2) ? item.firm : item.known;
        digest_put(out, &item);
    }
}

static void forge_wants(struct random *r, struct buffer *out)
{
    for (uint64_t left = random_below(r, 4); left > 0; left--) {
        struct want want = { forge_id(r), forge_seq(r), forge_nonce(r) };
        want_put(out, &want);
    }
}

static void forge_trail(struct random *r, struct buffer *out)
{
    struct trail trail = { 0 };
    struct trail_item item = { .replica = forge_id(r), .known = forge_seq(r), .asks = one_in(r, 2) };
    uint64_t start = 0;
    if (one_in(r, 3)) item.gone = forge_nonce(r);
    for (uint64_t left = random_below(r, 5); left > 0; left--) {
        REQUIRE(trail_extend(&trail, start, forge_nonce(r)) == ERR_OK);
        start += 1 + random_below(r, 6);
    }
    if (one_in(r, 3)) trail_set_firm(&trail, random_below(r, 24));
    if (one_in(r, 3)) trail_set_pledged(&trail, random_below(r, 24));
    trail_put(out, &item, &trail);
    trail_release(&trail);
}

void forge_history(struct random *r, uint8_t kind, struct buffer *out)
{
    if (kind == RECORD_TRAILS) {
        forge_trail(r, out);
        return;
    }
    struct id128 id = forge_id(r);
    buffer_id(out, &id);
    buffer_u64(out, random_below(r, 8));
    buffer_u64(out, kind == RECORD_SPLIT ? forge_nonce(r) : random_below(r, 8));
}

static void forge_members(struct random *r, struct buffer *out)
{
    for (uint64_t left = random_below(r, 4); left > 0; left--) {
        struct member_item item = { .node = forge_address(r) };
        if (!one_in(r, 3)) item.replica = forge_id(r);
        item.epoch = (uint32_t)random_below(r, 4);
        item.left = one_in(r, 4);
        member_put(out, &item);
    }
}

void forge_body(struct random *r, enum frame_kind kind, struct buffer *out)
{
    switch (kind) {
    case FRAME_HELLO:
        forge_hello(r, out);
        break;
    case FRAME_DIGEST:
        forge_digest(r, out);
        break;
    case FRAME_BLOCK:
        forge_block(r, one_in(r, 16), out);
        break;
    case FRAME_TRAIL:
        forge_trail(r, out);
        break;
    case FRAME_WANT:
        forge_wants(r, out);
        break;
    case FRAME_MEMBERS:
        forge_members(r, out);
        break;
    case FRAME_ASK:
        buffer_bytes(out, forge_address(r));
        break;
    case FRAME_HEARD:
        heard_write(out, forge_address(r), one_in(r, 2));
        break;
    case FRAME_REFUSE:
        buffer_text(out, "it belongs to another cluster");
        break;
    case FRAME_PING:
    case FRAME_PONG:
        buffer_u64(out, random_below(r, 6000000));
        break;
    case FRAME_LEAVE:
        leave_write(out, (uint32_t)random_below(r, 4));
        break;
    case FRAME_GOODBYE:
        break;
    }
}
