/* Which endpoints stand behind one port of a Service: pure functions over slices.
 * Source: Kubernetes, "EndpointSlices", conditions, and "Traffic policies", terminating endpoints.
 */
#pragma once

#include "base/vec.h"
#include "kube/service.h"
#include "kube/slice.h"
#include "proxy/vip.h"

/* A Service or slice with one of these labels belongs to another proxy, or to none. */
bool proxy_ignores(const struct meta *m);

struct slice_list {
    VEC(const struct slice *) slices;
};

/* The virtual address ip:port of a Service, as a new vip (free() it). Endpoints count when their
 * slice has the family of ip and a port with the name and the protocol of port; ready ones are
 * used, and when there is none, those that still serve while they terminate. The same address and
 * port in several slices counts once. *ret_left_out: how many were above VIP_BACKENDS_MAX. */
struct vip *vip_select(const struct service *s, const struct service_port *port,
                       const struct ip *ip, const struct slice_list *slices, const char *node_name,
                       size_t *ret_left_out);

bool vip_equal(const struct vip *a, const struct vip *b);
int vip_key_compare(const struct vip_key *a, const struct vip_key *b);
