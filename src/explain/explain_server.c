/* The name server that the client asks, by its Corefile: does it forward to itself, does a wildcard
 * of it capture names of the search list, does it keep for long that a name is not there? And is it
 * one at all, as far as its pods say? Only what is in one block's own words is judged. */
#include "base/str.h"
#include "config/corefile.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_LONG_S                                                                                \
    30 /* what the cluster's DNS itself keeps a miss for, and a node's cache, is less */

struct server {
    struct explain_report *r;
    const struct service *service;
    struct ip ip;
    struct corefile *corefile;
    const char *file;
};

/* ---- zones and blocks */

static bool is_below(const char *name, const char *zone)
{
    size_t n = strlen(name), z = strlen(zone);
    n -= n > 0 && name[n - 1] == '.';
    z -= z > 0 && zone[z - 1] == '.';
    return z == 0 || (n >= z && strncasecmp(name + n - z, zone, z) == 0 &&
                      (n == z || name[n - z - 1] == '.'));
}

static const struct block *block_of(const struct corefile *c, const char *name)
{
    const struct block *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < c->n_blocks; i++) {
        for (size_t k = 0; k < c->blocks[i].n_keys; k++) {
            const char *zone = c->blocks[i].keys[k].zone;
            if (!is_below(name, zone) || (best && strlen(zone) <= longest))
                continue;
            best = &c->blocks[i];
            longest = strlen(zone);
        }
    }
    return best;
}

static const struct directive *directive_of(const struct block *b, const char *name)
{
    for (size_t i = 0; b && i < b->n_directives; i++)
        if (strcmp(b->directives[i].name, name) == 0)
            return &b->directives[i];
    return NULL;
}

static bool is_port_of(const struct corefile *c, uint16_t port)
{
    for (size_t i = 0; i < c->n_blocks; i++)
        for (size_t k = 0; k < c->blocks[i].n_keys; k++)
            if (c->blocks[i].keys[k].port == port)
                return true;
    return false;
}

static const char *place_text(const struct server *s, const struct token *t)
{
    return arena_printf(s->r->arena, "%s:%d", s->file, t->line);
}

/* ---- kubernetes: names of its zones are not forwarded */

static bool is_of_kubernetes(const struct block *b, const char *name)
{
    const struct directive *d = directive_of(b, "kubernetes");
    bool any = false, below = false;
    if (!d)
        return false;
    struct dispenser at = dispenser_of(d);
    while (dispenser_next_directive(&at)) {
        for (; dispenser_next_arg(&at); any = true)
            below |= is_below(name, dispenser_val(&at));
        while (dispenser_next_block(&at))
            continue;
    }
    return below || !any;
}

/* ---- forward: to itself */

static bool is_pod_behind(const struct server *s, const struct ip *ip)
{
    const struct pod *p = explain_pod_at(s->r->request->store, ip);
    return p && s->service && s->service->n_selector > 0 &&
           strcmp(p->object.meta.namespace, s->service->object.meta.namespace) == 0 &&
           labels_match(&p->object.meta, s->service->selector, s->service->n_selector);
}

static bool is_itself(const struct server *s, const char *text)
{
    struct ip to;
    uint16_t port;
    if (str_starts(text, "dns://"))
        text += strlen("dns://");
    if (ip_port_parse(text, 53, &to, &port) < 0)
        return false;
    if (ip_equal(&to, &s->ip))
        return port == 53;
    return is_port_of(s->corefile, port) && (ip_is_loopback(&to) || is_pod_behind(s, &to));
}

/* The name server in that file that is the forwarder itself, for it reads it in its pod. */
static const char *loop_in_file(const struct server *s)
{
    struct stub_conf conf;
    const struct stub_env env = { .hostname = NULL };
    char text[IP_TEXT_MAX];
    if (!s->r->request->host_resolv)
        return NULL;
    stub_conf_parse(s->r->request->host_resolv, &env, s->r->arena, &conf);
    for (unsigned i = 0; i < conf.n_servers; i++)
        if (is_itself(s, ip_text(&conf.servers[i].ip, text)))
            return arena_strdup(s->r->arena, text);
    return NULL;
}

static void blame_loop(const struct server *s, const struct token *line, const char *to,
                       const char *file)
{
    struct arena *a = s->r->arena;
    char text[IP_TEXT_MAX];
    const char *whose = s->service
                            ? arena_printf(a, " (Service %s/%s)", s->service->object.meta.namespace,
                                           s->service->object.meta.name)
                            : "";
    explain_cause(s->r, "forward-loop",
                  arena_printf(a,
                               "the name server %s%s forwards to itself: forward at %s sends what "
                               "it does not know to %s%s%s%s, where it listens itself",
                               ip_text(&s->ip, text), whose, place_text(s, line), to,
                               file ? " (by " : "", file ? file : "", file ? ")" : ""),
                  "let it forward to a name server outside, or give the kubelet a resolvConf "
                  "without loopback addresses");
}

/* False: what it is asked for runs in a circle. */
static bool check_forward(const struct server *s, const struct block *b, const char *name)
{
    const struct directive *d = directive_of(b, "forward");
    if (!d || is_of_kubernetes(b, name))
        return true;
    struct dispenser at = dispenser_of(d);
    while (dispenser_next_directive(&at)) {
        const struct token *line = dispenser_token(&at);
        bool for_name = dispenser_next_arg(&at) && is_below(name, dispenser_val(&at));
        while (dispenser_next_arg(&at)) {
            const char *to = dispenser_val(&at);
            const char *file = *to == '/' ? to : NULL, *in_file = file ? loop_in_file(s) : NULL;
            if (for_name && (file ? in_file != NULL : is_itself(s, to))) {
                blame_loop(s, line, file ? in_file : to, file);
                return false;
            }
        }
        while (dispenser_next_block(&at))
            continue;
    }
    return true;
}

/* ---- template: wildcards */

struct wildcard {
    const struct token *line;
    const char *zone;
};

static bool gives_addresses(const char *class, const char *type)
{
    return (strcasecmp(class, "IN") == 0 || strcasecmp(class, "ANY") == 0) &&
           (strcasecmp(type, "A") == 0 || strcasecmp(type, "ANY") == 0);
}

/* A template that answers for all of a zone: without "match". */
static bool find_wildcard(const struct block *b, const char *name, struct wildcard *ret)
{
    const struct directive *d = directive_of(b, "template");
    if (!d)
        return false;
    struct dispenser at = dispenser_of(d);
    while (dispenser_next_directive(&at)) {
        struct wildcard w = { .line = dispenser_token(&at) };
        const char *class = dispenser_next_arg(&at) ? dispenser_val(&at) : "";
        const char *type = dispenser_next_arg(&at) ? dispenser_val(&at) : "";
        bool answers = false, picks = false;
        while (dispenser_next_arg(&at))
            if (is_below(name, dispenser_val(&at)))
                w.zone = dispenser_val(&at);
        while (dispenser_next_block(&at)) {
            answers |= strcmp(dispenser_val(&at), "answer") == 0;
            picks |= strcmp(dispenser_val(&at), "match") == 0;
        }
        *ret = w;
        if (w.zone && strcmp(w.zone, ".") != 0 && answers && !picks && gives_addresses(class, type))
            return true;
    }
    return false;
}

/* False: a name that the search list makes is answered before the one that was meant. */
static bool check_wildcards(const struct server *s)
{
    const struct explain_lookup *l = &s->r->lookup;
    int end = l->won < 0 ? (int)l->candidates.n : l->won;
    for (int i = 0; i < end; i++) {
        const char *name = l->candidates.items[i].name;
        struct wildcard w;
        if (l->candidates.items[i].answer.kind != ANSWER_OUTSIDE || strcmp(name, s->r->name) == 0 ||
            !find_wildcard(block_of(s->corefile, name), name, &w))
            continue;
        explain_cause(s->r, "search-wildcard",
                      arena_printf(s->r->arena,
                                   "the search list captures the name: %s answers first, as every "
                                   "name below %s does by the template at %s, and %s itself is "
                                   "never asked for",
                                   name, w.zone, place_text(s, w.line), s->r->name),
                      arena_printf(s->r->arena,
                                   "write %s., or take the domain out of the search "
                                   "list",
                                   s->r->name));
        return false;
    }
    return true;
}

/* ---- cache: misses that are kept */

static long kept_s(const struct directive *d, const struct token **ret_line)
{
    long most = 0;
    struct dispenser at = dispenser_of(d);
    while (dispenser_next_directive(&at)) {
        *ret_line = dispenser_token(&at);
        while (dispenser_next_arg(&at))
            continue;
        while (dispenser_next_block(&at)) {
            bool denial = strcmp(dispenser_val(&at), "denial") == 0;
            for (unsigned n = 1; dispenser_next_arg(&at); n++)
                if (denial && n == 3) /* denial CAPACITY TTL MINTTL */
                    most = strtol(dispenser_val(&at), NULL, 10);
        }
    }
    return most;
}

static void check_cache(const struct server *s, const struct block *b)
{
    const struct token *line = NULL;
    const struct directive *d = directive_of(b, "cache");
    long seconds = d ? kept_s(d, &line) : 0;
    if (seconds <= KEPT_LONG_S || s->r->lookup.won < 0)
        return;
    explain_doubt(s->r, "cached-nxdomain",
                  arena_printf(s->r->arena,
                               "who asked for %s before it existed is told so for %ld seconds "
                               "more: cache at %s keeps that a name does not exist for so long",
                               s->r->lookup.candidates.items[s->r->lookup.won].name, seconds,
                               place_text(s, line)),
                  "wait, or restart the name server; and give denial a smaller least TTL");
}

/* ---- pods that may be none of a name server */

struct crowd {
    const struct service *service;
    const struct pod *one;
    unsigned listening;
};

static void count_pod(void *ctx, const struct object *o)
{
    struct crowd *c = ctx;
    const struct pod *p = pod_of(o);
    bool declares = false;
    if (!labels_match(&o->meta, c->service->selector, c->service->n_selector) || !p->ready)
        return;
    for (unsigned i = 0; i < p->n_ports; i++)
        declares |= p->ports[i].protocol == PROTO_UDP || p->ports[i].port == 53;
    c->one = c->one ? c->one : p;
    c->listening += declares;
}

static void check_pods(const struct server *s)
{
    struct crowd c = { .service = s->service };
    char text[IP_TEXT_MAX];
    if (!s->service || s->service->n_selector == 0)
        return;
    store_each(s->r->request->store, KIND_POD, s->service->object.meta.namespace, count_pod, &c);
    if (!c.one || c.listening)
        return;
    explain_doubt(s->r, "dns-dead",
                  arena_printf(s->r->arena,
                               "the name server at %s may be dead: pod %s/%s behind it counts as "
                               "ready, but no container of its declares a port for DNS",
                               ip_text(&s->ip, text), c.one->object.meta.namespace,
                               c.one->object.meta.name),
                  "see whether a name server runs in it, and give it a readinessProbe that asks "
                  "one");
}

/* ---- all of it */

static bool check_corefile(struct server *s, const char *text)
{
    const struct explain_lookup *l = &s->r->lookup;
    struct err e;
    bool ok = true;
    if (corefile_parse(text, strlen(text), s->file, NULL, &s->corefile, &e) < 0) {
        explain_note(s->r, "corefile", arena_printf(s->r->arena, "%s", e.text), NULL);
        return true;
    }
    ok = check_wildcards(s);
    for (size_t i = 0; ok && i < l->candidates.n; i++) {
        const char *name = l->candidates.items[i].name;
        ok = check_forward(s, block_of(s->corefile, name), name);
    }
    if (ok && l->won >= 0) {
        const char *name = l->candidates.items[l->won].name;
        check_cache(s, block_of(s->corefile, name));
    }
    corefile_free(s->corefile);
    return ok;
}

bool explain_name_server(struct explain_report *r)
{
    const struct explain_around *around = &r->request->around;
    if (r->lookup.from_files || r->lookup.no_server || r->lookup.stub.n_servers == 0)
        return true;
    struct server s = { .r = r, .ip = r->lookup.stub.servers[0].ip, .file = "Corefile" };
    s.service = explain_service_at(r->request->store, &s.ip);
    check_pods(&s);
    const char *text =
        around->corefile
            ? around->corefile(around->ctx, s.service ? s.service->object.meta.namespace : NULL,
                               s.service ? s.service->object.meta.name : NULL, r->arena, &s.file)
            : NULL;
    if (!text || check_corefile(&s, text))
        return true;
    struct explain_cause why = r->causes.items[r->causes.n - 1];
    vec_clear(&r->causes); /* that a name is not there is no matter then */
    vec_clear(&r->near);
    vec_push(&r->causes, why);
    return false;
}
