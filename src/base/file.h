/* Whole files of a bounded size. Reads go on through interruptions. The text is malloc'ed, has a
 * NUL behind it and belongs to the caller. Outputs are untouched on failure. */
#pragma once

#include "base/err.h"

#include <stddef.h>

/* From an open descriptor: what there is, at most max bytes; more is left unread. Returns 0 or a
 * negated errno. */
int file_read(int fd, size_t max, char **ret_text, size_t *ret_len) must_check;
/* The same, but ERR_LIMIT when there are more than max bytes. */
int file_read_all(int fd, size_t max, char **ret_text, size_t *ret_len) must_check;
/* Opens and reads a file with file_read_all(); fails with "open PATH: ..." or "read PATH: ...". */
int file_load(const char *path, size_t max, char **ret_text, size_t *ret_len,
              struct err *e) must_check;
