/* Names of chains in iptables mode, as kube-proxy makes them: a kind and sixteen characters of a
 * hash, since iptables takes no name longer than 28. Hash: BASE32 of SHA-256 over
 * "namespace/name:port" + "tcp", and for an endpoint's chain + "IP:port" behind that. */
#pragma once

#include "proxy/portal.h"

#define CHAIN_NAME_SIZE 32

enum chain_kind {
    CHAIN_SVC, /* any endpoint of the Cluster list */
    CHAIN_SVL, /* any of the Local list */
    CHAIN_EXT, /* who comes from outside */
    CHAIN_FW,  /* who may */
    CHAIN_SEP, /* one endpoint */
    CHAIN_KINDS,
};

/* "KUBE-SVC-" */
extern const char *const chain_prefixes[CHAIN_KINDS];

/* backend: for CHAIN_SEP, else NULL. Returns out. */
char *chain_name(enum chain_kind kind, const struct portal *p, const struct backend *backend,
                 char out[CHAIN_NAME_SIZE]);
/* Is it a name of such a chain, whoever made it? */
bool chain_name_is(const char *name, size_t len);

/* "10.0.0.1:80", "[fd00::1]:80" */
#define BACKEND_TEXT_SIZE IP_PORT_TEXT_MAX
char *backend_text(uint8_t family, const struct backend *b, char out[BACKEND_TEXT_SIZE]);
