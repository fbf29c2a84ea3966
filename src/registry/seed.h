/* Folders of manifests that an API is filled from, and that it goes on following: every second it
 * is looked whether a file is new, changed or gone. Each object is applied on the server's side by
 * the manager "signpost-manifests", its status, too, so that what other clients write into other
 * fields stays; an object that no file holds any more is deleted, also when it left while nobody
 * was looking. What is wrong with a file is told in the log, and leaves its objects as they were.
 * Namespaces that an object needs are made. */
#pragma once

#include "registry/registry.h"

#define SEED_FILE_MAX  (16 << 20) /* bytes of a file */
#define SEED_FILES_MAX 10000
#define SEED_DEPTH_MAX 20 /* folders inside of folders */
#define SEED_MANAGER   "signpost-manifests"

struct seed;

/* Reads all before it returns. Fails when a folder cannot be read. */
int seed_open(uv_loop_t *loop, struct registry *r, const char *const *folders, size_t n,
              struct seed **ret, struct err *e);
void seed_close(struct seed *s); /* NULL is fine; before the loop ends */
