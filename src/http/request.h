/* SPDX-License-Identifier: Apache-2.0 */
/* request: one request, from its head's bytes to its body. What it says stays a view into the head until request_keep
 * is called, and into the body where that lies in the input in one piece. */
#ifndef QUIPU_HTTP_REQUEST_H
#define QUIPU_HTTP_REQUEST_H

#include "base/bytes.h"
#include "http/fault.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_BYTES_MAX (1u << 20)

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_DELETE, METHOD_OTHER, METHOD_UNKNOWN };
enum media { MEDIA_NONE, MEDIA_JSON, MEDIA_FORM, MEDIA_OTHER };

struct request {
    enum method method; /* OTHER: known, but no route takes it */
    enum media media;
    bool keep_alive, old_version; /* HTTP/1.0 */
    bool expects_continue;
    bool has_length, is_chunked; /* neither: there is no body */
    uint64_t length;
    struct bytes path, query; /* still encoded; the query without its '?' */
    struct bytes body;
    const char *detail; /* of the fault, where there is more to say than its title */

    /* Private to request.c */
    enum fault fault; /* found in a callback */
    uint8_t hosts;
    bool head_complete, last_chunk, has_media;
    struct bytes target, name, value; /* name and value: of the field being read */
    bool name_complete;
    struct buffer target_store, body_store;
    llhttp_t parser;
};

void request_init(struct request *r);
void request_release(struct request *r);
/* Forgets the last one; gives back memory that only a large one needed. */
void request_clear(struct request *r);

/* head is whole and sound by the grammar. After any fault the connection cannot go on. */
enum fault request_read_head(struct request *r, struct bytes head);
/* Copies what points into the head: the rest of the request comes in later calls. */
enum fault request_keep(struct request *r);
/* Takes the next part of a body of known length; returns how much of input belongs to it. The body is complete when its
 * length is r->length. */
size_t request_read_body(struct request *r, struct bytes input, enum fault *ret_fault);
/* The next part of a chunked one. *ret_last: the last chunk was read; fields and an empty line follow. */
size_t request_read_chunks(struct request *r, struct bytes input, bool *ret_last, enum fault *ret_fault);

#endif
