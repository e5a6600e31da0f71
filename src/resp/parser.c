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
static inline enum err line_number(struct bytes line, size_t *ret_bytes, int64_t *ret_value)
{
    bool negative = line.len > 0 && line.ptr[0] == '-';
    size_t first = negative, at = first;
    uint64_t value = 0;
    while (at < line.len && (uint8_t)(line.ptr[at] - '0') <= 9) {
        if (at - first == DIGITS_MAX) return ERR_INVALID;
        value = value * 10 + (uint64_t)(line.ptr[at++] - '0');
    }
    if (at == line.len) return ERR_PARTIAL;
    size_t digits = at - first;
    bool zero_first = line.ptr[first] == '0';
    if (digits == 0 || (zero_first && (negative || digits > 1)) || line.ptr[at] != '\r') return ERR_INVALID;
    if (at + 1 == line.len) return ERR_PARTIAL;
    if (line.ptr[at + 1] != '\n') return ERR_INVALID;
    *ret_bytes = at + 2;
    *ret_value = negative ? -(int64_t)value : (int64_t)value;
    return ERR_OK;
}

static inline struct bytes bytes_from(struct bytes b, size_t at)
{
    return bytes_of(b.ptr + at, b.len - at);
}

static inline enum parsed parse_bulk_head(struct parser *p, struct bytes input)
{
    if (p->at == input.len) return PARSED_PARTIAL;
    if (input.ptr[p->at] != '$') {
        p->broken_got = input.ptr[p->at];
        return parser_break(p, expected_dollar);
    }
    size_t bytes;
    int64_t len;
    enum err err = line_number(bytes_from(input, p->at + 1), &bytes, &len);
    if (err == ERR_PARTIAL) return PARSED_PARTIAL;
    if (err || len < 0 || len > ARGUMENT_BYTES_MAX) return parser_break(p, "invalid bulk length");
    p->at += 1 + bytes;
    if (p->at + (size_t)len > COMMAND_BYTES_MAX) return parser_break(p, "too big request");
    p->bulk_len = (uint32_t)len;
    p->in_bulk = true;
    return PARSED_COMMAND;
}

static inline enum parsed parse_bulk(struct parser *p, struct bytes input)
{
    if (!p->in_bulk) {
        enum parsed parsed = parse_bulk_head(p, input);
        if (parsed != PARSED_COMMAND) return parsed;
    }
    size_t end = p->at + p->bulk_len;
    if (input.len <= end) return PARSED_PARTIAL;
    if (input.ptr[end] != '\r') return parser_break(p, "invalid bulk terminator");
    if (input.len == end + 1) return PARSED_PARTIAL;
    if (input.ptr[end + 1] != '\n') return parser_break(p, "invalid bulk terminator");
    if (!spans_add(p, p->at, p->bulk_len)) return PARSED_NOMEM;
    p->in_bulk = false;
    p->at = end + 2;
    p->left--;
    return PARSED_COMMAND;
}

static enum parsed parse_array(struct parser *p, struct bytes input, struct parsed_command *ret_command)
{
    if (!p->in_array) {
        size_t bytes;
        int64_t argc;
        enum err err = line_number(bytes_from(input, 1), &bytes, &argc);
        if (err == ERR_PARTIAL) return PARSED_PARTIAL;
        if (err || argc > ARGUMENTS_MAX) return parser_break(p, "invalid multibulk length");
        if (argc <= 0) return parser_done(p, PARSED_NOTHING, input.ptr, 1 + bytes, ret_command);
        p->left = (uint32_t)argc;
        p->at = 1 + bytes;
        p->in_array = true;
    }
    while (p->left > 0) {
        enum parsed parsed = parse_bulk(p, input);
        if (parsed != PARSED_COMMAND) return parsed;
    }
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
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
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
