/* SPDX-License-Identifier: Apache-2.0 */
/* A keyspace with this node's replica and some foreign ones, and a commit in single steps, for the keyspace's tests. */
#ifndef QUIPU_TEST_UNIT_KEYSPACE_FIXTURE_H
#define QUIPU_TEST_UNIT_KEYSPACE_FIXTURE_H

#include "testing.h"

#include "count/block.h"
#include "count/keyspace_replica.h"
#include "count/replicas.h"

#define REPLICAS 4 /* index 1 is this node's own */
#define OWN 1u

struct fixture {
    struct replicas *replicas;
    struct keyspace *keyspace;
    uint64_t commit, seq; /* of the last commit taken */
};

/* One commit from take to publish. */
struct commit {
    struct batch batch;
    struct buffer out;
    struct block_writer block;
    uint64_t number, seq_first;
};

static inline struct id128 fixture_id(uint32_t replica)
{
    return (struct id128){ { (uint8_t)replica } };
}

static inline enum err fixture_new(uint32_t shards, struct fixture *ret_fixture)
{
    struct fixture f = { 0 };
    *ret_fixture = f; /* for compilers that do not see that a test ends when this fails */
    enum err err = replicas_new(&f.replicas);
    for (uint32_t i = 1; i <= REPLICAS && err == ERR_OK; i++) {
        uint32_t index;
        struct id128 id = fixture_id(i);
        err = replicas_intern(f.replicas, &id, &index);
        if (err == ERR_OK) assert_int_equal(index, i);
    }
    struct keyspace_options options = { .shards = shards, .hash_seed = 99, .replicas = f.replicas };
    if (err == ERR_OK) err = keyspace_new(&options, &f.keyspace);
    if (err == ERR_OK) {
        keyspace_set_own(f.keyspace, OWN);
        *ret_fixture = f;
    } else {
        replicas_free(f.replicas);
    }
    return err;
}

static inline void fixture_release(struct fixture *f)
{
    keyspace_free(f->keyspace);
    replicas_free(f->replicas);
}

static inline uint64_t hash_of(const struct fixture *f, struct bytes name)
{
    return keyspace_hash(f->keyspace, name);
}

static inline struct seen get(struct fixture *f, const char *name)
{
    struct bytes bytes = bytes_of_text(name);
    struct seen seen;
    keyspace_get(f->keyspace, hash_of(f, bytes), bytes, &seen);
    return seen;
}

static inline enum err try_add(struct fixture *f, const char *name, int64_t delta, struct seen *ret_seen)
{
    struct bytes bytes = bytes_of_text(name);
    return keyspace_add(f->keyspace, hash_of(f, bytes), bytes, delta, ret_seen);
}

static inline struct seen add(struct fixture *f, const char *name, int64_t delta)
{
    struct seen seen;
    assert_ok(try_add(f, name, delta, &seen));
    return seen;
}

/* Takes extras over, as keyspace_join does. */
static inline enum err try_join(struct fixture *f, uint32_t replica, const char *name, uint64_t seq, int128 net,
                                struct extras *extras)
{
    struct bytes bytes = bytes_of_text(name);
    struct entry entry = { .seq = seq, .net = net, .extras = extras };
    cell_ref cell;
    enum err err = keyspace_join(f->keyspace, replica, hash_of(f, bytes), bytes, &entry, &cell);
    if (err != ERR_OK) extras_free(entry.extras);
    return err;
}

static inline void join(struct fixture *f, uint32_t replica, const char *name, uint64_t seq, int128 net)
{
    assert_ok(try_join(f, replica, name, seq, net, NULL));
}

static inline enum err commit_take_again(struct fixture *f, struct commit *c)
{
    enum err err = keyspace_take(f->keyspace, c->number, c->seq_first, &c->batch, &c->block);
    if (err != ERR_OK) return err;
    f->commit = c->number;
    f->seq = c->seq_first + c->batch.count - 1;
    block_end(&c->block, f->seq);
    return buffer_end(&c->out);
}

/* After an error commit_take_again may follow, and commit_release must. */
static inline enum err commit_take(struct fixture *f, struct commit *c)
{
    *c = (struct commit){ .number = f->commit + 1, .seq_first = f->seq + 1 };
    struct block_head head = { .kind = BLOCK_DELTA, .replica = fixture_id(OWN), .nonce = 5, .from = f->seq };
    block_begin(&c->block, &c->out, &head);
    /* The test's own buffer may run out as well; then there is no block to take into. */
    if (buffer_end(&c->out) != ERR_OK) return ERR_NOMEM;
    return commit_take_again(f, c);
}

static inline void commit_release(struct commit *c)
{
    batch_release(&c->batch);
    buffer_release(&c->out);
}

static inline void commit_publish(struct fixture *f, struct commit *c)
{
    keyspace_publish(f->keyspace, &c->batch);
    commit_release(c);
}

static inline void commit_all(struct fixture *f)
{
    struct commit c;
    assert_ok(commit_take(f, &c));
    commit_publish(f, &c);
}

#endif
