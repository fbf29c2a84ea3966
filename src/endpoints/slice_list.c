#include "endpoints/slice_list.h"

#include "base/str.h"

bool slice_is_by(const struct slice *s, const char *manager)
{
    return str_eq(meta_label(&s->object.meta, LABEL_MANAGED_BY), manager);
}

static void collect(void *ctx, const struct object *o)
{
    struct slice_list *l = ctx;
    if (slice_is_by(slice_of(o), l->manager) && !o->meta.deleting)
        vec_push(&l->slices, slice_of(o));
}

void slice_list_read(const struct store *store, const char *ns, const char *service,
                     const char *manager, struct slice_list *ret)
{
    *ret = (struct slice_list){ .manager = manager };
    store_each_slice_of(store, ns, service, collect, ret);
}
