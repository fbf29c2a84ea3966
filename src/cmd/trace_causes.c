#include "cmd/trace_causes.h"

#include "base/log.h"
#include "base/str.h"
#include "cmd/explain_lab.h"
#include "explain/outcome_causes.h"

#include <string.h>

static void keep(struct trace_causes *c, const struct explain_cause *from)
{
    vec_push(&c->items, (struct journey_cause){
                            .code = arena_strdup(&c->arena, from->code),
                            .text = arena_strdup(&c->arena, from->text),
                            .change = from->change ? arena_strdup(&c->arena, from->change) : NULL,
                        });
}

static bool was_seen(const struct trace_causes *c, const char *code)
{
    vec_each (i, &c->items)
        if (i->seen && strcmp(i->code, code) == 0)
            return true;
    return false;
}

/* ---- a name that the objects have, and the name server not ---- */

static bool was_denied(const struct sightings *s, const char *name)
{
    size_t n = strlen(name) - str_ends(name, ".");
    for (size_t i = 0; i < s->dns.n_denied; i++)
        if (strlen(s->dns.denied[i]) == n + 1 && strncasecmp(s->dns.denied[i], name, n) == 0)
            return true;
    return false;
}

static bool has_note(const struct explain_report *r, const char *code)
{
    vec_each (n, &r->notes)
        if (strcmp(n->code, code) == 0)
            return true;
    return false;
}

static void find_denial(struct trace_causes *c, const struct explain_report *r)
{
    if (outcome_of(c->seen) != OUTCOME_NAME_UNKNOWN || r->lookup.won < 0)
        return;
    const char *name = r->lookup.candidates.items[r->lookup.won].name;
    if (!was_denied(c->seen, name) ||
        r->lookup.candidates.items[r->lookup.won].answer.kind != ANSWER_ADDRESSES)
        return;
    bool cached = has_note(r, "cached-nxdomain");
    keep(c,
         &(struct explain_cause){
             .code = cached ? "cached-nxdomain" : "name-server-disagrees",
             .text = arena_printf(&c->arena,
                                  "the name server says that %s does not exist, but by the objects "
                                  "it does: %s",
                                  name,
                                  cached ? "its word is from before, and it is kept in a cache"
                                         : "it does not serve this cluster's names, or not yet"),
             .change = cached ? NULL
                              : "see whether its kubernetes plugin is ready, or whether "
                                "the pod should ask another one" });
}

/* ---- */

/* Notes of the objects' that say why it may not go well are told, too; of a request that did come
 * through only those that the packets speak of as well. */
static void take_causes(void *ctx, const struct explain_report *report)
{
    struct trace_causes *c = ctx;
    bool failed = outcome_of(c->seen) != OUTCOME_ANSWERED;
    if (failed) {
        find_denial(c, report);
        vec_each (cause, &report->causes)
            keep(c, cause);
    }
    vec_each (note, &report->notes)
        if (note->doubt && (failed ? report->causes.n == 0 : was_seen(c, note->code)))
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

static int ask_lab(struct trace_causes *c, const struct trace_causes_of *of, const char *to,
                   struct explain_options *options, struct err *e)
{
    struct explain_lab lab;
    int rc = explain_lab_open(&lab, of->dir, of->from, options, e);
    if (rc < 0)
        return rc;
    rc = explain_run(options, of->from, to, take_causes, c, e);
    explain_lab_close(&lab);
    return rc;
}

static void ask_objects(struct trace_causes *c, const struct trace_causes_of *of)
{
    struct explain_options options;
    struct err e;
    const char *to = of->to;
    explain_options_defaults(&options);
    if (of->as)
        options.as = of->as;
    options.protocol = of->protocol;
    if (!strchr(to, ':'))
        to = arena_printf(&c->arena, "%s:80", to); /* as curl does */
    if (of->objects)
        options.objects = *of->objects;
    options.objects.follow = false;
    int rc = of->dir ? ask_lab(c, of, to, &options, &e)
                     : explain_run(&options, of->from, to, take_causes, c, &e);
    if (rc < 0)
        log_debug("trace: the objects say nothing: %s", e.text);
}

void trace_causes_find(struct trace_causes *c, const struct sightings *s,
                       const struct trace_causes_of *of)
{
    struct journey_cause seen[OUTCOME_CAUSES_MAX];
    size_t n = outcome_causes(s, &c->arena, seen);
    for (size_t i = 0; i < n; i++)
        vec_push(&c->items, seen[i]);
    c->seen = s;
    if ((of->dir || of->objects) && (n || outcome_of(s) != OUTCOME_ANSWERED))
        ask_objects(c, of);
}
