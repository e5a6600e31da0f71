/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: /v1/counters/{name}, its increment, and many increments in one request. */
#include "http/exchange.h"

#include <stdio.h>

/* Texts without a full stop; NULL from the functions below means that all is well. */
#define DETAIL_RANGE "the value would leave the range of signed 64-bit integers; nothing was changed"

struct increment {
    bool has_name;
    struct name name;
    int64_t delta;
};

static const char *increment_set_name(struct increment *i, const struct json_field *field, bool is_base64)
{
    if (i->has_name) return "name and name_base64 exclude each other";
    if (field->kind != JSON_KIND_TEXT) return "the counter's name is not a string";
    i->has_name = true;
    i->name.len = field->text.len;
    enum err err = field->text.len > NAME_BYTES_MAX ? ERR_TOO_LONG : ERR_OK;
    if (is_base64) {
        err = base64_read(field->text, i->name.ptr, NAME_BYTES_MAX, &i->name.len);
    } else if (err == ERR_OK && field->text.len > 0) {
        memcpy(i->name.ptr, field->text.ptr, field->text.len);
    }
    if (err == ERR_INVALID) return "name_base64 is not base64 with padding";
    if (err == ERR_TOO_LONG) return "the counter's name is longer than 1,024 bytes";
    return i->name.len == 0 ? "the counter's name is empty" : NULL;
}

static bool key_is(const struct json_field *field, const char *key)
{
    return bytes_equal(field->key, bytes_of_text(key));
}

static const char *increment_set(struct increment *i, const struct json_field *field, bool named)
{
    static const char *const later[] = { "lower", "upper", "saturate", "ttl_ms", "only_new" };
    if (key_is(field, "delta")) {
        i->delta = field->integer;
        return field->kind == JSON_KIND_INTEGER ? NULL : "delta is not an integer";
    }
    if (named && key_is(field, "name")) return increment_set_name(i, field, false);
    if (named && key_is(field, "name_base64")) return increment_set_name(i, field, true);
    for (size_t k = 0; k < sizeof later / sizeof later[0]; k++) {
        if (key_is(field, later[k])) {
            return "lower, upper, saturate, ttl_ms and only_new are not available in this version";
        }
    }
    return "unknown member";
}

/* named: the object says which counter. */
static const char *increment_read(struct increment *i, const struct json_object *object, bool named)
{
    i->has_name = false;
    i->delta = 1;
    for (uint32_t k = 0; k < object->count; k++) {
        const char *wrong = increment_set(i, &object->fields[k], named);
        if (wrong) return wrong;
    }
    return named && !i->has_name ? "the counter's name is missing" : NULL;
}

/* What stands between the braces. */
static void write_counter(struct buffer *out, struct bytes name, int64_t value)
{
    json_write_name(out, name);
    buffer_text(out, ",\"value\":");
    buffer_decimal(out, value);
    buffer_text(out, ",\"value_string\":\"");
    buffer_decimal(out, value);
    buffer_u8(out, '"');
}

static void write_applied(struct buffer *out, struct bytes name, int64_t value, int64_t applied)
{
    buffer_u8(out, '{');
    write_counter(out, name, value);
    buffer_text(out, ",\"applied\":");
    buffer_decimal(out, applied);
    buffer_u8(out, '}');
}

void route_get(struct exchange *x)
{
    struct name name;
    if (!exchange_decode(x, x->segment, false, &name)) return;
    struct seen seen;
    exchange_read(x, bytes_of(name.ptr, name.len), &seen);
    if (!seen.exists) {
        answer_fail(x->answer, FAULT_NOT_FOUND, "there is no such counter");
        return;
    }
    struct buffer *body = &x->answer->body;
    buffer_u8(body, '{');
    write_counter(body, bytes_of(name.ptr, name.len), seen.value);
    buffer_u8(body, '}');
}

void route_increment(struct exchange *x)
{
    struct increment i = { .delta = 1 };
    if (!exchange_decode(x, x->segment, false, &i.name)) return;
    if (x->request->body.len > 0) {
        struct json_object object;
        json_t *root;
        if (!exchange_read_object(x, &object, &root)) return;
        const char *wrong = increment_read(&i, &object, false);
        json_decref(root);
        if (wrong) {
            answer_fail(x->answer, FAULT_INVALID, wrong);
            return;
        }
    }
    struct bytes name = bytes_of(i.name.ptr, i.name.len);
    struct seen seen;
    enum err err = exchange_add(x, name, i.delta, &seen);
    if (err == ERR_OK) {
        write_applied(&x->answer->body, name, seen.value, i.delta);
    } else {
        answer_fail(x->answer, fault_of_err(err), err == ERR_RANGE ? DETAIL_RANGE : NULL);
    }
}

/* Many */

static const char *item_read(json_t *item, struct increment *ret_increment)
{
    struct json_object object;
    if (json_read_object(item, &object) != ERR_OK) return "not an object of known members";
    return increment_read(ret_increment, &object, true);
}

/* Everything is looked at before anything is done. False: answered. */
static bool batch_check(struct exchange *x, json_t *items)
{
    if (!json_is_array(items)) {
        answer_fail(x->answer, FAULT_INVALID, "the body is not an array");
        return false;
    }
    for (size_t at = 0; at < json_array_size(items); at++) {
        struct increment i;
        const char *wrong = item_read(json_array_get(items, at), &i);
        if (!wrong) continue;
        char detail[160];
        snprintf(detail, sizeof detail, "item %zu: %s; nothing was applied", at, wrong);
        answer_fail(x->answer, FAULT_INVALID, detail);
        return false;
    }
    enum err refused = keyspace_writes_refused(x->service->keyspace);
    if (refused != ERR_OK) answer_fail(x->answer, fault_of_err(refused), NULL);
    return refused == ERR_OK;
}

static void batch_item(struct exchange *x, json_t *item)
{
    struct increment i;
    REQUIRE(item_read(item, &i) == NULL); /* it was checked */
    struct bytes name = bytes_of(i.name.ptr, i.name.len);
    struct buffer *body = &x->answer->body;
    struct seen seen;
    enum err err = exchange_add(x, name, i.delta, &seen);
    if (err == ERR_OK) {
        write_applied(body, name, seen.value, i.delta);
        return;
    }
    buffer_u8(body, '{');
    json_write_name(body, name);
    buffer_text(body, ",\"error\":");
    json_write_text(body, bytes_of_text(fault_title(fault_of_err(err))));
    buffer_u8(body, '}');
}

void route_increments(struct exchange *x)
{
    const char *detail = NULL;
    json_t *items = NULL;
    enum err err = json_read_tree(x->request->body, &items, &detail);
    if (err != ERR_OK) {
        answer_fail(x->answer, fault_of_err(err), detail);
        return;
    }
    if (batch_check(x, items)) {
        struct buffer *body = &x->answer->body;
        buffer_text(body, "{\"results\":[");
        for (size_t at = 0; at < json_array_size(items); at++) {
            if (at > 0) buffer_u8(body, ',');
            batch_item(x, json_array_get(items, at));
        }
        buffer_text(body, "]}");
    }
    json_decref(items);
}
