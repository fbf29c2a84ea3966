/* What of a Pod decides its name service, and what of the kubelet does: the input of resolvconf.h
 * and hostsfile.h. Plain values; nothing here owns memory (strings lie in the caller's arena or are
 * static). Source: Kubernetes, "DNS for Services and Pods" and the Pod API. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "client/strlist.h"

#define POD_HOSTNAME_MAX 63 /* bytes of a Pod's hostname; longer ones are cut */
#define POD_NODENAME_MAX 64 /* Linux: __NEW_UTS_LEN, for setHostnameAsFQDN */

struct dns_option {
    const char *name;
    const char *value; /* NULL or "": an option without a value */
};

struct host_alias {
    const char *ip;
    struct strlist names;
};

struct pod_dns {
    const char *name, *namespace, *uid; /* uid: NULL when not known */
    const char *policy;                 /* NULL or "": ClusterFirst */
    bool host_network, hostname_as_fqdn;
    const char *hostname, *subdomain, *hostname_override; /* NULL or "": not set */

    bool has_config; /* dnsConfig is there, if only as {} */
    struct strlist servers, searches;
    const struct dns_option *options;
    size_t n_options;

    const struct host_alias *aliases;
    size_t n_aliases;
    struct strlist ips;       /* status.podIPs, in order */
    struct strlist own_hosts; /* containers that mount a file of their own at /etc/hosts */
};

struct kubelet_dns {
    const char *host_path; /* kubelet's resolvConf; "": none is used */
    const char *host_text; /* what lies there; NULL: it could not be read */
    struct strlist cluster_dns;
    const char *cluster_domain; /* NULL or "": none */
    const struct ip *node_ips;
    size_t n_node_ips;
    bool old_limits; /* 6 searches and 256 characters, as before Kubernetes 1.26 */
};

/* A Pod's own names. */
struct pod_names {
    const char *hostname; /* at most 63 bytes, unless overridden */
    const char *domain;   /* "sub.ns.svc.cluster.local" or "" */
    const char *nodename; /* what `uname -n` says; NULL: the node's own (hostNetwork) */
    bool cut;             /* hostname was longer than allowed */
};

/* Fails when setHostnameAsFQDN gives a name longer than 64 characters: such a Pod does not start.
 */
int pod_names_build(const struct pod_dns *p, const char *cluster_domain, struct arena *a,
                    struct pod_names *ret, struct err *e) must_check;

static inline bool text_given(const char *s)
{
    return s && *s;
}
