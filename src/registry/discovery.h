/* What the API says about itself: groups, versions, resources, in the old form and in the new
 * (aggregated), and the program's version. Source: Kubernetes API concepts, "API discovery". */
#pragma once

#include "registry/call.h"

#define VERSION_MAJOR "1"
#define VERSION_MINOR "34"
#define VERSION_GIT   "v1.34.4"

/* Answers when the path is one of discovery's: true. */
bool discovery_answer(struct call *c);
