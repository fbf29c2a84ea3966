/* What a Pod offers to a Service that selects it. Source: Kubernetes' endpoint controllers. */
#pragma once

#include "base/arena.h"
#include "kube/pod.h"
#include "kube/service.h"
#include "kube/slice.h"

const struct ip *pod_ip_of(const struct pod *pod, uint8_t family); /* the first, or NULL */
/* The hostname that DNS may tell: of Pods that name this Service as their subdomain; else "". */
const char *pod_hostname_in(const struct service *s, const struct pod *pod);
/* The Service's ports as this Pod has them, sorted (endpoints/ports.h), in the arena; one whose
 * name the Pod does not know is left out. Returns how many. */
uint16_t pod_ports_for(const struct service *s, const struct pod *pod, struct arena *a,
                       const struct slice_port **ret);
/* Named targets differ from Pod to Pod; numbers do not. */
bool service_has_named_targets(const struct service *s);
/* What the Service says, else what its addresses are, else both for a headless one. How many. */
unsigned service_families(const struct service *s, uint8_t ret[2]);
