/* The endpoints that a Service ought to have: one for each suitable Pod and family, in groups that
 * can share a slice (same family, same ports). */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "endpoints/plan.h"

struct wanted {
    const struct pod *pod;
    const struct ip *ip;
    const char *hostname; /* "": none */
    const char *zone;     /* "": none */
    const char *hint;     /* the zone that topology-mode gives it; NULL, "": none */
    uint32_t group;
    uint8_t conditions;
    bool placed; /* in a slice already */
};

struct group {
    const struct slice_port *ports; /* sorted by name, protocol, number */
    uint16_t n_ports;
    uint8_t family;
    bool placeholder;
    size_t n; /* endpoints in it */
};

struct wanted_set {
    VEC(struct wanted) wanted; /* by group's family, then Pod name */
    VEC(struct group) groups;
    size_t first_of[2], n_of[2]; /* IPv4 and IPv6 endpoints */
    const struct pod *skipped;   /* the first that was left out as its Node is unknown */
};

/* Ports live in the arena. */
void wanted_build(const struct plan_input *in, struct arena *a, struct wanted_set *ret);
void wanted_done(struct wanted_set *w);
/* The endpoint of a Pod in a family, or NULL. */
struct wanted *wanted_find(const struct wanted_set *w, uint8_t family, const char *pod);
/* The group of a slice with these ports in any order, or UINT32_MAX. */
uint32_t wanted_group(const struct wanted_set *w, const struct slice *s);
