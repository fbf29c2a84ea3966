/* Which cluster addresses and node ports Services have. An address is taken when an IPAddress
 * object of its name is there: these are written and deleted together with their Services. Ports
 * are counted in memory.
 *
 * New ones are drawn from the upper part of a range, so that whoever asks for one by name finds the
 * lower part free. Source: Kubernetes, "Service ClusterIP allocation" and "Avoid collisions
 * assigning ports to NodePort Services". */
#pragma once

#include "base/ip.h"
#include "registry/registry.h"

#define ALLOCATE_RANGES_MAX 2 /* one a family */

struct allocator;

/* Fails when a range is none (ERR_PARSE, ERR_INVALID). */
int allocator_new(struct registry *r, const struct registry_options *o, struct allocator **ret,
                  struct err *e);
void allocator_free(struct allocator *a); /* NULL is fine */
/* When the objects are loaded: counts what is in use, writes the ServiceCIDR and what is missing.
 */
void allocator_start(struct allocator *a);
/* A Service (others are not looked at) was written or, now NULL, deleted. */
void allocator_changed(struct allocator *a, const struct item *now, const struct item *before);

/* Families in the order of the ranges: 4 or 6; 0 beyond their number. */
unsigned allocator_family(const struct allocator *a, unsigned i);
/* A free address. dry: the range's first, which is nobody's. Returns 0 or ERR_LIMIT: all are taken.
 */
int allocator_ip_draw(struct allocator *a, unsigned family, bool dry, char out[IP_TEXT_MAX]);
/* Why an address cannot be had by a Service; NULL: it can. */
const char *allocator_ip_wrong(struct allocator *a, const char *text, const char *namespace,
                               const char *name);
/* ports: those that the same request has drawn or asked for already. */
int allocator_port_draw(struct allocator *a, const json_t *mine, long *ret);
bool allocator_port_in_range(const struct allocator *a, long port);
bool allocator_port_used(const struct allocator *a, long port);
/* "30000-32767" */
const char *allocator_port_range(const struct allocator *a, char out[32]);
/* The first usable address of the first range, which the Service kubernetes has. */
void allocator_first(const struct allocator *a, char out[IP_TEXT_MAX]);
