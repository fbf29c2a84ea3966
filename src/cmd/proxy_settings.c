#include "base/mem.h"
#include "cmd/proxy_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int check_numbers(const struct proxy_options *o, struct err *e)
{
    if (o->min_sync < 0 || o->sync_period < 0)
        return err_set(e, ERR_INVALID,
                       "--min-sync-period and --iptables-sync-period cannot be negative");
    if (o->tuning.max_per_core < 0 || o->tuning.min < 0 || o->tuning.max_per_core > 1L << 40)
        return err_set(e, ERR_INVALID,
                       "--conntrack-max-per-core and --conntrack-min cannot be negative or beyond "
                       "any memory");
    if (o->api_qps < 0 || o->api_burst < 0)
        return err_set(e, ERR_INVALID, "--kube-api-qps and --kube-api-burst cannot be negative");
    if (o->masquerade_bit < 0 || o->masquerade_bit > 31)
        return err_set(e, ERR_INVALID, "--iptables-masquerade-bit: %ld is not in 0..31",
                       o->masquerade_bit);
    if (o->oom_score_adj < -1000 || o->oom_score_adj > 1000)
        return err_set(e, ERR_INVALID, "--oom-score-adj: %ld is not in -1000..1000",
                       o->oom_score_adj);
    return 0;
}

static int check_words(const struct proxy_options *o, struct err *e)
{
    if (strcmp(o->mode, "nftables") != 0 && strcmp(o->mode, "iptables") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "--proxy-mode=%s is not offered: rules are written for nftables or iptables",
                       o->mode);
    if (o->manifests.n && (*o->kubeconfig || *o->master))
        return err_set(e, ERR_INVALID, "--manifests and an API server exclude each other");
    return 0;
}

/* At most one range a family, ret[0] IPv4 and ret[1] IPv6. */
static int read_ranges(const char *flag, const struct flag_list *list,
                       struct ip_prefix ret[FAMILIES], struct err *e)
{
    for (size_t i = 0; i < list->n; i++) {
        struct ip_prefix p;
        if (!*list->items[i])
            continue;
        if (ip_prefix_parse(list->items[i], &p) < 0)
            return err_set(e, ERR_INVALID, "--%s: \"%s\" is no address range", flag,
                           list->items[i]);
        if (ret[family_index(p.ip.family)].ip.family)
            return err_set(e, ERR_INVALID, "--%s: more than one %s range", flag,
                           family_names[family_index(p.ip.family)]);
        ret[family_index(p.ip.family)] = p;
    }
    return 0;
}

static int read_interface(const char *flag, const char *name, enum local_mode mode,
                          struct proxy_settings *s, struct err *e)
{
    if (!*name || strlen(name) >= sizeof s->rules[0].local_interface || strpbrk(name, "\"\\ /*\n"))
        return err_set(e, ERR_INVALID, "--%s: \"%s\" is no name of an interface", flag, name);
    for (unsigned f = 0; f < FAMILIES; f++) {
        s->rules[f].local_mode = (uint8_t)mode;
        memcpy(s->rules[f].local_interface, name, strlen(name) + 1);
    }
    return 0;
}

static int read_detection(const struct proxy_options *o, struct proxy_settings *s, struct err *e)
{
    struct ip_prefix cidrs[FAMILIES] = { 0 };
    int ret = read_ranges("cluster-cidr", &o->cluster_cidr, cidrs, e);
    if (ret < 0)
        return ret;
    if (strcmp(o->detect_local, "BridgeInterface") == 0)
        return read_interface("pod-bridge-interface", o->bridge, LOCAL_BRIDGE, s, e);
    if (strcmp(o->detect_local, "InterfaceNamePrefix") == 0)
        return read_interface("pod-interface-name-prefix", o->prefix, LOCAL_PREFIX, s, e);
    s->pod_cidrs_of_node = strcmp(o->detect_local, "NodeCIDR") == 0;
    if (s->pod_cidrs_of_node)
        return 0;
    if (*o->detect_local && strcmp(o->detect_local, "ClusterCIDR") != 0)
        return err_set(e, ERR_INVALID,
                       "--detect-local-mode=%s is unknown; ClusterCIDR, NodeCIDR, BridgeInterface "
                       "and InterfaceNamePrefix are offered",
                       o->detect_local);
    for (unsigned f = 0; f < FAMILIES; f++) {
        s->rules[f].local_cidr = cidrs[f];
        s->rules[f].local_mode = cidrs[f].ip.family ? LOCAL_CIDR : LOCAL_UNKNOWN;
    }
    return 0;
}

/* As the original: ranges of one family only say nothing about the other, where node ports are then
 * open at every address. */
static int complete_families(struct proxy_settings *s, struct err *e)
{
    unsigned n[FAMILIES] = { 0, 0 };
    for (unsigned i = 0; i < s->n_node_port_ranges; i++)
        n[family_index(s->node_port_ranges[i].ip.family)]++;
    for (unsigned f = 0; f < FAMILIES; f++) {
        if (n[f] || !s->n_node_port_ranges || s->node_ports_primary || s->node_ports_all)
            continue;
        if (s->n_node_port_ranges == ARRAY_SIZE(s->node_port_ranges))
            return err_set(e, ERR_LIMIT, "--nodeport-addresses: too many ranges");
        s->node_port_ranges[s->n_node_port_ranges++] =
            (struct ip_prefix){ .ip = { .family = f == 0 ? 4 : 6 } };
    }
    return 0;
}

static int read_node_ports(const struct proxy_options *o, struct proxy_settings *s, struct err *e)
{
    for (size_t i = 0; i < o->node_port_addresses.n; i++) {
        const char *text = o->node_port_addresses.items[i];
        struct ip_prefix *p = &s->node_port_ranges[s->n_node_port_ranges];
        if (strcmp(text, "primary") == 0) {
            s->node_ports_primary = true;
        } else if (strcmp(text, "all") == 0) {
            s->node_ports_all = true;
        } else if (strcmp(text, "localhost") == 0 && s->mode == MODE_IPTABLES) {
            s->node_ports_localhost = true;
        } else if (strcmp(text, "localhost") == 0) {
            return err_set(e, ERR_UNSUPPORTED,
                           "--nodeport-addresses=localhost is not offered: nftables mode has no "
                           "node ports at loopback addresses");
        } else if (s->n_node_port_ranges == ARRAY_SIZE(s->node_port_ranges)) {
            return err_set(e, ERR_LIMIT, "--nodeport-addresses: more than %zu ranges",
                           ARRAY_SIZE(s->node_port_ranges));
        } else if (*text) {
            if (ip_prefix_parse(text, p) < 0)
                return err_set(e, ERR_INVALID, "--nodeport-addresses: \"%s\" is no address range",
                               text);
            s->n_node_port_ranges++;
        }
    }
    bool said = s->n_node_port_ranges || s->node_ports_all || s->node_ports_primary ||
                s->node_ports_localhost;
    s->node_ports_primary |= !said && s->mode == MODE_NFTABLES;
    s->node_ports_all |= !said && s->mode == MODE_IPTABLES;
    return complete_families(s, e);
}

/* Open at every address of a family? */
static bool is_everywhere(const struct proxy_settings *s, uint8_t family)
{
    for (unsigned i = 0; i < s->n_node_port_ranges; i++)
        if (s->node_port_ranges[i].ip.family == family && s->node_port_ranges[i].bits == 0)
            return true;
    return s->node_ports_all;
}

static bool has_loopback(const struct proxy_settings *s)
{
    struct ip loopback = { .family = 4, .bytes = { 127, 0, 0, 1 } };
    for (unsigned i = 0; i < s->n_node_port_ranges; i++)
        if (ip_prefix_contains(&s->node_port_ranges[i], &loopback))
            return true;
    return s->node_ports_localhost || s->node_ports_all;
}

void proxy_settings_chains(const struct proxy_settings *s, struct chain_options ret[FAMILIES])
{
    for (unsigned f = 0; f < FAMILIES; f++)
        ret[f] = (struct chain_options){
            .rules = s->rules[f],
            .node_ports_everywhere = is_everywhere(s, s->rules[f].family),
            .localhost_node_ports = f == 0 && s->localhost_node_ports,
            .drop_invalid = true,
        };
}

static int read_address(const char *flag, const char *text, uint16_t port,
                        struct proxy_address *ret, struct err *e)
{
    if (!*text)
        return 0;
    if (ip_port_parse(text, port, &ret->ip, &ret->port) < 0 || ret->port == 0)
        return err_set(e, ERR_INVALID, "--%s: \"%s\" is no IP:PORT", flag, text);
    return 0;
}

static int read_bind_address(const struct proxy_options *o, struct proxy_settings *s, struct err *e)
{
    struct ip ip;
    if (!*o->bind_address)
        return 0;
    if (ip_parse(o->bind_address, &ip) < 0)
        return err_set(e, ERR_INVALID, "--bind-address: \"%s\" is no address", o->bind_address);
    if (!ip_is_any(&ip))
        s->addresses[family_index(ip.family)] = ip;
    return 0;
}

static int read_service_ranges(const struct proxy_options *o, struct proxy_settings *s,
                               struct err *e)
{
    struct ip_prefix ranges[FAMILIES] = { 0 };
    char *text = xstrdup(o->range ? o->range : ""), *save = NULL;
    int ret = 0;
    for (char *t = strtok_r(text, ",", &save); t && ret == 0; t = strtok_r(NULL, ",", &save)) {
        const char *one[] = { t };
        struct flag_list list = { one, 1 };
        ret = read_ranges("service-cluster-ip-range", &list, ranges, e);
    }
    free(text);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (ranges[f].ip.family)
            s->service_ranges[s->n_service_ranges++] = ranges[f];
    return ret;
}

static int find_node_name(const struct proxy_options *o, struct proxy_settings *s, struct err *e)
{
    size_t n = strlen(o->hostname_override);
    if (n >= sizeof s->node_name)
        return err_set(e, ERR_LIMIT, "--hostname-override: longer than %zu characters",
                       sizeof s->node_name - 1);
    memcpy(s->node_name, o->hostname_override, n + 1);
    if (!n && gethostname(s->node_name, sizeof s->node_name - 1) < 0)
        return err_set(e, -errno, "this host's name: %s; give --hostname-override",
                       err_str(-errno));
    if (!n)
        str_lower(s->node_name);
    return 0;
}

int proxy_settings_of(const struct proxy_options *o, struct proxy_settings *s, struct err *e)
{
    *s = (struct proxy_settings){ .n_service_ranges = 0 };
    int ret = check_words(o, e);
    s->mode = strcmp(o->mode, "iptables") == 0 ? MODE_IPTABLES : MODE_NFTABLES;
    if (ret == 0)
        ret = check_numbers(o, e);
    for (unsigned f = 0; f < FAMILIES && ret == 0; f++)
        s->rules[f] = (struct ruleset_options){ .family = f == 0 ? 4 : 6,
                                                .masquerade_all = o->masquerade_all,
                                                .mark = 1u << o->masquerade_bit };
    if (ret == 0)
        ret = read_detection(o, s, e);
    if (ret == 0)
        ret = read_node_ports(o, s, e);
    s->localhost_node_ports =
        s->mode == MODE_IPTABLES && o->localhost_node_ports && has_loopback(s);
    if (ret == 0)
        ret = read_bind_address(o, s, e);
    if (ret == 0)
        ret = read_address("healthz-bind-address", o->healthz_address, 10256, &s->healthz, e);
    if (ret == 0)
        ret = read_address("metrics-bind-address", o->metrics_address, 10249, &s->metrics, e);
    if (ret == 0)
        ret = read_service_ranges(o, s, e);
    return ret == 0 ? find_node_name(o, s, e) : ret;
}
