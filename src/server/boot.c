/* SPDX-License-Identifier: Apache-2.0 */
#include "server/boot.h"

#include "server/entropy.h"
#include "server/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <uv.h>

#define SHARDS_PER_WORKER 64
#define SHARDS_MAX 4096

static const char *cause_of(const struct boot *b, enum err err)
{
    int number = b->files ? files_last_error(b->files) : 0;
    return err == ERR_IO && number != 0 ? uv_strerror(-number) : err_text(err);
}

static enum err open_directory(const struct settings *s, struct boot *b, char ret_error[BOOT_ERROR_BYTES])
{
    if (s->data_dir_none) {
        b->storage = nowhere_storage();
        return ERR_OK;
    }
    errno = 0;
    enum err err = files_open(s->data_dir, &b->files);
    if (err == ERR_OK) {
        b->storage = files_storage(b->files);
        return ERR_OK;
    }
    const char *cause = errno != 0 ? uv_strerror(-errno) : err_text(err);
    if (err == ERR_LOCKED) cause = err_text(err);
    if (err == ERR_INVALID) cause = "not a directory";
    (void)snprintf(ret_error, BOOT_ERROR_BYTES, "data directory %s: %s", s->data_dir, cause);
    return err;
}

/* Enough that workers seldom meet in one. */
static uint32_t shards_for(uint32_t workers)
{
    uint32_t shards = SHARDS_PER_WORKER;
    while (shards < SHARDS_MAX && shards < workers * SHARDS_PER_WORKER) shards *= 2;
    return shards;
}

static enum err make_node(const struct settings *s, struct stats *stats, struct boot *b)
{
    b->nonce = entropy_u64();
    struct node_options options = {
        .name = s->node.text,
        .cluster = s->cluster,
        .seeds = (const char *const *)s->peers,
        .seeds_count = s->peers_count,
        .heartbeat_ms = s->heartbeat_ms,
        .peer_timeout_ms = s->peer_timeout_ms,
        .backoff_ms_min = s->backoff_ms_min,
        .backoff_ms_max = s->backoff_ms_max,
        .durability_sync = s->durability_sync,
        .shards = shards_for(s->workers),
        .hash_seed = entropy_u64(),
        .random_seed = entropy_u64(),
        .nonce = b->nonce,
        .replica = entropy_id(),
        .stats = stats,
    };
    return node_new(&options, &b->node);
}

static void describe_failure(const struct settings *s, const struct boot *b, const struct journal_report *report,
                             enum err err, char ret_error[BOOT_ERROR_BYTES])
{
    char place[STORAGE_NAME_MAX + 40] = "";
    if (report->file[0]) (void)snprintf(place, sizeof place, ": %s at byte %" PRIu64, report->file, report->offset);
    const char *what = cause_of(b, err);
    if (err == ERR_CORRUPT) what = "not what this program wrote there";
    if (err == ERR_NEWER) what = "written by a newer version of quipu";
    if (err == ERR_INVALID) what = "it belongs to another cluster";
    (void)snprintf(ret_error, BOOT_ERROR_BYTES, "data directory %s%s: %s; nothing was changed", s->data_dir, place,
                   what);
}

static void log_holes(const struct settings *s, const struct journal_report *report)
{
    for (uint64_t i = 0; i < report->holes && i < JOURNAL_HOLES_MAX; i++) {
        const struct journal_hole *hole = &report->hole[i];
        char what[64] = "what should follow is gone";
        if (hole->bytes > 0) (void)snprintf(what, sizeof what, "%" PRIu64 " bytes cannot be read", hole->bytes);
        log_line(LOG_ERROR, "%s: damaged: %s at byte %" PRIu64 ": %s; the file is kept", s->data_dir, hole->file,
                 hole->offset, what);
    }
    if (report->holes > JOURNAL_HOLES_MAX)
        log_line(LOG_ERROR, "%s: damaged: %" PRIu64 " more places", s->data_dir, report->holes - JOURNAL_HOLES_MAX);
}

static enum err recover(const struct settings *s, struct boot *b, char ret_error[BOOT_ERROR_BYTES])
{
    uint64_t began_ns = uv_hrtime();
    struct journal_options options = { .storage = b->storage, .id = entropy_id() };
    struct journal_report report = { 0 };
    enum err err = journal_open(&options, node_recover, b->node, &b->journal, &report);
    if (err != ERR_OK) {
        describe_failure(s, b, &report, err, ret_error);
        return err;
    }
    if (s->data_dir_none) return ERR_OK;
    log_holes(s, &report);
    if (report.torn_bytes > 0)
        log_line(LOG_WARN, "%s: %" PRIu64 " bytes of an unfinished write were cut", s->data_dir, report.torn_bytes);
    log_line(LOG_INFO, "%s: %s, %" PRIu64 " records of %" PRIu64 " bytes in %" PRIu64 " ms", s->data_dir,
             report.fresh ? "new" : "recovered", report.records, report.bytes, (uv_hrtime() - began_ns) / 1000000);
    return ERR_OK;
}

enum err boot_open(const struct settings *settings, struct stats *stats, struct boot *ret_boot,
                   char ret_error[BOOT_ERROR_BYTES])
{
    struct boot b = { 0 };
    enum err err = open_directory(settings, &b, ret_error);
    if (err != ERR_OK) return err;
    err = make_node(settings, stats, &b);
    if (err != ERR_OK) {
        (void)snprintf(ret_error, BOOT_ERROR_BYTES, "cannot start: %s", err_text(err));
    } else {
        err = recover(settings, &b, ret_error);
    }
    if (err != ERR_OK) {
        boot_release(&b);
        return err;
    }
    *ret_boot = b;
    return ERR_OK;
}

void boot_release(struct boot *b)
{
    journal_close(b->journal);
    node_free(b->node);
    files_close(b->files);
    *b = (struct boot){ 0 };
}
