/* SPDX-License-Identifier: Apache-2.0 */
/* sniff: which protocol a connection speaks, told by its first bytes. */
#ifndef QUIPU_SERVER_SNIFF_H
#define QUIPU_SERVER_SNIFF_H

#include "base/bytes.h"

#define SNIFF_BYTES_MAX 12 /* undecided after so many: RESP */

enum sniff { SNIFF_MORE, SNIFF_TLS, SNIFF_PEER, SNIFF_HTTP, SNIFF_RESP };

enum sniff sniff_protocol(struct bytes first);

#endif
