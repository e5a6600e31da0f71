/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes over a link. One uv_write is under way at a time, of what fits into a step; what it took is told, the rest
 * follows. */
#include "server/links_private.h"

#include "base/alloc.h"

/* The queue */

static struct shared *queue_at(const struct tcp_queue *q, uint32_t i)
{
    return q->items[(q->first + i) & (q->cap - 1)];
}

enum err tcp_queue_add(struct tcp_queue *q, struct shared *bytes)
{
    if (q->count == q->cap) {
        uint32_t cap = q->cap > 0 ? 2 * q->cap : 16;
        struct shared **grown = mem_alloc(cap * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        for (uint32_t i = 0; i < q->count; i++) grown[i] = queue_at(q, i);
        mem_free(q->items);
        q->items = grown;
        q->first = 0;
        q->cap = cap;
    }
    q->items[(q->first + q->count++) & (q->cap - 1)] = bytes;
    return ERR_OK;
}

static void queue_take(struct tcp_queue *q, size_t sent)
{
    sent += q->sent;
    while (q->count > 0 && sent >= queue_at(q, 0)->len) {
        struct shared *gone = queue_at(q, 0);
        sent -= gone->len;
        q->first = (q->first + 1) & (q->cap - 1);
        q->count--;
        shared_drop(gone);
    }
    q->sent = sent;
}

void tcp_queue_release(struct tcp_queue *q)
{
    for (uint32_t i = 0; i < q->count; i++) shared_drop(queue_at(q, i));
    mem_free(q->items);
    *q = (struct tcp_queue){ 0 };
}

/* Writing */

static void on_written(uv_write_t *write, int status)
{
    struct tcp_link *k = write->data;
    k->is_writing = false;
    if (k->state == LINK_ENDED) {
        tcp_queue_release(&k->queue);
        return;
    }
    if (status != 0) {
        tcp_link_end(k, uv_strerror(status));
        return;
    }
    queue_take(&k->queue, k->writing_bytes);
    struct event event = { .kind = EVENT_LINK_SENT };
    event.as.link.sent = k->writing_bytes;
    tcp_link_write_start(k);
    if (k->state == LINK_CLOSING) tcp_link_said_all(k);
    if (k->state == LINK_UP || k->state == LINK_CLOSING) tcp_link_report(k, &event);
}

void tcp_link_write_start(struct tcp_link *k)
{
    if (k->is_writing || k->queue.count == 0) return;
    uv_buf_t bufs[LINK_WRITE_BUFS_MAX];
    uint32_t count = 0;
    size_t total = 0, skip = k->queue.sent;
    for (; count < k->queue.count && count < LINK_WRITE_BUFS_MAX && total < LINK_WRITE_BYTES_MAX; count++) {
        struct shared *s = queue_at(&k->queue, count);
        size_t len = s->len - skip;
        if (len > LINK_WRITE_BYTES_MAX - total) len = LINK_WRITE_BYTES_MAX - total;
        bufs[count] = uv_buf_init((char *)s->ptr + skip, (unsigned)len);
        total += len;
        skip = 0;
    }
    k->write.data = k;
    k->writing_bytes = total;
    int status = uv_write(&k->write, (uv_stream_t *)&k->tcp, bufs, count, on_written);
    if (status != 0) {
        tcp_link_end(k, uv_strerror(status));
        return;
    }
    k->is_writing = true;
}

static void on_shut_down(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status; /* the other side's end, or the time, ends the link */
}

void tcp_link_said_all(struct tcp_link *k)
{
    if (k->queue.count > 0 || k->is_writing || k->has_said_end) return;
    k->has_said_end = true;
    int status = uv_shutdown(&k->shutdown, (uv_stream_t *)&k->tcp, on_shut_down);
    if (status != 0) tcp_link_end(k, NULL);
}

/* Reading */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    struct tcp_link *k = handle->data;
    *ret_buf = uv_buf_init((char *)k->links->read_buffer, LINK_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct tcp_link *k = stream->data;
    if (got == 0 || k->state == LINK_ENDED) return;
    if (got < 0) {
        bool was_asked = k->state == LINK_CLOSING;
        tcp_link_end(k, was_asked ? NULL : got == UV_EOF ? "closed by the other side" : uv_strerror((int)got));
        return;
    }
    if (k->state != LINK_UP) return;
    struct event event = { .kind = EVENT_LINK_BYTES };
    event.as.link.bytes = bytes_of(buf->base, (size_t)got);
    tcp_link_report(k, &event);
}

void tcp_link_read_start(struct tcp_link *k)
{
    if (k->is_reading) return;
    int status = uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read);
    if (status != 0) {
        tcp_link_end(k, uv_strerror(status));
        return;
    }
    k->is_reading = true;
}
