/* Which file an object comes from, when several may hold it: the first in order wins.
 *
 * A claimant is opaque here but for its order; an object is known by its key, "<kind> ns/name". */
#pragma once

#include "base/ht.h"
#include "base/vec.h"

struct claimant {
    unsigned root;    /* index of the folder given */
    const char *path; /* unique */
};

struct claims {
    struct ht owners; /* key -> const struct claimant *, the winner */
    struct ht losers; /* key -> struct loser_list *, only where several claim */
};

void claims_done(struct claims *c);
/* -1, 0, 1: which comes first. */
int claimant_compare(const struct claimant *a, const struct claimant *b);

/* Adds a claim (again). Returns the winner now: c itself or another; *ret_beaten is the claimant
 * that just lost the object, or NULL. */
const struct claimant *claims_add(struct claims *c, const char *key, const struct claimant *who,
                                  const struct claimant **ret_beaten);

enum claim_end { CLAIM_LOSER, CLAIM_LAST, CLAIM_INHERITED };
/* Takes a claim back. CLAIM_LOSER: somebody else holds the object; CLAIM_LAST: nobody wants it any
 * more; CLAIM_INHERITED: *ret_heir owns it now and should tell what its version of the object is.
 */
enum claim_end claims_drop(struct claims *c, const char *key, const struct claimant *who,
                           const struct claimant **ret_heir);
