/* Look-ups of one name in several ways, side by side: which candidates each of them asked for, in
 * which order, what it got, and what that cost. */
#pragma once

#include "client/trace.h"

/* All of the same name and type. */
void compare_print(const struct trace *traces, size_t n, FILE *out);
void compare_json(const struct trace *traces, size_t n, struct strbuf *out);
