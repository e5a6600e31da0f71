/* SPDX-License-Identifier: Apache-2.0 */
/* A node in a world where anything that may happen happens at any time: workers count, the journal is slow, full or
 * torn by a crash, links come and go, peers say sound and unsound things, the process is started again from what its
 * journal holds. The node's own REQUIREs are one oracle; from outside it is checked after every event that
 *  - reads show exactly what was counted here, and after a crash exactly what the journal kept of it;
 *  - what is known of a replica never becomes less, but by a split, and nothing is claimed as durable that is not
 * known;
 *  - what is sent are sound frames, and own entries only when they are durable;
 *  - appends are numbered without a gap.
 * The input is the program: a byte says what happens, the bytes after it with what. */
#include "count/block.h"
#include "fuzz/forge.h"
#include "fuzz/harness.h"
#include "node/internal.h"
#include "test/unit/lone_peer.h"

#include <stdio.h>
#include <stdlib.h>

#define NAMES 3u
#define LINKS_MAX 12u
#define REPLICAS_CHECKED 64u
#define STEPS_MAX 300

struct link {
    link_id id; /* 0: free */
    bool dialled, up, closing;
    uint64_t outstanding;
};

struct logged {
    uint64_t append;
    uint8_t kind;
    struct shared *bytes;
    size_t skip;
};

struct add {
    uint32_t name;
    int64_t delta;
    uint64_t commit;
};

struct world {
    struct reader in;
    struct node *node;
    struct stats stats;
    uint64_t now_ms, boots, known[REPLICAS_CHECKED];
    struct link links[LINKS_MAX];
    link_id link_last;
    struct logged *log;
    size_t log_count, log_cap;
    uint64_t appended, written, synced; /* of this boot */
    bool rotate_due, snapshot_due, stopped;
    uint64_t orders, answered; /* of this boot */
    struct add *adds;          /* of this boot */
    size_t adds_count, adds_cap;
    int64_t base[NAMES]; /* from before it */
};

/* What the node asked for */

static struct link *link_at(struct world *w, link_id id)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        if (w->links[i].id == id) return &w->links[i];
    }
    return NULL;
}

static void take_append(struct world *w, const struct action *a)
{
    REQUIRE(a->as.append.number == w->appended + 1);
    w->appended++;
    for (uint32_t i = 0; i < a->as.append.count; i++) {
        if (w->log_count == w->log_cap) {
            w->log_cap = w->log_cap ? 2 * w->log_cap : 64;
            w->log = realloc(w->log, w->log_cap * sizeof *w->log);
            REQUIRE(w->log);
        }
        const struct record *r = &a->as.append.records[i];
        w->log[w->log_count++] = (struct logged){ w->appended, r->kind, shared_hold(r->bytes), r->skip };
    }
}

static void check_sent(const struct world *w, const struct shared *bytes)
{
    struct frame frame;
    struct block_reader r;
    size_t len;
    REQUIRE(frame_read(bytes_of(bytes->ptr, bytes->len), &frame, &len) == ERR_OK);
    REQUIRE(len == bytes->len);
    if (frame.kind != FRAME_BLOCK) return;
    REQUIRE(block_check(frame.body) == ERR_OK);
    REQUIRE(block_open(&r, frame.body) == ERR_OK);
    uint32_t replica = replicas_find(w->node->replicas, &r.head.replica);
    REQUIRE(replica != REPLICA_NONE);
    const struct known *known = replicas_known(w->node->replicas, replica);
    REQUIRE(r.head.to <= (replica == w->node->own ? known->durable : known->known));
}

static void take_action(struct world *w, const struct action *a)
{
    bool names_link = a->kind == ACTION_SEND || a->kind == ACTION_CLOSE;
    struct link *l = names_link ? link_at(w, a->as.link.link) : NULL;
    REQUIRE(!names_link || (l && !l->closing));
    switch (a->kind) {
    case ACTION_APPEND:
        take_append(w, a);
        break;
    case ACTION_ROTATE:
        REQUIRE(!w->rotate_due);
        w->rotate_due = true;
        break;
    case ACTION_SNAPSHOT:
        REQUIRE(!w->snapshot_due);
        w->snapshot_due = true;
        break;
    case ACTION_CONNECT:
        l = link_at(w, 0);
        REQUIRE(l); /* more are never let in than there are places for those that are dialled */
        *l = (struct link){ .id = a->as.link.link, .dialled = true };
        break;
    case ACTION_SEND:
        check_sent(w, a->as.link.bytes);
        l->outstanding += a->as.link.bytes->len;
        break;
    case ACTION_CLOSE:
        l->closing = true;
        break;
    case ACTION_NOTICE: /* a split alone lowers what is known */
        if (a->as.notice.kind == NOTICE_ROLLBACK || a->as.notice.kind == NOTICE_SPLIT)
            memset(w->known, 0, sizeof w->known);
        break;
    case ACTION_ORDERED:
        REQUIRE(a->as.ordered.ticket <= w->orders && w->orders > 0);
        REQUIRE(++w->answered <= w->orders); /* each once */
        break;
    case ACTION_STOPPED:
        w->stopped = true;
        break;
    }
}

static int64_t expected(const struct world *w, uint32_t name)
{
    int64_t value = w->base[name];
    for (size_t i = 0; i < w->adds_count; i++) value += w->adds[i].name == name ? w->adds[i].delta : 0;
    return value;
}

static struct bytes name_at(uint32_t name)
{
    static const char *const names[NAMES] = { "ours", "ours too", "ours, and longer than what fits into a cell" };
    return bytes_of_text(names[name]);
}

static void check_node(struct world *w)
{
    struct keyspace *k = node_keyspace(w->node);
    for (uint32_t i = 0; i < NAMES; i++) {
        struct seen seen;
        keyspace_get(k, keyspace_hash(k, name_at(i)), name_at(i), &seen);
        REQUIRE(seen.value == expected(w, i));
    }
    for (uint32_t i = 1; i < replicas_count(w->node->replicas) && i < REPLICAS_CHECKED; i++) {
        const struct known *known = replicas_known(w->node->replicas, i);
        REQUIRE(known->durable <= known->known);
        REQUIRE(known->known >= w->known[i]);
        w->known[i] = known->known;
    }
    REQUIRE(node_wake_at_ms(w->node) >= w->now_ms);
}

static void finish(struct world *w, struct actions *actions)
{
    for (uint32_t i = 0; i < actions->count; i++) take_action(w, &actions->items[i]);
    actions_release(actions);
    check_node(w);
}

static void step(struct world *w, struct event event)
{
    struct actions actions = { 0 };
    event.now_ms = w->now_ms;
    event.now_us = w->now_ms * 1000;
    event.wall_ms = UINT64_C(1700000000000) + w->now_ms;
    REQUIRE(node_step(w->node, &event, &actions) == ERR_OK);
    finish(w, &actions);
}

/* The process */

static void process_start(struct world *w)
{
    const struct node_options options = { .name = LONE_NAME,
                                          .cluster = LONE_CLUSTER,
                                          .seeds = (const char *const[]){ "p2:1" },
                                          .seeds_count = reader_u8(&w->in) & 1,
                                          .heartbeat_ms = 500,
                                          .peer_timeout_ms = 3000,
                                          .backoff_ms_min = 500,
                                          .backoff_ms_max = 30000,
                                          .durability_sync = reader_u8(&w->in) & 1,
                                          .shards = 2,
                                          .snapshot_bytes = 4096,
                                          .hash_seed = w->boots,
                                          .random_seed = reader_u8(&w->in),
                                          .nonce = 0x1001 + w->boots++,
                                          .replica = peer_id(1),
                                          .stats = &w->stats };
    struct actions actions = { 0 };
    REQUIRE(node_new(&options, &w->node) == ERR_OK);
    for (size_t i = 0; i < w->log_count; i++) {
        const struct logged *l = &w->log[i];
        struct bytes record = bytes_of(l->bytes->ptr + l->skip, l->bytes->len - l->skip);
        REQUIRE(node_recover(w->node, l->kind, record) == ERR_OK);
    }
    REQUIRE(node_start(w->node, w->now_ms, UINT64_C(1700000000000), &actions) == ERR_OK);
    finish(w, &actions);
}

static void process_end(struct world *w)
{
    node_free(w->node);
    w->node = NULL;
    w->appended = w->written = w->synced = 0;
    w->rotate_due = w->snapshot_due = w->stopped = false;
    w->orders = w->answered = 0;
    memset(w->links, 0, sizeof w->links);
    memset(w->known, 0, sizeof w->known);
    w->link_last = 0;
}

/* Of this boot's appends what was synced stays, and of the others as many records as the tail was not torn. */
static void log_tear(struct world *w, size_t more)
{
    size_t kept = w->log_count;
    while (kept > 0 && w->log[kept - 1].append > w->synced) kept--;
    kept = w->log_count - kept < more ? w->log_count : kept + more;
    for (size_t i = kept; i < w->log_count; i++) shared_drop(w->log[i].bytes);
    w->log_count = kept;
}

static bool log_holds(const struct world *w, uint64_t append)
{
    for (size_t i = w->log_count; i > 0 && w->log[i - 1].append > 0; i--) {
        if (w->log[i - 1].append == append && w->log[i - 1].kind == RECORD_OWN) return true;
    }
    return false;
}

static void crash(struct world *w)
{
    log_tear(w, reader_u8(&w->in) % 4u);
    for (size_t i = 0; i < w->adds_count; i++) {
        if (log_holds(w, w->adds[i].commit)) w->base[w->adds[i].name] += w->adds[i].delta;
    }
    w->adds_count = 0;
    for (size_t i = 0; i < w->log_count; i++) w->log[i].append = 0; /* of a boot before */
    process_end(w);
    process_start(w);
}

/* Events */

static void count_up(struct world *w)
{
    struct keyspace *k = node_keyspace(w->node);
    uint8_t dice = reader_u8(&w->in);
    uint32_t name = dice % NAMES;
    int64_t delta = (int64_t)(dice / NAMES) - 20;
    struct seen seen;
    enum err err = keyspace_add(k, keyspace_hash(k, name_at(name)), name_at(name), delta, &seen);
    REQUIRE(err == ERR_OK || err == ERR_FULL || err == ERR_FENCED || err == ERR_CLOSED);
    if (err == ERR_OK) {
        if (w->adds_count == w->adds_cap) {
            w->adds_cap = w->adds_cap ? 2 * w->adds_cap : 64;
            w->adds = realloc(w->adds, w->adds_cap * sizeof *w->adds);
            REQUIRE(w->adds);
        }
        w->adds[w->adds_count++] = (struct add){ name, delta, seen.commit };
        REQUIRE(seen.value == expected(w, name));
    }
    if (dice & 1) step(w, (struct event){ .kind = EVENT_DIRTY });
}

static void journal_moves(struct world *w, uint8_t dice)
{
    uint64_t more = 1 + dice % 3u;
    struct event event = { .kind = dice & 64 ? EVENT_SYNCED : EVENT_WRITTEN };
    uint64_t *done = dice & 64 ? &w->synced : &w->written;
    if (*done == w->appended) return;
    *done = w->appended - *done < more ? w->appended : *done + more;
    if (w->written < w->synced) w->written = w->synced;
    event.as.done.append = *done;
    step(w, event);
}

static void journal_says(struct world *w)
{
    uint8_t dice = reader_u8(&w->in);
    struct event event = { .kind = EVENT_JOURNAL };
    event.as.journal.full = dice < 32;
    event.as.journal.bytes = (uint64_t)dice * 100;
    event.as.journal.snapshot_bytes = (uint64_t)(dice % 8) * 500;
    step(w, event);
}

static void journal_answers(struct world *w)
{
    if (w->rotate_due) {
        w->rotate_due = false;
        step(w, (struct event){ .kind = EVENT_ROTATED, .as.rotated.segment = 2 });
    } else if (w->snapshot_due) {
        static const enum err results[] = { ERR_OK, ERR_OK, ERR_FULL, ERR_IO };
        w->snapshot_due = false;
        step(w, (struct event){ .kind = EVENT_SNAPSHOT, .as.snapshot.result = results[reader_u8(&w->in) % 4] });
    }
}

/* One of the links that are there; NULL if there is none. */
static struct link *any_link(struct world *w)
{
    uint8_t start = reader_u8(&w->in);
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *l = &w->links[(start + i) % LINKS_MAX];
        if (l->id != 0) return l;
    }
    return NULL;
}

static void link_comes(struct world *w)
{
    struct link *l = any_link(w);
    if (l && l->dialled && !l->up && !l->closing) {
        l->up = true;
        step(w, (struct event){ .kind = EVENT_LINK_UP, .as.link.link = l->id });
        return;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < LINKS_MAX; i++) used += w->links[i].id != 0;
    if (used > 3 || !(l = link_at(w, 0))) return; /* contacts are at most eight, and each has one link at a time */
    *l = (struct link){ .id = w->link_last += 2, .up = true };
    step(w, (struct event){ .kind = EVENT_LINK_UP, .as.link = { .link = l->id, .address = "10.0.0.1:999" } });
}

static void say(struct world *w, struct link *l, struct bytes bytes)
{
    if (l->closing || !l->up) return;
    step(w, (struct event){ .kind = EVENT_LINK_BYTES, .as.link = { .link = l->id, .bytes = fence_copy(0, bytes) } });
}

static void say_body(struct world *w, struct link *l, enum frame_kind kind, struct bytes body)
{
    struct shared *frame = frame_new(kind, body);
    REQUIRE(frame);
    uint8_t dice = reader_u8(&w->in);
    size_t cut = dice < 200 ? frame->len : dice % frame->len; /* the rest may come, or something else */
    say(w, l, bytes_of(frame->ptr, cut));
    if (cut < frame->len && dice & 1) say(w, l, bytes_of(frame->ptr + cut, frame->len - cut));
    shared_drop(frame);
}

static void peer_speaks(struct world *w)
{
    struct link *l = any_link(w);
    struct random random;
    struct buffer body = { 0 };
    enum frame_kind kind = (enum frame_kind)(1 + reader_u8(&w->in) % (unsigned)FRAME_LEAVE);
    random_init(&random, reader_u16(&w->in));
    forge_body(&random, kind, &body);
    if (l) say_body(w, l, kind, buffer_view(&body));
    buffer_release(&body);
}

static void peer_meets(struct world *w)
{
    static const char *const names[] = { "p2:1", "p3:1", "good:1", "bad:1" };
    struct link *l = any_link(w);
    uint8_t dice = reader_u8(&w->in);
    struct hello hello = peer_hello(names[dice % 4], (uint8_t)(2 + dice % 4));
    struct buffer body = { 0 };
    hello.nonce += dice / 128;
    hello_write(&body, &hello);
    if (l) say_body(w, l, FRAME_HELLO, buffer_view(&body));
    if (l && l->id) say_body(w, l, FRAME_DIGEST, bytes_of("\1", 1));
    buffer_release(&body);
}

static void link_ends(struct world *w)
{
    struct link *l = any_link(w);
    if (!l) return;
    link_id id = l->id;
    *l = (struct link){ .id = 0 };
    const char *reason = reader_u8(&w->in) & 1 ? "reset by peer" : NULL;
    step(w, (struct event){ .kind = EVENT_LINK_DOWN, .as.link = { .link = id, .reason = reason } });
}

static void link_sends(struct world *w)
{
    struct link *l = any_link(w);
    if (!l || l->outstanding == 0) return;
    uint64_t sent = reader_u8(&w->in) & 1 ? l->outstanding : 1 + l->outstanding / 2;
    l->outstanding -= sent;
    step(w, (struct event){ .kind = EVENT_LINK_SENT, .as.link = { .link = l->id, .sent = sent } });
}

static void seed_comes(struct world *w)
{
    static const char *const seeds[] = { "p2:1", "p3:1", "m:1", "no address", "good:1", "[::1]:8000" };
    uint8_t dice = reader_u8(&w->in);
    step(w, (struct event){ .kind = EVENT_SEED,
                            .as.seed = { seeds[dice % (sizeof seeds / sizeof *seeds)], (dice & 128) != 0 } });
}

static void order_comes(struct world *w)
{
    static const char *const names[] = { "p2:1", "p3:1", "m:1", "nobody:1" };
    uint8_t dice = reader_u8(&w->in);
    struct event event = { .kind = EVENT_ORDER };
    event.as.order.kind = dice & 128 ? ORDER_LEAVE : ORDER_FORGET;
    event.as.order.ticket = ++w->orders;
    event.as.order.name = bytes_of_text(names[dice % 4]);
    step(w, event);
}

static void look(struct world *w)
{
    const struct view *view;
    REQUIRE(node_view(w->node, w->now_ms, &view) == ERR_OK);
    REQUIRE(view->members_count >= 1);
    view_drop(view);
    REQUIRE(node_takes_bytes(w->node));
}

static void time_passes(struct world *w)
{
    uint8_t dice = reader_u8(&w->in);
    uint64_t wake = node_wake_at_ms(w->node);
    w->now_ms = dice < 128 ? wake : w->now_ms + (dice < 250 ? dice - 128u : 5000u);
    step(w, (struct event){ .kind = EVENT_TICK });
}

static void happen(struct world *w)
{
    uint8_t dice = reader_u8(&w->in);
    switch (dice % 16) {
    case 0:
    case 1:
        time_passes(w);
        break;
    case 2:
    case 3:
        count_up(w);
        break;
    case 4:
    case 5:
    case 6:
        journal_moves(w, dice);
        break;
    case 7:
        if (dice & 128)
            journal_says(w);
        else
            journal_answers(w);
        break;
    case 8:
        link_comes(w);
        break;
    case 9:
        peer_meets(w);
        break;
    case 10:
    case 11:
        peer_speaks(w);
        break;
    case 12:
        link_sends(w);
        break;
    case 13:
        link_ends(w);
        break;
    case 14:
        if (dice >= 192)
            order_comes(w);
        else if (dice & 128)
            seed_comes(w);
        else
            look(w);
        break;
    default:
        if (dice > 240)
            step(w, (struct event){ .kind = EVENT_STOP });
        else if (dice > 200 || w->stopped)
            crash(w);
        break;
    }
}

/* Whatever came before: what is counted gets to the disk. */
static void settle(struct world *w)
{
    step(w, (struct event){ .kind = EVENT_JOURNAL });
    for (int i = 0; i < 8; i++) {
        w->written = w->synced = w->appended;
        step(w, (struct event){ .kind = EVENT_SYNCED, .as.done.append = w->synced });
        step(w, (struct event){ .kind = EVENT_DIRTY });
    }
    REQUIRE(w->synced == w->appended);
    for (size_t i = 0; i < w->adds_count; i++) REQUIRE(w->adds[i].commit <= w->synced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = { .now_ms = 5000 };
    reader_init(&w.in, bytes_of(data, size));
    process_start(&w);
    for (int i = 0; i < STEPS_MAX && reader_left(&w.in) > 0; i++) happen(&w);
    settle(&w);
    crash(&w);
    process_end(&w);
    for (size_t i = 0; i < w.log_count; i++) shared_drop(w.log[i].bytes);
    free(w.log);
    free(w.adds);
    return 0;
}
