/* SPDX-License-Identifier: Apache-2.0 */
/* output: what a verb says. Data is collected and written to standard output at the end; on a terminal it comes as
 * tables with a head and, unless NO_COLOR or a dumb terminal forbids it, in colour, and elsewhere as lines with tabs.
 * Messages go to standard error. Nothing unprintable gets through to either. */
#ifndef QUIPU_CLI_OUTPUT_H
#define QUIPU_CLI_OUTPUT_H

#include "base/bytes.h"

#include <jansson.h>
#include <stdbool.h>

enum colour { COLOUR_NONE, COLOUR_STRONG, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD };

struct output {
    const char *verb; /* for messages; NULL before there is one */
    bool json;        /* as --json */
    bool table, colour;
    struct buffer text;
};

void output_init(struct output *out, const char *verb, bool json);
/* Writes and releases what was collected. False after a message when it could not be written (after none when the
 * reader has gone). */
MUST_USE bool output_end(struct output *out);

/* One line on standard error: "quipu get: ...". */
void output_complain(const struct output *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line that the next one replaces, on standard error if that is a terminal; NULL wipes it. */
void output_progress(const char *text);

/* Strangers' bytes, as they can be shown. */
void output_shown(struct output *out, struct bytes text);
void output_json(struct output *out, const json_t *value); /* and a line feed */

/* Rows of cells; each row has as many as there are titles. */
struct sheet {
    const char *const *titles;
    size_t columns;
    struct buffer text;  /* of all cells, as shown */
    struct buffer cells; /* struct cell after struct cell */
};

void sheet_init(struct sheet *s, const char *const *titles, size_t columns);
void sheet_cell(struct sheet *s, struct bytes text, enum colour colour);
void sheet_printf(struct sheet *s, enum colour colour, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Adds the whole to out and releases t. */
void sheet_end(struct sheet *s, struct output *out);
void sheet_release(struct sheet *s);

#endif
