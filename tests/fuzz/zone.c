/* A zone file is read, and every name that it holds is found again. */
#include "dns/zone_data.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct zone_data *z)
{
    for (size_t i = 0; i < z->n_nodes; i++) {
        const struct zone_node *n = &z->nodes[i];
        if (zone_find(z, n->wire, n->len) != n)
            abort();
        const struct zone_node *before = zone_before(z, n->wire);
        if (before && name_compare(before->wire, n->wire) >= 0)
            abort();
        for (uint32_t k = 0; k < n->n; k++)
            if (!n->sets[k].rr.count || n->sets[k].rr.owner != n->wire)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t origin[] = "\007example\004test";
    struct zone_builder *b = zone_builder_new(origin);
    struct zone_sink sink = { .record = zone_builder_add, .ctx = b, .no_include = true };
    struct zone_data *z = NULL;
    struct err e = { 0 };
    if (zone_text_parse(&sink, "fuzz.db", (const char *)data, size, origin, &e) < 0)
        zone_builder_free(b);
    else if (zone_builder_end(b, &z, &e) == 0)
        check(z);
    zone_data_free(z);
    zone_sink_done(&sink);
    return 0;
}
