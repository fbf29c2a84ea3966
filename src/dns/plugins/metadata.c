/* `metadata [ZONES...]`: lets the block's plugins tell each other about a query. */
#include "dns/plugins/metadata.h"

#include <string.h>

struct provider {
    const char *prefix;
    size_t n;
    metadata_fn *fn;
    const void *conf;
    struct provider *next;
};

struct metadata {
    struct arena *arena;
    struct zone_set *zones;
    struct provider *first, **last;
};

struct metadata *metadata_of(struct setup *s)
{
    return offers_find(setup_offers(s), "metadata");
}

void metadata_provide(struct metadata *m, const char *prefix, metadata_fn *fn, const void *conf)
{
    if (!m)
        return;
    struct provider *p = arena_alloc(m->arena, sizeof *p);
    *p = (struct provider){ prefix, strlen(prefix), fn, conf, NULL };
    *m->last = p;
    m->last = &p->next;
}

const char *metadata_value(const struct metadata *m, struct query *q, const char *label)
{
    if (!m || !zone_set_covers(m->zones, query_asked(q)))
        return NULL;
    for (const struct provider *p = m->first; p; p = p->next) {
        if (strncmp(label, p->prefix, p->n) != 0)
            continue;
        const char *value = p->fn(q, p->conf, label + p->n);
        if (value)
            return value;
    }
    return NULL;
}

static int metadata_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct metadata *m = arena_zalloc(setup_arena(s), sizeof *m);
    struct zone_list zones = { 0 };
    m->arena = setup_arena(s);
    m->last = &m->first;
    dispenser_next_directive(d);
    while (dispenser_next_arg(d)) {
        int ret = zone_expand(dispenser_val(d), m->arena, &zones, e);
        if (ret < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (zones.n == 0)
        zones = setup_zones(s);
    m->zones = zone_set_new(m->arena, &zones);
    offers_add(setup_offers(s), "metadata", m);
    return dispenser_end(d, e);
}

const struct plugin plugin_metadata = { .name = "metadata", .setup = metadata_setup };
