/* SPDX-License-Identifier: Apache-2.0 */
/* nowhere: the storage behind `--data-dir none`. Everything succeeds, nothing is kept, and the directory is always
 * empty, so the journal on top of it works unchanged and starts afresh every time. */
#ifndef QUIPU_JOURNAL_NOWHERE_H
#define QUIPU_JOURNAL_NOWHERE_H

#include "journal/storage.h"

struct storage nowhere_storage(void);

#endif
