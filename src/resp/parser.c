/* SPDX-License-Identifier: Apache-2.0 */
#include "resp/parser.h"

#include "base/alloc.h"

#include <string.h>

#define SPANS_MIN 16u
#define SPANS_KEPT 1024u /* more than this is given back when nothing needs it */
#define INLINE_TEXT_KEPT 4096u
#define DIGITS_MAX 18u /* any such number fits int64_t, and is beyond every limit */

static const char expected_dollar[] = "expected '$', got '";

void parser_release(struct parser *p)
{
    mem_free(p->spans);
    buffer_release(&p->inline_text);
    *p = (struct parser){ 0 };
}

void parser_recycle(struct parser *p)
{
    uint32_t kept = p->count - p->first;
    if (kept > 0 && p->first > 0) memmove(p->spans, p->spans + p->first, kept * sizeof *p->spans);
    p->count = kept;
    p->first = 0;
    if (kept == 0 && p->cap > SPANS_KEPT) {
        mem_free(p->spans);
        p->spans = NULL;
        p->cap = 0;
    }
    if (p->inline_text.cap > INLINE_TEXT_KEPT) buffer_release(&p->inline_text);
}

void parser_rewind(struct parser *p)
{
    p->first = p->count = 0;
    p->left = 0;
    p->in_array = p->in_bulk = false;
    p->at = 0;
    p->broken = NULL;
    parser_recycle(p);
}

static bool spans_grow(struct parser *p)
{
    uint32_t cap = p->cap > 0 ? p->cap * 2 : SPANS_MIN;
    struct span *grown = mem_resize(p->spans, cap * sizeof *grown);
    if (!grown) return false;
    p->spans = grown;
    p->cap = cap;
    return true;
}

static inline bool spans_add(struct parser *p, size_t at, size_t len)
{
    if (__builtin_expect(p->count == p->cap, 0) && !spans_grow(p)) return false;
    p->spans[p->count++] = (struct span){ (uint32_t)at, (uint32_t)len };
    return true;
}

static enum parsed parser_break(struct parser *p, const char *text)
{
    p->broken = text;
    return PARSED_BROKEN;
}

static enum parsed parser_done(struct parser *p, enum parsed parsed, const uint8_t *base, size_t bytes,
                               struct parsed_command *ret_command)
{
    *ret_command = (struct parsed_command){ base, p->first, p->count - p->first, bytes };
    p->first = p->count;
    p->at = 0;
    p->in_array = false;
    return parsed;
}

/* A decimal number and the CR LF behind it, strictly: no '+', no leading zero. ERR_PARTIAL while it may become one. */
static enum err line_number_any(const uint8_t *ptr, const uint8_t *end, const uint8_t **ret_behind, int64_t *ret_value)
{
    bool negative = ptr < end && *ptr == '-';
    const uint8_t *first = ptr + negative, *at = first;
    uint64_t value = 0;
    while (at < end && (uint8_t)(*at - '0') <= 9) {
        if (at - first == DIGITS_MAX) return ERR_INVALID;
        value = value * 10 + (uint64_t)(*at++ - '0');
    }
    if (at == end) return ERR_PARTIAL;
    bool zero_first = *first == '0';
    if (at == first || (zero_first && (negative || at - first > 1)) || *at != '\r') return ERR_INVALID;
    if (at + 1 == end) return ERR_PARTIAL;
    if (at[1] != '\n') return ERR_INVALID;
    *ret_behind = at + 2;
    *ret_value = negative ? -(int64_t)value : (int64_t)value;
    return ERR_OK;
}

/* Nearly every number is one digit or two. */
static inline enum err line_number(const uint8_t *ptr, const uint8_t *end, const uint8_t **ret_behind,
                                   int64_t *ret_value)
{
    if (end - ptr >= 4) {
        uint32_t tens = (uint32_t)ptr[0] - '0', ones = (uint32_t)ptr[1] - '0';
        if (tens <= 9 && ptr[1] == '\r' && ptr[2] == '\n') {
            *ret_behind = ptr + 3;
            *ret_value = tens;
            return ERR_OK;
        }
        if (tens - 1 <= 8 && ones <= 9 && ptr[2] == '\r' && ptr[3] == '\n') {
            *ret_behind = ptr + 4;
            *ret_value = tens * 10 + ones;
            return ERR_OK;
        }
    }
    return line_number_any(ptr, end, ret_behind, ret_value);
}

static enum parsed parser_expected(struct parser *p, uint8_t got)
{
    p->broken_got = got;
    return parser_break(p, expected_dollar);
}

/* The arguments of an array, from p->at on. What is remembered is written back when the input ends early. */
static enum parsed parse_arguments(struct parser *p, struct bytes input)
{
    const uint8_t *const end = input.ptr + input.len;
    const uint8_t *at = input.ptr + p->at;
    enum parsed parsed = PARSED_COMMAND;
    for (; p->left > 0; p->left--) {
        if (!p->in_bulk) {
            int64_t len;
            const uint8_t *bulk;
            parsed = PARSED_PARTIAL;
            if (at == end) break;
            if (*at != '$') return parser_expected(p, *at);
            enum err err = line_number(at + 1, end, &bulk, &len);
            if (err == ERR_PARTIAL) break;
            if (err || len < 0 || len > ARGUMENT_BYTES_MAX) return parser_break(p, "invalid bulk length");
            if ((size_t)(bulk - input.ptr) + (size_t)len > COMMAND_BYTES_MAX) return parser_break(p, "too big request");
            at = bulk;
            p->bulk_len = (uint32_t)len;
            p->in_bulk = true;
        }
        parsed = PARSED_PARTIAL;
        if ((size_t)(end - at) <= p->bulk_len) break;
        const uint8_t *behind = at + p->bulk_len;
        if (*behind != '\r') return parser_break(p, "invalid bulk terminator");
        if (behind + 1 == end) break;
        if (behind[1] != '\n') return parser_break(p, "invalid bulk terminator");
        if (!spans_add(p, (size_t)(at - input.ptr), p->bulk_len)) return PARSED_NOMEM;
        p->in_bulk = false;
        at = behind + 2;
        parsed = PARSED_COMMAND;
    }
    p->at = (size_t)(at - input.ptr);
    return parsed;
}

static enum parsed parse_array(struct parser *p, struct bytes input, struct parsed_command *ret_command)
{
    if (!p->in_array) {
        int64_t argc;
        const uint8_t *behind;
        enum err err = line_number(input.ptr + 1, input.ptr + input.len, &behind, &argc);
        if (err == ERR_PARTIAL) return PARSED_PARTIAL;
        if (err || argc > ARGUMENTS_MAX) return parser_break(p, "invalid multibulk length");
        p->at = (size_t)(behind - input.ptr);
        if (argc <= 0) return parser_done(p, PARSED_NOTHING, input.ptr, p->at, ret_command);
        p->left = (uint32_t)argc;
        p->in_array = true;
    }
    enum parsed parsed = parse_arguments(p, input);
    if (parsed != PARSED_COMMAND) return parsed;
    return parser_done(p, PARSED_COMMAND, input.ptr, p->at, ret_command);
}

/* --- A command written as a line: words apart by blanks, with quotes as a shell has them. --- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static uint8_t unescape(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* What stands for one byte between double quotes; there is a byte, and no quote. */
static uint8_t read_quoted(struct reader *r)
{
    uint8_t c = reader_u8(r);
    if (c != '\\' || reader_left(r) == 0) return c;
    bool is_hex = reader_left(r) >= 3 && r->ptr[0] == 'x' && hex_digit(r->ptr[1]) >= 0 && hex_digit(r->ptr[2]) >= 0;
    if (!is_hex) return unescape(reader_u8(r));
    uint8_t value = (uint8_t)(hex_digit(r->ptr[1]) * 16 + hex_digit(r->ptr[2]));
    r->ptr += 3;
    return value;
}

/* Behind an opening quote: copies up to the closing one, which must end the word. */
static bool read_quotes(struct reader *r, uint8_t quote, struct buffer *out)
{
    while (reader_left(r) > 0 && *r->ptr != quote) {
        bool escaped = quote == '\'' && *r->ptr == '\\' && reader_left(r) >= 2 && r->ptr[1] == '\'';
        if (escaped) r->ptr++;
        buffer_u8(out, quote == '"' ? read_quoted(r) : reader_u8(r));
    }
    if (reader_left(r) == 0) return false;
    r->ptr++;
    return reader_left(r) == 0 || is_blank(*r->ptr);
}

static bool is_word_end(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static enum parsed parse_words(struct parser *p, struct bytes line)
{
    struct buffer *text = &p->inline_text;
    buffer_clear(text);
    if (!buffer_reserve(text, line.len + 1)) return PARSED_NOMEM; /* words are shorter than their line */
    struct reader r;
    reader_init(&r, line);
    for (;;) {
        while (reader_left(&r) > 0 && is_blank(*r.ptr)) r.ptr++;
        if (reader_left(&r) == 0) break;
        size_t at = text->len;
        while (reader_left(&r) > 0 && !is_word_end(*r.ptr)) {
            uint8_t c = reader_u8(&r);
            if (c != '"' && c != '\'') {
                buffer_u8(text, c);
            } else if (!read_quotes(&r, c, text)) {
                return parser_break(p, "unbalanced quotes in request");
            } else {
                break;
            }
        }
        if (!spans_add(p, at, text->len - at)) return PARSED_NOMEM;
    }
    return PARSED_INLINE;
}

static enum parsed parse_inline(struct parser *p, struct bytes input, struct parsed_command *ret_command)
{
    size_t limit = input.len < LINE_BYTES_MAX + 1 ? input.len : LINE_BYTES_MAX + 1;
    const uint8_t *newline = memchr(input.ptr + p->at, '\n', limit - p->at);
    if (!newline) {
        if (limit > LINE_BYTES_MAX) return parser_break(p, "too big inline request");
        p->at = limit;
        return PARSED_PARTIAL;
    }
    size_t len = (size_t)(newline - input.ptr), bytes = len + 1;
    if (len > 0 && input.ptr[len - 1] == '\r') len--;
    enum parsed parsed = parse_words(p, bytes_of(input.ptr, len));
    if (parsed != PARSED_INLINE) return parsed;
    if (p->count == p->first) parsed = PARSED_NOTHING;
    return parser_done(p, parsed, p->inline_text.ptr, bytes, ret_command);
}

enum parsed parser_next(struct parser *p, struct bytes input, struct parsed_command *ret_command)
{
    if (p->broken) return PARSED_BROKEN;
    if (input.len == 0) return PARSED_PARTIAL;
    if (input.ptr[0] == '*') return parse_array(p, input, ret_command);
    return parse_inline(p, input, ret_command);
}

void parser_put_error(const struct parser *p, struct buffer *out)
{
    buffer_text(out, "-ERR Protocol error: ");
    buffer_text(out, p->broken);
    if (p->broken == expected_dollar) {
        bool ends_line = p->broken_got == '\r' || p->broken_got == '\n';
        buffer_u8(out, ends_line ? ' ' : p->broken_got);
        buffer_u8(out, '\'');
    }
    buffer_text(out, "\r\n");
}
