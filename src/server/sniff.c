/* SPDX-License-Identifier: Apache-2.0 */
#include "server/sniff.h"

#include "cluster/link.h"

#define TLS_HANDSHAKE 0x16

/* What HTTP begins with; one of HTTP_TARGET_STARTS follows. PRI is the preface of HTTP/2, for http to refuse. */
static const char *const http_methods[] = {
    "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "TRACE ", "CONNECT ", "PRI ",
};
#define HTTP_TARGET_STARTS "/*h"

/* Whether text is at the front of first, or, where first is shorter, could still become so (SNIFF_MORE). */
static enum sniff match(struct bytes first, const char *text, size_t len, enum sniff when_matched)
{
    size_t shorter = first.len < len ? first.len : len;
    if (memcmp(first.ptr, text, shorter) != 0) return SNIFF_RESP;
    return first.len < len ? SNIFF_MORE : when_matched;
}

static enum sniff match_http(struct bytes first, const char *method)
{
    size_t len = strlen(method);
    enum sniff matched = match(first, method, len, SNIFF_HTTP);
    if (matched != SNIFF_HTTP) return matched;
    if (first.len == len) return SNIFF_MORE;
    return memchr(HTTP_TARGET_STARTS, first.ptr[len], sizeof HTTP_TARGET_STARTS - 1) ? SNIFF_HTTP : SNIFF_RESP;
}

enum sniff sniff_protocol(struct bytes first)
{
    if (first.len == 0) return SNIFF_MORE;
    if (first.ptr[0] == TLS_HANDSHAKE) return SNIFF_TLS;
    enum sniff best = match(first, LINK_GREETING, LINK_GREETING_BYTES, SNIFF_PEER);
    for (size_t i = 0; best == SNIFF_RESP && i < sizeof http_methods / sizeof *http_methods; i++)
        best = match_http(first, http_methods[i]);
    return best == SNIFF_MORE && first.len >= SNIFF_BYTES_MAX ? SNIFF_RESP : best;
}
