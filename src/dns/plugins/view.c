/* `view NAME { expr EXPRESSION }`: the block is only for queries for which all expressions are
 * true. */
#include "dns/plugins/view.h"

#include <string.h>

#define VIEW_EXPRESSIONS_MAX 64 /* of a block */

struct view {
    const struct view_node *all[VIEW_EXPRESSIONS_MAX];
    unsigned n;
    struct setup *setup; /* during set-up only */
};

static bool view_fits(struct query *q, const void *conf)
{
    const struct view *v = conf;
    for (unsigned i = 0; i < v->n; i++)
        if (!view_eval(v->all[i], q).number)
            return false;
    return true;
}

static void keep_regex(void *ctx, struct regex *re)
{
    const struct view *v = ctx;
    setup_stop(v->setup, regex_free, re);
}

/* Metadata "view/name". */
static const char *view_label(struct query *q, const void *conf, const char *name)
{
    (void)conf;
    return strcmp(name, "name") == 0 ? q->route->view : NULL;
}

static int read_expression(struct view *v, struct dispenser *d, struct err *e)
{
    struct view_compiler c = { .arena = setup_arena(v->setup),
                               .metadata = metadata_of(v->setup),
                               .keep = keep_regex,
                               .ctx = v };
    const char **args;
    size_t n = dispenser_rest(d, c.arena, &args);
    const char *text = n ? args[0] : "";
    struct err why;
    if (n == 0)
        return dispenser_arg_err(d, e);
    if (v->n == VIEW_EXPRESSIONS_MAX)
        return dispenser_err(d, e, "more than %d expressions", VIEW_EXPRESSIONS_MAX);
    for (size_t i = 1; i < n; i++)
        text = arena_printf(c.arena, "%s %s", text, args[i]);
    if (view_compile(&c, text, &v->all[v->n], &why) < 0)
        return dispenser_err(d, e, "%s", why.text);
    v->n++;
    return dispenser_end(d, e);
}

static int view_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct view *v = arena_zalloc(setup_arena(s), sizeof *v);
    int ret = 0;
    dispenser_next_directive(d);
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    const char *name = dispenser_val(d);
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    v->setup = s;
    while (ret == 0 && dispenser_next_block(d))
        ret = strcmp(dispenser_val(d), "expr") == 0 ? read_expression(v, d, e)
                                                    : dispenser_unknown(d, e);
    v->setup = NULL;
    if (ret < 0)
        return ret;
    setup_view(s, name, view_fits, v);
    metadata_provide(metadata_of(s), "view/", view_label, v);
    return 0;
}

const struct plugin plugin_view = { .name = "view", .setup = view_setup };
