/* A line of explain/watch.h, for people and for programs, with the names of whoever has the
 * addresses. */
#pragma once

#include "base/str.h"
#include "explain/addressbook.h"
#include "explain/watch.h"

#include <stdio.h>

#define WATCH_COLUMNS 8

/* Lines stand below each other: a column is as wide as the widest so far. */
struct watch_columns {
    int width[WATCH_COLUMNS];
};

void watch_line_heads(struct watch_columns *c, FILE *out);
void watch_line_print(const struct watch_line *l, const struct addressbook *b,
                      struct watch_columns *c, FILE *out);
/* One object, with a line break behind it. */
void watch_line_json(const struct watch_line *l, const struct addressbook *b, struct strbuf *out);
