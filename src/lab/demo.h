/* The demonstration: a lab of its own from a folder like examples/shop, one request followed from
 * the name to the pod and back, many requests counted, and changes while it runs. */
#pragma once

#include "base/err.h"

/* Prints to standard output. Fails, naming the step, when one of them was not observed. */
int demo_run(const char *source, struct err *e);
