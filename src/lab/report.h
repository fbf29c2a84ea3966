/* What a running lab looks like: nodes, pods, addresses, readiness. */
#pragma once

#include "base/err.h"

#include <stdio.h>

int report_status(const char *dir, FILE *out, struct err *e);
