/* SPDX-License-Identifier: Apache-2.0 */
/* journal: the third door of the core, for the journal thread, which carries out what ACTION_APPEND, _ROTATE and
 * _SNAPSHOT ask for. What is outside the core includes this header and never journal/ itself, storage.h excepted. */
#ifndef QUIPU_NODE_JOURNAL_H
#define QUIPU_NODE_JOURNAL_H

#include "journal/journal.h"
#include "journal/nowhere.h"

#endif
