/* Who sends, and whom the target means. */
#include "base/str.h"
#include "dns/nearest.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"

#include <stdio.h>
#include <string.h>

/* ---- finding objects */

struct by_ip {
    const struct ip *ip;
    const struct object *found;
};

static bool has_ip(const struct ip *list, unsigned n, const struct ip *ip)
{
    for (unsigned i = 0; i < n; i++)
        if (ip_equal(&list[i], ip))
            return true;
    return false;
}

/* Of two pods with one address the one that runs has it. */
static void match_pod(void *ctx, const struct object *o)
{
    struct by_ip *b = ctx;
    const struct pod *p = pod_of(o);
    if (!p->host_network && has_ip(p->ips, p->n_ips, b->ip) && (!b->found || !pod_is_finished(p)))
        b->found = o;
}

static void match_node(void *ctx, const struct object *o)
{
    struct by_ip *b = ctx;
    if (has_ip(node_of(o)->internal_ips, node_of(o)->n_internal_ips, b->ip))
        b->found = o;
}

const struct pod *explain_pod_at(const struct store *s, const struct ip *ip)
{
    struct by_ip b = { .ip = ip };
    store_each(s, KIND_POD, NULL, match_pod, &b);
    return b.found ? pod_of(b.found) : NULL;
}

const struct node *explain_node_at(const struct store *s, const struct ip *ip)
{
    struct by_ip b = { .ip = ip };
    store_each(s, KIND_NODE, NULL, match_node, &b);
    return b.found ? node_of(b.found) : NULL;
}

const struct node *explain_node_named(const struct store *s, const char *name)
{
    const struct object *o = store_get(s, KIND_NODE, "", name);
    return o ? node_of(o) : NULL;
}

/* ---- the source */

struct by_name {
    const char *ns, *name; /* ns NULL: any */
    const struct object *found;
    unsigned n;
    struct strbuf all; /* those of that name */
    struct nearest near;
};

static void match_name(void *ctx, const struct object *o)
{
    struct by_name *b = ctx;
    char shown[NEAREST_TEXT];
    (void)snprintf(shown, sizeof shown, "%s/%s", o->meta.namespace, o->meta.name);
    nearest_offer(&b->near, o->meta.name, shown);
    if (strcmp(o->meta.name, b->name) != 0 || (b->ns && strcmp(o->meta.namespace, b->ns) != 0))
        return;
    strbuf_printf(&b->all, "%s%s", b->n++ ? ", " : "", shown);
    b->found = o;
}

static void take_ips(struct explain_source *s, const struct ip *ips, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct ip *to = &s->ips[ips[i].family == 6];
        if (!to->family)
            *to = ips[i];
    }
}

static void be_pod(struct explain_report *r, const struct pod *p)
{
    struct explain_source *s = &r->source;
    s->pod = p;
    s->node = explain_node_named(r->request->store, p->node);
    s->text = arena_printf(r->arena, "pod %s/%s", p->object.meta.namespace, p->object.meta.name);
    s->from_here = p->host_network;
    take_ips(s, p->ips, p->n_ips);
    if (p->host_network && s->node)
        take_ips(s, s->node->internal_ips, s->node->n_internal_ips);
}

static void be_node(struct explain_report *r, const struct node *n)
{
    struct explain_source *s = &r->source;
    s->node = n;
    s->text = arena_printf(r->arena, "node %s", n->object.meta.name);
    s->from_here = true;
    take_ips(s, n->internal_ips, n->n_internal_ips);
}

static int be_address(struct explain_report *r, const struct ip *ip, struct err *e)
{
    struct explain_source *s = &r->source;
    const struct store *store = r->request->store;
    const struct pod *p = explain_pod_at(store, ip);
    const struct node *n = explain_node_at(store, ip);
    char text[IP_TEXT_MAX];
    if (p)
        be_pod(r, p);
    else if (n)
        be_node(r, n);
    if (p || n)
        return 0;
    s->text = arena_strdup(r->arena, ip_text(ip, text));
    s->ips[ip->family == 6] = *ip;
    s->outside = true;
    if (r->request->at && !(s->node = explain_node_named(store, r->request->at)))
        return err_set(e, ERR_NOT_FOUND, "--at %s: there is no such Node among the objects",
                       r->request->at);
    return 0;
}

static int no_source(const struct explain_report *r, const struct by_name *b, struct err *e)
{
    cleanup(strbuf_done) struct strbuf near = { 0 };
    for (unsigned i = 0; i < b->near.n; i++)
        strbuf_printf(&near, "%s%s", i ? ", " : "; did you mean ", b->near.items[i].text);
    return err_set(e, ERR_NOT_FOUND,
                   "%s: neither a pod, nor a Node, nor an address among the objects%s",
                   r->request->from, near.len ? near.p : "");
}

static int find_pod(struct explain_report *r, struct by_name *b, struct err *e)
{
    const struct node *node = explain_node_named(r->request->store, r->request->from);
    nearest_init(&b->near, b->name, false);
    store_each(r->request->store, KIND_POD, NULL, match_name, b);
    if (b->n > 1)
        return err_set(e, ERR_INVALID, "%s: there are several pods of that name: %s",
                       r->request->from, b->all.p);
    if (b->n == 1)
        be_pod(r, pod_of(b->found));
    else if (node)
        be_node(r, node);
    else
        return no_source(r, b, e);
    return 0;
}

int explain_find_source(struct explain_report *r, struct err *e)
{
    const char *from = r->request->from, *slash = strchr(from, '/');
    struct by_name b = { .name = slash ? slash + 1 : from };
    struct ip ip;
    if (ip_parse(from, &ip) == 0)
        return be_address(r, &ip, e);
    if (slash)
        b.ns = arena_strndup(r->arena, from, (size_t)(slash - from));
    int rc = find_pod(r, &b, e);
    strbuf_done(&b.all);
    return rc;
}

/* ---- the target */

static int read_port(struct explain_report *r, const char *text, struct err *e)
{
    long n;
    bool number = text[strspn(text, "0123456789")] == '\0';
    if (number && str_to_long(text, 1, 65535, &n) < 0)
        return err_set(e, ERR_INVALID, "%s: a port is 1 to 65535, or its name in the Service",
                       r->request->to);
    r->port_text = text;
    r->port = number ? (uint16_t)n : 0;
    return 0;
}

int explain_find_target(struct explain_report *r, struct err *e)
{
    const char *to = r->request->to, *colon = strrchr(to, ':');
    struct ip ip;
    size_t len = strlen(to);
    if (ip_parse(to, &ip) == 0) {
        colon = NULL;
    } else if (to[0] == '[') {
        const char *end = strchr(to, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return err_set(e, ERR_INVALID, "%s: give [ADDRESS]:PORT", to);
        colon = end[1] ? end + 1 : NULL;
        len = (size_t)(end - ++to);
    } else if (colon) {
        len = (size_t)(colon - to);
    }
    r->name = arena_strndup(r->arena, to, len);
    if (!*r->name)
        return err_set(e, ERR_INVALID, "give a name or an address to go to");
    if (colon)
        return read_port(r, arena_strdup(r->arena, colon + 1), e);
    return 0;
}
