/* SPDX-License-Identifier: Apache-2.0 */
#include "server/text.h"

#include <stdint.h>

#define WORD_BYTES_MAX 40

/* The code point at the front and its length; 0 for what is not UTF-8 in its shortest form. */
static size_t utf8_take(struct bytes text, uint32_t *ret_point)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (text.len == 0) return 0;
    uint8_t first = text.ptr[0];
    size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    if (len == 0 || len > text.len) return 0;
    uint32_t point = len == 1 ? first : first & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (text.ptr[i] & 0x3f);
    }
    if (point < smallest[len] || point > 0x10ffff) return 0;
    if (point >= 0xd800 && point < 0xe000) return 0;
    *ret_point = point;
    return len;
}

size_t text_shown_bytes(struct bytes text)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        { 0x00, 0x1f },       { 0x7f, 0x9f },     { 0x061c, 0x061c }, { 0x200b, 0x200f }, /* no width, direction */
        { 0x2028, 0x202e },   { 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb },
        { 0xe0000, 0xe007f }, /* tags: invisible */
    };
    uint32_t point = 0;
    size_t len = utf8_take(text, &point);
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        if (point >= hidden[i].first && point <= hidden[i].last) return 0;
    }
    return len;
}

size_t text_show_next(struct bytes *rest, char ret_shown[TEXT_CHARACTER_BYTES_MAX])
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = rest->ptr;
    size_t taken = text_shown_bytes(*rest), shown = taken;
    if (taken == 0) {
        taken = 1;
        shown = 4;
        memcpy(ret_shown, (const char[]){ '\\', 'x', digits[*at >> 4], digits[*at & 15] }, shown);
    } else if (*at == '\\') {
        shown = 2;
        memcpy(ret_shown, "\\\\", shown);
    } else {
        memcpy(ret_shown, at, shown);
    }
    *rest = bytes_of(at + taken, rest->len - taken);
    return shown;
}

void text_show(struct bytes text, char *ret_shown, size_t cap)
{
    static const char cut[] = "...";
    REQUIRE(cap >= TEXT_CHARACTER_BYTES_MAX + sizeof cut);
    size_t len = 0, cut_at = 0; /* cut_at: the last place where "..." still fits */
    while (text.len > 0) {
        char shown[TEXT_CHARACTER_BYTES_MAX];
        size_t more = text_show_next(&text, shown);
        if (len + more >= cap) {
            memcpy(ret_shown + cut_at, cut, sizeof cut);
            return;
        }
        memcpy(ret_shown + len, shown, more);
        len += more;
        if (len + sizeof cut <= cap) cut_at = len;
    }
    ret_shown[len] = '\0';
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions and changes that make b of a (Levenshtein), one row of the table at a time. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            row[j] = least(diagonal + (a[i - 1] != b[j - 1]), least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *text_nearest(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t word_len = strlen(word), distance_min = SIZE_MAX;
    if (word_len > WORD_BYTES_MAX) return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        REQUIRE(len <= WORD_BYTES_MAX);
        size_t distance = edit_distance(word, word_len, names[i], len);
        if (distance < distance_min) {
            distance_min = distance;
            nearest = names[i];
        }
    }
    /* A third of the letters may be wrong; more would be a guess. */
    return nearest && distance_min <= (word_len + 2) / 3 ? nearest : NULL;
}
