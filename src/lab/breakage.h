/* A running lab that is broken on purpose, and mended: the objects of a failure go into DIR/broken,
 * a folder that the lab follows besides its own; its rules go into the nodes and pods. */
#pragma once

#include "base/err.h"
#include "lab/failure.h"

#define BREAKAGE_READY_NS 30000000000LL /* until the failure's pods run */
#define BREAKAGE_FIRST_NS 30000000000LL /* until what has to happen first has happened */

/* Returns when its pods run and its rules are in place. Does nothing to a lab that is broken this
 * way already. ret_to, if there: what the request is for, in this lab; the caller's to free. */
int breakage_make(const char *dir, const struct failure *f, char **ret_to, struct err *e);
/* Takes its objects and rules away; 0, too, when there are none. */
int breakage_mend(const char *dir, const struct failure *f, struct err *e);
bool breakage_is_there(const char *dir, const struct failure *f);
