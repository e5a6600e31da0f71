/* SPDX-License-Identifier: Apache-2.0 */
#include "http/json.h"

#include "base/alloc.h"

#include <pthread.h>

/* The plain reader */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* The next byte that is not a space, without taking it; 0 at the end. */
static uint8_t plain_peek(struct reader *r)
{
    while (r->ptr < r->end && is_space(*r->ptr)) r->ptr++;
    return r->ptr < r->end ? *r->ptr : 0;
}

static bool plain_take(struct reader *r, uint8_t byte)
{
    if (plain_peek(r) != byte) return false;
    r->ptr++;
    return true;
}

/* Printable ASCII without escapes. */
static bool plain_text(struct reader *r, struct bytes *ret_text)
{
    if (!plain_take(r, '"')) return false;
    const uint8_t *start = r->ptr;
    while (r->ptr < r->end && *r->ptr >= ' ' && *r->ptr <= '~' && *r->ptr != '"' && *r->ptr != '\\') r->ptr++;
    if (r->ptr == r->end || *r->ptr != '"') return false;
    *ret_text = bytes_of(start, (size_t)(r->ptr - start));
    r->ptr++;
    return true;
}

/* What follows the digits is looked at by the caller: only a comma, a brace or a space can be right. */
static bool plain_integer(struct reader *r, int64_t *ret_integer)
{
    const uint8_t *start = r->ptr;
    if (r->ptr < r->end && *r->ptr == '-') r->ptr++;
    while (r->ptr < r->end && *r->ptr >= '0' && *r->ptr <= '9') r->ptr++;
    return bytes_to_int64(bytes_of(start, (size_t)(r->ptr - start)), ret_integer) == ERR_OK;
}

static bool plain_field(struct reader *r, struct json_field *field)
{
    if (!plain_text(r, &field->key) || !plain_take(r, ':')) return false;
    uint8_t next = plain_peek(r);
    field->kind = next == '"' ? JSON_KIND_TEXT : JSON_KIND_INTEGER;
    return next == '"' ? plain_text(r, &field->text) : plain_integer(r, &field->integer);
}

static bool has_key(const struct json_object *o, struct bytes key)
{
    for (uint32_t i = 0; i < o->count; i++) {
        if (bytes_equal(o->fields[i].key, key)) return true;
    }
    return false;
}

bool json_read_plain(struct bytes body, struct json_object *ret_object)
{
    struct reader r;
    reader_init(&r, body);
    ret_object->count = 0;
    if (!plain_take(&r, '{')) return false;
    bool more = plain_peek(&r) != '}';
    while (more) {
        struct json_field field = { 0 };
        if (ret_object->count == JSON_FIELDS_MAX || !plain_field(&r, &field)) return false;
        if (has_key(ret_object, field.key)) return false;
        ret_object->fields[ret_object->count++] = field;
        more = plain_take(&r, ',');
    }
    return plain_take(&r, '}') && plain_peek(&r) == 0 && r.ptr == r.end;
}

/* jansson */

/* jansson goes down one call for each level and takes some hundred bytes for each object, so both are bounded first.
 * What stands in texts does not count; where the body is broken the answer does not matter. */
static const char *tree_too_large(struct bytes body)
{
    uint32_t depth = 0, items = 0;
    bool in_text = false;
    for (size_t i = 0; i < body.len; i++) {
        uint8_t byte = body.ptr[i];
        if (in_text && byte == '\\') {
            i++;
        } else if (byte == '"') {
            in_text = !in_text;
        } else if (!in_text && (byte == '[' || byte == '{')) {
            if (++depth > JSON_DEPTH_MAX) return "the body is nested too deep";
            if (items++ > JSON_ITEMS_MAX) return "the body has more than 10,000 items";
        } else if (!in_text && (byte == ']' || byte == '}') && depth > 0) {
            depth--;
        }
    }
    return NULL;
}

/* Without memory for a part of a body jansson calls it invalid, or takes it as if nothing were amiss; so what counts is
 * whether a request of its own failed, on this thread. */
static _Thread_local bool ran_out;

static void *tree_alloc(size_t bytes)
{
    void *memory = mem_alloc(bytes);
    if (!memory) ran_out = true;
    return memory;
}

static void tree_setup(void)
{
    json_set_alloc_funcs(tree_alloc, mem_free);
}

enum err json_read_tree(struct bytes body, json_t **ret_root, const char **ret_detail)
{
    static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
    REQUIRE(pthread_once(&setup_once, tree_setup) == 0);
    const char *detail = tree_too_large(body);
    if (detail) {
        *ret_detail = detail;
        return ERR_INVALID;
    }
    json_error_t error;
    const char *text = body.len > 0 ? (const char *)body.ptr : "";
    ran_out = false;
    json_t *root = json_loadb(text, body.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (ran_out) {
        json_decref(root);
        return ERR_NOMEM;
    }
    if (root) {
        *ret_root = root;
        return ERR_OK;
    }
    switch (json_error_code(&error)) {
    case json_error_duplicate_key:
        *ret_detail = "a member stands twice in the body";
        break;
    case json_error_numeric_overflow:
        *ret_detail = "a number is out of range";
        break;
    default:
        *ret_detail = "the body is not valid JSON";
        break;
    }
    return ERR_INVALID;
}

enum err json_read_object(json_t *value, struct json_object *ret_object)
{
    if (!json_is_object(value) || json_object_size(value) > JSON_FIELDS_MAX) return ERR_INVALID;
    ret_object->count = 0;
    const char *key;
    size_t key_len;
    json_t *member;
    json_object_keylen_foreach(value, key, key_len, member)
    {
        struct json_field field = { .key = bytes_of(key, key_len), .kind = JSON_KIND_OTHER };
        if (json_is_integer(member)) {
            field.kind = JSON_KIND_INTEGER;
            field.integer = json_integer_value(member);
        } else if (json_is_string(member)) {
            field.kind = JSON_KIND_TEXT;
            field.text = bytes_of(json_string_value(member), json_string_length(member));
        }
        ret_object->fields[ret_object->count++] = field;
    }
    return ERR_OK;
}

/* Texts */

/* The length of the character at the front, 0 if it is no UTF-8: too long a form, a surrogate, over U+10FFFF, cut. */
static size_t utf8_step(struct bytes text)
{
    uint8_t first = text.ptr[0];
    if (first < 0x80) return 1;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.len < len) return 0;
    for (size_t i = 1; i < len; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80) return 0;
    }
    uint8_t second = text.ptr[1];
    bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
               (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return bad ? 0 : len;
}

bool utf8_is_valid(struct bytes text)
{
    while (text.len > 0) {
        size_t step = utf8_step(text);
        if (step == 0) return false;
        text = bytes_of(text.ptr + step, text.len - step);
    }
    return true;
}

void json_write_text(struct buffer *out, struct bytes utf8)
{
    buffer_u8(out, '"');
    while (utf8.len > 0) {
        size_t step = utf8_step(utf8);
        uint8_t byte = utf8.ptr[0];
        if (step == 0) {
            buffer_text(out, "\\ufffd");
            step = 1;
        } else if (byte < 0x20) {
            buffer_printf(out, "\\u%04x", byte);
        } else {
            if (byte == '"' || byte == '\\') buffer_u8(out, '\\');
            buffer_bytes(out, bytes_of(utf8.ptr, step));
        }
        utf8 = bytes_of(utf8.ptr + step, utf8.len - step);
    }
    buffer_u8(out, '"');
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_write(struct buffer *out, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)bytes.ptr[i] << 16;
        if (left > 1) group |= (uint32_t)bytes.ptr[i + 1] << 8;
        if (left > 2) group |= bytes.ptr[i + 2];
        buffer_u8(out, (uint8_t)base64_digits[group >> 18]);
        buffer_u8(out, (uint8_t)base64_digits[group >> 12 & 63]);
        buffer_u8(out, left > 1 ? (uint8_t)base64_digits[group >> 6 & 63] : '=');
        buffer_u8(out, left > 2 ? (uint8_t)base64_digits[group & 63] : '=');
    }
}

void json_write_name(struct buffer *out, struct bytes name)
{
    if (utf8_is_valid(name)) {
        buffer_text(out, "\"name\":");
        json_write_text(out, name);
        return;
    }
    buffer_text(out, "\"name_base64\":\"");
    base64_write(out, name);
    buffer_u8(out, '"');
}

/* The value of a digit, 64 for anything else. */
static uint32_t base64_digit(uint8_t byte)
{
    const char *at = byte ? strchr(base64_digits, byte) : NULL;
    return at ? (uint32_t)(at - base64_digits) : 64;
}

enum err base64_read(struct bytes text, uint8_t *out, size_t cap, size_t *ret_len)
{
    if (text.len % 4 != 0) return ERR_INVALID;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i += 4) {
        const uint8_t *four = text.ptr + i;
        size_t padding = i + 4 < text.len || four[3] != '=' ? 0 : four[2] != '=' ? 1 : 2;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            uint32_t digit = k >= 4 - padding ? 0 : base64_digit(four[k]);
            if (digit == 64) return ERR_INVALID;
            group = group << 6 | digit;
        }
        if ((group & ((1u << (8 * padding)) - 1)) != 0) return ERR_INVALID; /* bits that nobody would see */
        if (len + 3 - padding > cap) return ERR_TOO_LONG;
        for (size_t k = 0; k < 3 - padding; k++) out[len++] = (uint8_t)(group >> (16 - 8 * k));
    }
    *ret_len = len;
    return ERR_OK;
}
