/* Regular expressions for plugins, in the dialect of the reference (RE2): what that cannot do -
 * look-around, backreferences, possessive quantifiers - is refused by name, and so is what means
 * something else here.
 *
 * Matching is PCRE2's, with its compiler where the system lets it have one; the steps of a match
 * are bounded, because time grows with more than the length. A compiled expression is shared by all
 * threads; each has its own memory for matches, made on its first one. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define REGEX_PATTERN_MAX 10000  /* bytes, as in the reference */
#define REGEX_GROUPS      64     /* with the whole match; more are refused */
#define REGEX_STEPS       100000 /* of one match; beyond: no match, and counted */

struct regex;

/* What matched. The places are valid until this thread's next match. */
struct regex_match {
    const char *text;
    const size_t *places; /* pairs: begin, end */
    unsigned n;           /* of pairs; groups beyond did not take part */
};

int regex_compile(const char *pattern, struct regex **ret, struct err *e);
void regex_free(void *re); /* NULL is fine */
/* Somewhere in text. ret may be NULL. */
bool regex_match(const struct regex *re, const char *text, size_t len, struct regex_match *ret);
/* Without the whole match. */
unsigned regex_groups(const struct regex *re);
/* The number of a named group, or -1. */
int regex_group(const struct regex *re, const char *name);

/* The text of group i; empty when it did not take part. */
static inline const char *regex_text(const struct regex_match *m, unsigned i, size_t *ret_len)
{
    *ret_len = 0;
    if (i >= m->n || m->places[2 * i] == (size_t)-1)
        return "";
    *ret_len = m->places[2 * i + 1] - m->places[2 * i];
    return m->text + m->places[2 * i];
}
