/* SPDX-License-Identifier: Apache-2.0 */
/* boot: from settings to a recovered node and an open journal, before there are threads. */
#ifndef QUIPU_SERVER_BOOT_H
#define QUIPU_SERVER_BOOT_H

#include "node/journal.h"
#include "node/node.h"
#include "server/files.h"
#include "server/settings.h"

#define BOOT_ERROR_BYTES 4096

struct boot {
    struct files *files; /* NULL without a data directory */
    struct storage storage;
    struct journal *journal;
    struct node *node;
    uint64_t nonce; /* of this boot */
};

/* ERR_OK, or an error with one line in ret_error; then nothing on disk was changed, except that an empty directory may
 * have been made. stats outlives the node. */
MUST_USE enum err boot_open(const struct settings *settings, struct stats *stats, struct boot *ret_boot,
                            char ret_error[BOOT_ERROR_BYTES]);
/* Zero-initialised is fine. */
void boot_release(struct boot *b);

#endif
