/* SPDX-License-Identifier: Apache-2.0 */
#include "http/grammar.h"

enum state {
    STATE_METHOD,
    STATE_TARGET,
    STATE_VERSION,
    STATE_LINE_LF, /* of the request line or a field: CR was seen */
    STATE_FIELD,   /* at the start of a line */
    STATE_NAME,
    STATE_VALUE,
    STATE_END_LF,
    STATE_END
};

/* What a name or a method is made of. */
static const bool is_token[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true, ['#'] = true, ['$'] = true,
    ['%'] = true,         ['&'] = true,         ['\''] = true,        ['*'] = true, ['+'] = true, ['-'] = true,
    ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true, ['|'] = true, ['~'] = true,
};

/* A field's value: anything but control characters; a tab is none here. Bytes from 0x80 on are opaque. */
static const bool is_text[256] = {
    ['\t'] = true,
    [' ' ... '~'] = true,
    [0x80 ... 0xff] = true,
};

/* A target: printable ASCII; a fragment never leaves a client. */
static const bool is_target[256] = {
    ['!' ... '"'] = true,
    ['$' ... '~'] = true,
};

static const bool is_host[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true, ['_'] = true,
};

void head_scan_init(struct head_scan *h)
{
    *h = (struct head_scan){ .state = STATE_METHOD };
}

void head_scan_init_trailer(struct head_scan *h)
{
    *h = (struct head_scan){ .state = STATE_FIELD };
}

static enum fault enter(struct head_scan *h, enum state state)
{
    h->state = (uint8_t)state;
    h->part = 0;
    return FAULT_NONE;
}

static enum fault scan_method(struct head_scan *h, uint8_t byte)
{
    if (byte == ' ' && h->part > 0) return enter(h, STATE_TARGET);
    if (!is_token[byte]) return FAULT_MALFORMED;
    return ++h->part > METHOD_BYTES_MAX ? FAULT_UNKNOWN_METHOD : FAULT_NONE;
}

static enum fault scan_target(struct head_scan *h, uint8_t byte)
{
    if (byte == ' ' && h->part > 0) return enter(h, STATE_VERSION);
    if (!is_target[byte]) return FAULT_MALFORMED;
    return ++h->part > TARGET_BYTES_MAX ? FAULT_TARGET_LONG : FAULT_NONE;
}

static enum fault scan_version(struct head_scan *h, uint8_t byte)
{
    static const char form[] = "HTTP/0.0\r"; /* 0 is any digit */
    char wanted = form[h->part++];
    bool fits = wanted == '0' ? byte >= '0' && byte <= '9' : byte == (uint8_t)wanted;
    if (!fits) return FAULT_MALFORMED;
    return wanted == '\r' ? enter(h, STATE_LINE_LF) : FAULT_NONE;
}

static enum fault scan_field(struct head_scan *h, uint8_t byte)
{
    if (byte == '\r') return enter(h, STATE_END_LF);
    if (!is_token[byte]) return FAULT_MALFORMED; /* a folded line begins with a space, an empty name with the colon */
    if (++h->fields > FIELDS_MAX) return FAULT_HEAD_LARGE;
    return enter(h, STATE_NAME);
}

/* In a name or a value: what scan_run stopped at. */
static enum fault scan_byte(struct head_scan *h, uint8_t byte)
{
    switch ((enum state)h->state) {
    case STATE_METHOD:
        return scan_method(h, byte);
    case STATE_TARGET:
        return scan_target(h, byte);
    case STATE_VERSION:
        return scan_version(h, byte);
    case STATE_LINE_LF:
        return byte == '\n' ? enter(h, STATE_FIELD) : FAULT_MALFORMED;
    case STATE_FIELD:
        return scan_field(h, byte);
    case STATE_NAME:
        return byte == ':' ? enter(h, STATE_VALUE) : FAULT_MALFORMED;
    case STATE_VALUE:
        return byte == '\r' ? enter(h, STATE_LINE_LF) : FAULT_MALFORMED;
    case STATE_END_LF:
        return byte == '\n' ? enter(h, STATE_END) : FAULT_MALFORMED;
    case STATE_END:
        break;
    }
    REQUIRE(false); /* nobody scans on behind the end */
    return FAULT_MALFORMED;
}

/* Most of a head is names and values, whose bytes change nothing until they end. */
static void scan_run(struct head_scan *h, struct bytes input)
{
    const bool *part = h->state == STATE_VALUE ? is_text : h->state == STATE_NAME ? is_token : NULL;
    size_t end = input.len < HEAD_BYTES_MAX ? input.len : HEAD_BYTES_MAX;
    while (part && h->scanned < end && part[input.ptr[h->scanned]]) h->scanned++;
}

enum fault head_scan(struct head_scan *h, struct bytes input, bool *ret_end)
{
    for (;;) {
        scan_run(h, input);
        if (h->scanned == input.len || h->state == STATE_END) break;
        if (h->scanned == HEAD_BYTES_MAX) return FAULT_HEAD_LARGE;
        enum fault fault = scan_byte(h, input.ptr[h->scanned]);
        if (fault != FAULT_NONE) return fault;
        h->scanned++;
    }
    *ret_end = h->state == STATE_END;
    return FAULT_NONE;
}

/* Small texts */

struct bytes bytes_trim(struct bytes text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) text = bytes_of(text.ptr + 1, text.len - 1);
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) text.len--;
    return text;
}

bool bytes_equal_folded(struct bytes text, const char *lower)
{
    if (text.len != strlen(lower)) return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte >= 'A' && byte <= 'Z') byte = (uint8_t)(byte | 0x20);
        if (byte != (uint8_t)lower[i]) return false;
    }
    return true;
}

static bool is_hex(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* The bytes of the name in front of the port, 0 if there is none. Narrower than RFC 3986: no comma or semicolon that
 * would look like a list, no escapes. */
static size_t host_name_len(struct bytes host)
{
    size_t len = 0;
    if (host.len > 0 && host.ptr[0] == '[') {
        for (len = 1; len < host.len && (is_hex(host.ptr[len]) || host.ptr[len] == ':' || host.ptr[len] == '.');) len++;
        return len > 1 && len < host.len && host.ptr[len] == ']' ? len + 1 : 0;
    }
    while (len < host.len && is_host[host.ptr[len]]) len++;
    return len;
}

bool host_is_valid(struct bytes host)
{
    size_t len = host_name_len(host);
    if (len == 0 || len > 255) return false;
    if (len == host.len) return true;
    if (host.ptr[len] != ':' || host.len - len > 6) return false;
    uint32_t port = 0;
    for (size_t i = len + 1; i < host.len; i++) {
        if (host.ptr[i] < '0' || host.ptr[i] > '9') return false;
        port = port * 10 + (uint32_t)(host.ptr[i] - '0');
    }
    return port <= UINT16_MAX;
}
