#include "world.h"

#include "dump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void on_warning(void *ctx, const char *text)
{
    struct world *w = ctx;
    strbuf_printf(&w->warnings, "%s\n", text);
}

static void on_dirty(void *ctx)
{
    struct world *w = ctx;
    w->n_dirty++;
}

void world_init(struct world *w)
{
    *w = (struct world){ .store = store_new() };
    w->model = model_new(
        w->store, &(struct model_options){
                      .node_name = "node1", .dirty = on_dirty, .warn = on_warning, .ctx = w });
    store_set_synced(w->store);
}

void world_done(struct world *w)
{
    model_free(w->model);
    store_free(w->store);
    strbuf_done(&w->warnings);
}

void world_apply(struct world *w, const char *yaml)
{
    struct objects o = { 0 };
    objects_read(&o, yaml, strlen(yaml), "test.yaml");
    if (o.errors.len)
        fail_msg("%s", o.errors.p);
    vec_each (it, &o.list) {
        const struct meta *m = &(*it)->meta;
        if (!meta_label(m, "delete")) {
            store_put(w->store, *it);
            continue;
        }
        store_delete(w->store, (*it)->kind, m->namespace, m->name);
        object_free(*it);
    }
    o.list.n = 0;
    objects_done(&o);
}

void world_service(struct world *w, const char *name, const char *ip)
{
    struct strbuf y = { 0 };
    strbuf_printf(&y,
                  "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: ns}\n"
                  "spec: {clusterIP: \"%s\", ports: [{name: p, port: 80}]}\n",
                  name, ip);
    world_apply(w, y.p);
    strbuf_done(&y);
}

void world_slice(struct world *w, const char *service, const char *numbers, const char *node)
{
    struct strbuf y = { 0 };
    strbuf_printf(&y,
                  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
                  "metadata: {name: %s-1, namespace: ns,"
                  " labels: {kubernetes.io/service-name: %s}}\n"
                  "ports: [{name: p, port: 8080}]\nendpoints:%s\n",
                  service, service, *numbers ? "" : " []");
    for (const char *p = numbers; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        strbuf_printf(&y, "- {addresses: [10.244.1.%d]", atoi(p));
        strbuf_printf(&y, node ? ", nodeName: %s}\n" : "}\n", node);
    }
    world_apply(w, y.p);
    strbuf_done(&y);
}
