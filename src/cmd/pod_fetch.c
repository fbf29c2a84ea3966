#include "cmd/pod_fetch.h"

#include "client/pod_manifest.h"
#include "source/api_client.h"

#include <string.h>

#define TOTAL_MS 15000

struct fetch {
    struct arena *arena;
    const char *pod;
    struct pod_dns *ret;
    struct err *err;
    int code;
};

static int read_config(const char *file, const char *context, struct arena *a,
                       struct api_config *ret, struct err *e)
{
    const char *files[KUBECONFIG_FILES_MAX];
    if (*file)
        return kubeconfig_load(&file, 1, context, a, ret, e);
    size_t n = kubeconfig_files(a, files);
    if (getenv("KUBERNETES_SERVICE_HOST") && !getenv("KUBECONFIG"))
        return api_config_in_cluster(NULL, a, ret, e);
    return kubeconfig_load(files, n, context, a, ret, e);
}

static void on_end(void *ctx, const struct http_result *r)
{
    struct fetch *f = ctx;
    char text[API_STATUS_TEXT];
    if (r->error) {
        f->code = err_set(f->err, r->error, "Pod %s: %s", f->pod, r->text);
    } else if (r->status != 200) {
        f->code = err_set(f->err, ERR_REFUSED, "Pod %s: %s", f->pod,
                          api_status_text(r, r->body, r->len, text));
    } else {
        const char *body = arena_memdup(f->arena, r->body, r->len);
        const struct tree *tree = api_reply_tree(body, r->len, "Pod", f->arena);
        f->code = tree ? pod_manifest_read(tree, f->pod, f->arena, f->ret, f->err)
                       : err_set(f->err, ERR_PARSE, "Pod %s: the reply cannot be read", f->pod);
    }
}

int pod_fetch_by(struct api_client *client, uv_loop_t *loop, const char *ns, const char *name,
                 struct arena *a, struct pod_dns *ret, struct err *e)
{
    struct fetch f = {
        .arena = a, .pod = arena_printf(a, "%s/%s", ns, name), .ret = ret, .err = e, .code = 1
    };
    struct http_call *call;
    struct api_request request = { .path =
                                       arena_printf(a, "/api/v1/namespaces/%s/pods/%s", ns, name),
                                   .total_ms = TOTAL_MS,
                                   .end = on_end,
                                   .ctx = &f };
    int rc = api_client_send(client, &request, &call, e);
    while (rc == 0 && f.code == 1)
        uv_run(loop, UV_RUN_ONCE);
    return rc < 0 ? rc : f.code;
}

static int ask_server(uv_loop_t *loop, const struct api_config *config, const char *ns,
                      const char *name, struct arena *a, struct pod_dns *ret, struct err *e)
{
    struct api_client *client = NULL;
    int rc = api_client_new(loop, config, &client, e);
    if (rc == 0)
        rc = pod_fetch_by(client, loop, ns, name, a, ret, e);
    api_client_free(client);
    uv_run(loop, UV_RUN_DEFAULT); /* its handles close */
    return rc;
}

int pod_fetch(const char *kubeconfig, const char *context, const char *pod, struct arena *a,
              struct pod_dns *ret, struct err *e)
{
    const char *slash = strchr(pod, '/');
    struct api_config config;
    uv_loop_t loop;
    int rc = read_config(kubeconfig, context, a, &config, e);
    if (rc < 0)
        return rc;
    const char *namespace = slash ? arena_strndup(a, pod, (size_t)(slash - pod)) : config.namespace;
    const char *name = slash ? slash + 1 : pod;
    if (!*name || !*namespace || strpbrk(pod, "%?#") || strchr(name, '/'))
        return err_set(e, ERR_INVALID, "--pod %s: give NAMESPACE/NAME", pod);
    rc = uv_loop_init(&loop);
    if (rc < 0)
        return err_set(e, rc, "no event loop: %s", uv_strerror(rc));
    rc = ask_server(&loop, &config, namespace, name, a, ret, e);
    uv_loop_close(&loop);
    return rc;
}
