/* What `explain` may look at besides the objects: Corefiles among manifests, and in a running lab
 * the rules and connections of the client's node. */
#pragma once

#include "cmd/explain_run.h"

/* An explain_corefile_fn; ctx: a struct flag_list of folders of manifests. */
const char *explain_find_corefile(void *ctx, const char *ns, const char *service, struct arena *a,
                                  const char **ret_name);

struct explain_lab {
    struct arena arena;
    const char *folders[1];
};

/* Sets the options so that they speak of the lab in that folder, seen from that pod. Fails when no
 * lab runs there; what of its node cannot be read is left out. The options end with the lab. */
int explain_lab_open(struct explain_lab *x, const char *dir, const char *from,
                     struct explain_options *o, struct err *e);
void explain_lab_close(struct explain_lab *x);
