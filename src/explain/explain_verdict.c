/* The verdict in one sentence, and the notes that need the whole picture. */
#include "base/str.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <string.h>

/* "; but ...", for all notes that say that it may not go well. */
static const char *doubts_text(const struct explain_report *r)
{
    const char *text = "";
    vec_each (n, &r->notes)
        if (n->doubt)
            text = arena_printf(r->arena, "%s%s%s", text, *text ? "; and " : "; but ", n->text);
    return text;
}

static const char *target_name(const struct explain_report *r)
{
    if (!r->port)
        return r->port_text ? arena_printf(r->arena, "%s:%s", r->name, r->port_text) : r->name;
    return arena_printf(r->arena, strchr(r->name, ':') ? "[%s]:%u" : "%s:%u", r->name, r->port);
}

static const char *way_text(const struct explain_report *r)
{
    const struct explain_leg *l = &r->legs.items[r->legs.n - 1];
    unsigned masqueraded = 0;
    vec_each (o, &l->flow.outcomes)
        masqueraded += o->masqueraded;
    const char *nat = masqueraded == 0                    ? ""
                      : masqueraded == l->flow.outcomes.n ? ", masqueraded"
                                                          : ", masqueraded when it meets itself";
    if (l->portal)
        return l->flow.outcomes.n == 1
                   ? arena_printf(r->arena, "the %s sends it to its only endpoint%s", l->target,
                                  nat)
                   : arena_printf(r->arena,
                                  "the %s sends each connection to one of %zu endpoints%s",
                                  l->target, l->flow.outcomes.n, nat);
    if (r->service && r->service->headless)
        return arena_printf(r->arena, "the headless Service %s/%s gives %zu address%s of pods",
                            r->service->object.meta.namespace, r->service->object.meta.name,
                            r->legs.n, r->legs.n == 1 ? "" : "es");
    return arena_printf(r->arena, "it goes unchanged to %s%s", l->target, nat);
}

static const char *good_verdict(const struct explain_report *r)
{
    const char *doubts = doubts_text(r);
    const char *from = r->source.text, *to = target_name(r);
    if (r->legs.n == 0) {
        const struct explain_candidate *c = &r->lookup.candidates.items[r->lookup.won];
        return arena_printf(r->arena,
                            "%s asks for %s, which is outside: %s; the objects say no more%s", from,
                            to, c->answer.alias ? c->answer.alias : c->name, doubts);
    }
    return arena_printf(r->arena, "%s reaches %s: %s%s", from, to, way_text(r), doubts);
}

static void say_verdict(struct explain_report *r)
{
    r->reachable = r->causes.n == 0;
    if (r->reachable)
        r->verdict = good_verdict(r);
    else
        r->verdict = arena_printf(r->arena, "%s does not reach %s: %s", r->source.text,
                                  target_name(r), r->causes.items[0].text);
}

static void note_view(struct explain_report *r)
{
    if (r->request->assumed_status)
        explain_note(r, "assumed-status",
                     "no pod among the objects has a status: all are taken as running and ready, "
                     "with addresses made up from their nodes' ranges",
                     NULL);
    if (!r->source.node && r->has_view)
        explain_note(r, "no-node",
                     "the node is not among the objects: no endpoint counts as its own, and it has "
                     "no node ports",
                     NULL);
}

static void note_keeping(struct explain_report *r)
{
    const struct explain_leg *l = r->legs.n ? &r->legs.items[r->legs.n - 1] : NULL;
    if (!l || !l->portal || !l->flow.outcomes.n || !l->flow.outcomes.items[0].remembered)
        return;
    explain_note(r, "affinity",
                 arena_printf(r->arena,
                              "session affinity: a client stays at its endpoint for %u "
                              "seconds after its last connection",
                              l->flow.outcomes.items[0].remembered),
                 NULL);
}

/* Does a way lead back to the one who sends? */
static void note_hairpin(struct explain_report *r)
{
    vec_each (l, &r->legs) {
        const struct ip *own = &r->source.ips[l->to.family == 6];
        vec_each (o, &l->flow.outcomes) {
            if (!o->translated || !ip_equal(&o->to, own))
                continue;
            explain_note(r, "hairpin",
                         arena_printf(r->arena, "%s may be sent to itself; %s", r->source.text,
                                      o->masqueraded
                                          ? "the connection is masqueraded, so that its replies "
                                            "come back by the node"
                                          : "the connection is not masqueraded, and its replies "
                                            "never come back by the node"),
                         o->masqueraded ? NULL : "see why the endpoint is not in the set hairpin");
            return;
        }
    }
}

void explain_judge(struct explain_report *r)
{
    note_view(r);
    note_keeping(r);
    note_hairpin(r);
    say_verdict(r);
}
