/* Words, numbers and quoted strings of zone-file text (private to wire/; RFC 1035 section 5.1). */
#pragma once

#include "base/str.h"

#include <stdint.h>

/* A piece of text between spaces; the quotes around a quoted one are not part of it. */
struct word {
    const char *p;
    size_t n;
    bool quoted;
};

/* Cuts text into at most max words; comments and parentheses count as space. *ret_rest: where it
 * stopped. False: a quote stays open. */
bool words_cut(const char *text, struct word *words, size_t max, size_t *ret_n,
               const char **ret_rest);

/* A decimal number up to max; false otherwise. */
bool text_number(const char *p, size_t n, uint64_t max, uint64_t *ret);
/* Seconds: "3600", or "1h30m" as zone files may have it; up to 32 bits. */
bool text_duration(const char *p, size_t n, uint64_t *ret);
/* A double-quoted string with escapes. */
void text_quote(struct strbuf *out, const uint8_t *p, size_t n);
/* Undoes escapes. Returns the number of bytes in out (at most cap), or -1. */
long text_unescape(const char *text, size_t n, uint8_t *out, size_t cap);
