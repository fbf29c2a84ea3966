/* The addresses of one range, and who has which. A pure function of the claims made: the order in
 * which they came and went does not show.
 *
 * Every claimant prefers one slot. A slot goes to the first (by ns, name) of those who prefer it;
 * the others, in the same order, take the next slot that nobody has. A change therefore moves few.
 */
#pragma once

#include "base/ht.h"
#include "base/ip.h"
#include "base/vec.h"

struct slot_claim {
    const char *ns, *name; /* the owner's; must outlive the claim */
    uint64_t preferred;
    uint64_t slot;           /* what it has; 0: none */
    uint64_t passed;         /* for the caller: what of `slot` it has passed on */
    struct slot_claim *next; /* others who prefer the same slot */
};

struct ip_slots {
    struct ip_prefix prefix;
    uint64_t low, first, last; /* dynamic slots are first..last, the reserve is low..first-1 */
    struct ht slots;           /* offset -> struct slot, where somebody prefers or holds it */
    struct ht reserved;        /* offset / 256 -> counts of addresses chosen by hand */
    VEC(struct slot_claim *) losers; /* those without their preferred slot, in order */
    VEC(struct slot_claim *) moved;  /* whose slot may have changed; the caller empties it */
};

void ip_slots_init(struct ip_slots *s, const struct ip_prefix *range);
void ip_slots_done(struct ip_slots *s);
/* Collected until ip_slots_settle(), which assigns. */
void ip_slots_claim(struct ip_slots *s, struct slot_claim *c, const char *ns, const char *name);
void ip_slots_drop(struct ip_slots *s, struct slot_claim *c);
/* An address that was chosen by hand, and its end. Outside of the range they do nothing. Returns
 * how many have it now (or had, before it was given back). */
unsigned ip_slots_reserve(struct ip_slots *s, const struct ip *ip);
void ip_slots_release(struct ip_slots *s, const struct ip *ip);
void ip_slots_settle(struct ip_slots *s);
struct ip ip_slots_ip(const struct ip_slots *s, uint64_t slot);
