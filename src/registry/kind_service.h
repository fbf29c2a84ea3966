/* Services: defaults, what changes with the type, checks, addresses and ports. Source: Kubernetes
 * API reference, Service; "Service"; "IPv4/IPv6 dual-stack". */
#pragma once

#include "registry/resource.h"

const char *service_name_wrong(const char *name);
void service_fill(struct write *w);
void service_prepare(struct write *w);
void service_check(struct write *w, struct fault *f);
int service_take(struct write *w, struct fault *f);

/* ---- for the files of the kind ---- */

/* What is wrong with addresses and families. */
void service_check_ips(const json_t *doc, struct fault *f);

/* The type of a Service; "" for none. */
const char *service_type(const json_t *doc);
bool service_is(const json_t *doc, const char *type);
bool service_needs_ip(const json_t *doc);       /* all but ExternalName */
bool service_needs_ports(const json_t *doc);    /* NodePort and LoadBalancer */
bool service_needs_health(const json_t *doc);   /* LoadBalancer with policy Local */
bool service_is_external(const json_t *doc);    /* can be reached from outside */
bool service_is_headless(const json_t *doc);    /* clusterIP None */
const json_t *service_ports(const json_t *doc); /* spec.ports, or NULL */
