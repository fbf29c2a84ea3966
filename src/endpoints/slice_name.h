/* Names of slices that no API server names. */
#pragma once

#include "base/arena.h"
#include "kube/slice.h"

#include <stdbool.h>
#include <stddef.h>

/* The names that are in use: of slices that are there, of those that are about to be written, and
 * what else somebody knows of. Borrowed. */
struct slice_names {
    const struct slice *const *existing;
    size_t n_existing;
    struct object *const *puts;
    size_t n_puts;
    bool (*taken)(void *ctx, const char *name); /* NULL: there are no others */
    void *ctx;
};

/* "<service>-<5 hex digits>" of a counter, not of the content: endpoints come and go, names stay,
 * and processes that read the same objects mostly agree. The first from *counter on that is not in
 * use; *counter is then the next one to try. `of`: the Service or Endpoints. In the arena. */
const char *slice_name(struct arena *a, const struct meta *of, const struct slice_names *used,
                       unsigned *counter);
/* For qsort() of pointers to slices, by name. */
int slice_name_order(const void *a, const void *b);
