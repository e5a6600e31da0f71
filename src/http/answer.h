/* SPDX-License-Identifier: Apache-2.0 */
/* answer: what a request is told, before it is bytes. */
#ifndef QUIPU_HTTP_ANSWER_H
#define QUIPU_HTTP_ANSWER_H

#include "base/bytes.h"
#include "http/fault.h"

#include <stdbool.h>
#include <stdint.h>

/* How errors look: problem+json (RFC 9457), or as the original system's routes have them. */
enum style { STYLE_PROBLEM, STYLE_ORIGINAL };

struct answer {
    enum style style;
    unsigned status;
    const char *media; /* NULL: no Content-Type */
    const char *allow; /* for 405 */
    bool retry_after;
    bool close; /* what follows the request may be its missing body */
    struct buffer body;
    uint64_t gate; /* highest commit that it shows */
};

/* Makes it a 200 with an empty body; style and the body's memory stay. */
void answer_begin(struct answer *a, enum style style);
void answer_release(struct answer *a);
/* Replaces whatever it was. detail, for a person: NULL if the title says it all. */
void answer_fail(struct answer *a, enum fault fault, const char *detail);
/* The commit that something shown belongs to. */
void answer_saw(struct answer *a, uint64_t commit);

/* The text of the Date field, made once a second. Zero-initialised is valid. */
struct date {
    uint64_t second;
    char text[30];
};
const char *date_text(struct date *d, uint64_t wall_us);

struct answer_frame {
    bool without_body; /* to a HEAD */
    bool close, old_version;
    const char *date;
};
void answer_write(const struct answer *a, const struct answer_frame *frame, struct buffer *out);

#endif
