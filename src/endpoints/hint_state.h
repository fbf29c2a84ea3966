/* Which hints by the zones' CPUs a Service has, between two syncs: for the Events about them, and
 * to know when the Nodes have changed too much. */
#pragma once

#include "endpoints/controller.h"
#include "endpoints/topology.h"

struct hint_state {
    bool populated; /* at least one family has hints, as was told */
    struct {
        struct zone_count *counts; /* names are ours */
        size_t n;
    } of[2];
};

void hint_state_free(struct hint_state *s); /* NULL is fine */
/* What a plan of the Service came to. */
void hint_state_take(struct work *w, const struct service *s, const struct plan *p);
bool hint_state_is_overloaded(const struct hint_state *s, const struct zones *z);
