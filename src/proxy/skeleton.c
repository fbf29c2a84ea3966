#include "proxy/skeleton.h"

/* Why the text looks the way it does:
 *
 * - What was translated and where to is read from connection tracking (`ct original`), not from a
 *   packet mark: marks belong to CNI plugins and routing policies.
 * - One endpoints map a protocol. A single map with `meta l4proto . th dport` in its key works only
 *   until nft 1.0.6 reads it back from the kernel: then it refuses every further rule that uses the
 *   map ("conflicting protocols specified"), and mod chains are added all the time. Declared with
 *   `tcp dport` and used in a rule about TCP, it is accepted at any time, and listed correctly.
 * - Rejects sit in input, forward and output: only there may the kernel answer. */

const char *family_word(uint8_t family)
{
    return family == 4 ? "ip" : "ip6";
}

bool skeleton_has_outside_rule(const struct ruleset_options *o)
{
    return o->masquerade_all || o->cluster_cidr.ip.family == o->family;
}

static const char *const words[] = { "tcp", "udp", "sctp" };

const char *protocol_word(uint8_t protocol)
{
    return words[protocol];
}

static void print_sets(const char *addr, struct strbuf *out)
{
    strbuf_printf(out,
                  "\tset cluster-ips {\n"
                  "\t\ttype %s\n"
                  "\t\tcomment \"every cluster IP\"\n"
                  "\t}\n\n"
                  "\tset hairpin {\n"
                  "\t\ttype %s . %s\n"
                  "\t\tcomment \"endpoints of this node, to find connections to oneself\"\n"
                  "\t}\n\n",
                  addr, addr, addr);
}

static void print_maps(const char *ip, struct strbuf *out)
{
    strbuf_printf(out,
                  "\tmap services {\n"
                  "\t\ttypeof %s daddr . meta l4proto . th dport : verdict\n"
                  "\t\tcomment \"address . protocol . port : how many endpoints\"\n"
                  "\t}\n\n"
                  "\tmap no-endpoints {\n"
                  "\t\ttypeof %s daddr . meta l4proto . th dport : verdict\n"
                  "\t\tcomment \"services nobody stands behind\"\n"
                  "\t}\n\n",
                  ip, ip);
    for (unsigned i = 0; i < PROTOCOLS; i++)
        strbuf_printf(out,
                      "\tmap endpoints-%s {\n"
                      "\t\ttypeof numgen random mod 65536 . %s daddr . %s dport : %s daddr . %s"
                      " dport\n"
                      "\t\tcomment \"slot . address . port : endpoint . its port\"\n"
                      "\t}\n\n",
                      words[i], ip, words[i], ip, words[i]);
}

static void print_filter(const char *ip, struct strbuf *out)
{
    strbuf_printf(out,
                  "\tchain reject-chain {\n"
                  "\t\treject\n"
                  "\t}\n\n"
                  "\tchain no-endpoints-check {\n"
                  "\t\t%s daddr . meta l4proto . th dport vmap @no-endpoints\n"
                  "\t}\n\n"
                  "\tchain cluster-ips-check {\n"
                  "\t\t%s daddr @cluster-ips reject comment \"a port that no service has\"\n"
                  "\t}\n\n"
                  "\tchain filter-input {\n"
                  "\t\ttype filter hook input priority 0; policy accept;\n"
                  "\t\tct state new jump no-endpoints-check\n"
                  "\t}\n\n",
                  ip, ip);
    static const char *const hooks[] = { "forward", "output" };
    for (unsigned i = 0; i < ARRAY_SIZE(hooks); i++)
        strbuf_printf(out,
                      "\tchain filter-%s {\n"
                      "\t\ttype filter hook %s priority 0; policy accept;\n"
                      "\t\tct state new jump no-endpoints-check\n"
                      "\t\tct state new jump cluster-ips-check\n"
                      "\t}\n\n",
                      hooks[i], hooks[i]);
}

static void print_outside_rule(const struct ruleset_options *o, const char *ip, struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    if (o->masquerade_all)
        strbuf_printf(out,
                      "\t\tct status dnat ct original %s daddr @cluster-ips masquerade fully-random"
                      " comment \"everyone\"\n",
                      ip);
    else if (skeleton_has_outside_rule(o))
        strbuf_printf(out,
                      "\t\tct status dnat ct original %s daddr @cluster-ips %s saddr != %s/%u"
                      " masquerade fully-random comment \"from outside the cluster\"\n",
                      ip, ip, ip_text(&o->cluster_cidr.ip, text), o->cluster_cidr.bits);
}

static void print_nat(const struct ruleset_options *o, const char *ip, struct strbuf *out)
{
    strbuf_printf(out,
                  "\tchain services {\n"
                  "\t\t%s daddr . meta l4proto . th dport vmap @services\n"
                  "\t}\n\n"
                  "\tchain masquerading {\n",
                  ip);
    print_outside_rule(o, ip, out);
    strbuf_printf(out,
                  "\t\tct status dnat %s saddr . %s daddr @hairpin masquerade fully-random"
                  " comment \"to oneself\"\n"
                  "\t}\n\n"
                  "\tchain nat-prerouting {\n"
                  "\t\ttype nat hook prerouting priority -100; policy accept;\n"
                  "\t\tjump services\n"
                  "\t}\n\n"
                  "\tchain nat-output {\n"
                  "\t\ttype nat hook output priority -100; policy accept;\n"
                  "\t\tjump services\n"
                  "\t}\n\n"
                  "\tchain nat-postrouting {\n"
                  "\t\ttype nat hook postrouting priority 100; policy accept;\n"
                  "\t\tjump masquerading\n"
                  "\t}\n",
                  ip, ip);
}

void skeleton_print(const struct ruleset_options *o, struct strbuf *out)
{
    const char *ip = family_word(o->family);
    /* "add" first, because deleting what is not there would fail the transaction. */
    ruleset_remove(o->family, out);
    strbuf_printf(out, "table %s " RULESET_TABLE " {\n", ip);
    print_sets(o->family == 4 ? "ipv4_addr" : "ipv6_addr", out);
    print_maps(ip, out);
    print_filter(ip, out);
    print_nat(o, ip, out);
    strbuf_puts(out, "}\n");
}

unsigned mod_chain_rules(uint32_t n)
{
    return n == 1 ? 1 : 2;
}

void mod_chain_print(const struct ruleset_options *o, uint8_t protocol, uint32_t n,
                     struct strbuf *out)
{
    const char *ip = family_word(o->family), *word = protocol_word(protocol);
    strbuf_printf(out, "add chain %s " RULESET_TABLE " mod%u-%s\n", ip, n, word);
    /* The second rule is for the packet that drew its slot while a transaction took that slot away:
     * slot 0 is there as long as the service has any endpoint. */
    const uint32_t draws[] = { n, 1 };
    for (unsigned i = 0; i < mod_chain_rules(n); i++)
        strbuf_printf(out,
                      "add rule %s " RULESET_TABLE " mod%u-%s dnat to numgen random mod %u . %s"
                      " daddr . %s dport map @endpoints-%s\n",
                      ip, n, word, draws[i], ip, word, word);
}

void ruleset_remove(uint8_t family, struct strbuf *out)
{
    const char *ip = family_word(family);
    strbuf_printf(out, "add table %s " RULESET_TABLE "\n", ip);
    strbuf_printf(out, "delete table %s " RULESET_TABLE "\n", ip);
}
