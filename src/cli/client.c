/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"

#include <errno.h>
#include <inttypes.h>
#include <llhttp.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (16u << 10)

struct exchange {
    const struct call *call;
    struct failure *failure;
    uint64_t deadline_ms;
    int fd;
    llhttp_t parser;
    size_t head_bytes; /* of all that came before the body */
    bool in_body, complete, too_long;
    struct answer answer;
};

/* Always ERR_IO. */
static enum err fail(struct exchange *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum err fail(struct exchange *x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(x->failure->text, sizeof x->failure->text, format, args);
    va_end(args);
    return ERR_IO;
}

/* Time */

static uint64_t now_ms(void)
{
    struct timespec now = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether fd was ready for `events` before the time came. */
static bool wait_until(int fd, short events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd p = { .fd = fd, .events = events };
        int ready = poll(&p, 1, now < until_ms ? (int)(until_ms - now) : 0);
        if (ready > 0) return true;
        if (ready == 0 || errno != EINTR) return false;
    }
}

/* Connecting */

/* A connected socket, or -1 with errno. */
static int connect_one(const struct addrinfo *address, uint64_t until_ms)
{
    int err = 0, fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof err;
    if (fd < 0) return -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) return fd;
    err = errno;
    if (err == EINPROGRESS && !wait_until(fd, POLLOUT, until_ms)) err = ETIMEDOUT;
    if (err == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) err = errno;
    if (err == 0) return fd;
    close(fd);
    errno = err;
    return -1;
}

/* Tries the addresses in turn; one that is silent leaves time for those behind it. */
static enum err connect_any(struct exchange *x, const struct addrinfo *addresses)
{
    unsigned left = 0;
    for (const struct addrinfo *a = addresses; a; a = a->ai_next) left++;
    errno = 0;
    for (const struct addrinfo *a = addresses; a; a = a->ai_next, left--) {
        uint64_t now = now_ms();
        if (now >= x->deadline_ms) break;
        x->fd = connect_one(a, now + (x->deadline_ms - now) / left);
        if (x->fd >= 0) return ERR_OK;
    }
    return fail(x, "cannot connect to %s: %s", x->call->node->text, strerror(errno != 0 ? errno : ETIMEDOUT));
}

/* The resolver has deadlines of its own, and no way to be given ours. */
static enum err exchange_connect(struct exchange *x)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *addresses = NULL;
    char port[8];
    snprintf(port, sizeof port, "%" PRIu16, x->call->node->port);
    int resolved = getaddrinfo(x->call->node->host, port, &hints, &addresses);
    if (resolved != 0) {
        return fail(x, "cannot find %s: %s", x->call->node->host,
                    resolved == EAI_SYSTEM ? strerror(errno) : gai_strerror(resolved));
    }
    enum err err = connect_any(x, addresses);
    freeaddrinfo(addresses);
    return err;
}

/* Sending */

static void request_write(const struct call *call, struct buffer *out)
{
    buffer_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAccept: application/json\r\n", call->method,
                  call->path, call->node->text);
    if (call->body.len > 0) {
        buffer_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", call->body.len);
    }
    buffer_text(out, "\r\n");
    buffer_bytes(out, call->body);
}

static enum err send_all(struct exchange *x, struct bytes rest)
{
    while (rest.len > 0) {
        ssize_t sent = send(x->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (sent > 0) {
            x->failure->maybe_done = true;
            rest = bytes_of(rest.ptr + sent, rest.len - (size_t)sent);
        } else if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return ERR_OK; /* perhaps it has said why: read on */
        } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(x, "cannot send to %s: %s", x->call->node->text, strerror(errno));
        } else if (!wait_until(x->fd, POLLOUT, x->deadline_ms)) {
            return fail(x, "%s takes no request", x->call->node->text);
        }
    }
    return ERR_OK;
}

static enum err exchange_send(struct exchange *x)
{
    struct buffer request = { 0 };
    request_write(x->call, &request);
    enum err err = buffer_end(&request);
    if (err == ERR_OK)
        err = send_all(x, buffer_view(&request));
    else
        (void)fail(x, "%s", err_text(err));
    buffer_release(&request);
    return err;
}

/* Receiving */

static int head_came(llhttp_t *parser)
{
    struct exchange *x = parser->data;
    x->in_body = true;
    return 0;
}

static int body_came(llhttp_t *parser, const char *at, size_t len)
{
    struct exchange *x = parser->data;
    x->too_long = len > CLIENT_BODY_BYTES_MAX - x->answer.body.len;
    if (x->too_long) return -1;
    buffer_bytes(&x->answer.body, bytes_of(at, len));
    return x->answer.body.failed ? -1 : 0;
}

static int message_came(llhttp_t *parser)
{
    struct exchange *x = parser->data;
    if (parser->status_code / 100 == 1) { /* only news; the answer comes behind it */
        x->in_body = false;
        return 0;
    }
    x->answer.status = parser->status_code;
    x->complete = true;
    return HPE_PAUSED;
}

static enum err fail_parse(struct exchange *x, llhttp_errno_t err)
{
    const char *node = x->call->node->text, *reason = llhttp_get_error_reason(&x->parser);
    if (x->answer.body.failed) return fail(x, "%s", err_text(ERR_NOMEM));
    if (x->too_long) return fail(x, "the answer of %s is longer than %u bytes", node, CLIENT_BODY_BYTES_MAX);
    return fail(x, "the answer of %s is not HTTP: %s", node, reason && reason[0] ? reason : llhttp_errno_name(err));
}

static enum err parse(struct exchange *x, const char *input, size_t len)
{
    if (!x->in_body) x->head_bytes += len;
    llhttp_errno_t err = llhttp_execute(&x->parser, input, len);
    if (x->complete) return ERR_OK;
    if (err != HPE_OK) return fail_parse(x, err);
    if (!x->in_body && x->head_bytes > CLIENT_HEAD_BYTES_MAX) {
        return fail(x, "the head of the answer of %s is longer than %u bytes", x->call->node->text,
                    CLIENT_HEAD_BYTES_MAX);
    }
    return ERR_OK;
}

/* Whether something came before the deadline. */
static bool wait_for_answer(struct exchange *x)
{
    for (uint32_t waited_s = 1;; waited_s++) {
        uint64_t now = now_ms();
        bool is_last = !x->call->waiting || x->deadline_ms <= now + 1000;
        if (wait_until(x->fd, POLLIN, is_last ? x->deadline_ms : now + 1000)) return true;
        if (is_last) return false;
        x->call->waiting(x->call->context, waited_s);
    }
}

static enum err exchange_receive(struct exchange *x)
{
    char input[READ_BYTES];
    const char *node = x->call->node->text;
    while (!x->complete) {
        /* The time is looked at even when there is always something to read. */
        if (now_ms() >= x->deadline_ms || !wait_for_answer(x)) {
            return fail(x, "no whole answer from %s within %" PRIu32 " s", node, x->call->timeout_ms / 1000);
        }
        ssize_t len = recv(x->fd, input, sizeof input, 0);
        if (len < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (len < 0) return fail(x, "cannot read from %s: %s", node, strerror(errno));
        enum err err = len > 0 ? parse(x, input, (size_t)len) : ERR_OK;
        if (err != ERR_OK) return err;
        if (len > 0) continue;
        (void)llhttp_finish(&x->parser); /* an answer may end with its connection; message_came says so */
        if (!x->complete) return fail(x, "%s closed the connection before its answer was complete", node);
    }
    return ERR_OK;
}

enum err client_call(const struct call *call, struct answer *ret_answer, struct failure *ret_failure)
{
    *ret_failure = (struct failure){ 0 };
    struct exchange x = { .call = call, .failure = ret_failure, .deadline_ms = now_ms() + call->timeout_ms, .fd = -1 };
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = head_came;
    settings.on_body = body_came;
    settings.on_message_complete = message_came;
    llhttp_init(&x.parser, HTTP_RESPONSE, &settings);
    x.parser.data = &x;
    enum err err = exchange_connect(&x);
    if (err == ERR_OK) err = exchange_send(&x);
    if (err == ERR_OK) err = exchange_receive(&x);
    if (x.fd >= 0) close(x.fd);
    if (err != ERR_OK) {
        buffer_release(&x.answer.body);
        return err;
    }
    *ret_answer = x.answer;
    return ERR_OK;
}

void client_escape(struct buffer *path, struct bytes name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (memchr(plain, c, sizeof plain - 1))
            buffer_u8(path, c);
        else
            buffer_printf(path, "%%%02X", c);
    }
}
