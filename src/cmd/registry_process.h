/* The registry as a part of a process: storage, API, manifests and, unless they are left off, the
 * endpoint controllers, all on the loop that it is given. What the commands `registry` and `up`
 * share.
 *
 * Control thread throughout. */
#pragma once

#include "cmd/cluster.h"
#include "cmd/controllers.h"
#include "registry/credentials.h"
#include "registry/registry.h"
#include "registry/seed.h"
#include "registry/serve.h"

#define REGISTRY_FOLDER "signpost-registry"

struct registry_process {
    /* ---- by the command ---- */
    const char *listen, *data, *folder, *ranges, *ports, *advertise;
    struct flag_list manifests;
    bool plain;
    long history;
    struct controller_options options;
    bool shares; /* others in the process want the objects: `cluster` is opened in any case */

    /* ---- its own ---- */
    uv_loop_t *loop;
    struct registry *registry;
    struct access *access;
    struct tls_config *tls;
    struct server *server;
    struct seed *seed;
    struct credentials credentials;
    struct ip ip, reached;
    uint16_t port;
    struct cluster *cluster; /* its objects; NULL: nobody in the process reads them */
    struct controllers controllers;
};

#define REGISTRY_DEFAULTS                                                                          \
    {                                                                                              \
        .listen = "127.0.0.1:6443", .data = REGISTRY_FOLDER "/registry.db", .folder = "",          \
        .ranges = "10.96.0.0/16", .ports = "30000-32767", .advertise = "",                         \
        .options = CONTROLLER_DEFAULTS                                                             \
    }

/* The rows of a command's table of flags. */
#define REGISTRY_FLAGS(p)                                                                          \
    { "listen", FLAG_STRING, &(p).listen, "IP:PORT",                                               \
      "Where the API is served (default 127.0.0.1:6443); port 0: any." },                          \
        { "data", FLAG_STRING, &(p).data, "FILE",                                                  \
          "Where objects are kept (default signpost-registry/registry.db); :memory: keeps "        \
          "nothing." },                                                                            \
        { "credentials", FLAG_STRING, &(p).folder, "DIR",                                          \
          "Certificates, tokens and kubeconfig files (default: the folder of the data)." },        \
        { "manifests", FLAG_LIST, &(p).manifests, "DIR",                                           \
          "Folders of manifests whose objects are applied, and followed; may be repeated." },      \
        { "service-cluster-ip-range", FLAG_STRING, &(p).ranges, "CIDR,...",                        \
          "Addresses of Services, one block or one of each family (default 10.96.0.0/16)." },      \
        { "service-node-port-range", FLAG_STRING, &(p).ports, "A-B",                               \
          "Ports of NodePort Services (default 30000-32767)." },                                   \
        { "advertise-address", FLAG_STRING, &(p).advertise, "IP",                                  \
          "Where Pods reach the API: the endpoint of the Service kubernetes (default: that of "    \
          "--listen)." },                                                                          \
        { "insecure-http", FLAG_BOOL, &(p).plain, NULL,                                            \
          "Plain HTTP for everybody, without TLS and tokens; on loopback addresses only." },       \
        { "history", FLAG_INT, &(p).history, "N",                                                  \
          "Events that watches can go back to, for five minutes at most (default 100000)." },      \
        CONTROLLER_FLAGS((p).options, CONTROLLER_LIST_HELP "; false: none.")

/* Reads the flags' values. */
int registry_process_check(struct registry_process *p, struct err *e);
/* All but the command's part of p is zero. On failure, too, registry_process_close() is due. */
int registry_process_open(struct registry_process *p, uv_loop_t *loop, struct err *e);
bool registry_process_in_memory(const struct registry_process *p); /* it keeps nothing */
/* Says in the log where it is and who may do what. */
void registry_process_announce(const struct registry_process *p);
/* Ends all; the loop must turn once more, and then p may go. */
void registry_process_close(struct registry_process *p);
