/* The pods of `autopath @node`: only those of one node, from an API server that is asked for no
 * more, or from manifests. What a node's cache needs to know of a cluster. */
#include "dns/plugins/autopath.h"

#include "kube/object.h"

#include <ctype.h>
#include <string.h>

#define HOST_NAME_SIZE 256

static int read_option(struct autopath *a, struct object_source *source, struct dispenser *d,
                       struct err *e)
{
    const char **args, *option = dispenser_val(d);
    size_t n = dispenser_rest(d, a->arena, &args);
    if (strcmp(option, "manifests") == 0 && n > 0) {
        source->dirs = args;
        source->n_dirs = n;
        return 0;
    }
    if (strcmp(option, "kubeconfig") == 0 && (n == 1 || n == 2)) {
        source->kubeconfig = args[0];
        source->context = n == 2 ? args[1] : NULL;
        return 0;
    }
    if (strcmp(option, "name") == 0 && n == 1) {
        source->node = args[0];
        return 0;
    }
    if (strcmp(option, "manifests") != 0 && strcmp(option, "kubeconfig") != 0 &&
        strcmp(option, "name") != 0)
        return dispenser_err(d, e, "unknown property '%s'", option);
    return dispenser_arg_err(d, e);
}

/* As a pod's manifest may pass it on, else as the kubelet names its node by default. */
static const char *own_name(struct arena *arena)
{
    char host[HOST_NAME_SIZE] = "";
    const char *name = getenv("NODE_NAME");
    if (!name || !*name) {
        (void)gethostname(host, sizeof host - 1);
        for (char *c = host; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        name = host;
    }
    return arena_strdup(arena, name);
}

/* Kubernetes' names of nodes are DNS subdomains: nothing else reaches a field selector. */
static bool is_node_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < HOST_NAME_SIZE - 1 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static void autopath_stop(void *conf)
{
    struct autopath *a = conf;
    snapshot_free(a->own);
}

int autopath_read_node(struct autopath *a, struct setup *s, struct dispenser *d, struct err *e)
{
    struct object_source source = { .kinds = 1u << KIND_POD, .without = PART_UID | PART_WRITING };
    struct store *store;
    int ret = 0;
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(a, &source, d, e);
    if (ret < 0)
        return ret;
    if (source.n_dirs && source.kubeconfig)
        return dispenser_err(d, e, "manifests and an API server cannot both be the source");
    if (!source.node)
        source.node = own_name(a->arena);
    if (!is_node_name(source.node))
        return dispenser_err(d, e, "'%s' is no name of a node; give `name NODE`", source.node);
    ret = setup_source(s, &source, &store, e);
    if (ret < 0)
        return ret;
    const struct snapshot_options options = { .pods = PODS_VERIFIED, .node = source.node };
    a->own = snapshot_new(store, &options);
    setup_stop(s, autopath_stop, a);
    return 0;
}
