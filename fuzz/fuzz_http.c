/* SPDX-License-Identifier: Apache-2.0 */
/* A client's bytes mean the same however they were cut: whole in one session, in pieces in another, each on counters of
 * its own. The first byte of the input says how the pieces are cut; answers, gates, the end of the connection and the
 * counters must be the same. What was answered is counted, so nothing is executed that nobody sees. */
#include "test/unit/http_fixture.h"

#include "base/random.h"

#include <stdlib.h>

struct outcome {
    size_t consumed;
    uint64_t gate;
    bool close;
};

/* Shows the session what it has not consumed of the first len bytes, in memory that ends with them, until it wants
 * more. */
static void show(struct world *w, struct bytes input, size_t len, struct outcome *outcome)
{
    size_t consumed;
    do {
        size_t shown = len - outcome->consumed;
        uint8_t *copy = malloc(shown + !shown);
        REQUIRE(copy);
        if (shown > 0) memcpy(copy, input.ptr + outcome->consumed, shown);
        struct session_result result;
        http_session_feed(w->session, bytes_of(copy, shown), &w->out, &result);
        free(copy);
        consumed = result.consumed;
        REQUIRE(consumed <= shown && !w->out.failed);
        outcome->consumed += consumed;
        outcome->close = result.close;
        if (result.gate > outcome->gate) outcome->gate = result.gate;
        REQUIRE(!result.wait); /* verify is done at once */
    } while (consumed > 0 && !outcome->close && outcome->consumed < len);
}

static void world_start(struct world *w)
{
    world_init(w);
    w->verify_at_once = true;
}

/* In pieces of random sizes, one byte each when the first byte of the input was 0. */
static void show_cut(struct world *w, struct bytes input, uint8_t seed, struct outcome *outcome)
{
    struct random random;
    random_init(&random, seed);
    const size_t step_max = seed == 0 ? 1 : 1 + input.len / (1 + seed % 8u);
    for (size_t shown = 0; shown < input.len && !outcome->close;) {
        shown += 1 + (size_t)random_below(&random, step_max);
        if (shown > input.len) shown = input.len;
        show(w, input, shown, outcome);
    }
}

static void require_same(const struct world *a, const struct world *b)
{
    REQUIRE(bytes_equal(buffer_view(&a->out), buffer_view(&b->out)));
    REQUIRE(keyspace_count(a->service.keyspace) == keyspace_count(b->service.keyspace));
    for (int stat = 0; stat < STAT_COUNT; stat++) {
        REQUIRE(stats_get(&a->stats, (enum stats_item)stat) == stats_get(&b->stats, (enum stats_item)stat));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world whole, split;
    if (size < 2) return 0;
    struct bytes input = bytes_of(data + 1, size - 1);
    struct outcome a = { 0 }, b = { 0 };
    world_start(&whole);
    world_start(&split);
    show(&whole, input, input.len, &a);
    show_cut(&split, input, data[0], &b);
    REQUIRE(a.close == b.close && a.gate == b.gate);
    REQUIRE(a.close || http_session_in_head(whole.session) == http_session_in_head(split.session));
    require_same(&whole, &split);
    world_release(&whole);
    world_release(&split);
    return 0;
}
