#include "proxy/skeleton.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

/* Notes on the rules, which nft's text cannot carry:
 *
 * - The handle travels in meta priority: unlike the packet mark, which CNI plugins and routing
 *   policies own, nothing reads it between the two hooks at -100 and -90, and zero is what it was.
 * - Masquerading needs a bit that survives until postrouting: the mark's, as in the original.
 * - One endpoints map a protocol. nft 1.0.6 has no type name for a drawn number, so these maps are
 *   declared by example; an example with `th dport` works only until nft reads the map back from
 *   the kernel: then it refuses every further rule that uses it ("conflicting protocols
 *   specified"), and draw chains are added all the time.
 * - Clients are remembered behind the translation, where the packet shows which endpoint it got.
 * - Rejects sit in input, forward and output: only there may the kernel answer. */

struct printer {
    const struct ruleset_options *o;
    const char *ip, *addr;
    unsigned rules;
    struct strbuf *out;
};

static void chain(struct printer *p, const char *name)
{
    strbuf_printf(p->out, "\n\tchain %s {\n", name);
}

static void base_chain(struct printer *p, const char *name, const char *type, const char *hook,
                       int priority)
{
    chain(p, name);
    strbuf_printf(p->out, "\t\ttype %s hook %s priority %d; policy accept;\n", type, hook,
                  priority);
}

static void printf_like(2, 3) rule(struct printer *p, const char *fmt, ...)
{
    va_list args;
    char text[512];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    strbuf_printf(p->out, "\t\t%s\n", text);
    p->rules++;
}

static void end(struct printer *p)
{
    strbuf_puts(p->out, "\t}\n");
}

static void chain_of(struct printer *p, const char *name, const char *text)
{
    chain(p, name);
    rule(p, "%s", text);
    end(p);
}

/* ---- maps and sets */

static void print_maps(struct printer *p)
{
    for (enum map_id map = 0; map < MAPS; map++) {
        strbuf_printf(p->out, "\t%s %s {\n", map_is_set(map) ? "set" : "map", map_name(map));
        map_print_declaration(map, p->o->family, p->out);
        strbuf_puts(p->out, "\t}\n\n");
    }
    strbuf_printf(p->out,
                  "\tmap " RULESET_AFFINITY_MAP " {\n"
                  "\t\ttype %s . classid : %s . inet_service\n"
                  "\t\tsize %d\n"
                  "\t\tflags dynamic,timeout\n"
                  "\t\tcomment \"client . Service : the endpoint where it is kept\"\n"
                  "\t}\n",
                  p->addr, p->addr, AFFINITY_CLIENTS_MAX);
    strbuf_puts(p->out, "\n\tset " RULESET_LAYOUT_SET " {\n"
                        "\t\ttype mark . mark . mark . mark\n"
                        "\t\tcomment \"which chains and rules these are\"\n"
                        "\t}\n");
}

/* ---- before the translation, and where packets end that were not translated */

static void print_checks(struct printer *p)
{
    chain_of(p, "reject-chain", "reject");
    chain(p, "firewall-check");
    rule(p,
         "%s daddr . meta l4proto . th dport @guarded %s daddr . meta l4proto . th dport . %s "
         "saddr != @sources drop",
         p->ip, p->ip, p->ip);
    end(p);
    chain(p, "no-endpoints-check");
    rule(p, "%s daddr . meta l4proto . th dport vmap @no-endpoints", p->ip);
    end(p);
    chain(p, "no-node-endpoints-check");
    rule(p, "%s daddr @node-ips meta l4proto . th dport vmap @no-node-endpoints", p->ip);
    end(p);
    /* A packet whose chains were exchanged while it went through them: it comes again. */
    chain(p, "untranslated-check");
    rule(p, "meta priority set %s daddr . meta l4proto . th dport map @services drop", p->ip);
    rule(p, "%s daddr @node-ips meta priority set meta l4proto . th dport map @node-ports drop",
         p->ip);
    end(p);
    chain(p, "cluster-ips-check");
    rule(p, "%s daddr @cluster-ips reject comment \"a port that no service has\"", p->ip);
    rule(p, "%s daddr @service-ranges drop comment \"an address that no service has\"", p->ip);
    end(p);
}

static void print_filters(struct printer *p)
{
    static const char *const hooks[] = { "prerouting", "output" };
    static const char *const ends[] = { "forward", "output" };
    for (unsigned i = 0; i < ARRAY_SIZE(hooks); i++) {
        base_chain(p, i ? "output-before" : "prerouting-before", "filter", hooks[i], -110);
        rule(p, "ct state new jump firewall-check");
        end(p);
    }
    base_chain(p, "filter-input", "filter", "input", 0);
    rule(p, "ct state new jump no-node-endpoints-check");
    rule(p, "ct state new jump no-endpoints-check");
    rule(p, "ct state new jump untranslated-check");
    end(p);
    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
        base_chain(p, i ? "filter-output" : "filter-forward", "filter", ends[i], 0);
        rule(p, "ct state new jump no-endpoints-check");
        rule(p, "ct state new jump untranslated-check");
        rule(p, "ct state new jump cluster-ips-check");
        end(p);
    }
}

/* ---- the translation */

/* What a packet of a pod looks like (or of anything else). */
static bool local_match(const struct ruleset_options *o, bool is, char *out, size_t size)
{
    char text[IP_TEXT_MAX];
    const char *not = is ? "" : "!= ";
    switch (o->local_mode) {
    case LOCAL_CIDR:
        snprintf(out, size, "%s saddr %s%s/%u", family_word(o->family), not,
                 ip_text(&o->local_cidr.ip, text), o->local_cidr.bits);
        return true;
    case LOCAL_BRIDGE:
        snprintf(out, size, "iifname %s\"%s\"", not, o->local_interface);
        return true;
    case LOCAL_PREFIX:
        snprintf(out, size, "iifname %s\"%s*\"", not, o->local_interface);
        return true;
    default:
        return false;
    }
}

static void print_services(struct printer *p)
{
    const struct ruleset_options *o = p->o;
    char outside[128] = "";
    chain(p, "services");
    if (o->masquerade_all)
        rule(p, "%s daddr @cluster-ips meta mark set meta mark or 0x%08x comment \"everyone\"",
             p->ip, o->mark);
    else if (local_match(o, false, outside, sizeof outside))
        rule(
            p,
            "%s daddr @cluster-ips %s meta mark set meta mark or 0x%08x comment \"from outside the "
            "cluster\"",
            p->ip, outside, o->mark);
    rule(p, "meta priority set %s daddr . meta l4proto . th dport map @services goto choose-list",
         p->ip);
    rule(p,
         "%s daddr @node-ips meta priority set meta l4proto . th dport map @node-ports goto "
         "choose-list",
         p->ip);
    end(p);
}

static void print_roles(struct printer *p)
{
    char pods[128];
    chain(p, "choose-list");
    rule(p, "meta priority vmap @lists");
    rule(p, "meta priority and 0:3 == 0:%x goto external", ROLE_EXTERNAL);
    rule(p, "meta priority and 0:3 == 0:%x goto by-source", ROLE_BY_SOURCE);
    end(p);
    chain(p, "external");
    rule(p, "meta mark set meta mark or 0x%08x", p->o->mark);
    rule(p, "meta priority set meta priority xor 0:%x", ROLE_EXTERNAL ^ LIST_CLUSTER);
    rule(p, "meta priority vmap @lists");
    end(p);
    chain(p, "short-circuit");
    rule(p, "meta priority set meta priority xor 0:%x", ROLE_BY_SOURCE ^ LIST_CLUSTER);
    rule(p, "meta priority vmap @lists");
    end(p);
    chain(p, "by-source");
    if (local_match(p->o, true, pods, sizeof pods))
        rule(p, "%s goto short-circuit comment \"pods\"", pods);
    rule(p, "fib saddr type local meta mark set meta mark or 0x%08x", p->o->mark);
    rule(p, "fib saddr type local goto short-circuit comment \"this node\"");
    rule(p, "meta priority set meta priority xor 0:%x", ROLE_BY_SOURCE ^ LIST_LOCAL);
    rule(p, "meta priority vmap @lists");
    end(p);
    chain(p, "sticky");
    rule(p,
         "meta l4proto { tcp, udp, sctp } dnat to %s saddr . meta priority map "
         "@" RULESET_AFFINITY_MAP,
         p->ip);
    rule(p, "meta priority vmap @draws");
    end(p);
}

static void print_nat(struct printer *p)
{
    static const char *const hooks[] = { "prerouting", "output" };
    chain(p, "translated");
    rule(p, "meta priority vmap @remember");
    rule(p, "meta priority set 0:0");
    end(p);
    chain(p, "masquerading");
    rule(p, "meta mark and 0x%08x != 0 meta mark set meta mark xor 0x%08x masquerade fully-random",
         p->o->mark, p->o->mark);
    rule(p,
         "ct status dnat %s saddr . %s daddr @hairpin masquerade fully-random comment \"to "
         "oneself\"",
         p->ip, p->ip);
    end(p);
    for (unsigned i = 0; i < ARRAY_SIZE(hooks); i++) {
        base_chain(p, i ? "nat-output" : "nat-prerouting", "nat", hooks[i], -100);
        rule(p, "jump services");
        end(p);
        base_chain(p, i ? "output-behind" : "prerouting-behind", "filter", hooks[i], -90);
        rule(p, "ct state new ct status dnat jump translated");
        end(p);
    }
    base_chain(p, "nat-postrouting", "nat", "postrouting", 100);
    rule(p, "jump masquerading");
    end(p);
}

static unsigned print(const struct ruleset_options *o, struct strbuf *out)
{
    struct printer p = { .o = o,
                         .ip = family_word(o->family),
                         .addr = o->family == 4 ? "ipv4_addr" : "ipv6_addr",
                         .out = out };
    /* "add" first, because deleting what is not there would fail the transaction. */
    ruleset_remove(o->family, out);
    strbuf_printf(out, "table %s " RULESET_TABLE " {\n", p.ip);
    print_maps(&p);
    print_checks(&p);
    print_filters(&p);
    print_services(&p);
    print_roles(&p);
    print_nat(&p);
    strbuf_puts(out, "}\n");
    return p.rules;
}

void skeleton_print(const struct ruleset_options *o, struct strbuf *out)
{
    print(o, out);
}

unsigned skeleton_rules(const struct ruleset_options *o)
{
    struct strbuf text = { 0 };
    unsigned n = print(o, &text);
    strbuf_done(&text);
    return n;
}

/* ---- chains that come with the first need */

#define INEXACT_DRAWS 4 /* one in 17 misses: one in 80,000 misses so often, and gets slot 0 */

static bool is_exact(uint32_t modulus)
{
    return modulus <= 64;
}

unsigned draw_chain_rules(uint32_t modulus)
{
    return modulus == 1 ? 1 : is_exact(modulus) ? 2 : INEXACT_DRAWS + 1;
}

static void draw(uint8_t family, const char *word, uint32_t chain, uint32_t modulus,
                 struct strbuf *out)
{
    strbuf_printf(out,
                  "add rule %s " RULESET_TABLE " draw%u-%s meta l4proto %s dnat to numgen random "
                  "mod %u . meta priority map @endpoints-%s\n",
                  family_word(family), chain, word, word, modulus, word);
}

void draw_chain_print(uint8_t family, uint8_t protocol, uint32_t modulus, struct strbuf *out)
{
    const char *word = protocol_word(protocol);
    unsigned rules = draw_chain_rules(modulus);
    strbuf_printf(out, "add chain %s " RULESET_TABLE " draw%u-%s\n", family_word(family), modulus,
                  word);
    /* The last rule is also for the packet that drew its slot while a transaction took that slot
     * away: slot 0 is there as long as the list has any endpoint. */
    for (unsigned i = 0; i < rules; i++)
        draw(family, word, modulus, i + 1 == rules ? 1 : modulus, out);
}

/* In both lists of the portal, as far as the endpoint is in them. The address of an endpoint that
 * has just left the list is not remembered: nobody could make the client forget it. */
void remember_chain_print(uint8_t family, uint32_t seconds, struct strbuf *out)
{
    const char *ip = family_word(family);
    strbuf_printf(out,
                  "add chain %s " RULESET_TABLE " keep-%u\n"
                  "add chain %s " RULESET_TABLE " remember-%u\n"
                  "add rule %s " RULESET_TABLE " remember-%u jump keep-%u\n"
                  "add rule %s " RULESET_TABLE " remember-%u meta priority set meta priority xor "
                  "0:1\n"
                  "add rule %s " RULESET_TABLE " remember-%u jump keep-%u\n",
                  ip, seconds, ip, seconds, ip, seconds, seconds, ip, seconds, ip, seconds,
                  seconds);
    if (family == 4)
        strbuf_printf(out,
                      "add rule ip " RULESET_TABLE " keep-%u meta priority . ip daddr . th dport "
                      "@affinity-endpoints update @" RULESET_AFFINITY_MAP
                      " { ip saddr . meta priority timeout %us : ip daddr . th dport }\n",
                      seconds, seconds);
}

void ruleset_remove(uint8_t family, struct strbuf *out)
{
    const char *ip = family_word(family);
    strbuf_printf(out, "add table %s " RULESET_TABLE "\n", ip);
    strbuf_printf(out, "delete table %s " RULESET_TABLE "\n", ip);
}
