#include "proxy/chains.h"

#include <stdio.h>

const char *const rule_table_names[RULE_TABLES] = { "filter", "nat" };

static const struct {
    const char *name;
    enum rule_table table;
} shared_chains[SHARED_CHAINS] = {
    [SHARED_EXTERNAL_REFUSED] = { "KUBE-EXTERNAL-SERVICES", TABLE_FILTER },
    [SHARED_HEALTH] = { "KUBE-NODEPORTS", TABLE_FILTER },
    [SHARED_FIREWALL] = { "KUBE-PROXY-FIREWALL", TABLE_FILTER },
    [SHARED_REFUSED] = { "KUBE-SERVICES", TABLE_FILTER },
    [SHARED_NODE_PORTS] = { "KUBE-NODEPORTS", TABLE_NAT },
    [SHARED_SERVICES] = { "KUBE-SERVICES", TABLE_NAT },
};

const char *shared_chain_name(enum shared_chain c)
{
    return shared_chains[c].name;
}

enum rule_table shared_chain_table(enum shared_chain c)
{
    return shared_chains[c].table;
}

size_t lines_count(const char *text)
{
    size_t n = 0;
    for (; text && (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

struct render {
    const struct portal *p;
    const struct chain_options *o;
    struct chains *out;
    bool comments;
    char names[CHAIN_SEP][CHAIN_NAME_SIZE]; /* without those of endpoints */
};

/* ---- parts of a rule */

static void put_comment(struct strbuf *s, const struct portal *p, const char *before,
                        const char *behind)
{
    strbuf_printf(s, " -m comment --comment \"%s%s%s\"", before, p->owner, behind);
}

static void put_protocol(struct strbuf *s, const struct portal *p)
{
    const char *word = protocol_word(p->protocol);
    strbuf_printf(s, " -m %s -p %s", word, word);
}

/* Where clients come: "-m tcp -p tcp -d IP --dport PORT", without address for a node port. */
static void put_front(struct strbuf *s, const struct portal *p, const struct front *f)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(p->family, f->ip);
    put_protocol(s, p);
    if (f->kind != FRONT_NODE_PORT)
        strbuf_printf(s, " -d %s", ip_text(&ip, text));
    strbuf_printf(s, " --dport %u", f->port);
}

/* Packets of pods, or (not) those of others. */
static void put_local(struct strbuf *s, const struct ruleset_options *o, bool not )
{
    char text[IP_TEXT_MAX];
    const char *mark = not ? " !" : "";
    if (o->local_mode == LOCAL_CIDR)
        strbuf_printf(s, "%s -s %s/%u", mark, ip_text(&o->local_cidr.ip, text), o->local_cidr.bits);
    else
        strbuf_printf(s, "%s -i %s%s", mark, o->local_interface,
                      o->local_mode == LOCAL_PREFIX ? "+" : "");
}

static void put_jump(struct strbuf *s, const char *chain)
{
    strbuf_printf(s, " -j %s\n", chain);
}

/* ---- shared chains */

static struct strbuf *shared_rule(struct render *r, enum shared_chain c)
{
    struct strbuf *s = &r->out->shared[c];
    strbuf_printf(s, "-A %s", shared_chain_name(c));
    return s;
}

static void refuse(struct render *r, enum shared_chain c, const struct front *f,
                   enum refusal refusal)
{
    struct strbuf *s = shared_rule(r, c);
    put_comment(s, r->p, "",
                refusal == REFUSE_REJECT ? " has no endpoints" : " has no local endpoints");
    if (f->kind == FRONT_NODE_PORT)
        strbuf_puts(s, " -m addrtype --dst-type LOCAL");
    put_front(s, r->p, f);
    put_jump(s, refusal == REFUSE_REJECT ? "REJECT" : "DROP");
}

static void serve_cluster_ip(struct render *r, const struct front *f)
{
    struct front_plan plan = front_plan(r->p, f);
    if (plan.refusal != REFUSE_NOTHING) {
        refuse(r, SHARED_REFUSED, f, plan.refusal);
        return;
    }
    struct strbuf *s = shared_rule(r, SHARED_SERVICES);
    put_comment(s, r->p, "", " cluster IP");
    put_front(s, r->p, f);
    put_jump(s, r->names[plan.route == ROUTE_LOCAL ? CHAIN_SVL : CHAIN_SVC]);
}

static void guard(struct render *r, const struct front *f)
{
    char behind[CHAIN_NAME_SIZE + 32];
    struct strbuf *s = shared_rule(r, SHARED_FIREWALL);
    (void)snprintf(behind, sizeof behind, " traffic not accepted by %s", r->names[CHAIN_FW]);
    put_comment(s, r->p, "", behind);
    put_front(s, r->p, f);
    put_jump(s, "DROP");
}

static void serve_node_port(struct render *r, const struct front *f)
{
    struct strbuf *s;
    if (r->o->localhost_node_ports && r->o->count_localhost) {
        s = shared_rule(r, SHARED_NODE_PORTS);
        put_comment(s, r->p, "", "");
        put_front(s, r->p, f);
        strbuf_puts(s, " -d 127.0.0.0/8 -m nfacct --nfacct-name " NFACCT_LOCALHOST);
        put_jump(s, r->names[CHAIN_EXT]);
    }
    s = shared_rule(r, SHARED_NODE_PORTS);
    put_comment(s, r->p, "", "");
    put_front(s, r->p, f);
    put_jump(s, r->names[CHAIN_EXT]);
}

static void serve_address(struct render *r, const struct front *f)
{
    bool guarded = front_is_guarded(r->p, f);
    struct strbuf *s = shared_rule(r, SHARED_SERVICES);
    put_comment(s, r->p, "", f->kind == FRONT_BALANCER_IP ? " loadbalancer IP" : " external IP");
    put_front(s, r->p, f);
    put_jump(s, r->names[guarded ? CHAIN_FW : CHAIN_EXT]);
    if (guarded)
        guard(r, f);
}

static void serve_front(struct render *r, const struct front *f)
{
    if (!f->granted)
        return;
    if (f->kind == FRONT_CLUSTER_IP) {
        serve_cluster_ip(r, f);
        return;
    }
    struct front_plan plan = front_plan(r->p, f);
    if (plan.route != ROUTE_NONE && f->kind == FRONT_NODE_PORT)
        serve_node_port(r, f);
    else if (plan.route != ROUTE_NONE)
        serve_address(r, f);
    if (plan.refusal != REFUSE_NOTHING)
        refuse(r, SHARED_EXTERNAL_REFUSED, f, plan.refusal);
}

static void serve_health(struct render *r)
{
    if (!r->p->health_port)
        return;
    struct strbuf *s = shared_rule(r, SHARED_HEALTH);
    put_comment(s, r->p, "", " health check node port");
    strbuf_printf(s, " -m tcp -p tcp --dport %u", r->p->health_port);
    put_jump(s, "ACCEPT");
}

/* ---- own chains */

static struct strbuf *begin_chain(struct render *r, const char *name)
{
    struct own_chain c = { .at = r->out->text.len };
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    vec_push(&r->out->own, c);
    return &r->out->text;
}

static void end_chain(struct render *r)
{
    struct own_chain *c = &r->out->own.items[r->out->own.n - 1];
    c->len = r->out->text.len - c->at;
}

static struct strbuf *rule(struct render *r, const char *chain)
{
    strbuf_printf(&r->out->text, "-A %s", chain);
    return &r->out->text;
}

static const struct front *first_front(const struct portal *p, enum front_kind kind)
{
    for (unsigned i = 0; i < p->n_fronts; i++)
        if (p->fronts[i].kind == kind && p->fronts[i].granted)
            return &p->fronts[i];
    return NULL;
}

static bool is_open_outside(const struct portal *p)
{
    return first_front(p, FRONT_BALANCER_IP) || first_front(p, FRONT_EXTERNAL_IP) ||
           first_front(p, FRONT_NODE_PORT);
}

/* Who comes to the cluster IP and is no pod, is masqueraded. */
static void masquerade_others(struct render *r, const char *chain)
{
    const struct ruleset_options *o = &r->o->rules;
    const struct front *f = first_front(r->p, FRONT_CLUSTER_IP);
    if (!f || (!o->masquerade_all && o->local_mode == LOCAL_UNKNOWN))
        return;
    struct strbuf *s = rule(r, chain);
    put_comment(s, r->p, "", " cluster IP");
    put_front(s, r->p, f);
    if (!o->masquerade_all)
        put_local(s, o, true);
    put_jump(s, CHAIN_MARK_MASQ);
}

struct end {
    const struct backend *b;
    char text[BACKEND_TEXT_SIZE], chain[CHAIN_NAME_SIZE];
};

static int compare_ends(const void *a, const void *b)
{
    return strcmp(((const struct end *)a)->text, ((const struct end *)b)->text);
}

static void put_end_comment(struct render *r, struct strbuf *s, const struct end *e, bool arrow)
{
    char behind[BACKEND_TEXT_SIZE + 8] = "";
    if (arrow)
        (void)snprintf(behind, sizeof behind, " -> %s", e->text);
    if (r->comments)
        put_comment(s, r->p, "", behind);
}

/* Clients that are kept go to their endpoint, all others to any, each with the same chance. */
static void draw(struct render *r, const char *chain, const struct end *ends, size_t n,
                 unsigned use)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(ends[i].b->use & use))
            continue;
        left++;
        if (!r->p->affinity_seconds)
            continue;
        struct strbuf *s = rule(r, chain);
        put_end_comment(r, s, &ends[i], true);
        strbuf_printf(s, " -m recent --name %s --rcheck --seconds %u --reap", ends[i].chain,
                      r->p->affinity_seconds);
        put_jump(s, ends[i].chain);
    }
    for (size_t i = 0; i < n; i++) {
        if (!(ends[i].b->use & use))
            continue;
        struct strbuf *s = rule(r, chain);
        put_end_comment(r, s, &ends[i], true);
        if (left > 1)
            strbuf_printf(s, " -m statistic --mode random --probability %.10f", 1.0 / (double)left);
        put_jump(s, ends[i].chain);
        left--;
    }
}

static void render_list(struct render *r, enum chain_kind kind, const struct end *ends, size_t n)
{
    bool local = kind == CHAIN_SVL;
    if ((local ? r->p->n_local : r->p->n_cluster) == 0)
        return;
    (void)begin_chain(r, r->names[kind]);
    if (local == r->p->internal_local)
        masquerade_others(r, r->names[kind]);
    draw(r, r->names[kind], ends, n, local ? BACKEND_LOCAL : BACKEND_CLUSTER);
    end_chain(r);
}

static void render_end(struct render *r, const struct end *e)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(r->p->family, e->b->ip);
    (void)begin_chain(r, e->chain);
    struct strbuf *s = rule(r, e->chain);
    put_end_comment(r, s, e, false);
    strbuf_printf(s, " -s %s", ip_text(&ip, text)); /* it met itself */
    put_jump(s, CHAIN_MARK_MASQ);
    s = rule(r, e->chain);
    put_end_comment(r, s, e, false);
    if (r->p->affinity_seconds)
        strbuf_printf(s, " -m recent --name %s --set", e->chain);
    put_protocol(s, r->p);
    strbuf_printf(s, " -j DNAT --to-destination %s\n", e->text);
    end_chain(r);
}

static void external_rule(struct render *r, const char *what, bool from_node, const char *to)
{
    char before[64];
    struct strbuf *s = rule(r, r->names[CHAIN_EXT]);
    (void)snprintf(before, sizeof before, "%s for ", what);
    put_comment(s, r->p, before, " external destinations");
    if (from_node)
        strbuf_puts(s, " -m addrtype --src-type LOCAL");
    put_jump(s, to);
}

static void render_external(struct render *r)
{
    const char *svc = r->names[CHAIN_SVC];
    if (!r->p->has_any || !is_open_outside(r->p))
        return;
    (void)begin_chain(r, r->names[CHAIN_EXT]);
    if (!r->p->external_local) {
        external_rule(r, "masquerade traffic", false, CHAIN_MARK_MASQ);
        put_jump(rule(r, r->names[CHAIN_EXT]), svc);
        end_chain(r);
        return;
    }
    if (r->o->rules.local_mode != LOCAL_UNKNOWN) {
        struct strbuf *s = rule(r, r->names[CHAIN_EXT]);
        put_comment(s, r->p, "pod traffic for ", " external destinations");
        put_local(s, &r->o->rules, false);
        put_jump(s, svc);
    }
    external_rule(r, "masquerade LOCAL traffic", true, CHAIN_MARK_MASQ);
    external_rule(r, "route LOCAL traffic", true, svc);
    if (r->p->n_local > 0)
        put_jump(rule(r, r->names[CHAIN_EXT]), r->names[CHAIN_SVL]);
    end_chain(r);
}

static void render_firewall(struct render *r)
{
    char text[IP_TEXT_MAX];
    const struct portal *p = r->p;
    if (!p->has_any || p->n_sources == 0 || !first_front(p, FRONT_BALANCER_IP))
        return;
    (void)begin_chain(r, r->names[CHAIN_FW]);
    for (unsigned i = 0; i < p->n_sources; i++) {
        struct strbuf *s = rule(r, r->names[CHAIN_FW]);
        put_comment(s, p, "", " loadbalancer IP");
        strbuf_printf(s, " -s %s/%u", ip_text(&p->sources[i].ip, text), p->sources[i].bits);
        put_jump(s, r->names[CHAIN_EXT]);
    }
    struct strbuf *s = rule(r, r->names[CHAIN_FW]);
    put_comment(s, p, "other traffic to ", " will be dropped by KUBE-PROXY-FIREWALL");
    strbuf_puts(s, "\n");
    end_chain(r);
}

/* In the order of their texts, as the original: which rule has which probability depends on it. */
static struct end *collect_ends(const struct portal *p, size_t *ret_n)
{
    struct end *ends = xcalloc(p->n_backends + 1, sizeof *ends);
    size_t n = 0;
    for (size_t i = 0; i < p->n_backends; i++) {
        struct end *e = &ends[n];
        if (!(p->backends[i].use & (BACKEND_CLUSTER | BACKEND_LOCAL)))
            continue;
        e->b = &p->backends[i];
        backend_text(p->family, e->b, e->text);
        chain_name(CHAIN_SEP, p, e->b, e->chain);
        n++;
    }
    qsort(ends, n, sizeof *ends, compare_ends);
    *ret_n = n;
    return ends;
}

void chains_render(const struct portal *p, const struct chain_options *o, bool comments,
                   struct chains *ret)
{
    struct render r = { .p = p, .o = o, .out = ret, .comments = comments };
    size_t n;
    struct end *ends = collect_ends(p, &n);
    for (unsigned k = 0; k < CHAIN_SEP; k++)
        chain_name(k, p, NULL, r.names[k]);
    for (unsigned i = 0; i < p->n_fronts; i++)
        serve_front(&r, &p->fronts[i]);
    serve_health(&r);
    render_firewall(&r);
    render_external(&r);
    render_list(&r, CHAIN_SVC, ends, n);
    render_list(&r, CHAIN_SVL, ends, n);
    for (size_t i = 0; i < n; i++)
        render_end(&r, &ends[i]);
    free(ends);
}

void chains_done(struct chains *c)
{
    for (unsigned i = 0; i < SHARED_CHAINS; i++)
        strbuf_done(&c->shared[i]);
    strbuf_done(&c->text);
    vec_done(&c->own);
}
