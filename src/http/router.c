/* SPDX-License-Identifier: Apache-2.0 */
#include "http/router.h"

struct route {
    const char *path; /* {} is one segment that is not empty */
    enum style style;
    handler *get, *post, *delete;
    bool needs_body;
};

static const struct route routes[] = {
    { "/increment", STYLE_ORIGINAL, NULL, original_increment, NULL, true },
    { "/count", STYLE_ORIGINAL, original_count, NULL, NULL, false },
    { "/v1/counters/{}/increment", STYLE_PROBLEM, NULL, route_increment, NULL, false },
    { "/v1/counters/{}", STYLE_PROBLEM, route_get, NULL, NULL, false },
    { "/v1/increments", STYLE_PROBLEM, NULL, route_increments, NULL, true },
    { "/ping", STYLE_ORIGINAL, original_ping, NULL, NULL, false },
    { "/peers", STYLE_ORIGINAL, original_peers, NULL, NULL, false },
    { "/join", STYLE_ORIGINAL, NULL, original_join, NULL, true },
    { "/v1/cluster", STYLE_PROBLEM, cluster_get, NULL, NULL, false },
    { "/v1/cluster/members/{}", STYLE_PROBLEM, NULL, NULL, cluster_forget, false },
    { "/v1/cluster/leave", STYLE_PROBLEM, NULL, cluster_leave, NULL, false },
    { "/v1/verify", STYLE_PROBLEM, verify_get, NULL, NULL, false },
    { "/livez", STYLE_PROBLEM, live_get, NULL, NULL, false },
    { "/readyz", STYLE_PROBLEM, ready_get, NULL, NULL, false },
    { "/metrics", STYLE_PROBLEM, metrics_get, NULL, NULL, false },
};

/* Cuts one segment, from its slash to the next, off the front. */
static struct bytes segment_take(struct bytes *path)
{
    size_t len = 1;
    while (len < path->len && path->ptr[len] != '/') len++;
    struct bytes segment = bytes_of(path->ptr + 1, len - 1);
    *path = bytes_of(path->ptr + len, path->len - len);
    return segment;
}

static bool path_matches(struct bytes path, const char *pattern, struct bytes *ret_segment)
{
    struct bytes wanted = bytes_of_text(pattern);
    while (path.len > 0 && wanted.len > 0) {
        struct bytes segment = segment_take(&path), model = segment_take(&wanted);
        bool is_name = bytes_equal(model, bytes_of_text("{}"));
        if (is_name) *ret_segment = segment;
        if (is_name ? segment.len == 0 : !bytes_equal(segment, model)) return false;
    }
    return path.len == 0 && wanted.len == 0;
}

static const struct route *route_find(struct exchange *x)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (path_matches(x->request->path, routes[i].path, &x->segment)) return &routes[i];
    }
    return NULL;
}

static handler *refuse(struct exchange *x, enum fault fault, const char *detail)
{
    answer_fail(x->answer, fault, detail);
    return NULL;
}

static handler *refuse_method(struct exchange *x, const char *allow)
{
    x->answer->allow = allow;
    return refuse(x, FAULT_METHOD, NULL);
}

/* What a POST brings has to be JSON, said or unsaid; `curl -d`, as the original's users call it, says form. */
static handler *check_post(struct exchange *x, const struct route *route)
{
    const struct request *r = x->request;
    if (r->media == MEDIA_OTHER || (r->media == MEDIA_FORM && route->style != STYLE_ORIGINAL)) {
        return refuse(x, FAULT_MEDIA, "the body must be application/json in UTF-8, without a Content-Encoding");
    }
    if (route->needs_body && !r->has_length && !r->is_chunked) return refuse(x, FAULT_LENGTH, NULL);
    return route->post;
}

/* NULL: the route does not take this method. No route takes two kinds of them. */
static handler *handler_for(const struct route *route, enum method method)
{
    switch (method) {
    case METHOD_GET:
    case METHOD_HEAD:
        return route->get;
    case METHOD_POST:
        return route->post;
    case METHOD_DELETE:
        return route->delete;
    case METHOD_OTHER:
    case METHOD_UNKNOWN:
        break;
    }
    return NULL;
}

handler *router_find(struct exchange *x)
{
    const struct request *r = x->request;
    const struct route *route = route_find(x);
    answer_begin(x->answer, route ? route->style : STYLE_PROBLEM);
    if (r->method == METHOD_UNKNOWN) return refuse(x, FAULT_UNKNOWN_METHOD, NULL);
    if (bytes_equal(r->path, bytes_of_text("*"))) {
        return r->method == METHOD_OTHER ? refuse_method(x, "GET, HEAD, POST, DELETE")
                                         : refuse(x, FAULT_MALFORMED, NULL);
    }
    if (!route) return refuse(x, FAULT_NOT_FOUND, "no such route");
    handler *handle = handler_for(route, r->method);
    if (!handle) return refuse_method(x, route->get ? "GET, HEAD" : route->post ? "POST" : "DELETE");
    if (memcmp(route->path, "/v1/", 4) == 0 && r->query.len > 0) {
        return refuse(x, FAULT_INVALID, "unknown query parameter");
    }
    return r->method == METHOD_POST ? check_post(x, route) : handle;
}
