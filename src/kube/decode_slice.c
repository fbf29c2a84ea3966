/* EndpointSlice of discovery.k8s.io/v1. */
#include "kube/check.h"
#include "kube/decoder.h"

#include <string.h>

#define ENDPOINTS_MAX      1000 /* the API's own limits */
#define PORTS_MAX          20000
#define ADDRESSES_MAX      100
#define HINTS_MAX          8
#define TRIGGER_ANNOTATION "endpoints.kubernetes.io/last-change-trigger-time"

static void decode_ports(struct decoder *d, struct slice *s)
{
    const struct tree *list = decode_list(d, d->root, "ports", PORTS_MAX);
    struct slice_port *ports = arena_alloc(&d->arena, decode_count(list) * sizeof *ports);
    s->ports = ports;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const char *name = decode_checked(d, c, "name", check_dns_label);
        if (c->kind != TREE_MAPPING)
            decode_fail(d, c, NULL, "must be a mapping");
        ports[s->n_ports++] = (struct slice_port){
            .name = name ? name : "",
            .app_protocol = decode_text(d, c, "appProtocol"),
            .port = (int32_t)decode_int(d, c, "port", 0, 65535, -1),
            .protocol = decode_protocol(d, c),
        };
    }
}

static uint8_t decode_conditions(struct decoder *d, const struct tree *t)
{
    const struct tree *c = decode_map(d, t, "conditions");
    unsigned bits = 0;
    if (decode_bool(d, c, "ready", true))
        bits |= ENDPOINT_READY;
    if (decode_bool(d, c, "serving", true))
        bits |= ENDPOINT_SERVING;
    if (decode_bool(d, c, "terminating", false))
        bits |= ENDPOINT_TERMINATING;
    return (uint8_t)bits;
}

static void decode_hints(struct decoder *d, const struct tree *t, struct endpoint *ep)
{
    const struct tree *list = decode_list(d, decode_map(d, t, "hints"), "forZones", HINTS_MAX);
    ep->first_hint = list && list->child ? (uint32_t)d->slice.hints.n : 0;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        vec_push(&d->slice.hints, slice_builder_text(&d->slice, decode_text(d, c, "name")));
        ep->n_hints++;
    }
}

static void decode_target(struct decoder *d, const struct tree *t, struct endpoint *ep)
{
    const struct tree *ref = decode_map(d, t, "targetRef");
    const char *kind = decode_text(d, ref, "kind");
    if (!kind || strcmp(kind, "Pod") != 0)
        return;
    ep->pod = slice_builder_text(&d->slice, decode_text(d, ref, "name"));
    ep->pod_namespace = slice_builder_text(&d->slice, decode_text(d, ref, "namespace"));
}

/* One entry of the API becomes as many endpoints as it has addresses. */
static void decode_endpoint(struct decoder *d, const struct tree *t, uint8_t family)
{
    struct endpoint ep;
    const struct tree *addresses = decode_list(d, t, "addresses", ADDRESSES_MAX);
    if (t->kind != TREE_MAPPING) {
        decode_fail(d, t, NULL, "must be a mapping");
        return;
    }
    if (!addresses || !addresses->child)
        decode_fail(d, t, "addresses", "is missing");
    memset(&ep, 0, sizeof ep);
    ep.conditions = decode_conditions(d, t);
    ep.hostname = slice_builder_text(&d->slice, decode_checked(d, t, "hostname", check_dns_label));
    ep.zone = slice_builder_text(&d->slice, decode_text(d, t, "zone"));
    if (!(d->without & PART_ENDPOINT_NODE))
        ep.node = slice_builder_text(&d->slice, decode_text(d, t, "nodeName"));
    if (!(d->without & PART_ENDPOINT_POD))
        decode_target(d, t, &ep);
    if (!(d->without & PART_ENDPOINT_HINTS))
        decode_hints(d, t, &ep);
    for (const struct tree *c = addresses ? addresses->child : NULL; c; c = c->next) {
        ep.ip = decode_ip(d, c);
        if (ep.ip.family != family)
            decode_fail(d, c, NULL, "must be an %s address, as addressType says",
                        family == 4 ? "IPv4" : "IPv6");
        vec_push(&d->slice.endpoints, ep);
    }
}

static uint8_t decode_family(struct decoder *d)
{
    static const char *const names[] = { "IPv4", "IPv6", "FQDN" };
    static const uint8_t families[] = { 4, 6, 0 };
    if (!decode_text(d, d->root, "addressType"))
        decode_fail(d, d->root, "addressType", "is missing; it must be IPv4, IPv6 or FQDN");
    return families[decode_enum(d, d->root, "addressType", names, 3, 0)];
}

/* Host names as addresses: deprecated, and nobody but DNS can do anything with them. */
static const char *decode_fqdn(struct decoder *d, const struct tree *list)
{
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const struct tree *addresses = decode_list(d, c, "addresses", ADDRESSES_MAX);
        if (addresses && addresses->child && decode_conditions(d, c) & ENDPOINT_READY)
            return tree_text(addresses->child);
    }
    return NULL;
}

void decode_slice(struct decoder *d, struct slice *s)
{
    const struct tree *metadata = tree_get(d->root, "metadata");
    decode_meta(d, KIND_SLICE, &s->object.meta);
    const char *service = meta_label(&s->object.meta, LABEL_SERVICE_NAME);
    s->service = service ? service : "";
    s->trigger_time_ns = decode_time(d, decode_map(d, metadata, "annotations"), TRIGGER_ANNOTATION);
    s->family = decode_family(d);
    decode_ports(d, s);
    const struct tree *list = decode_list(d, d->root, "endpoints", ENDPOINTS_MAX);
    for (const struct tree *c = list ? list->child : NULL; c && s->family && !d->failed;
         c = c->next)
        decode_endpoint(d, c, s->family);
    if (!s->family)
        s->fqdn = decode_fqdn(d, list);
    slice_builder_finish(&d->slice, s);
}
