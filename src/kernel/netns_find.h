/* The network namespaces of this machine, found by the processes in them, and their addresses.
 *
 * Namespaces that no process is in (`ip netns add`) are not found. The calling thread visits each
 * one, and is back home when a function returns. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NETNS_FIND_MAX 8192 /* namespaces looked at; further ones are left out, and told of */

struct netns_search {
    const struct ip *ips; /* wanted; a namespace of this address has it on a link that is not lo */
    size_t n_ips;
    /* The process is one of those in it. */
    void (*found)(void *ctx, size_t ip, pid_t pid);
    void *ctx;
};

struct netns_searched {
    unsigned namespaces, closed; /* closed: processes that could not be looked at */
    int error;                   /* the last reason for that, a negated errno */
    bool limited;                /* by NETNS_FIND_MAX */
};

int netns_find(const struct netns_search *s, struct netns_searched *ret, struct err *e) must_check;
/* The network namespace of a process: a descriptor, or a negated errno. */
int netns_of(pid_t pid);
/* The addresses in a namespace that are not on lo, at most max; how many, or a negated errno. */
int netns_addresses(int net, struct ip *out, size_t max);
/* Are both descriptors of the same namespace? */
bool netns_same(int a, int b);
