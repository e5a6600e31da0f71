/* SPDX-License-Identifier: Apache-2.0 */
#include "resp/glob.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* A set like [a-z_]: how much of the pattern it is, and whether c is in it. An unclosed one ends with the pattern. */
static size_t set_match(struct bytes p, uint8_t c, bool *ret_in)
{
    size_t at = 1;
    bool negated = at < p.len && p.ptr[at] == '^', in = false;
    at += negated;
    while (at < p.len && p.ptr[at] != ']') {
        if (p.ptr[at] == '\\' && at + 1 < p.len) {
            at++;
            in |= lower(p.ptr[at]) == c;
        } else if (p.len - at >= 3 && p.ptr[at + 1] == '-') {
            uint8_t a = lower(p.ptr[at]), b = lower(p.ptr[at + 2]);
            in |= (a <= b) ? (c >= a && c <= b) : (c >= b && c <= a);
            at += 2;
        } else {
            in |= lower(p.ptr[at]) == c;
        }
        at++;
    }
    *ret_in = in != negated;
    return at < p.len ? at + 1 : at;
}

/* How much of the pattern matches the one character c; 0 when it does not. The pattern does not begin with a star. */
static size_t one_match(struct bytes p, uint8_t c)
{
    bool in;
    size_t used;
    switch (p.ptr[0]) {
    case '?':
        return 1;
    case '[':
        used = set_match(p, c, &in);
        return in ? used : 0;
    case '\\':
        if (p.len >= 2) return lower(p.ptr[1]) == c ? 2 : 0;
        /* fall through */
    default:
        return lower(p.ptr[0]) == c;
    }
}

bool glob_match(struct bytes pattern, struct bytes text)
{
    size_t p = 0, t = 0;
    /* Behind the last star, and the text it has not swallowed: only the last star ever needs to take more. */
    size_t star_p = SIZE_MAX, star_t = 0;
    while (t < text.len || p < pattern.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star_p = ++p;
            star_t = t;
            continue;
        }
        size_t used = p < pattern.len && t < text.len
                          ? one_match(bytes_of(pattern.ptr + p, pattern.len - p), lower(text.ptr[t]))
                          : 0;
        if (used > 0) {
            p += used;
            t++;
            continue;
        }
        if (star_p == SIZE_MAX || star_t == text.len) return false;
        p = star_p;
        t = ++star_t;
    }
    return true;
}
