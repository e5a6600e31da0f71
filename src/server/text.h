/* SPDX-License-Identifier: Apache-2.0 */
/* text: strangers' bytes made fit to be shown, and words that were nearly right. */
#ifndef QUIPU_SERVER_TEXT_H
#define QUIPU_SERVER_TEXT_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at the front of text if it is valid UTF-8 that can be shown; 0 for control characters (C1 and
 * those that turn the writing direction among them), for what is not UTF-8, and for empty text. */
size_t text_shown_bytes(struct bytes text);

#define TEXT_CHARACTER_BYTES_MAX 4
/* Takes one character off the front of *rest, which must not be empty, and writes it as it is to be shown: itself, \\
 * for a backslash, or \xHH for one byte that cannot be shown. Returns the bytes written, without a NUL. */
size_t text_show_next(struct bytes *rest, char ret_shown[TEXT_CHARACTER_BYTES_MAX]);

/* Shows text in at most cap bytes with the NUL; what does not fit is replaced by "...". cap is at least 8. */
void text_show(struct bytes text, char *ret_shown, size_t cap);

/* The one of count names that word was most probably meant to be; NULL if none is near. */
const char *text_nearest(const char *word, const char *const *names, size_t count);

#endif
