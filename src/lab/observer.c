#include "lab/observer.h"

#include "base/file.h"
#include "base/str.h"
#include "kernel/netns.h"
#include "kernel/program.h"
#include "kube/service.h"
#include "lab/observer_impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

#define SETTLE_US     30000 /* for packets and events that are still on their way */
#define NFT_MS        10000
#define SIGHTINGS_MAX 20000
#define LISTING_MAX   (16 << 20) /* bytes of a chain */

void observer_init(struct observer *o)
{
    *o = (struct observer){ .client_net = -1, .node_net = -1, .node = "" };
    arena_init(&o->arena, 65536);
    arena_init(&o->kept, 16384);
}

static void open_table(struct observer *o)
{
    const struct watched_pod *client = &o->pods.items[o->client];
    const struct ip ips[] = { client->ip, client->second };
    int code = nat_watch_open(&o->nat, ips, client->second.family ? 2 : 1);
    if (code < 0)
        (void)snprintf(o->blind_table, sizeof o->blind_table,
                       "the connection table of the node cannot be asked: %s", strerror(-code));
}

static void open_rules(struct observer *o)
{
    int code = nft_tracer_open(&o->tracer);
    if (code == 0)
        code = owned_table_open(&o->table);
    if (code < 0)
        (void)snprintf(o->blind_rules, sizeof o->blind_rules,
                       "the kernel's reports of rules cannot be heard: %s", strerror(-code));
}

int observer_watch_node(struct observer *o, struct err *e)
{
    int code = netns_enter(o->node_net);
    if (code == 0)
        code = link_table_open(&o->node_links);
    if (code < 0)
        return err_set(e, code, "the network of the node cannot be entered: %s", strerror(-code));
    open_table(o);
    open_rules(o);
    return 0;
}

void observer_mark(struct observer *o, const struct tuple *f)
{
    char name[OWNED_NAME_MAX];
    struct err e = { 0 };
    (void)snprintf(name, sizeof name, TRACE_TABLE "_%d", (int)getpid());
    /* It had all whole, or can be told no more than it is: then the rest is seen all the same. */
    if (f->from_port && capture_follow(&o->pods.items[o->client].capture, f->from_port) < 0)
        o->lost++;
    if (!*o->blind_rules && owned_table_trace(&o->table, name, f, &e) < 0)
        (void)snprintf(o->blind_rules, sizeof o->blind_rules, "%.190s", e.text);
}

void observer_unmark(struct observer *o)
{
    owned_table_remove(&o->table);
}

static void close_net(int fd)
{
    if (fd >= 0)
        close(fd);
}

void observer_done(struct observer *o)
{
    for (size_t i = 0; i < o->pods.n; i++)
        capture_done(&o->pods.items[i].capture);
    nat_watch_done(&o->nat);
    nft_tracer_done(&o->tracer);
    owned_table_done(&o->table);
    link_table_done(&o->node_links);
    close_net(o->client_net);
    close_net(o->node_net);
    vec_done(&o->pods);
    vec_done(&o->nodes);
    vec_done(&o->packets);
    vec_done(&o->traces);
    manifests_done(&o->objects);
    manifests_done(&o->manifests);
    free(o->source);
    arena_done(&o->arena);
    arena_done(&o->kept);
    *o = (struct observer){ .client_net = -1, .node_net = -1 };
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

static void take_trace(void *ctx, const struct nft_trace *t)
{
    struct observer *o = ctx;
    vec_push(&o->traces, *t);
}

void observer_collect(struct observer *o)
{
    usleep(SETTLE_US);
    vec_clear(&o->packets);
    vec_clear(&o->traces);
    arena_reset(&o->arena);
    for (unsigned i = 0; i < o->pods.n; i++) {
        if (o->pods.items[i].capture.fd < 0)
            continue;
        take_packets(o, i);
        o->lost += capture_lost(&o->pods.items[i].capture);
    }
    if (!*o->blind_rules && nft_tracer_events(&o->tracer, take_trace, o) < 0)
        o->lost++;
}

bool observer_flow(struct observer *o, const struct tuple *original, struct flow *ret,
                   bool *ret_began)
{
    return nat_watch_find(&o->nat, original, ret, ret_began);
}

const struct watched_pod *observer_pod_of(const struct observer *o, const struct ip *ip)
{
    for (size_t i = 0; i < o->pods.n; i++) {
        const struct watched_pod *p = &o->pods.items[i];
        if (ip_equal(&p->ip, ip) || (p->second.family && ip_equal(&p->second, ip)))
            return p;
    }
    return NULL;
}

bool observer_sees(const struct observer *o, const struct ip *ip)
{
    const struct watched_pod *p = observer_pod_of(o, ip);
    return o->dir || (p && p->capture.fd >= 0);
}

const char *observer_node_of(const struct observer *o, const struct ip *ip)
{
    for (size_t i = 0; i < o->nodes.n; i++)
        if (ip_equal(&o->nodes.items[i].ip, ip))
            return o->nodes.items[i].name;
    return NULL;
}

/* Where an object of a lab was written: "shop/services.yaml:3". */
static const char *origin_of(const struct observer *o, const struct manifest *object)
{
    const struct manifest *m =
        manifests_find(&o->manifests, object->kind, object->namespace, object->name);
    size_t len = strlen(o->source);
    if (!m)
        return "not from the folder";
    return str_starts(m->origin, o->source) && m->origin[len] == '/' ? m->origin + len + 1
                                                                     : m->origin;
}

static bool service_of_store(const struct observer *o, const char *ns, const char *name,
                             struct observed_service *ret)
{
    const struct object *found = store_get(o->store, KIND_SERVICE, ns, name);
    if (!found)
        return false;
    const char *origin = found->meta.origin;
    *ret = (struct observed_service){ .origin = *origin ? origin : "of the API server" };
    return true;
}

bool observer_service(const struct observer *o, const char *ns, const char *name,
                      struct observed_service *ret)
{
    if (o->store)
        return service_of_store(o, ns, name, ret);
    const struct manifest *m = manifests_find(&o->objects, "Service", ns, name);
    if (!m)
        return false;
    *ret = (struct observed_service){ origin_of(o, m), json_text(m->json, "spec.clusterIP") };
    return true;
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

/* What nft prints, or NULL. The thread is in the node's network. */
static char *list_chain(const struct nft_trace *t)
{
    const char *const argv[] = { "nft",    "-a",     "list", "chain", nft_family_text(t->family),
                                 t->table, t->chain, NULL };
    struct program_said said;
    char *text = NULL;
    size_t len;
    cleanup_close int fd = memfd_create("chain", MFD_CLOEXEC);
    if (fd < 0 || program_run_to(argv, -1, fd, NFT_MS, &said) != 0 || lseek(fd, 0, SEEK_SET) < 0)
        return NULL;
    return file_read_all(fd, LISTING_MAX, &text, &len) < 0 ? NULL : text;
}

const char *observer_rule_text(struct observer *o, const struct nft_trace *t)
{
    cleanup_free char *listing = t->handle ? list_chain(t) : NULL;
    return listing ? find_rule(&o->arena, listing, t->handle) : "";
}
