/* What `explain` may look at in a running lab: its objects, and the rules and connections of the
 * client's node. */
#pragma once

#include "cmd/explain_run.h"

struct explain_lab {
    struct arena arena;
    const char *folders[1];
};

/* Sets the options so that they speak of the lab in that folder, seen from that pod. Fails when no
 * lab runs there; what of its node cannot be read is left out. The options end with the lab. */
int explain_lab_open(struct explain_lab *x, const char *dir, const char *from,
                     struct explain_options *o, struct err *e);
void explain_lab_close(struct explain_lab *x);
