#include "client/resolvconf.h"

#include <string.h>

#define BLANKS "\t\v\f\r " /* a line holds no '\n' */

enum dns_type { TYPE_CLUSTER, TYPE_HOST, TYPE_NONE };

static void note(struct dns_notes *notes, enum dns_note_on on, const char *reason, const char *text)
{
    if (notes->n < DNS_NOTES_MAX)
        notes->items[notes->n++] = (struct dns_note){ on, reason, text };
}

/* "foo." is "foo" here, but a lone "." stays: it stands for the root. */
static const char *without_dot(const char *name, struct arena *a)
{
    size_t len = strlen(name);
    return len > 1 && name[len - 1] == '.' ? arena_strndup(a, name, len - 1) : name;
}

static int parse_line(const char *line, size_t len, unsigned number, struct arena *a,
                      struct resolvconf *out, struct err *e)
{
    struct strlist fields = { 0 };
    strlist_split(&fields, a, line, len, BLANKS);
    if (fields.n == 0 || fields.items[0][0] == '#')
        return 0;

    struct strlist rest = { 0 };
    for (size_t i = 1; i < fields.n; i++)
        strlist_add(&rest, a, fields.items[i]);
    if (str_eq(fields.items[0], "nameserver")) {
        if (rest.n == 0)
            return err_set(e, ERR_PARSE, "line %u: nameserver list is empty", number);
        strlist_add(&out->servers, a, rest.items[0]);
    } else if (str_eq(fields.items[0], "search")) {
        for (size_t i = 0; i < rest.n; i++)
            rest.items[i] = without_dot(rest.items[i], a);
        out->searches = rest;
    } else if (str_eq(fields.items[0], "options")) {
        out->options = rest;
    }
    return 0;
}

int resolvconf_parse_host(const char *text, struct arena *a, struct resolvconf *ret, struct err *e)
{
    struct resolvconf out = { 0 };
    unsigned number = 0;
    if (strnlen(text, HOST_RESOLVCONF_MAX + 1) > HOST_RESOLVCONF_MAX)
        return err_set(e, ERR_LIMIT, "larger than %d bytes", HOST_RESOLVCONF_MAX);
    while (*text) {
        size_t len = strcspn(text, "\n");
        int rc = parse_line(text, len, ++number, a, &out, e);
        if (rc < 0)
            return rc;
        text += len + (text[len] == '\n');
    }
    *ret = out;
    return 0;
}

static int read_host(const struct kubelet_dns *k, struct arena *a, struct resolvconf *ret,
                     struct err *e)
{
    *ret = (struct resolvconf){ 0 };
    if (!text_given(k->host_path))
        return 0;
    if (!k->host_text)
        return err_set(e, ERR_NOT_FOUND,
                       "%s: cannot be read; name the node's file or \"\" for none", k->host_path);
    int rc = resolvconf_parse_host(k->host_text, a, ret, e);
    return rc < 0 ? err_wrap(e, "%s", k->host_path) : 0;
}

static enum dns_type policy_type(const struct pod_dns *p, struct arena *a, struct dns_notes *notes)
{
    const char *policy = text_given(p->policy) ? p->policy : "ClusterFirst";
    if (str_eq(policy, "None"))
        return TYPE_NONE;
    if (str_eq(policy, "Default"))
        return TYPE_HOST;
    if (str_eq(policy, "ClusterFirst"))
        return p->host_network ? TYPE_HOST : TYPE_CLUSTER;
    if (!str_eq(policy, "ClusterFirstWithHostNet"))
        note(notes, NOTE_LOG, NULL,
             arena_printf(a, "dnsPolicy \"%s\" is unknown; going on as with ClusterFirst", policy));
    return TYPE_CLUSTER;
}

static void note_no_cluster_dns(const struct pod_dns *p, struct arena *a, struct dns_notes *notes)
{
    const char *text = "kubelet does not have ClusterDNS IP configured and cannot create Pod using "
                       "\"ClusterFirst\" policy. Falling back to \"Default\" policy.";
    note(notes, NOTE_NODE, "MissingClusterDNS", text);
    note(notes, NOTE_POD, "MissingClusterDNS",
         arena_printf(a, "pod: \"%s_%s(%s)\". %s", p->name, p->namespace, p->uid ? p->uid : "",
                      text));
}

static void base_cluster(const struct kubelet_dns *k, const struct pod_dns *p, struct arena *a,
                         struct resolvconf *r)
{
    struct strlist searches = { 0 };
    const char *domain = k->cluster_domain;
    if (text_given(domain)) {
        strlist_add(&searches, a, arena_printf(a, "%s.svc.%s", p->namespace, domain));
        strlist_add(&searches, a, arena_printf(a, "svc.%s", domain));
        strlist_add(&searches, a, domain);
        strlist_append(&searches, a, &r->searches);
        r->searches = strlist_unique(&searches, a);
    }
    r->servers = k->cluster_dns;
    r->options = (struct strlist){ 0 };
    strlist_add(&r->options, a, "ndots:5");
}

/* Without a file of the node's: whatever listens on the node itself, and names as they are. */
static void base_no_file(const struct kubelet_dns *k, struct arena *a, struct resolvconf *r)
{
    *r = (struct resolvconf){ 0 };
    for (size_t i = 0; i < k->n_node_ips; i++)
        strlist_add(&r->servers, a, k->node_ips[i].family == 6 ? "::1" : "127.0.0.1");
    if (r->servers.n == 0)
        strlist_add(&r->servers, a, "127.0.0.1");
    strlist_add(&r->searches, a, ".");
}

static size_t option_name_len(const char *option)
{
    return strcspn(option, ":");
}

static void put_option(struct strlist *options, struct arena *a, const char *name, size_t name_len,
                       const char *value)
{
    const char *text = text_given(value) ? arena_printf(a, "%.*s:%s", (int)name_len, name, value)
                                         : arena_strndup(a, name, name_len);
    for (size_t i = 0; i < options->n; i++) {
        const char *have = options->items[i];
        if (option_name_len(have) == name_len && strncmp(have, name, name_len) == 0) {
            options->items[i] = text;
            return;
        }
    }
    strlist_add(options, a, text);
}

static struct strlist merge_options(const struct strlist *base, const struct pod_dns *p,
                                    struct arena *a)
{
    struct strlist out = { 0 };
    for (size_t i = 0; i < base->n; i++) {
        size_t len = option_name_len(base->items[i]);
        bool valued = base->items[i][len] == ':';
        put_option(&out, a, base->items[i], len, valued ? base->items[i] + len + 1 : NULL);
    }
    for (size_t i = 0; i < p->n_options; i++)
        put_option(&out, a, p->options[i].name, strlen(p->options[i].name), p->options[i].value);
    return out;
}

static void merge_config(const struct pod_dns *p, struct arena *a, struct resolvconf *r)
{
    struct strlist servers = { 0 }, searches = { 0 };
    strlist_append(&servers, a, &r->servers);
    strlist_append(&servers, a, &p->servers);
    strlist_append(&searches, a, &r->searches);
    strlist_append(&searches, a, &p->searches);
    r->servers = strlist_unique(&servers, a);
    r->searches = strlist_unique(&searches, a);
    r->options = merge_options(&r->options, p, a);
}

static void limit_servers(struct arena *a, struct resolvconf *r, struct dns_notes *notes)
{
    if (r->servers.n <= DNS_SERVERS_MAX)
        return;
    r->servers.n = DNS_SERVERS_MAX;
    note(notes, NOTE_POD, "DNSConfigForming",
         arena_printf(a,
                      "Nameserver limits were exceeded, some nameservers have been omitted, "
                      "the applied nameserver line is: %s",
                      strlist_join(&r->servers, a, " ")));
}

/* Number first, then names that are too long, then the line's length from its end. */
static void limit_searches(const struct kubelet_dns *k, struct arena *a, struct resolvconf *r,
                           struct dns_notes *notes)
{
    size_t max_n = k->old_limits ? DNS_SEARCHES_MAX_OLD : DNS_SEARCHES_MAX;
    size_t max_len = k->old_limits ? DNS_SEARCH_LINE_MAX_OLD : DNS_SEARCH_LINE_MAX;
    struct strlist kept = { 0 };
    for (size_t i = 0; i < MIN(r->searches.n, max_n); i++) {
        if (strlen(r->searches.items[i]) <= DNS_SEARCH_NAME_MAX)
            strlist_add(&kept, a, r->searches.items[i]);
    }
    while (strlist_joined_len(&kept) > max_len)
        kept.n--;
    if (kept.n < r->searches.n)
        note(notes, NOTE_POD, "DNSConfigForming",
             arena_printf(a,
                          "Search Line limits were exceeded, some search paths have been "
                          "omitted, the applied search line is: %s",
                          strlist_join(&kept, a, " ")));
    r->searches = kept;
}

int resolvconf_build(const struct kubelet_dns *k, const struct pod_dns *p, struct arena *a,
                     struct resolvconf *ret, struct dns_notes *ret_notes, struct err *e)
{
    struct resolvconf r;
    struct dns_notes notes = { 0 };
    int rc = read_host(k, a, &r, e); /* whatever the policy: a broken file stops every Pod */
    if (rc < 0)
        return rc;

    enum dns_type type = policy_type(p, a, &notes);
    if (type == TYPE_CLUSTER && k->cluster_dns.n == 0) {
        note_no_cluster_dns(p, a, &notes);
        type = TYPE_HOST;
    }
    if (type == TYPE_CLUSTER)
        base_cluster(k, p, a, &r);
    else if (type == TYPE_NONE)
        r = (struct resolvconf){ 0 };
    else if (!text_given(k->host_path))
        base_no_file(k, a, &r);
    if (p->has_config)
        merge_config(p, a, &r);
    limit_servers(a, &r, &notes);
    limit_searches(k, a, &r, &notes);
    if (r.servers.n + r.searches.n + r.options.n == 0)
        note(&notes, NOTE_LOG, NULL,
             "nothing is left to write; a container runtime may then copy the node's own file");
    *ret = r;
    *ret_notes = notes;
    return 0;
}

const char *resolvconf_text(const struct resolvconf *r, struct arena *a)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    strbuf_puts(&b, "");
    if (r->searches.n)
        strbuf_printf(&b, "search %s\n", strlist_join(&r->searches, a, " "));
    for (size_t i = 0; i < r->servers.n; i++)
        strbuf_printf(&b, "nameserver %s\n", r->servers.items[i]);
    if (r->options.n)
        strbuf_printf(&b, "options %s\n", strlist_join(&r->options, a, " "));
    return arena_strdup(a, b.p);
}

/* What breaks a limit in the node's file, or NULL; the first of three checks that fails. */
static const char *node_complaint(const struct kubelet_dns *k, const struct strlist *searches,
                                  struct arena *a)
{
    size_t max_n = k->old_limits ? DNS_SEARCHES_MAX_OLD : DNS_SEARCHES_MAX;
    int max_len = k->old_limits ? DNS_SEARCH_LINE_MAX_OLD : DNS_SEARCH_LINE_MAX;
    if (text_given(k->cluster_domain))
        max_n -= 3; /* the cluster's own come in front */
    if (searches->n > max_n)
        return arena_printf(a,
                            "Resolv.conf file '%s' contains search line consisting of more than "
                            "%zu domains!",
                            k->host_path, max_n);
    for (size_t i = 0; i < searches->n; i++) {
        if (strlen(searches->items[i]) > DNS_SEARCH_NAME_MAX)
            return arena_printf(a,
                                "Resolv.conf file \"%s\" contains a search path which length is "
                                "more than allowed %d chars!",
                                k->host_path, DNS_SEARCH_NAME_MAX);
    }
    if (strlist_joined_len(searches) > (size_t)max_len)
        return arena_printf(a,
                            "Resolv.conf file '%s' contains search line which length is more "
                            "than allowed %d chars!",
                            k->host_path, max_len);
    return NULL;
}

int resolvconf_check_node(const struct kubelet_dns *k, struct arena *a, struct dns_notes *notes,
                          struct err *e)
{
    struct resolvconf host;
    int rc = read_host(k, a, &host, e);
    if (rc < 0)
        return rc;
    const char *text = node_complaint(k, &host.searches, a);
    if (text)
        note(notes, NOTE_NODE, "CheckLimitsForResolvConf", text);
    return 0;
}
