/* A growing list of words in an arena: the servers, searches and options of a resolver. The arena
 * owns the array and, for the functions that copy, the words. Start from `{ 0 }`. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct strlist {
    const char **items;
    size_t n, capacity;
};

void strlist_add(struct strlist *l, struct arena *a, const char *word); /* not copied */
void strlist_add_copy(struct strlist *l, struct arena *a, const char *p, size_t len);
void strlist_append(struct strlist *l, struct arena *a, const struct strlist *more);
/* Cuts text[0..len) at blanks (any of `blanks`) and appends the pieces, copied. */
void strlist_split(struct strlist *l, struct arena *a, const char *text, size_t len,
                   const char *blanks);

bool strlist_have(const struct strlist *l, const char *word);
/* A list without the later copies of equal words (bytes compared). */
struct strlist strlist_unique(const struct strlist *l, struct arena *a);
size_t strlist_joined_len(const struct strlist *l); /* with single blanks */
char *strlist_join(const struct strlist *l, struct arena *a, const char *glue);
