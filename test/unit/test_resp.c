/* SPDX-License-Identifier: Apache-2.0 */
#include "resp_fixture.h"
#include "testing.h"

#include <stdio.h>

/* --- Conversations: what a client sends, and all that it must get back. --- */

struct conversation {
    const char *name;
    struct bytes sent, expected;
    bool close;
};
#define SAYS(text)                                                                                                     \
    {                                                                                                                  \
        (const uint8_t *)(text), sizeof(text) - 1                                                                      \
    }
#define NO_ANSWER SAYS("")
#define BROKEN(text) SAYS("-ERR Protocol error: " text "\r\n"), true
#define HELLO_3                                                                                                        \
    "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:3\r\n"     \
    "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
#define HELLO_2                                                                                                        \
    "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n"    \
    "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
#define NOT_A_NUMBER "-ERR value is not an integer or out of range\r\n"
#define OVERFLOW "-ERR increment or decrement would overflow\r\n"
#define BAD_NAME "-ERR name of a counter must be 1 to 1024 bytes long\r\n"

static const struct conversation framing[] = {
    { "empty line", SAYS("\r\nPING\r\n\nPING\n"), SAYS("+PONG\r\n+PONG\r\n"), false },
    { "empty arrays", SAYS("*-10\r\n*0\r\n*-1\r\nPING\r\n*0\r\n"), SAYS("+PONG\r\n"), false },
    { "array, then line, then array", SAYS("*0\r\nPING\r\n*1\r\n$4\r\nPING\r\nPING\r\n*-1\r\n*1\r\n$4\r\nping\r\n"),
      SAYS("+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n"), false },
    { "no dollar", SAYS("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"), BROKEN("expected '$', got 'f'") },
    { "line end for a dollar", SAYS("*1\r\n\r\n"), BROKEN("expected '$', got ' '") },
    { "negative length", SAYS("*1\r\n$-10\r\n"), BROKEN("invalid bulk length") },
    { "too long an argument", SAYS("*2\r\n$4\r\nECHO\r\n$1048577\r\n"), BROKEN("invalid bulk length") },
    { "length that is no number", SAYS("*1\r\n$4x\r\nPING\r\n"), BROKEN("invalid bulk length") },
    { "length with a plus", SAYS("*1\r\n$+4\r\nPING\r\n"), BROKEN("invalid bulk length") },
    { "length with a zero in front", SAYS("*1\r\n$04\r\nPING\r\n"), BROKEN("invalid bulk length") },
    { "no length", SAYS("*1\r\n$\r\nPING\r\n"), BROKEN("invalid bulk length") },
    { "length of 20 digits", SAYS("*1\r\n$18446744073709551620\r\nPING\r\n"), BROKEN("invalid bulk length") },
    { "count of 20 digits", SAYS("*18446744073709551617\r\n$4\r\nPING\r\n"), BROKEN("invalid multibulk length") },
    { "too many arguments", SAYS("*65537\r\n"), BROKEN("invalid multibulk length") },
    { "count that is no number", SAYS("*a\r\n"), BROKEN("invalid multibulk length") },
    { "no count", SAYS("*\r\n"), BROKEN("invalid multibulk length") },
    { "minus zero", SAYS("*-0\r\n"), BROKEN("invalid multibulk length") },
    { "no CR in an array", SAYS("*1\n$4\nPING\n"), BROKEN("invalid multibulk length") },
    { "CR alone", SAYS("*1\r\n$4\rPING\r\n"), BROKEN("invalid bulk length") },
    { "argument not ended", SAYS("*1\r\n$4\r\nPINGxx"), BROKEN("invalid bulk terminator") },
    { "argument half ended", SAYS("*1\r\n$4\r\nPING\rx"), BROKEN("invalid bulk terminator") },
    { "commands before the damage", SAYS("PING\r\nINCR a\r\n*1\r\nx"),
      SAYS("+PONG\r\n:1\r\n-ERR Protocol error: expected '$', got 'x'\r\n"), true },
    { "one answer to much damage", SAYS("*x\r\n*x\r\n*x\r\n"), BROKEN("invalid multibulk length") },
    { "quotes", SAYS("ECHO \"a b\\x41\\n\\q\"\r\nECHO 'it\\'s'\r\nECHO x\"y\"\r\nECHO \"\"\r\nECHO '\\n'\r\n"),
      SAYS("$6\r\na bA\nq\r\n$4\r\nit's\r\n$2\r\nxy\r\n$0\r\n\r\n$2\r\n\\n\r\n"), false },
    { "open double quote", SAYS("PING \"a\r\n"), BROKEN("unbalanced quotes in request") },
    { "open single quote", SAYS("PING 'a\r\n"), BROKEN("unbalanced quotes in request") },
    { "text behind a quote", SAYS("PING \"a\"b\r\n"), BROKEN("unbalanced quotes in request") },
    { "escape at the end", SAYS("PING \"\\\r\n"), BROKEN("unbalanced quotes in request") },
    { "half an escape", SAYS("ECHO \"\\x4\"\r\nECHO \"\\xg0\"\r\n"), SAYS("$2\r\nx4\r\n$3\r\nxg0\r\n"), false },
    { "NUL in a line", SAYS("ECHO a\0b\r\n"), SAYS("$3\r\na\0b\r\n"), false },
    { "quit ends it", SAYS("QUIT\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"), SAYS("+OK\r\n"), true },
    { "a browser's POST", SAYS("PING\r\nPOST / HTTP/1.1\r\nINCR a\r\n"), SAYS("+PONG\r\n"), true },
    { "a browser's header", SAYS("*1\r\n$5\r\nHOST:\r\nINCR a\r\n"), NO_ANSWER, true },
};

static const struct conversation counting[] = {
    { "there and back", SAYS("INCR a\r\nincrby a 5\r\nIncrBy a -2\r\nDECR a\r\nDECRBY a 10\r\nGET a\r\nGET b\r\n"),
      SAYS(":1\r\n:6\r\n:4\r\n:3\r\n:-7\r\n$2\r\n-7\r\n$-1\r\n"), false },
    { "the ends",
      SAYS("INCRBY a 9223372036854775807\r\nINCR a\r\nGET a\r\nDECRBY b 9223372036854775807\r\nDECR b\r\n"
           "DECR b\r\nGET b\r\nDECRBY a -9223372036854775808\r\n"),
      SAYS(":9223372036854775807\r\n" OVERFLOW "$19\r\n9223372036854775807\r\n:-9223372036854775807\r\n"
           ":-9223372036854775808\r\n" OVERFLOW "$20\r\n-9223372036854775808\r\n-ERR decrement would overflow\r\n"),
      false },
    { "not numbers",
      SAYS("INCRBY a \" 1\"\r\nINCRBY a \"1 \"\r\nINCRBY a +1\r\nINCRBY a 1.0\r\nINCRBY a 1e3\r\n"
           "INCRBY a 0x10\r\nINCRBY a 007\r\nDECRBY a -0\r\nDECRBY a \"\"\r\nDECRBY a --1\r\n"
           "DECRBY a 123456789012345678901\r\nDECRBY a 9223372036854775808\r\nGET a\r\n"),
      SAYS(NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER
               NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER NOT_A_NUMBER "$-1\r\n"),
      false },
    { "nothing added makes a counter", SAYS("INCRBY a 0\r\nEXISTS a\r\nINCR a\r\nDECRBY a 0\r\n"),
      SAYS(":0\r\n:1\r\n:1\r\n:1\r\n"), false },
    { "several at once", SAYS("INCR a\r\nINCR b\r\nMGET a x b a\r\nEXISTS a a x b\r\nDBSIZE\r\n"),
      SAYS(":1\r\n:1\r\n*4\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n:3\r\n:2\r\n"), false },
    { "no name", SAYS("INCR \"\"\r\nGET \"\"\r\nMGET a \"\"\r\nEXISTS \"\"\r\nINCRBY \"\" 0\r\nPING\r\n"),
      SAYS(BAD_NAME BAD_NAME BAD_NAME BAD_NAME BAD_NAME "+PONG\r\n"), false },
    { "any bytes name a counter",
      SAYS("*2\r\n$4\r\nINCR\r\n$4\r\n\0\r\n\xff\r\n*2\r\n$3\r\nGET\r\n$4\r\n\0\r\n\xff\r\n"),
      SAYS(":1\r\n$1\r\n1\r\n"), false },
    { "arity", SAYS("INCR\r\nINCR a b\r\nGET\r\nINCRBY a\r\nMGET\r\nPING a b\r\n"),
      SAYS(
          "-ERR wrong number of arguments for 'incr' command\r\n-ERR wrong number of arguments for 'incr' command\r\n"
          "-ERR wrong number of arguments for 'get' command\r\n-ERR wrong number of arguments for 'incrby' command\r\n"
          "-ERR wrong number of arguments for 'mget' command\r\n-ERR wrong number of arguments for 'ping' command\r\n"),
      false },
    { "unknown", SAYS("SETX a 'b\"c'\r\n*2\r\n$8\r\nfoo\r\nbar\r\n$1\r\n\n\r\n\"\"\r\n"),
      SAYS("-ERR unknown command 'SETX', with args beginning with: 'a' 'b\"c' \r\n"
           "-ERR unknown command 'foo  bar', with args beginning with: ' ' \r\n"
           "-ERR unknown command '', with args beginning with: \r\n"),
      false },
};

static const struct conversation connecting[] = {
    { "hello 3", SAYS("HELLO 3\r\nGET x\r\nMGET x\r\nHELLO 2\r\nGET x\r\n"),
      SAYS(HELLO_3 "_\r\n*1\r\n_\r\n" HELLO_2 "$-1\r\n"), false },
    { "hello says what is", SAYS("HELLO\r\n"), SAYS(HELLO_2), false },
    { "hello that is not taken changes nothing",
      SAYS("HELLO 4\r\nHELLO abc\r\nHELLO 3 AUTH u\r\nHELLO 3 FOO\r\nHELLO 3 AUTH u p\r\nHELLO 3 SETNAME 'a b'\r\n"
           "GET x\r\nCLIENT GETNAME\r\n"),
      SAYS("-NOPROTO unsupported protocol version\r\n-ERR Protocol version is not an integer or out of range\r\n"
           "-ERR Syntax error in HELLO option 'AUTH'\r\n-ERR Syntax error in HELLO option 'FOO'\r\n"
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n$-1\r\n$-1\r\n"),
      false },
    { "hello with all", SAYS("HELLO 3 AUTH default x SETNAME me\r\nCLIENT GETNAME\r\nRESET\r\nCLIENT GETNAME\r\n"),
      SAYS(HELLO_3 "$2\r\nme\r\n+RESET\r\n$-1\r\n"), false },
    { "names",
      SAYS("CLIENT SETNAME a\r\nCLIENT GETNAME\r\nCLIENT SETNAME \"\"\r\nCLIENT GETNAME\r\nCLIENT ID\r\n"
           "CLIENT SETINFO LIB-NAME x\r\nCLIENT SETINFO lib-ver 1\r\nCLIENT SETINFO FOO x\r\n"),
      SAYS("+OK\r\n$1\r\na\r\n+OK\r\n$-1\r\n:3\r\n+OK\r\n+OK\r\n-ERR Unrecognized option 'FOO'\r\n"), false },
    { "subcommands", SAYS("CLIENT\r\nCLIENT FOO\r\nCLIENT ID x\r\nCLIENT NO-EVICT on\r\nCLIENT NO-TOUCH x\r\n"),
      SAYS("-ERR wrong number of arguments for 'client' command\r\n"
           "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"
           "-ERR wrong number of arguments for 'client|id' command\r\n+OK\r\n-ERR syntax error\r\n"),
      false },
    { "auth", SAYS("AUTH p\r\nAUTH default p\r\nAUTH u p\r\nAUTH a b c\r\n"),
      SAYS("-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
           "configuration is correct?\r\n+OK\r\n-WRONGPASS invalid username-password pair or user is disabled.\r\n"
           "-ERR syntax error\r\n"),
      false },
    { "select", SAYS("SELECT 0\r\nSELECT 1\r\nSELECT -1\r\nSELECT x\r\n"),
      SAYS("+OK\r\n-ERR DB index is out of range\r\n-ERR DB index is out of range\r\n" NOT_A_NUMBER), false },
    { "replies off",
      SAYS("CLIENT REPLY OFF\r\nINCR a\r\nFOO\r\nCLIENT REPLY SKIP\r\nINCR a\r\nCLIENT REPLY ON\r\n"
           "GET a\r\n"),
      SAYS("+OK\r\n$1\r\n2\r\n"), false },
    { "one reply skipped", SAYS("CLIENT REPLY SKIP\r\nINCR a\r\nINCR a\r\nCLIENT REPLY x\r\n"),
      SAYS(":2\r\n-ERR syntax error\r\n"), false },
    { "quit in silence", SAYS("CLIENT REPLY OFF\r\nQUIT\r\n"), NO_ANSWER, true },
    { "what is so anyway", SAYS("READONLY\r\nREADWRITE\r\nECHO x\r\nTIME\r\n"),
      SAYS("+OK\r\n+OK\r\n$1\r\nx\r\n*2\r\n$10\r\n1795394852\r\n$6\r\n186623\r\n"), false },
};

static const struct conversation administering[] = {
    { "what benchmarks ask", SAYS("CONFIG GET save\r\nCONFIG GET appendonly\r\nHELLO 3\r\nCONFIG GET save\r\n"),
      SAYS("*2\r\n$4\r\nsave\r\n$0\r\n\r\n*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n" HELLO_3
           "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"),
      false },
    { "several patterns", SAYS("CONFIG GET d?tabases MAXCL* [m-p]axmemory nope\r\nCONFIG GET nope\r\n"),
      SAYS("*6\r\n$9\r\ndatabases\r\n$1\r\n1\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n"
           "*0\r\n"),
      false },
    { "settings stay", SAYS("CONFIG SET port 1\r\nCONFIG SET foo 1\r\nCONFIG SET port 1 foo\r\nCONFIG REWRITE\r\n"),
      SAYS("-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n"
           "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n"
           "-ERR wrong number of arguments for 'config|set' command\r\n"
           "-ERR The server is running without a config file\r\n"),
      false },
    { "keys of a command",
      SAYS("COMMAND GETKEYS incrby a 1\r\nCOMMAND GETKEYS mget a b\r\nCOMMAND GETKEYS ping x\r\n"
           "COMMAND GETKEYS nope x\r\nCOMMAND GETKEYS get a b\r\n"),
      SAYS("*1\r\n$1\r\na\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n-ERR The command has no key arguments\r\n"
           "-ERR Invalid command specified\r\n-ERR Invalid number of arguments specified for command\r\n"),
      false },
    { "list",
      SAYS("COMMAND LIST FILTERBY PATTERN *cr*y\r\nCOMMAND LIST FILTERBY ACLCAT write\r\n"
           "COMMAND LIST FILTERBY MODULE x\r\nCOMMAND LIST FILTERBY x y\r\n"),
      SAYS("*2\r\n$6\r\ndecrby\r\n$6\r\nincrby\r\n*4\r\n$4\r\ndecr\r\n$6\r\ndecrby\r\n$4\r\nincr\r\n$6\r\nincrby\r\n"
           "*0\r\n-ERR syntax error\r\n"),
      false },
    { "how a command is called", SAYS("COMMAND INFO incr nope\r\n"),
      SAYS(
          "*2\r\n*10\r\n$4\r\nincr\r\n:2\r\n*3\r\n+write\r\n+denyoom\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@write\r\n"
          "+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*3\r\n+RW\r\n+access\r\n+update\r\n$12\r\n"
          "begin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\n"
          "find_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n"
          ":1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n$-1\r\n"),
      false },
    { "peers", SAYS("QUIPU.PEERS\r\nquipu.join localhost:8009\r\nQUIPU.JOIN x\r\n"),
      SAYS("*1\r\n$14\r\nlocalhost:8001\r\n*1\r\n$14\r\nlocalhost:8001\r\n"
           "-ERR 'x' is not an address, host:port is expected\r\n"),
      false },
    { "forget and leave",
      SAYS("QUIPU.FORGET localhost:8002\r\nquipu.leave\r\nINCR a\r\nQUIPU.FORGET\r\n"
           "CLIENT REPLY SKIP\r\nQUIPU.LEAVE\r\nQUIPU.LEAVE x\r\nQUIT\r\nPING\r\n"),
      SAYS("+OK\r\n+OK\r\n:1\r\n-ERR wrong number of arguments for 'quipu.forget' command\r\n"
           "-ERR wrong number of arguments for 'quipu.leave' command\r\n+OK\r\n"),
      true },
    { "broken behind an order", SAYS("QUIPU.FORGET x:1\r\n*1\r\n+\r\n"),
      SAYS("+OK\r\n-ERR Protocol error: expected '$', got '+'\r\n"), true },
};

/* Sends a conversation in pieces: `cut` bytes first, then `step` bytes at a time, each time flush against an unmapped
 * page. */
static void converse(const struct conversation *c, size_t cut, size_t step)
{
    struct resp_fixture f;
    resp_fixture_init(&f);
    struct resp_session *s = resp_session_new(&f.service, &f.peer);
    assert_non_null(s);
    struct outcome o = { 0 };
    for (size_t shown = cut; !o.close; shown = shown + step < c->sent.len ? shown + step : c->sent.len) {
        struct fenced input = fenced_copy(bytes_of(c->sent.ptr + o.consumed, shown - o.consumed));
        size_t before = o.consumed;
        o.consumed = 0;
        resp_feed_all(s, input.bytes, &o);
        o.consumed += before;
        fenced_release(&input);
        if (shown == c->sent.len) break;
    }
    if (o.close != c->close || !bytes_equal(buffer_view(&o.out), c->expected)) {
        fail_msg("%s, cut at %zu: %s, \"%.*s\"", c->name, cut, o.close ? "closed" : "open", (int)o.out.len,
                 (const char *)o.out.ptr);
    }
    resp_session_free(s);
    buffer_release(&o.out);
    resp_fixture_release(&f);
}

static void converse_all(const struct conversation *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = list[i].sent.len;
        for (size_t cut = 0; cut <= len; cut++) converse(&list[i], cut, len);
        converse(&list[i], 1, 1);
    }
}
#define CONVERSE_ALL(list) converse_all((list), sizeof(list) / sizeof(list)[0])

static void test_framing_means_the_same_however_it_is_cut(void **state)
{
    (void)state;
    CONVERSE_ALL(framing);
}

static void test_counters_answer_as_redis_does(void **state)
{
    (void)state;
    CONVERSE_ALL(counting);
}

static void test_clients_connect_as_they_are_used_to(void **state)
{
    (void)state;
    CONVERSE_ALL(connecting);
}

static void test_a_node_is_administered_as_redis_is(void **state)
{
    (void)state;
    CONVERSE_ALL(administering);
}

/* --- One session for the tests below. --- */

struct talk {
    struct resp_fixture f;
    struct resp_session *s;
    struct outcome o;
};

static struct talk *talk_new(void)
{
    struct talk *t = calloc(1, sizeof *t);
    assert_non_null(t);
    resp_fixture_init(&t->f);
    t->s = resp_session_new(&t->f.service, &t->f.peer);
    assert_non_null(t->s);
    return t;
}

static void talk_free(struct talk *t)
{
    resp_session_free(t->s);
    buffer_release(&t->o.out);
    resp_fixture_release(&t->f);
    free(t);
}

static struct bytes ask(struct talk *t, struct bytes input)
{
    buffer_clear(&t->o.out);
    t->o.consumed = 0;
    t->o.gate = 0;
    resp_feed_all(t->s, input, &t->o);
    assert_false(t->o.out.failed);
    return buffer_view(&t->o.out);
}

static void assert_answer(struct talk *t, const char *input, const char *expected)
{
    struct bytes answer = ask(t, bytes_of_text(input));
    if (bytes_equal(answer, bytes_of_text(expected))) return;
    fail_msg("\"%s\" was answered \"%.*s\"", input, (int)answer.len, (const char *)answer.ptr);
}

/* --- Orders --- */

static uint32_t woken;

static void note_wake(void *context)
{
    (void)context;
    woken++;
}

/* One call of feed with what is left of input; adds to the answer. */
static struct session_result feed_rest(struct talk *t, struct bytes *input)
{
    static const uint8_t nothing[1];
    struct session_result result;
    resp_session_feed(t->s, input->len > 0 ? *input : bytes_of(nothing, 0), &t->o.out, &result);
    *input = bytes_of(input->ptr + result.consumed, input->len - result.consumed);
    return result;
}

static void expect_out(struct talk *t, const char *expected)
{
    assert_true(bytes_equal(buffer_view(&t->o.out), bytes_of_text(expected)));
}

static void test_what_is_behind_an_order_waits_for_its_reply(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct bytes input = bytes_of_text("INCR a\r\nQUIPU.FORGET x:1\r\nINCR a\r\nQUIPU.LEAVE\r\n");
    t->f.orders.waits = true;
    woken = 0;
    resp_session_set_wake(t->s, note_wake, NULL);
    assert_true(feed_rest(t, &input).wait);
    expect_out(t, ":1\r\n");
    assert_int_equal(t->f.orders.kind, ORDER_FORGET);
    assert_string_equal(t->f.orders.name, "x:1");
    struct session_result early = feed_rest(t, &input);
    assert_true(early.wait && early.consumed == 0 && !early.close);
    t->f.orders.done(t->f.orders.context, ORDER_RESULT_HEARD);
    assert_int_equal(woken, 1);
    assert_true(feed_rest(t, &input).wait); /* for the second */
    expect_out(t, ":1\r\n-ERR this member is heard right now; stop it first, or use leave on it\r\n:2\r\n");
    assert_int_equal(t->f.orders.kind, ORDER_LEAVE);
    assert_int_equal(input.len, 0);
    buffer_clear(&t->o.out);
    t->f.orders.done(t->f.orders.context, ORDER_RESULT_DONE);
    assert_false(feed_rest(t, &input).wait); /* nothing is there but the reply */
    expect_out(t, "+OK\r\n");
    talk_free(t);
}

static void test_nobody_waits_for_an_order_whose_client_has_gone(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct bytes input =
        bytes_of_text("CLIENT REPLY OFF\r\nQUIPU.FORGET x:1\r\nCLIENT REPLY ON\r\nQUIPU.FORGET y:1\r\n");
    t->f.orders.waits = true;
    assert_true(feed_rest(t, &input).wait);
    t->f.orders.done(t->f.orders.context, ORDER_RESULT_UNKNOWN);
    assert_true(feed_rest(t, &input).wait);
    expect_out(t, "+OK\r\n"); /* of REPLY ON: nobody wanted the other */
    uint32_t cancelled = t->f.orders.cancelled;
    resp_session_free(t->s);
    t->s = NULL;
    assert_int_equal(t->f.orders.cancelled, cancelled + 1);
    talk_free(t);
}

/* --- Limits --- */

static void put_argument(struct buffer *out, char letter, size_t len)
{
    buffer_printf(out, "$%zu\r\n", len);
    uint8_t *room = buffer_reserve(out, len + 2);
    assert_non_null(room);
    memset(room, letter, len);
    memcpy(room + len, "\r\n", 2);
    out->len += len + 2;
}

static void test_a_line_may_be_64_kib_long_and_no_longer(void **state)
{
    (void)state;
    static char line[65536 + 1];
    struct talk *t = talk_new();
    memset(line, ' ', sizeof line);
    memcpy(line, "PING", 4);
    line[65536] = '\n';
    assert_true(bytes_equal(ask(t, bytes_of(line, sizeof line)), bytes_of_text("+PONG\r\n")));
    line[65536] = ' ';
    assert_true(bytes_equal(ask(t, bytes_of(line, sizeof line)),
                            bytes_of_text("-ERR Protocol error: too big inline request\r\n")));
    assert_true(t->o.close);
    talk_free(t);
}

static void test_an_argument_of_1_mib_comes_byte_by_byte_in_linear_time(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct buffer input = { 0 };
    buffer_text(&input, "*3\r\n$4\r\nECHO\r\n"); /* arity is wrong, the framing is not */
    put_argument(&input, 'x', 1u << 20);
    put_argument(&input, 'y', 1u << 19);
    size_t consumed = 0;
    for (size_t len = 1; len <= input.len; len++) { /* two million calls: a second look at 1 MiB each would not end */
        struct session_result result;
        resp_session_feed(t->s, bytes_of(input.ptr + consumed, len - consumed), &t->o.out, &result);
        assert_false(result.close);
        consumed += result.consumed;
    }
    assert_int_equal(consumed, input.len);
    assert_true(
        bytes_equal(buffer_view(&t->o.out), bytes_of_text("-ERR wrong number of arguments for 'echo' command\r\n")));
    buffer_release(&input);
    talk_free(t);
}

static void test_a_command_of_65536_arguments_comes_byte_by_byte(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct buffer input = { 0 };
    buffer_text(&input, "*65536\r\n$6\r\nexists\r\n");
    for (int i = 0; i < 65535; i++) buffer_text(&input, "$1\r\na\r\n");
    assert_answer(t, "INCR a\r\n", ":1\r\n");
    buffer_clear(&t->o.out);
    for (size_t len = 1; len <= input.len; len++) {
        struct session_result result;
        resp_session_feed(t->s, bytes_of(input.ptr, len), &t->o.out, &result);
        assert_int_equal(result.consumed, len == input.len ? len : 0);
    }
    assert_true(bytes_equal(buffer_view(&t->o.out), bytes_of_text(":65535\r\n")));
    buffer_release(&input);
    talk_free(t);
}

static void test_a_command_longer_than_all_names_is_refused_before_it_is_there(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct buffer input = { 0 };
    buffer_text(&input, "*65536\r\n");
    for (int i = 0; i < 65; i++) put_argument(&input, 'x', 1u << 20);
    struct session_result result;
    resp_session_feed(t->s, buffer_view(&input), &t->o.out, &result);
    assert_true(result.close);
    assert_true(bytes_equal(buffer_view(&t->o.out), bytes_of_text("-ERR Protocol error: too big request\r\n")));
    buffer_release(&input);
    talk_free(t);
}

static void test_a_name_may_be_1024_bytes_long(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct buffer input = { 0 };
    for (size_t len = 1024; len <= 1025; len++) {
        buffer_text(&input, "*2\r\n$4\r\nINCR\r\n");
        put_argument(&input, 'n', len);
        buffer_text(&input, "*3\r\n$4\r\nMGET\r\n$1\r\na\r\n");
        put_argument(&input, 'n', len);
    }
    assert_true(
        bytes_equal(ask(t, buffer_view(&input)), bytes_of_text(":1\r\n*2\r\n$-1\r\n$1\r\n1\r\n" BAD_NAME BAD_NAME)));
    buffer_release(&input);
    talk_free(t);
}

static void test_errors_show_128_bytes_of_a_client_and_no_line_ends(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct buffer input = { 0 }, expected = { 0 };
    buffer_text(&input, "*4\r\n");
    put_argument(&input, 'c', 1000000);
    buffer_text(&input, "$3\r\nx\r\n\r\n");
    put_argument(&input, 'a', 100);
    put_argument(&input, 'b', 100);
    buffer_printf(
        &expected, "-ERR unknown command '%.*s', with args beginning with: 'x  ' '%.*s' '%.*s' \r\n", 128,
        "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
        "cccccccccccccccccccccccccccc",
        100, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        128 - 6 - 103, "bbbbbbbbbbbbbbbbbbbbbbbbb");
    assert_true(bytes_equal(ask(t, buffer_view(&input)), buffer_view(&expected)));
    buffer_release(&input);
    buffer_release(&expected);
    talk_free(t);
}

static void test_small_commands_with_large_replies_do_not_run_on(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    struct buffer input = { 0 };
    for (int i = 0; i < 1000; i++) buffer_text(&input, "COMMAND\r\n*1\r\n$7\r\nCOMMAND\r\n");
    buffer_text(&input, "INCR a\r\n*x\r\n");
    size_t fed = 0;
    bool closed = false;
    for (int calls = 0; !closed; calls++) {
        assert_true(calls < 10000);
        struct session_result result;
        resp_session_feed(t->s, bytes_of(input.ptr + fed, input.len - fed), &t->o.out, &result);
        fed += result.consumed;
        closed = result.close;
        assert_in_range(t->o.out.len, 1, 300 * 1024);
        if (!closed) buffer_clear(&t->o.out);
    }
    const char end[] = ":1\r\n-ERR Protocol error: invalid multibulk length\r\n";
    assert_true(t->o.out.len >= sizeof end - 1);
    assert_memory_equal(t->o.out.ptr + t->o.out.len - (sizeof end - 1), end, sizeof end - 1);
    assert_int_equal(stats_get(&t->f.stats, STAT_resp_commands), 2001);
    buffer_release(&input);
    talk_free(t);
}

/* --- Waiting for commits, and refusing --- */

static void test_replies_that_show_a_change_wait_for_its_commit(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    ask(t, bytes_of_text("PING\r\nGET a\r\n"));
    assert_int_equal(t->o.gate, 0);
    ask(t, bytes_of_text("PING\r\nINCR a\r\nPING\r\n"));
    assert_int_equal(t->o.gate, 1);
    ask(t, bytes_of_text("GET a\r\n"));
    assert_int_equal(t->o.gate, 1);
    ask(t, bytes_of_text("MGET x a\r\n"));
    assert_int_equal(t->o.gate, 1);
    ask(t, bytes_of_text("EXISTS a\r\n"));
    assert_int_equal(t->o.gate, 1);
    ask(t, bytes_of_text("INCRBY a 9223372036854775807\r\n"));
    assert_int_equal(t->o.gate, 1);
    ask(t, bytes_of_text("GET x\r\n"));
    assert_int_equal(t->o.gate, 0);
    ask(t, bytes_of_text("CLIENT REPLY SKIP\r\nGET a\r\n"));
    assert_int_equal(t->o.gate, 0);
    talk_free(t);
}

static void test_refused_writes_say_why_and_reads_go_on(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    assert_answer(t, "INCR a\r\n", ":1\r\n");
    keyspace_refuse_writes(t->f.service.keyspace, ERR_FULL);
    assert_answer(t, "INCR a\r\nGET a\r\n",
                  "-MISCONF Errors writing to the AOF file: No space left on device. Writes are refused while reads go "
                  "on.\r\n$1\r\n1\r\n");
    keyspace_refuse_writes(t->f.service.keyspace, ERR_CLOSED);
    assert_answer(t, "INCR a\r\nGET a\r\n", "-ERR Server is shutting down, writes are refused.\r\n$1\r\n1\r\n");
    keyspace_refuse_writes(t->f.service.keyspace, ERR_NOMEM);
    assert_answer(t, "INCR b\r\n", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    keyspace_refuse_writes(t->f.service.keyspace, ERR_OK);
    assert_answer(t, "INCR a\r\n", ":2\r\n");
    talk_free(t);
}

static void test_what_happens_is_counted(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    ask(t, bytes_of_text("INCR a\r\nDECRBY a 2\r\nINCRBY a 0\r\nGET a\r\nMGET a b\r\nFOO\r\nINCR\r\n*x\r\n"));
    assert_int_equal(stats_get(&t->f.stats, STAT_resp_commands), 7);
    assert_int_equal(stats_get(&t->f.stats, STAT_increments), 3);
    assert_int_equal(stats_get(&t->f.stats, STAT_reads), 3);
    assert_int_equal(stats_get(&t->f.stats, STAT_resp_errors), 2);
    assert_int_equal(stats_get(&t->f.stats, STAT_protocol_errors), 1);
    talk_free(t);
}

static enum err session_story(void *context)
{
    struct resp_fixture *f = context;
    struct resp_session *s = resp_session_new(&f->service, &f->peer);
    if (!s) return ERR_NOMEM;
    struct outcome o = { 0 };
    const char story[] = "CLIENT SETNAME me\r\n*2\r\n$4\r\nECHO\r\n$1\r\na\r\nINFO\r\nCLIENT INFO\r\n*2\r\n$3\r\nGET";
    resp_feed_all(s, bytes_of_text(story), &o);
    const char oom[] = "-OOM";
    bool refused = o.out.len >= 4 && memcmp(o.out.ptr, oom, 4) == 0;
    enum err err = o.out.failed || refused ? ERR_NOMEM : ERR_OK;
    assert_int_equal(o.close, o.out.failed);
    resp_session_free(s);
    buffer_release(&o.out);
    return err;
}

static void test_a_session_survives_a_lack_of_memory_at_any_point(void **state)
{
    (void)state;
    struct resp_fixture f;
    resp_fixture_init(&f);
    assert_true(each_allocation_fails(session_story, &f) > 3);
    resp_fixture_release(&f);
}

/* --- Shapes: replies are read back by a reader that knows only the protocol. --- */

/* Skips one value; returns what is behind it. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
    assert_non_null(line);
    long n = strtol((const char *)at + 1, NULL, 10);
    const uint8_t type = *at;
    at = line + 1;
    switch (type) {
    case '+':
    case '-':
    case ':':
    case '_':
    case ',':
    case '#':
        return at;
    case '$':
    case '=':
        if (n < 0) return at;
        assert_true(end - at >= n + 2 && at[n] == '\r' && at[n + 1] == '\n');
        return at + n + 2;
    case '%':
        n *= 2;
        break;
    case '*':
    case '~':
        break;
    default:
        fail_msg("type %c", type);
    }
    for (long i = 0; i < n; i++) at = skip_value(at, end);
    return at;
}

static void test_replies_are_well_formed_in_both_versions(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "COMMAND\r\n",
        "COMMAND INFO\r\n",
        "COMMAND DOCS\r\n",
        "COMMAND DOCS get nope client|id config\r\n",
        "COMMAND INFO client|id client nope exists\r\n",
        "COMMAND LIST\r\n",
        "COMMAND HELP\r\n",
        "CLIENT HELP\r\n",
        "CONFIG HELP\r\n",
        "INFO\r\n",
        "INFO all\r\n",
        "INFO nope\r\n",
        "INFO server CPU\r\n",
        "CLIENT INFO\r\n",
        "CONFIG GET *\r\n",
        "QUIPU.CLUSTER\r\n",
        "QUIPU.PEERS\r\n",
        "MGET a b\r\n",
        "TIME\r\n",
    };
    struct talk *t = talk_new();
    for (int version = 2; version <= 3; version++) {
        ask(t, bytes_of_text(version == 2 ? "HELLO 2\r\n" : "HELLO 3\r\n"));
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
            struct bytes answer = ask(t, bytes_of_text(commands[i]));
            assert_true(answer.len > 0 && answer.ptr[0] != '-');
            assert_ptr_equal(skip_value(answer.ptr, answer.ptr + answer.len), answer.ptr + answer.len);
        }
    }
    talk_free(t);
}

static bool contains(struct bytes text, const char *part)
{
    size_t len = strlen(part);
    for (size_t at = 0; at + len <= text.len; at++) {
        if (memcmp(text.ptr + at, part, len) == 0) return true;
    }
    return false;
}

static void test_the_cluster_is_shown_as_a_map(void **state)
{
    (void)state;
    struct talk *t = talk_new();
    ask(t, bytes_of_text("HELLO 3\r\n"));
    struct bytes answer = ask(t, bytes_of_text("QUIPU.CLUSTER\r\n"));
    const char start[] = "%4\r\n$4\r\nnode\r\n$14\r\nlocalhost:8000\r\n$7\r\nreplica\r\n$32\r\n"
                         "ab010000000000000000000000000000\r\n$7\r\ncluster\r\n$5\r\nquipu\r\n$7\r\nmembers\r\n*3\r\n";
    assert_true(answer.len > sizeof start);
    assert_memory_equal(answer.ptr, start, sizeof start - 1);
    assert_true(contains(answer, "$6\r\nrtt_ms\r\n,1.250\r\n"));
    talk_free(t);
}

static void test_info_has_what_clients_read(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "# Server\r\nredis_version:7.2.4\r\nquipu_version:0.1.0\r\n",
        "loading:0\r\n",
        "role:master\r\n",
        "connected_clients:1\r\n",
        "used_memory:3145728\r\nused_memory_human:3.00M\r\n",
        "used_cpu_user:1.500000\r\n",
        "db0:keys=2,expires=0,avg_ttl=0\r\n",
        "blocked_clients:0\r\n",
        "master_repl_offset:0\r\n",
        "quipu_peers:1\r\n",
    };
    struct talk *t = talk_new();
    assert_answer(t, "INCR a\r\nINCR b\r\n", ":1\r\n:1\r\n");
    struct bytes answer = ask(t, bytes_of_text("INFO\r\n"));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!contains(answer, fields[i])) fail_msg("no %s", fields[i]);
    }
    assert_answer(t, "INFO KeySpace keyspace\r\n", "$44\r\n# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n\r\n");
    talk_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing_means_the_same_however_it_is_cut),
        cmocka_unit_test(test_counters_answer_as_redis_does),
        cmocka_unit_test(test_clients_connect_as_they_are_used_to),
        cmocka_unit_test(test_a_node_is_administered_as_redis_is),
        cmocka_unit_test(test_what_is_behind_an_order_waits_for_its_reply),
        cmocka_unit_test(test_nobody_waits_for_an_order_whose_client_has_gone),
        cmocka_unit_test(test_a_line_may_be_64_kib_long_and_no_longer),
        cmocka_unit_test(test_an_argument_of_1_mib_comes_byte_by_byte_in_linear_time),
        cmocka_unit_test(test_a_command_of_65536_arguments_comes_byte_by_byte),
        cmocka_unit_test(test_a_command_longer_than_all_names_is_refused_before_it_is_there),
        cmocka_unit_test(test_a_name_may_be_1024_bytes_long),
        cmocka_unit_test(test_errors_show_128_bytes_of_a_client_and_no_line_ends),
        cmocka_unit_test(test_small_commands_with_large_replies_do_not_run_on),
        cmocka_unit_test(test_replies_that_show_a_change_wait_for_its_commit),
        cmocka_unit_test(test_refused_writes_say_why_and_reads_go_on),
        cmocka_unit_test(test_what_happens_is_counted),
        cmocka_unit_test(test_a_session_survives_a_lack_of_memory_at_any_point),
        cmocka_unit_test(test_replies_are_well_formed_in_both_versions),
        cmocka_unit_test(test_the_cluster_is_shown_as_a_map),
        cmocka_unit_test(test_info_has_what_clients_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
