/* resolv.conf as a client's resolver reads it, for the stub resolver: other words, other defaults
 * and other mistakes than the kubelet's reader in resolvconf.h. Here is glibc's way (res_init(3),
 * resolv.conf(5)) and what all share; the others are with their personalities. Reading never fails:
 * what makes no sense is passed over, as they do, and kept in `ignored` to be shown. */
#pragma once

#include "base/ip.h"
#include "client/strlist.h"

#define STUB_SERVERS_MAX  16 /* c-ares has no limit of its own */
#define STUB_SERVERS_USED 3  /* by all others */
#define STUB_NDOTS_MAX    15
#define STUB_TIMEOUT_MAX  30 /* seconds */
#define STUB_ATTEMPTS_MAX 5
#define STUB_PORT         53

struct stub_server {
    struct ip ip;
    uint32_t scope; /* of a link-local IPv6 address: index of the link, or 0 */
    uint16_t port;
};

struct stub_conf {
    struct stub_server servers[STUB_SERVERS_MAX];
    unsigned n_servers; /* at least 1: 127.0.0.1 when the file has none */
    struct strlist searches;
    int ndots, timeout, attempts; /* timeout in seconds; 0 and less are possible, as in glibc */
    int timeout_ms;               /* the same; c-ares counts so */
    const char *lookup;           /* c-ares: "lookup bind file" of this file; NULL: none */
    bool rotate, edns0, single_request, single_request_reopen, no_tld_query, use_vc, trust_ad,
        no_aaaa;
    struct strlist ignored; /* lines and options that had no effect */
};

/* What outside the file has a say. Each may be NULL. */
struct stub_env {
    const char *hostname;    /* its domain is searched when the file names none */
    const char *res_options; /* $RES_OPTIONS: after the file's options */
    const char *localdomain; /* $LOCALDOMAIN: instead of the file's search list */
};

/* text NULL: there is no file. Strings lie in `a`. */
void stub_conf_parse(const char *text, const struct stub_env *env, struct arena *a,
                     struct stub_conf *ret);

/* An address as inet_aton() and inet_pton() read it, a scope behind "%"; old_forms: "10.1" too. */
bool stub_server_parse(const char *word, bool old_forms, struct arena *a, struct stub_server *ret);
void stub_server_v4(struct stub_conf *c, uint32_t address); /* one more, at port 53 */
socklen_t stub_server_address(const struct stub_server *s, struct sockaddr_storage *ret);
/* The part of the host's name behind its first dot, or NULL. */
const char *stub_env_domain(const struct stub_env *env);
