/* Whole text files of a bounded size. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* The file's text in the arena, with a NUL behind it; "-" is standard input. *ret_len may be NULL:
 * then a NUL inside is an error, as the text could not be read whole. Fails when the file has more
 * than max bytes. */
int textfile_read(const char *path, size_t max, struct arena *a, const char **ret_text,
                  size_t *ret_len, struct err *e) must_check;
