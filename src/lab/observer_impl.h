/* Parts of an observer, for those that open one. Private to lab/observer*.c. */
#pragma once

#include "lab/observer.h"

/* Empty: everything closed. */
void observer_init(struct observer *o);
/* Opens what is looked at in the node's network, into which it goes. */
int observer_watch_node(struct observer *o, struct err *e);
