/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns beside a slow obvious matcher: a star is tried with every length of text. The input is the pattern, a NUL,
 * the text. */
#include "resp/glob.h"

#include "fuzz/harness.h"

#define PATTERN_BYTES_MAX 24u
#define TEXT_BYTES_MAX 24u

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

static bool in_range(uint8_t c, uint8_t from, uint8_t to)
{
    return (lower(from) <= c && c <= lower(to)) || (lower(to) <= c && c <= lower(from));
}

/* What stands at the front of a set, between its brackets: a character, an escaped one, or a range. */
static size_t member_match(struct bytes p, uint8_t c, bool *ret_in)
{
    if (p.ptr[0] == '\\' && p.len > 1) {
        *ret_in = lower(p.ptr[1]) == c;
        return 2;
    }
    bool is_range = p.len >= 3 && p.ptr[1] == '-';
    *ret_in = is_range ? in_range(c, p.ptr[0], p.ptr[2]) : lower(p.ptr[0]) == c;
    return is_range ? 3 : 1;
}

/* The length of the pattern's first element, which is no star, and whether it matches c. */
static size_t element_match(struct bytes p, uint8_t c, bool *ret_match)
{
    if (p.ptr[0] == '\\' && p.len > 1) {
        *ret_match = lower(p.ptr[1]) == c;
        return 2;
    }
    if (p.ptr[0] != '[') {
        *ret_match = p.ptr[0] == '?' || lower(p.ptr[0]) == c;
        return 1;
    }
    size_t at = 1;
    bool negated = p.len > 1 && p.ptr[1] == '^', any = false;
    at += negated;
    while (at < p.len && p.ptr[at] != ']') {
        bool in;
        at += member_match(bytes_of(p.ptr + at, p.len - at), c, &in);
        any = any || in;
    }
    *ret_match = any != negated;
    return at < p.len ? at + 1 : at;
}

static bool slow_match(struct bytes p, struct bytes t)
{
    if (p.len == 0) return t.len == 0;
    if (p.ptr[0] == '*') {
        for (size_t taken = 0; taken <= t.len; taken++) {
            if (slow_match(bytes_of(p.ptr + 1, p.len - 1), bytes_of(t.ptr + taken, t.len - taken))) return true;
        }
        return false;
    }
    if (t.len == 0) return false;
    bool matches;
    size_t used = element_match(p, lower(t.ptr[0]), &matches);
    return matches && slow_match(bytes_of(p.ptr + used, p.len - used), bytes_of(t.ptr + 1, t.len - 1));
}

static unsigned stars_in(struct bytes p)
{
    unsigned stars = 0;
    for (size_t i = 0; i < p.len; i++) stars += p.ptr[i] == '*';
    return stars;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *middle = size > 0 ? memchr(data, 0, size) : NULL;
    size_t len = middle ? (size_t)(middle - data) : size;
    struct bytes pattern = fence_copy(0, bytes_of(data, len));
    struct bytes text = fence_copy(1, middle ? bytes_of(middle + 1, size - len - 1) : bytes_of(NULL, 0));
    bool matches = glob_match(pattern, text);
    /* Five stars at most: the slow way takes a power of the text for each. */
    if (pattern.len <= PATTERN_BYTES_MAX && text.len <= TEXT_BYTES_MAX && stars_in(pattern) <= 5)
        REQUIRE(matches == slow_match(pattern, text));
    return 0;
}
