/* `dnssec`: what its files share. dnssec.c: the reply; dnssec_deny.c: what is not there;
 * dnssec_setup.c: options. Keys, signatures and their cache are dns/dnskey.h, dns/rrsig.h and
 * dns/sig_cache.h. */
#pragma once

#include "dns/dnskey_list.h"
#include "dns/sig_cache.h"

#define DNSSEC_SETS_MAX  256  /* RRsets of a section that are signed; a message holds hardly more */
#define DNSSEC_CHAIN_MAX 32   /* CNAMEs that are followed to the name that is denied */
#define DNSSEC_TTL       3600 /* original TTL of all signatures, as in the reference */
#define DNSSEC_BACK      (3 * 3600)      /* seconds that a signature is valid before it is made */
#define DNSSEC_AHEAD     (8 * 24 * 3600) /* and after */
#define DNSSEC_RENEW     (6 * 24 * 3600) /* older ones are made anew */

struct dnssec_counters {
    metric hits, misses, failures;
};

struct dnssec {
    struct zone_set *zones;
    struct dnskey_list list;
    bool split; /* there are keys of both kinds: one signs the keys, the other all else */
    struct rrset dnskeys;
    size_t capacity;
    struct sig_cache *cache;
    struct dnssec_counters *counters; /* by route */
    struct dns_config *config;
    const struct block *block;
    struct arena *arena;
    struct dnssec *next; /* of all that live, for the gauge */
};

/* One reply that is being signed. */
struct dnssec_work {
    struct query *q;
    struct dnssec *d;
    const uint8_t *zone; /* that signs, lower case */
    const uint8_t *cut;  /* the zone cut below which the reply refers; NULL: it does not */
    int64_t now;         /* unix seconds */
};

static inline const uint8_t *dnssec_owner(const struct query *q, const struct rrset *rr)
{
    return rr->owner ? rr->owner : q->msg.q.lower;
}

/* The first set of a type; NULL: none. */
const struct rrset *dnssec_find(const struct rrset_list *l, uint16_t type);

/* ---- dnssec.c ---- */

enum step dnssec_in(struct query *q, void *conf);
enum step dnssec_out(struct query *q, void *conf);
/* Signatures of all keys that are for that type, over sets of one owner, type and class; added to
 * the section. False: there are none. */
bool dnssec_sign(const struct dnssec_work *w, enum section s, const struct rrset *const *sets,
                 size_t n);

/* ---- dnssec_deny.c ---- */

/* What the reply says about the name at the end of its CNAMEs. */
struct dnssec_verdict {
    const uint8_t *name; /* that end */
    bool denied;         /* it, or its data, is said not to be there */
    const uint8_t *cut;  /* the reply refers to the servers of that zone; else NULL */
};

struct dnssec_verdict dnssec_judge(const struct query *q, const uint8_t *zone);
/* Adds the NSEC record that says that `name` is there, but not what was asked for, and its
 * signatures. delegated: name is a zone cut. */
void dnssec_deny(const struct dnssec_work *w, const uint8_t *name, bool delegated);
