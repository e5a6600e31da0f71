/* SPDX-License-Identifier: Apache-2.0 */
/* The commands on counters. A reply that shows a counter waits for the commit that the keyspace names (session.gate).
 */
#include "node/counters.h"

#include "resp/handler.h"

#define AHEAD 32u /* counters whose memory is asked for before the first of them is used */

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

static inline bool name_is_sound(struct bytes name)
{
    return name.len > 0 && name.len <= NAME_BYTES_MAX;
}

static void reply_bad_name(struct resp_session *s)
{
    reply_error(&s->reply, "ERR name of a counter must be 1 to " TEXT(NAME_BYTES_MAX) " bytes long");
}

static inline void gate_raise(struct resp_session *s, uint64_t commit)
{
    if (commit > s->gate) s->gate = commit;
}

static void reply_refused(struct resp_session *s, enum err err)
{
    switch (err) {
    case ERR_RANGE:
        reply_error(&s->reply, "ERR increment or decrement would overflow");
        break;
    case ERR_INVALID:
        reply_bad_name(s);
        break;
    case ERR_NOMEM:
        reply_error(&s->reply, "OOM command not allowed when used memory > 'maxmemory'.");
        break;
    case ERR_CLOSED:
        reply_error(&s->reply, "ERR Server is shutting down, writes are refused.");
        break;
    case ERR_FULL:
        reply_error(&s->reply, "MISCONF Errors writing to the AOF file: No space left on device. "
                               "Writes are refused while reads go on.");
        break;
    default:
        reply_errorf(&s->reply, "ERR %s", err_text(err));
        break;
    }
}

static inline void counter_add(struct resp_session *s, const struct request *q, int64_t delta)
{
    struct seen seen;
    enum err err = keyspace_add(s->keyspace, q->hash, request_arg(q, 1), delta, &seen);
    if (__builtin_expect(err == ERR_OK, 1)) {
        s->increments++;
        gate_raise(s, seen.commit);
        reply_integer(&s->reply, seen.value);
        return;
    }
    if (err == ERR_RANGE) gate_raise(s, seen.commit); /* that it would overflow says what the value is */
    reply_refused(s, err);
}

void counter_incr(struct resp_session *s, const struct request *q)
{
    counter_add(s, q, 1);
}

void counter_decr(struct resp_session *s, const struct request *q)
{
    counter_add(s, q, -1);
}

static bool read_delta(struct resp_session *s, const struct request *q, int64_t *ret_delta)
{
    if (bytes_to_int64(request_arg(q, 2), ret_delta) == ERR_OK) return true;
    reply_error(&s->reply, "ERR value is not an integer or out of range");
    return false;
}

void counter_incrby(struct resp_session *s, const struct request *q)
{
    int64_t delta;
    if (read_delta(s, q, &delta)) counter_add(s, q, delta);
}

void counter_decrby(struct resp_session *s, const struct request *q)
{
    int64_t delta;
    if (!read_delta(s, q, &delta)) return;
    if (delta == INT64_MIN) {
        reply_error(&s->reply, "ERR decrement would overflow");
        return;
    }
    counter_add(s, q, -delta);
}

static void reply_value(struct resp_session *s, const struct seen *seen)
{
    gate_raise(s, seen->commit);
    if (seen->exists) {
        reply_bulk_integer(&s->reply, seen->value);
    } else {
        reply_null(&s->reply);
    }
}

void counter_get(struct resp_session *s, const struct request *q)
{
    struct bytes name = request_arg(q, 1);
    if (!name_is_sound(name)) {
        reply_bad_name(s);
        return;
    }
    struct seen seen;
    keyspace_get(s->keyspace, q->hash, name, &seen);
    s->reads++;
    reply_value(s, &seen);
}

static bool names_are_sound(struct resp_session *s, const struct request *q)
{
    for (uint32_t i = 1; i < q->argc; i++) {
        if (name_is_sound(request_arg(q, i))) continue;
        reply_bad_name(s);
        return false;
    }
    return true;
}

/* Looks up all arguments; what is seen goes to a visitor in their order. */
typedef void seen_visitor(struct resp_session *s, const struct seen *seen, uint64_t *count);

static void visit_all(struct resp_session *s, const struct request *q, seen_visitor *visitor, uint64_t *count)
{
    uint64_t hashes[AHEAD];
    for (uint32_t i = 1; i < q->argc; i += AHEAD) {
        uint32_t here = q->argc - i < AHEAD ? q->argc - i : AHEAD;
        for (uint32_t j = 0; j < here; j++) {
            hashes[j] = keyspace_hash(s->keyspace, request_arg(q, i + j));
            keyspace_prefetch(s->keyspace, hashes[j]);
        }
        for (uint32_t j = 0; j < here; j++) {
            struct seen seen;
            keyspace_get(s->keyspace, hashes[j], request_arg(q, i + j), &seen);
            visitor(s, &seen, count);
        }
    }
    s->reads += q->argc - 1;
}

static void visit_value(struct resp_session *s, const struct seen *seen, uint64_t *count)
{
    (void)count;
    reply_value(s, seen);
}

static void visit_existence(struct resp_session *s, const struct seen *seen, uint64_t *count)
{
    gate_raise(s, seen->commit);
    *count += seen->exists;
}

void counter_mget(struct resp_session *s, const struct request *q)
{
    if (!names_are_sound(s, q)) return;
    reply_array(&s->reply, q->argc - 1);
    visit_all(s, q, visit_value, NULL);
}

void counter_exists(struct resp_session *s, const struct request *q)
{
    if (!names_are_sound(s, q)) return;
    uint64_t count = 0;
    visit_all(s, q, visit_existence, &count);
    reply_integer(&s->reply, (int64_t)count);
}
