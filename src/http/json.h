/* SPDX-License-Identifier: Apache-2.0 */
/* json: bodies read strictly, and the little that answers need written.
 *
 * Every body of ours is an object of integers and texts, or an array of such. json_object is what one says, whoever
 * read it: jansson, or json_read_plain, which knows only objects without escapes, nesting and repeats, and costs no
 * memory. What that one does not know it leaves to jansson, so that both agree on every body. */
#ifndef QUIPU_HTTP_JSON_H
#define QUIPU_HTTP_JSON_H

#include "base/bytes.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16u
#define JSON_ITEMS_MAX 10000u /* objects and arrays in one body, besides the outermost */
#define JSON_FIELDS_MAX 12u   /* more than any object of ours has */

enum json_kind { JSON_KIND_INTEGER, JSON_KIND_TEXT, JSON_KIND_OTHER };

struct json_field {
    struct bytes key;
    enum json_kind kind;
    int64_t integer;
    struct bytes text;
};

struct json_object {
    struct json_field fields[JSON_FIELDS_MAX];
    uint32_t count;
};

/* Views into the body. False: it may be valid or not. */
bool json_read_plain(struct bytes body, struct json_object *ret_object);
/* The whole body as a tree, for json_decref. ERR_INVALID with *ret_detail saying why; ERR_NOMEM. */
MUST_USE enum err json_read_tree(struct bytes body, json_t **ret_root, const char **ret_detail);
/* Views into the tree. ERR_INVALID: not an object, or one of more fields than any of ours. */
MUST_USE enum err json_read_object(json_t *value, struct json_object *ret_object);

void json_write_text(struct buffer *out, struct bytes utf8); /* quoted; what is not UTF-8 becomes U+FFFD */
/* "name":"…" or, for bytes that are no UTF-8, "name_base64":"…" */
void json_write_name(struct buffer *out, struct bytes name);

/* RFC 4648 with padding, in its one canonical form. ERR_TOO_LONG: over cap bytes. */
MUST_USE enum err base64_read(struct bytes text, uint8_t *out, size_t cap, size_t *ret_len);
bool utf8_is_valid(struct bytes text);

#endif
