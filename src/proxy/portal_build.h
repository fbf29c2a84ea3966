/* From a Service and its slices to portals. */
#pragma once

#include "proxy/select.h"

/* Does any proxy serve it? Headless ones, ExternalName and other proxies' are left out. */
bool service_is_served(const struct service *s);

/* The portal of one port in one family, as one allocation (free() it). *ret_left_out: endpoints
 * beyond the limit. */
struct portal *portal_build(const struct service *s, const struct service_port *port,
                            uint8_t family, const struct slice_list *slices,
                            const struct place *place, size_t *ret_left_out);
