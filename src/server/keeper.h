/* SPDX-License-Identifier: Apache-2.0 */
/* keeper: the journal thread. It owns the journal and the snapshot under way; the replica thread gives it jobs, in
 * order, and hears of progress; the gate lets replies out as soon as it may, before anybody else is told.
 *
 *   jobs: append, append, rotate, snapshot ...  ->  [ write -> sync ]  ->  gate, progress
 *
 *  (1) All appends that wait are written with one journal_write.
 *  (2) `sync`: each write is synced at once, and only then raises the gate. `async`: the write raises the gate; the
 *      sync runs in libuv's pool beside later writes, at once if none began in the last 10 ms, else when they are over.
 *  (3) A full disk stops nothing but the write: what is appended is kept and tried again every 500 ms.
 *  (4) A failed write or sync ends the process on the spot, with nothing more answered by anybody. */
#ifndef QUIPU_SERVER_KEEPER_H
#define QUIPU_SERVER_KEEPER_H

#include "base/stats.h"
#include "node/journal.h"
#include "node/node.h"
#include "server/gate.h"

struct files;
struct keeper;

/* How far the journal is. Numbers are of appends. */
struct keeper_progress {
    uint64_t written, synced;
    bool is_full;
    uint64_t bytes, snapshot_bytes;
    bool has_rotated; /* since the last call; at `segment` */
    uint64_t segment;
    bool has_snapshot_ended; /* since the last call; with `snapshot_result` */
    enum err snapshot_result;
};

struct keeper_options {
    struct journal *journal; /* the keeper's until keeper_free */
    struct storage storage;  /* where it is */
    /* For the log when something fails; NULL without a directory. */
    const struct files *files;
    const char *directory;
    struct keyspace *keyspace;
    const struct replicas *replicas;
    bool durability_sync;
    struct gate *gate;
    /* On the journal thread. */
    void (*progress)(void *context, const struct keeper_progress *progress);
    void *context;
};

MUST_USE enum err keeper_new(const struct keeper_options *options, struct keeper **ret_keeper);
MUST_USE enum err keeper_start(struct keeper *k);
/* After keeper_quit, or when it was never started. NULL is fine. */
void keeper_free(struct keeper *k);

/* Any thread, in practice the replica thread. ACTION_APPEND, _ROTATE or _SNAPSHOT; takes the records out of the action.
 * ERR_NOMEM: they are still there. */
MUST_USE enum err keeper_give(struct keeper *k, struct action *action);
/* Does the jobs it has, gives up a snapshot, syncs, and ends the thread. Waits for it. False: not all is durable. */
MUST_USE bool keeper_quit(struct keeper *k);

const struct stats *keeper_stats(const struct keeper *k);
/* Any thread: how long a sync takes at most, in 99 of 100 cases since the start. */
uint64_t keeper_sync_p99_us(const struct keeper *k);
/* Any thread: sizes of the journal. */
void keeper_sizes(const struct keeper *k, uint64_t *ret_bytes, uint64_t *ret_snapshot_bytes);

#endif
