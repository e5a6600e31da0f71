/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/nowhere.h"

struct storage_file {
    uint8_t unused;
};

static struct storage_file nothing; /* every file; never read or written */

static enum err nowhere_list(void *disk, storage_name_visitor *visitor, void *context)
{
    (void)disk, (void)visitor, (void)context;
    return ERR_OK;
}

static enum err nowhere_create(void *disk, const char *name, uint64_t reserve, struct storage_file **ret_file)
{
    (void)disk, (void)name, (void)reserve;
    *ret_file = &nothing;
    return ERR_OK;
}

static enum err nowhere_open(void *disk, const char *name, struct storage_file **ret_file, uint64_t *ret_bytes)
{
    (void)disk, (void)name, (void)ret_file, (void)ret_bytes;
    return ERR_NOT_FOUND;
}

static enum err nowhere_read(struct storage_file *file, uint64_t offset, uint8_t *into, uint64_t len)
{
    (void)file, (void)offset, (void)into;
    return len == 0 ? ERR_OK : ERR_IO;
}

static enum err nowhere_write(struct storage_file *file, uint64_t offset, struct bytes bytes)
{
    (void)file, (void)offset, (void)bytes;
    return ERR_OK;
}

static enum err nowhere_sync(struct storage_file *file)
{
    (void)file;
    return ERR_OK;
}

static void nowhere_close(struct storage_file *file)
{
    (void)file;
}

static enum err nowhere_rename(void *disk, const char *from, const char *to)
{
    (void)disk, (void)from, (void)to;
    return ERR_OK;
}

static enum err nowhere_remove(void *disk, const char *name)
{
    (void)disk, (void)name;
    return ERR_OK;
}

struct storage nowhere_storage(void)
{
    static const struct storage_ops ops = {
        .list = nowhere_list,
        .create = nowhere_create,
        .open = nowhere_open,
        .read = nowhere_read,
        .write = nowhere_write,
        .sync = nowhere_sync,
        .close = nowhere_close,
        .rename = nowhere_rename,
        .remove = nowhere_remove,
    };
    return (struct storage){ .ops = &ops };
}
