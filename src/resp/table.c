/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup folds the case of a name eight bytes at a time, hashes it to a slot and compares two words. The slots are
 * filled once, before main, and never change. */
#include "resp/table.h"

#include "resp/handler.h"

#include <stdio.h>
#include <string.h>

#define CONNECTION (COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST)
#define GREETING (CONNECTION | COMMAND_NOSCRIPT | COMMAND_NO_AUTH | COMMAND_ALLOW_BUSY)
#define ANYTIME (COMMAND_LOADING | COMMAND_STALE)
#define ADMINISTRATIVE (ANYTIME | COMMAND_NOSCRIPT | COMMAND_ADMIN)
#define CHANGE (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define LOOK (COMMAND_READONLY | COMMAND_FAST)

#define NAME(text) .name = (text), .name_len = sizeof(text) - 1
#define ABOUT(since_text, group_text, summary_text)                                                                    \
    .since = (since_text), .group = (group_text), .summary = (summary_text)
#define ONE_KEY .key_first = 1, .key_last = 1
#define ALL_KEYS .key_first = 1, .key_last = -1
#define CHILDREN(list) .children = (list), .children_count = sizeof(list) / sizeof(list)[0]

static const struct command client_children[] = {
    { NAME("getname"), .arity = 2, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_getname, ABOUT("2.6.9", "connection", "Shows the name that this connection was given.") },
    { NAME("help"), .arity = 2, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_help,
      ABOUT("5.0.0", "connection", "Lists what there is.") },
    { NAME("id"), .arity = 2, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_id, ABOUT("5.0.0", "connection", "Shows the number of this connection.") },
    { NAME("info"), .arity = 2, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_info, ABOUT("6.2.0", "connection", "Shows what is known of this connection.") },
    { NAME("no-evict"), .arity = 3, .flags = ADMINISTRATIVE, .categories = CATEGORY_CONNECTION,
      .handler = client_switch, ABOUT("7.0.0", "connection", "Accepted: no connection is ever evicted.") },
    { NAME("no-touch"), .arity = 3, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_switch, ABOUT("7.2.0", "connection", "Accepted: reading leaves no trace on a counter.") },
    { NAME("reply"), .arity = 3, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_reply, ABOUT("3.2.0", "connection", "ON, OFF or SKIP: which commands are answered.") },
    { NAME("setinfo"), .arity = 4, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_setinfo, ABOUT("7.2.0", "connection", "LIB-NAME or LIB-VER: the library in use.") },
    { NAME("setname"), .arity = 3, .flags = ANYTIME | COMMAND_NOSCRIPT, .categories = CATEGORY_CONNECTION,
      .handler = client_setname, ABOUT("2.6.9", "connection", "Names this connection.") },
};

static const struct command command_children[] = {
    { NAME("count"), .arity = 2, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_count,
      ABOUT("2.8.13", "server", "Shows how many commands there are.") },
    { NAME("docs"), .arity = -2, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_docs,
      ABOUT("7.0.0", "server", "Says what commands do.") },
    { NAME("getkeys"), .arity = -4, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_getkeys,
      ABOUT("2.8.13", "server", "Finds the names of counters in a command.") },
    { NAME("help"), .arity = 2, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_help,
      ABOUT("5.0.0", "server", "Lists what there is.") },
    { NAME("info"), .arity = -2, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_info,
      ABOUT("2.8.13", "server", "Shows how commands are called and what they touch.") },
    { NAME("list"), .arity = -2, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_list,
      ABOUT("7.0.0", "server", "Lists the names of commands.") },
};

static const struct command config_children[] = {
    { NAME("get"), .arity = -3, .flags = ADMINISTRATIVE, .handler = config_get,
      ABOUT("2.0.0", "server", "Shows the settings whose names match.") },
    { NAME("help"), .arity = 2, .flags = ANYTIME, .handler = command_help,
      ABOUT("5.0.0", "server", "Lists what there is.") },
    { NAME("resetstat"), .arity = 2, .flags = ADMINISTRATIVE, .handler = config_resetstat,
      ABOUT("2.0.0", "server", "Refused: counts are since the start of the process.") },
    { NAME("rewrite"), .arity = 2, .flags = ADMINISTRATIVE, .handler = config_rewrite,
      ABOUT("2.8.0", "server", "Refused: there is no file of settings.") },
    { NAME("set"), .arity = -4, .flags = ADMINISTRATIVE, .handler = config_set,
      ABOUT("2.0.0", "server", "Refused: settings are given at the start.") },
};

static const struct command commands[] = {
    { NAME("auth"), .arity = -2, .flags = GREETING, .categories = CATEGORY_CONNECTION, .handler = command_auth,
      ABOUT("1.0.0", "connection", "Proves who is at the other end.") },
    { NAME("client"), .arity = -2, CHILDREN(client_children),
      ABOUT("2.4.0", "connection", "Holds the commands about connections.") },
    { NAME("command"), .arity = -1, .flags = ANYTIME, .categories = CATEGORY_CONNECTION, .handler = command_all,
      CHILDREN(command_children), ABOUT("2.8.13", "server", "Shows all commands.") },
    { NAME("config"), .arity = -2, CHILDREN(config_children),
      ABOUT("2.0.0", "server", "Holds the commands about settings.") },
    { NAME("dbsize"), .arity = 1, .flags = LOOK, .categories = CATEGORY_KEYSPACE, .handler = server_dbsize,
      ABOUT("1.0.0", "server", "Shows how many counters there are.") },
    { NAME("decr"), .arity = 2, .flags = CHANGE, .categories = CATEGORY_STRING, ONE_KEY, .handler = counter_decr,
      ABOUT("1.0.0", "string", "Takes one from a counter, which is 0 if it is not there.") },
    { NAME("decrby"), .arity = 3, .flags = CHANGE, .categories = CATEGORY_STRING, ONE_KEY, .handler = counter_decrby,
      ABOUT("1.0.0", "string", "Takes a number from a counter, which is 0 if it is not there.") },
    { NAME("echo"), .arity = 2, .flags = CONNECTION, .categories = CATEGORY_CONNECTION, .handler = command_echo,
      ABOUT("1.0.0", "connection", "Answers its argument.") },
    { NAME("exists"), .arity = -2, .flags = LOOK, .categories = CATEGORY_KEYSPACE, ALL_KEYS, .handler = counter_exists,
      ABOUT("1.0.0", "generic", "Shows how many of the counters named are there.") },
    { NAME("get"), .arity = 2, .flags = LOOK, .categories = CATEGORY_STRING, ONE_KEY, .handler = counter_get,
      ABOUT("1.0.0", "string", "Shows the value of a counter.") },
    { NAME("hello"), .arity = -1, .flags = GREETING, .categories = CATEGORY_CONNECTION, .handler = command_hello,
      ABOUT("6.0.0", "connection", "Agrees on the version of the protocol.") },
    { NAME("host:"), .arity = -1, .flags = GREETING, .categories = CATEGORY_CONNECTION, .handler = command_hang_up,
      ABOUT("0.1.0", "connection", "Ends the connection: this is a line of HTTP, perhaps smuggled.") },
    { NAME("incr"), .arity = 2, .flags = CHANGE, .categories = CATEGORY_STRING, ONE_KEY, .handler = counter_incr,
      ABOUT("1.0.0", "string", "Adds one to a counter, which is 0 if it is not there.") },
    { NAME("incrby"), .arity = 3, .flags = CHANGE, .categories = CATEGORY_STRING, ONE_KEY, .handler = counter_incrby,
      ABOUT("1.0.0", "string", "Adds a number to a counter, which is 0 if it is not there.") },
    { NAME("info"), .arity = -1, .flags = ANYTIME, .categories = CATEGORY_DANGEROUS, .handler = server_info,
      ABOUT("1.0.0", "server", "Describes this node, for people and for monitoring.") },
    { NAME("mget"), .arity = -2, .flags = LOOK, .categories = CATEGORY_STRING, ALL_KEYS, .handler = counter_mget,
      ABOUT("1.0.0", "string", "Shows the values of several counters.") },
    { NAME("ping"), .arity = -1, .flags = COMMAND_FAST, .categories = CATEGORY_CONNECTION, .handler = command_ping,
      ABOUT("1.0.0", "connection", "Answers PONG, or its argument.") },
    { NAME("post"), .arity = -1, .flags = GREETING, .categories = CATEGORY_CONNECTION, .handler = command_hang_up,
      ABOUT("0.1.0", "connection", "Ends the connection: this is a line of HTTP, perhaps smuggled.") },
    { NAME("quipu.cluster"), .arity = 1, .flags = ANYTIME, .handler = quipu_cluster,
      ABOUT("0.1.0", "server", "Shows the members of the cluster as this node sees them.") },
    { NAME("quipu.forget"), .arity = 2, .flags = ADMINISTRATIVE, .handler = quipu_forget,
      ABOUT("0.1.0", "server", "Strikes a member off that will not come back; its counts stay.") },
    { NAME("quipu.join"), .arity = 2, .flags = ADMINISTRATIVE, .handler = quipu_join,
      ABOUT("0.1.0", "server", "Makes this node contact another, and shows its peers.") },
    { NAME("quipu.leave"), .arity = 1, .flags = ADMINISTRATIVE, .handler = quipu_leave,
      ABOUT("0.1.0", "server", "Makes this node leave the cluster and stop, once its peers have all of it.") },
    { NAME("quipu.peers"), .arity = 1, .flags = ANYTIME, .handler = quipu_peers,
      ABOUT("0.1.0", "server", "Shows the peers that this node hears directly.") },
    { NAME("quit"), .arity = -1, .flags = GREETING, .categories = CATEGORY_CONNECTION, .handler = command_quit,
      ABOUT("1.0.0", "connection", "Ends the connection.") },
    { NAME("readonly"), .arity = 1, .flags = CONNECTION, .categories = CATEGORY_CONNECTION, .handler = command_accept,
      ABOUT("3.0.0", "cluster", "Accepted: any node answers reads.") },
    { NAME("readwrite"), .arity = 1, .flags = CONNECTION, .categories = CATEGORY_CONNECTION, .handler = command_accept,
      ABOUT("3.0.0", "cluster", "Accepted: any node takes writes.") },
    { NAME("reset"), .arity = 1, .flags = GREETING, .categories = CATEGORY_CONNECTION, .handler = command_reset,
      ABOUT("6.2.0", "connection", "Makes the connection as it was when it was new.") },
    { NAME("select"), .arity = 2, .flags = CONNECTION, .categories = CATEGORY_CONNECTION, .handler = command_select,
      ABOUT("1.0.0", "connection", "Takes 0, the one database there is.") },
    { NAME("time"), .arity = 1, .flags = CONNECTION, .handler = server_time,
      ABOUT("2.6.0", "server", "Shows the time of day of this node.") },
};

#define COMMANDS_COUNT (sizeof commands / sizeof commands[0])
#define SLOT_BITS 8
#define SLOTS (1u << SLOT_BITS)
_Static_assert(COMMANDS_COUNT * 2 < SLOTS, "the slots are too few for the commands");

/* A name in two words, in lower case. Names with a NUL are told apart by their length. */
struct folded {
    uint64_t low, high;
};

static struct slot {
    struct folded name;
    size_t len;
    const struct command *command; /* NULL: the slot is free */
} slots[SLOTS];

static inline uint64_t word_lower(uint64_t w)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t seven = w & (0x7f * ones);
    uint64_t from_a = seven + (0x80 - 'A') * ones, past_z = seven + (0x80 - 'Z' - 1) * ones;
    uint64_t upper = from_a & ~past_z & ~w & (0x80 * ones);
    return w | (upper >> 2); /* 0x80 becomes 0x20 */
}

/* Up to eight bytes, in an order of their own for each length; reads nothing beyond them. */
static inline uint64_t word_load(const uint8_t *ptr, size_t len)
{
    uint64_t word = 0;
    uint32_t front, back;
    if (len >= 8) {
        memcpy(&word, ptr, 8);
    } else if (len >= 4) {
        memcpy(&front, ptr, 4);
        memcpy(&back, ptr + len - 4, 4);
        word = front | ((uint64_t)back << 32);
    } else {
        for (size_t i = 0; i < len; i++) word = word << 8 | ptr[i];
    }
    return word;
}

static inline struct folded name_fold(const uint8_t *ptr, size_t len)
{
    if (len <= 8) return (struct folded){ word_lower(word_load(ptr, len)), 0 };
    return (struct folded){ word_lower(word_load(ptr, 8)), word_lower(word_load(ptr + len - 8, 8)) };
}

static inline uint32_t name_slot(struct folded name, size_t len)
{
    uint64_t mixed = (name.low ^ (name.high << 1) ^ len) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> (64 - SLOT_BITS));
}

static inline bool folded_equal(struct folded a, struct folded b)
{
    return a.low == b.low && a.high == b.high;
}

static struct folded command_fold(const struct command *c)
{
    return name_fold((const uint8_t *)c->name, c->name_len);
}

__attribute__((constructor)) static void slots_fill(void)
{
    for (uint32_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command *c = &commands[i];
        uint32_t at = name_slot(command_fold(c), c->name_len);
        while (slots[at].command) at = (at + 1) % SLOTS;
        slots[at] = (struct slot){ command_fold(c), c->name_len, c };
    }
}

const struct command *command_find(struct bytes name)
{
    if (name.len == 0 || name.len > COMMAND_NAME_BYTES_MAX) return NULL;
    struct folded folded = name_fold(name.ptr, name.len);
    const struct slot *slot = &slots[name_slot(folded, name.len)];
    while (slot->command && !(slot->len == name.len && folded_equal(slot->name, folded))) {
        slot = slot + 1 < slots + SLOTS ? slot + 1 : slots;
    }
    return slot->command;
}

const struct command *command_find_child(const struct command *container, struct bytes name)
{
    if (name.len == 0 || name.len > COMMAND_NAME_BYTES_MAX) return NULL;
    struct folded folded = name_fold(name.ptr, name.len);
    for (uint32_t i = 0; i < container->children_count; i++) {
        const struct command *child = &container->children[i];
        if (child->name_len == name.len && folded_equal(command_fold(child), folded)) return child;
    }
    return NULL;
}

const struct command *command_find_full(struct bytes name, const struct command **ret_parent)
{
    *ret_parent = NULL;
    const uint8_t *bar = name.len > 0 ? memchr(name.ptr, '|', name.len) : NULL;
    if (!bar) return command_find(name);
    size_t len = (size_t)(bar - name.ptr);
    *ret_parent = command_find(bytes_of(name.ptr, len));
    return *ret_parent ? command_find_child(*ret_parent, bytes_of(bar + 1, name.len - len - 1)) : NULL;
}

uint32_t command_table_count(void)
{
    return COMMANDS_COUNT;
}

const struct command *command_table_at(uint32_t index)
{
    return &commands[index];
}

uint32_t command_categories(const struct command *c)
{
    uint32_t categories = c->categories;
    if (c->flags & COMMAND_WRITE) categories |= CATEGORY_WRITE;
    if (c->flags & COMMAND_READONLY) categories |= CATEGORY_READ;
    if (c->flags & COMMAND_ADMIN) categories |= CATEGORY_ADMIN | CATEGORY_DANGEROUS;
    return categories | (c->flags & COMMAND_FAST ? CATEGORY_FAST : CATEGORY_SLOW);
}

void command_full_name(const struct command *parent, const struct command *c,
                       char ret_name[COMMAND_FULL_NAME_BYTES_MAX])
{
    int len = snprintf(ret_name, COMMAND_FULL_NAME_BYTES_MAX, "%.*s%s%.*s", parent ? parent->name_len : 0,
                       parent ? parent->name : "", parent ? "|" : "", c->name_len, c->name);
    REQUIRE(len > 0 && len < (int)COMMAND_FULL_NAME_BYTES_MAX);
}
