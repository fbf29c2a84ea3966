/* Keeps a store's computed EndpointSlices up to date: for every Service for which the source brings
 * no slice of its own, from the Pods and Nodes in the same store or, when it has no selector, from
 * its Endpoints. Work is done when the store tells of a change, only for the Services that the
 * change can touch. Nothing is computed before the first full list is in. Of the listeners of one
 * store only the planner may write to it. */
#pragma once

#include "store/store.h"

struct planner;

struct planner *planner_new(struct store *store);
void planner_free(struct planner *p);
/* The first full list is in: computes, without waiting for the store to be told so. Whoever hears
 * from the store that it is synced then finds the computed slices in it. */
void planner_start(struct planner *p);
