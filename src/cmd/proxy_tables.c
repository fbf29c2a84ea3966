#include "cmd/proxy_tables.h"

#include "base/log.h"
#include "kernel/nft.h"
#include "proxy/metrics.h"
#include "proxy/ruleset.h"

#include <stdio.h>

int proxy_tables_remove(struct err *e)
{
    struct strbuf text = { 0 };
    ruleset_remove(4, &text);
    ruleset_remove(6, &text);
    int ret = nft_program()->apply(NULL, text.p, text.len, false, e);
    strbuf_done(&text);
    return ret;
}

void proxy_tables_remove_original(void)
{
    static const char *const words[FAMILIES] = { "ip", "ip6" };
    const struct nft_backend *b = nft_program();
    for (unsigned f = 0; f < FAMILIES; f++) {
        struct err e;
        char text[64];
        size_t rules;
        if (b->count_rules(b->ctx, f == 0 ? 4 : 6, "kube-proxy", &rules) < 0)
            continue;
        int n = snprintf(text, sizeof text, "delete table %s kube-proxy\n", words[f]);
        if (b->apply(b->ctx, text, (size_t)n, false, &e) == 0)
            log_info("removed nftables' table %s kube-proxy: our rules do its work now", words[f]);
        else
            log_warning("nftables' table %s kube-proxy stays: %s", words[f], e.text);
    }
}
