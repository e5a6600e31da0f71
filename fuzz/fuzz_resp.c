/* SPDX-License-Identifier: Apache-2.0 */
/* A client's bytes mean the same however they were cut: whole in one session, in pieces in another, each on a keyspace
 * of its own. The first byte of the input says how the pieces are cut; the replies, the gates, the end of the
 * connection and the counters must be the same. */
#include "test/unit/resp_fixture.h"

#include "fuzz/harness.h"

struct twin {
    struct resp_fixture fixture;
    struct resp_session *session;
    struct outcome outcome;
};

static void twin_init(struct twin *t)
{
    resp_fixture_init(&t->fixture);
    t->session = resp_session_new(&t->fixture.service, &t->fixture.peer);
    REQUIRE(t->session);
    t->outcome = (struct outcome){ 0 };
}

static void twin_release(struct twin *t)
{
    resp_session_free(t->session);
    buffer_release(&t->outcome.out);
    resp_fixture_release(&t->fixture);
}

/* Shows the session what it has not consumed of the first len bytes. */
static void twin_show(struct twin *t, struct bytes input, size_t len)
{
    size_t from = t->outcome.consumed;
    t->outcome.consumed = 0;
    resp_feed_all(t->session, fence_copy(0, bytes_of(input.ptr + from, len - from)), &t->outcome);
    t->outcome.consumed += from;
}

/* CLIENT INFO shows how much is buffered, which does depend on the cuts. */
static bool shows_buffers(struct bytes replies)
{
    static const char field[] = " qbuf=";
    for (size_t at = 0; at + sizeof field <= replies.len; at++) {
        if (memcmp(replies.ptr + at, field, sizeof field - 1) == 0) return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct twin whole, split;
    if (size == 0) return 0;
    struct bytes input = bytes_of(data + 1, size - 1);
    twin_init(&whole);
    twin_init(&split);
    twin_show(&whole, input, input.len);
    struct cuts cuts;
    cuts_init(&cuts, data[0], input.len);
    while (cuts.at < input.len && !split.outcome.close) twin_show(&split, input, cuts_next(&cuts));
    REQUIRE(whole.outcome.close == split.outcome.close);
    REQUIRE(whole.outcome.close || whole.outcome.consumed == split.outcome.consumed);
    REQUIRE(whole.outcome.gate == split.outcome.gate);
    struct bytes replies = buffer_view(&whole.outcome.out);
    REQUIRE(bytes_equal(replies, buffer_view(&split.outcome.out)) || shows_buffers(replies));
    REQUIRE(keyspace_count(whole.fixture.service.keyspace) == keyspace_count(split.fixture.service.keyspace));
    for (int i = 0; i < STAT_COUNT; i++) {
        REQUIRE(stats_get(&whole.fixture.stats, (enum stats_item)i) ==
                stats_get(&split.fixture.stats, (enum stats_item)i));
    }
    twin_release(&whole);
    twin_release(&split);
    return 0;
}
