/* What came of bringing changes into the kernel, and the hunt for those that it refuses: what the
 * writers of both modes share. */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "proxy/model.h"

struct applied {
    bool full;             /* all of the table: taken over, or made anew */
    unsigned transactions; /* that the kernel took */
    unsigned generations;  /* of nftables that they made at least, if its rules they are */
    size_t elements, bytes;
    size_t found;              /* elements that the kernel had already when it was taken over */
    size_t carried, forgotten; /* clients with affinity */
    int code;                  /* 0, or why nothing more could be done */
    struct err err;            /* the last refusal, in words */
    size_t n_failed;           /* portals that are not as they should be, by id */
    char **failed;
};

void applied_done(struct applied *r);
/* These portals are not as they should be. */
void applied_fail(struct applied *r, const struct portal_change *list, size_t n);

typedef VEC(struct portal_change) change_list; /* what they point to is the model's */

void change_list_of_family(const struct portal_change *list, size_t n, uint8_t family,
                           change_list *ret);

#define HUNT_TRIES_MAX 64

/* Halves of a list are tried until it is known which changes are to blame. What is undecided when
 * no try is left counts as guilty. */
struct hunt {
    bool (*taken)(void *ctx, const struct portal_change *list, size_t n);
    void *ctx;
    unsigned tries_left;   /* HUNT_TRIES_MAX to begin with */
    change_list good, bad; /* in the order of the list */
};

void hunt_run(struct hunt *h, const struct portal_change *list, size_t n);
void hunt_done(struct hunt *h);
