/* What of a Pod manifest the lab runs: processes of this machine in place of images. A container
 * without `command` starts the program that has its image's name ("registry/signpost:1.0":
 * signpost). Parts that would change what happens and that the lab does not do are refused by name;
 * what only limits or guards (resources, securityContext) is left aside.
 *
 * All memory is in the spec's arena. Source: Kubernetes API reference, core/v1 PodSpec. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define PODSPEC_CONTAINERS_MAX 16
#define PODSPEC_VOLUMES_MAX    32
#define PODSPEC_ARGS_MAX       256

enum volume_kind { VOLUME_EMPTY, VOLUME_CONFIG_MAP, VOLUME_HOST_PATH };

struct volume {
    const char *name;
    enum volume_kind kind;
    const char *source; /* name of the ConfigMap, or path */
    json_t *items;      /* ConfigMap: [{key, path}] or NULL for all; borrowed */
    bool optional;
};

struct mount {
    const struct volume *volume;
    const char *path;
    bool read_only;
};

enum probe_kind { PROBE_NONE, PROBE_HTTP, PROBE_TCP, PROBE_EXEC };

struct probe {
    enum probe_kind kind;
    uint16_t port;
    struct ip ip;                        /* family 0: the pod's own */
    const char *path;                    /* PROBE_HTTP */
    const char *const *argv;             /* PROBE_EXEC */
    long initial_delay, period, timeout; /* seconds */
    long successes, failures;            /* in a row, to change the state */
};

struct container {
    const char *name, *workdir;
    const char **argv, **env; /* NULL at the end */
    struct mount *mounts;
    unsigned n_mounts;
    long pre_stop_seconds; /* lifecycle.preStop.sleep: goes on for so long when it is to end */
    struct probe ready;
};

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };

struct podspec {
    struct arena arena;
    const char *namespace, *name;
    enum restart_policy restart;
    long grace_seconds;
    struct container containers[PODSPEC_CONTAINERS_MAX];
    struct volume volumes[PODSPEC_VOLUMES_MAX];
    unsigned n_containers, n_volumes;
};

/* What a Pod learns of itself when it is placed. */
struct pod_facts {
    const char *pod_ip, *pod_ips /* comma between */, *host_ip, *node, *hostname;
};

/* json must outlive the spec. */
int podspec_read(json_t *pod, const struct pod_facts *facts, struct podspec *ret, struct err *e);
void podspec_done(struct podspec *s);

/* "$(NAME)" replaced from "NAME=value" entries; "$$(NAME)" gives "$(NAME)"; unknown ones stay. */
const char *podspec_expand(const char *text, const char *const *env, struct arena *a);
