/* SPDX-License-Identifier: Apache-2.0 */
/* harness: what fuzz targets share.
 *
 * A target is a function of bytes. Three ways to make those bytes worth trying:
 *  - Text and streams are taken as they are; a dictionary in dict/ has the words.
 *  - Where a checksum or a strict form stands in the way, the target has a custom mutator that takes the input apart,
 *    changes a part, and puts it together with the core's own encoders (forge.h). So it follows every change of format.
 *  - Programs (operations, events) are read from the bytes one decision at a time; at the end of the bytes all is 0. */
#ifndef QUIPU_FUZZ_HARNESS_H
#define QUIPU_FUZZ_HARNESS_H

#include "base/bytes.h"
#include "base/random.h"

/* What libFuzzer calls, and what it offers to a custom mutator; a target that is only replayed does without. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max) __attribute__((weak));

/* A copy whose last byte is the last before an unmapped page: to read one too many is a crash. Good until the next call
 * with the same slot. */
#define FENCE_SLOTS 4u
struct bytes fence_copy(unsigned slot, struct bytes bytes);

/* The pieces in which a stream comes. how 0: one byte at a time; else at random places, from few cuts to many. */
struct cuts {
    struct random random;
    size_t len, at, step_max;
};
void cuts_init(struct cuts *c, uint8_t how, size_t len);
/* Where the next piece ends; the length of all at last. */
size_t cuts_next(struct cuts *c);

/* Changes some bytes of b in place of libFuzzer, or leaves b as it is when that is not there. */
void mutate_buffer(struct buffer *b);
/* As a custom mutator returns: what of the buffer fits into data. Releases it. */
size_t mutator_finish(struct buffer *b, uint8_t *data, size_t size_max);

/* Everything that a node says it knows, as one number: counters with all shares, vector, members. */
struct node;
uint64_t node_state(struct node *n);

#endif
