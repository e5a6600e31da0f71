/* SPDX-License-Identifier: Apache-2.0 */
/* glob: the patterns of CONFIG GET and COMMAND LIST: * ? [a-z] [^a-z] and \ before a character that stands for itself.
 */
#ifndef QUIPU_RESP_GLOB_H
#define QUIPU_RESP_GLOB_H

#include "base/bytes.h"

/* Case is ignored. At most pattern times text steps, whatever the pattern. */
bool glob_match(struct bytes pattern, struct bytes text);

#endif
