#include "lab/observer.h"

#include "base/str.h"
#include "kernel/link.h"
#include "kernel/netns.h"
#include "lab/enter.h"
#include "lab/place.h"

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>

#define SETTLE_US     30000 /* for packets and events that are still on their way */
#define NFT_NS        10000000000LL
#define SIGHTINGS_MAX 20000

static int run_nft(const struct observer *o, const char *commands, struct err *e)
{
    const char *const argv[] = { "nft", commands, NULL };
    struct ran r;
    int code = enter_run(o->node_pid, argv, NFT_NS, &r, e);
    if (code < 0)
        return code;
    if (r.status)
        code = err_set(e, ERR_REFUSED, "nft: %.*s", (int)strcspn(r.err.p, "\n"), r.err.p);
    ran_done(&r);
    return code;
}

/* Reports of the client's connection attempts only. Before connection tracking (-200) and raw rules
 * (-300), so that every chain that matters is reported. */
static int start_tracing(struct observer *o, struct err *e)
{
    const struct ip *ip = &o->pods.items[o->client].ip;
    char text[IP_TEXT_MAX], commands[512];
    snprintf(commands, sizeof commands,
             "add table inet " TRACE_TABLE "; "
             "add chain inet " TRACE_TABLE " pre { type filter hook prerouting priority -301; }; "
             "add rule inet " TRACE_TABLE " pre %s saddr %s tcp flags & (syn | ack) == syn "
             "meta nftrace set 1",
             ip->family == 6 ? "ip6" : "ip", ip_text(ip, text));
    int code = run_nft(o, commands, e);
    o->tracing = code == 0;
    return code;
}

static int watch_pod(struct observer *o, const struct manifest *m, struct err *e)
{
    char key[600];
    const char *ip = json_text(m->json, "status.podIP");
    struct watched_pod p = { m->namespace, m->name, json_text(m->json, "spec.nodeName"),
                             .capture.fd = -1 };
    snprintf(key, sizeof key, "%s/%s", m->namespace, m->name);
    if (!ip || ip_parse(ip, &p.ip) < 0 || json_is_true(json_at(m->json, "spec.hostNetwork")))
        return 0;
    if (place_pod_pid(o->dir, key, &p.pid, e) < 0)
        return 0; /* it has just ended */
    int code = netns_join(p.pid, CLONE_NEWUSER | CLONE_NEWNET);
    if (code == 0)
        code = capture_open(&p.capture, "eth0");
    if (code < 0)
        return err_set(e, code, "cannot watch pod %s: %s", key, strerror(-code));
    vec_push(&o->pods, p);
    return 0;
}

static void ignore_flow(void *ctx, const struct flow *f)
{
    (void)ctx, (void)f;
}

static int watch_node(struct observer *o, const char *node, struct err *e)
{
    char rest[300];
    snprintf(rest, sizeof rest, "nodes/%s/pid", node);
    int code = place_pid(o->dir, rest, &o->node_pid, e);
    if (code < 0)
        return code;
    code = netns_join(o->node_pid, CLONE_NEWNET);
    if (code == 0)
        code = conntrack_open(&o->conntrack);
    if (code == 0) /* a first question has the kernel load what answers it, before it matters */
        code = conntrack_dump(&o->conntrack, ignore_flow, NULL);
    if (code == 0)
        code = conntrack_listen(&o->conntrack);
    if (code == 0)
        code = nft_tracer_open(&o->tracer);
    if (code == 0)
        code = link_table_open(&o->node_links);
    if (code < 0)
        return err_set(e, code, "cannot watch node %s: %s", node, strerror(-code));
    return start_tracing(o, e);
}

static int open_all(struct observer *o, const char *client, struct err *e)
{
    char path[PATH_MAX], key[600];
    struct manifests nothing = { 0 };
    bool found = false;
    o->source = place_read(place_path(path, o->dir, "source"), PATH_MAX);
    int code = o->source ? manifests_read(o->source, &nothing, &o->manifests, e) : -errno;
    if (code == 0)
        code = manifests_read(place_path(path, o->dir, "objects"), &nothing, &o->objects, e);
    vec_each (m, &o->objects.items) {
        if (code == 0 && str_eq(m->kind, "Pod"))
            code = watch_pod(o, m, e);
    }
    for (unsigned i = 0; i < o->pods.n; i++) {
        snprintf(key, sizeof key, "%s/%s", o->pods.items[i].namespace, o->pods.items[i].name);
        if (!str_eq(key, client))
            continue;
        o->client = i;
        found = true;
    }
    if (code == 0 && !found)
        code = err_set(e, ERR_NOT_FOUND, "there is no pod %s", client);
    return code < 0 ? code : watch_node(o, o->pods.items[o->client].node, e);
}

int observer_open(struct observer *o, const char *dir, const char *client, struct err *e)
{
    *o = (struct observer){ .dir = dir };
    arena_init(&o->arena, 65536);
    int code = open_all(o, client, e);
    if (code < 0)
        observer_done(o);
    return code;
}

void observer_done(struct observer *o)
{
    if (o->tracing)
        run_nft(o, "delete table inet " TRACE_TABLE, NULL);
    for (size_t i = 0; i < o->pods.n; i++)
        capture_done(&o->pods.items[i].capture);
    conntrack_done(&o->conntrack);
    nft_tracer_done(&o->tracer);
    link_table_done(&o->node_links);
    vec_done(&o->pods);
    vec_done(&o->packets);
    vec_done(&o->flows);
    vec_done(&o->traces);
    manifests_done(&o->objects);
    manifests_done(&o->manifests);
    free(o->source);
    arena_done(&o->arena);
    *o = (struct observer){ 0 };
}

static void take_packets(struct observer *o, unsigned pod)
{
    uint8_t buf[CAPTURE_BYTES];
    struct sighting s = { .pod = pod };
    while (o->packets.n < SIGHTINGS_MAX &&
           capture_read(&o->pods.items[pod].capture, buf, &s.packet) > 0) {
        if (s.packet.payload_len)
            s.packet.payload = arena_memdup(&o->arena, s.packet.payload, s.packet.payload_len);
        vec_push(&o->packets, s);
    }
}

static void take_flow(void *ctx, const struct flow *f)
{
    struct observer *o = ctx;
    vec_push(&o->flows, *f);
}

static void take_trace(void *ctx, const struct nft_trace *t)
{
    struct observer *o = ctx;
    vec_push(&o->traces, *t);
}

void observer_collect(struct observer *o)
{
    usleep(SETTLE_US);
    vec_clear(&o->packets);
    vec_clear(&o->flows);
    vec_clear(&o->traces);
    arena_reset(&o->arena);
    for (unsigned i = 0; i < o->pods.n; i++)
        take_packets(o, i);
    while (conntrack_events(&o->conntrack, take_flow, o) == -ENOBUFS)
        continue; /* some were lost; those that come behind are there still */
    nft_tracer_events(&o->tracer, take_trace, o);
}

const struct watched_pod *observer_pod_of(const struct observer *o, const struct ip *ip)
{
    for (size_t i = 0; i < o->pods.n; i++) {
        if (ip_equal(&o->pods.items[i].ip, ip))
            return &o->pods.items[i];
    }
    return NULL;
}

const char *observer_node_of(const struct observer *o, const struct ip *ip)
{
    char text[IP_TEXT_MAX];
    ip_text(ip, text);
    vec_each (m, &o->objects.items) {
        json_t *item;
        size_t i;
        if (!str_eq(m->kind, "Node"))
            continue;
        json_array_foreach(json_at(m->json, "status.addresses"), i, item)
        {
            if (str_eq(json_text(item, "address"), text))
                return m->name;
        }
    }
    return NULL;
}

const char *observer_origin_of(const struct observer *o, const struct manifest *object)
{
    const struct manifest *m =
        manifests_find(&o->manifests, object->kind, object->namespace, object->name);
    size_t len = strlen(o->source);
    if (!m)
        return "not from the folder";
    return str_starts(m->origin, o->source) && m->origin[len] == '/' ? m->origin + len + 1
                                                                     : m->origin;
}

const char *observer_name_of(const struct observer *o, const struct ip *ip, char out[300])
{
    const struct watched_pod *p = observer_pod_of(o, ip);
    if (p)
        snprintf(out, 300, "pod %s", p->name);
    else
        ip_text(ip, out);
    return out;
}

/* The line of `nft -a list chain` that ends in "# handle N", without that. */
static const char *find_rule(struct arena *a, char *listing, uint64_t handle)
{
    char tail[40], *rest;
    snprintf(tail, sizeof tail, " # handle %llu", (unsigned long long)handle);
    for (char *line = strtok_r(listing, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!str_ends(line, tail) || strchr(line, '{') == line + strlen(line) - strlen(tail) - 1)
            continue;
        line += strspn(line, " \t");
        return arena_strndup(a, line, strlen(line) - strlen(tail));
    }
    return "";
}

const char *observer_rule_text(struct observer *o, const struct nft_trace *t)
{
    const char *const argv[] = { "nft",    "-a",     "list", "chain", nft_family_text(t->family),
                                 t->table, t->chain, NULL };
    struct ran r;
    if (!t->handle || enter_run(o->node_pid, argv, NFT_NS, &r, NULL) < 0)
        return "";
    const char *text = find_rule(&o->arena, r.out.p, t->handle);
    ran_done(&r);
    return text;
}
