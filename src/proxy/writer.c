#include "proxy/writer.h"

/* ---- nftables */

struct nftables_writer {
    struct writer w;
    struct applier applier;
};

static struct applier *applier_of(struct writer *w)
{
    return &((struct nftables_writer *)w)->applier;
}

static void nftables_run(struct writer *w, const struct portal_change *changes, size_t n,
                         struct applied *ret)
{
    applier_run(applier_of(w), changes, n, ret);
}

static void nftables_probe(struct writer *w, bool closely)
{
    (void)closely; /* it counts rules in any case */
    (void)applier_probe(applier_of(w));
}

static void nftables_distrust(struct writer *w)
{
    applier_of(w)->full_needed = true;
}

static void nftables_count(struct writer *w, const struct applied *a, struct proxy_metrics *m)
{
    const struct applier *x = applier_of(w);
    unsigned f = family_index(x->options.family);
    if (a->n_failed > 0 || a->code != 0)
        metric_add(m->failures[f], 1);
    if (!x->rules || a->code != 0)
        return;
    struct ruleset_counts c = ruleset_counts(x->rules);
    m->elements[f] = c.elements;
    m->rules[f] = c.rules;
    m->chains[f] = c.chains;
}

static enum nft_harm nftables_judge(const char *table, const char *chain)
{
    (void)chain; /* the whole table is ours */
    return strcmp(table, RULESET_TABLE) == 0 ? NFT_LOST : NFT_UNHARMED;
}

static void nftables_free(struct writer *w)
{
    applier_done(applier_of(w));
    free(w);
}

struct writer *writer_nftables(const struct nft_backend *backend, const struct model *model,
                               const struct surroundings *around, const struct ruleset_options *o)
{
    static const struct writer_kind kind = { nftables_judge,    nftables_run,   nftables_probe,
                                             nftables_distrust, nftables_count, nftables_free };
    struct nftables_writer *w = xcalloc(1, sizeof *w);
    w->w.kind = &kind;
    applier_init(&w->applier, backend, model, around, o);
    return &w->w;
}

/* ---- iptables */

struct iptables_writer {
    struct writer w;
    struct restorer restorer;
    unsigned full_failures, partial_failures; /* told to the metrics */
};

static struct restorer *restorer_of(struct writer *w)
{
    return &((struct iptables_writer *)w)->restorer;
}

static void iptables_run(struct writer *w, const struct portal_change *changes, size_t n,
                         struct applied *ret)
{
    restorer_run(restorer_of(w), changes, n, ret);
}

static void iptables_probe(struct writer *w, bool closely)
{
    (void)(closely ? restorer_recount : restorer_probe)(restorer_of(w));
}

static void iptables_distrust(struct writer *w)
{
    restorer_of(w)->full_needed = true;
}

static void iptables_count(struct writer *w, const struct applied *a, struct proxy_metrics *m)
{
    struct iptables_writer *x = (struct iptables_writer *)w;
    const struct restorer *r = &x->restorer;
    unsigned f = family_index(r->options.rules.family);
    metric_add(m->failures[f], r->full_failures - x->full_failures);
    metric_add(m->partial_failures[f], r->partial_failures - x->partial_failures);
    x->full_failures = r->full_failures;
    x->partial_failures = r->partial_failures;
    if (!r->chains || a->code != 0)
        return;
    struct chainset_counts c = chainset_counts(r->chains);
    for (unsigned t = 0; t < RULE_TABLES; t++) {
        m->table_rules[f][t] = c.rules[t];
        m->table_written[f][t] = c.written[t];
    }
    m->rules[f] = c.rules[TABLE_FILTER] + c.rules[TABLE_NAT];
    m->chains[f] = c.chains;
}

static void iptables_free(struct writer *w)
{
    restorer_done(restorer_of(w));
    free(w);
}

struct writer *writer_iptables(const struct iptables_backend *backend, const struct model *model,
                               const struct surroundings *around, const struct chain_options *o)
{
    static const struct writer_kind kind = { frame_judge,       iptables_run,   iptables_probe,
                                             iptables_distrust, iptables_count, iptables_free };
    struct iptables_writer *w = xcalloc(1, sizeof *w);
    w->w.kind = &kind;
    restorer_init(&w->restorer, backend, model, around, o);
    return &w->w;
}
