/* Tells which Services' endpoints are to be looked at again: follows the Services, Pods and Nodes
 * of a store and knows the Pods of each Service (members.h). Whoever uses it passes the store's
 * changes on, and decides which Services are theirs. Only the Services that a change can touch are
 * named. */
#pragma once

#include "endpoints/members.h"
#include "store/store.h"

struct tracker {
    struct store *store;
    struct members members;
    bool started;
    bool nodes_required; /* whether a Node is there at all matters, not only its zone */
    /* While dirty() is called: when the Pod that has changed became ready or not; 0: no news of
     * that. */
    int64_t trigger_ns;

    bool (*wanted)(void *ctx, const struct service *s);   /* is it ours to look after? */
    void (*dirty)(void *ctx, struct member_set *set);     /* may come many times */
    void (*untracked)(void *ctx, struct member_set *set); /* the set is about to go */
    void (*unwanted)(void *ctx,
                     const struct meta *service); /* nobody's any more, or never was ours */
    void *ctx;
};

void tracker_done(struct tracker *t);
/* Reads the store; before that its changes do not count. Again: does nothing. */
void tracker_start(struct tracker *t);
/* For each change of Services, Pods and Nodes. */
void tracker_change(struct tracker *t, const struct change *c);
/* Whether the Service is wanted may have changed; if it is, it is dirty. */
void tracker_consider(struct tracker *t, const struct service *s);
