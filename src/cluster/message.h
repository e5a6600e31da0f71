/* SPDX-License-Identifier: Apache-2.0 */
/* message: the bodies of the small frames, written and read. Readers check every bound and hand out views into the
 * body; ERR_CORRUPT for anything that the writers could not have written. docs/FORMATS.md has the bytes. */
#ifndef QUIPU_CLUSTER_MESSAGE_H
#define QUIPU_CLUSTER_MESSAGE_H

#include "base/bytes.h"
#include "base/err.h"
#include "cluster/link.h"
#include "count/trail.h"

#include <stdbool.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1u
#define CLUSTER_BYTES_MAX 255u
#define NODE_BYTES_MAX (ADDRESS_BYTES_MAX - 1)

struct hello {
    uint16_t version;
    uint64_t features; /* bits of what both sides must understand; none yet */
    struct bytes cluster, node;
    struct id128 replica;
    uint64_t nonce;     /* of this boot */
    struct bytes proof; /* of the shared secret; empty until secrets exist */
};
void hello_write(struct buffer *out, const struct hello *hello);
MUST_USE enum err hello_read(struct bytes body, struct hello *ret_hello);

struct digest_item {
    struct id128 replica;
    uint64_t known, durable;
    uint64_t nonce;         /* of the boot that wrote seq known */
    uint64_t firm, pledged; /* see count/trail.h; not above known */
    uint64_t print;         /* of the entries, see count/replicas.h */
};
#define DIGEST_ITEM_BYTES 64u
/* whole: what is not named is not known. Else only changes since the last digest on this link. */
void digest_begin(struct buffer *out, bool whole);
void digest_put(struct buffer *out, const struct digest_item *item);
MUST_USE enum err digest_read(struct bytes body, bool *ret_whole, struct reader *ret_items);
/* False at the end. */
bool digest_next(struct reader *items, struct digest_item *ret_item);

struct want {
    struct id128 replica;
    uint64_t from, nonce; /* the boot that wrote seq `from` */
};
#define WANT_BYTES 32u
void want_put(struct buffer *out, const struct want *want);
MUST_USE enum err wants_read(struct bytes body, struct reader *ret_items);
bool want_next(struct reader *items, struct want *ret_want);

/* TRAIL: which boots wrote what the sender has of a replica. Sent where a claim, a want or a block does not fit to what
 * is here, so that both sides find out which of two histories gives way. */
struct trail_item {
    struct id128 replica;
    uint64_t known;
    uint64_t gone; /* nonce of a boot that was split off the replica, with all after it; 0: none is named */
    bool asks;     /* the receiver is to show its own */
};
void trail_put(struct buffer *out, const struct trail_item *item, const struct trail *trail);
/* *ret_trail is to be released. ERR_CORRUPT, ERR_NOMEM. Several may stand one after the other. */
MUST_USE enum err trail_next(struct reader *items, struct trail_item *ret_item, struct trail *ret_trail);

struct member_item {
    struct bytes node;
    struct id128 replica; /* zero while unknown */
    uint32_t epoch;       /* with left: its standing; membership.h has the rules */
    bool left;
};
void member_put(struct buffer *out, const struct member_item *item);
/* Fails in the middle on damage: what was handed out before is sound. ERR_STALE at the end. */
MUST_USE enum err member_next(struct reader *items, struct member_item *ret_item);

/* LEAVE: the highest epoch that the sender knows of itself. */
void leave_write(struct buffer *out, uint32_t epoch);
MUST_USE enum err leave_read(struct bytes body, uint32_t *ret_epoch);

/* ASK carries a name; HEARD a name and whether that member was heard within the peer timeout. */
void heard_write(struct buffer *out, struct bytes node, bool heard);
MUST_USE enum err heard_read(struct bytes body, struct bytes *ret_node, bool *ret_heard);

/* A node name or address: host:port with printable ASCII, a port from 1 to 65535, IPv6 hosts in brackets. */
bool address_is_valid(struct bytes address);

#endif
