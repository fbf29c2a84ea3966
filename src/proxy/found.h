/* What the kernel holds of our table already, left by an earlier process: taken over by writing the
 * difference only. Whether its chains and rules are those that we would write is told by the seal:
 * one element of the set `layout` with two numbers, one made from the text of the fixed part, the
 * other from the chains and rules as the kernel had them when they were complete. A table without
 * it, or whose chains and rules are not the sealed ones any more, is not taken over. */
#pragma once

#include "kernel/nft.h"
#include "proxy/expand.h"
#include "proxy/ruleset.h"

#define FOUND_LAYOUT 1 /* raised when elements of the same maps come to mean something else */

struct found {
    uint8_t family;
    elements of[MAPS];  /* sorted */
    VEC(char *) chains; /* names */
    size_t n;           /* elements */
};

/* Reads the kernel. Returns 0; -ENOENT: there is no such table, -EOPNOTSUPP: the kernel cannot be
 * asked, ERR_INVALID: it is of another layout or damaged (e says how), or a negated errno. */
int found_read(const struct nft_backend *b, const struct ruleset_options *o, struct found *ret,
               struct err *e);
void found_done(struct found *f);

/* Marks the chains and rules as they are now as complete. */
int found_seal(const struct nft_backend *b, const struct ruleset_options *o);

/* The endpoints in the slots of a list, gaps zero. *ret_slots is the caller's (free()). */
uint32_t found_slots(const struct found *f, uint8_t protocol, uint32_t handle,
                     struct backend **ret_slots);
/* add: all that is wanted, del: empty. Afterwards they lead from what is there to that. */
void found_subtract(const struct found *f, elements add[MAPS], elements del[MAPS]);
