/* Any text as a folder of manifests: decoders, addresses, planner and store together. */
#include "endpoints/planner.h"
#include "config/tree.h"
#include "endpoints/cluster_ip.h"
#include "kube/decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bed {
    struct store *store;
    struct cluster_ip_allocator *addresses;
};

static void take(void *ctx, struct object *o)
{
    struct bed *b = ctx;
    struct object *copy = object_copy(o);
    if (!object_equal(o, copy))
        abort();
    object_free(copy);
    if (o->kind == KIND_SERVICE)
        cluster_ip_put(b->addresses, o);
    else
        store_put(b->store, o);
}

static void refuse(void *ctx, const struct err *e)
{
    (void)ctx;
    if (!e->code || !e->text[0])
        abort();
}

static void open_bed(struct bed *b)
{
    static const char *const texts[] = { "10.96.0.0/28", "fd00::/120" };
    struct ip_prefix ranges[2];
    for (unsigned i = 0; i < 2; i++)
        if (ip_prefix_parse(texts[i], &ranges[i]) < 0)
            abort();
    b->store = store_new();
    b->addresses = cluster_ip_new(b->store, ranges, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct tree_doc doc;
    struct bed b;
    arena_init(&arena, 65536);
    if (tree_parse((const char *)data, size, "m.yaml", &arena, &doc, NULL) == 0) {
        open_bed(&b);
        struct planner *planner = planner_new(b.store);
        for (size_t i = 0; i < doc.n; i++) {
            /* The first half is the first full list, the rest are changes. */
            if (i == doc.n / 2) {
                cluster_ip_synced(b.addresses);
                store_set_synced(b.store);
            }
            (void)object_decode_each(doc.documents[i], "m.yaml", 0, take, refuse, &b);
        }
        planner_free(planner);
        cluster_ip_free(b.addresses);
        store_free(b.store);
    }
    arena_done(&arena);
    return 0;
}
