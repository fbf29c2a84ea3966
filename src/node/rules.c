#include "node/rules.h"

#include "kernel/program.h"

#include <errno.h>
#include <string.h>

#define COMMENT_RAW    "NodeLocal DNS Cache: skip conntrack"
#define COMMENT_FILTER "NodeLocal DNS Cache: allow DNS traffic"
#define IPTABLES_MS    30000 /* others may hold its lock */
#define SAME_MAX       10000 /* of one rule, to be removed */

/* In the order in which the original puts them in, each in front of those that are there. */
static const struct row {
    const char *table, *chain;
    bool tcp, from, health;
} rows[] = {
    { "raw", "PREROUTING", true, false, false }, { "raw", "PREROUTING", false, false, false },
    { "filter", "INPUT", true, false, false },   { "filter", "INPUT", false, false, false },
    { "raw", "OUTPUT", true, true, false },      { "raw", "OUTPUT", false, true, false },
    { "filter", "OUTPUT", true, true, false },   { "filter", "OUTPUT", false, true, false },
    { "raw", "OUTPUT", true, false, false },     { "raw", "OUTPUT", false, false, false },
    { "raw", "OUTPUT", true, false, true },      { "raw", "OUTPUT", true, true, true },
};

static bool is_raw(const struct row *row)
{
    return strcmp(row->table, "raw") == 0;
}

static uint16_t port_of(const struct node_rules *r, const struct row *row)
{
    return row->health ? r->health_port : r->port;
}

/* ---- nftables ---- */

/* An accept of ours would not keep another table from dropping, so there is none. */
static int make_table(struct node_rules *r, struct err *e)
{
    struct notrack_rule rules[ARRAY_SIZE(rows) * NODE_IPS_MAX];
    char name[OWNED_NAME_MAX];
    size_t n = 0;
    for (size_t i = 0; i < r->n_ips; i++)
        for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++)
            if (is_raw(row))
                rules[n++] = (struct notrack_rule){
                    .ip = r->ips[i],
                    .protocol = row->tcp ? IPPROTO_TCP : IPPROTO_UDP,
                    .port = port_of(r, row),
                    .from = row->from,
                    .output = strcmp(row->chain, "OUTPUT") == 0,
                };
    /* Of a process and its successor each has its own. */
    (void)snprintf(name, sizeof name, "signpost-cache-%d", (int)getpid());
    int ret = owned_table_make(&r->table, name, rules, n, COMMENT_RAW, e);
    return ret < 0 ? ret : (int)n;
}

/* ---- iptables ---- */

/* One rule: verb is "-C", "-I" or "-D". Returns the program's exit status or a negated errno. */
static int iptables(const struct node_rules *r, const struct ip *ip, const struct row *row,
                    const char *verb, struct program_said *said)
{
    char address[IP_TEXT_MAX], port[8];
    (void)snprintf(port, sizeof port, "%u", port_of(r, row));
    const char *argv[] = { ip->family == 6 ? "ip6tables" : "iptables",
                           "-w",
                           "-t",
                           row->table,
                           verb,
                           row->chain,
                           "-p",
                           row->tcp ? "tcp" : "udp",
                           row->from ? "-s" : "-d",
                           ip_text(ip, address),
                           row->from ? "--sport" : "--dport",
                           port,
                           "-m",
                           "comment",
                           "--comment",
                           is_raw(row) ? COMMENT_RAW : COMMENT_FILTER,
                           "-j",
                           is_raw(row) ? "NOTRACK" : "ACCEPT",
                           NULL };
    return program_run(argv, -1, IPTABLES_MS, said);
}

static int ensure_row(const struct node_rules *r, const struct ip *ip, const struct row *row,
                      struct err *e)
{
    struct program_said said;
    if (iptables(r, ip, row, "-C", &said) == 0)
        return 0;
    int status = iptables(r, ip, row, "-I", &said);
    if (status < 0)
        return err_set(e, status, "iptables cannot be run: %s (is the iptables package installed?)",
                       err_str(status));
    if (status > 0)
        return err_set(e, ERR_REFUSED, "iptables ended with status %d: %.700s", status,
                       program_one_line(&said));
    return 1;
}

static int ensure_rows(const struct node_rules *r, struct err *e)
{
    int made = 0;
    for (size_t i = 0; i < r->n_ips; i++)
        for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++) {
            int ret = ensure_row(r, &r->ips[i], row, e);
            if (ret < 0)
                return ret;
            made += ret;
        }
    return made;
}

static void remove_rows(const struct node_rules *r)
{
    struct program_said said;
    for (size_t i = 0; i < r->n_ips; i++)
        for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++)
            for (int same = 0; same < SAME_MAX; same++)
                if (iptables(r, &r->ips[i], row, "-D", &said) != 0)
                    break;
}

/* ---- either ---- */

int rules_open(struct node_rules *r, struct err *e)
{
    int ret = owned_table_open(&r->table);
    return ret < 0 ? err_set(e, ret, "no netfilter socket: %s", err_str(ret)) : 0;
}

int rules_ensure(struct node_rules *r, struct err *e)
{
    if (r->kind == RULES_IPTABLES)
        return ensure_rows(r, e);
    return owned_table_is_there(&r->table) ? 0 : make_table(r, e);
}

void rules_remove(struct node_rules *r)
{
    if (r->kind == RULES_IPTABLES)
        remove_rows(r);
    else
        owned_table_remove(&r->table);
}

void rules_done(struct node_rules *r)
{
    owned_table_done(&r->table);
}
