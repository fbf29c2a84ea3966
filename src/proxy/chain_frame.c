#include "proxy/chain_frame.h"

#include <stdio.h>

#define FORWARD  "KUBE-FORWARD"
#define FIREWALL "KUBE-FIREWALL"

const char *const frame_tables[FRAME_TABLES] = { "filter", "nat", "mangle" };

struct jump {
    enum rule_table table;
    const char *from, *match, *comment, *to;
};

#define NEW_ONLY " -m conntrack --ctstate NEW"

/* Each is put in front of those before it. */
static const struct jump jumps[] = {
    { TABLE_FILTER, "INPUT", NEW_ONLY, "kubernetes externally-visible service portals",
      "KUBE-EXTERNAL-SERVICES" },
    { TABLE_FILTER, "FORWARD", NEW_ONLY, "kubernetes externally-visible service portals",
      "KUBE-EXTERNAL-SERVICES" },
    { TABLE_FILTER, "INPUT", "", "kubernetes health check service ports", "KUBE-NODEPORTS" },
    { TABLE_FILTER, "FORWARD", NEW_ONLY, "kubernetes service portals", "KUBE-SERVICES" },
    { TABLE_FILTER, "OUTPUT", NEW_ONLY, "kubernetes service portals", "KUBE-SERVICES" },
    { TABLE_FILTER, "FORWARD", "", "kubernetes forwarding rules", FORWARD },
    { TABLE_FILTER, "INPUT", NEW_ONLY, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL" },
    { TABLE_FILTER, "OUTPUT", NEW_ONLY, "kubernetes load balancer firewall",
      "KUBE-PROXY-FIREWALL" },
    { TABLE_FILTER, "FORWARD", NEW_ONLY, "kubernetes load balancer firewall",
      "KUBE-PROXY-FIREWALL" },
    { TABLE_FILTER, "INPUT", "", NULL, FIREWALL },
    { TABLE_FILTER, "OUTPUT", "", NULL, FIREWALL },
    { TABLE_NAT, "OUTPUT", "", "kubernetes service portals", "KUBE-SERVICES" },
    { TABLE_NAT, "PREROUTING", "", "kubernetes service portals", "KUBE-SERVICES" },
    { TABLE_NAT, "POSTROUTING", "", "kubernetes postrouting rules", FRAME_POST },
};

static const struct frame_hook hooks[] = {
    { TABLE_FILTER, "INPUT" },   { TABLE_FILTER, "FORWARD" }, { TABLE_FILTER, "OUTPUT" },
    { TABLE_NAT, "PREROUTING" }, { TABLE_NAT, "OUTPUT" },     { TABLE_NAT, "POSTROUTING" },
};

static const char *line_end(const char *line)
{
    return line + strcspn(line, "\n");
}

/* for (each line of a text, which may be NULL) */
#define each_line(line, text)                                                                      \
    for (const char *line = (text); line && *line; line = *line_end(line) ? line_end(line) + 1 : "")

/* "-A FROM ... -j TO", with or without counters in front of it? */
static bool is_jump(const char *line, const char *from, const char *to)
{
    size_t from_len = strlen(from), to_len = strlen(to);
    const char *end = line_end(line);
    return str_starts(line, "-A ") && strncmp(line + 3, from, from_len) == 0 &&
           line[3 + from_len] == ' ' && (size_t)(end - line) > to_len + 4 &&
           strncmp(end - to_len, to, to_len) == 0 && strncmp(end - to_len - 4, " -j ", 4) == 0;
}

static bool has_jump(const char *text, const struct jump *j)
{
    each_line(line, text) if (is_jump(line, j->from, j->to)) return true;
    return false;
}

static bool has_chain(const char *saved, const char *name)
{
    size_t n = strlen(name);
    each_line(line, saved) if (line[0] == ':' && strncmp(line + 1, name, n) == 0 &&
                               line[1 + n] == ' ') return true;
    return false;
}

const struct frame_hook *frame_hook(unsigned i)
{
    return i < ARRAY_SIZE(hooks) ? &hooks[i] : NULL;
}

bool frame_hook_is_whole(const struct frame_hook *h, const char *listed)
{
    for (size_t i = 0; i < ARRAY_SIZE(jumps); i++)
        if (jumps[i].table == h->table && strcmp(jumps[i].from, h->chain) == 0 &&
            !has_jump(listed, &jumps[i]))
            return false;
    return true;
}

void frame_chains(enum rule_table t, const char *saved, struct chain_names *out)
{
    vec_push(&out->names, FRAME_CANARY);
    if (t == TABLE_FILTER) {
        vec_push(&out->names, FORWARD);
        if (!has_chain(saved, FIREWALL)) /* else its rules may be a kubelet's */
            vec_push(&out->names, FIREWALL);
    } else {
        vec_push(&out->names, FRAME_MARK);
        vec_push(&out->names, FRAME_POST);
    }
}

static size_t filter_rules(const struct chain_options *o, const char *saved, struct strbuf *out)
{
    static const char guard[] = "block incoming localnet connections";
    uint32_t mark = o->rules.mark;
    size_t n = 2;
    if (o->drop_invalid) {
        strbuf_printf(out, "-A " FORWARD " -m conntrack --ctstate INVALID%s -j DROP\n",
                      o->count_invalid ? " -m nfacct --nfacct-name " NFACCT_INVALID : "");
        n++;
    }
    strbuf_printf(out,
                  "-A " FORWARD " -m comment --comment \"kubernetes forwarding rules\""
                  " -m mark --mark 0x%08x/0x%08x -j ACCEPT\n"
                  "-A " FORWARD " -m comment --comment \"kubernetes forwarding conntrack rule\""
                  " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n",
                  mark, mark);
    if (o->localhost_node_ports && !(saved && strstr(saved, guard)))
        strbuf_printf(out,
                      "-I " FIREWALL " -m comment --comment \"%s\" -d 127.0.0.0/8 ! -s 127.0.0.0/8"
                      " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n",
                      guard);
    return n;
}

void frame_mark(const struct chain_options *o, struct strbuf *out)
{
    strbuf_printf(out, "-A " FRAME_MARK " -j MARK --or-mark 0x%08x\n", o->rules.mark);
}

/* The mark is taken off again, so that a packet that comes by once more is not masqueraded twice.
 */
static size_t nat_rules(const struct chain_options *o, struct strbuf *out)
{
    uint32_t mark = o->rules.mark;
    frame_mark(o, out);
    strbuf_printf(out,
                  "-A " FRAME_POST " -m mark ! --mark 0x%08x/0x%08x -j RETURN\n"
                  "-A " FRAME_POST " -j MARK --xor-mark 0x%08x\n"
                  "-A " FRAME_POST
                  " -m comment --comment \"kubernetes service traffic requiring SNAT\""
                  " -j MASQUERADE --random-fully\n",
                  mark, mark, mark);
    return 4;
}

size_t frame_rules(enum rule_table t, const struct chain_options *o, const char *saved,
                   struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
        const struct jump *j = &jumps[i];
        if (j->table != t || has_jump(saved, j))
            continue;
        strbuf_printf(out, "-I %s%s", j->from, j->match);
        if (j->comment)
            strbuf_printf(out, " -m comment --comment \"%s\"", j->comment);
        strbuf_printf(out, " -j %s\n", j->to);
    }
    return t == TABLE_FILTER ? filter_rules(o, saved, out) : nat_rules(o, out);
}

static void put_node_port_rule(const char *match, struct strbuf *out)
{
    strbuf_printf(out,
                  "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this"
                  " must be the last rule in this chain\"%s -j KUBE-NODEPORTS\n",
                  match);
}

void frame_node_ports(const struct chain_options *o, const struct surroundings *around,
                      struct strbuf *out)
{
    char match[96], text[IP_TEXT_MAX];
    if (o->node_ports_everywhere) {
        (void)snprintf(match, sizeof match, " -m addrtype --dst-type LOCAL%s",
                       o->rules.family == 6      ? " ! -d ::1/128"
                       : o->localhost_node_ports ? ""
                                                 : " ! -d 127.0.0.0/8");
        put_node_port_rule(match, out);
        return;
    }
    for (size_t i = 0; around && i < around->n_node_ips; i++) {
        if (around->node_ips[i].family != o->rules.family)
            continue;
        (void)snprintf(match, sizeof match, " -d %s", ip_text(&around->node_ips[i], text));
        put_node_port_rule(match, out);
    }
}

void frame_each_own(const char *saved, void (*fn)(void *ctx, const char *name, size_t len),
                    void *ctx)
{
    each_line(line, saved)
    {
        size_t n = line[0] == ':' ? strcspn(line + 1, " \n") : 0;
        if (n > 0 && n < CHAIN_NAME_SIZE && chain_name_is(line + 1, n))
            fn(ctx, line + 1, n);
    }
}

/* ---- taking it away ---- */

static bool is_ours(const char *name, size_t n, bool with_firewall)
{
    static const char *const fixed[] = { FRAME_CANARY,
                                         FRAME_MARK,
                                         FRAME_POST,
                                         FORWARD,
                                         "KUBE-EXTERNAL-SERVICES",
                                         "KUBE-NODEPORTS",
                                         "KUBE-PROXY-FIREWALL",
                                         "KUBE-SERVICES" };
    if (with_firewall && n == strlen(FIREWALL) && memcmp(name, FIREWALL, n) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        if (n == strlen(fixed[i]) && memcmp(name, fixed[i], n) == 0)
            return true;
    return chain_name_is(name, n);
}

/* The rule of a chain that is not ours, to one that is: as a deletion. */
static void unhook(const char *line, bool with_firewall, struct strbuf *out)
{
    const char *end = line_end(line), *to = end;
    size_t from_len = strcspn(line + 3, " \n");
    while (to > line && to[-1] != ' ')
        to--;
    if (is_ours(line + 3, from_len, with_firewall) || to - line < 4 ||
        strncmp(to - 4, " -j ", 4) != 0 || !is_ours(to, (size_t)(end - to), with_firewall))
        return;
    strbuf_puts(out, "-D ");
    strbuf_add(out, line + 3, (size_t)(end - line - 3));
    strbuf_puts(out, "\n");
}

static void put_ours(const char *saved, bool with_firewall, const char *before, const char *behind,
                     struct strbuf *out)
{
    each_line(line, saved)
    {
        size_t n = line[0] == ':' ? strcspn(line + 1, " \n") : 0;
        if (n == 0 || !is_ours(line + 1, n, with_firewall))
            continue;
        strbuf_printf(out, "%s%.*s%s\n", before, (int)n, line + 1, behind);
    }
}

void frame_remove(const char *table, const char *saved, bool with_firewall, struct strbuf *out)
{
    struct strbuf body = { 0 };
    put_ours(saved, with_firewall, ":", " - [0:0]", &body);
    each_line(line, saved) if (str_starts(line, "-A ")) unhook(line, with_firewall, &body);
    put_ours(saved, with_firewall, "-X ", "", &body);
    if (body.len > 0)
        strbuf_printf(out, "*%s\n%sCOMMIT\n", table, body.p);
    strbuf_done(&body);
}

/* ---- other hands ---- */

size_t frame_count_rules(const char *saved)
{
    size_t n = 0;
    each_line(line, saved) n +=
        str_starts(line, "-A ") && is_ours(line + 3, strcspn(line + 3, " \n"), false);
    return n;
}

enum nft_harm frame_judge(const char *table, const char *chain)
{
    bool shared = false;
    for (unsigned i = 0; i < FRAME_TABLES; i++)
        shared |= strcmp(table, frame_tables[i]) == 0;
    if (!shared || !chain)
        return shared ? NFT_DOUBTFUL : NFT_UNHARMED;
    if (is_ours(chain, strlen(chain), true))
        return NFT_LOST;
    for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
        if (strcmp(hooks[i].chain, chain) == 0 &&
            strcmp(rule_table_names[hooks[i].table], table) == 0)
            return NFT_DOUBTFUL;
    return NFT_UNHARMED;
}
