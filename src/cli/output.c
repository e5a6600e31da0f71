/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include "server/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMN_GAP 2

static const char *const colour_codes[] = {
    [COLOUR_NONE] = "",         [COLOUR_STRONG] = "\x1b[1m", [COLOUR_GOOD] = "\x1b[32m",
    [COLOUR_WARN] = "\x1b[33m", [COLOUR_BAD] = "\x1b[31m",
};
static const char colour_end[] = "\x1b[0m";

static bool colour_is_welcome(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no_color && no_color[0] != '\0') && !(term && strcmp(term, "dumb") == 0);
}

void output_init(struct output *out, const char *verb, bool json)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;
    *out = (struct output){ .verb = verb, .json = json, .table = terminal, .colour = terminal && colour_is_welcome() };
}

static enum err write_all(int fd, struct bytes text)
{
    while (text.len > 0) {
        ssize_t written = write(fd, text.ptr, text.len);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return ERR_IO;
        text = bytes_of(text.ptr + written, text.len - (size_t)written);
    }
    return ERR_OK;
}

bool output_end(struct output *out)
{
    bool good = false;
    if (buffer_end(&out->text) != ERR_OK)
        output_complain(out, "%s", err_text(ERR_NOMEM));
    else if (write_all(STDOUT_FILENO, buffer_view(&out->text)) == ERR_OK)
        good = true;
    else if (errno != EPIPE)
        output_complain(out, "cannot write the output: %s", strerror(errno));
    buffer_release(&out->text);
    return good;
}

/* Whole messages hold what was shown already, so a backslash stays one. */
static void complain_show(struct buffer *line, struct bytes text)
{
    while (text.len > 0) {
        char shown[TEXT_CHARACTER_BYTES_MAX];
        bool is_backslash = *text.ptr == '\\';
        size_t len = text_show_next(&text, shown);
        buffer_bytes(line, bytes_of(shown, is_backslash ? 1 : len));
    }
}

void output_progress(const char *text)
{
    static bool shown;
    if (isatty(STDERR_FILENO) != 1 || (!text && !shown)) return;
    fprintf(stderr, "\r\x1b[K%s", text ? text : "");
    fflush(stderr);
    shown = text != NULL;
}

void output_complain(const struct output *out, const char *format, ...)
{
    char message[1024];
    struct buffer line = { 0 };
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    output_progress(NULL);
    buffer_text(&line, "quipu");
    if (out->verb) {
        buffer_text(&line, " ");
        complain_show(&line, bytes_of_text(out->verb));
    }
    buffer_text(&line, ": ");
    complain_show(&line, bytes_of_text(message));
    buffer_text(&line, "\n");
    /* Nobody is left to tell when standard error does not take it. */
    if (buffer_end(&line) == ERR_OK) (void)!write_all(STDERR_FILENO, buffer_view(&line));
    buffer_release(&line);
}

static void buffer_shown(struct buffer *b, struct bytes text)
{
    while (text.len > 0) {
        char shown[TEXT_CHARACTER_BYTES_MAX];
        size_t len = text_show_next(&text, shown);
        buffer_bytes(b, bytes_of(shown, len));
    }
}

void output_shown(struct output *out, struct bytes text)
{
    buffer_shown(&out->text, text);
}

void output_json(struct output *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    if (text)
        buffer_printf(&out->text, "%s\n", text);
    else
        out->text.failed = true;
    free(text);
}

/* Tables */

struct cell {
    size_t at, len, width;
    enum colour colour;
};

void sheet_init(struct sheet *t, const char *const *titles, size_t columns)
{
    *t = (struct sheet){ .titles = titles, .columns = columns };
}

void sheet_cell(struct sheet *t, struct bytes text, enum colour colour)
{
    struct cell cell = { .at = t->text.len, .colour = colour };
    buffer_shown(&t->text, text);
    cell.len = t->text.len - cell.at;
    for (size_t i = cell.at; i < t->text.len; i++) cell.width += (t->text.ptr[i] & 0xc0) != 0x80;
    buffer_bytes(&t->cells, bytes_of(&cell, sizeof cell));
}

void sheet_printf(struct sheet *t, enum colour colour, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sheet_cell(t, bytes_of_text(text), colour);
}

static struct cell sheet_at(const struct sheet *t, size_t index)
{
    struct cell cell;
    memcpy(&cell, t->cells.ptr + index * sizeof cell, sizeof cell);
    return cell;
}

static size_t column_width(const struct sheet *t, size_t column, size_t cells)
{
    size_t width = strlen(t->titles[column]);
    for (size_t i = column; i < cells; i += t->columns) {
        struct cell cell = sheet_at(t, i);
        if (cell.width > width) width = cell.width;
    }
    return width;
}

/* width 0: no padding. */
static void put_cell(struct output *out, struct bytes text, size_t shown, size_t width, enum colour colour)
{
    bool coloured = out->colour && colour != COLOUR_NONE;
    if (coloured) buffer_text(&out->text, colour_codes[colour]);
    buffer_bytes(&out->text, text);
    if (coloured) buffer_text(&out->text, colour_end);
    for (size_t i = shown; i < width; i++) buffer_u8(&out->text, ' ');
}

static void put_head(const struct sheet *t, struct output *out, size_t cells)
{
    for (size_t column = 0; column < t->columns; column++) {
        struct bytes title = bytes_of_text(t->titles[column]);
        bool last = column + 1 == t->columns;
        put_cell(out, title, title.len, last ? 0 : column_width(t, column, cells) + COLUMN_GAP, COLOUR_STRONG);
    }
    buffer_text(&out->text, "\n");
}

static void put_row(const struct sheet *t, struct output *out, size_t cells, size_t first)
{
    for (size_t column = 0; column < t->columns; column++) {
        struct cell cell = sheet_at(t, first + column);
        bool last = column + 1 == t->columns;
        size_t width = last || !out->table ? 0 : column_width(t, column, cells) + COLUMN_GAP;
        put_cell(out, bytes_of(t->text.ptr + cell.at, cell.len), cell.width, width, cell.colour);
        if (!last && !out->table) buffer_u8(&out->text, '\t');
    }
    buffer_text(&out->text, "\n");
}

void sheet_end(struct sheet *t, struct output *out)
{
    size_t cells = t->cells.len / sizeof(struct cell);
    if (t->text.failed || t->cells.failed) {
        out->text.failed = true;
    } else {
        REQUIRE(cells % t->columns == 0);
        if (out->table) put_head(t, out, cells);
        for (size_t first = 0; first < cells; first += t->columns) put_row(t, out, cells, first);
    }
    sheet_release(t);
}

void sheet_release(struct sheet *t)
{
    buffer_release(&t->text);
    buffer_release(&t->cells);
}
