/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/message.h"

void hello_write(struct buffer *out, const struct hello *hello)
{
    buffer_u16(out, hello->version);
    buffer_u64(out, hello->features);
    buffer_string(out, hello->cluster);
    buffer_string(out, hello->node);
    buffer_id(out, &hello->replica);
    buffer_u64(out, hello->nonce);
    buffer_string(out, hello->proof);
}

enum err hello_read(struct bytes body, struct hello *ret_hello)
{
    struct reader r;
    struct hello h;
    reader_init(&r, body);
    h.version = reader_u16(&r);
    h.features = reader_u64(&r);
    h.cluster = reader_string(&r, CLUSTER_BYTES_MAX);
    h.node = reader_string(&r, NODE_BYTES_MAX);
    h.replica = reader_id(&r);
    h.nonce = reader_u64(&r);
    h.proof = reader_string(&r, 255);
    /* What comes after is a later version's; that version decides whether it can talk to this one. */
    if (r.failed || (h.version == PROTOCOL_VERSION && reader_left(&r) > 0)) return ERR_CORRUPT;
    if (!address_is_valid(h.node) || id128_is_zero(&h.replica) || h.nonce == 0) return ERR_CORRUPT;
    *ret_hello = h;
    return ERR_OK;
}

void digest_begin(struct buffer *out, bool whole)
{
    buffer_u8(out, whole);
}

void digest_put(struct buffer *out, const struct digest_item *item)
{
    buffer_id(out, &item->replica);
    buffer_u64(out, item->known);
    buffer_u64(out, item->durable);
    buffer_u64(out, item->nonce);
    buffer_u64(out, item->firm);
    buffer_u64(out, item->pledged);
    buffer_u64(out, item->print);
}

enum err digest_read(struct bytes body, bool *ret_whole, struct reader *ret_items)
{
    reader_init(ret_items, body);
    uint8_t whole = reader_u8(ret_items);
    if (ret_items->failed || whole > 1 || reader_left(ret_items) % DIGEST_ITEM_BYTES != 0) return ERR_CORRUPT;
    *ret_whole = whole == 1;
    return ERR_OK;
}

bool digest_next(struct reader *items, struct digest_item *ret_item)
{
    if (reader_left(items) < DIGEST_ITEM_BYTES) return false;
    ret_item->replica = reader_id(items);
    ret_item->known = reader_u64(items);
    ret_item->durable = reader_u64(items);
    ret_item->nonce = reader_u64(items);
    ret_item->firm = reader_u64(items);
    ret_item->pledged = reader_u64(items);
    ret_item->print = reader_u64(items);
    return true;
}

void want_put(struct buffer *out, const struct want *want)
{
    buffer_id(out, &want->replica);
    buffer_u64(out, want->from);
    buffer_u64(out, want->nonce);
}

enum err wants_read(struct bytes body, struct reader *ret_items)
{
    reader_init(ret_items, body);
    return body.len % WANT_BYTES == 0 ? ERR_OK : ERR_CORRUPT;
}

bool want_next(struct reader *items, struct want *ret_want)
{
    if (reader_left(items) < WANT_BYTES) return false;
    ret_want->replica = reader_id(items);
    ret_want->from = reader_u64(items);
    ret_want->nonce = reader_u64(items);
    return true;
}

void trail_put(struct buffer *out, const struct trail_item *item, const struct trail *trail)
{
    buffer_id(out, &item->replica);
    buffer_u64(out, item->known);
    buffer_u64(out, item->gone);
    buffer_u8(out, item->asks);
    buffer_u64(out, trail->firm);
    buffer_u64(out, trail->pledged);
    buffer_u8(out, (uint8_t)trail->count);
    for (uint32_t i = 0; i < trail->count; i++) {
        buffer_u64(out, trail->boots[i].start);
        buffer_u64(out, trail->boots[i].nonce);
    }
}

enum err trail_next(struct reader *items, struct trail_item *ret_item, struct trail *ret_trail)
{
    struct trail trail = { 0 };
    struct trail_item item = { .replica = reader_id(items) };
    item.known = reader_u64(items);
    item.gone = reader_u64(items);
    uint8_t asks = reader_u8(items);
    item.asks = asks == 1;
    uint64_t firm = reader_u64(items), pledged = reader_u64(items);
    uint8_t count = reader_u8(items);
    if (items->failed || id128_is_zero(&item.replica) || asks > 1 || count > TRAIL_BOOTS_MAX) return ERR_CORRUPT;
    for (uint8_t i = 0; i < count; i++) {
        struct boot boot = { .start = reader_u64(items) };
        boot.nonce = reader_u64(items);
        bool rises = i == 0 || boot.start > trail.boots[i - 1].start;
        enum err err = items->failed || !rises ? ERR_CORRUPT : trail_extend(&trail, boot.start, boot.nonce);
        if (err != ERR_OK) {
            trail_release(&trail);
            return err;
        }
    }
    trail_set_firm(&trail, firm);
    trail_set_pledged(&trail, pledged);
    *ret_item = item;
    *ret_trail = trail;
    return ERR_OK;
}

void member_put(struct buffer *out, const struct member_item *item)
{
    buffer_string(out, item->node);
    buffer_id(out, &item->replica);
    buffer_u32(out, item->epoch);
    buffer_u8(out, item->left);
}

enum err member_next(struct reader *items, struct member_item *ret_item)
{
    if (!items->failed && reader_left(items) == 0) return ERR_STALE;
    ret_item->node = reader_string(items, NODE_BYTES_MAX);
    ret_item->replica = reader_id(items);
    ret_item->epoch = reader_u32(items);
    uint8_t left = reader_u8(items);
    ret_item->left = left == 1;
    return items->failed || left > 1 || !address_is_valid(ret_item->node) ? ERR_CORRUPT : ERR_OK;
}

void leave_write(struct buffer *out, uint32_t epoch)
{
    buffer_u32(out, epoch);
}

enum err leave_read(struct bytes body, uint32_t *ret_epoch)
{
    struct reader r;
    reader_init(&r, body);
    uint32_t epoch = reader_u32(&r);
    if (reader_end(&r) != ERR_OK) return ERR_CORRUPT;
    *ret_epoch = epoch;
    return ERR_OK;
}

void heard_write(struct buffer *out, struct bytes node, bool heard)
{
    buffer_u8(out, heard);
    buffer_bytes(out, node);
}

enum err heard_read(struct bytes body, struct bytes *ret_node, bool *ret_heard)
{
    struct reader r;
    reader_init(&r, body);
    uint8_t heard = reader_u8(&r);
    struct bytes node = reader_bytes(&r, reader_left(&r));
    if (heard > 1 || !address_is_valid(node)) return ERR_CORRUPT;
    *ret_node = node;
    *ret_heard = heard == 1;
    return ERR_OK;
}

static bool port_is_valid(struct bytes text)
{
    int64_t port;
    return bytes_to_int64(text, &port) == ERR_OK && port >= 1 && port <= 65535;
}

bool address_is_valid(struct bytes address)
{
    if (address.len < 3 || address.len > NODE_BYTES_MAX) return false;
    size_t colon = address.len;
    for (size_t i = 0; i < address.len; i++) {
        if (address.ptr[i] <= ' ' || address.ptr[i] > '~' || address.ptr[i] == ',' || address.ptr[i] == '/')
            return false;
        if (address.ptr[i] == ':') colon = i;
    }
    if (colon == 0 || colon >= address.len - 1) return false;
    bool brackets = address.ptr[0] == '[';
    if (brackets && (colon < 3 || address.ptr[colon - 1] != ']')) return false;
    if (!brackets && memchr(address.ptr, ':', colon)) return false;
    return port_is_valid(bytes_of(address.ptr + colon + 1, address.len - colon - 1));
}
