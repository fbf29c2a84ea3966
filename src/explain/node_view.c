#include "explain/node_view.h"

#include "base/str.h"
#include "explain/ipt_text.h"
#include "explain/nft_text.h"
#include "kube/pod.h"
#include "proxy/chainset.h"

#include <string.h>

struct text {
    struct strbuf *out;
};

/* In IPv6 the proxy adds this rule by netlink, because nft cannot write it. */
static void add_keep(void *ctx, uint32_t seconds)
{
    struct text *t = ctx;
    strbuf_printf(t->out,
                  "add rule ip6 " RULESET_TABLE " keep-%u meta priority . ip6 daddr . th dport "
                  "@affinity-endpoints update @" RULESET_AFFINITY_MAP
                  " { ip6 saddr . meta priority timeout %us : ip6 daddr . th dport }\n",
                  seconds, seconds);
}

static void render_nftables(const struct ruleset_options *o, const struct portal_change *all,
                            size_t n, const struct surroundings *around, struct strbuf *out)
{
    struct ruleset *rules = ruleset_new(o);
    struct text text = { out };
    ruleset_skeleton(rules, out);
    (void)ruleset_stage(rules, all, n, around, out);
    if (o->family == 6)
        ruleset_new_keeps(rules, add_keep, &text);
    ruleset_free(rules);
}

static void render_iptables(const struct chain_options *o, const struct portal_change *all,
                            size_t n, const struct surroundings *around, struct strbuf *out)
{
    static const struct chainset_saved nothing;
    struct chainset *chains = chainset_new(o);
    if (chainset_turns_comments(chains, all, n))
        chainset_turn_comments(chains);
    (void)chainset_stage(chains, all, n, STAGE_ALL, around, &nothing, out);
    chainset_free(chains);
}

/* The rules of one family, as their text says them. */
static int read_rules(struct node_view *v, unsigned f, const struct node_view_options *o,
                      const struct surroundings *around, struct err *e)
{
    cleanup(strbuf_done) struct strbuf text = { 0 };
    struct portal_change *all;
    size_t n = model_all(v->model, v->rules[f].family, &all);
    if (o->chains) {
        struct chain_options chains = o->chains[f];
        chains.rules = v->rules[f];
        render_iptables(&chains, all, n, around, &text);
    } else {
        render_nftables(&v->rules[f], all, n, around, &text);
    }
    free(all);
    return o->chains ? ipt_text_read(&v->firewall, v->rules[f].family, text.p, e)
                     : nft_text_read(&v->firewall, text.p, e);
}

static void take_node(struct node_view *v, const struct node *n)
{
    for (unsigned i = 0; n && i < n->n_internal_ips; i++)
        vec_push(&v->addresses, n->internal_ips[i]);
    for (unsigned f = 0; f < ARRAY_SIZE(v->rules); f++) {
        struct ruleset_options *o = &v->rules[f];
        bool wanted = o->local_mode == LOCAL_CIDR && !o->local_cidr.ip.family;
        for (unsigned i = 0; wanted && n && i < n->n_pod_cidrs; i++)
            if (n->pod_cidrs[i].ip.family == o->family)
                o->local_cidr = n->pod_cidrs[i];
        if (wanted && !o->local_cidr.ip.family)
            o->local_mode = LOCAL_UNKNOWN;
    }
}

int node_view_open(struct node_view *v, struct store *store, const struct node_view_options *o,
                   struct err *e)
{
    const struct object *node = store_get(store, KIND_NODE, "", o->node);
    *v = (struct node_view){ .model = NULL };
    memcpy(v->rules, o->rules, sizeof v->rules);
    firewall_init(&v->firewall);
    take_node(v, node ? node_of(node) : NULL);
    v->model = model_new(store, &(struct model_options){ .node_name = o->node });
    model_refresh(v->model);
    const struct surroundings around = { .node_ips = v->addresses.items,
                                         .n_node_ips = v->addresses.n,
                                         .ranges = o->ranges,
                                         .n_ranges = o->n_ranges };
    int rc = 0;
    for (unsigned f = 0; f < ARRAY_SIZE(v->rules) && rc == 0; f++)
        rc = read_rules(v, f, o, &around, e);
    if (rc < 0)
        node_view_done(v);
    return rc;
}

void node_view_done(struct node_view *v)
{
    model_free(v->model);
    firewall_done(&v->firewall);
    vec_done(&v->addresses);
    v->model = NULL;
}

static bool is_at(const struct node_view *v, const struct front *f, const struct ip *to)
{
    if (f->kind != FRONT_NODE_PORT)
        return memcmp(f->ip, to->bytes, ip_len(to)) == 0;
    vec_each (ip, &v->addresses)
        if (ip_equal(ip, to))
            return true;
    return false;
}

const struct portal *node_view_portal(const struct node_view *v, const struct ip *to, uint16_t port,
                                      uint8_t protocol, const struct front **ret_front)
{
    struct portal_change *all;
    const struct portal *found = NULL;
    size_t n = model_all(v->model, to->family, &all);
    for (size_t i = 0; i < n && !found; i++) {
        const struct portal *p = all[i].new;
        for (unsigned k = 0; k < p->n_fronts && !found; k++) {
            const struct front *f = &p->fronts[k];
            if (p->protocol != protocol || f->port != port || !f->granted || !is_at(v, f, to))
                continue;
            found = p;
            if (ret_front)
                *ret_front = f;
        }
    }
    free(all);
    return found;
}
