#include "cmd/trace_causes.h"

#include "base/log.h"
#include "cmd/explain_run.h"
#include "lab/place.h"

#include <string.h>

static void keep(struct trace_causes *c, const struct explain_cause *from)
{
    vec_push(&c->items, (struct journey_cause){
                            .code = arena_strdup(&c->arena, from->code),
                            .text = arena_strdup(&c->arena, from->text),
                            .change = from->change ? arena_strdup(&c->arena, from->change) : NULL,
                        });
}

/* What is only to be noted is told as well: a request that should have come through did not. */
static void take_causes(void *ctx, const struct explain_report *report)
{
    struct trace_causes *c = ctx;
    vec_each (cause, &report->causes)
        keep(c, cause);
    if (!c->items.n)
        vec_each (note, &report->notes)
            keep(c, note);
}

void trace_causes_init(struct trace_causes *c)
{
    *c = (struct trace_causes){ .items = { 0 } };
    arena_init(&c->arena, 4096);
}

void trace_causes_done(struct trace_causes *c)
{
    vec_done(&c->items);
    arena_done(&c->arena);
}

void trace_causes_find(struct trace_causes *c, const char *dir, const char *from, const char *to)
{
    struct explain_options options;
    struct err e;
    char objects[PATH_MAX];
    const char *folders[] = { place_path(objects, dir, "objects") };
    explain_options_defaults(&options);
    if (!strchr(to, ':'))
        to = arena_printf(&c->arena, "%s:80", to); /* as curl does */
    options.objects.manifests = (struct flag_list){ .items = folders, .n = 1 };
    if (explain_run(&options, from, to, take_causes, c, &e) < 0)
        log_debug("trace: the objects say nothing: %s", e.text);
}
