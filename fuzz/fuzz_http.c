/* SPDX-License-Identifier: Apache-2.0 */
/* A client's bytes mean the same however they were cut: whole in one session, in pieces in another, each on counters of
 * its own. The first byte of the input says how the pieces are cut; answers, gates, the end of the connection and the
 * counters must be the same. What was answered is counted, so nothing is executed that nobody sees. */
#include "test/unit/http_fixture.h"

#include "fuzz/harness.h"

struct outcome {
    size_t consumed;
    uint64_t gate;
    bool close;
};

/* Shows the session what it has not consumed of the first len bytes, until it wants more. */
static void show(struct world *w, struct bytes input, size_t len, struct outcome *outcome)
{
    size_t consumed;
    do {
        size_t shown = len - outcome->consumed;
        struct session_result result;
        struct bytes view = fence_copy(0, bytes_of(input.ptr + outcome->consumed, shown));
        http_session_feed(w->session, view, &w->out, &result);
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

static void show_cut(struct world *w, struct bytes input, uint8_t how, struct outcome *outcome)
{
    struct cuts cuts;
    cuts_init(&cuts, how, input.len);
    while (cuts.at < input.len && !outcome->close) show(w, input, cuts_next(&cuts), outcome);
}

static void require_same(const struct world *a, const struct world *b)
{
    REQUIRE(bytes_equal(buffer_view(&a->out), buffer_view(&b->out)));
    REQUIRE(keyspace_count(a->service.keyspace) == keyspace_count(b->service.keyspace));
    for (int stat = 0; stat < STAT_COUNT; stat++) {
        REQUIRE(stats_get(&a->stats, (enum stats_item)stat) == stats_get(&b->stats, (enum stats_item)stat));
    }
}

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
