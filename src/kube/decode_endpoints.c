/* v1 Endpoints. */
#include "kube/endpoints.h"

#include "base/str.h"
#include "kube/check.h"
#include "kube/decoder.h"

#include <string.h>

#define SUBSETS_MAX   65535
#define ADDRESSES_MAX 100000 /* of one subset; an object of etcd has room for fewer */

const char *endpoints_annotation(const struct endpoints *e, const char *key)
{
    for (uint16_t i = 0; i < e->n_annotations; i++)
        if (strcmp(e->annotations[i].key, key) == 0)
            return e->annotations[i].value;
    return NULL;
}

static const char *text_or_empty(struct decoder *d, const struct tree *t, const char *key)
{
    const char *text = decode_text(d, t, key);
    return text ? text : "";
}

struct target_ref decode_target_ref(struct decoder *d, const struct tree *t)
{
    const struct tree *ref = decode_map(d, t, "targetRef");
    struct target_ref r = { .kind = text_or_empty(d, ref, "kind"),
                            .namespace = text_or_empty(d, ref, "namespace"),
                            .name = text_or_empty(d, ref, "name"),
                            .uid = "",
                            .api_version = "",
                            .field_path = "",
                            .version = "" };
    if (d->without & PART_WRITING)
        return r;
    r.uid = text_or_empty(d, ref, "uid");
    r.api_version = text_or_empty(d, ref, "apiVersion");
    r.field_path = text_or_empty(d, ref, "fieldPath");
    r.version = text_or_empty(d, ref, "resourceVersion");
    return r;
}

/* An API server may have old objects with addresses that it would refuse today; they are none. */
static struct ip decode_address_ip(struct decoder *d, const struct tree *t)
{
    const struct tree *ip = tree_get(t, "ip");
    struct ip none = { 0 };
    if (ip && ip->kind == TREE_SCALAR && !ip->line && ip_parse_sloppy(ip->text, &none) < 0)
        return (struct ip){ 0 };
    if (ip)
        return decode_ip(d, ip);
    decode_fail(d, t, "ip", "is missing");
    return none;
}

static uint32_t decode_addresses(struct decoder *d, const struct tree *subset, const char *key,
                                 const struct endpoints_address **ret)
{
    const struct tree *list = decode_list(d, subset, key, ADDRESSES_MAX);
    struct endpoints_address *all = arena_alloc(&d->arena, decode_count(list) * sizeof *all);
    uint32_t n = 0;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const char *hostname = decode_checked(d, c, "hostname", check_dns_label);
        struct endpoints_address *a = &all[n++];
        memset(a, 0, sizeof *a);
        a->ip = decode_address_ip(d, c);
        a->hostname = hostname ? hostname : "";
        a->node = text_or_empty(d, c, "nodeName");
        a->target = decode_target_ref(d, c);
    }
    *ret = all;
    return n;
}

static void decode_subset(struct decoder *d, const struct tree *t, struct endpoints_subset *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->n_addresses = decode_addresses(d, t, "addresses", &ret->addresses);
    ret->n_not_ready = decode_addresses(d, t, "notReadyAddresses", &ret->not_ready);
    ret->n_ports = decode_slice_ports(d, t, &ret->ports);
    for (uint16_t i = 0; i < ret->n_ports; i++)
        if (ret->ports[i].port <= 0)
            decode_fail(d, t, "ports", "a port without a number");
}

void decode_endpoints(struct decoder *d, struct endpoints *e)
{
    const struct tree *metadata = tree_get(d->root, "metadata");
    decode_meta(d, KIND_ENDPOINTS, &e->object.meta);
    e->trigger_time_ns =
        decode_time(d, decode_map(d, metadata, "annotations"), ANNOTATION_TRIGGER_TIME);
    e->n_annotations = decode_annotations(d, metadata, &e->annotations);
    if (!(d->without & PART_WRITING))
        e->version = decode_text(d, metadata, "resourceVersion");
    const struct tree *list = decode_list(d, d->root, "subsets", SUBSETS_MAX);
    struct endpoints_subset *subsets = arena_alloc(&d->arena, decode_count(list) * sizeof *subsets);
    e->subsets = subsets;
    for (const struct tree *c = list ? list->child : NULL; c && !d->failed; c = c->next)
        decode_subset(d, c, &subsets[e->n_subsets++]);
}
