/* Text for people: aligned tables and small bar charts, for `lookup`, `lab` and the like.
 *
 *     struct table t;
 *     table_init(&t, "Walk of \"bar\"");
 *     table_column(&t, "candidate", TABLE_LEFT);
 *     table_column(&t, "ms", TABLE_RIGHT);
 *     table_cell(&t, TABLE_PLAIN, "%s", name);      // fills the next column; rows close themselves
 *     table_cell(&t, TABLE_GOOD, "%.1f", ms);
 *     table_print(&t, stdout);
 *     table_done(&t);
 *
 * Columns are aligned by display width (UTF-8; wide and combining characters count as a terminal
 * shows them, whatever the locale). Nothing is wrapped, and nothing is cut except in a column that
 * was given a limit. Control characters and broken UTF-8 are shown as "?", so that text from
 * outside cannot steer the terminal. Colour is used only when the FILE is a terminal and the
 * environment has no NO_COLOR (no-color.org). Memory belongs to the table; texts are copied. */
#pragma once

#include "base/str.h"

#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 32

enum table_align { TABLE_LEFT, TABLE_RIGHT };

/* What a cell or bar means; the colour follows from it. */
enum table_tone { TABLE_PLAIN, TABLE_GOOD, TABLE_BAD, TABLE_WARN, TABLE_DIM, TABLE_STRONG };

struct table_cell {
    char *text;
    enum table_tone tone;
};

struct table_column {
    char *head;
    enum table_align align;
    int limit; /* columns on screen; 0: none */
};

struct table {
    char *title; /* or NULL */
    struct table_column columns[TABLE_COLUMNS_MAX];
    unsigned n_columns;
    struct table_cell *cells; /* row by row */
    size_t n_cells, capacity;
};

void table_init(struct table *t, const char *title); /* title may be NULL: no title line */
void table_done(struct table *t);

/* Before the first cell; at most TABLE_COLUMNS_MAX (an assertion). head may be "". When all heads
 * are empty there is no head line. */
void table_column(struct table *t, const char *head, enum table_align align);
/* Texts of the column added last that are wider than `width` (at least 2) are cut and end in "…".
 */
void table_limit(struct table *t, int width);

/* Fills the next place, from left to right, row by row. A line break in the text shows as "?". */
void table_cell(struct table *t, enum table_tone tone, const char *fmt, ...) printf_like(3, 4);
/* Fills the rest of a row that was begun with empty cells; nothing if no row is open. */
void table_end_row(struct table *t);

/* Title, heads, rows, each line without blanks at its end. An open row is shown as far as it goes.
 */
void table_print(const struct table *t, FILE *out);

/* Horizontal bars: label, bar, count and share of the total, the longest bar `width` columns
 * (8 to 200). A count above 0 always shows at least a sliver.
 *
 *     300 requests over 3 pods
 *       web-1  ████████████████████  104  34.7%
 *       web-2  ███████████████████    99  33.0%
 *       web-3  ██████████████████▋    97  32.3%
 */
struct bar {
    const char *label;
    uint64_t count;
    enum table_tone tone;
};

void bars_print(FILE *out, const char *title, const struct bar *bars, size_t n, int width);

/* One line in a tone, with a line break, coloured by the rules above: results and advice. */
void tone_line(FILE *out, enum table_tone tone, const char *fmt, ...) printf_like(3, 4);

/* How many columns a terminal takes for UTF-8 text. */
int text_width(const char *s);
bool text_colour(FILE *out); /* whether the rules above allow colour there */
/* What a terminal takes to begin that tone, TONE_END to end it; "" for TABLE_PLAIN, and where the
 * rules above allow no colour. */
const char *tone_begin(FILE *out, enum table_tone tone);
#define TONE_END "\033[0m"
