#include "registry/discovery.h"

#include "base/str.h"
#include "registry/negotiate.h"
#include "registry/proto_answer.h"

#include <string.h>
#include <sys/utsname.h>

static const struct {
    enum verb verb;
    const char *name;
} verbs[] = {
    { VERB_CREATE, "create" },
    { VERB_DELETE, "delete" },
    { VERB_DELETE_COLLECTION, "deletecollection" },
    { VERB_GET, "get" },
    { VERB_LIST, "list" },
    { VERB_PATCH, "patch" },
    { VERB_UPDATE, "update" },
    { VERB_WATCH, "watch" },
};

static json_t *verb_list(unsigned which)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (which & verbs[i].verb)
            json_array_append_new(list, json_string(verbs[i].name));
    return list;
}

static unsigned status_verbs(const struct resource *r)
{
    return r->verbs & (VERB_GET | VERB_UPDATE | VERB_PATCH);
}

static json_t *short_names(const struct resource *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(r->short_names) && r->short_names[i]; i++)
        json_array_append_new(list, json_string(r->short_names[i]));
    return list;
}

static json_t *category_list(const struct resource *r)
{
    json_t *list = json_array();
    if (r->category)
        json_array_append_new(list, json_string(r->category));
    return list;
}

/* ---- the old form ---- */

static json_t *old_resource(const struct resource *r, bool status)
{
    char name[96];
    json_t *o = json_object(), *list;
    (void)snprintf(name, sizeof name, status ? "%s/status" : "%s", r->name);
    json_object_set_new(o, "name", json_string(name));
    json_object_set_new(o, "singularName", json_string(status ? "" : r->singular));
    json_object_set_new(o, "namespaced", json_boolean(r->namespaced));
    json_object_set_new(o, "kind", json_string(r->kind));
    json_object_set_new(o, "verbs", verb_list(status ? status_verbs(r) : r->verbs));
    list = short_names(r);
    if (!status && json_array_size(list))
        json_object_set(o, "shortNames", list);
    json_decref(list);
    list = category_list(r);
    if (!status && json_array_size(list))
        json_object_set(o, "categories", list);
    json_decref(list);
    return o;
}

static json_t *old_resources(const char *group, const char *version)
{
    char api[96];
    json_t *list = json_array();
    for (size_t i = 0; i < n_resources; i++) {
        const struct resource *r = &resources[i];
        if (strcmp(r->group, group) != 0 || strcmp(r->version, version) != 0)
            continue;
        json_array_append_new(list, old_resource(r, false));
        if (r->has_status)
            json_array_append_new(list, old_resource(r, true));
    }
    (void)snprintf(api, sizeof api, *group ? "%s/%s" : "%s%s", group, version);
    return json_pack("{s:s, s:s, s:s, s:o}", "kind", "APIResourceList", "apiVersion", "v1",
                     "groupVersion", api, "resources", list);
}

/* All groups of ours have v1 alone. */
static json_t *old_group(const char *group)
{
    char api[96];
    (void)snprintf(api, sizeof api, "%s/v1", group);
    return json_pack("{s:s, s:[{s:s, s:s}], s:{s:s, s:s}}", "name", group, "versions",
                     "groupVersion", api, "version", "v1", "preferredVersion", "groupVersion", api,
                     "version", "v1");
}

static json_t *old_groups(void)
{
    size_t n;
    const char *const *groups = resource_groups(&n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (*groups[i])
            json_array_append_new(list, old_group(groups[i]));
    return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", list);
}

static json_t *old_core(void)
{
    return json_pack("{s:s, s:[s], s:[{s:s, s:s}]}", "kind", "APIVersions", "versions", "v1",
                     "serverAddressByClientCIDRs", "clientCIDR", "0.0.0.0/0", "serverAddress", "");
}

/* ---- the aggregated form ---- */

/* Without group and version: those that it stands in. */
static json_t *new_kind(const struct resource *r)
{
    return json_pack("{s:s, s:s, s:s}", "group", "", "version", "", "kind", r->kind);
}

static json_t *new_resource(const struct resource *r)
{
    json_t *o = json_object(), *list;
    json_object_set_new(o, "resource", json_string(r->name));
    json_object_set_new(o, "responseKind", new_kind(r));
    json_object_set_new(o, "scope", json_string(r->namespaced ? "Namespaced" : "Cluster"));
    json_object_set_new(o, "singularResource", json_string(r->singular));
    json_object_set_new(o, "verbs", verb_list(r->verbs));
    list = short_names(r);
    if (json_array_size(list))
        json_object_set(o, "shortNames", list);
    json_decref(list);
    list = category_list(r);
    if (json_array_size(list))
        json_object_set(o, "categories", list);
    json_decref(list);
    if (r->has_status)
        json_object_set_new(o, "subresources",
                            json_pack("[{s:s, s:o, s:o}]", "subresource", "status", "responseKind",
                                      new_kind(r), "verbs", verb_list(status_verbs(r))));
    return o;
}

static json_t *new_group(const char *group)
{
    json_t *list = json_array(), *meta = json_object();
    for (size_t i = 0; i < n_resources; i++)
        if (strcmp(resources[i].group, group) == 0)
            json_array_append_new(list, new_resource(&resources[i]));
    if (*group)
        json_object_set_new(meta, "name", json_string(group));
    return json_pack("{s:o, s:[{s:s, s:o, s:s}]}", "metadata", meta, "versions", "version", "v1",
                     "resources", list, "freshness", "Current");
}

static json_t *new_groups(bool core, const char *version)
{
    size_t n;
    char api[64];
    const char *const *groups = resource_groups(&n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if (!*groups[i] == core)
            json_array_append_new(list, new_group(groups[i]));
    (void)snprintf(api, sizeof api, "apidiscovery.k8s.io/%s", version);
    return json_pack("{s:s, s:s, s:{}, s:o}", "kind", "APIGroupDiscoveryList", "apiVersion", api,
                     "metadata", "items", list);
}

/* The version of the aggregated form that is asked for first; NULL: the old form. */
static const char *aggregated(const struct call *c)
{
    const char *accept = call_header(c, "accept");
    const char *as = accept ? strstr(accept, "as=APIGroupDiscoveryList") : NULL;
    if (!as)
        return NULL;
    const char *comma = strchr(accept, ',');
    if (comma && as > comma && !strstr(accept, "v=v2"))
        return NULL;
    return strstr(accept, "v=v2;") || strstr(accept, "v=v2,") || str_ends(accept, "v=v2")
               ? "v2"
               : "v2beta1";
}

/* ---- the door ---- */

/* A list is a message of its own there. */
static void wrap_verbs(json_t *doc)
{
    json_t *resource;
    size_t i;
    json_array_foreach(json_object_get(doc, "resources"), i, resource)
    {
        json_object_set_new(resource, "verbs",
                            json_pack("{s:O}", "items", json_object_get(resource, "verbs")));
    }
}

static void answer_old(struct call *c, json_t *doc)
{
    if (wish_read(call_header(c, "accept"), &c->wish, &c->fault) == 0 &&
        c->wish.view != VIEW_OBJECT)
        fault_set(&c->fault, 406, "NotAcceptable", "discovery has no tables and no metadata");
    if (c->fault.code) {
        json_decref(doc);
        call_fail(c);
        return;
    }
    if (c->wish.form == FORM_PROTO)
        wrap_verbs(doc);
    call_answer(c, 200, doc);
}

/* Of the media types of the aggregated form the first counts. */
static bool wants_proto(const struct call *c)
{
    const char *accept = call_header(c, "accept"), *at = strstr(accept, "as=APIGroupDiscoveryList");
    while (at > accept && at[-1] != ',')
        at--;
    at += strspn(at, " ");
    return str_starts(at, PROTO_MEDIA);
}

static void answer_groups(struct call *c, bool core)
{
    const char *version = aggregated(c);
    struct strbuf b = { 0 };
    if (!version) {
        answer_old(c, core ? old_core() : old_groups());
        return;
    }
    char type[160];
    bool proto = wants_proto(c);
    (void)snprintf(type, sizeof type, "%s;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList",
                   proto ? PROTO_MEDIA : "application/json", version);
    json_t *doc = new_groups(core, version);
    cleanup_free char *text = proto ? NULL : json_dumps(doc, JSON_COMPACT);
    if (proto)
        (void)proto_document_put(doc, &b);
    else
        strbuf_puts(&b, text);
    json_decref(doc);
    call_answer_text(c, 200, arena_strdup(&c->arena, type), &b);
}

static void answer_version(struct call *c)
{
    struct utsname u = { 0 };
    (void)uname(&u);
    call_answer(c, 200,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "major", VERSION_MAJOR,
                          "minor", VERSION_MINOR, "gitVersion",
                          VERSION_GIT "+signpost-" SIGNPOST_VERSION, "gitCommit", "",
                          "gitTreeState", "clean", "buildDate", "1970-01-01T00:00:00Z", "goVersion",
                          "none", "compiler", "cc", "platform",
                          strcmp(u.machine, "aarch64") == 0 ? "linux/arm64" : "linux/amd64"));
}

static bool known(const char *group, const char *version)
{
    for (size_t i = 0; i < n_resources; i++)
        if (strcmp(resources[i].group, group) == 0 &&
            (!version || strcmp(resources[i].version, version) == 0))
            return true;
    return false;
}

static json_t *group_doc(const char *group)
{
    json_t *o = json_pack("{s:s, s:s}", "kind", "APIGroup", "apiVersion", "v1"),
           *g = old_group(group);
    json_object_update(o, g);
    json_decref(g);
    return o;
}

bool discovery_answer(struct call *c)
{
    char **p = c->request.parts;
    unsigned n = c->request.n_parts;
    bool core = n && strcmp(p[0], "api") == 0, groups = n && strcmp(p[0], "apis") == 0;
    if (n == 1 && strcmp(p[0], "version") == 0)
        answer_version(c);
    else if (n == 1 && (core || groups))
        answer_groups(c, core);
    else if (n == 2 && core && known("", p[1]))
        answer_old(c, old_resources("", p[1]));
    else if (n == 2 && groups && *p[1] && known(p[1], NULL))
        answer_old(c, group_doc(p[1]));
    else if (n == 3 && groups && known(p[1], p[2]))
        answer_old(c, old_resources(p[1], p[2]));
    else
        return false;
    return true;
}
