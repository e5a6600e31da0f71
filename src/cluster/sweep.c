/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/sweep.h"

#include "base/alloc.h"
#include "count/block.h"
#include "count/keyspace_replica.h"
#include "count/replicas.h"

#include <stdlib.h>

#define RUN_PLACES 4096u /* sorted in well under a millisecond */

struct place {
    uint64_t seq;
    cell_ref cell;
};

/* Sorted once it is full or the walk has ended; then read from `next` on. */
struct run {
    struct place *places;
    uint32_t count, next;
};

/* The runs of one wanted replica. While they are merged they are a heap by the seq that comes next. */
struct gathered {
    struct sweep_want want;
    struct run *runs;
    uint32_t runs_count, runs_cap;
    bool is_merging;
};

struct sweep {
    struct keyspace *keyspace;
    const struct replicas *replicas;
    struct walk walk;
    bool is_walked;
    enum err err;     /* of a visit */
    uint32_t current; /* of those before it everything went out */
    uint32_t count;
    uint16_t *index; /* by replica: one above its place in gathered; 0: not wanted */
    uint32_t index_count;
    struct gathered gathered[];
};

static enum err index_wants(struct sweep *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t end = s->gathered[i].want.replica + 1;
        if (end > s->index_count) s->index_count = end;
    }
    s->index = mem_alloc_zero(s->index_count, sizeof *s->index);
    if (!s->index) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->count; i++) s->index[s->gathered[i].want.replica] = (uint16_t)(i + 1);
    return ERR_OK;
}

enum err sweep_new(struct keyspace *keyspace, const struct replicas *replicas, const struct sweep_want *wants,
                   uint32_t count, struct sweep **ret_sweep)
{
    REQUIRE(count > 0 && count <= REPLICAS_MAX);
    struct sweep *s = mem_alloc_zero(1, sizeof *s + count * sizeof *s->gathered);
    if (!s) return ERR_NOMEM;
    s->keyspace = keyspace;
    s->replicas = replicas;
    s->count = count;
    for (uint32_t i = 0; i < count; i++) s->gathered[i].want = wants[i];
    if (index_wants(s) != ERR_OK) {
        sweep_free(s);
        return ERR_NOMEM;
    }
    *ret_sweep = s;
    return ERR_OK;
}

static void gathered_release(struct gathered *g)
{
    for (uint32_t i = 0; i < g->runs_count; i++) mem_free(g->runs[i].places);
    mem_free(g->runs);
    g->runs = NULL;
    g->runs_count = g->runs_cap = 0;
}

void sweep_free(struct sweep *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->count; i++) gathered_release(&s->gathered[i]);
    mem_free(s->index);
    mem_free(s);
}

bool sweep_is_pending(const struct sweep *s, uint32_t replica)
{
    return replica < s->index_count && s->index[replica] > s->current;
}

/* The walk */

static int by_seq(const void *a, const void *b)
{
    uint64_t left = ((const struct place *)a)->seq, right = ((const struct place *)b)->seq;
    return left < right ? -1 : left > right;
}

static void run_sort(struct run *r)
{
    qsort(r->places, r->count, sizeof *r->places, by_seq);
}

static enum err run_add(struct gathered *g)
{
    if (g->runs_count == g->runs_cap) {
        uint32_t cap = g->runs_cap ? g->runs_cap * 2 : 4;
        struct run *runs = mem_resize(g->runs, cap * sizeof *runs);
        if (!runs) return ERR_NOMEM;
        g->runs = runs;
        g->runs_cap = cap;
    }
    struct place *places = mem_alloc(RUN_PLACES * sizeof *places);
    if (!places) return ERR_NOMEM;
    g->runs[g->runs_count++] = (struct run){ .places = places };
    return ERR_OK;
}

static enum err gather(struct gathered *g, uint64_t seq, cell_ref cell)
{
    if (seq <= g->want.from || seq > g->want.to) return ERR_OK;
    struct run *last = g->runs_count > 0 ? &g->runs[g->runs_count - 1] : NULL;
    if (!last || last->count == RUN_PLACES) {
        if (last) run_sort(last);
        enum err err = run_add(g);
        if (err != ERR_OK) return err;
        last = &g->runs[g->runs_count - 1];
    }
    last->places[last->count++] = (struct place){ seq, cell };
    return ERR_OK;
}

static void visit_counter(void *context, const struct visit *visit)
{
    struct sweep *s = context;
    for (uint32_t i = 0; i < visit->count && s->err == ERR_OK; i++) {
        const struct share *share = &visit->shares[i];
        uint16_t at = share->replica < s->index_count ? s->index[share->replica] : 0;
        if (at == 0) continue;
        s->err = gather(&s->gathered[at - 1], share->entry.seq, visit->cell);
        struct entry older[BLOCK_OLDER_MAX];
        uint32_t older_count = visit_older(visit, share, older);
        for (uint32_t k = 0; k < older_count && s->err == ERR_OK; k++)
            s->err = gather(&s->gathered[at - 1], older[k].seq, visit->cell);
    }
}

enum err sweep_walk(struct sweep *s, uint32_t cells_max, bool *ret_walked)
{
    if (!s->is_walked && !keyspace_walk(s->keyspace, &s->walk, cells_max, visit_counter, s)) s->is_walked = true;
    if (s->err == ERR_OK) *ret_walked = s->is_walked;
    return s->err;
}

/* The merge */

static uint64_t next_seq(const struct run *r)
{
    return r->places[r->next].seq;
}

static void sift_down(struct gathered *g, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < g->runs_count; child++) {
            if (next_seq(&g->runs[child]) < next_seq(&g->runs[least])) least = child;
        }
        if (least == at) return;
        struct run moved = g->runs[at];
        g->runs[at] = g->runs[least];
        g->runs[least] = moved;
        at = least;
    }
}

static void merge_begin(struct gathered *g)
{
    if (g->runs_count > 0) run_sort(&g->runs[g->runs_count - 1]); /* the others were sorted when they were full */
    for (uint32_t i = g->runs_count / 2; i-- > 0;) sift_down(g, i);
    g->is_merging = true;
}

/* Takes the place with the lowest seq; there must be one. */
static struct place merge_next(struct gathered *g)
{
    struct run *first = &g->runs[0];
    struct place place = first->places[first->next++];
    if (first->next == first->count) {
        mem_free(first->places);
        *first = g->runs[--g->runs_count];
    }
    if (g->runs_count > 0) sift_down(g, 0);
    return place;
}

/* Its from is how far the last one went. */
static struct block_head delta_head(const struct sweep *s, const struct sweep_want *want)
{
    const struct trail *trail = replicas_trail(s->replicas, want->replica);
    return (struct block_head){ .kind = BLOCK_DELTA,
                                .replica = *replicas_id(s->replicas, want->replica),
                                .nonce = trail_nonce_at(trail, want->from + 1),
                                .base = trail_nonce_at(trail, want->from),
                                .firm = trail->firm,
                                .pledged = trail->pledged,
                                .from = want->from };
}

enum err sweep_write_delta(struct sweep *s, uint32_t bytes_goal, struct buffer *out, bool *ret_done)
{
    REQUIRE(s->is_walked && s->current < s->count);
    struct gathered *g = &s->gathered[s->current];
    if (!g->is_merging) merge_begin(g);
    struct block_head head = delta_head(s, &g->want);
    struct block_writer writer;
    size_t start = out->len;
    block_begin(&writer, out, &head);
    uint64_t boot_end = trail_end_after(replicas_trail(s->replicas, g->want.replica), head.from);
    if (boot_end > g->want.to) boot_end = g->want.to;
    uint64_t to = head.from;
    bool is_cut = false;
    while (!is_cut && g->runs_count > 0 && next_seq(&g->runs[0]) <= boot_end) {
        struct place place = merge_next(g);
        /* Two of one seq are of two histories that nobody could tell apart, or a peer's lie. */
        if (place.seq > to) keyspace_put_entry(s->keyspace, place.cell, g->want.replica, place.seq, &writer);
        to = place.seq;
        is_cut = out->len - start >= bytes_goal;
    }
    if (!is_cut || g->runs_count == 0 || next_seq(&g->runs[0]) > boot_end) to = boot_end;
    block_end(&writer, to);
    g->want.from = to;
    bool is_last = to == g->want.to;
    if (is_last) gathered_release(g);
    s->current += is_last;
    enum err err = buffer_end(out);
    if (err == ERR_OK) *ret_done = s->current == s->count;
    return err;
}
