#include "cmd/explain_corefile.h"

#include "base/log.h"
#include "base/str.h"
#include "lab/manifest.h"
#include "source/api_client.h"

#include <string.h>

#define USUAL_NAME "coredns"
#define TOTAL_MS   15000
#define MAPS_MAX   500 /* of the namespace; others are not looked at */

/* ---- among manifests ---- */

static const char *volume_of(const struct manifest *pod)
{
    json_t *volume;
    size_t i;
    json_array_foreach(json_at(pod->json, "spec.volumes"), i, volume)
    {
        const char *name = json_text(volume, "configMap.name");
        if (name)
            return name;
    }
    return NULL;
}

static bool is_selected(const struct manifest *pod, json_t *selector)
{
    json_t *labels = json_at(pod->json, "metadata.labels"), *value;
    const char *key;
    json_object_foreach(selector, key,
                        value) if (!json_equal(json_object_get(labels, key), value)) return false;
    return json_object_size(selector) > 0;
}

/* The ConfigMap that a pod of the Service has as a volume. */
static const struct manifest *map_of_pods(const struct manifests *all, const char *ns,
                                          const char *service)
{
    const struct manifest *s = manifests_find(all, "Service", ns, service), *map;
    json_t *selector = s ? json_at(s->json, "spec.selector") : NULL;
    vec_each (m, &all->items) {
        if (!str_eq(m->kind, "Pod") || !str_eq(m->namespace, ns) || !is_selected(m, selector))
            continue;
        const char *name = volume_of(m);
        if (name && (map = manifests_find(all, "ConfigMap", ns, name)))
            return map;
    }
    return NULL;
}

static const struct manifest *only_map(const struct manifests *all, const char *ns)
{
    const struct manifest *found = manifests_find(all, "ConfigMap", ns, USUAL_NAME);
    if (found && json_text(json_at(found->json, "data"), "Corefile"))
        return found;
    found = NULL;
    vec_each (m, &all->items) {
        if (!str_eq(m->kind, "ConfigMap") || !str_eq(m->namespace, ns) ||
            !json_text(json_at(m->json, "data"), "Corefile"))
            continue;
        if (found)
            return NULL; /* which one it is, nothing says */
        found = m;
    }
    return found;
}

const char *explain_find_corefile(void *ctx, const char *ns, const char *service, struct arena *a,
                                  const char **ret_name)
{
    const struct flag_list *folders = ctx;
    const char *text = NULL;
    for (size_t i = 0; ns && i < folders->n && !text; i++) {
        struct manifests all, nothing = { 0 };
        struct err e;
        if (manifests_read(folders->items[i], &nothing, &all, &e) < 0)
            continue;
        const struct manifest *m = map_of_pods(&all, ns, service);
        m = m ? m : only_map(&all, ns);
        const char *found = m ? json_text(json_at(m->json, "data"), "Corefile") : NULL;
        if (found) {
            text = arena_strdup(a, found);
            *ret_name = arena_printf(a, "Corefile of ConfigMap %s/%s", m->namespace, m->name);
        }
        manifests_done(&all);
    }
    return text;
}

/* ---- of an API server ---- */

struct fetch {
    struct arena *arena;
    const char *ns;
    const struct tree *list; /* or NULL */
    bool done;
};

static void on_end(void *ctx, const struct http_result *r)
{
    struct fetch *f = ctx;
    char text[API_STATUS_TEXT];
    f->done = true;
    if (r->error || r->status != 200) {
        log_debug("explain: no ConfigMaps of %s: %s", f->ns,
                  r->error ? r->text : api_status_text(r, r->body, r->len, text));
        return;
    }
    const char *body = arena_memdup(f->arena, r->body, r->len);
    f->list = api_reply_tree(body, r->len, "ConfigMapList", f->arena);
}

/* The usual one, or the only one that has one. */
static const struct tree *choose(const struct tree *list)
{
    const struct tree *items = tree_get(list, "items"), *found = NULL;
    unsigned n = 0;
    for (const struct tree *t = items ? items->child : NULL; t; t = t->next) {
        if (!tree_str(t, "data.Corefile"))
            continue;
        if (str_eq(tree_str(t, "metadata.name"), USUAL_NAME))
            return t;
        found = t;
        n++;
    }
    return n == 1 ? found : NULL;
}

const char *explain_fetch_corefile(void *ctx, const char *ns, const char *service, struct arena *a,
                                   const char **ret_name)
{
    struct explain_objects *x = ctx;
    struct fetch f = { .arena = a, .ns = ns };
    struct http_call *call;
    struct err e;
    (void)service;
    if (!ns)
        return NULL;
    struct api_request request = {
        .path = arena_printf(a, "/api/v1/namespaces/%s/configmaps?limit=%d", ns, MAPS_MAX),
        .total_ms = TOTAL_MS,
        .end = on_end,
        .ctx = &f
    };
    if (api_client_send(cluster_client(x->cluster), &request, &call, &e) < 0)
        return NULL;
    while (!f.done)
        uv_run(x->loop, UV_RUN_ONCE);
    const struct tree *map = choose(f.list);
    if (!map)
        return NULL;
    *ret_name = arena_printf(a, "Corefile of ConfigMap %s/%s", ns, tree_str(map, "metadata.name"));
    return tree_str(map, "data.Corefile");
}
