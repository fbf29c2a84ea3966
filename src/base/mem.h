/* Allocation for start-up and control paths, where running out of memory ends the process with a
 * message: going on with half a configuration would be worse. Workers never call these per query.
 */
#pragma once

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
