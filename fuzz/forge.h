/* SPDX-License-Identifier: Apache-2.0 */
/* forge: messages and entries that a reader takes for real, drawn at random and written by the core's own encoders. All
 * that fuzzing knows of the formats is here. Ids, names, seqs and members come from small sets, so that what is forged
 * has to do with what was forged before. */
#ifndef QUIPU_FUZZ_FORGE_H
#define QUIPU_FUZZ_FORGE_H

#include "base/random.h"
#include "cluster/frame.h"
#include "count/entry.h"

#define FORGE_IDS 6u /* peer_id(1) and so on: the first is the node's own in most targets */

struct id128 forge_id(struct random *r);
/* Never empty; views into static or given memory. */
struct bytes forge_name(struct random *r, char into[16]);
uint64_t forge_seq(struct random *r);
int128 forge_net(struct random *r);
/* Extras as an owner's resets, assignments and deadlines leave them, and sometimes nonsense that has a sound form.
 * Replicas are named by indices from 1 to `replicas`, not by `owner`. NULL is an answer. */
struct extras *forge_extras(struct random *r, uint64_t seq, uint32_t owner, uint32_t replicas);
/* A whole block of up to eight entries, some with older versions; is_snapshot: else a delta. */
void forge_block(struct random *r, bool is_snapshot, struct buffer *out);
/* A record about the histories of replicas: TRAILS, PLEDGES or SPLIT. */
void forge_history(struct random *r, uint8_t kind, struct buffer *out);
/* The body of a frame of this kind. */
void forge_body(struct random *r, enum frame_kind kind, struct buffer *out);

#endif
