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

/* How a resolver reads the file. */
struct hostsfile_rules {
    size_t line_max;         /* longer lines are read in pieces of so many bytes; 0: no limit */
    bool exact_case;         /* letter case counts */
    bool from_column_0;      /* blanks before the address make the line void */
    bool needs_end;          /* a name counts only with a blank or a line break behind it */
    bool rooted;             /* "a.b." is "a.b" */
    bool old_addresses;      /* "10.9" and "0x7f.1" are addresses */
    bool four_from_six;      /* when only IPv4 is wanted, "::ffff:10.0.0.1" and "::1" have one */
    bool keeps_copies;       /* an address of two lines counts twice */
    bool other_family_known; /* a line with an address of the other family: the name is known */
};

extern const struct hostsfile_rules hostsfile_glibc;

/* All lines that have the name or alias, in the order of the file. family: 4, 6 or 0 for both.
 * Returns 0, ERR_NOT_FOUND, or ERR_REFUSED when only addresses of the other family are there and
 * `other_family_known`. */
int hostsfile_find(const struct hostsfile_rules *rules, const char *text, const char *name,
                   uint8_t family, struct arena *a, struct hosts_match *ret) must_check;
