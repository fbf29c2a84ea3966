/* Text of rules, and perhaps a query behind a NUL: if the rules are accepted, a server with them
 * answers that query and a few of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* corefile: with one %.*s where the text goes. allowed: the directives that may come of it. */
void rules_run(const uint8_t *data, size_t size, const char *corefile, const char *const *allowed);
