/* SPDX-License-Identifier: Apache-2.0 */
#include "http/answer.h"

#include "http/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define BODY_BYTES_KEPT (4u << 10)

static const struct {
    unsigned status;
    const char *code, *title;
} faults[] = { [FAULT_NONE] = { 200, "", "" },
#define X(name, status, code, title) [FAULT_##name] = { status, code, title },
               FAULT_LIST(X)
#undef X
};

enum fault fault_of_err(enum err err)
{
    switch (err) {
    case ERR_RANGE:
        return FAULT_RANGE;
    case ERR_FULL:
        return FAULT_DISK_FULL;
    case ERR_FENCED:
        return FAULT_FENCED;
    case ERR_CLOSED:
        return FAULT_CLOSING;
    case ERR_NOMEM:
        return FAULT_MEMORY;
    default:
        return FAULT_INVALID;
    }
}

const char *fault_title(enum fault fault)
{
    return faults[fault].title;
}

void answer_begin(struct answer *a, enum style style)
{
    struct buffer body = a->body;
    if (body.cap > BODY_BYTES_KEPT) buffer_release(&body);
    buffer_clear(&body);
    *a = (struct answer){ .style = style, .status = 200, .media = "application/json", .body = body };
}

void answer_release(struct answer *a)
{
    buffer_release(&a->body);
}

void answer_saw(struct answer *a, uint64_t commit)
{
    if (commit > a->gate) a->gate = commit;
}

void answer_fail(struct answer *a, enum fault fault, const char *detail)
{
    REQUIRE(fault > FAULT_NONE && fault < FAULT_COUNT);
    struct buffer *body = &a->body;
    struct bytes text = bytes_of_text(detail ? detail : faults[fault].title);
    buffer_clear(body);
    a->status = faults[fault].status;
    a->retry_after = fault == FAULT_CLOSING;
    a->close = fault == FAULT_LENGTH;
    if (a->style == STYLE_ORIGINAL) {
        a->media = "application/json";
        buffer_text(body, "{\"success\":false,\"error\":");
        json_write_text(body, text);
        buffer_text(body, "}");
        return;
    }
    a->media = "application/problem+json";
    buffer_printf(body,
                  "{\"type\":\"urn:quipu:problem:%s\",\"title\":\"%s\",\"status\":%u,\"detail\":", faults[fault].code,
                  faults[fault].title, faults[fault].status);
    json_write_text(body, text);
    buffer_text(body, ",\"indeterminate\":false}");
}

/* Bytes */

const char *date_text(struct date *d, uint64_t wall_us)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };
    uint64_t second = wall_us / 1000000;
    if (d->text[0] && d->second == second) return d->text;
    time_t now = (time_t)second;
    struct tm t;
    if (!gmtime_r(&now, &t)) return "Thu, 01 Jan 1970 00:00:00 GMT"; /* a clock millions of years off */
    d->second = second;
    /* strftime would follow the locale */
    snprintf(d->text, sizeof d->text, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[t.tm_wday], (unsigned)t.tm_mday % 100,
             months[t.tm_mon], (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
             (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
    return d->text;
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

static void field_write(struct buffer *out, const char *name, const char *value)
{
    buffer_text(out, name);
    buffer_text(out, ": ");
    buffer_text(out, value);
    buffer_text(out, "\r\n");
}

void answer_write(const struct answer *a, const struct answer_frame *frame, struct buffer *out)
{
    if (a->body.failed) out->failed = true; /* half an answer is none */
    buffer_text(out, "HTTP/1.1 ");
    buffer_decimal(out, a->status);
    buffer_u8(out, ' ');
    buffer_text(out, reason_of(a->status));
    buffer_text(out, "\r\n");
    if (a->status != 204) { /* which has no body, and must not say how long it is: RFC 9110, 8.6 */
        if (a->media) field_write(out, "Content-Type", a->media);
        buffer_text(out, "Content-Length: ");
        buffer_decimal(out, (int64_t)a->body.len);
        buffer_text(out, "\r\n");
    }
    field_write(out, "Date", frame->date);
    if (a->allow && a->status == 405) field_write(out, "Allow", a->allow);
    if (a->retry_after) field_write(out, "Retry-After", "1");
    if (frame->close) {
        field_write(out, "Connection", "close");
    } else if (frame->old_version) {
        field_write(out, "Connection", "keep-alive");
    }
    buffer_text(out, "\r\n");
    if (!frame->without_body) buffer_bytes(out, buffer_view(&a->body));
}
