/* Label selectors in their text form: "tier in (front, edge),app notin (x),!legacy,a=b,c!=d".
 * Source: Kubernetes, labels and selectors. */
#pragma once

#include "base/arena.h"
#include "kube/object.h"

struct selector;

/* Returns 0 or ERR_PARSE with e set. The selector lives in the arena. "" matches everything. */
int selector_parse(const char *text, struct arena *a, const struct selector **ret, struct err *e);
bool selector_match(const struct selector *s, const struct meta *m); /* NULL matches everything */
