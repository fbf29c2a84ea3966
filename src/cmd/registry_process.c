#include "cmd/registry_process.h"

#include "base/log.h"
#include "base/mem.h"
#include "loop/notify.h"
#include "registry/allocate.h"
#include "registry/bootstrap.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#define PORT_DEFAULT 6443
/* Writes of the controllers: as fast as it goes, but requests and DNS's own changes have their turn
 * between. */
#define LOCAL_QPS   20000
#define LOCAL_BURST 200

static int read_options(struct registry_process *p, struct registry_options *o, struct err *e)
{
    char end;
    *o = (struct registry_options){ .loop = p->loop,
                                    .path = p->data,
                                    .cluster_ip_range = p->ranges };
    if (ip_port_parse(p->listen, PORT_DEFAULT, &p->ip, &p->port) < 0)
        return err_set(e, ERR_PARSE, "--listen: \"%s\" is no IP:PORT", p->listen);
    p->reached = p->ip;
    if (*p->advertise && ip_parse(p->advertise, &p->reached) < 0)
        return err_set(e, ERR_PARSE, "--advertise-address: \"%s\" is no IP address", p->advertise);
    if (p->plain && !ip_is_loopback(&p->ip))
        return err_set(e, ERR_INVALID,
                       "--insecure-http: only together with --listen of a loopback "
                       "address");
    if (sscanf(p->ports, "%ld-%ld%c", &o->node_port_min, &o->node_port_max, &end) != 2 ||
        o->node_port_min < 1 || o->node_port_max > 65535 || o->node_port_min > o->node_port_max)
        return err_set(e, ERR_PARSE,
                       "--service-node-port-range: \"%s\" is no range of ports, as "
                       "30000-32767",
                       p->ports);
    if (p->history < 0 || p->history > HISTORY_EVENTS_MAX)
        return err_set(e, ERR_INVALID, "--history: must be 0 to %d", HISTORY_EVENTS_MAX);
    o->events_max = (size_t)p->history;
    return 0;
}

bool registry_process_in_memory(const struct registry_process *p)
{
    return strcmp(p->data, ":memory:") == 0;
}

/* The folder of the data, made when it is our own default one. */
static int find_folder(const struct registry_process *p, char out[CREDENTIALS_PATH], struct err *e)
{
    char copy[CREDENTIALS_PATH];
    (void)snprintf(copy, sizeof copy, "%s",
                   registry_process_in_memory(p) ? REGISTRY_FOLDER "/x" : p->data);
    (void)snprintf(out, CREDENTIALS_PATH, "%s", dirname(copy));
    if (mkdir(out, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "make the folder %s: %s", out, strerror(errno));
    if (*p->folder)
        (void)snprintf(out, CREDENTIALS_PATH, "%s", p->folder);
    return 0;
}

static int open_credentials(struct registry_process *p, const char *where, struct err *e)
{
    char text[IP_TEXT_MAX];
    struct ip service;
    allocator_first(registry_allocator(p->registry), text);
    int code = ip_parse(text, &service);
    if (code == 0)
        code = credentials_make(where, &p->ip, &service, &p->credentials, e);
    if (code == 0)
        code = access_open(p->credentials.tokens, &p->access, e);
    static const char *const alpn[] = { "http/1.1", NULL };
    if (code == 0)
        code = tls_config_new(&(struct tls_options){ .server = true,
                                                     .cert = p->credentials.cert,
                                                     .key = p->credentials.key,
                                                     .ca = p->credentials.ca,
                                                     .client_auth = TLS_VERIFY_IF_GIVEN,
                                                     .alpn = alpn },
                              &p->tls, e);
    return code;
}

/* Objects as DNS, proxy and controllers read them, and the controllers that write more. */
static void open_inside(struct registry_process *p)
{
    if (!p->shares && !controller_options_any(&p->options))
        return;
    p->cluster = cluster_of_registry(p->registry);
    if (!controller_options_any(&p->options))
        return;
    controllers_open(&p->controllers, p->loop, cluster_store(p->cluster),
                     &(struct write_target){ .registry = p->registry }, &p->options, LOCAL_QPS,
                     LOCAL_BURST);
    controllers_start(&p->controllers);
}

static int open_server(struct registry_process *p, struct err *e)
{
    int code = server_open(&(struct serve_options){ .loop = p->loop,
                                                    .registry = p->registry,
                                                    .access = p->access,
                                                    .tls = p->tls,
                                                    .ip = p->ip,
                                                    .port = p->port },
                           &p->server, e);
    if (code == 0)
        p->port = server_port(p->server);
    return code;
}

int registry_process_check(struct registry_process *p, struct err *e)
{
    struct registry_options o;
    int code = read_options(p, &o, e);
    return code < 0 ? code : controller_options_read(&p->options, true, e);
}

int registry_process_open(struct registry_process *p, uv_loop_t *loop, struct err *e)
{
    struct registry_options o;
    char where[CREDENTIALS_PATH];
    p->loop = loop;
    int code = read_options(p, &o, e);
    if (code == 0 && !(p->plain && registry_process_in_memory(p)))
        code = find_folder(p, where, e);
    if (code == 0)
        code = registry_open(&o, &p->registry, e);
    if (code == 0 && !p->plain)
        code = open_credentials(p, where, e);
    if (code == 0)
        code = open_server(p, e);
    if (code == 0)
        code = bootstrap(p->registry, &p->reached, p->port, e);
    if (code == 0 && p->manifests.n)
        code = seed_open(loop, p->registry, p->manifests.items, p->manifests.n, &p->seed, e);
    if (code == 0 && !p->plain)
        code = credentials_publish(&p->credentials, &p->ip, p->port, e);
    if (code == 0)
        open_inside(p);
    return code;
}

void registry_process_announce(const struct registry_process *p)
{
    char ip[IP_TEXT_MAX];
    log_info("signpost registry serves %s on %s port %u", p->plain ? "http" : "https",
             p->ip.family ? ip_text(&p->ip, ip) : "all addresses", p->port);
    if (!p->plain)
        log_info("kubectl --kubeconfig %s; read-only: %s", p->credentials.admin,
                 p->credentials.reader);
    log_info("EndpointSlices and Endpoints of Services are %s",
             p->controllers.reconcile ? "made here" : "left to others");
}

/* What was written is answered before the connections end. */
void registry_process_close(struct registry_process *p)
{
    controllers_close(&p->controllers);
    seed_close(p->seed);
    if (p->registry)
        registry_commit(p->registry);
    server_close(p->server);
    access_close(p->access);
    tls_config_free(p->tls);
    cluster_close(p->cluster);
    registry_close(p->registry);
}
