/* SPDX-License-Identifier: Apache-2.0 */
/* Every node of a machine binds the same port of 127.255.255.255 (SO_REUSEADDR lets them share it, and a broadcast
 * reaches them all). Bound to that address, the socket hears broadcasts on loopback and nothing else.
 *
 * A node announces itself three times within its first half second, since others may start at the same moment, then
 * every two seconds. When it hears one that it does not know it announces itself again, so that the newcomer need not
 * wait. Nothing is answered to a sender directly.
 *
 * What strangers can cost: ANNOUNCE_GAP_MS bounds what they make this node send, the table what they make it remember,
 * and TELLS_PER_S how many addresses they make it contact. */
#include "server/discovery.h"

#include "base/alloc.h"
#include "base/random.h"
#include "server/beacon.h"
#include "server/endpoint.h"
#include "server/log.h"

#include <arpa/inet.h>
#include <inttypes.h>

#define BROADCAST_ADDRESS "127.255.255.255"
#define PERIOD_MS 2000
#define PERIOD_JITTER_PERCENT 20
#define ANSWER_MS_MIN 5 /* several answer the same newcomer: not all at the same instant */
#define ANSWER_MS_SPREAD 45
#define ANNOUNCE_GAP_MS 100
#define TELL_AGAIN_MS 5000
#define TELLS_PER_S 100
#define FORGET_MS 30000
#define HEARD_COUNT_MAX 256

/* After the first announcement; then PERIOD_MS. */
static const uint64_t first_gaps_ms[] = { 200, 300 };

struct heard {
    char node[ADDRESS_BYTES_MAX];
    uint64_t nonce, heard_at_ms, told_at_ms;
};

struct discovery {
    uv_loop_t *loop;
    uv_udp_t socket;
    uv_timer_t timer;
    uint32_t handles; /* on the loop */
    struct sockaddr_in broadcast;
    struct random random;
    char node[ADDRESS_BYTES_MAX];
    char *cluster;
    uint64_t nonce, announced_at_ms, announced_count, bad_count;
    uint64_t tells_second; /* the second that tells_count is about */
    uint32_t tells_count;
    struct buffer announcement; /* ours; it never changes */
    discovery_found *found;
    discovery_closed *closed;
    void *context, *closed_context;
    uint32_t heard_count;
    struct heard heard[HEARD_COUNT_MAX];
    char input[BEACON_BYTES_MAX];
};

static void announce_due(uv_timer_t *timer);

/* Sets the timer unless it fires before that anyway. */
static void announce_within(struct discovery *d, uint64_t delay_ms)
{
    if (uv_is_active((uv_handle_t *)&d->timer) && uv_timer_get_due_in(&d->timer) <= delay_ms) return;
    int set = uv_timer_start(&d->timer, announce_due, delay_ms, 0);
    REQUIRE(set == 0); /* only a closing timer refuses, and that one hears nothing any more */
}

static uint64_t gap_after_ms(struct discovery *d)
{
    uint64_t sent = d->announced_count - 1;
    if (sent < sizeof first_gaps_ms / sizeof *first_gaps_ms) return first_gaps_ms[sent];
    return random_jitter(&d->random, PERIOD_MS, PERIOD_JITTER_PERCENT);
}

/* One that gets lost is made good by the next. */
static void announce(struct discovery *d)
{
    uv_buf_t datagram = uv_buf_init((char *)d->announcement.ptr, (unsigned)d->announcement.len);
    int sent = uv_udp_try_send(&d->socket, &datagram, 1, (const struct sockaddr *)&d->broadcast);
    if (sent < 0) log_line(LOG_DEBUG, "discovery: sending failed: %s", uv_strerror(sent));
    d->announced_at_ms = uv_now(d->loop);
    d->announced_count++;
    announce_within(d, gap_after_ms(d));
}

static void announce_due(uv_timer_t *timer)
{
    announce(timer->data);
}

static void announce_to_newcomer(struct discovery *d)
{
    uint64_t delay_ms = ANSWER_MS_MIN + random_below(&d->random, ANSWER_MS_SPREAD);
    uint64_t since_ms = uv_now(d->loop) - d->announced_at_ms;
    if (since_ms + delay_ms < ANNOUNCE_GAP_MS) delay_ms = ANNOUNCE_GAP_MS - since_ms;
    announce_within(d, delay_ms);
}

static struct heard *heard_find(struct discovery *d, struct bytes node)
{
    for (uint32_t i = 0; i < d->heard_count; i++) {
        if (bytes_equal(bytes_of_text(d->heard[i].node), node)) return &d->heard[i];
    }
    return NULL;
}

/* A place for one more; when all are taken, that of the one silent for longest, if it is silent. */
static struct heard *heard_add(struct discovery *d, struct bytes node, uint64_t now_ms)
{
    struct heard *h = &d->heard[0];
    if (d->heard_count < HEARD_COUNT_MAX) {
        h = &d->heard[d->heard_count++];
    } else {
        for (uint32_t i = 1; i < HEARD_COUNT_MAX; i++) {
            if (d->heard[i].heard_at_ms < h->heard_at_ms) h = &d->heard[i];
        }
        if (now_ms - h->heard_at_ms < FORGET_MS) return NULL;
    }
    REQUIRE(node.len < sizeof h->node);
    *h = (struct heard){ 0 };
    memcpy(h->node, node.ptr, node.len);
    return h;
}

static bool tells_allow(struct discovery *d, uint64_t now_ms)
{
    if (now_ms / 1000 != d->tells_second) {
        d->tells_second = now_ms / 1000;
        d->tells_count = 0;
    }
    return d->tells_count++ < TELLS_PER_S;
}

static void hear(struct discovery *d, const struct beacon *beacon)
{
    if (!bytes_equal(beacon->cluster, bytes_of_text(d->cluster)) || beacon->nonce == d->nonce) return;
    if (bytes_equal(beacon->node, bytes_of_text(d->node))) {
        log_line(LOG_WARN, "discovery: another process announces itself as %s too", d->node);
        return;
    }
    uint64_t now_ms = uv_now(d->loop);
    struct heard *h = heard_find(d, beacon->node);
    if (!h) h = heard_add(d, beacon->node, now_ms);
    if (!h) {
        log_line(LOG_WARN, "discovery: more than %d nodes announce themselves; ignoring %.*s", HEARD_COUNT_MAX,
                 (int)beacon->node.len, (const char *)beacon->node.ptr);
        return;
    }
    if (h->nonce != beacon->nonce) announce_to_newcomer(d);
    h->nonce = beacon->nonce;
    h->heard_at_ms = now_ms;
    if (h->told_at_ms > 0 && now_ms - h->told_at_ms < TELL_AGAIN_MS) return;
    if (!tells_allow(d, now_ms)) return;
    h->told_at_ms = now_ms > 0 ? now_ms : 1;
    d->found(d->context, h->node);
}

static void input_wanted(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct discovery *d = handle->data;
    *ret_buf = uv_buf_init(d->input, sizeof d->input);
}

static void input_came(uv_udp_t *socket, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct discovery *d = socket->data;
    struct beacon beacon;
    if (len < 0) {
        log_line(LOG_WARN, "discovery: receiving failed: %s", uv_strerror((int)len));
        return;
    }
    if (!from) return; /* nothing more to read */
    if (flags & UV_UDP_PARTIAL || beacon_decode(bytes_of(buf->base, (size_t)len), &beacon) != ERR_OK) {
        d->bad_count++;
        log_line(LOG_DEBUG, "discovery: dropped a datagram of %zd bytes that is not an announcement", len);
        return;
    }
    hear(d, &beacon);
}

uint64_t discovery_bad_count(const struct discovery *d)
{
    return d ? d->bad_count : 0;
}

/* Birth and death */

static void discovery_free(struct discovery *d)
{
    buffer_release(&d->announcement);
    mem_free(d->cluster);
    mem_free(d);
}

static void handle_closed(uv_handle_t *handle)
{
    struct discovery *d = handle->data;
    if (--d->handles > 0) return;
    discovery_closed *closed = d->closed;
    void *context = d->closed_context;
    discovery_free(d);
    if (closed) closed(context);
}

void discovery_stop(struct discovery *d, discovery_closed *closed, void *context)
{
    if (!d) {
        if (closed) closed(context);
        return;
    }
    d->closed = closed;
    d->closed_context = context;
    uv_close((uv_handle_t *)&d->socket, handle_closed);
    uv_close((uv_handle_t *)&d->timer, handle_closed);
}

static struct discovery *discovery_new(uv_loop_t *loop, const struct discovery_options *options, discovery_found *found,
                                       void *context)
{
    size_t node_len = strlen(options->node), cluster_len = strlen(options->cluster);
    struct discovery *d = mem_alloc_zero(1, sizeof *d);
    if (!d) return NULL;
    REQUIRE(node_len < sizeof d->node && options->nonce != 0);
    d->loop = loop;
    d->nonce = options->nonce;
    d->found = found;
    d->context = context;
    memcpy(d->node, options->node, node_len);
    random_init(&d->random, options->random_seed);
    struct beacon self = { options->nonce, bytes_of_text(options->cluster), bytes_of_text(options->node) };
    d->cluster = mem_alloc_zero(cluster_len + 1, 1);
    if (!d->cluster || beacon_encode(&self, &d->announcement) != ERR_OK) {
        discovery_free(d);
        return NULL;
    }
    memcpy(d->cluster, options->cluster, cluster_len);
    return d;
}

static int socket_open(struct discovery *d, uint16_t port)
{
    int err = uv_ip4_addr(BROADCAST_ADDRESS, port, &d->broadcast);
    if (!err) err = uv_udp_bind(&d->socket, (const struct sockaddr *)&d->broadcast, UV_UDP_REUSEADDR);
    if (!err) err = uv_udp_set_broadcast(&d->socket, 1);
    if (!err) err = uv_udp_recv_start(&d->socket, input_wanted, input_came);
    return err;
}

enum err discovery_start(uv_loop_t *loop, const struct discovery_options *options, discovery_found *found,
                         void *context, struct discovery **ret_discovery)
{
    *ret_discovery = NULL;
    struct discovery *d = discovery_new(loop, options, found, context);
    if (!d) return ERR_NOMEM;
    int err = uv_udp_init(loop, &d->socket);
    REQUIRE(err == 0); /* no socket is made yet */
    err = uv_timer_init(loop, &d->timer);
    REQUIRE(err == 0);
    d->socket.data = d->timer.data = d;
    d->handles = 2;
    err = socket_open(d, options->port);
    if (err) {
        log_line(LOG_WARN, "discovery: cannot use UDP port %" PRIu16 " of " BROADCAST_ADDRESS ": %s; going on without",
                 options->port, uv_strerror(err));
        discovery_stop(d, NULL, NULL);
        return ERR_IO;
    }
    announce(d);
    *ret_discovery = d;
    return ERR_OK;
}
