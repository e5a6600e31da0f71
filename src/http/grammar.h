/* SPDX-License-Identifier: Apache-2.0 */
/* grammar: the byte rules of RFC 9112 and RFC 9110 for a request's head, in their strict reading.
 *
 * llhttp says what a head means, but lets pass what two programs may read differently: a bare LF as the end of a line,
 * folded lines, a space before the colon, empty names, control characters. So every head passes here first, byte by
 * byte and each byte once, however it comes in pieces; llhttp sees whole heads of sound lines only. This is also where
 * a head is kept to its size. */
#ifndef QUIPU_HTTP_GRAMMAR_H
#define QUIPU_HTTP_GRAMMAR_H

#include "base/bytes.h"
#include "http/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_BYTES_MAX (16u << 10)
#define TARGET_BYTES_MAX (8u << 10) /* a name of 1,024 bytes is 3,072 when all of it is escaped */
#define METHOD_BYTES_MAX 32u
#define FIELDS_MAX 100u

struct head_scan {
    uint32_t scanned; /* bytes of the head that were looked at */
    uint32_t part;    /* bytes of the method, target, version or name that is being read */
    uint32_t fields;
    uint8_t state;
};

void head_scan_init(struct head_scan *h);
/* For the fields behind the last chunk of a body: as a head without its first line. */
void head_scan_init_trailer(struct head_scan *h);
/* input begins where the head begins; what was scanned by earlier calls is still there. *ret_end: the head is complete,
 * and ends after h->scanned bytes. A fault is found at the same byte however the input was cut. */
enum fault head_scan(struct head_scan *h, struct bytes input, bool *ret_end);

/* A host name, IPv4 address or IPv6 address in brackets, with or without a port. No user, no path, not empty. */
bool host_is_valid(struct bytes host);
/* Without spaces and tabs at both ends. */
struct bytes bytes_trim(struct bytes text);
/* The same but for the case of ASCII letters; lower is in lower case. */
bool bytes_equal_folded(struct bytes text, const char *lower);

#endif
