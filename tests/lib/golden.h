/* Golden cases: a folder of folders, one a case, each with its input and the text expected of it.
 * Whatever cannot be read fails the test. */
#pragma once

#include "dump.h"

#define GOLDEN_PATH_MAX 512 /* bytes, with the NUL */

/* Runs every case of a folder, which has one at least, in the order of their names. folder: the
 * case's own. */
void golden_each(const char *cases, void (*run)(void *ctx, const char *folder), void *ctx);
/* objects_read() of the case's in.yaml. name: as there; NULL for the path. */
void golden_objects(struct objects *o, const char *folder, const char *name);
/* Fails the test with a diff-like message when the text (NULL: none) is not that of the file. With
 * UPDATE_GOLDEN=1 in the environment the file is written instead. */
void golden_expect(const char *folder, const char *file, const char *text);
