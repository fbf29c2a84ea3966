#include "client/pod_check.h"

#include "client/resolvconf.h"
#include "client/resolvconf_lint.h"
#include "kube/check.h"

#include <stdarg.h>
#include <string.h>

#define OVERRIDE_MAX 64 /* bytes of hostnameOverride */

struct check {
    const struct pod_dns *p;
    bool strict;
    pod_problem_fn *fn;
    void *ctx;
};

static void problem(const struct check *c, const char *fmt, ...) printf_like(2, 3);

static void problem(const struct check *c, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->fn(c->ctx, text);
}

static void check_policy(const struct check *c)
{
    static const char *const policies[] = { "ClusterFirst", "ClusterFirstWithHostNet", "Default",
                                            "None" };
    if (!text_given(c->p->policy))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
        if (str_eq(c->p->policy, policies[i]))
            return;
    problem(c,
            "spec.dnsPolicy: '%s' is none of ClusterFirst, ClusterFirstWithHostNet, Default, None",
            c->p->policy);
}

/* Without one there is nothing else to look at. */
static bool has_what_none_needs(const struct check *c)
{
    bool is_none = str_eq(c->p->policy, "None");
    if (is_none && !c->p->has_config)
        problem(c, "spec.dnsConfig: must be given when dnsPolicy is None");
    else if (is_none && c->p->servers.n == 0)
        problem(c, "spec.dnsConfig.nameservers: at least one is needed when dnsPolicy is None");
    return !is_none || c->p->servers.n;
}

static void check_servers(const struct check *c)
{
    struct ip ip;
    if (c->p->servers.n > DNS_SERVERS_MAX)
        problem(c, "spec.dnsConfig.nameservers: must not have more than %d", DNS_SERVERS_MAX);
    for (size_t i = 0; i < c->p->servers.n; i++)
        if (ip_parse_sloppy(c->p->servers.items[i], &ip) < 0)
            problem(c, "spec.dnsConfig.nameservers[%zu]: '%s' must be an IP address", i,
                    c->p->servers.items[i]);
}

/* One dot at the end does not count; relaxed: underscores do not, either, and '.' stands alone. */
static const char *check_search(const char *search, bool strict)
{
    size_t len = strlen(search);
    char name[DNS_SEARCH_NAME_MAX + 2];
    if (!strict && str_eq(search, "."))
        return NULL;
    len -= len > 0 && search[len - 1] == '.';
    if (len > DNS_SEARCH_NAME_MAX)
        return "must be no more than 253 characters";
    (void)snprintf(name, sizeof name, "%.*s", (int)len, search);
    for (char *at = name; !strict && *at; at++)
        *at = *at == '_' ? 'x' : *at;
    return check_dns_subdomain(name);
}

static void check_searches(const struct check *c)
{
    if (c->p->searches.n > DNS_SEARCHES_MAX)
        problem(c, "spec.dnsConfig.searches: must not have more than %d", DNS_SEARCHES_MAX);
    if (strlist_joined_len(&c->p->searches) > DNS_SEARCH_LINE_MAX)
        problem(c,
                "spec.dnsConfig.searches: must not have more than %d characters, blanks included",
                DNS_SEARCH_LINE_MAX);
    for (size_t i = 0; i < c->p->searches.n; i++) {
        const char *why = check_search(c->p->searches.items[i], c->strict);
        if (why)
            problem(c, "spec.dnsConfig.searches[%zu]: '%s' %s", i, c->p->searches.items[i], why);
    }
}

static void check_options(const struct check *c)
{
    for (size_t i = 0; i < c->p->n_options; i++)
        if (!text_given(c->p->options[i].name))
            problem(c, "spec.dnsConfig.options[%zu].name: must be given", i);
}

static void check_alias(const struct check *c, size_t i)
{
    const struct host_alias *alias = &c->p->aliases[i];
    struct ip ip;
    if (!text_given(alias->ip) || ip_parse_sloppy(alias->ip, &ip) < 0)
        problem(c, "spec.hostAliases[%zu].ip: '%s' must be an IP address", i,
                alias->ip ? alias->ip : "");
    for (size_t k = 0; k < alias->names.n; k++) {
        const char *why = check_dns_subdomain(alias->names.items[k]);
        if (why)
            problem(c, "spec.hostAliases[%zu].hostnames[%zu]: '%s' %s", i, k, alias->names.items[k],
                    why);
    }
}

static void check_label(const struct check *c, const char *field, const char *value)
{
    const char *why = text_given(value) ? check_dns_label(value) : NULL;
    if (why)
        problem(c, "spec.%s: '%s' %s", field, value, why);
}

static void check_override(const struct check *c)
{
    const char *value = c->p->hostname_override;
    if (!text_given(value))
        return;
    const char *why = check_dns_subdomain(value);
    if (why)
        problem(c, "spec.hostnameOverride: '%s' %s", value, why);
    if (strlen(value) > OVERRIDE_MAX)
        problem(c, "spec.hostnameOverride: must be no more than %d characters", OVERRIDE_MAX);
    if (c->p->host_network)
        problem(c, "spec.hostnameOverride: must not be given together with hostNetwork");
    if (c->p->hostname_as_fqdn)
        problem(c, "spec.hostnameOverride: must not be given together with setHostnameAsFQDN");
}

void pod_dns_check(const struct pod_dns *p, bool strict_searches, pod_problem_fn *fn, void *ctx)
{
    const struct check c = { .p = p, .strict = strict_searches, .fn = fn, .ctx = ctx };
    check_policy(&c);
    if (has_what_none_needs(&c)) {
        check_servers(&c);
        check_searches(&c);
        check_options(&c);
    }
    for (size_t i = 0; i < p->n_aliases; i++)
        check_alias(&c, i);
    check_label(&c, "hostname", p->hostname);
    check_label(&c, "subdomain", p->subdomain);
    check_override(&c);
}

/* ---- what is allowed, but hardly meant ---- */

/* Whether the node's own file plays a part: nothing is known of that one here. */
static bool is_of_the_node(const struct pod_dns *p)
{
    bool first = !text_given(p->policy) || str_eq(p->policy, "ClusterFirst");
    return str_eq(p->policy, "Default") || (first && p->host_network);
}

static void pass_on(void *ctx, const struct resolvconf_finding *f)
{
    problem(ctx, "its resolv.conf: %s", f->text);
}

void pod_dns_lint(const struct pod_dns *p, struct arena *a, pod_problem_fn *fn, void *ctx)
{
    struct kubelet_dns kubelet = { .host_path = "", .cluster_domain = "cluster.local" };
    struct check c = { .p = p, .fn = fn, .ctx = ctx };
    struct resolvconf file;
    struct dns_notes notes;
    struct err e = { 0 };
    strlist_add(&kubelet.cluster_dns, a, "10.96.0.10"); /* any */
    if (!p->has_config || is_of_the_node(p) ||
        resolvconf_build(&kubelet, p, a, &file, &notes, &e) < 0)
        return;
    for (size_t i = 0; i < notes.n; i++)
        if (notes.items[i].on == NOTE_POD)
            problem(&c, "the kubelet would write an event: %s: %s", notes.items[i].reason,
                    notes.items[i].text);
    resolvconf_lint(resolvconf_text(&file, a), a, pass_on, &c);
}
