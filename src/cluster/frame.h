/* SPDX-License-Identifier: Apache-2.0 */
/* frame: how messages lie on a link. After the greeting a link carries frames and nothing else:
 *
 *   length of the body u32 | kind u8 | check of these two u24 | XXH3-64 of the body, seeded with the kind, u64 | body
 *
 * The check is the low 24 bits of the XXH3-64 of the five bytes before it: a damaged length is found at once, and not
 * when that many bytes have come. A frame that is damaged, too long or of an unknown kind ends the link: nothing behind
 * it can be trusted. New kinds need a feature bit in HELLO. */
#ifndef QUIPU_CLUSTER_FRAME_H
#define QUIPU_CLUSTER_FRAME_H

#include "base/bytes.h"
#include "base/err.h"
#include "cluster/link.h"

#define FRAME_HEAD_BYTES 16u
#define FRAME_BODY_BYTES_MAX (4u << 20)
/* Builders of bulk frames stop here, so that a heartbeat never waits long behind one. */
#define FRAME_BODY_BYTES_GOAL (56u << 10)

#define FRAME_KIND_LIST(X)                                                                                             \
    X(HELLO, 1)    /* who I am; the first frame from either side */                                                    \
    X(REFUSE, 2)   /* why this link cannot be; then it is closed */                                                    \
    X(PING, 3)     /* a heartbeat with a token */                                                                      \
    X(PONG, 4)     /* the token back */                                                                                \
    X(DIGEST, 5)   /* how much of each replica I know */                                                               \
    X(BLOCK, 6)    /* entries: a block */                                                                              \
    X(WANT, 7)     /* send me these replicas from here on */                                                           \
    X(MEMBERS, 8)  /* members I know */                                                                                \
    X(ASK, 9)      /* do you hear this member? */                                                                      \
    X(HEARD, 10)   /* yes or no */                                                                                     \
    X(GOODBYE, 11) /* I stop now and shall be back */                                                                  \
    X(TRAIL, 12)   /* which boots wrote what I have of a replica */                                                    \
    X(LEAVE, 13)   /* I stop now and am no member any more */

#define X(name, number) FRAME_##name = number,
enum frame_kind { FRAME_KIND_LIST(X) };
#undef X

struct frame {
    enum frame_kind kind;
    struct bytes body; /* a view into the input */
};

/* Reads the frame at the front of input. ERR_PARTIAL: more bytes are needed. ERR_CORRUPT: end the link. */
MUST_USE enum err frame_read(struct bytes input, struct frame *ret_frame, size_t *ret_bytes);
/* Fills in the head of a frame whose body follows it directly. */
void frame_seal(uint8_t head[FRAME_HEAD_BYTES], enum frame_kind kind, struct bytes body);
/* A whole frame around a copy of body; NULL without memory. */
MUST_USE struct shared *frame_new(enum frame_kind kind, struct bytes body);

#endif
