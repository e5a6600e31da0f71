/* SPDX-License-Identifier: Apache-2.0 */
#include "server/outbox.h"

void outbox_close(struct outbox *o, uint64_t commit, uint64_t released)
{
    size_t end = o->bytes.len;
    if (o->marks_count == 0) {
        if (commit <= released) {
            o->open = end;
        } else if (end > o->open) {
            o->marks[o->marks_count++] = (struct outbox_mark){ end, commit };
        }
        return;
    }
    struct outbox_mark *last = &o->marks[o->marks_count - 1];
    if (commit > last->commit && end > last->end && o->marks_count < OUTBOX_MARKS_MAX) {
        o->marks[o->marks_count++] = (struct outbox_mark){ end, commit };
        return;
    }
    if (commit > last->commit && end > last->end) last->commit = commit;
    last->end = end;
}

void outbox_release(struct outbox *o, uint64_t released)
{
    uint32_t done = 0;
    while (done < o->marks_count && o->marks[done].commit <= released) o->open = o->marks[done++].end;
    if (done == 0) return;
    o->marks_count -= done;
    memmove(o->marks, o->marks + done, o->marks_count * sizeof *o->marks);
}

uint64_t outbox_waits_for(const struct outbox *o)
{
    return o->marks_count > 0 ? o->marks[0].commit : 0;
}

struct bytes outbox_ready(const struct outbox *o)
{
    size_t len = o->open - o->sent;
    return bytes_of(len > 0 ? o->bytes.ptr + o->sent : NULL, len);
}

void outbox_take(struct outbox *o, size_t sent)
{
    REQUIRE(sent <= o->open - o->sent);
    o->sent += sent;
    if (o->sent < o->bytes.len) return;
    o->bytes.len = 0;
    o->sent = 0;
    o->open = 0;
}

enum err outbox_detach(struct outbox *o, struct buffer *fresh, struct buffer *ret_ready, size_t *ret_from)
{
    size_t cut = o->open;
    if (o->bytes.len > cut) buffer_bytes(fresh, bytes_of(o->bytes.ptr + cut, o->bytes.len - cut));
    if (fresh->failed) {
        buffer_clear(fresh);
        return ERR_NOMEM;
    }
    *ret_ready = o->bytes;
    ret_ready->len = cut;
    *ret_from = o->sent;
    o->bytes = *fresh;
    o->sent = 0;
    o->open = 0;
    for (uint32_t i = 0; i < o->marks_count; i++) o->marks[i].end -= cut;
    return ERR_OK;
}
