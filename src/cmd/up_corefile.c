#include "cmd/up_corefile.h"

#include "base/ip.h"
#include "base/str.h"
#include "cmd/corefile.h"
#include "kube/check.h"

#include <string.h>

int up_corefile_check(const struct up_corefile *c, struct err *e)
{
    struct ip ip;
    for (size_t i = 0; i < c->addresses.n; i++)
        if (ip_parse(c->addresses.items[i], &ip) < 0)
            return err_set(e, ERR_INVALID, "--dns-address: \"%s\" is no IP address",
                           c->addresses.items[i]);
    const char *wrong = check_dns_subdomain(c->domain);
    if (wrong)
        return err_set(e, ERR_INVALID, "--cluster-domain: \"%s\" %s", c->domain, wrong);
    if (c->forward[strcspn(c->forward, "{}\"#\\\n\r\t$")])
        return err_set(e, ERR_INVALID, "--forward: \"%s\" is no list of addresses or a file",
                       c->forward);
    return 0;
}

static void add_words(struct strbuf *b, const char *list)
{
    for (; *list; list++)
        strbuf_putc(b, *list == ',' ? ' ' : *list);
}

/* Loops can only come by way of another server. */
static void render(const struct up_corefile *c, struct strbuf *b)
{
    strbuf_puts(b, ". {\n    bind");
    for (size_t i = 0; i < c->addresses.n; i++)
        strbuf_printf(b, " %s", c->addresses.items[i]);
    strbuf_puts(b, "\n    errors\n");
    if (*c->metrics)
        strbuf_printf(b, "    prometheus %s\n", c->metrics);
    strbuf_printf(b,
                  "    kubernetes %s in-addr.arpa ip6.arpa {\n"
                  "        pods verified\n"
                  "        fallthrough in-addr.arpa ip6.arpa\n"
                  "    }\n",
                  c->domain);
    if (*c->forward) {
        strbuf_puts(b, "    forward . ");
        add_words(b, c->forward);
        strbuf_puts(b, "\n    loop\n");
    }
    strbuf_puts(b, "    cache 30\n    loadbalance\n}\n");
}

int up_corefile_read(const struct up_corefile *c, uint16_t port, struct corefile **ret,
                     struct err *e)
{
    cleanup(strbuf_done) struct strbuf text = { 0 };
    struct corefile_options options;
    command_corefile_options(&options, port);
    render(c, &text);
    return corefile_parse(text.p, text.len, "built-in Corefile", &options, ret, e);
}
