/* SPDX-License-Identifier: Apache-2.0 */
/* stats: counts of what happened, one set per thread so that counting costs no shared cache line; a reader adds the
 * sets up. Each set is written by its own thread only. */
#ifndef QUIPU_BASE_STATS_H
#define QUIPU_BASE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* name, and the help text of the metric quipu_<name>_total */
#define STATS_LIST(X)                                                                                                  \
    X(connections, "Connections accepted.")                                                                            \
    X(connections_refused, "Connections closed at once because there were too many.")                                  \
    X(resp_commands, "Redis protocol commands executed.")                                                              \
    X(resp_errors, "Redis protocol commands answered with an error.")                                                  \
    X(http_requests, "HTTP requests answered.")                                                                        \
    X(http_errors, "HTTP requests answered with a status of 400 or more.")                                             \
    X(protocol_errors, "Connections closed because of broken framing.")                                                \
    X(increments, "Increments accepted from clients.")                                                                 \
    X(reads, "Counter values read by clients.")                                                                        \
    X(bytes_in, "Bytes received from clients.")                                                                        \
    X(bytes_out, "Bytes sent to clients.")                                                                             \
    X(commits, "Commits written to the journal.")                                                                      \
    X(commit_entries, "Own entries in those commits.")                                                                 \
    X(journal_bytes, "Bytes written to the journal.")                                                                  \
    X(journal_syncs, "Times the journal was synced to disk.")                                                          \
    X(journal_holes, "Damaged places found in the journal at the start.")                                              \
    X(snapshots, "Snapshots finished.")                                                                                \
    X(peer_bytes_in, "Bytes received from peers.")                                                                     \
    X(peer_bytes_out, "Bytes sent to peers.")                                                                          \
    X(peer_entries_in, "Entries taken in from peers.")                                                                 \
    X(peer_connects, "Connection attempts to peers.")                                                                  \
    X(peer_frames_bad, "Frames from peers that were refused.")

enum stats_item {
#define X(name, help) STAT_##name,
    STATS_LIST(X)
#undef X
        STAT_COUNT
};

struct stats {
    _Alignas(64) atomic_uint_fast64_t values[STAT_COUNT];
};

static inline void stats_add(struct stats *s, enum stats_item stat, uint64_t count)
{
    uint64_t before = atomic_load_explicit(&s->values[stat], memory_order_relaxed);
    atomic_store_explicit(&s->values[stat], before + count, memory_order_relaxed);
}

static inline uint64_t stats_get(const struct stats *s, enum stats_item stat)
{
    return atomic_load_explicit(&s->values[stat], memory_order_relaxed);
}

#endif
