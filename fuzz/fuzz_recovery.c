/* SPDX-License-Identifier: Apache-2.0 */
/* A whole directory, whatever is in it: the journal is opened and a real node is brought back from its records. It is
 * refused and the directory stays as it was, or it opens. Then it opens again with the same state, and the node counts
 * on: what it counted is there after the next start.
 *
 * Input: files, each as which name (a byte), length (two bytes), content. The mutator makes the directories of real
 * nodes' lives; it takes files apart into heads and records, changes those, and seals them again, so that no checksum
 * stands in the way. Damage that no checksum covers up is in fuzz_journal.c. */
#include "count/block.h"
#include "fuzz/forge.h"
#include "fuzz/harness.h"
#include "journal/journal.h"
#include "journal/segment.h"
#include "node/internal.h"
#include "sim/disk.h"
#include "test/unit/lone_peer.h"

#define FILES_MAX 12u
#define FILE_BYTES_MAX 60000u

static const char *const file_names[] = {
    "journal-0000000000000001",
    "journal-0000000000000002",
    "journal-0000000000000003",
    "journal-0000000000000004",
    "journal-0000000000000005",
    "journal-0000000000000006",
    "journal-0000000000000007",
    "snapshot-0000000000000001",
    "snapshot-0000000000000002",
    "snapshot-0000000000000003",
    "snapshot-0000000000000004",
    "snapshot-0000000000000005",
    "journal.tmp",
    "snapshot.tmp",
    "spare-a",
    "spare-b",
    "journal-3fffffffffff0000",
    "journal-0000000000000000",
    "journal-000000000000000G",
    "notes.txt",
};
#define NAMES (sizeof file_names / sizeof *file_names)

/* A process: journal and node on a disk. */
struct process {
    struct disk *disk;
    struct journal *journal;
    struct node *node;
    struct stats stats;
    uint64_t now_ms;
    bool rotate_due;
    struct snapshot *snapshot;
};

static enum err recover_fenced(void *node, uint8_t kind, struct bytes record)
{
    return node_recover(node, kind, fence_copy(0, record));
}

static enum err process_open(struct process *p, uint64_t nonce)
{
    const struct node_options options = { .name = LONE_NAME,
                                          .cluster = LONE_CLUSTER,
                                          .heartbeat_ms = 500,
                                          .peer_timeout_ms = 3000,
                                          .backoff_ms_min = 500,
                                          .backoff_ms_max = 30000,
                                          .durability_sync = true,
                                          .shards = 2,
                                          .snapshot_bytes = 1500,
                                          .hash_seed = 1,
                                          .random_seed = 1,
                                          .nonce = nonce,
                                          .replica =
                                              nonce < 70 ? peer_id(1) : (struct id128){ { 0xaa, (uint8_t)nonce } },
                                          .stats = &p->stats };
    struct journal_options journal = { .storage = disk_storage(p->disk), .segment_bytes = 600 };
    struct journal_report report;
    memset(journal.id.bytes, 0x5a, sizeof journal.id.bytes);
    p->journal = NULL;
    REQUIRE(node_new(&options, &p->node) == ERR_OK);
    return journal_open(&journal, recover_fenced, p->node, &p->journal, &report);
}

static void process_close(struct process *p)
{
    snapshot_free(p->snapshot);
    journal_close(p->journal);
    node_free(p->node);
    p->snapshot = NULL;
    p->journal = NULL;
    p->node = NULL;
    disk_kill(p->disk);
}

/* Carries out what concerns the journal; ERR_FULL ends the life. */
static enum err carry_out(struct process *p, struct actions *actions)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < actions->count && err == ERR_OK; i++) {
        const struct action *a = &actions->items[i];
        if (a->kind == ACTION_ROTATE) p->rotate_due = true;
        if (a->kind == ACTION_SNAPSHOT) {
            struct snapshot_options options = { p->journal, p->node->keyspace, p->node->replicas, a->as.append.segment,
                                                RECORD_ENTRIES };
            err = snapshot_begin(&options, &p->snapshot);
        }
        if (a->kind != ACTION_APPEND && a->kind != ACTION_SNAPSHOT) continue;
        for (uint32_t k = 0; k < a->as.append.count && err == ERR_OK; k++) {
            const struct record *r = &a->as.append.records[k];
            struct bytes bytes = bytes_of(r->bytes->ptr + r->skip, r->bytes->len - r->skip);
            bool is_append = a->kind == ACTION_APPEND;
            err = is_append ? journal_append(p->journal, r->kind, bytes) : snapshot_append(p->snapshot, r->kind, bytes);
        }
    }
    actions_release(actions);
    return err;
}

static enum err process_step(struct process *p, struct event event)
{
    struct actions actions = { 0 };
    event.now_ms = p->now_ms;
    event.wall_ms = UINT64_C(1700000000000);
    REQUIRE(node_step(p->node, &event, &actions) == ERR_OK);
    return carry_out(p, &actions);
}

static enum err snapshot_whole(struct process *p)
{
    bool done = false;
    enum err err = ERR_OK;
    while (err == ERR_OK && !done) err = snapshot_step(p->snapshot, 8, &done);
    if (err == ERR_OK) err = journal_sync(p->journal);
    if (err == ERR_OK) err = snapshot_finish(p->snapshot);
    snapshot_free(p->snapshot);
    p->snapshot = NULL;
    return err;
}

/* Everything appended becomes durable, and the node hears of it. */
static enum err process_settle(struct process *p)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && p->node->commits.synced < p->node->commits.appended) {
        err = journal_write(p->journal);
        if (err == ERR_OK) err = journal_sync(p->journal);
        if (err != ERR_OK) return err;
        err = process_step(p, (struct event){ .kind = EVENT_SYNCED, .as.done.append = p->node->commits.appended });
    }
    struct event size = { .kind = EVENT_JOURNAL };
    size.as.journal.bytes = journal_bytes(p->journal);
    size.as.journal.snapshot_bytes = journal_snapshot_bytes(p->journal);
    if (err == ERR_OK) err = process_step(p, size);
    if (err == ERR_OK && p->rotate_due) {
        struct event rotated = { .kind = EVENT_ROTATED };
        p->rotate_due = false;
        err = journal_rotate(p->journal, &rotated.as.rotated.segment);
        if (err == ERR_OK) err = process_step(p, rotated);
    }
    if (err == ERR_OK && p->snapshot) err = snapshot_whole(p);
    return err;
}

static enum err process_start(struct process *p)
{
    struct actions actions = { 0 };
    p->now_ms = 5000;
    enum err err = node_start(p->node, p->now_ms, UINT64_C(1700000000000), &actions);
    if (err != ERR_OK) {
        actions_release(&actions);
        return err;
    }
    err = carry_out(p, &actions);
    return err == ERR_OK ? process_settle(p) : err;
}

static struct seen read_ours(struct process *p)
{
    struct bytes name = bytes_of_text("ours");
    struct seen seen;
    keyspace_get(p->node->keyspace, keyspace_hash(p->node->keyspace, name), name, &seen);
    return seen;
}

static enum err count_ours(struct process *p, int64_t delta)
{
    struct bytes name = bytes_of_text("ours");
    struct seen seen;
    enum err err = keyspace_add(p->node->keyspace, keyspace_hash(p->node->keyspace, name), name, delta, &seen);
    if (err == ERR_OK) err = process_step(p, (struct event){ .kind = EVENT_DIRTY });
    return err == ERR_OK ? process_settle(p) : err;
}

/* The oracle */

/* The readers of files by themselves, on bytes that end at an unmapped page: recovery reads into buffers with room. */
static void check_file(bool is_snapshot, struct bytes content)
{
    struct bytes file = fence_copy(1, content), record;
    struct segment_head head;
    struct segment_block block;
    if (segment_get_head(file, is_snapshot ? SEGMENT_SNAPSHOT_MAGIC : SEGMENT_MAGIC, &head) != ERR_OK) return;
    size_t at = SEGMENT_HEAD_BYTES;
    while (segment_get_block(bytes_of(file.ptr + at, file.len - at), &head.place, at, &block)) {
        if (!segment_get_record(bytes_of(file.ptr + at, file.len - at), &block, &record)) break;
        at += SEGMENT_BLOCK_BYTES + record.len;
        REQUIRE(at <= file.len);
    }
    uint64_t promised = segment_synced(file, SEGMENT_HEAD_BYTES, &head.place);
    REQUIRE(promised == 0 || file.len >= SEGMENT_HEAD_BYTES + SEGMENT_BLOCK_BYTES);
}

static struct disk *disk_from(struct bytes input)
{
    struct disk *disk = disk_new(1, 0);
    struct reader r;
    reader_init(&r, input);
    for (uint32_t i = 0; i < FILES_MAX && reader_left(&r) >= 3; i++) {
        const char *name = file_names[reader_u8(&r) % NAMES];
        size_t len = reader_u16(&r);
        struct bytes content = reader_bytes(&r, len < reader_left(&r) ? len : reader_left(&r));
        check_file(name[0] == 's', content);
        disk_put(disk, name, content);
    }
    return disk;
}

/* It opened once: it opens again and is the same, goes on, and keeps what it counted. */
static void check_opened(struct process *p)
{
    uint64_t state = node_state(p->node);
    process_close(p);
    REQUIRE(process_open(p, 77) == ERR_OK);
    REQUIRE(node_state(p->node) == state);
    enum err err = process_start(p);
    if (err == ERR_OK) {
        struct seen before = read_ours(p);
        err = count_ours(p, 1);
        REQUIRE(err == ERR_OK || (err == ERR_RANGE && before.value == INT64_MAX));
        int64_t counted = read_ours(p).value;
        process_close(p);
        REQUIRE(process_open(p, 78) == ERR_OK);
        REQUIRE(read_ours(p).value == counted);
    } else {
        REQUIRE(err == ERR_CORRUPT); /* records that this program does not write */
    }
    process_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct process p = { .disk = disk_from(bytes_of(data, size)) };
    uint64_t digest = disk_digest(p.disk);
    enum err err = process_open(&p, 76);
    if (err == ERR_OK) {
        check_opened(&p);
    } else {
        REQUIRE(err == ERR_CORRUPT || err == ERR_NEWER || err == ERR_INVALID);
        REQUIRE(disk_digest(p.disk) == digest);
        process_close(&p);
    }
    disk_free(p.disk);
    return 0;
}

/* The mutator */

static void put_file(struct buffer *out, uint8_t which, struct bytes content)
{
    if (content.len > FILE_BYTES_MAX) content.len = FILE_BYTES_MAX;
    buffer_u8(out, which);
    buffer_u16(out, (uint16_t)content.len);
    buffer_bytes(out, content);
}

static void put_directory(struct buffer *out, const struct disk *disk)
{
    for (size_t i = 0; i < NAMES; i++) {
        if (disk_has(disk, file_names[i])) put_file(out, (uint8_t)i, disk_content(disk, file_names[i]));
    }
}

/* A peer's bytes come in, on the one link there is. */
static enum err hear(struct process *p, enum frame_kind kind, const struct buffer *body)
{
    struct shared *frame = frame_new(kind, buffer_view(body));
    REQUIRE(frame);
    struct event event = { .kind = EVENT_LINK_BYTES, .as.link.link = 2 };
    event.as.link.bytes = bytes_of(frame->ptr, frame->len);
    enum err err = process_step(p, event);
    shared_drop(frame);
    return err;
}

/* From a start to a kill: some counting, and some blocks from a peer. */
static enum err live_once(struct random *random, struct process *p, uint64_t nonce)
{
    struct buffer body = { 0 };
    const struct hello hello = peer_hello("p2:1", 2);
    REQUIRE(process_open(p, nonce) == ERR_OK);
    enum err err = process_start(p);
    struct event up = { .kind = EVENT_LINK_UP, .as.link = { .link = 2, .address = "x" } };
    if (err == ERR_OK) err = process_step(p, up);
    hello_write(&body, &hello);
    if (err == ERR_OK) err = hear(p, FRAME_HELLO, &body);
    for (uint64_t left = random_below(random, 24); left > 0 && err == ERR_OK; left--) {
        buffer_clear(&body);
        forge_block(random, false, &body);
        if (random_below(random, 3) == 0) err = hear(p, FRAME_BLOCK, &body);
        if (err == ERR_OK) err = count_ours(p, 1);
    }
    buffer_release(&body);
    process_close(p);
    return err;
}

/* The directory that a node leaves behind after some lives. */
static void live(struct random *random, struct buffer *out)
{
    struct process p = { .disk = disk_new(random_u64(random), 0) };
    enum err err = ERR_OK;
    for (uint64_t lives = 1 + random_below(random, 3); lives > 0 && err == ERR_OK; lives--)
        err = live_once(random, &p, lives);
    put_directory(out, p.disk);
    disk_free(p.disk);
}

static void vary_head(struct random *random, struct segment_head *head)
{
    uint64_t small = random_below(random, 12);
    /* Just too large, or so far below that nobody comes to the end. */
    if (random_below(random, 32) == 0) small = SEGMENT_FOUND_MAX + 1 - 4096 * random_below(random, 2);
    switch (random_below(random, 12)) {
    case 0:
        head->first_block = small;
        break;
    case 1:
        head->replaces = small;
        break;
    case 2:
        head->synced = small;
        break;
    case 3:
        head->place.number = small;
        break;
    case 4:
        if (small < 2) memset(head->place.id.bytes, small == 0 ? 0 : 0x77, sizeof head->place.id.bytes);
        break;
    default:
        break;
    }
}

/* One record as it was, or changed, or another, or none. */
static void vary_record(struct random *random, uint8_t kind, struct bytes record, struct buffer *blocks)
{
    struct buffer content = { 0 };
    uint64_t dice = random_below(random, 24);
    buffer_bytes(&content, record);
    if (dice == 0) kind = (uint8_t)random_below(random, 9);
    if (dice == 1) kind = (uint8_t)random_u64(random);
    if (dice == 2 || dice == 3) mutate_buffer(&content);
    if (dice == 7) {
        static const uint8_t kinds[] = { RECORD_TRAILS, RECORD_PLEDGES, RECORD_SPLIT };
        REQUIRE(segment_append(blocks, kind, buffer_view(&content)) == ERR_OK);
        kind = kinds[random_below(random, 3)];
        buffer_clear(&content);
        forge_history(random, kind, &content);
    }
    if (dice == 4) buffer_clear(&content);
    if (dice == 4) forge_block(random, kind == RECORD_ENTRIES, &content);
    if (dice != 5) REQUIRE(segment_append(blocks, kind, buffer_view(&content)) == ERR_OK);
    if (dice == 6) REQUIRE(segment_append(blocks, kind, buffer_view(&content)) == ERR_OK);
    buffer_release(&content);
}

/* Takes a file apart, changes some of it, and seals it again. False if there was nothing sound in it. */
static bool vary_file(struct random *random, bool is_snapshot, struct bytes file, struct buffer *out)
{
    struct segment_head head;
    if (segment_get_head(file, is_snapshot ? SEGMENT_SNAPSHOT_MAGIC : SEGMENT_MAGIC, &head) != ERR_OK) return false;
    const struct place place = head.place;
    struct buffer blocks = { 0 };
    struct segment_block block;
    struct bytes record;
    uint64_t first = 0, synced = 0;
    size_t at = SEGMENT_HEAD_BYTES;
    while (segment_get_block(bytes_of(file.ptr + at, file.len - at), &place, at, &block)) {
        if (!segment_get_record(bytes_of(file.ptr + at, file.len - at), &block, &record)) break;
        if (first == 0) first = block.number;
        synced = block.synced;
        vary_record(random, block.kind, record, &blocks);
        at += SEGMENT_BLOCK_BYTES + record.len;
    }
    vary_head(random, &head);
    if (random_below(random, 16) == 0) first = random_below(random, 12);
    if (random_below(random, 16) == 0) synced = random_below(random, 12);
    uint8_t *into = buffer_reserve(out, SEGMENT_HEAD_BYTES);
    REQUIRE(into);
    segment_put_head(into, &head);
    out->len += SEGMENT_HEAD_BYTES;
    segment_seal(blocks.ptr, blocks.len, &head.place, SEGMENT_HEAD_BYTES, first, synced);
    buffer_bytes(out, buffer_view(&blocks));
    for (uint64_t zeros = is_snapshot ? 0 : random_below(random, 80); zeros > 0; zeros--) buffer_u8(out, 0);
    buffer_release(&blocks);
    return true;
}

static void vary_directory(struct random *random, struct bytes input, struct buffer *out)
{
    struct reader r;
    reader_init(&r, input);
    for (uint32_t i = 0; i < FILES_MAX && reader_left(&r) >= 3; i++) {
        uint8_t which = reader_u8(&r) % NAMES;
        size_t len = reader_u16(&r);
        struct bytes content = reader_bytes(&r, len < reader_left(&r) ? len : reader_left(&r));
        struct buffer changed = { 0 };
        uint64_t dice = random_below(random, 12);
        if (dice > 5 || !vary_file(random, file_names[which][0] == 's', content, &changed))
            buffer_bytes(&changed, content);
        if (dice == 6) mutate_buffer(&changed);
        if (dice == 7) which = (uint8_t)random_below(random, NAMES);
        if (dice == 8) changed.len = (size_t)random_below(random, changed.len + 1);
        if (dice != 9) put_file(out, which, buffer_view(&changed));
        if (dice == 10) put_file(out, (uint8_t)((which + 1u) % NAMES), buffer_view(&changed));
        buffer_release(&changed);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct random random;
    struct buffer out = { 0 };
    random_init(&random, seed);
    uint64_t dice = random_below(&random, 16);
    if (dice == 0) return LLVMFuzzerMutate(data, size, size_max);
    if (dice == 1 || size < 8)
        live(&random, &out);
    else
        vary_directory(&random, bytes_of(data, size), &out);
    return mutator_finish(&out, data, size_max);
}
