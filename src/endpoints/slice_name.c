#include "endpoints/slice_name.h"

#include "base/hash.h"

#include <string.h>

static const char *make(struct arena *a, const struct meta *of, unsigned counter)
{
    const char *seed = arena_printf(a, "%s/%s/%u", of->namespace, of->name, counter);
    unsigned h = (unsigned)(hash_stable(seed, strlen(seed)) >> 20) & 0xfffff;
    return arena_printf(a, "%s-%05x", of->name, h);
}

static bool is_in_use(const struct slice_names *used, const char *name)
{
    for (size_t i = 0; i < used->n_existing; i++)
        if (strcmp(used->existing[i]->object.meta.name, name) == 0)
            return true;
    for (size_t i = 0; i < used->n_puts; i++)
        if (strcmp(used->puts[i]->meta.name, name) == 0)
            return true;
    return used->taken && used->taken(used->ctx, name);
}

const char *slice_name(struct arena *a, const struct meta *of, const struct slice_names *used,
                       unsigned *counter)
{
    const char *name;
    do
        name = make(a, of, (*counter)++);
    while (is_in_use(used, name));
    return name;
}

int slice_name_order(const void *a, const void *b)
{
    const struct slice *x = *(const struct slice *const *)a, *y = *(const struct slice *const *)b;
    return strcmp(x->object.meta.name, y->object.meta.name);
}
