/* SPDX-License-Identifier: Apache-2.0 */
#include "server/endpoint.h"

#include <arpa/inet.h>
#include <strings.h>

#define LABEL_BYTES_MAX 63

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool label_is_valid(struct bytes label)
{
    if (label.len == 0 || label.len > LABEL_BYTES_MAX || label.ptr[0] == '-') return false;
    for (size_t i = 0; i < label.len; i++) {
        uint8_t c = label.ptr[i];
        if (!is_digit(c) && !is_letter(c) && c != '-' && c != '_') return false;
    }
    return true;
}

/* A name whose last label begins with a digit is read as an address by the resolver, in forms as old as "127.1" or
 * "0x7f000001"; only the usual form is let through, so that what is checked is what is bound. */
static bool host_is_name_or_ipv4(const char *host)
{
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1) return true;
    struct bytes rest = bytes_of_text(host), label = { 0 };
    if (rest.len > 1 && rest.ptr[rest.len - 1] == '.') rest.len--; /* the root, said aloud */
    for (bool last = false; !last;) {
        const uint8_t *dot = rest.len > 0 ? memchr(rest.ptr, '.', rest.len) : NULL;
        last = !dot;
        label = bytes_of(rest.ptr, dot ? (size_t)(dot - rest.ptr) : rest.len);
        if (!label_is_valid(label)) return false;
        if (dot) rest = bytes_of(dot + 1, rest.len - label.len - 1);
    }
    return !is_digit(label.ptr[0]);
}

static bool host_is_valid(const struct endpoint *e)
{
    struct in6_addr address;
    if (e->text[0] == '[') return inet_pton(AF_INET6, e->host, &address) == 1;
    return host_is_name_or_ipv4(e->host);
}

/* Splits at the last colon; the host's brackets are taken off. */
static enum err endpoint_split(struct bytes text, struct bytes *ret_host, struct bytes *ret_port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':') colon--;
    if (colon < 2) return ERR_INVALID;
    struct bytes host = bytes_of(text.ptr, colon - 1);
    *ret_port = bytes_of(text.ptr + colon, text.len - colon);
    if (host.ptr[0] == '[') {
        if (host.len < 2 || host.ptr[host.len - 1] != ']') return ERR_INVALID;
        host = bytes_of(host.ptr + 1, host.len - 2);
    }
    *ret_host = host;
    return ERR_OK;
}

enum err endpoint_parse(struct bytes text, struct endpoint *ret_endpoint)
{
    struct endpoint e = { 0 };
    struct bytes host, port;
    int64_t number = 0;
    if (text.len >= sizeof e.text || endpoint_split(text, &host, &port) != ERR_OK) return ERR_INVALID;
    if (host.len >= sizeof e.host || (host.len > 0 && memchr(host.ptr, '\0', host.len))) return ERR_INVALID;
    if (bytes_to_int64(port, &number) != ERR_OK || number < 1 || number > UINT16_MAX) return ERR_INVALID;
    memcpy(e.text, text.ptr, text.len);
    memcpy(e.host, host.ptr, host.len);
    e.port = (uint16_t)number;
    if (!host_is_valid(&e)) return ERR_INVALID;
    *ret_endpoint = e;
    return ERR_OK;
}

bool endpoint_is_loopback(const struct endpoint *e)
{
    static const char name[] = "localhost", below[] = ".localhost";
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = strlen(e->host);
    if (strcasecmp(e->host, name) == 0) return true;
    if (len >= sizeof below && strcasecmp(e->host + len - (sizeof below - 1), below) == 0) return true;
    if (inet_pton(AF_INET, e->host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, e->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool endpoint_is_anywhere(const struct endpoint *e)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, e->host, &v4) == 1) return v4.s_addr == htonl(INADDR_ANY);
    return inet_pton(AF_INET6, e->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6);
}
