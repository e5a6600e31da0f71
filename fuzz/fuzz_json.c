/* SPDX-License-Identifier: Apache-2.0 */
/* The two readers of JSON beside each other, and each writer beside its reader: what the plain reader knows, jansson
 * knows alike; what is written is read back as what it was. */
#include "http/json.h"

#include "fuzz/harness.h"

#include <stdlib.h>

static void require_same_object(const struct json_object *a, const struct json_object *b)
{
    REQUIRE(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        REQUIRE(bytes_equal(a->fields[i].key, b->fields[i].key));
        REQUIRE(a->fields[i].kind == b->fields[i].kind);
        REQUIRE(a->fields[i].integer == b->fields[i].integer);
        REQUIRE(bytes_equal(a->fields[i].text, b->fields[i].text));
    }
}

static void check_body(struct bytes body)
{
    struct json_object plain, slow;
    json_t *root = NULL, *again = NULL;
    const char *detail = NULL;
    bool is_plain = json_read_plain(body, &plain);
    enum err err = json_read_tree(body, &root, &detail);
    REQUIRE(err == ERR_OK || (err == ERR_INVALID && detail && !is_plain));
    if (err != ERR_OK) return;
    bool is_object = json_read_object(root, &slow) == ERR_OK;
    REQUIRE(is_object || !is_plain);
    if (is_plain) require_same_object(&plain, &slow);
    char *text = json_dumps(root, JSON_ENCODE_ANY | JSON_COMPACT);
    REQUIRE(text);
    REQUIRE(json_read_tree(bytes_of_text(text), &again, &detail) == ERR_OK);
    REQUIRE(json_equal(root, again));
    free(text);
    json_decref(again);
    json_decref(root);
}

/* A text of ours is one that jansson reads; what was no UTF-8 in it is U+FFFD. */
static void check_text(struct bytes text)
{
    struct buffer out = { 0 };
    json_t *root = NULL;
    const char *detail;
    json_write_text(&out, text);
    REQUIRE(buffer_end(&out) == ERR_OK);
    REQUIRE(json_read_tree(buffer_view(&out), &root, &detail) == ERR_OK);
    struct bytes read = bytes_of(json_string_value(root), json_string_length(root));
    REQUIRE(utf8_is_valid(read));
    REQUIRE(bytes_equal(read, text) == utf8_is_valid(text));
    json_decref(root);
    buffer_release(&out);
    json_t *theirs = json_stringn((const char *)text.ptr, text.len);
    REQUIRE((theirs != NULL) == utf8_is_valid(text));
    json_decref(theirs);
}

/* A name comes back, as text or as base64. */
static void check_name(struct bytes name)
{
    struct buffer out = { 0 };
    json_t *root = NULL;
    const char *detail;
    struct json_object object;
    buffer_u8(&out, '{');
    json_write_name(&out, name);
    buffer_u8(&out, '}');
    REQUIRE(buffer_end(&out) == ERR_OK);
    REQUIRE(json_read_tree(buffer_view(&out), &root, &detail) == ERR_OK);
    REQUIRE(json_read_object(root, &object) == ERR_OK && object.count == 1);
    struct bytes text = object.fields[0].text;
    if (utf8_is_valid(name)) {
        REQUIRE(bytes_equal(text, name));
    } else {
        size_t len = 0;
        uint8_t *bytes = malloc(name.len);
        REQUIRE(bytes);
        REQUIRE(base64_read(text, bytes, name.len, &len) == ERR_OK);
        REQUIRE(bytes_equal(bytes_of(bytes, len), name));
        REQUIRE(base64_read(text, bytes, name.len - 1, &len) == ERR_TOO_LONG);
        free(bytes);
    }
    json_decref(root);
    buffer_release(&out);
}

static size_t digit_bits(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (size_t)(at - digits) : 0;
}

/* What was read has the bits of the digits, one after the other. */
static void check_base64(struct bytes text)
{
    uint8_t bytes[4096];
    size_t len;
    if (base64_read(text, bytes, sizeof bytes, &len) != ERR_OK) return;
    REQUIRE(text.len % 4 == 0 && len <= text.len / 4 * 3 && len + 2 >= text.len / 4 * 3);
    for (size_t bit = 0; bit < 6 * text.len; bit++) {
        size_t digit = digit_bits(text.ptr[bit / 6]) >> (5 - bit % 6) & 1;
        if (bit < 8 * len)
            REQUIRE(((unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1u) == digit);
        else
            REQUIRE(digit == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = fence_copy(0, bytes_of(data, size));
    check_body(input);
    check_text(input);
    if (size > 0) check_name(input);
    check_base64(input);
    return 0;
}
