/* EndpointSlice of discovery.k8s.io/v1. */
#include "kube/check.h"
#include "kube/decoder.h"
#include "kube/endpoints.h"

#include <string.h>

#define ENDPOINTS_MAX 1000 /* the API's own limits */
#define PORTS_MAX     20000
#define ADDRESSES_MAX 100
#define HINTS_MAX     8
#define OWNERS_MAX    1000

uint16_t decode_slice_ports(struct decoder *d, const struct tree *t, const struct slice_port **ret)
{
    const struct tree *list = decode_list(d, t, "ports", PORTS_MAX);
    struct slice_port *ports = arena_alloc(&d->arena, decode_count(list) * sizeof *ports);
    uint16_t n = 0;
    *ret = ports;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const char *name = decode_checked(d, c, "name", check_dns_label);
        if (c->kind != TREE_MAPPING)
            decode_fail(d, c, NULL, "must be a mapping");
        ports[n++] = (struct slice_port){
            .name = name ? name : "",
            .app_protocol = decode_text(d, c, "appProtocol"),
            .port = (int32_t)decode_int(d, c, "port", 0, 65535, -1),
            .protocol = decode_protocol(d, c),
        };
    }
    return n;
}

static unsigned conditions_said(const struct tree *c)
{
    return (tree_get(c, "ready") ? ENDPOINT_READY_SAID : 0u) |
           (tree_get(c, "serving") ? ENDPOINT_SERVING_SAID : 0u) |
           (tree_get(c, "terminating") ? ENDPOINT_TERMINATING_SAID : 0u);
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
    if (!(d->without & PART_WRITING))
        bits |= conditions_said(c);
    return (uint8_t)bits;
}

static uint8_t decode_hint_list(struct decoder *d, const struct tree *hints, const char *key)
{
    const struct tree *list = decode_list(d, hints, key, HINTS_MAX);
    uint8_t n = 0;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next, n++)
        vec_push(&d->slice.hints, slice_builder_text(&d->slice, decode_text(d, c, "name")));
    return n;
}

static void decode_hints(struct decoder *d, const struct tree *t, struct endpoint *ep,
                         struct endpoint_more *more)
{
    const struct tree *hints = decode_map(d, t, "hints");
    uint32_t first = (uint32_t)d->slice.hints.n;
    ep->n_hints = decode_hint_list(d, hints, "forZones");
    ep->n_node_hints = decode_hint_list(d, hints, "forNodes");
    more->first_hint = ep->n_hints || ep->n_node_hints ? first : 0;
}

static void decode_pod_of(struct decoder *d, const struct target_ref *ref,
                          struct endpoint_more *more)
{
    if (d->without & PART_ENDPOINT_POD || strcmp(ref->kind, "Pod") != 0)
        return;
    more->pod = slice_builder_text(&d->slice, ref->name);
    more->pod_namespace = slice_builder_text(&d->slice, ref->namespace);
}

#define PARTS_MORE (PART_ENDPOINT_POD | PART_ENDPOINT_NODE | PART_ENDPOINT_HINTS)

/* One entry of the API becomes as many endpoints as it has addresses. */
static void decode_endpoint(struct decoder *d, const struct tree *t, uint8_t family)
{
    struct endpoint ep;
    struct endpoint_more more = { 0 };
    struct target_ref ref = { .kind = "" };
    bool writing = !(d->without & PART_WRITING);
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
        more.node = slice_builder_text(&d->slice, decode_text(d, t, "nodeName"));
    if (!(d->without & PART_ENDPOINT_POD) || writing)
        ref = decode_target_ref(d, t);
    decode_pod_of(d, &ref, &more);
    if (!(d->without & PART_ENDPOINT_HINTS))
        decode_hints(d, t, &ep, &more);
    for (const struct tree *c = addresses ? addresses->child : NULL; c; c = c->next) {
        ep.ip = decode_ip(d, c);
        if (ep.ip.family != family)
            decode_fail(d, c, NULL, "must be an %s address, as addressType says",
                        family == 4 ? "IPv4" : "IPv6");
        vec_push(&d->slice.endpoints, ep);
        if ((d->without & PARTS_MORE) != PARTS_MORE)
            vec_push(&d->slice.more, more);
        if (writing)
            vec_push(&d->slice.targets, slice_builder_target(&d->slice, &ref));
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

uint16_t decode_annotations(struct decoder *d, const struct tree *metadata,
                            const struct label **ret)
{
    const struct tree *map = decode_map(d, metadata, "annotations");
    struct label *all = arena_alloc(&d->arena, decode_count(map) * sizeof *all);
    const struct label *read;
    uint16_t n = decode_labels(d, map, NULL, NULL, &read), kept = 0;
    for (uint16_t i = 0; i < n; i++)
        if (strcmp(read[i].key, ANNOTATION_TRIGGER_TIME) != 0)
            all[kept++] = read[i];
    *ret = all;
    return kept;
}

static void decode_for_writers(struct decoder *d, const struct tree *metadata, struct slice *s)
{
    const struct tree *owners = decode_list(d, metadata, "ownerReferences", OWNERS_MAX);
    s->version = decode_text(d, metadata, "resourceVersion");
    s->n_annotations = decode_annotations(d, metadata, &s->annotations);
    for (const struct tree *c = owners ? owners->child : NULL; c; c = c->next)
        if (decode_bool(d, c, "controller", false)) {
            s->owner_kind = decode_text(d, c, "kind");
            s->owner_uid = decode_text(d, c, "uid");
        }
}

void decode_slice(struct decoder *d, struct slice *s)
{
    const struct tree *metadata = tree_get(d->root, "metadata");
    decode_meta(d, KIND_SLICE, &s->object.meta);
    const char *service = meta_label(&s->object.meta, LABEL_SERVICE_NAME);
    s->service = service ? service : "";
    s->trigger_time_ns =
        decode_time(d, decode_map(d, metadata, "annotations"), ANNOTATION_TRIGGER_TIME);
    s->family = decode_family(d);
    s->n_ports = decode_slice_ports(d, d->root, &s->ports);
    if (!(d->without & PART_WRITING))
        decode_for_writers(d, metadata, s);
    const struct tree *list = decode_list(d, d->root, "endpoints", ENDPOINTS_MAX);
    for (const struct tree *c = list ? list->child : NULL; c && s->family && !d->failed;
         c = c->next)
        decode_endpoint(d, c, s->family);
    if (!s->family)
        s->fqdn = decode_fqdn(d, list);
    slice_builder_finish(&d->slice, s);
}
