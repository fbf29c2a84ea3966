/* The /etc/hosts of a Pod as the kubelet writes it, byte for byte; and look-ups in such a file as
 * the C library's "files" service does them. */
#pragma once

#include "client/pod_dns.h"

/* names: from pod_names_build(). node_text: the node's own /etc/hosts, used for hostNetwork only;
 * NULL counts as empty. In the arena. */
const char *hostsfile_text(const struct pod_dns *p, const struct pod_names *names,
                           const char *node_text, struct arena *a);

/* Whether the kubelet puts its file into this container: not when the container mounts one of its
 * own, and not before an IP of a Pod with its own network is known. */
bool hostsfile_managed(const struct pod_dns *p, const char *container);

#define HOSTS_IPS_MAX 64 /* addresses of one name; more are not returned */

struct hosts_match {
    struct ip ips[HOSTS_IPS_MAX];
    size_t n;
    const char *canonical; /* first name of the first matching line; in the arena */
};

/* All lines that have the name or alias, in the order of the file, letter case ignored. family: 4,
 * 6 or 0 for both. Returns 0 or ERR_NOT_FOUND. */
int hostsfile_find(const char *text, const char *name, uint8_t family, struct arena *a,
                   struct hosts_match *ret) must_check;
