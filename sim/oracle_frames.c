/* SPDX-License-Identifier: Apache-2.0 */
/* What a node says to others: every frame is read as it is handed to the network. */
#include "sim/world.h"

#include "cluster/frame.h"
#include "cluster/message.h"
#include "count/block.h"

static void check_block(struct sim *s, uint32_t node, struct bytes body)
{
    struct block_reader reader;
    struct line_entry entry;
    uint32_t line;
    uint64_t seq;
    if (!oracle_block_begin(s, node, &reader, body, &line))
        oracle_fail(s, node, "SENT_DURABLE", "a block that claims nothing was sent");
    struct ledger *l = &sim_machine(s, node)->ledger;
    ledger_fit_line(l, line);
    if (reader.head.to > l->claimed[line])
        oracle_fail(s, node, "DIGEST_TRUE", "a block of line %u goes to %llu, known is %llu", line,
                    (unsigned long long)reader.head.to, (unsigned long long)l->claimed[line]);
    sim_moment(s, node, "sends block from, to", reader.head.from, reader.head.to);
    oracle_nonce_is_true(s, node, line, reader.head.nonce, reader.head.to);
    while (oracle_block_next(s, node, &reader, &seq, &entry)) oracle_entry_is_true(s, node, line, seq, &entry);
}

static void check_digest(struct sim *s, uint32_t node, struct bytes body)
{
    struct ledger *l = &sim_machine(s, node)->ledger;
    struct reader items;
    struct digest_item item;
    bool whole;
    if (digest_read(body, &whole, &items) != ERR_OK) oracle_fail(s, node, "DIGEST_TRUE", "a damaged digest was sent");
    while (digest_next(&items, &item)) {
        uint32_t line = registry_line(&s->registry, &item.replica);
        ledger_fit_line(l, line);
        s->tally->checks[CHECK_DIGEST_TRUE]++;
        if (item.known > l->claimed[line] || item.durable > l->durable[line] || item.durable > item.known)
            oracle_fail(s, node, "DIGEST_TRUE",
                        "line %u is told as known to %llu, durable to %llu; it is %llu and %llu", line,
                        (unsigned long long)item.known, (unsigned long long)item.durable,
                        (unsigned long long)l->claimed[line], (unsigned long long)l->durable[line]);
        oracle_nonce_is_true(s, node, line, item.nonce, item.known);
    }
}

static const char *frame_name(enum frame_kind kind)
{
#define X(name, number) [FRAME_##name] = "sends " #name,
    static const char *const names[] = { FRAME_KIND_LIST(X) };
#undef X
    return names[kind];
}

void oracle_frame(struct sim *s, uint32_t node, struct bytes bytes)
{
    if (s->options.unchecked) return;
    struct frame frame;
    size_t len;
    if (frame_read(bytes, &frame, &len) != ERR_OK || len != bytes.len)
        oracle_fail(s, node, "SENT_DURABLE", "what was sent is not a frame");
    if (frame.kind != FRAME_BLOCK) sim_moment(s, node, frame_name(frame.kind), frame.body.len, 0);
    if (frame.kind == FRAME_BLOCK) check_block(s, node, frame.body);
    if (frame.kind == FRAME_DIGEST) check_digest(s, node, frame.body);
}
