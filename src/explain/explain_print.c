/* A report as a table for people. */
#include "base/str.h"
#include "base/table.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <string.h>

#define ROWS_SHOWN 20 /* endpoints, ways, addresses; how many more there are is said */

static void row(struct table *t, const char *step, enum table_tone tone, const char *what,
                const char *detail)
{
    table_cell(t, TABLE_STRONG, "%s", step);
    table_cell(t, tone, "%s", what);
    table_cell(t, tone == TABLE_DIM ? TABLE_DIM : TABLE_PLAIN, "%s", detail);
}

static void more(const struct explain_report *r, struct table *t, size_t n)
{
    if (n > ROWS_SHOWN)
        row(t, "", TABLE_DIM, "", arena_printf(r->arena, "... and %zu more", n - ROWS_SHOWN));
}

static void print_source(const struct explain_report *r, struct table *t)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    char text[IP_TEXT_MAX];
    const struct explain_source *s = &r->source;
    for (unsigned f = 0; f < 2; f++)
        if (s->ips[f].family)
            strbuf_printf(&b, "%s%s", b.len ? ", " : "", ip_text(&s->ips[f], text));
    if (s->node)
        strbuf_printf(&b, "%s%s %s", b.len ? " " : "", s->outside ? "arrives at" : "on",
                      s->node->object.meta.name);
    row(t, "source", TABLE_PLAIN, s->text, b.p ? b.p : "");
}

static void print_dns(const struct explain_report *r, struct table *t)
{
    vec_each (l, &r->dns)
        row(t, "", l->ok ? TABLE_PLAIN : TABLE_BAD, explain_port_text(r, &l->to, l->port),
            arena_printf(r->arena, "%s%s%s", l->target, l->ok ? "" : ": ",
                         l->ok ? "" : flow_end_text(l->flow.outcomes.items[0].end)));
}

static void print_lookup(const struct explain_report *r, struct table *t)
{
    const struct explain_lookup *l = &r->lookup;
    if (!l->done)
        return;
    if (l->from_files) {
        row(t, "look-up", TABLE_GOOD, "hosts file", l->from_files);
        return;
    }
    row(t, "look-up", TABLE_PLAIN, arena_printf(r->arena, "ndots:%u", l->ndots),
        l->conf.searches.n
            ? arena_printf(r->arena, "search %s", strlist_join(&l->conf.searches, r->arena, " "))
            : "no search list");
    print_dns(r, t);
    for (size_t i = 0; i < l->candidates.n; i++) {
        const struct explain_candidate *c = &l->candidates.items[i];
        row(t, "", c->outcome == WALK_FOUND ? TABLE_GOOD : TABLE_DIM, c->name,
            explain_answer_text(r, c));
    }
}

static void print_service(const struct explain_report *r, struct table *t)
{
    if (!r->service)
        return;
    const struct meta *m = &r->service->object.meta;
    row(t, "Service", TABLE_PLAIN, arena_printf(r->arena, "%s/%s", m->namespace, m->name),
        explain_service_text(r));
}

static void print_endpoints(const struct explain_report *r, struct table *t)
{
    for (size_t i = 0; i < MIN(r->endpoints.n, (size_t)ROWS_SHOWN); i++) {
        const struct explain_endpoint *p = &r->endpoints.items[i];
        row(t, i ? "" : "endpoints", p->in ? TABLE_GOOD : TABLE_WARN,
            arena_printf(r->arena, "%s %s", p->in ? "in " : "out",
                         explain_port_text(r, &p->ip, p->port)),
            arena_printf(r->arena, "%s%s%s%s%s", p->pod, *p->pod ? ", " : "", p->node,
                         *p->node ? ", " : "", p->why));
    }
    more(r, t, r->endpoints.n);
}

static void print_steps(const struct explain_report *r, const struct explain_leg *l,
                        const struct flow_outcome *o, struct table *t)
{
    const struct flow_step *const *steps;
    size_t n = flow_steps(o, r->arena, &steps);
    for (size_t i = 0; i < n; i++) {
        const struct flow_step *s = steps[i];
        if (!explain_step_matters(s))
            continue;
        row(t, "", TABLE_PLAIN, s->chain->name, s->rule->text);
        if (s->element)
            row(t, "", TABLE_PLAIN, "",
                arena_printf(r->arena, "  @%s { %s }", s->map->name, s->element));
    }
    (void)l;
}

static void print_outcome(const struct explain_report *r, const struct explain_leg *l,
                          const struct flow_outcome *o, const char *step, struct table *t)
{
    const char *why = explain_masquerade_text(r, o);
    const char *owner = explain_owner_text(r, &o->to);
    bool lost = o->end == FLOW_SENT && !l->ok; /* to an address that is nobody's */
    bool bad = lost || (o->end != FLOW_SENT && o->end != FLOW_HERE);
    row(t, step, bad ? TABLE_BAD : TABLE_GOOD,
        lost  ? "lost"
        : bad ? flow_end_text(o->end)
              : arena_printf(r->arena, "%.4g%% %s", o->share * 100,
                             explain_port_text(r, &o->to, o->to_port)),
        arena_printf(r->arena, "%s%s%s%s%s", bad ? "" : owner, !bad && *owner ? ", " : "",
                     bad             ? "no way from here"
                     : o->translated ? "DNAT"
                                     : "unchanged",
                     why   ? ", masqueraded: "
                     : bad ? ""
                           : ", not masqueraded",
                     why ? why : ""));
}

static void print_leg(const struct explain_report *r, const struct explain_leg *l, struct table *t)
{
    const struct flow *f = &l->flow;
    row(t, "rules", l->ok ? TABLE_PLAIN : TABLE_BAD, explain_port_text(r, &l->to, l->port),
        arena_printf(r->arena, "%s%s%s", l->target, *l->node ? ", on " : "", l->node));
    print_steps(r, l, &f->outcomes.items[0], t);
    for (size_t i = 0; i < MIN(f->outcomes.n, (size_t)ROWS_SHOWN); i++)
        print_outcome(r, l, &f->outcomes.items[i], i ? "" : "then", t);
    more(r, t, f->outcomes.n);
    if (l->ok && !l->next)
        row(t, "reply", TABLE_PLAIN, "", explain_reply_text(r, l, &f->outcomes.items[0]));
}

static void print_notes(const struct explain_report *r, struct table *t)
{
    vec_each (n, &r->notes) {
        row(t, "note", TABLE_WARN, n->code, n->text);
        if (n->change)
            row(t, "", TABLE_PLAIN, "", n->change);
    }
}

void explain_print(const struct explain_report *r, FILE *out)
{
    struct table t;
    table_init(&t, arena_printf(r->arena, "From %s to %s", r->source.text, r->request->to));
    table_column(&t, "", TABLE_LEFT);
    table_column(&t, "", TABLE_LEFT);
    table_column(&t, "", TABLE_LEFT);
    print_source(r, &t);
    print_lookup(r, &t);
    print_service(r, &t);
    print_endpoints(r, &t);
    for (size_t i = 0; i < MIN(r->legs.n, (size_t)ROWS_SHOWN); i++)
        print_leg(r, &r->legs.items[i], &t);
    more(r, &t, r->legs.n);
    print_notes(r, &t);
    table_print(&t, out);
    table_done(&t);
    (void)fputc('\n', out);
    tone_line(out, r->reachable ? TABLE_GOOD : TABLE_BAD, "%s.", r->verdict);
    vec_each (c, &r->causes)
        if (c->change)
            tone_line(out, TABLE_STRONG, "To change: %s", c->change);
}
