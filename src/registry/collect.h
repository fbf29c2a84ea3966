/* What goes because something else has gone: objects whose owners are all deleted, what is in a
 * namespace that is being deleted, and the finalizers that wait for either. Works on the events of
 * the registry, in this process, so that no other controller is needed for it. Source: Kubernetes,
 * "Garbage Collection"; "Namespaces". */
#pragma once

#include "registry/registry.h"

struct collector;

/* Goes on with what was under way at the last end. Never NULL. */
struct collector *collector_new(struct registry *r);
void collector_free(struct collector *c); /* NULL is fine */
