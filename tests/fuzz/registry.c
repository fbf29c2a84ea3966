/* Any bytes as a request to a registry: "METHOD TARGET", a line with the body's type, the body.
 * What is refused says why; what is kept can be read back, is in its type's shape, and comes out
 * the same when it is written again. */
#include "registry/registry.h"
#include "registry/bootstrap.h"
#include "registry/call.h"
#include "registry/shape.h"

#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX 500 /* of one registry; then a new one is made */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct registry *registry;
static unsigned asked;

static void renew(void)
{
    struct err e = { 0 };
    const struct registry_options o = { .loop = &loop,
                                        .path = ":memory:",
                                        .cluster_ip_range = "10.96.0.0/24,fd00::/120",
                                        .node_port_min = 30000,
                                        .node_port_max = 30100,
                                        .events_max = 64 };
    if (!registry)
        uv_loop_init(&loop);
    registry_close(registry);
    uv_run(&loop, UV_RUN_NOWAIT);
    if (registry_open(&o, &registry, &e) < 0 ||
        bootstrap(registry, &(struct ip){ 0 }, 6443, &e) < 0)
        abort();
}

/* The next line, cut off. */
static char *line_of(char **rest)
{
    char *line = strsep(rest, "\n");
    static char nothing[1];
    return line ? line : nothing;
}

static void check_item(const struct item *i)
{
    struct fault f = { 0 };
    json_t *doc = item_doc(i), *again;
    if (!doc || shape_stored(i->resource, doc, &again, &f) < 0)
        abort();
    if (!json_equal(doc, again))
        abort();
    json_decref(doc);
    json_decref(again);
}

static void check_state(void)
{
    for (size_t k = 0; k < n_resources; k++) {
        struct item_list l;
        registry_list(registry, &resources[k], NULL, &l);
        for (size_t n = 0; n < l.n; n++) {
            check_item(l.items[n]);
            if (n && item_compare(l.items[n - 1], l.items[n]->namespace, l.items[n]->name) >= 0)
                abort();
        }
        item_list_done(&l);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (!registry || asked++ % REQUESTS_MAX == 0)
        renew();
    char *start = line_of(&rest), *type = rest ? line_of(&rest) : NULL;
    const char *method = strsep(&start, " ");
    struct call *c = call_inside(registry);
    c->given_type = type && *type ? type : NULL;
    c->given = rest ? rest : "";
    c->given_len = rest ? size - (size_t)(rest - text) : 0;
    int r = request_read(method, start ? start : "", &c->arena, &c->request, &c->fault);
    if (r == 0)
        r = call_route(c);
    if (r < 0) {
        if (c->fault.code < 400 || !c->fault.message)
            abort();
        call_free(c);
    }
    registry_commit(registry);
    if (asked % 16 == 0)
        check_state();
    free(text);
    return 0;
}
