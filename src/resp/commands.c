/* SPDX-License-Identifier: Apache-2.0 */
/* COMMAND and HELP: the table, shown to clients. */
#include "resp/glob.h"
#include "resp/handler.h"

/* A container's child has a parent; everything else has none. */
struct entry_shown {
    const struct command *parent, *command;
};

static void put_name(struct reply *r, const struct entry_shown *e)
{
    char name[COMMAND_FULL_NAME_BYTES_MAX];
    command_full_name(e->parent, e->command, name);
    reply_bulk_text(r, name);
}

/* A set of words, one for each bit. */
static void put_words(struct reply *r, uint32_t bits, const char *const *words)
{
    reply_set(r, (uint64_t)__builtin_popcount(bits));
    for (; bits != 0; bits &= bits - 1) reply_status(r, words[__builtin_ctz(bits)]);
}

static void put_flags(struct reply *r, const struct command *c)
{
#define X(name, text) text,
    static const char *const words[] = { COMMAND_FLAGS(X) };
#undef X
    put_words(r, c->flags, words);
}

static void put_categories(struct reply *r, const struct command *c)
{
#define X(name, text) "@" text,
    static const char *const words[] = { COMMAND_CATEGORIES(X) };
#undef X
    put_words(r, command_categories(c), words);
}

static void put_pair_integer(struct reply *r, const char *name, int64_t value)
{
    reply_bulk_text(r, name);
    reply_integer(r, value);
}

static void put_pair_text(struct reply *r, const char *name, const char *value)
{
    reply_bulk_text(r, name);
    reply_bulk_text(r, value);
}

/* Where the names of counters are: from the first on, the last counted from it. */
static void put_key_specs(struct reply *r, const struct command *c)
{
    static const char *const looks[] = { "RO", "access" }, *const changes[] = { "RW", "access", "update" };
    reply_set(r, c->key_first > 0);
    if (c->key_first == 0) return;
    reply_map(r, 3);
    reply_bulk_text(r, "flags");
    if (c->flags & COMMAND_WRITE) {
        put_words(r, 7, changes);
    } else {
        put_words(r, c->categories & CATEGORY_STRING ? 3 : 1, looks); /* EXISTS does not look at values */
    }
    reply_bulk_text(r, "begin_search");
    reply_map(r, 2);
    put_pair_text(r, "type", "index");
    reply_bulk_text(r, "spec");
    reply_map(r, 1);
    put_pair_integer(r, "index", c->key_first);
    reply_bulk_text(r, "find_keys");
    reply_map(r, 2);
    put_pair_text(r, "type", "range");
    reply_bulk_text(r, "spec");
    reply_map(r, 3);
    put_pair_integer(r, "lastkey", c->key_last < 0 ? c->key_last : c->key_last - c->key_first);
    put_pair_integer(r, "keystep", 1);
    put_pair_integer(r, "limit", 0);
}

static void put_info(struct reply *r, const struct entry_shown *e)
{
    const struct command *c = e->command;
    reply_array(r, 10);
    put_name(r, e);
    reply_integer(r, c->arity);
    put_flags(r, c);
    reply_integer(r, c->key_first);
    reply_integer(r, c->key_last);
    reply_integer(r, c->key_first > 0);
    put_categories(r, c);
    reply_set(r, 0); /* tips */
    put_key_specs(r, c);
    reply_set(r, c->children_count);
    for (uint32_t i = 0; i < c->children_count; i++) put_info(r, &(struct entry_shown){ c, &c->children[i] });
}

static void put_docs(struct reply *r, const struct entry_shown *e)
{
    const struct command *c = e->command;
    put_name(r, e);
    reply_map(r, c->children_count > 0 ? 4 : 3);
    put_pair_text(r, "summary", c->summary);
    put_pair_text(r, "since", c->since);
    put_pair_text(r, "group", c->group);
    if (c->children_count == 0) return;
    reply_bulk_text(r, "subcommands");
    reply_map(r, c->children_count);
    for (uint32_t i = 0; i < c->children_count; i++) put_docs(r, &(struct entry_shown){ c, &c->children[i] });
}

void command_all(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_array(&s->reply, command_table_count());
    for (uint32_t i = 0; i < command_table_count(); i++) {
        put_info(&s->reply, &(struct entry_shown){ NULL, command_table_at(i) });
    }
}

void command_count(struct resp_session *s, const struct request *q)
{
    (void)q;
    reply_integer(&s->reply, command_table_count());
}

void command_info(struct resp_session *s, const struct request *q)
{
    if (q->argc == 2) {
        command_all(s, q);
        return;
    }
    reply_array(&s->reply, q->argc - 2);
    for (uint32_t i = 2; i < q->argc; i++) {
        struct entry_shown e;
        e.command = command_find_full(request_arg(q, i), &e.parent);
        if (e.command) {
            put_info(&s->reply, &e);
        } else {
            reply_null(&s->reply);
        }
    }
}

static void docs_all(struct resp_session *s)
{
    reply_map(&s->reply, command_table_count());
    for (uint32_t i = 0; i < command_table_count(); i++) {
        put_docs(&s->reply, &(struct entry_shown){ NULL, command_table_at(i) });
    }
}

void command_docs(struct resp_session *s, const struct request *q)
{
    if (q->argc == 2) {
        docs_all(s);
        return;
    }
    struct entry_shown e;
    uint64_t known = 0;
    for (uint32_t i = 2; i < q->argc; i++) known += command_find_full(request_arg(q, i), &e.parent) != NULL;
    reply_map(&s->reply, known);
    for (uint32_t i = 2; i < q->argc; i++) {
        e.command = command_find_full(request_arg(q, i), &e.parent);
        if (e.command) put_docs(&s->reply, &e);
    }
}

/* --- COMMAND LIST --- */

struct list_filter {
    enum { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN } kind;
    struct bytes value;
};

static bool filter_read(const struct request *q, struct list_filter *f)
{
    *f = (struct list_filter){ 0 };
    if (q->argc == 2) return true;
    if (q->argc != 5 || !arg_is(request_arg(q, 2), "filterby")) return false;
    struct bytes kind = request_arg(q, 3);
    f->value = request_arg(q, 4);
    if (arg_is(kind, "module")) {
        f->kind = FILTER_MODULE;
    } else if (arg_is(kind, "aclcat")) {
        f->kind = FILTER_CATEGORY;
    } else if (arg_is(kind, "pattern")) {
        f->kind = FILTER_PATTERN;
    } else {
        return false;
    }
    return true;
}

static uint32_t category_named(struct bytes name)
{
#define X(id, text) text,
    static const char *const words[] = { COMMAND_CATEGORIES(X) };
#undef X
    for (uint32_t i = 0; i < CATEGORY_COUNT; i++) {
        if (arg_is(name, words[i])) return 1u << i;
    }
    return 0;
}

static bool filter_takes(const struct list_filter *f, const struct entry_shown *e)
{
    char name[COMMAND_FULL_NAME_BYTES_MAX];
    switch (f->kind) {
    case FILTER_NONE:
        return true;
    case FILTER_CATEGORY:
        return (command_categories(e->command) & category_named(f->value)) != 0;
    case FILTER_PATTERN:
        command_full_name(e->parent, e->command, name);
        return glob_match(f->value, bytes_of_text(name));
    default:
        return false; /* there are no modules */
    }
}

/* Counts, and shows when r is not NULL. */
static uint64_t list_walk(const struct list_filter *f, struct reply *r)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_table_count(); i++) {
        const struct command *c = command_table_at(i);
        for (uint32_t j = 0; j <= c->children_count; j++) {
            struct entry_shown e =
                j == 0 ? (struct entry_shown){ NULL, c } : (struct entry_shown){ c, &c->children[j - 1] };
            if (!filter_takes(f, &e)) continue;
            if (r) put_name(r, &e);
            count++;
        }
    }
    return count;
}

void command_list(struct resp_session *s, const struct request *q)
{
    struct list_filter f;
    if (!filter_read(q, &f)) {
        reply_error(&s->reply, "ERR syntax error");
        return;
    }
    reply_array(&s->reply, list_walk(&f, NULL));
    list_walk(&f, &s->reply);
}

void command_getkeys(struct resp_session *s, const struct request *q)
{
    const struct command *c = command_find(request_arg(q, 2));
    uint32_t argc = q->argc - 2;
    if (!c) {
        reply_error(&s->reply, "ERR Invalid command specified");
    } else if (c->key_first == 0) {
        reply_error(&s->reply, "ERR The command has no key arguments");
    } else if (!command_takes(c, argc)) {
        reply_error(&s->reply, "ERR Invalid number of arguments specified for command");
    } else {
        uint32_t first = (uint32_t)c->key_first, last = c->key_last < 0 ? argc - 1 : (uint32_t)c->key_last;
        reply_array(&s->reply, (uint64_t)last - first + 1);
        for (uint32_t i = first; i <= last; i++) reply_bulk(&s->reply, request_arg(q, 2 + i));
    }
}

static void put_upper(struct buffer *out, const struct command *c)
{
    for (uint32_t i = 0; i < c->name_len; i++) {
        char letter = c->name[i];
        buffer_u8(out, (uint8_t)(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter));
    }
}

void command_help(struct resp_session *s, const struct request *q)
{
    struct buffer *out = s->reply.out;
    const struct command *container = q->command;
    reply_array(&s->reply, 1 + 2 * (uint64_t)container->children_count);
    reply_literal(&s->reply, "+");
    put_upper(out, container);
    reply_literal(&s->reply, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n");
    for (uint32_t i = 0; i < container->children_count; i++) {
        reply_literal(&s->reply, "+");
        put_upper(out, &container->children[i]);
        buffer_printf(out, "\r\n+    %s\r\n", container->children[i].summary);
    }
}
