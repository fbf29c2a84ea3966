#include "cmd/proxy_rules.h"

#include "base/log.h"
#include "kernel/nfacct.h"
#include "proxy/chainset.h"

static void print_nftables(const struct proxy_settings *s, unsigned f,
                           const struct portal_change *all, size_t n,
                           const struct surroundings *around, struct strbuf *out)
{
    struct ruleset *rules = ruleset_new(&s->rules[f]);
    ruleset_skeleton(rules, out);
    (void)ruleset_stage(rules, all, n, around, out);
    ruleset_free(rules);
}

static void print_iptables(const struct proxy_settings *s, unsigned f,
                           const struct portal_change *all, size_t n,
                           const struct surroundings *around, struct strbuf *out)
{
    static const struct chainset_saved nothing;
    struct chain_options options[FAMILIES];
    proxy_settings_chains(s, options);
    struct chainset *chains = chainset_new(&options[f]);
    if (chainset_turns_comments(chains, all, n))
        chainset_turn_comments(chains);
    strbuf_printf(out, "# %s-restore --noflush\n", f == 0 ? "iptables" : "ip6tables");
    (void)chainset_stage(chains, all, n, STAGE_ALL, around, &nothing, out);
    chainset_free(chains);
}

void proxy_rules_print(const struct model *m, const struct proxy_settings *s,
                       const struct surroundings *around, struct strbuf *out)
{
    for (unsigned f = 0; f < FAMILIES; f++) {
        struct portal_change *all;
        size_t n = model_all(m, s->rules[f].family, &all);
        (s->mode == MODE_IPTABLES ? print_iptables : print_nftables)(s, f, all, n, around, out);
        free(all);
    }
}

const struct iptables_backend *proxy_rules_prepare(const struct proxy_settings *s,
                                                   void (*warn)(void *ctx, const char *text),
                                                   struct chain_options ret[FAMILIES])
{
    const char *why;
    const struct iptables_backend *b = iptables_programs(iptables_find(&why));
    log_info("iptables: %s, since %s", b->name, why);
    proxy_settings_chains(s, ret);
    bool invalid = nfacct_ensure(NFACCT_INVALID) == 0;
    bool localhost = nfacct_ensure(NFACCT_LOCALHOST) == 0;
    for (unsigned f = 0; f < FAMILIES; f++) {
        ret[f].drop_invalid = !tune_is_liberal("/proc/sys");
        ret[f].count_invalid = invalid;
        ret[f].count_localhost = localhost;
    }
    if (s->localhost_node_ports)
        tune_localnet("/proc/sys", warn, NULL);
    proxy_metrics_packets(NFACCT_INVALID, NFACCT_LOCALHOST);
    return b;
}
