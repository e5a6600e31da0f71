/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "server/beacon.h"

#include "server/endpoint.h"
#include "server/settings.h"

#include <xxhash.h>

#define BEACON_VERSION 1
#define CHECKSUM_BYTES 8

static const char magic[8] = "QUIPUDSC";

enum err beacon_encode(const struct beacon *beacon, struct buffer *out)
{
    size_t start = out->len;
    buffer_bytes(out, bytes_of(magic, sizeof magic));
    buffer_u8(out, BEACON_VERSION);
    buffer_u64(out, beacon->nonce);
    buffer_string(out, beacon->cluster);
    buffer_string(out, beacon->node);
    if (buffer_end(out) != ERR_OK) return ERR_NOMEM;
    buffer_u64(out, XXH3_64bits(out->ptr + start, out->len - start));
    return buffer_end(out);
}

enum err beacon_decode(struct bytes datagram, struct beacon *ret_beacon)
{
    struct reader r, tail;
    if (datagram.len < CHECKSUM_BYTES || datagram.len > BEACON_BYTES_MAX) return ERR_CORRUPT;
    struct bytes body = bytes_of(datagram.ptr, datagram.len - CHECKSUM_BYTES);
    reader_init(&r, body);
    struct bytes start = reader_bytes(&r, sizeof magic);
    uint8_t version = reader_u8(&r);
    struct beacon beacon = { .nonce = reader_u64(&r) };
    beacon.cluster = reader_string(&r, CLUSTER_BYTES_MAX - 1);
    beacon.node = reader_string(&r, ADDRESS_BYTES_MAX - 1);
    if (reader_end(&r) != ERR_OK) return ERR_CORRUPT;
    if (!bytes_equal(start, bytes_of(magic, sizeof magic)) || version != BEACON_VERSION) return ERR_CORRUPT;
    reader_init(&tail, bytes_of(body.ptr + body.len, CHECKSUM_BYTES));
    if (reader_u64(&tail) != XXH3_64bits(body.ptr, body.len)) return ERR_CORRUPT;
    struct endpoint endpoint;
    if (beacon.nonce == 0 || beacon.cluster.len == 0) return ERR_CORRUPT;
    if (endpoint_parse(beacon.node, &endpoint) != ERR_OK) return ERR_CORRUPT;
    *ret_beacon = beacon;
    return ERR_OK;
}
