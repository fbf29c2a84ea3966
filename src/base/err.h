/* Errors in three grades.
 *
 * - Packet path: no errors, only outcomes (enum step, rcode) and counters.
 * - Library functions: an int, 0 or a negative code: a negated errno or one of ERR_*; outputs are
 *   left untouched on failure.
 * - Configuration, objects, commands: a last argument `struct err *e` as well, which receives one
 *   sentence with what, where and what to do. Callers that climb put context in front with
 *   err_wrap(). It is printed once, in cmd/. `e` may be NULL: then only the code is returned.
 */
#pragma once

#include "base/cleanup.h"

enum {
    ERR_PARSE = -1000, /* text or bytes that break their grammar */
    ERR_INVALID,       /* well-formed, but a value that is not allowed */
    ERR_UNSUPPORTED,   /* known to the originals, not offered here */
    ERR_LIMIT,         /* a documented limit would be exceeded */
    ERR_NOT_FOUND,
    ERR_REFUSED, /* another party (kernel, server) said no */
};

struct err {
    int code;
    char text[1024];
};

/* Stores code and text; returns code, so that `return err_set(e, ...)` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);

/* Puts "<text>: " in front of what is there; returns the stored code. */
int err_wrap(struct err *e, const char *fmt, ...) printf_like(2, 3);

/* A short text for any negative code: errno's own or that of ERR_*. */
const char *err_str(int code);
