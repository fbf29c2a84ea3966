/* Objects in a file that survives anything: SQLite in WAL mode, each transaction on the disk before
 * it counts. What is put and deleted belongs to one transaction until storage_commit(), which
 * returns when the disk has it. One thread. Source: sqlite.org/wal.html, sqlite.org/pragma.html.
 *
 * When a transaction fails the file keeps its state from before, and ours in memory would run ahead
 * of it: whoever calls must then end, and begin anew from the file. */
#pragma once

#include "base/err.h"
#include "registry/item.h"

#define STORAGE_TEXT_MAX (8 << 20) /* bytes of an object */

struct storage;

/* path: a file, made when it is not there, or ":memory:". Another process that has it: an error. */
int storage_open(const char *path, struct storage **ret, struct err *e);
void storage_close(struct storage *s);
/* Hands over each object (one reference), in no particular order; and the latest revision. */
int storage_load(struct storage *s, void (*fn)(void *ctx, struct item *i), void *ctx,
                 int64_t *ret_revision, struct err *e);
int storage_put(struct storage *s, const struct item *i, struct err *e);
int storage_delete(struct storage *s, const struct item *i, struct err *e);
/* Nothing is done when nothing was put or deleted. */
int storage_commit(struct storage *s, int64_t revision, struct err *e);
/* Small texts beside the objects: *ret is malloc'ed, or NULL when there is none. */
int storage_setting(struct storage *s, const char *name, char **ret, struct err *e);
int storage_set(struct storage *s, const char *name, const char *value, struct err *e);
