/* A folder of manifests as the source of objects.
 *
 * Reads all *.yaml, *.yml and *.json below the given folders (hidden files and folders are left
 * out; symbolic links to files and to Kubernetes' "..data" folders are followed), several documents
 * a file and List kinds unfolded, and follows changes with inotify, coalesced for a few
 * milliseconds. When a file stops parsing, its last good objects stay and the problem is reported
 * with file and line; when two files hold the same object, the first in path order (folders in the
 * order given) wins and the other is reported; it takes over when the winner goes. While single
 * documents of a file are refused, objects that the file held before and that are no longer found
 * in it stay.
 *
 * A file is read once its writer has closed it, so that half-written ones are not seen; what is
 * renamed into place is read at once. A given folder that disappears is reported and keeps its
 * objects until it is back. */
#pragma once

#include "base/err.h"
#include "source/sink.h"

#include <uv.h>

#define DIR_FILE_BYTES_MAX (64L * 1024 * 1024)
#define DIR_FILES_MAX      100000
#define DIR_DEPTH_MAX      20 /* folders inside of folders */

struct dir_source;

/* Reads everything before it returns and then follows on the loop (NULL: read once only). Fails
 * when a folder cannot be read at all; files that cannot are problems, not failures. */
int dir_source_open(uv_loop_t *loop, const char *const *dirs, size_t n, const struct sink *sink,
                    struct dir_source **ret, struct err *e);
void dir_source_close(struct dir_source *s);
