/* The addresses that the node cache listens on, which no other link of the node has: on a dummy
 * link of their own, or on `lo` where the kernel knows no dummy links. Control thread. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>

struct link_table;

struct node_addresses {
    const char *link; /* the dummy link's name */
    const struct ip *ips;
    size_t n_ips;
    bool on_lo;               /* wanted, or found out by addresses_ensure() */
    uint32_t foreign;         /* bit i: ips[i] was on lo before us, and stays */
    bool looked;              /* whether foreign is known */
    struct link_table *links; /* a socket */
};

/* The socket; before the process gives up the right to open one. Returns 0 or an error. */
int addresses_open(struct node_addresses *a, struct err *e);

/* Makes what is missing; how much, or an error. inherited: what is there is ours, from the process
 * before. */
int addresses_ensure(struct node_addresses *a, bool inherited, struct err *e);
void addresses_remove(struct node_addresses *a);
void addresses_done(struct node_addresses *a);
