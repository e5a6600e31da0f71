/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of the original system, on the counter named `default`, answered byte for byte as its users know them. */
#include "http/exchange.h"

static const char name_default[] = "default";

void original_ping(struct exchange *x)
{
    x->answer->media = NULL;
}

static void write_peers(struct exchange *x)
{
    struct buffer *body = &x->answer->body;
    const struct view *view = x->service->ops->view(x->service->server);
    bool first = true;
    buffer_u8(body, '[');
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct view_member *member = &view->members[i];
        if (member->is_self || !member->heard) continue;
        if (!first) buffer_u8(body, ',');
        json_write_text(body, bytes_of_text(member->node));
        first = false;
    }
    buffer_u8(body, ']');
    view_drop(view);
}

void original_peers(struct exchange *x)
{
    write_peers(x);
}

static bool key_is(const struct json_field *field, const char *key)
{
    return bytes_equal(field->key, bytes_of_text(key));
}

/* Asks for contact with what the object names. Returns what is wrong with it, or NULL. */
static const char *join(struct exchange *x, const struct json_object *object)
{
    if (object->count != 1 || !key_is(&object->fields[0], "id")) return "id must be there, and nothing else";
    if (object->fields[0].kind != JSON_KIND_TEXT) return "id is not a string";
    enum err err = x->service->ops->join(x->service->server, object->fields[0].text);
    if (err == ERR_INVALID) return "id is not host:port";
    if (err == ERR_OK) {
        write_peers(x);
    } else {
        answer_fail(x->answer, fault_of_err(err), NULL);
    }
    return NULL;
}

void original_join(struct exchange *x)
{
    struct json_object object;
    json_t *root;
    if (!exchange_read_object(x, &object, &root)) return;
    const char *wrong = join(x, &object);
    json_decref(root);
    if (wrong) answer_fail(x->answer, FAULT_INVALID, wrong);
}

struct original_increment {
    int64_t count;
    struct bytes counter;
};

static const char *increment_set(struct original_increment *i, const struct json_field *field)
{
    if (key_is(field, "increment_count")) {
        i->count = field->integer;
        bool is_count = field->kind == JSON_KIND_INTEGER && field->integer != 0;
        return is_count ? NULL : "increment_count must be an integer other than 0";
    }
    if (key_is(field, "node_id")) return field->kind == JSON_KIND_TEXT ? NULL : "node_id is not a string";
    if (key_is(field, "counter")) {
        i->counter = field->text;
        bool is_name = field->kind == JSON_KIND_TEXT && field->text.len > 0 && field->text.len <= NAME_BYTES_MAX;
        return is_name ? NULL : "counter must be a string of 1 to 1,024 bytes";
    }
    return "unknown member";
}

static const char *increment(struct exchange *x, const struct json_object *object)
{
    struct original_increment i = { .count = 1, .counter = bytes_of_text(name_default) };
    for (uint32_t k = 0; k < object->count; k++) {
        const char *wrong = increment_set(&i, &object->fields[k]);
        if (wrong) return wrong;
    }
    struct seen seen;
    enum err err = exchange_add(x, i.counter, i.count, &seen);
    if (err == ERR_OK) {
        buffer_text(&x->answer->body, "{\"success\":true,\"count\":");
        buffer_decimal(&x->answer->body, seen.value);
        buffer_u8(&x->answer->body, '}');
    } else {
        answer_fail(x->answer, fault_of_err(err), NULL);
    }
    return NULL;
}

void original_increment(struct exchange *x)
{
    struct json_object object;
    json_t *root;
    if (!exchange_read_object(x, &object, &root)) return;
    const char *wrong = increment(x, &object);
    json_decref(root);
    if (wrong) answer_fail(x->answer, FAULT_INVALID, wrong);
}

/* The encoded value of the query's parameter; *ret_times counts how often it is there. */
static struct bytes query_find(struct bytes query, const char *key, uint32_t *ret_times)
{
    struct bytes found = bytes_of(NULL, 0);
    *ret_times = 0;
    while (query.len > 0) {
        size_t len = 0, name_len = 0;
        while (len < query.len && query.ptr[len] != '&') len++;
        while (name_len < len && query.ptr[name_len] != '=') name_len++;
        if (bytes_equal(bytes_of(query.ptr, name_len), bytes_of_text(key))) {
            size_t value_at = name_len < len ? name_len + 1 : len;
            found = bytes_of(query.ptr + value_at, len - value_at);
            ++*ret_times;
        }
        size_t step = len < query.len ? len + 1 : len;
        query = bytes_of(query.ptr + step, query.len - step);
    }
    return found;
}

void original_count(struct exchange *x)
{
    uint32_t times;
    struct bytes encoded = query_find(x->request->query, "counter", &times);
    struct bytes counter = bytes_of_text(name_default);
    struct name name;
    if (times > 1) {
        answer_fail(x->answer, FAULT_INVALID, "counter stands twice in the query");
        return;
    }
    if (times == 1) {
        if (!exchange_decode(x, encoded, true, &name)) return;
        counter = bytes_of(name.ptr, name.len);
    }
    struct seen seen;
    exchange_read(x, counter, &seen);
    buffer_text(&x->answer->body, "{\"count\":");
    buffer_decimal(&x->answer->body, seen.exists ? seen.value : 0);
    buffer_u8(&x->answer->body, '}');
}
