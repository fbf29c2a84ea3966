#include "cmd/proxy_tables.h"

#include "base/log.h"
#include "kernel/nfacct.h"
#include "kernel/nft.h"
#include "proxy/restorer.h"
#include "proxy/ruleset.h"

#include <errno.h>
#include <stdio.h>

static int remove_nftables(struct err *e)
{
    struct strbuf text = { 0 };
    ruleset_remove(4, &text);
    ruleset_remove(6, &text);
    int ret = nft_program()->apply(NULL, text.p, text.len, false, e);
    strbuf_done(&text);
    return ret;
}

static int remove_iptables(struct err *e)
{
    int code = 0;
    for (unsigned k = 0; k < IPTABLES_KINDS; k++) {
        struct err why;
        int ret = iptables_may_have_rules(k) ? restorer_remove(iptables_programs(k), &why) : 0;
        if (ret != 0 && code == 0)
            code = err_set(e, ret, "%s", why.text);
    }
    nfacct_remove(NFACCT_INVALID);
    nfacct_remove(NFACCT_LOCALHOST);
    return code;
}

int proxy_tables_remove(bool all_modes, enum proxy_mode mode, struct err *e)
{
    int first = 0, second = 0;
    struct err why;
    if (all_modes || mode == MODE_NFTABLES)
        first = remove_nftables(e);
    if (all_modes || mode == MODE_IPTABLES)
        second = remove_iptables(&why);
    if (all_modes && first == -ENOENT &&
        (iptables_has(IPTABLES_NFT) || iptables_has(IPTABLES_LEGACY)))
        first = 0; /* a host without nft has none of its tables */
    if (first == 0 && second != 0)
        return err_set(e, second, "%s", why.text);
    return first;
}

static void remove_table(const char *word, uint8_t family, const char *table)
{
    const struct nft_backend *b = nft_program();
    struct err e;
    char text[64];
    size_t rules;
    if (b->count_rules(b->ctx, family, table, &rules) < 0)
        return;
    int n = snprintf(text, sizeof text, "delete table %s %s\n", word, table);
    if (b->apply(b->ctx, text, (size_t)n, false, &e) == 0)
        log_info("removed nftables' table %s %s: our rules do its work now", word, table);
    else
        log_warning("nftables' table %s %s stays: %s", word, table, e.text);
}

static void remove_chains(const struct iptables_backend *own)
{
    for (unsigned k = 0; k < IPTABLES_KINDS; k++) {
        const struct iptables_backend *b = iptables_programs(k);
        struct err e;
        if (b == own || !iptables_may_have_rules(k) || !restorer_finds(b))
            continue;
        if (restorer_remove(b, &e) == 0)
            log_info("removed the KUBE chains of iptables (%s): our rules do their work now",
                     b->name);
        else
            log_warning("the KUBE chains of iptables (%s) stay: %s", b->name, e.text);
    }
}

void proxy_tables_remove_others(enum proxy_mode mode, const struct iptables_backend *own)
{
    remove_table("ip", 4, "kube-proxy");
    remove_table("ip6", 6, "kube-proxy");
    if (mode == MODE_IPTABLES) {
        remove_table("ip", 4, RULESET_TABLE);
        remove_table("ip6", 6, RULESET_TABLE);
    }
    remove_chains(own);
}
