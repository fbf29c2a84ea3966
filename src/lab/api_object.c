#include "lab/api_object.h"

#define RBAC "/apis/rbac.authorization.k8s.io/v1"

static const struct resource {
    const char *kind, *root, *plural;
    bool cluster, status;
    unsigned rank;
} resources[] = {
    { "Namespace", "/api/v1", "namespaces", true, true, 0 },
    { "Node", "/api/v1", "nodes", true, true, 1 },
    { "ServiceAccount", "/api/v1", "serviceaccounts", false, false, 2 },
    { "ClusterRole", RBAC, "clusterroles", true, false, 2 },
    { "ClusterRoleBinding", RBAC, "clusterrolebindings", true, false, 3 },
    { "Role", RBAC, "roles", false, false, 2 },
    { "RoleBinding", RBAC, "rolebindings", false, false, 3 },
    { "ConfigMap", "/api/v1", "configmaps", false, false, 3 },
    { "Service", "/api/v1", "services", false, true, 4 },
    { "EndpointSlice", "/apis/discovery.k8s.io/v1", "endpointslices", false, false, 5 },
    { "Pod", "/api/v1", "pods", false, true, 6 },
};

static const struct resource *find_resource(const char *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        if (str_eq(resources[i].kind, kind))
            return &resources[i];
    }
    return NULL;
}

bool api_object_path(const char *kind, const char *namespace, struct strbuf *out)
{
    const struct resource *r = find_resource(kind);
    if (!r)
        return false;
    strbuf_puts(out, r->root);
    if (!r->cluster)
        strbuf_printf(out, "/namespaces/%s", namespace);
    strbuf_printf(out, "/%s", r->plural);
    return true;
}

unsigned api_object_rank(const char *kind)
{
    const struct resource *r = find_resource(kind);
    return r ? r->rank : ARRAY_SIZE(resources);
}

bool api_object_has_status(const char *kind)
{
    const struct resource *r = find_resource(kind);
    return r && r->status;
}

/* An API server wants an image for every container; the lab needs none where there is a command. */
static void name_images(json_t *pod)
{
    json_t *spec = json_object_get(pod, "spec"), *box;
    size_t i;
    json_array_foreach(json_object_get(spec, "containers"), i, box)
    {
        json_t *program = json_array_get(json_object_get(box, "command"), 0);
        if (!json_object_get(box, "image") && json_is_string(program))
            json_object_set(box, "image", program);
    }
}

json_t *api_object_body(json_t *object)
{
    static const char *const of_the_server[] = {
        "uid",        "deletionTimestamp", "creationTimestamp", "resourceVersion",
        "generation", "managedFields"
    };
    json_t *body = json_deep_copy(object), *meta = json_object_get(body, "metadata");
    json_object_del(body, "status");
    name_images(body);
    for (size_t i = 0; i < ARRAY_SIZE(of_the_server); i++)
        json_object_del(meta, of_the_server[i]);
    return body;
}

json_t *api_object_patch(json_t *before, json_t *after)
{
    const char *key;
    json_t *value;
    if (json_equal(before, after))
        return NULL;
    if (!json_is_object(before) || !json_is_object(after))
        return json_incref(after);
    json_t *patch = json_object();
    json_object_foreach(before, key, value)
    {
        if (!json_object_get(after, key))
            json_object_set_new(patch, key, json_null());
    }
    json_object_foreach(after, key, value)
    {
        json_t *old = json_object_get(before, key), *part = NULL;
        if (!old)
            part = json_incref(value);
        else
            part = api_object_patch(old, value);
        if (part)
            json_object_set_new(patch, key, part);
    }
    return patch;
}
