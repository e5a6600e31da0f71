/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "cluster/link.h"
#include "server/beacon.h"
#include "server/discovery.h"
#include "server/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define NONCE_A 0x1111111111111111u
#define NONCE_B 0x2222222222222222u

/* The datagram */

static struct buffer encoded(const char *cluster, const char *node, uint64_t nonce)
{
    struct buffer out = { 0 };
    struct beacon beacon = { nonce, bytes_of_text(cluster), bytes_of_text(node) };
    assert_ok(beacon_encode(&beacon, &out));
    return out;
}

static void expect_damage(struct bytes datagram)
{
    struct beacon beacon;
    struct fenced copy = fenced_copy(datagram);
    assert_err(beacon_decode(copy.bytes, &beacon), ERR_CORRUPT);
    fenced_release(&copy);
}

static void test_datagram_is_byte_for_byte_as_documented(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        'Q', 'U', 'I', 'P', 'U', 'D', 'S', 'C', 1,   0x08, 7,   6,   5,   4,   3,   2,   1,   5,   'q',
        'u', 'i', 'p', 'u', 14,  'l', 'o', 'c', 'a', 'l',  'h', 'o', 's', 't', ':', '8', '0', '0', '0',
    };
    struct buffer b = encoded("quipu", "localhost:8000", 0x0102030405060708);
    assert_int_equal(b.len, sizeof expected + 8);
    assert_memory_equal(b.ptr, expected, sizeof expected);
    struct beacon beacon;
    assert_ok(beacon_decode(buffer_view(&b), &beacon));
    assert_true(beacon.nonce == 0x0102030405060708);
    assert_true(bytes_equal(beacon.cluster, bytes_of_text("quipu")));
    assert_true(bytes_equal(beacon.node, bytes_of_text("localhost:8000")));
    buffer_release(&b);
}

static void test_longest_names_fit_a_datagram(void **state)
{
    (void)state;
    char cluster[256] = { 0 }, node[261] = { 0 };
    memset(cluster, 'c', 255);
    memset(node, 'n', 253);
    for (size_t i = 63; i < 253; i += 64) node[i] = '.';
    memcpy(node + 253, ":65535", 6);
    struct buffer b = encoded(cluster, node, 1);
    struct beacon beacon;
    assert_ok(beacon_decode(buffer_view(&b), &beacon));
    assert_int_equal(beacon.node.len, 259);
    assert_true(b.len <= BEACON_BYTES_MAX);
    buffer_release(&b);
}

static void test_datagram_cut_anywhere_or_with_more_behind_is_damaged(void **state)
{
    (void)state;
    struct buffer b = encoded("quipu", "localhost:8000", 1);
    for (size_t len = 0; len < b.len; len++) expect_damage(bytes_of(b.ptr, len));
    buffer_u8(&b, 0);
    expect_damage(buffer_view(&b));
    buffer_release(&b);
}

static void test_datagram_with_any_bit_flipped_is_damaged(void **state)
{
    (void)state;
    struct buffer b = encoded("quipu", "localhost:8000", 1);
    for (size_t bit = 0; bit < 8 * b.len; bit++) {
        b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_damage(buffer_view(&b));
        b.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buffer_release(&b);
}

/* The checksum is right, what it covers is not. */
static void test_well_formed_nonsense_is_damage(void **state)
{
    (void)state;
    static const char *const nodes[] = { "", "localhost", "localhost:0", "a b:1", "a\n:1", "[::1]", "-x:1" };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        struct buffer b = encoded("quipu", nodes[i], 1);
        expect_damage(buffer_view(&b));
        buffer_release(&b);
    }
    struct buffer no_nonce = encoded("quipu", "a:1", 0), no_cluster = encoded("", "a:1", 1);
    expect_damage(buffer_view(&no_nonce));
    expect_damage(buffer_view(&no_cluster));
    buffer_release(&no_nonce);
    buffer_release(&no_cluster);
    char cluster[257] = { 0 };
    memset(cluster, 'c', 256);
    struct buffer long_cluster = encoded(cluster, "a:1", 1);
    expect_damage(buffer_view(&long_cluster));
    buffer_release(&long_cluster);
}

/* Finding each other, over the real loopback interface */

struct world {
    uv_loop_t loop;
    uv_timer_t alarm;
    bool late;
    char cluster[32];
    uint16_t port;
    struct discovery *nodes[3];
    int closed;
    struct heard_by {
        char first[ADDRESS_BYTES_MAX];
        int calls;
    } heard[3];
};

static void alarm_rang(uv_timer_t *alarm)
{
    struct world *w = alarm->data;
    w->late = true;
}

static void world_begin(struct world *w)
{
    *w = (struct world){ .port = (uint16_t)(20000 + getpid() % 20000) };
    snprintf(w->cluster, sizeof w->cluster, "test-%d", (int)getpid());
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->alarm), 0);
    w->alarm.data = w;
}

static void node_closed(void *context)
{
    ((struct world *)context)->closed++;
}

static void world_end(struct world *w)
{
    for (size_t i = 0; i < 3; i++) discovery_stop(w->nodes[i], node_closed, w);
    uv_close((uv_handle_t *)&w->alarm, NULL);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_int_equal(w->closed, 3); /* also those that never were */
}

/* Turns the loop until *count reaches wanted; false when that takes too long. */
static bool world_wait(struct world *w, const int *count, int wanted, uint64_t limit_ms)
{
    w->late = false;
    assert_int_equal(uv_timer_start(&w->alarm, alarm_rang, limit_ms, 0), 0);
    while (*count < wanted && !w->late) uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->alarm);
    return *count >= wanted;
}

static void node_found(void *context, const char *node)
{
    struct heard_by *heard = context;
    if (heard->calls++ == 0) memcpy(heard->first, node, strlen(node) + 1);
}

static void node_start(struct world *w, size_t i, const char *node, const char *cluster, uint64_t nonce)
{
    struct discovery_options options = {
        .node = node, .cluster = cluster, .port = w->port, .nonce = nonce, .random_seed = nonce
    };
    assert_ok(discovery_start(&w->loop, &options, node_found, &w->heard[i], &w->nodes[i]));
}

/* Sends what a node would send, from outside. */
static void shout(const struct world *w, struct bytes datagram)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(w->port) };
    assert_int_equal(inet_pton(AF_INET, "127.255.255.255", &to.sin_addr), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes), 0);
    assert_int_equal(sendto(fd, datagram.ptr, datagram.len, 0, (struct sockaddr *)&to, sizeof to), datagram.len);
    assert_int_equal(close(fd), 0);
}

static void shout_beacon(const struct world *w, const char *cluster, const char *node, uint64_t nonce)
{
    struct buffer b = encoded(cluster, node, nonce);
    shout(w, buffer_view(&b));
    buffer_release(&b);
}

static void test_two_nodes_of_a_machine_find_each_other(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    node_start(&w, 0, "localhost:8000", w.cluster, NONCE_A);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    node_start(&w, 1, "localhost:8001", w.cluster, NONCE_B);
    assert_true(world_wait(&w, &w.heard[0].calls, 1, 5000));
    assert_true(world_wait(&w, &w.heard[1].calls, 1, 5000));
    assert_string_equal(w.heard[0].first, "localhost:8001");
    assert_string_equal(w.heard[1].first, "localhost:8000");
    world_end(&w);
}

static void test_own_voice_foreign_clusters_and_noise_are_not_heard(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    node_start(&w, 0, "localhost:8000", w.cluster, NONCE_A);
    node_start(&w, 1, "localhost:8001", "another", NONCE_B);
    static const uint8_t noise[BEACON_BYTES_MAX + 100] = "QUIPUDSC";
    shout(&w, bytes_of(noise, sizeof noise));
    shout(&w, bytes_of(noise, 0));
    shout(&w, bytes_of(noise, 17));
    shout_beacon(&w, w.cluster, "localhost:8000", NONCE_B); /* its name, another process */
    shout_beacon(&w, w.cluster, "localhost:8002", NONCE_A); /* itself under another name */
    shout_beacon(&w, w.cluster, "localhost:8003", 9);       /* the end of the story */
    assert_true(world_wait(&w, &w.heard[0].calls, 1, 5000));
    assert_string_equal(w.heard[0].first, "localhost:8003");
    assert_int_equal(w.heard[0].calls, 1);
    assert_int_equal(w.heard[1].calls, 0);
    assert_int_equal(discovery_bad_count(w.nodes[0]), 3);
    world_end(&w);
}

static void test_one_who_repeats_itself_is_told_once(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    node_start(&w, 0, "localhost:8000", w.cluster, NONCE_A);
    for (uint64_t i = 1; i <= 50; i++) shout_beacon(&w, w.cluster, "localhost:8001", i);
    shout_beacon(&w, w.cluster, "localhost:8002", 9);
    assert_true(world_wait(&w, &w.heard[0].calls, 2, 5000));
    assert_string_equal(w.heard[0].first, "localhost:8001");
    assert_int_equal(w.heard[0].calls, 2);
    world_end(&w);
}

/* Thousands of names that nobody has: memory and calls stay bounded. */
static void test_crowd_of_strangers_is_bounded(void **state)
{
    (void)state;
    struct world w;
    char node[32];
    world_begin(&w);
    node_start(&w, 0, "localhost:8000", w.cluster, NONCE_A);
    uint64_t began_ms = uv_now(&w.loop);
    for (int i = 1; i <= 3000; i++) {
        snprintf(node, sizeof node, "localhost:%d", 10000 + i);
        shout_beacon(&w, w.cluster, node, 7);
        uv_run(&w.loop, UV_RUN_NOWAIT);
    }
    uint64_t seconds = (uv_now(&w.loop) - began_ms) / 1000 + 2;
    assert_in_range(w.heard[0].calls, 1, 100 * seconds);
    assert_true(w.heard[0].calls <= 256);
    world_end(&w);
}

static void test_port_of_somebody_else_is_a_warning_and_no_end(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(w.port) };
    assert_int_equal(inet_pton(AF_INET, "127.255.255.255", &own.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0); /* without SO_REUSEADDR: it is not shared */
    struct discovery_options options = { .node = "a:1", .cluster = "c", .port = w.port, .nonce = 1 };
    assert_err(discovery_start(&w.loop, &options, node_found, &w.heard[0], &w.nodes[0]), ERR_IO);
    assert_null(w.nodes[0]);
    assert_int_equal(close(fd), 0);
    world_end(&w);
}

static enum err start_and_stop(void *context)
{
    struct world *w = context;
    struct discovery *d = NULL;
    struct discovery_options options = { .node = "a:1", .cluster = w->cluster, .port = w->port, .nonce = 1 };
    enum err err = discovery_start(&w->loop, &options, node_found, &w->heard[0], &d);
    discovery_stop(d, NULL, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return err;
}

static void test_running_out_of_memory_at_the_start_leaves_nothing(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    assert_true(each_allocation_fails(start_and_stop, &w) >= 3);
    world_end(&w);
}

int main(void)
{
    log_setup(LOG_TEXT, LOG_ERROR); /* warnings are part of these stories */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagram_is_byte_for_byte_as_documented),
        cmocka_unit_test(test_longest_names_fit_a_datagram),
        cmocka_unit_test(test_datagram_cut_anywhere_or_with_more_behind_is_damaged),
        cmocka_unit_test(test_datagram_with_any_bit_flipped_is_damaged),
        cmocka_unit_test(test_well_formed_nonsense_is_damage),
        cmocka_unit_test(test_two_nodes_of_a_machine_find_each_other),
        cmocka_unit_test(test_own_voice_foreign_clusters_and_noise_are_not_heard),
        cmocka_unit_test(test_one_who_repeats_itself_is_told_once),
        cmocka_unit_test(test_crowd_of_strangers_is_bounded),
        cmocka_unit_test(test_port_of_somebody_else_is_a_warning_and_no_end),
        cmocka_unit_test(test_running_out_of_memory_at_the_start_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
