/* Small objects for the tests of this folder. Strings are the caller's until object_copy(). */
#pragma once

#include "base/str.h"
#include "kube/pod.h"
#include "kube/service.h"
#include "kube/slice.h"

static inline struct ip make_ip(uint8_t a, unsigned n)
{
    return (struct ip){ .family = 4, .bytes = { 10, a, (uint8_t)(n >> 8), (uint8_t)n } };
}

static inline struct meta make_meta(const char *ns, const char *name, const struct label *labels,
                                    uint16_t n)
{
    return (struct meta){
        .namespace = ns, .name = name, .uid = "", .origin = "", .labels = labels, .n_labels = n
    };
}

/* A ready Pod "p<n>" with label app=<app> and address 10.0.<n>. */
static inline struct object *make_pod(const char *ns, unsigned n, const char *app, bool ready)
{
    char name[16];
    const struct label labels[] = { { "app", app }, { "other", "x" } };
    const struct ip ip = make_ip(0, n);
    (void)snprintf(name, sizeof name, "p%04u", n);
    const struct pod p = { .object = { .kind = KIND_POD, .meta = make_meta(ns, name, labels, 2) },
                           .ips = &ip,
                           .n_ips = 1,
                           .node = "",
                           .phase = POD_RUNNING,
                           .ready = ready };
    return object_copy(&p.object);
}

/* A Service with one port, selector app=<app> (NULL: none) and families IPv4. */
static inline struct object *make_service(const char *ns, const char *name, const char *app,
                                          uint16_t target)
{
    const struct label selector = { "app", app };
    const struct service_port port = { .name = "http", .port = 80, .target_port = target };
    const struct service s = { .object = { .kind = KIND_SERVICE,
                                           .meta = make_meta(ns, name, NULL, 0) },
                               .selector = app ? &selector : NULL,
                               .n_selector = app != NULL,
                               .ports = &port,
                               .n_ports = 1,
                               .families = { 4, 0 } };
    return object_copy(&s.object);
}

static inline struct object *make_slice(const char *ns, const char *name, const char *service)
{
    const struct slice s = { .object = { .kind = KIND_SLICE, .meta = make_meta(ns, name, NULL, 0) },
                             .service = service,
                             .family = 4,
                             .pool = "",
                             .pool_len = 1 };
    return object_copy(&s.object);
}
