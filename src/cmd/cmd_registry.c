/* `signpost registry`: the part of the Kubernetes API that service discovery and service networking
 * need, for kubectl and everything else that speaks it. */
#include "base/log.h"
#include "base/mem.h"
#include "cmd/commands.h"
#include "loop/loop.h"
#include "loop/notify.h"
#include "net/accept.h"
#include "registry/allocate.h"
#include "registry/bootstrap.h"
#include "registry/credentials.h"
#include "registry/seed.h"
#include "registry/serve.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define PORT_DEFAULT 6443
#define FOLDER       "signpost-registry"

static const char *listen_at = "127.0.0.1:6443", *data = FOLDER "/registry.db", *folder = "",
                  *ranges = "10.96.0.0/16", *ports = "30000-32767", *advertise = "";
static struct flag_list manifests;
static bool plain;
static long verbosity, history;

static const struct flag flags[] = {
    { "listen", FLAG_STRING, &listen_at, "IP:PORT",
      "Where the API is served (default 127.0.0.1:6443); port 0: any." },
    { "data", FLAG_STRING, &data, "FILE",
      "Where objects are kept (default signpost-registry/registry.db); :memory: keeps nothing." },
    { "credentials", FLAG_STRING, &folder, "DIR",
      "Certificates, tokens and kubeconfig files (default: the folder of the data)." },
    { "manifests", FLAG_LIST, &manifests, "DIR",
      "Folders of manifests whose objects are applied, and followed; may be repeated." },
    { "service-cluster-ip-range", FLAG_STRING, &ranges, "CIDR,...",
      "Addresses of Services, one block or one of each family (default 10.96.0.0/16)." },
    { "service-node-port-range", FLAG_STRING, &ports, "A-B",
      "Ports of NodePort Services (default 30000-32767)." },
    { "advertise-address", FLAG_STRING, &advertise, "IP",
      "Where Pods reach the API: the endpoint of the Service kubernetes (default: that of "
      "--listen)." },
    { "insecure-http", FLAG_BOOL, &plain, NULL,
      "Plain HTTP for everybody, without TLS and tokens; on loopback addresses only." },
    { "history", FLAG_INT, &history, "N",
      "Events that watches can go back to, for five minutes at most (default 100000)." },
    { "v", FLAG_INT, &verbosity, "N", "2 and above: more is logged." },
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    struct registry *registry;
    struct access *access;
    struct tls_config *tls;
    struct server *server;
    struct seed *seed;
    struct credentials credentials;
    struct ip ip, reached;
    uint16_t port;
};

static int read_options(struct run *r, struct registry_options *o, struct err *e)
{
    char end;
    *o = (struct registry_options){ .loop = &r->loop, .path = data, .cluster_ip_range = ranges };
    if (ip_port_parse(listen_at, PORT_DEFAULT, &r->ip, &r->port) < 0)
        return err_set(e, ERR_PARSE, "--listen: \"%s\" is no IP:PORT", listen_at);
    r->reached = r->ip;
    if (*advertise && ip_parse(advertise, &r->reached) < 0)
        return err_set(e, ERR_PARSE, "--advertise-address: \"%s\" is no IP address", advertise);
    if (plain && !ip_is_loopback(&r->ip))
        return err_set(e, ERR_INVALID,
                       "--insecure-http: only together with --listen of a loopback "
                       "address");
    if (sscanf(ports, "%ld-%ld%c", &o->node_port_min, &o->node_port_max, &end) != 2 ||
        o->node_port_min < 1 || o->node_port_max > 65535 || o->node_port_min > o->node_port_max)
        return err_set(e, ERR_PARSE,
                       "--service-node-port-range: \"%s\" is no range of ports, as "
                       "30000-32767",
                       ports);
    if (history < 0 || history > HISTORY_EVENTS_MAX)
        return err_set(e, ERR_INVALID, "--history: must be 0 to %d", HISTORY_EVENTS_MAX);
    o->events_max = (size_t)history;
    return 0;
}

static bool in_memory(void)
{
    return strcmp(data, ":memory:") == 0;
}

/* The folder of the data, made when it is our own default one. */
static int find_folder(char out[CREDENTIALS_PATH], struct err *e)
{
    char copy[CREDENTIALS_PATH];
    (void)snprintf(copy, sizeof copy, "%s", in_memory() ? FOLDER "/x" : data);
    (void)snprintf(out, CREDENTIALS_PATH, "%s", dirname(copy));
    if (mkdir(out, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "make the folder %s: %s", out, strerror(errno));
    if (*folder)
        (void)snprintf(out, CREDENTIALS_PATH, "%s", folder);
    return 0;
}

static int open_credentials(struct run *r, const char *where, struct err *e)
{
    char text[IP_TEXT_MAX];
    struct ip service;
    allocator_first(registry_allocator(r->registry), text);
    int code = ip_parse(text, &service);
    if (code == 0)
        code = credentials_make(where, &r->ip, &service, &r->credentials, e);
    if (code == 0)
        code = access_open(r->credentials.tokens, &r->access, e);
    static const char *const alpn[] = { "http/1.1", NULL };
    if (code == 0)
        code = tls_config_new(&(struct tls_options){ .server = true,
                                                     .cert = r->credentials.cert,
                                                     .key = r->credentials.key,
                                                     .ca = r->credentials.ca,
                                                     .client_auth = TLS_VERIFY_IF_GIVEN,
                                                     .alpn = alpn },
                              &r->tls, e);
    return code;
}

static int open_all(struct run *r, struct err *e)
{
    struct registry_options o;
    char where[CREDENTIALS_PATH];
    int code = read_options(r, &o, e);
    if (code == 0 && !(plain && in_memory()))
        code = find_folder(where, e);
    if (code == 0)
        code = registry_open(&o, &r->registry, e);
    if (code == 0 && !plain)
        code = open_credentials(r, where, e);
    if (code == 0)
        code = server_open(&(struct serve_options){ .loop = &r->loop,
                                                    .registry = r->registry,
                                                    .access = r->access,
                                                    .tls = r->tls,
                                                    .ip = r->ip,
                                                    .port = r->port },
                           &r->server, e);
    if (code < 0)
        return code;
    r->port = server_port(r->server);
    code = bootstrap(r->registry, &r->reached, r->port, e);
    if (code == 0 && manifests.n)
        code = seed_open(&r->loop, r->registry, manifests.items, manifests.n, &r->seed, e);
    if (code == 0 && !plain)
        code = credentials_publish(&r->credentials, &r->ip, r->port, e);
    return code;
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

static void announce(const struct run *r)
{
    char ip[IP_TEXT_MAX];
    log_info("signpost registry serves %s on %s port %u", plain ? "http" : "https",
             r->ip.family ? ip_text(&r->ip, ip) : "all addresses", r->port);
    if (!plain)
        log_info("kubectl --kubeconfig %s; read-only: %s", r->credentials.admin,
                 r->credentials.reader);
    notify_ready();
}

static int work(struct run *r, struct err *e)
{
    uv_loop_init(&r->loop);
    uv_signal_init(&r->loop, &r->term);
    uv_signal_init(&r->loop, &r->interrupt);
    uv_signal_start(&r->term, on_signal, SIGTERM);
    uv_signal_start(&r->interrupt, on_signal, SIGINT);
    int code = open_all(r, e);
    if (code == 0) {
        announce(r);
        uv_run(&r->loop, UV_RUN_DEFAULT);
        notify_stopping();
    }
    seed_close(r->seed);
    server_close(r->server);
    access_close(r->access);
    tls_config_free(r->tls);
    registry_close(r->registry);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    loop_done(&r->loop);
    return code;
}

static int run(int argc, char **argv)
{
    static struct run r; /* metrics are read until the process ends */
    struct err e = { 0 };
    int left = 0;
    int code = flags_parse(&cmd_registry, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (code > 0)
        return 0;
    log_set_fd(2);
    log_set_level(verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    if (code == 0 && left)
        code = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    accept_init();
    mem_reserve();
    if (code == 0)
        code = work(&r, &e);
    flag_list_done(&manifests);
    if (code < 0)
        (void)fprintf(stderr, "signpost registry: %s\n", e.text);
    return code < 0 ? 1 : 0;
}

const struct command cmd_registry = {
    .name = "registry",
    .args = "",
    .summary = "Serves a small Kubernetes API for services, pods and what belongs to them.",
    .details =
        "Namespaces, Nodes, Pods, Services, Endpoints, EndpointSlices, ConfigMaps, Events, "
        "ServiceAccounts and Leases, with all verbs, watches, patches, defaults, checks, cluster "
        "addresses and node ports as a Kubernetes API server has them; ServiceCIDRs and "
        "IPAddresses to read. kubectl, client libraries, CoreDNS, kube-proxy and signpost's own "
        "parts work with it.\n\n"
        "What is acknowledged is on the disk. On the first start an authority, a certificate, "
        "tokens and two kubeconfig files are made beside the data: admin.conf may do all, "
        "reader.conf may read. Users are added to tokens.csv.\n\n"
        "SIGTERM and SIGINT end it.",
    .run = run,
};
