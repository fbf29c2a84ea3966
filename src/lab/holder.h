/* The lab's first process: makes the lab's own world, keeps it, follows the folder of manifests. */
#pragma once

#include "base/err.h"
#include "source/kubeconfig.h"

struct holder_options {
    const char *dir, *source;     /* both absolute */
    const struct api_config *api; /* publish the objects there, or NULL */
    int report;   /* progress goes here, a line each: "+text", "~pods not ready yet",
                   * "=ready", "!why it cannot go on" */
    int lifeline; /* the lab ends when the other end of this pipe is closed; -1: none */
};

/* Never returns. Called in a process of its own, in the world outside; the lab's first process is
 * its child, its number is left in DIR/pid. */
noreturn_fn void holder_main(const struct holder_options *o);
