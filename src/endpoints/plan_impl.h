/* The inside of plan.c, shared with plan_hints.c. */
#pragma once

#include "endpoints/plan_wanted.h"
#include "kube/slice_builder.h"

enum draft_state { DRAFT_KEEP, DRAFT_UPDATE, DRAFT_NEW };

/* One slice as it will be. */
struct draft {
    const struct slice *old; /* NULL: new */
    uint32_t group;
    enum draft_state state;
    VEC(struct wanted *) items;
};

struct packing {
    const struct plan_input *in;
    struct wanted_set set;
    const struct slice **existing; /* sorted by name */
    VEC(struct draft) drafts;
    VEC(const struct slice *) doomed;
    struct label *labels; /* of every slice of this Service */
    uint16_t n_labels;
    struct arena arena;
    struct slice_builder builder;
    unsigned next_name;
    unsigned n_existing_endpoints, n_matched;
    unsigned max; /* endpoints of a slice */
    VEC(struct object *) puts;
};

/* Decides which endpoint is hinted at whom; slices that need no other change are written when their
 * hints differ. */
void plan_choose_hints(struct packing *p, struct plan *ret);
/* The one hint that an endpoint ought to have; "": none. */
const char *plan_zone_hint(const struct packing *p, const struct wanted *w);
const char *plan_node_hint(const struct packing *p, const struct wanted *w);
