/* UDP flows that go where they should not any more. Connection tracking holds a flow to the
 * endpoint that it was given (or to none), as long as packets come; so after a change, flows to
 * Services that changed and whose endpoint does not serve any more are removed, and the next packet
 * is translated anew. TCP and SCTP notice by themselves. */
#pragma once

#include "proxy/ruleset.h"

struct stale_result {
    bool looked; /* some UDP portal was among the changes */
    size_t deleted[2];
    int code; /* 0, or why the table could not be read */
};

/* Blocks; after the rules are in the kernel, for otherwise old flows would come back. */
struct stale_result stale_clean(const struct portal_change *changes, size_t n,
                                const struct surroundings *around);

/* The decision alone: is this flow to be removed? For tests. */
struct stale_index;
struct flow;
struct stale_index *stale_index_new(const struct portal_change *changes, size_t n,
                                    const struct surroundings *around);
void stale_index_free(struct stale_index *x); /* NULL is fine */
bool stale_is(const struct stale_index *x, const struct flow *f);
