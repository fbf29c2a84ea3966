#include "registry/bootstrap.h"

#include "registry/allocate.h"
#include "registry/defaults.h"
#include "registry/meta.h"
#include "registry/shape.h"

#include <string.h>

/* Makes an object unless there is one of its name; takes over the document. */
static int ensure(struct registry *r, const struct resource *of, const char *namespace, json_t *doc,
                  struct err *e)
{
    struct fault f = { 0 };
    struct write w = { .registry = r, .resource = of, .sub = "", .doc = doc };
    json_t *shaped;
    int code = 0;
    if (!registry_find(r, of, namespace, meta_name(doc))) {
        meta_fill_new(of, doc, namespace);
        defaults_fill(resource_type(of), doc);
        if (of->fill)
            of->fill(&w);
        if (of->prepare)
            of->prepare(&w);
        code = of->take ? of->take(&w, &f) : 0;
        if (code == 0)
            code = shape_object(of, w.doc, NULL, &shaped, &f);
        if (code == 0)
            registry_put(r, of, shaped);
        else
            code = err_set(e, ERR_INVALID, "%s %s/%s: %s", of->kind, namespace, meta_name(w.doc),
                           f.message);
    }
    json_decref(w.doc);
    fault_done(&f);
    return code;
}

static int ensure_service(struct registry *r, struct err *e)
{
    char ip[IP_TEXT_MAX];
    allocator_first(registry_allocator(r), ip);
    return ensure(
        r, resource_find("", "v1", "services"), "default",
        json_pack("{s:{s:s, s:{s:s, s:s}}, s:{s:s, s:s, s:[s], s:[{s:s, s:i, s:s, s:i}]}}",
                  "metadata", "name", "kubernetes", "labels", "component", "apiserver", "provider",
                  "kubernetes", "spec", "type", "ClusterIP", "clusterIP", ip, "clusterIPs", ip,
                  "ports", "name", "https", "port", 443, "protocol", "TCP", "targetPort", 6443),
        e);
}

static int ensure_endpoints(struct registry *r, const struct ip *ip, uint16_t port, struct err *e)
{
    char text[IP_TEXT_MAX];
    (void)ip_text(ip, text);
    int code =
        ensure(r, resource_find("", "v1", "endpoints"), "default",
               json_pack("{s:{s:s, s:{s:s}}, s:[{s:[{s:s}], s:[{s:s, s:i, s:s}]}]}", "metadata",
                         "name", "kubernetes", "labels", "endpointslice.kubernetes.io/skip-mirror",
                         "true", "subsets", "addresses", "ip", text, "ports", "name", "https",
                         "port", port, "protocol", "TCP"),
               e);
    if (code < 0)
        return code;
    return ensure(r, resource_find("discovery.k8s.io", "v1", "endpointslices"), "default",
                  json_pack("{s:{s:s, s:{s:s}}, s:s, s:[{s:[s], s:{s:b}}], s:[{s:s, s:i, s:s}]}",
                            "metadata", "name", "kubernetes", "labels",
                            "kubernetes.io/service-name", "kubernetes", "addressType",
                            ip->family == 6 ? "IPv6" : "IPv4", "endpoints", "addresses", text,
                            "conditions", "ready", 1, "ports", "name", "https", "port", port,
                            "protocol", "TCP"),
                  e);
}

int bootstrap(struct registry *r, const struct ip *ip, uint16_t port, struct err *e)
{
    static const char *const names[] = { "default", "kube-system", "kube-public",
                                         "kube-node-lease" };
    int code = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names) && code == 0; i++)
        code = ensure(r, resource_find("", "v1", "namespaces"), "",
                      json_pack("{s:{s:s}}", "metadata", "name", names[i]), e);
    if (code == 0)
        code = ensure_service(r, e);
    if (code == 0 && ip->family && !ip_is_loopback(ip))
        code = ensure_endpoints(r, ip, port, e);
    if (code == 0)
        registry_commit(r);
    return code;
}
