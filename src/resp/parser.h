/* SPDX-License-Identifier: Apache-2.0 */
/* parser: finds the commands in what a client sent. Arguments are places in the input and are not copied.
 *
 *  (1) What it answers depends on the bytes alone, never on how they were cut into pieces.
 *  (2) It remembers how far it has looked, so a command that comes byte by byte costs no more than one that comes
 * whole. (3) It holds 8 bytes for an argument, and the text of one inline command; both are bounded by the limits
 * below. */
#ifndef QUIPU_RESP_PARSER_H
#define QUIPU_RESP_PARSER_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define LINE_BYTES_MAX (64u * 1024)
#define ARGUMENT_BYTES_MAX (1024u * 1024)
#define ARGUMENTS_MAX 65536u
/* A whole command: as many names of full length as there may be arguments, with what frames them. */
#define COMMAND_BYTES_MAX (ARGUMENTS_MAX * (1024u + 16))

/* Where an argument lies, counted from the base of its command. */
struct span {
    uint32_t at, len;
};

enum parsed {
    PARSED_COMMAND,
    PARSED_INLINE,  /* a command that was written as a line */
    PARSED_NOTHING, /* an empty line or an empty array: bytes without a meaning and without an answer */
    PARSED_PARTIAL, /* more input is needed */
    PARSED_BROKEN,  /* framing is lost: parser_put_error, then the connection ends */
    PARSED_NOMEM,
};

/* Zero-initialised is ready for use. Commands are handed out by their first span and are good until
 * parser_recycle; an inline command's base only until the next parser_next. */
struct parser {
    struct span *spans; /* of the commands handed out, then of the one under way */
    uint32_t count, cap;
    uint32_t first;    /* of the command under way */
    uint32_t left;     /* its arguments still to come */
    uint32_t bulk_len; /* of the argument whose head was read */
    bool in_array, in_bulk;
    size_t at; /* bytes of the command under way that need not be looked at again */
    struct buffer inline_text;
    const char *broken;
    uint8_t broken_got;
};

struct parsed_command {
    const uint8_t *base;
    uint32_t first, argc; /* in the parser's spans */
    size_t bytes;         /* of input, for NOTHING too */
};

void parser_release(struct parser *p);
/* input begins where the last command ended. */
enum parsed parser_next(struct parser *p, struct bytes input, struct parsed_command *ret_command);
/* Forgets the commands handed out and keeps the one under way. */
void parser_recycle(struct parser *p);
/* Forgets all: the input will be shown again from the end of some earlier command. */
void parser_rewind(struct parser *p);
/* The reply to PARSED_BROKEN. */
void parser_put_error(const struct parser *p, struct buffer *out);

#endif
