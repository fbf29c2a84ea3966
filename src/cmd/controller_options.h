/* Which endpoint controllers run, and how: what `signpost controller`, `registry` and `up` have in
 * common of their flags, under the names that kube-controller-manager has for them. */
#pragma once

#include "base/err.h"
#include "config/flags.h"
#include "endpoints/reconcile.h"

struct controller_options {
    const char *list; /* --controllers */
    long max_endpoints, max_mirrored;
    long workers[CONTROLLERS]; /* objects that are written at the same time */
    long long batch[CONTROLLERS];
    /* As understood, by controller_options_read(): 0: it does not run. */
    unsigned busy_max[CONTROLLERS];
    unsigned kinds; /* 1 << KIND_...: what they read */
};

#define CONTROLLER_DEFAULTS                                                                        \
    {                                                                                              \
        .list = "*", .max_endpoints = 100, .max_mirrored = 1000, .workers = { 5, 5, 5 }            \
    }

/* The rows of a command's table of flags. list: what the row of --controllers says. */
#define CONTROLLER_FLAGS(o, list_help)                                                             \
    { "controllers", FLAG_STRING, &(o).list, "LIST", list_help },                                  \
        { "max-endpoints-per-slice", FLAG_INT, &(o).max_endpoints, "N",                            \
          "Endpoints of a slice, 1 to 1000 (default 100)." },                                      \
        { "endpointslice-updates-batch-period", FLAG_DURATION, &(o).batch[CONTROLLER_SLICES],      \
          "TIME",                                                                                  \
          "How long a change of a Pod waits for others before slices are written (default 0)." },  \
        { "endpoint-updates-batch-period", FLAG_DURATION, &(o).batch[CONTROLLER_ENDPOINTS],        \
          "TIME",                                                                                  \
          "How long a change of a Pod waits for others before Endpoints are written (default "     \
          "0)." },                                                                                 \
        { "mirroring-endpointslice-updates-batch-period", FLAG_DURATION,                           \
          &(o).batch[CONTROLLER_MIRROR], "TIME",                                                   \
          "How long a change of a mirrored slice waits for others (default 0)." },                 \
    {                                                                                              \
        "mirroring-max-endpoints-per-subset", FLAG_INT, &(o).max_mirrored, "N",                    \
            "Addresses of a subset that are mirrored, 1 to 1000 (default 1000)."                   \
    }

#define CONTROLLER_LIST_HELP                                                                       \
    "Which run, separated by commas: endpointslice-controller, endpoints-controller, "             \
    "endpointslice-mirroring-controller; * is all of them, -NAME all but one (default *)"

/* Checks the values and fills in the rest. may_be_none: the list may be `false` (or `true`, for
 * all), too. */
int controller_options_read(struct controller_options *o, bool may_be_none, struct err *e);
/* Is there one that runs? */
bool controller_options_any(const struct controller_options *o);
