/* Random walks through Services and slices of all kinds. */
#pragma once

#include "base/rand.h"
#include "world.h"

/* One to three objects come, change or go. */
void walk_step(struct rand *r, struct world *w);
