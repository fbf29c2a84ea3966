#include "cmd/explain_lab.h"

#include "base/str.h"
#include "lab/enter.h"
#include "lab/lab.h"
#include "lab/manifest.h"
#include "lab/place.h"

#include <stdio.h>
#include <string.h>

#define NFT_NS          10000000000LL
#define CONNECTIONS_MAX (4 << 20)

static const char *node_of_pod(struct explain_lab *x, const char *pod)
{
    struct manifests all, nothing = { 0 };
    struct err e;
    const char *slash = strchr(pod, '/'), *node = NULL;
    if (!slash || manifests_read(x->folders[0], &nothing, &all, &e) < 0)
        return NULL;
    const struct manifest *m = manifests_find(
        &all, "Pod", arena_strndup(&x->arena, pod, (size_t)(slash - pod)), slash + 1);
    if (m && json_text(m->json, "spec.nodeName"))
        node = arena_strdup(&x->arena, json_text(m->json, "spec.nodeName"));
    manifests_done(&all);
    return node;
}

static const char *rules_of(struct explain_lab *x, pid_t node)
{
    static const char *const argv[] = { "nft", "-j", "list", "ruleset", NULL };
    struct ran ran;
    const char *text = NULL;
    if (enter_run(node, argv, NFT_NS, &ran, NULL) < 0)
        return NULL;
    if (ran.status == 0)
        text = arena_strdup(&x->arena, ran.out.p);
    ran_done(&ran);
    return text;
}

static const char *connections_of(struct explain_lab *x, pid_t node)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/net/nf_conntrack", (int)node);
    cleanup_free char *text = place_read(path, CONNECTIONS_MAX);
    return text ? arena_strdup(&x->arena, text) : NULL;
}

int explain_lab_open(struct explain_lab *x, const char *dir, const char *from,
                     struct explain_options *o, struct err *e)
{
    char path[PATH_MAX];
    pid_t pid;
    int code = lab_find(dir, &pid, e);
    if (code < 0)
        return code;
    arena_init(&x->arena, 65536);
    x->folders[0] = arena_strdup(&x->arena, place_path(path, dir, "objects"));
    o->objects.manifests = (struct flag_list){ .items = x->folders, .n = 1 };
    const char *node = node_of_pod(x, from);
    if (node && place_node_pid(dir, node, &pid, NULL) == 0) {
        o->around.rules = rules_of(x, pid);
        o->around.connections = connections_of(x, pid);
    }
    return 0;
}

void explain_lab_close(struct explain_lab *x)
{
    arena_done(&x->arena);
}
