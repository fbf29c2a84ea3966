/* `signpost trace --watch`: the flows of one pod or process, a line each, until it is ended. */
#pragma once

#include "cmd/trace_place.h"

struct trace_watch_options {
    struct trace_place_options place;
    bool json;
    long seconds, count; /* 0: no limit */
    long patience;       /* seconds until "no answer" */
};

/* Returns when it was ended: by a signal, a limit, or the end of the process that is watched. */
int trace_watch(const struct trace_watch_options *o, const char *from, struct err *e);
