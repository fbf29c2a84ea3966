/* The /etc/resolv.conf of a Pod, by the kubelet's rules: its reading of the node's file, the four
 * dnsPolicies, the merge with dnsConfig, the limits, and the events that it would write.
 * Sources: kubelet's network/dns behaviour, KEP-2595 (limits), "DNS for Services and Pods". */
#pragma once

#include "client/pod_dns.h"

#define DNS_SERVERS_MAX         3
#define DNS_SEARCHES_MAX        32
#define DNS_SEARCHES_MAX_OLD    6
#define DNS_SEARCH_LINE_MAX     2048
#define DNS_SEARCH_LINE_MAX_OLD 256
#define DNS_SEARCH_NAME_MAX     253
#define HOST_RESOLVCONF_MAX     (10 << 20) /* bytes of the node's file */
#define DNS_NOTES_MAX           8

enum dns_note_on { NOTE_POD, NOTE_NODE, NOTE_LOG };

/* A Warning event of the Pod or of the node (with its reason), or a line in the kubelet's log. */
struct dns_note {
    enum dns_note_on on;
    const char *reason; /* NULL for the log */
    const char *text;
};

struct dns_notes {
    struct dns_note items[DNS_NOTES_MAX];
    size_t n;
};

struct resolvconf {
    struct strlist servers, searches, options; /* options as written: "ndots:5" */
};

/* The node's file as the kubelet reads it, which is not as a C library does. */
int resolvconf_parse_host(const char *text, struct arena *a, struct resolvconf *ret,
                          struct err *e) must_check;

/* Fails when the node's file is named but missing or broken: the Pod does not start then. Of
 * options that dnsConfig changes the place is kept, new ones follow in the Pod's order (the kubelet
 * itself gives them in no order). */
int resolvconf_build(const struct kubelet_dns *k, const struct pod_dns *p, struct arena *a,
                     struct resolvconf *ret, struct dns_notes *ret_notes, struct err *e) must_check;

/* The file as the container runtime writes it: search, nameservers, options; "" when all lists are
 * empty. In the arena. */
const char *resolvconf_text(const struct resolvconf *r, struct arena *a);

/* The kubelet's check of the node's own file at its start: adds at most one note. */
int resolvconf_check_node(const struct kubelet_dns *k, struct arena *a, struct dns_notes *notes,
                          struct err *e) must_check;
