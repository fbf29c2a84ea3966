/* The slices of one Service that one controller made. */
#pragma once

#include "base/vec.h"
#include "kube/slice.h"
#include "store/store.h"

struct slice_list {
    const char *manager; /* SLICE_CONTROLLER or MIRRORING_CONTROLLER */
    VEC(const struct slice *) slices;
};

bool slice_is_by(const struct slice *s, const char *manager);
/* Those that are being deleted are not told. The list is the caller's: vec_done(&ret->slices). */
void slice_list_read(const struct store *store, const char *ns, const char *service,
                     const char *manager, struct slice_list *ret);
