/* SPDX-License-Identifier: Apache-2.0 */
/* notices: what the core has to say, as lines of the log. */
#ifndef QUIPU_SERVER_NOTICES_H
#define QUIPU_SERVER_NOTICES_H

#include "node/node.h"

#define NOTICE_TEXT_BYTES 640

/* Each kind of notice has a budget of its own in the log. */
void notice_log(const struct notice *notice);
/* The line, without its level. */
void notice_text(const struct notice *notice, char ret_text[NOTICE_TEXT_BYTES]);

#endif
