/* Where a lab's files lie. Everything that other commands need of a running lab is found here:
 *
 *   DIR/pid                      the lab's first process; when it ends, everything ends
 *   DIR/source                   the folder of manifests that it follows (one line)
 *   DIR/log                      what the lab itself has to say
 *   DIR/objects/                 the manifests with their status filled in: what dns and proxy read
 *   DIR/broken/                  more manifests, of failures that were asked for
 *   DIR/nodes/NODE/pid           a process in the node's namespaces
 *   DIR/pods/NAMESPACE_POD/      pid, resolv.conf, hosts, CONTAINER.log, volumes/
 *
 * Process numbers are those of the world outside of the lab. Paths are at most PATH_MAX bytes;
 * longer ones end the program with a message, since nothing of a lab could work then. */
#pragma once

#include "base/err.h"

#include <limits.h>
#include <sys/types.h>

/* $SIGNPOST_LAB, $XDG_RUNTIME_DIR/signpost-lab or /tmp/signpost-lab-UID. Returns out. */
char *place_default(char out[PATH_MAX]);

/* "DIR/" and the rest as printf() would write it. Returns out. */
char *place_path(char out[PATH_MAX], const char *dir, const char *fmt, ...) printf_like(3, 4);

/* Writes a whole file under a temporary name and renames it: readers see the old or the new one.
 * Returns 0 or a negated errno. */
int place_write(const char *path, const char *text, size_t len);
int place_write_private(const char *path, const char *text, size_t len); /* for its owner only */
/* The whole file, at most `max` bytes, NUL-terminated, for the caller to free; NULL with errno set.
 */
char *place_read(const char *path, size_t max);
/* mkdir -p, mode 0755 (the last part of a lab's own folder: 0700). */
int place_mkdir(const char *path, mode_t mode);
/* Removes a folder with all that is in it; stays on one file system. */
void place_remove(const char *path);

/* The process number in DIR/<rest>, when it is still alive and may be entered; otherwise
 * ERR_NOT_FOUND with a sentence. */
int place_pid(const char *dir, const char *rest, pid_t *ret_pid, struct err *e);
/* The pod "NAMESPACE/POD"; "POD" alone: the only pod of that name in any namespace. */
int place_pod_pid(const char *dir, const char *pod, pid_t *ret_pid, struct err *e);
int place_node_pid(const char *dir, const char *node, pid_t *ret_pid, struct err *e);
