/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/disk.h"

#include "base/random.h"
#include "sim/disk_file.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct entry_of_name {
    char name[STORAGE_NAME_MAX];
    struct disk_file *node;
};

struct disk {
    struct random random;
    uint64_t capacity_bytes;
    struct entry_of_name *names; /* in the order of creation */
    uint32_t names_count;
    uint64_t age; /* one more after each cut, kill and restore */
    uint64_t operations, fail_at, cut_at;
    enum err fail_err;
    bool fail_sync, misdirect, has_no_power, is_frozen;
};

struct storage_file {
    struct disk *disk;
    struct disk_file *node;
    uint64_t age;
};

/* Names */

static struct entry_of_name *find(const struct disk *d, const char *name)
{
    for (uint32_t i = 0; i < d->names_count; i++) {
        if (strcmp(d->names[i].name, name) == 0) return &d->names[i];
    }
    return NULL;
}

static struct disk_file *find_node(const struct disk *d, const char *name)
{
    struct entry_of_name *entry = find(d, name);
    REQUIRE(entry);
    return entry->node;
}

static void name_add(struct disk *d, const char *name, struct disk_file *node)
{
    REQUIRE(strlen(name) < STORAGE_NAME_MAX);
    d->names = disk_need(realloc(d->names, (d->names_count + 1) * sizeof *d->names));
    struct entry_of_name *entry = &d->names[d->names_count++];
    memcpy(entry->name, name, strlen(name) + 1);
    entry->node = node;
}

static void name_remove(struct disk *d, struct entry_of_name *entry)
{
    disk_file_drop(entry->node);
    size_t after = (size_t)(d->names + d->names_count - (entry + 1));
    memmove(entry, entry + 1, after * sizeof *entry);
    d->names_count--;
}

/* Operations */

enum fate { FATE_DONE, FATE_REFUSED, FATE_HALF };

static bool is_off(const struct disk *d)
{
    return d->has_no_power || d->is_frozen;
}

/* What becomes of the operation that is now asked for. With FATE_HALF the caller does any part of it. */
static enum fate disk_next(struct disk *d, enum err *ret_err)
{
    *ret_err = ERR_OK;
    if (is_off(d)) {
        *ret_err = ERR_IO;
        return FATE_REFUSED;
    }
    d->operations++;
    if (d->operations == d->cut_at) {
        d->has_no_power = true;
        *ret_err = ERR_IO;
        return FATE_HALF;
    }
    if (d->operations == d->fail_at) {
        *ret_err = d->fail_err;
        return d->fail_err == ERR_FULL ? FATE_REFUSED : FATE_HALF;
    }
    return FATE_DONE;
}

static bool disk_tosses(struct disk *d)
{
    return random_below(&d->random, 2) == 0;
}

static bool has_room(const struct disk *d, uint64_t bytes_more)
{
    return d->capacity_bytes == 0 || disk_used(d) + bytes_more <= d->capacity_bytes;
}

static struct storage_file *file_new(struct disk *d, struct disk_file *node)
{
    struct storage_file *file = disk_need(malloc(sizeof *file));
    *file = (struct storage_file){ d, node, d->age };
    node->holders++;
    return file;
}

static bool file_is_dead(const struct storage_file *file)
{
    return file->age != file->disk->age || is_off(file->disk);
}

static enum err disk_list(void *disk, storage_name_visitor *visitor, void *context)
{
    struct disk *d = disk;
    if (is_off(d)) return ERR_IO;
    for (uint32_t i = 0; i < d->names_count; i++) visitor(context, d->names[i].name, d->names[i].node->cache.len);
    return ERR_OK;
}

static enum err disk_create(void *disk, const char *name, uint64_t reserve, struct storage_file **ret_file)
{
    struct disk *d = disk;
    enum err err;
    enum fate fate = disk_next(d, &err);
    if (fate == FATE_REFUSED || (fate == FATE_HALF && disk_tosses(d))) return err;
    if (find(d, name)) return ERR_EXISTS;
    if (!has_room(d, reserve)) return ERR_FULL;
    struct disk_file *node = disk_file_new(fate == FATE_HALF && disk_tosses(d) ? 0 : reserve);
    name_add(d, name, node);
    if (err == ERR_OK) *ret_file = file_new(d, node);
    return err;
}

static enum err disk_open(void *disk, const char *name, struct storage_file **ret_file, uint64_t *ret_bytes)
{
    struct disk *d = disk;
    if (is_off(d)) return ERR_IO;
    struct entry_of_name *entry = find(d, name);
    if (!entry) return ERR_NOT_FOUND;
    *ret_file = file_new(d, entry->node);
    *ret_bytes = entry->node->cache.len;
    return ERR_OK;
}

static enum err disk_read(struct storage_file *file, uint64_t offset, uint8_t *into, uint64_t len)
{
    const struct content *cache = &file->node->cache;
    if (file_is_dead(file) || offset > cache->len || len > cache->len - offset) return ERR_IO;
    memcpy(into, cache->bytes + offset, len);
    return ERR_OK;
}

/* A whole sector's distance off, inside a file that is there. */
static void astray(struct disk *d, struct disk_file **node, uint64_t *offset, size_t len)
{
    d->misdirect = false;
    struct disk_file *to = d->names[random_below(&d->random, d->names_count)].node;
    uint64_t room = to->cache.len > len ? (to->cache.len - len) / DISK_SECTOR_BYTES : 0;
    *node = to;
    *offset = random_below(&d->random, room + 1) * DISK_SECTOR_BYTES;
}

static enum err disk_write(struct storage_file *file, uint64_t offset, struct bytes bytes)
{
    struct disk *d = file->disk;
    if (file_is_dead(file)) return ERR_IO;
    enum err err;
    enum fate fate = disk_next(d, &err);
    if (fate == FATE_REFUSED) return err;
    uint64_t len_now = file->node->cache.len, end = offset + bytes.len;
    if (end > len_now && !has_room(d, end - len_now)) return ERR_FULL;
    size_t len = fate == FATE_HALF ? (size_t)random_below(&d->random, bytes.len + 1) : bytes.len;
    struct disk_file *node = file->node;
    if (d->misdirect) astray(d, &node, &offset, len);
    disk_file_write(node, offset, bytes.ptr, len);
    return err;
}

static enum err disk_sync(struct storage_file *file)
{
    struct disk *d = file->disk;
    if (file_is_dead(file)) return ERR_IO;
    enum err err;
    enum fate fate = disk_next(d, &err);
    if (fate == FATE_REFUSED) return err;
    if (fate == FATE_DONE && d->fail_sync) {
        d->fail_sync = false;
        err = ERR_IO;
    }
    if (err == ERR_OK) {
        disk_file_sync(file->node);
    } else if (!d->has_no_power) {
        disk_file_forget_unsynced(file->node); /* (3) */
    }                                          /* else the cut decides */
    return err;
}

static void disk_close(struct storage_file *file)
{
    if (!file) return;
    disk_file_drop(file->node);
    free(file);
}

static enum err disk_rename(void *disk, const char *from, const char *to)
{
    struct disk *d = disk;
    enum err err;
    enum fate fate = disk_next(d, &err);
    if (fate == FATE_REFUSED || (fate == FATE_HALF && disk_tosses(d))) return err;
    if (!find(d, from)) return ERR_NOT_FOUND;
    struct entry_of_name *there = find(d, to);
    if (there) name_remove(d, there);
    struct entry_of_name *entry = find(d, from);
    REQUIRE(entry && strlen(to) < STORAGE_NAME_MAX);
    memcpy(entry->name, to, strlen(to) + 1);
    return err;
}

static enum err disk_remove(void *disk, const char *name)
{
    struct disk *d = disk;
    if (!is_off(d) && !find(d, name)) return ERR_NOT_FOUND; /* nothing to do, nothing to fail */
    enum err err;
    enum fate fate = disk_next(d, &err);
    if (fate == FATE_REFUSED || (fate == FATE_HALF && disk_tosses(d))) return err;
    name_remove(d, find(d, name));
    return err;
}

struct storage disk_storage(struct disk *d)
{
    static const struct storage_ops ops = {
        .list = disk_list,
        .create = disk_create,
        .open = disk_open,
        .read = disk_read,
        .write = disk_write,
        .sync = disk_sync,
        .close = disk_close,
        .rename = disk_rename,
        .remove = disk_remove,
    };
    return (struct storage){ &ops, d };
}

/* Life of the disk */

struct disk *disk_new(uint64_t seed, uint64_t capacity_bytes)
{
    struct disk *d = disk_need(calloc(1, sizeof *d));
    random_init(&d->random, seed);
    d->capacity_bytes = capacity_bytes;
    return d;
}

static void disk_empty(struct disk *d)
{
    while (d->names_count > 0) name_remove(d, &d->names[d->names_count - 1]);
}

void disk_free(struct disk *d)
{
    if (!d) return;
    disk_empty(d);
    free(d->names);
    free(d);
}

uint64_t disk_operations(const struct disk *d)
{
    return d->operations;
}

void disk_fail_at(struct disk *d, uint64_t nth, enum err err)
{
    d->fail_at = nth > 0 ? d->operations + nth : 0;
    d->fail_err = err;
}

void disk_cut_at(struct disk *d, uint64_t nth)
{
    d->cut_at = nth > 0 ? d->operations + nth : 0;
}

void disk_fail_sync(struct disk *d)
{
    d->fail_sync = true;
}

void disk_misdirect(struct disk *d)
{
    d->misdirect = true;
}

void disk_set_capacity(struct disk *d, uint64_t capacity_bytes)
{
    d->capacity_bytes = capacity_bytes;
}

void disk_calm(struct disk *d)
{
    d->capacity_bytes = d->cut_at = d->fail_at = 0;
    d->fail_sync = d->misdirect = false;
}

static void disk_forget_faults(struct disk *d)
{
    d->age++;
    d->cut_at = d->fail_at = 0;
    d->fail_sync = d->misdirect = d->is_frozen = false;
}

void disk_freeze(struct disk *d)
{
    d->is_frozen = true;
}

bool disk_is_dark(const struct disk *d)
{
    return d->has_no_power;
}

void disk_kill(struct disk *d)
{
    disk_forget_faults(d);
}

void disk_restart(struct disk *d)
{
    for (uint32_t i = 0; i < d->names_count; i++) disk_file_cut(d->names[i].node, &d->random);
    disk_forget_faults(d);
    d->has_no_power = false;
}

/* Damage */

void disk_flip_bit(struct disk *d, const char *name, uint64_t offset, unsigned bit)
{
    struct disk_file *n = find_node(d, name);
    REQUIRE(bit < 8 && offset < n->cache.len);
    n->cache.bytes[offset] ^= (uint8_t)(1u << bit);
    if (offset < n->durable.len) n->durable.bytes[offset] ^= (uint8_t)(1u << bit);
}

static void zero_range(struct content *c, uint64_t from, uint64_t to)
{
    if (to > c->len) to = c->len;
    if (from < to) memset(c->bytes + from, 0, to - from);
}

void disk_zero_sector(struct disk *d, const char *name, uint64_t sector)
{
    struct disk_file *n = find_node(d, name);
    uint64_t from = sector * DISK_SECTOR_BYTES;
    zero_range(&n->cache, from, from + DISK_SECTOR_BYTES);
    zero_range(&n->durable, from, from + DISK_SECTOR_BYTES);
}

void disk_truncate(struct disk *d, const char *name, uint64_t bytes)
{
    struct disk_file *n = find_node(d, name);
    disk_file_forget_unsynced(n);
    content_resize(&n->cache, bytes);
    content_set(&n->durable, &n->cache);
}

void disk_put(struct disk *d, const char *name, struct bytes content)
{
    if (find(d, name)) disk_delete(d, name);
    struct disk_file *n = disk_file_new(content.len);
    content_write(&n->cache, 0, content.ptr, content.len);
    content_write(&n->durable, 0, content.ptr, content.len);
    name_add(d, name, n);
}

void disk_delete(struct disk *d, const char *name)
{
    struct entry_of_name *entry = find(d, name);
    REQUIRE(entry);
    name_remove(d, entry);
}

bool disk_pick(const struct disk *d, uint64_t chance, char ret_name[STORAGE_NAME_MAX], uint64_t *ret_bytes)
{
    if (d->names_count == 0) return false;
    const struct entry_of_name *entry = &d->names[chance % d->names_count];
    memcpy(ret_name, entry->name, sizeof entry->name);
    *ret_bytes = entry->node->cache.len;
    return true;
}

/* Copies */

static void copy_names(struct disk *to, const struct disk *from)
{
    for (uint32_t i = 0; i < from->names_count; i++) {
        const struct content *durable = &from->names[i].node->durable;
        disk_put(to, from->names[i].name, bytes_of(durable->bytes, durable->len));
    }
}

struct disk *disk_clone(const struct disk *d, uint64_t seed)
{
    struct disk *clone = disk_new(seed, d->capacity_bytes);
    copy_names(clone, d);
    return clone;
}

void disk_restore(struct disk *d, const struct disk *image)
{
    disk_empty(d);
    copy_names(d, image);
    disk_forget_faults(d);
    d->has_no_power = false;
}

/* Looking */

bool disk_has(const struct disk *d, const char *name)
{
    return find(d, name) != NULL;
}

struct bytes disk_content(const struct disk *d, const char *name)
{
    const struct content *cache = &find_node(d, name)->cache;
    return bytes_of(cache->bytes, cache->len);
}

uint64_t disk_used(const struct disk *d)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < d->names_count; i++) bytes += d->names[i].node->cache.len;
    return bytes;
}

uint64_t disk_digest(const struct disk *d)
{
    uint64_t digest = 0; /* a sum, so that the order of names does not matter */
    for (uint32_t i = 0; i < d->names_count; i++) {
        const struct entry_of_name *entry = &d->names[i];
        uint64_t of_name = XXH3_64bits(entry->name, strlen(entry->name));
        digest += XXH3_64bits_withSeed(entry->node->cache.bytes, entry->node->cache.len, of_name);
    }
    return digest;
}
