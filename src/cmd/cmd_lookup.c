/* signpost lookup: a client's look-up, each query in order, with timing. */
#include "base/err.h"
#include "client/compare.h"
#include "client/stub.h"
#include "cmd/commands.h"
#include "cmd/lookup_place.h"
#include "wire/rr.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define EXIT_FOUND     0
#define EXIT_NOT_FOUND 1
#define EXIT_TROUBLE   2
#define ARENA_CHUNK    (64 << 10)

struct options {
    const char *type, *as, *output;
    struct flag_list servers;
    bool compare;
    struct lookup_place place;
    /* made of them */
    uint16_t rr_type;
    bool json;
};

/* One way of looking up the name. */
struct run {
    const struct options *options;
    const struct way *way;
    const char *name;
    struct arena arena;
    struct stub_conf conf;
    struct stub_result result;
    struct err err;
    int rc;
};

static int read_options(struct options *o, struct err *e)
{
    o->json = str_eq(o->output, "json");
    if (!o->json && !str_eq(o->output, "text"))
        return err_set(e, ERR_INVALID, "--output %s: give text or json", o->output);
    o->rr_type = STUB_ADDRESS;
    if (!str_eq(o->type, "address") && rr_type_from_text(o->type, &o->rr_type) < 0)
        return err_set(e, ERR_INVALID,
                       "--type %s: no such record type; give A, SRV, ... or "
                       "\"address\" for A and AAAA",
                       o->type);
    if (o->servers.n > STUB_SERVERS_USED)
        return err_set(e, ERR_INVALID, "--server: at most %d, as in resolv.conf",
                       STUB_SERVERS_USED);
    return 0;
}

static int replace_servers(const struct options *o, struct stub_conf *c, struct err *e)
{
    for (size_t i = 0; i < o->servers.n; i++) {
        struct stub_server s = { .port = STUB_PORT };
        if (ip_port_parse(o->servers.items[i], STUB_PORT, &s.ip, &s.port) < 0)
            return err_set(e, ERR_INVALID, "--server %s: give IP or IP:PORT", o->servers.items[i]);
        c->servers[i] = s;
        c->n_servers = (unsigned)i + 1;
    }
    return 0;
}

static void *look_up(void *arg)
{
    struct run *r = arg;
    const struct lookup_place *p = &r->options->place;
    struct stub stub;
    arena_init(&r->arena, ARENA_CHUNK);
    r->way->read_conf(p->resolv_conf_text, &p->env, &r->arena, &r->conf);
    r->rc = replace_servers(r->options, &r->conf, &r->err);
    stub_init(&stub, r->way, &r->conf, p->hosts_text, p->nsswitch_text);
    if (r->rc == 0)
        r->rc = stub_lookup(&stub, r->name, r->options->rr_type, &r->arena, &r->result, &r->err);
    return NULL;
}

static struct trace trace_of(const struct run *r)
{
    return (struct trace){ r->name, r->way->name, r->options->rr_type, &r->conf, &r->result };
}

static void warn(const struct run *r)
{
    for (size_t i = 0; i < r->conf.ignored.n; i++)
        fprintf(stderr, "signpost lookup: warning: resolv.conf: without effect: %s\n",
                r->conf.ignored.items[i]);
    for (size_t i = 0; i < r->result.unknown.n; i++)
        fprintf(stderr, "signpost lookup: warning: nsswitch.conf: not followed: %s\n",
                r->result.unknown.items[i]);
}

static int print(const struct options *o, const struct trace *traces, size_t n)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (o->json && o->compare)
        compare_json(traces, n, &b);
    else if (o->json)
        trace_json(traces, &b);
    else if (o->compare)
        compare_print(traces, n, stdout);
    else
        trace_print(traces, stdout);
    if (b.len)
        fwrite(b.p, 1, b.len, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fprintf(stderr, "signpost lookup: cannot write: %s\n", strerror(errno));
    return -EIO;
}

/* Side by side in threads, since some wait for long; what does not apply to the type is left out.
 */
static size_t look_up_all(const struct options *o, const char *name, struct run *runs)
{
    pthread_t threads[WAYS_MAX];
    bool started[WAYS_MAX];
    size_t n = 0;
    bool address = o->rr_type == STUB_ADDRESS || o->rr_type == RR_A || o->rr_type == RR_AAAA;
    for (size_t i = 0; ways[i]; i++) {
        if (!address && ways[i]->only_addresses)
            continue;
        runs[n] = (struct run){ .options = o, .way = ways[i], .name = name };
        started[n] = pthread_create(&threads[n], NULL, look_up, &runs[n]) == 0;
        if (!started[n])
            look_up(&runs[n]);
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
    }
    return n;
}

static int show(const struct options *o, struct run *runs, size_t n, struct err *e)
{
    struct trace traces[WAYS_MAX];
    bool failed = false;
    for (size_t i = 0; i < n; i++) {
        if (runs[i].rc < 0)
            return err_set(e, runs[i].rc, "%s", runs[i].err.text);
        if (!o->compare)
            warn(&runs[i]);
        failed |= runs[i].result.error != 0;
        traces[i] = trace_of(&runs[i]);
    }
    return print(o, traces, n) < 0 ? EXIT_TROUBLE : failed ? EXIT_NOT_FOUND : EXIT_FOUND;
}

static int run_all(struct options *o, const char *name, struct arena *a, struct err *e)
{
    struct run runs[WAYS_MAX];
    const struct way *way;
    size_t n = 1;
    int rc = way_from_text(o->as, &way, e);
    if (rc == 0)
        rc = read_options(o, e);
    if (rc == 0)
        rc = lookup_place_go(&o->place, a, e);
    if (rc < 0)
        return rc;
    if (o->compare) {
        n = look_up_all(o, name, runs);
    } else {
        runs[0] = (struct run){ .options = o, .way = way, .name = name };
        look_up(&runs[0]);
    }
    rc = show(o, runs, n, e);
    for (size_t i = 0; i < n; i++)
        arena_done(&runs[i].arena);
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o = {
        .type = "address",
        .as = "glibc",
        .output = "text",
        .place = { .host_resolv = "/etc/resolv.conf", .cluster_domain = "cluster.local" },
    };
    struct lookup_place *p = &o.place;
    const struct flag flags[] = {
        { "type", FLAG_STRING, &o.type, "TYPE",
          "What to ask for: a record type, or \"address\" for A and AAAA as getaddrinfo() does." },
        { "as", FLAG_STRING, &o.as, "NAME",
          "Whose ways to follow: glibc, musl, musl-1.2.3, go or c-ares." },
        { "compare", FLAG_BOOL, &o.compare, NULL, "Look up in all ways and show them together." },
        { "resolv-conf", FLAG_STRING, &p->resolv_conf, "FILE",
          "Read this file in place of /etc/resolv.conf." },
        { "hosts", FLAG_STRING, &p->hosts, "FILE", "Read this file in place of /etc/hosts." },
        { "nsswitch", FLAG_STRING, &p->nsswitch, "FILE",
          "Read this file in place of /etc/nsswitch.conf." },
        { "server", FLAG_LIST, &o.servers, "IP[:PORT]",
          "Ask this server in place of those of resolv.conf." },
        { "pid", FLAG_INT, &p->pid, "N", "Look up where this process is: its network and files." },
        { "pod", FLAG_STRING, &p->pod, "NAMESPACE/NAME",
          "Look up as this pod: inside it when it is a lab's, else with the files it would have." },
        { "lab-dir", FLAG_STRING, &p->lab_dir, "DIR", "Where the lab lies, with --pod." },
        { "manifests", FLAG_STRING, &p->manifests, "PATH", "The file or folder that has the pod." },
        { "kubeconfig", FLAG_STRING, &p->kubeconfig, "FILE",
          "The cluster that has the pod; \"\" for kubectl's own choice." },
        { "context", FLAG_STRING, &p->context, "NAME", "Context of the kubeconfig file." },
        { "cluster-dns", FLAG_LIST, &p->cluster_dns, "IP",
          "The cluster's DNS server, for a pod of a folder or a cluster; 10.96.0.10 without it." },
        { "cluster-domain", FLAG_STRING, &p->cluster_domain, "DOMAIN",
          "The cluster's domain, for the same." },
        { "host-resolv", FLAG_STRING, &p->host_resolv, "FILE",
          "The resolv.conf of the pod's node, for the same; \"\" for none." },
        { "output", FLAG_STRING, &o.output, "text|json", "How to print." },
    };
    struct err e = { 0 };
    struct arena a;
    int left = 0;
    int rc = flags_parse(&cmd_lookup, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return EXIT_FOUND;
    if (rc == 0 && left != 1)
        rc = err_set(&e, ERR_INVALID, "give one name to look up, not %d", left);
    arena_init(&a, ARENA_CHUNK);
    if (rc == 0)
        rc = run_all(&o, argv[0], &a, &e);
    arena_done(&a);
    flag_list_done(&o.servers);
    flag_list_done(&p->cluster_dns);
    if (rc < 0)
        fprintf(stderr, "signpost lookup: %s\n", e.text);
    return rc < 0 ? EXIT_TROUBLE : rc;
}

const struct command cmd_lookup = {
    .name = "lookup",
    .args = "NAME",
    .summary = "look up a name as a client does, and show each query",
    .details =
        "Reads resolv.conf, hosts and nsswitch.conf as the client's resolver does, walks the "
        "search list in its order, and prints each query that leaves with its server, answer and "
        "time, then the result and how many queries were in vain. See docs/lookup.md.\n\n"
        "Of nsswitch.conf the services files and dns are followed. Over TCP, where glibc waits as "
        "long as the kernel does, 10 seconds are the limit. Addresses are shown in the order of "
        "the answers.\n\n"
        "Exit status: 0 found, 1 not found (with --compare: by one of them), 2 trouble.",
    .run = run,
};
