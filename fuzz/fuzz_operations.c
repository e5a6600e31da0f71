/* SPDX-License-Identifier: Apache-2.0 */
/* A program of keyspace calls beside a slow obvious model of it: plain arrays, and the algebra over all shares worked
 * out anew at every look. They must agree in every answer, every entry of every block, and every walk. The input is the
 * program: a byte says which call, the bytes after it with what. */
#include "count/block.h"
#include "count/keyspace.h"
#include "count/replicas.h"
#include "fuzz/forge.h"
#include "fuzz/harness.h"

#define NAMES 12u
#define REPLICAS 4u
#define OWN 1u
#define FLIGHTS 3u
#define STEPS_MAX 400

struct counter {
    struct entry durable[REPLICAS + 1]; /* by replica; extras are the model's own copies */
    cell_ref cell;                      /* where a join put it */
    int128 net;                         /* own, with everything pending */
    bool dirty, joined;
    uint64_t commit; /* the last that took it */
    uint32_t in_flight;
};

/* One commit from take to publish. */
struct flight {
    struct batch batch;
    struct buffer out;
    struct block_writer block;
};

struct world {
    struct reader in;
    struct replicas *replicas;
    struct keyspace *keyspace;
    struct counter counters[NAMES];
    struct flight flights[FLIGHTS];
    uint32_t flights_first, flights_count;
    uint64_t commit, seq; /* of the last commit taken */
    enum err refused;
    struct walk walk; /* a pass that other calls come between */
};

/* Some fit into a cell, some do not; all end with what tells them apart. */
static struct bytes name_of(uint32_t which)
{
    static char names[NAMES][64];
    size_t len = 1 + which * 5;
    memset(names[which], 'n', len);
    names[which][len - 1] = (char)('a' + which);
    return fence_copy(0, bytes_of(names[which], len));
}

static struct counter *counter_of(struct world *w, struct bytes name, uint32_t *ret_which)
{
    uint32_t which = (uint32_t)(name.ptr[name.len - 1] - 'a');
    REQUIRE(which < NAMES);
    REQUIRE(bytes_equal(name, name_of(which)));
    *ret_which = which;
    return &w->counters[which];
}

static bool is_pending(const struct counter *c)
{
    return c->dirty || c->in_flight > 0;
}

/* What a reader sees: the own entry as the coming commit would write it. */
static struct seen model_see(const struct world *w, const struct counter *c, bool pending, int128 net,
                             int128 *ret_exact)
{
    struct share shares[REPLICAS];
    struct extras own;
    uint32_t count = 0;
    for (uint32_t i = 1; i <= REPLICAS; i++) {
        struct entry entry = c->durable[i];
        if (i == OWN && pending) {
            entry.seq = w->seq + 1;
            entry.net = net;
            if (entry.extras) {
                own = *entry.extras;
                own.add_seq = entry.seq;
                own.after = true;
                entry.extras = &own;
            }
        }
        if (entry.seq > 0) shares[count++] = (struct share){ i, entry };
    }
    *ret_exact = shares_value(w->replicas, shares, count);
    uint64_t commit = c->dirty ? w->commit + 1 : c->in_flight > 0 ? c->commit : 0;
    return (struct seen){ value_shown(*ret_exact), shares_exist(w->replicas, shares, count), commit };
}

static struct seen model_get(const struct world *w, const struct counter *c)
{
    int128 exact;
    return model_see(w, c, is_pending(c), c->net, &exact);
}

static void require_seen(struct seen got, struct seen want)
{
    REQUIRE(got.value == want.value);
    REQUIRE(got.exists == want.exists);
    REQUIRE(got.commit == want.commit);
}

static void check_counter(struct world *w, uint32_t which)
{
    struct seen seen;
    struct bytes name = name_of(which);
    keyspace_get(w->keyspace, keyspace_hash(w->keyspace, name), name, &seen);
    require_seen(seen, model_get(w, &w->counters[which]));
}

static void check_all(struct world *w)
{
    uint64_t existing = 0;
    bool is_dirty = false;
    for (uint32_t i = 0; i < NAMES; i++) {
        check_counter(w, i);
        existing += model_get(w, &w->counters[i]).exists;
        is_dirty = is_dirty || w->counters[i].dirty;
    }
    REQUIRE(keyspace_count(w->keyspace) == existing);
    REQUIRE(keyspace_is_dirty(w->keyspace) || !is_dirty);
}

/* Calls */

static int64_t read_delta(struct world *w)
{
    static const int64_t edges[] = { 0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1, 1 << 30 };
    uint8_t dice = reader_u8(&w->in);
    if (dice < 64) return edges[dice % (sizeof edges / sizeof *edges)];
    return dice < 192 ? (int64_t)dice - 128 : (int64_t)reader_u64(&w->in);
}

static void call_add(struct world *w, uint32_t which)
{
    struct counter *c = &w->counters[which];
    struct bytes name = name_of(which);
    int64_t delta = read_delta(w);
    int128 exact, net = (is_pending(c) ? c->net : c->durable[OWN].net) + delta;
    model_see(w, c, true, net, &exact);
    struct seen seen;
    enum err err = keyspace_add(w->keyspace, keyspace_hash(w->keyspace, name), name, delta, &seen);
    if (w->refused != ERR_OK) {
        REQUIRE(err == w->refused);
        return;
    }
    bool leaves_range = (exact > INT64_MAX && delta > 0) || (exact < INT64_MIN && delta < 0);
    REQUIRE(err == (leaves_range ? ERR_RANGE : ERR_OK));
    if (!leaves_range) {
        c->net = net;
        c->dirty = true;
    }
    require_seen(seen, model_get(w, c));
}

static void require_entry(const struct counter *c, const struct entry *entry)
{
    const struct extras *durable = c->durable[OWN].extras;
    REQUIRE(entry->net == c->net);
    if (!entry->extras) return;
    REQUIRE(durable);
    REQUIRE(entry->extras->add_seq == entry->seq);
    REQUIRE(entry->extras->after == (durable->self_base.seq > 0));
    REQUIRE(entry->extras->bases.count == durable->bases.count);
}

static void call_take(struct world *w)
{
    if (w->flights_count == FLIGHTS) return;
    struct flight *f = &w->flights[(w->flights_first + w->flights_count++) % FLIGHTS];
    *f = (struct flight){ .batch = { 0 } };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = *replicas_id(w->replicas, OWN), .from = w->seq };
    block_begin(&f->block, &f->out, &head);
    REQUIRE(keyspace_take(w->keyspace, w->commit + 1, w->seq + 1, &f->batch, &f->block) == ERR_OK);
    block_end(&f->block, w->seq + f->batch.count);
    w->commit++;
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    REQUIRE(block_open(&r, buffer_view(&f->out)) == ERR_OK);
    for (uint32_t i = 0; i < f->batch.count; i++) {
        uint32_t which;
        REQUIRE(block_next(&r, w->replicas, &name, &entry) == ERR_OK);
        struct counter *c = counter_of(w, name, &which);
        REQUIRE(c->dirty); /* and so at most once in this block */
        REQUIRE(entry.seq == ++w->seq);
        require_entry(c, &entry);
        extras_free(entry.extras);
        c->dirty = false;
        c->commit = w->commit;
        c->in_flight++;
    }
    REQUIRE(block_next(&r, w->replicas, &name, &entry) == ERR_STALE);
    for (uint32_t i = 0; i < NAMES; i++) REQUIRE(!w->counters[i].dirty);
}

static void call_publish(struct world *w)
{
    if (w->flights_count == 0) return;
    struct flight *f = &w->flights[w->flights_first];
    w->flights_first = (w->flights_first + 1) % FLIGHTS;
    w->flights_count--;
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    REQUIRE(block_open(&r, buffer_view(&f->out)) == ERR_OK);
    while (block_next(&r, w->replicas, &name, &entry) == ERR_OK) {
        uint32_t which;
        struct counter *c = counter_of(w, name, &which);
        extras_free(entry.extras);
        c->in_flight--;
        c->durable[OWN].seq = entry.seq;
        c->durable[OWN].net = entry.net;
        struct extras *extras = c->durable[OWN].extras;
        if (extras) extras->add_seq = entry.seq;
        if (extras) extras->after = extras->self_base.seq > 0;
    }
    keyspace_publish(w->keyspace, &f->batch);
    batch_release(&f->batch);
    buffer_release(&f->out);
}

/* Whoever saw the same seq saw the same net, and nobody saw more of a share than is durable. */
static void limit_bases(const struct counter *c, struct base_list *list)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct replica_base *item = &list->items[i];
        uint64_t durable = c->durable[item->replica].seq;
        if (durable == 0) continue;
        item->base.seq = 1 + item->base.seq % durable;
        item->base.net = ((int128)item->base.seq * 7919 - 100000) * (int128)item->replica;
        list->items[kept++] = *item;
    }
    list->count = kept;
}

static void call_join(struct world *w, uint32_t which, uint32_t replica, uint64_t seq)
{
    struct counter *c = &w->counters[which];
    struct bytes name = name_of(which);
    struct random random;
    random_init(&random, reader_u16(&w->in));
    struct entry entry = { .seq = seq, .net = forge_net(&random) }, copy;
    entry.extras = forge_extras(&random, entry.seq, replica, REPLICAS);
    if (entry.extras) limit_bases(c, &entry.extras->bases);
    copy = entry;
    REQUIRE(extras_copy(entry.extras, &copy.extras) == ERR_OK);
    uint64_t hash = keyspace_hash(w->keyspace, name);
    REQUIRE(keyspace_join(w->keyspace, replica, hash, name, &entry, &c->cell) == ERR_OK);
    c->joined = true;
    struct entry *durable = &c->durable[replica];
    struct extras *older = copy.seq > durable->seq ? durable->extras : copy.extras;
    if (copy.seq > durable->seq) *durable = copy;
    extras_free(older);
    check_counter(w, which);
}

static void call_put(struct world *w, uint32_t which)
{
    struct counter *c = &w->counters[which];
    uint32_t replica = 1 + reader_u8(&w->in) % REPLICAS;
    uint64_t seq = c->durable[replica].seq;
    if (!c->joined || seq == 0) return;
    struct buffer out = { 0 };
    struct block_writer writer;
    struct block_head head = { .kind = BLOCK_SNAPSHOT, .replica = *replicas_id(w->replicas, replica) };
    block_begin(&writer, &out, &head);
    REQUIRE(!keyspace_put_entry(w->keyspace, c->cell, replica, seq + 1, &writer));
    REQUIRE(keyspace_put_entry(w->keyspace, c->cell, replica, seq, &writer));
    block_end(&writer, seq);
    struct block_reader r;
    struct bytes name;
    struct entry entry;
    REQUIRE(block_open(&r, buffer_view(&out)) == ERR_OK);
    REQUIRE(block_next(&r, w->replicas, &name, &entry) == ERR_OK);
    REQUIRE(bytes_equal(name, name_of(which)));
    REQUIRE(entry.seq == seq && entry.net == c->durable[replica].net);
    extras_free(entry.extras);
    buffer_release(&out);
}

static void visit_one(void *context, const struct visit *visit)
{
    struct world *w = context;
    uint32_t which, durable = 0;
    const struct counter *c = counter_of(w, visit->name, &which);
    struct seen want = model_get(w, c);
    REQUIRE(visit->value == want.value);
    REQUIRE(visit->exists == want.exists);
    for (uint32_t i = 1; i <= REPLICAS; i++) durable += c->durable[i].seq > 0;
    REQUIRE(visit->count == durable);
    for (uint32_t i = 0; i < visit->count; i++) {
        const struct share *got = &visit->shares[i];
        REQUIRE(got->entry.seq == c->durable[got->replica].seq);
        REQUIRE(got->entry.net == c->durable[got->replica].net);
        REQUIRE(extras_equal(got->entry.extras, c->durable[got->replica].extras));
    }
}

static void call_walk(struct world *w)
{
    if (!keyspace_walk(w->keyspace, &w->walk, 1 + reader_u8(&w->in) % 8u, visit_one, w)) w->walk = (struct walk){ 0 };
}

static void call_prefetch(struct world *w, uint32_t which)
{
    uint64_t hash = keyspace_hash(w->keyspace, name_of(which));
    keyspace_prefetch(w->keyspace, hash);
    keyspace_prefetch_cell(w->keyspace, hash);
    keyspace_prefetch_rest(w->keyspace, hash);
}

static void call_refuse(struct world *w)
{
    static const enum err reasons[] = { ERR_OK, ERR_FULL, ERR_FENCED, ERR_CLOSED };
    w->refused = reasons[reader_u8(&w->in) % 4];
    keyspace_refuse_writes(w->keyspace, w->refused);
    REQUIRE(keyspace_writes_refused(w->keyspace) == w->refused);
}

static void call_any(struct world *w)
{
    uint8_t dice = reader_u8(&w->in);
    uint32_t which = reader_u8(&w->in) % NAMES;
    if (dice < 100)
        call_add(w, which);
    else if (dice < 125)
        call_take(w);
    else if (dice < 150)
        call_publish(w);
    else if (dice < 205)
        call_join(w, which, 2 + dice % (REPLICAS - 1), 1 + reader_u8(&w->in) % 32u);
    else if (dice < 225)
        call_walk(w);
    else if (dice < 240)
        call_put(w, which);
    else if (dice < 250)
        call_prefetch(w, which);
    else
        call_refuse(w);
}

/* Recovery: own entries come in before any increment, and may turn out to be the own ones only afterwards. */
static void world_init(struct world *w)
{
    uint8_t how = reader_u8(&w->in);
    REQUIRE(replicas_new(&w->replicas) == ERR_OK);
    for (uint32_t i = 1; i <= REPLICAS; i++) {
        uint32_t index;
        struct id128 id = { { (uint8_t)(0x55 + 31 * i) } };
        REQUIRE(replicas_intern(w->replicas, &id, &index) == ERR_OK && index == i);
    }
    struct keyspace_options options = { .shards = 1u << (how & 3), .hash_seed = how, .replicas = w->replicas };
    REQUIRE(keyspace_new(&options, &w->keyspace) == ERR_OK);
    if (how & 4) keyspace_set_own(w->keyspace, OWN);
    for (uint32_t i = 0; i < how >> 4; i++) call_join(w, reader_u8(&w->in) % NAMES, OWN, ++w->seq);
    keyspace_set_own(w->keyspace, OWN);
}

static void world_release(struct world *w)
{
    for (uint32_t i = 0; i < NAMES; i++) {
        for (uint32_t r = 1; r <= REPLICAS; r++) extras_free(w->counters[i].durable[r].extras);
    }
    keyspace_free(w->keyspace);
    replicas_free(w->replicas);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = { .flights_count = 0 };
    reader_init(&w.in, bytes_of(data, size));
    world_init(&w);
    for (int i = 0; i < STEPS_MAX && reader_left(&w.in) > 0; i++) {
        call_any(&w);
        if (i % 16 == 0) check_all(&w);
    }
    check_all(&w);
    while (w.flights_count > 0) call_publish(&w);
    check_all(&w);
    world_release(&w);
    return 0;
}
