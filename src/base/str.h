/* Growing text, for rules, metrics, logs and JSON; and the few string helpers that libc lacks.
 * struct strbuf: owner calls strbuf_done(); `p` is always NUL-terminated once anything was added.
 */
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *p;
    size_t len, cap;
};

void strbuf_done(struct strbuf *b);
void strbuf_reset(struct strbuf *b); /* keeps the memory */
void strbuf_add(struct strbuf *b, const char *s, size_t n);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_putc(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) printf_like(2, 3);
/* The text in quotes, as JSON has it; bytes of UTF-8 stay as they are. */
void strbuf_json(struct strbuf *b, const char *text);
/* The text as a malloc'ed string that the caller owns; the buffer is empty afterwards. */
char *strbuf_steal(struct strbuf *b);

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char *str_lower(char *s); /* ASCII, in place */

/* A whole decimal number within [min, max]; returns 0 or ERR_PARSE / ERR_LIMIT. */
int str_to_long(const char *s, long min, long max, long *ret_value) must_check;

/* A Go duration ("1h30m", "250ms", "5s", "0"); nanoseconds. Returns 0, ERR_PARSE, or ERR_LIMIT
 * beyond 292 years. */
int str_to_duration(const char *s, long long *ret_ns) must_check;
