/* The client's search walk, with the answers that the cluster's DNS would give. */
#include "client/hostsfile.h"
#include "client/resolvconf_lint.h"
#include "client/stub_conf.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <string.h>

#define CANDIDATES_MAX 64

/* ---- resolv.conf and hosts of the source */

static void find_cluster_dns(struct explain_report *r, struct strlist *out)
{
    const struct object *o = store_get(r->request->store, KIND_SERVICE, "kube-system", "kube-dns");
    char text[IP_TEXT_MAX];
    strlist_append(out, r->arena, &r->request->cluster_dns);
    for (unsigned i = 0; out->n == 0 && o && i < service_of(o)->n_cluster_ips; i++)
        strlist_add(out, r->arena,
                    arena_strdup(r->arena, ip_text(&service_of(o)->cluster_ips[i], text)));
    if (out->n > 0)
        return;
    explain_note(r, "no-dns-service",
                 "the objects have no Service kube-system/kube-dns: names are looked up as if the "
                 "cluster's DNS were there",
                 "give its address with --cluster-dns");
    r->lookup.no_server = true;
    strlist_add(out, r->arena, "0.0.0.0");
}

static struct pod_dns plain_pod(const struct explain_report *r)
{
    const struct pod *p = r->source.pod;
    return (struct pod_dns){ .name = p->object.meta.name,
                             .namespace = p->object.meta.namespace,
                             .hostname = p->hostname,
                             .subdomain = p->subdomain,
                             .host_network = p->host_network };
}

static const char *resolv_text(struct explain_report *r, const struct pod_dns *pod)
{
    struct kubelet_dns k = { .host_path = r->request->host_resolv ? "node" : "",
                             .host_text = r->request->host_resolv,
                             .cluster_domain = r->request->cluster_domain };
    struct dns_notes notes;
    struct err e;
    find_cluster_dns(r, &k.cluster_dns);
    if (resolvconf_build(&k, pod, r->arena, &r->lookup.conf, &notes, &e) < 0) {
        explain_cause(r, "resolv-conf", arena_strdup(r->arena, e.text),
                      "mend the node's resolv.conf");
        return "";
    }
    for (size_t i = 0; i < notes.n; i++)
        explain_note(r, "resolv-conf", notes.items[i].text, NULL);
    return resolvconf_text(&r->lookup.conf, r->arena);
}

/* What some resolver makes of the file that was not meant. */
static void on_finding(void *ctx, const struct resolvconf_finding *f)
{
    struct explain_report *r = ctx;
    if (f->breaks)
        explain_note(r, "resolv-conf", f->text, NULL);
}

static void read_conf(struct explain_report *r, const struct pod_dns *pod)
{
    const struct stub_env env = { .hostname = NULL };
    const char *text = r->request->around.resolv_conf ? r->request->around.resolv_conf
                       : pod                          ? resolv_text(r, pod)
                       : r->request->host_resolv      ? r->request->host_resolv
                                                      : "";
    r->request->way->read_conf(text, &env, r->arena, &r->lookup.stub);
    if (*text)
        resolvconf_lint(text, r->arena, on_finding, r);
    r->lookup.ndots = (unsigned)MAX(r->lookup.stub.ndots, 0);
}

static bool find_in_hosts(struct explain_report *r, const struct pod_dns *pod, struct ip *ips,
                          size_t *ret_n)
{
    struct pod_names names;
    struct hosts_match m;
    struct err e;
    if (!pod || pod_names_build(pod, r->request->cluster_domain, r->arena, &names, &e) < 0)
        return false;
    const char *text = hostsfile_text(pod, &names, r->request->node_hosts, r->arena);
    if (hostsfile_find(r->request->way->hosts, text, r->name, 0, r->arena, &m) < 0)
        return false;
    *ret_n = MIN(m.n, (size_t)EXPLAIN_ADDRESSES_MAX);
    memcpy(ips, m.ips, *ret_n * sizeof *ips);
    r->lookup.from_files = m.canonical;
    return true;
}

/* ---- the walk */

/* Names of one label, and those that end as only the cluster's own do, are none in the world. */
static bool may_be_outside(const struct explain_report *r, const char *name)
{
    static const char *const own[] = { "svc", "pod", "local", "cluster" };
    char *copy = arena_strdup(r->arena, name);
    size_t len = strlen(copy);
    if (len > 0 && copy[len - 1] == '.')
        copy[len - 1] = '\0';
    const char *last = strrchr(copy, '.');
    if (!last || store_get(r->request->store, KIND_NAMESPACE, "", last + 1))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (strcmp(last + 1, own[i]) == 0)
            return false;
    return true;
}

/* A slip of the pen in the name of a Service that was typed with at most its namespace. */
static bool is_slip(const struct explain_report *r)
{
    if (r->lookup.dots > 1)
        return false;
    vec_each (c, &r->lookup.candidates)
        if (c->answer.n_near > 0)
            return true;
    return false;
}

static enum walk_outcome outcome_of(const struct explain_report *r, const struct explain_answer *a,
                                    const char *name)
{
    bool as_is = strcmp(name, r->name) == 0;
    switch (a->kind) {
    case ANSWER_ADDRESSES:
    case ANSWER_ALIAS:
        return WALK_FOUND;
    case ANSWER_NODATA:
        return WALK_NODATA;
    case ANSWER_FAILED:
        return WALK_SERVFAIL;
    case ANSWER_OUTSIDE:
        return as_is && may_be_outside(r, name) && !is_slip(r) ? WALK_FOUND : WALK_NXDOMAIN;
    default:
        return WALK_NXDOMAIN;
    }
}

static void walk(struct explain_report *r)
{
    struct walk w;
    const char *name;
    walk_init(&w, r->request->way->walk, r->name, &r->lookup.stub, r->arena);
    r->lookup.dots = w.dots;
    while (r->lookup.candidates.n < CANDIDATES_MAX && (name = walk_next(&w))) {
        struct explain_candidate c = { .name = name };
        r->request->ask(r->request->ctx, name, r->arena, &c.answer);
        c.outcome = outcome_of(r, &c.answer, name);
        if (c.outcome == WALK_FOUND)
            r->lookup.won = (int)r->lookup.candidates.n;
        walk_report(&w, c.outcome);
        vec_push(&r->lookup.candidates, c);
    }
}

/* ---- what there is to say about it */

static void note_waste(struct explain_report *r)
{
    const struct explain_lookup *l = &r->lookup;
    if (l->won <= 0)
        return;
    const char *name = l->candidates.items[l->won].name;
    bool dot = str_ends(name, ".");
    bool storm = strcmp(name, r->name) == 0; /* the search list was of no use at all */
    (storm ? explain_doubt : explain_note)(
        r, "ndots",
        arena_printf(r->arena,
                     "%d of %d queries are in vain: the name has %u dot%s, fewer than ndots:%u, so "
                     "the search list comes first",
                     2 * l->won, 2 * l->won + 2, l->dots, l->dots == 1 ? "" : "s", l->ndots),
        arena_printf(r->arena, "write %s%s: 2 queries", name, dot ? "" : "."));
}

/* Search domains of the world that are asked before the name itself is. */
static void note_wildcard(struct explain_report *r)
{
    const struct explain_lookup *l = &r->lookup;
    for (int i = 0; i < (l->won < 0 ? (int)l->candidates.n : l->won); i++) {
        const char *name = l->candidates.items[i].name;
        if (l->candidates.items[i].answer.kind != ANSWER_OUTSIDE || strcmp(name, r->name) == 0)
            continue;
        explain_note(r, "search-wildcard",
                     arena_printf(r->arena,
                                  "%s is asked for before the name itself: a wildcard record there "
                                  "would capture it",
                                  name),
                     "end the name with a dot, or take the domain out of the search list");
        return;
    }
}

/* The search list found something, though the name itself means something else. */
static void check_capture(struct explain_report *r)
{
    const struct explain_lookup *l = &r->lookup;
    struct explain_answer own = { .kind = ANSWER_NXDOMAIN };
    if (l->won < 0 || l->dots == 0 || strcmp(l->candidates.items[l->won].name, r->name) == 0)
        return;
    r->request->ask(r->request->ctx, r->name, r->arena, &own);
    if (own.kind != ANSWER_ADDRESSES && own.kind != ANSWER_ALIAS)
        return;
    explain_cause(r, "search-wildcard",
                  arena_printf(r->arena,
                               "the search list captures the name: %s answers first, though %s "
                               "itself exists",
                               l->candidates.items[l->won].name, r->name),
                  arena_printf(r->arena, "write %s.", r->name));
}

static void add_near(struct explain_report *r, const struct explain_answer *a)
{
    for (size_t i = 0; i < a->n_near; i++)
        vec_push(&r->near, a->near[i]);
}

/* Some resolvers never walk the list with a name of so many dots. */
static bool blame_way(struct explain_report *r)
{
    const struct explain_lookup *l = &r->lookup;
    const struct way *way = r->request->way;
    if (way->walk->searches_after || l->dots < l->ndots || !l->conf.searches.n ||
        str_ends(r->name, "."))
        return false;
    explain_cause(
        r, "not-searched",
        arena_printf(r->arena,
                     "%s takes a name of %u dot%s as it is and never walks the search list "
                     "with it, as ndots is %u; %s itself does not exist",
                     way->like, l->dots, l->dots == 1 ? "" : "s", l->ndots, r->name),
        "write the whole name, or raise ndots");
    return true;
}

/* The resolver passed over the line with the search list: musl, because it is too long. */
static bool blame_line(struct explain_report *r)
{
    const struct strlist *ignored = &r->lookup.stub.ignored;
    for (size_t i = 0; i < ignored->n; i++) {
        if (!str_starts(ignored->items[i], "search"))
            continue;
        explain_cause(r, "search-line",
                      arena_printf(r->arena,
                                   "%s passes over the search line of resolv.conf, which has %zu "
                                   "bytes: only %s itself is asked for",
                                   r->request->way->like, strlen(ignored->items[i]), r->name),
                      "keep the line below 255 bytes, or write whole names");
        return true;
    }
    return false;
}

/* The candidate that says most about the miss: one with names nearby, else the first of the
 * cluster's own. */
static void blame_name(struct explain_report *r)
{
    const struct explain_candidate *best = NULL;
    vec_each (c, &r->lookup.candidates) {
        bool better = !best || (c->answer.n_near > 0 && best->answer.n_near == 0);
        if (c->answer.cause && better && c->outcome != WALK_FOUND)
            best = c;
    }
    if (best)
        add_near(r, &best->answer);
    if (blame_line(r) || blame_way(r))
        return;
    const char *cause = best ? best->answer.cause : "it does not exist";
    explain_cause(r, best && best->outcome == WALK_NODATA ? "no-address" : "no-such-name",
                  arena_printf(r->arena, "the name %s has no address: %s", r->name, cause),
                  r->near.n ? arena_printf(r->arena, "did you mean %s?", r->near.items[0])
                            : "check the name and its namespace");
}

static int take_answer(struct explain_report *r, struct ip *ips, size_t *ret_n)
{
    const struct explain_answer *a = &r->lookup.candidates.items[r->lookup.won].answer;
    *ret_n = a->n_ips;
    memcpy(ips, a->ips, a->n_ips * sizeof *ips);
    if (a->n_all > a->n_ips)
        explain_note(r, "many-addresses",
                     arena_printf(r->arena, "%zu addresses; the first %zu are looked at", a->n_all,
                                  a->n_ips),
                     NULL);
    return 0;
}

int explain_look_up(struct explain_report *r, struct ip ips[EXPLAIN_ADDRESSES_MAX], size_t *ret_n)
{
    struct pod_dns made;
    const struct pod_dns *pod = r->request->pod_dns;
    if (!pod && r->source.pod) {
        made = plain_pod(r);
        pod = &made;
    }
    *ret_n = 0;
    r->lookup.done = true;
    r->lookup.won = -1;
    if (find_in_hosts(r, pod, ips, ret_n))
        return 0;
    read_conf(r, pod);
    walk(r);
    note_wildcard(r);
    if (r->lookup.won < 0) {
        blame_name(r);
        return ERR_NOT_FOUND;
    }
    note_waste(r);
    check_capture(r);
    return take_answer(r, ips, ret_n);
}
