/* healthCheckNodePort: a small HTTP answer for load balancers, at the port that a Service with
 * externalTrafficPolicy Local has for it: has this node an endpoint of the Service? Any path, any
 * method; 200 or 503 with a JSON body and the number of endpoints in a header. Source: Kubernetes,
 * "Preserving the client source IP", healthCheckNodePort.
 *
 * Lives on the control loop. A port that somebody else has is tried again at the next update. */
#pragma once

#include "proxy/health.h"
#include "proxy/model.h"

#include <uv.h>

#define HEALTH_PORT_CONNECTIONS_MAX 64   /* at a time, of all ports; further ones are closed */
#define HEALTH_PORT_TIMEOUT_MS      5000 /* of a connection */
#define HEALTH_PORT_REQUEST_MAX     8192

struct health_ports;

/* warn: one sentence about a Service ("namespace/name"); told once while a port cannot be had. */
struct health_ports *health_ports_new(uv_loop_t *loop, struct health *h,
                                      void (*warn)(void *ctx, const char *service,
                                                   const char *text),
                                      void *ctx);
/* The loop must turn once more for the handles. */
void health_ports_free(struct health_ports *p);

/* What is to be answered from now on, at these addresses of the node. */
void health_ports_update(struct health_ports *p, const struct health_check *checks, size_t n,
                         const struct ip *ips, size_t n_ips);
/* How many ports are open, for a metric and for tests. */
size_t health_ports_count(const struct health_ports *p);
