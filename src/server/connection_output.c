/* SPDX-License-Identifier: Apache-2.0 */
/* The way out: the gate, then one uv_try_write for a batch of replies, and uv_write for what the kernel did not take.
 */
#include "server/connection.h"

size_t connection_unread_bytes(const struct connection *c)
{
    size_t queued = c->is_writing ? uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) : 0;
    return outbox_bytes(&c->out) + queued;
}

static void on_written(uv_write_t *write, int status)
{
    struct connection *c = write->data;
    c->is_writing = false;
    connections_give_buffer(c->set, &c->writing);
    if (c->phase == PHASE_CLOSED) return;
    if (status != 0) {
        connection_close(c);
        return;
    }
    stats_add(c->set->options.service.stats, STAT_bytes_out, c->writing_bytes);
    connection_go_on(c);
}

/* The bytes go with the buffer that holds them, so that replies to come can be appended to another one. */
static bool write_later(struct connection *c)
{
    struct buffer fresh = connections_get_buffer(c->set);
    size_t from = 0;
    if (outbox_detach(&c->out, &fresh, &c->writing, &from) != ERR_OK) {
        connections_give_buffer(c->set, &fresh);
        connection_close(c);
        return false;
    }
    c->writing_bytes = c->writing.len - from;
    c->write.data = c;
    uv_buf_t buf = uv_buf_init((char *)c->writing.ptr + from, (unsigned)c->writing_bytes);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0) {
        connection_close(c);
        return false;
    }
    c->is_writing = true;
    return true;
}

static bool write_now(struct connection *c)
{
    struct bytes ready = outbox_ready(&c->out);
    if (c->is_writing || ready.len == 0) return true;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)ready.ptr, (unsigned)ready.len);
    int wrote = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (wrote == UV_EAGAIN) wrote = 0;
    if (wrote < 0) {
        connection_close(c);
        return false;
    }
    outbox_take(&c->out, (size_t)wrote);
    stats_add(c->set->options.service.stats, STAT_bytes_out, (uint64_t)wrote);
    if (outbox_ready(&c->out).len > 0) return write_later(c);
    return true;
}

/* True: what waits will be let out by a wake-up, or nothing waits. False: the gate has opened meanwhile. */
static bool wait_for_gate(struct connection *c)
{
    uint64_t commit = outbox_waits_for(&c->out);
    if (commit == 0) {
        connections_unwait(c);
        return true;
    }
    if (c->is_waiting) return true; /* the worker's wake-up is for this commit or an earlier one */
    if (!gate_wait(c->set->options.gate, c->set->options.waiter, commit)) return false;
    connections_wait(c);
    return true;
}

bool connection_flush(struct connection *c)
{
    do {
        outbox_release(&c->out, gate_released(c->set->options.gate));
        if (!write_now(c)) return false;
    } while (!wait_for_gate(c));
    if (c->out.bytes.ptr && c->out.bytes.len == 0) connections_give_buffer(c->set, &c->out.bytes);
    return true;
}
