/* One version of one object: immutable, shared by the state, the history and whoever is sending it,
 * with a count of owners. It holds the object as the JSON text that clients get, and beside it what
 * selectors ask for, so that lists and watches need not read the text. */
#pragma once

#include "kube/object.h"
#include "registry/resource.h"

#include <jansson.h>

struct item {
    unsigned refs;
    uint16_t n_labels;
    int64_t revision;
    const struct resource *resource;
    const char *namespace, *name, *uid; /* namespace "" for cluster-scoped ones */
    const struct label *labels;
    const char *fields[RESOURCE_FIELDS_MAX]; /* as the resource's row has them; "" for none */
    const char *owners; /* uids of its owners, with a comma behind each; "" for none */
    bool deleting;      /* metadata.deletionTimestamp is set */
    const char *text;
    size_t len;
};

/* From a document whose metadata is complete. One reference. */
struct item *item_new(const struct resource *r, const json_t *doc, int64_t revision);
/* From its text; NULL: it is no object. */
struct item *item_read(const struct resource *r, const char *text, size_t len, int64_t revision);
struct item *item_ref(struct item *i); /* NULL is fine, here and below */
void item_unref(struct item *i);
/* The document; a new reference, and nobody else's. */
json_t *item_doc(const struct item *i);
/* Order of lists: namespace, then name. */
int item_compare(const struct item *i, const char *namespace, const char *name);
