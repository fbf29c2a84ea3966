/* A certificate authority of one's own, and what it signs, as PEM files: made once, on first start.
 * Keys are of P-256 and can be read by their owner alone. Source: RFC 5280. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>

#define AUTHORITY_DAYS      3650 /* validity of the authority, and of what it signs */
#define AUTHORITY_GROUP_MAX 4

/* Who a certificate is for. */
struct authority_subject {
    const char *name;                        /* common name */
    const char *groups[AUTHORITY_GROUP_MAX]; /* organisations; ends with NULL */
    bool server;                             /* else of a client */
    const char *const *dns;                  /* names of a server, ends with NULL; or NULL */
    const struct ip *ips;                    /* addresses of a server */
    size_t n_ips;
};

/* Writes an authority's certificate and key, unless both files are there. */
int authority_make(const char *cert, const char *key, const char *name, struct err *e);
/* Writes a certificate and its key, signed by the authority whose files are given. Files that are
 * there are replaced. */
int authority_issue(const char *ca_cert, const char *ca_key, const struct authority_subject *s,
                    const char *cert, const char *key, struct err *e);
/* Is the certificate for this address, and valid for 30 days more? */
bool authority_covers(const char *cert, const struct ip *ip);
