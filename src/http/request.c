/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request.h"

#include "http/grammar.h"

#define STORE_BYTES_KEPT (4u << 10)

/* Fields */

static enum fault request_refuse(struct request *r, enum fault fault, const char *detail)
{
    r->detail = detail;
    return fault;
}

static enum fault take_host(struct request *r, struct bytes value)
{
    if (r->hosts++ > 0) return request_refuse(r, FAULT_MALFORMED, "more than one Host");
    return host_is_valid(value) ? FAULT_NONE : request_refuse(r, FAULT_MALFORMED, "Host is not a host name");
}

/* Stricter than the grammar by one: no leading zero, which some read as octal. */
static enum fault take_length(struct request *r, struct bytes value)
{
    int64_t length;
    bool is_number = bytes_to_int64(value, &length) == ERR_OK && length >= 0;
    if (r->has_length || !is_number) return request_refuse(r, FAULT_MALFORMED, "Content-Length is not one number");
    r->has_length = true;
    r->length = (uint64_t)length;
    return FAULT_NONE;
}

static enum fault take_coding(struct request *r, struct bytes value)
{
    if (r->is_chunked || value.len == 0) return request_refuse(r, FAULT_MALFORMED, "not one Transfer-Encoding");
    r->is_chunked = bytes_equal_folded(value, "chunked");
    return r->is_chunked ? FAULT_NONE : request_refuse(r, FAULT_CODING, "Transfer-Encoding can only be chunked");
}

/* charset is the one parameter that could change what the bytes mean. */
static bool parameters_are_utf8(struct bytes parameters)
{
    while (parameters.len > 0) {
        const uint8_t *end = memchr(parameters.ptr, ';', parameters.len);
        size_t len = end ? (size_t)(end - parameters.ptr) : parameters.len;
        struct bytes one = bytes_trim(bytes_of(parameters.ptr, len));
        size_t step = end ? len + 1 : len;
        parameters = bytes_of(parameters.ptr + step, parameters.len - step);
        if (one.len < 8 || !bytes_equal_folded(bytes_of(one.ptr, 8), "charset=")) continue;
        struct bytes set = bytes_of(one.ptr + 8, one.len - 8);
        if (!bytes_equal_folded(set, "utf-8") && !bytes_equal_folded(set, "\"utf-8\"")) return false;
    }
    return true;
}

static enum fault take_media(struct request *r, struct bytes value)
{
    if (r->has_media) return request_refuse(r, FAULT_MALFORMED, "more than one Content-Type");
    r->has_media = true;
    const uint8_t *end = value.len > 0 ? memchr(value.ptr, ';', value.len) : NULL;
    size_t len = end ? (size_t)(end - value.ptr) : value.len;
    struct bytes type = bytes_trim(bytes_of(value.ptr, len));
    struct bytes parameters = end ? bytes_of(end + 1, value.len - len - 1) : bytes_of(NULL, 0);
    enum media media = MEDIA_OTHER;
    if (bytes_equal_folded(type, "application/json")) media = MEDIA_JSON;
    if (bytes_equal_folded(type, "application/x-www-form-urlencoded")) media = MEDIA_FORM;
    if (!parameters_are_utf8(parameters)) media = MEDIA_OTHER;
    if (r->media != MEDIA_OTHER) r->media = media; /* a Content-Encoding before it has the last word */
    return FAULT_NONE;
}

static enum fault take_encoding(struct request *r, struct bytes value)
{
    if (!bytes_equal_folded(value, "identity")) r->media = MEDIA_OTHER;
    return FAULT_NONE;
}

static enum fault take_expectation(struct request *r, struct bytes value)
{
    if (!bytes_equal_folded(value, "100-continue")) {
        return request_refuse(r, FAULT_EXPECTATION, "only 100-continue can be expected");
    }
    r->expects_continue = true;
    return FAULT_NONE;
}

/* The field whose name and value were read last. What is not named here means nothing to us; Connection is llhttp's. */
static enum fault take_field(struct request *r)
{
    static const struct {
        const char *name;
        enum fault (*take)(struct request *, struct bytes);
    } known[] = {
        { "host", take_host },
        { "content-length", take_length },
        { "content-type", take_media },
        { "transfer-encoding", take_coding },
        { "content-encoding", take_encoding },
        { "expect", take_expectation },
    };
    if (!r->name_complete) return FAULT_NONE;
    r->name_complete = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (bytes_equal_folded(r->name, known[i].name)) return known[i].take(r, bytes_trim(r->value));
    }
    return FAULT_NONE;
}

/* llhttp's callbacks */

static struct request *request_of(llhttp_t *parser)
{
    return parser->data;
}

/* llhttp may hand a text over in parts; a whole head lies in one piece, so they are neighbours. */
static void extend(struct bytes *text, const char *at, size_t len)
{
    if (text->len == 0) *text = bytes_of(at, 0);
    REQUIRE(text->ptr + text->len == (const uint8_t *)at);
    text->len += len;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    extend(&request_of(parser)->target, at, len);
    return 0;
}

/* Keeps the fault for later: what llhttp returns has no room for it. */
static int stop_if(struct request *r, enum fault fault)
{
    r->fault = fault;
    return fault == FAULT_NONE ? 0 : HPE_USER;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct request *r = request_of(parser);
    if (r->name_complete) {
        enum fault fault = take_field(r);
        if (fault != FAULT_NONE) return stop_if(r, fault);
        r->name = bytes_of(NULL, 0);
    }
    extend(&r->name, at, len);
    r->value = bytes_of(NULL, 0);
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    request_of(parser)->name_complete = true;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    extend(&request_of(parser)->value, at, len);
    return 0;
}

static enum fault check_head(struct request *r)
{
    const llhttp_t *parser = &r->parser;
    if (parser->http_major != 1 || parser->http_minor > 1) return FAULT_VERSION;
    r->old_version = parser->http_minor == 0;
    if (r->hosts == 0 && !r->old_version) return request_refuse(r, FAULT_MALFORMED, "Host is missing");
    if (r->is_chunked && r->has_length) {
        return request_refuse(r, FAULT_MALFORMED, "Content-Length and Transfer-Encoding together");
    }
    if (r->is_chunked && r->old_version) {
        return request_refuse(r, FAULT_MALFORMED, "Transfer-Encoding in HTTP/1.0");
    }
    if (r->length > BODY_BYTES_MAX) return FAULT_BODY_LARGE;
    if (r->old_version) r->expects_continue = false; /* RFC 9110, 10.1.1 */
    return FAULT_NONE;
}

static enum method method_of(uint8_t method)
{
    switch (method) {
    case HTTP_GET:
        return METHOD_GET;
    case HTTP_HEAD:
        return METHOD_HEAD;
    case HTTP_POST:
        return METHOD_POST;
    case HTTP_DELETE:
        return METHOD_DELETE;
    case HTTP_PUT:
    case HTTP_OPTIONS:
    case HTTP_PATCH:
    case HTTP_TRACE:
        return METHOD_OTHER;
    default:
        return METHOD_UNKNOWN;
    }
}

static int on_head_complete(llhttp_t *parser)
{
    struct request *r = request_of(parser);
    enum fault fault = take_field(r);
    if (fault == FAULT_NONE) fault = check_head(r);
    r->head_complete = true;
    r->method = method_of(parser->method);
    r->keep_alive = llhttp_should_keep_alive(parser);
    parser->upgrade = 0; /* we offer nothing to change to */
    return stop_if(r, fault);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct request *r = request_of(parser);
    REQUIRE(r->is_chunked); /* request_read_body does the others */
    buffer_bytes(&r->body_store, bytes_of(at, len));
    return r->body_store.failed ? stop_if(r, FAULT_MEMORY) : 0;
}

static int on_chunk(llhttp_t *parser)
{
    struct request *r = request_of(parser);
    if (parser->content_length > BODY_BYTES_MAX - r->body_store.len) return stop_if(r, FAULT_BODY_LARGE);
    r->last_chunk = parser->content_length == 0;
    return r->last_chunk ? HPE_PAUSED : 0;
}

/* Nobody has a use for them but smugglers. */
static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    (void)len;
    struct request *r = request_of(parser);
    return stop_if(r, request_refuse(r, FAULT_MALFORMED, "chunk extensions are not taken"));
}

static const llhttp_settings_t callbacks = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_headers_complete = on_head_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk,
    .on_chunk_extension_name = on_chunk_extension,
};

/* Requests */

void request_init(struct request *r)
{
    *r = (struct request){ 0 };
}

static void store_clear(struct buffer *store)
{
    if (store->cap > STORE_BYTES_KEPT) buffer_release(store);
    buffer_clear(store);
}

void request_clear(struct request *r)
{
    struct buffer target_store = r->target_store, body_store = r->body_store;
    store_clear(&target_store);
    store_clear(&body_store);
    *r = (struct request){ .target_store = target_store, .body_store = body_store };
}

void request_release(struct request *r)
{
    buffer_release(&r->target_store);
    buffer_release(&r->body_store);
}

static enum fault fault_of_parser(struct request *r, llhttp_errno_t error)
{
    if (r->fault != FAULT_NONE) return r->fault;
    if (error == HPE_INVALID_METHOD) return FAULT_UNKNOWN_METHOD;
    if (error == HPE_INVALID_VERSION || r->parser.http_major == 2) return FAULT_VERSION;
    return request_refuse(r, FAULT_MALFORMED, llhttp_get_error_reason(&r->parser));
}

/* "http://host/path" becomes its path; a proxy's form, which every server has to take. */
static bool target_to_origin(struct bytes *target)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(schemes[i]);
        if (target->len < len || !bytes_equal_folded(bytes_of(target->ptr, len), schemes[i])) continue;
        struct bytes host = bytes_of(target->ptr + len, target->len - len);
        size_t end = 0;
        while (end < host.len && host.ptr[end] != '/' && host.ptr[end] != '?') end++;
        *target = bytes_of(host.ptr + end, host.len - end);
        return host_is_valid(bytes_of(host.ptr, end));
    }
    return false;
}

/* Cuts the target into path and query. */
static enum fault request_split_target(struct request *r)
{
    struct bytes target = r->target;
    bool in_order = target.len > 0 && (target.ptr[0] == '/' || bytes_equal(target, bytes_of_text("*")));
    if (!in_order && !target_to_origin(&target)) {
        return request_refuse(r, FAULT_MALFORMED, "the target is neither a path nor an address");
    }
    const uint8_t *mark = target.len > 0 ? memchr(target.ptr, '?', target.len) : NULL;
    size_t len = mark ? (size_t)(mark - target.ptr) : target.len;
    r->path = len > 0 ? bytes_of(target.ptr, len) : bytes_of_text("/");
    r->query = mark ? bytes_of(mark + 1, target.len - len - 1) : bytes_of(NULL, 0);
    return FAULT_NONE;
}

enum fault request_read_head(struct request *r, struct bytes head)
{
    llhttp_init(&r->parser, HTTP_REQUEST, &callbacks);
    r->parser.data = r;
    llhttp_errno_t error = llhttp_execute(&r->parser, (const char *)head.ptr, head.len);
    if (error != HPE_OK || !r->head_complete) return fault_of_parser(r, error);
    if (r->parser.method == HTTP_CONNECT) return FAULT_UNKNOWN_METHOD; /* what follows would not be HTTP */
    return request_split_target(r);
}

enum fault request_keep(struct request *r)
{
    buffer_bytes(&r->target_store, r->target);
    if (r->target_store.failed) return FAULT_MEMORY;
    r->target = buffer_view(&r->target_store);
    return request_split_target(r);
}

size_t request_read_body(struct request *r, struct bytes input, enum fault *ret_fault)
{
    size_t missing = (size_t)r->length - r->body_store.len;
    size_t used = input.len < missing ? input.len : missing;
    if (used == r->length) {
        r->body = bytes_of(input.ptr, used);
        return used;
    }
    buffer_bytes(&r->body_store, bytes_of(input.ptr, used));
    if (r->body_store.failed) *ret_fault = FAULT_MEMORY;
    r->body = buffer_view(&r->body_store);
    return used;
}

size_t request_read_chunks(struct request *r, struct bytes input, bool *ret_last, enum fault *ret_fault)
{
    llhttp_errno_t error = llhttp_execute(&r->parser, (const char *)input.ptr, input.len);
    r->body = buffer_view(&r->body_store);
    *ret_last = r->last_chunk;
    if (error == HPE_OK) return input.len;
    size_t used = (size_t)(llhttp_get_error_pos(&r->parser) - (const char *)input.ptr);
    if (error != HPE_PAUSED || !r->last_chunk) *ret_fault = fault_of_parser(r, error);
    return used;
}
