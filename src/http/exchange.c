/* SPDX-License-Identifier: Apache-2.0 */
#include "http/exchange.h"

void exchange_wait(struct exchange *x, void *handle, void (*cancel)(void *handle), handler *finish)
{
    struct wait *wait = x->wait;
    if (!handle) {
        answer_fail(x->answer, FAULT_MEMORY, NULL);
        return;
    }
    wait->handle = wait->ready ? NULL : handle; /* it may be over already */
    wait->cancel = cancel;
    wait->finish = finish;
    x->waits = true;
}

void wait_over(struct wait *wait)
{
    wait->ready = true;
    wait->handle = NULL;
    if (wait->wake) wait->wake(wait->context);
}

void wait_cancel(struct wait *wait)
{
    if (wait->handle) wait->cancel(wait->handle);
    wait->handle = NULL;
}

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte = (uint8_t)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The next byte behind its escape, -1 for a broken one. */
static int decode_byte(struct reader *r, bool plus_is_space)
{
    uint8_t byte = reader_u8(r);
    if (byte == '+' && plus_is_space) return ' ';
    if (byte != '%') return byte;
    struct bytes digits = reader_bytes(r, 2);
    if (digits.len != 2) return -1;
    int high = hex_value(digits.ptr[0]), low = hex_value(digits.ptr[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool exchange_decode(struct exchange *x, struct bytes encoded, bool plus_is_space, struct name *ret_name)
{
    const char *wrong = encoded.len == 0 ? "the counter's name is empty" : NULL;
    struct reader r;
    reader_init(&r, encoded);
    ret_name->len = 0;
    while (!wrong && reader_left(&r) > 0) {
        int byte = decode_byte(&r, plus_is_space);
        if (byte < 0) {
            wrong = "a percent sign without two hexadecimal digits";
        } else if (ret_name->len == NAME_BYTES_MAX) {
            wrong = "the counter's name is longer than 1,024 bytes";
        } else {
            ret_name->ptr[ret_name->len++] = (uint8_t)byte;
        }
    }
    if (wrong) answer_fail(x->answer, FAULT_INVALID, wrong);
    return !wrong;
}

bool exchange_read_object(struct exchange *x, struct json_object *ret_object, json_t **ret_root)
{
    *ret_root = NULL;
    if (json_read_plain(x->request->body, ret_object)) return true;
    const char *detail = "the body is not an object of known members";
    json_t *root = NULL;
    enum err err = json_read_tree(x->request->body, &root, &detail);
    if (err == ERR_OK) err = json_read_object(root, ret_object);
    if (err == ERR_OK) {
        *ret_root = root;
        return true;
    }
    json_decref(root);
    answer_fail(x->answer, fault_of_err(err), err == ERR_NOMEM ? NULL : detail);
    return false;
}

enum err exchange_add(struct exchange *x, struct bytes name, int64_t delta, struct seen *ret_seen)
{
    const struct service *service = x->service;
    *ret_seen = (struct seen){ 0 };
    enum err err = keyspace_add(service->keyspace, keyspace_hash(service->keyspace, name), name, delta, ret_seen);
    answer_saw(x->answer, ret_seen->commit);
    if (err == ERR_OK) stats_add(service->stats, STAT_increments, 1);
    return err;
}

void exchange_read(struct exchange *x, struct bytes name, struct seen *ret_seen)
{
    const struct service *service = x->service;
    keyspace_get(service->keyspace, keyspace_hash(service->keyspace, name), name, ret_seen);
    answer_saw(x->answer, ret_seen->commit);
    stats_add(service->stats, STAT_reads, 1);
}
