#include "lab/own_api.h"

#include "base/log.h"
#include "lab/door.h"
#include "lab/follow.h"
#include "lab/place.h"
#include "lab/pod_run.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define KUBECONFIG_MAX (1 << 20)
#define MANAGED_BY     "endpointslice.kubernetes.io/managed-by"

struct own_api {
    struct arena arena;
    struct api_config api;
    struct follow_calls calls;
    struct follower *follower;
    struct door *door;
    bool answered;
};

/* ---- who serves it, and who asks it ---- */

enum part { PART_NONE, PART_CLIENT, PART_SERVER };

static const char *volume_name(json_t *pod)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_at(pod, "spec.volumes"), i, item)
    {
        if (str_eq(json_text(item, "hostPath.path"), OWN_API_FOLDER))
            return json_text(item, "name");
    }
    return NULL;
}

static enum part part_of(json_t *pod)
{
    json_t *box, *mount;
    size_t i, j;
    const char *volume = volume_name(pod);
    enum part part = PART_NONE;
    json_array_foreach(json_at(pod, "spec.containers"), i, box)
    {
        json_array_foreach(json_object_get(box, "volumeMounts"), j, mount)
        {
            if (!volume || !str_eq(json_text(mount, "name"), volume))
                continue;
            if (!json_is_true(json_object_get(mount, "readOnly")))
                return PART_SERVER;
            part = PART_CLIENT;
        }
    }
    return part;
}

bool own_api_is_wanted(const struct kubelet *k)
{
    vec_each (m, &k->manifests.items) {
        if (str_eq(m->kind, "Pod") && part_of(m->json) == PART_SERVER)
            return true;
    }
    return false;
}

bool own_api_holds_back(const struct kubelet *k, json_t *pod)
{
    return k->wants_api && !(k->own && k->own->answered) && part_of(pod) == PART_CLIENT;
}

/* ---- what others do ---- */

/* What the controllers make of Services and Pods, everybody who reads the lab's folder makes of
 * them, too. */
static bool is_made(json_t *object)
{
    return json_object_get(json_at(object, "metadata.labels"), MANAGED_BY) != NULL;
}

static void end_pod(struct kubelet *k, json_t *object)
{
    for (size_t i = 0; i < k->pods.n; i++) {
        struct pod_run *p = k->pods.items[i];
        if (str_eq(json_text(p->json, "metadata.name"), json_text(object, "metadata.name")) &&
            str_eq(json_text(p->json, "metadata.namespace"),
                   json_text(object, "metadata.namespace")) &&
            p->pid)
            (void)pod_run_end(p);
    }
}

static void on_there(void *ctx, const char *kind, json_t *object)
{
    struct kubelet *k = ctx;
    if (str_eq(kind, "Pod")) {
        if (json_text(object, "metadata.deletionTimestamp"))
            end_pod(k, object);
    } else if (!is_made(object)) {
        kubelet_keep(k, kind, json_text(object, "metadata.namespace"),
                     json_text(object, "metadata.name"), object);
    }
}

static void on_gone(void *ctx, const char *kind, const char *namespace, const char *name)
{
    if (!str_eq(kind, "Pod"))
        kubelet_drop(ctx, kind, namespace, name);
}

static void on_replaced(void *ctx)
{
    struct kubelet *k = ctx;
    log_info("the lab's API has none of the lab's objects any more: they are written anew");
    publisher_begin_anew(k->publisher);
}

/* ---- connecting ---- */

/* The same file with the door in the place of the server's own address. */
static int write_kubeconfig(const struct kubelet *k, const char *text, const char *server,
                            struct err *e)
{
    char path[PATH_MAX];
    struct strbuf b = { 0 };
    const char *at = strstr(text, server);
    if (!at)
        return err_set(e, ERR_NOT_FOUND, "admin.conf does not name %s", server);
    strbuf_add(&b, text, (size_t)(at - text));
    strbuf_printf(&b, "https://127.0.0.1:%u", k->door_port);
    strbuf_puts(&b, at + strlen(server));
    int code = place_write_private(place_path(path, k->dir, "kubeconfig"), b.p, b.len);
    strbuf_done(&b);
    return code < 0 ? err_set(e, code, "cannot write %s: %s", path, strerror(-code)) : 0;
}

static int open_door(struct kubelet *k, struct own_api *c, const char *text, struct err *e)
{
    struct ip ip;
    uint16_t port;
    const char *place = strstr(c->api.server, "://");
    int fd = k->door_fd;
    if (fd < 0)
        return 0;
    k->door_fd = -1;
    if (!place || ip_port_parse(place + 3, 0, &ip, &port) < 0) {
        close(fd);
        return err_set(e, ERR_PARSE, "%s: \"%s\" is no address of a server", c->api.origin,
                       c->api.server);
    }
    int code = door_open(k->loop, fd, &ip, port, &c->door, e);
    return code < 0 ? code : write_kubeconfig(k, text, c->api.server, e);
}

static int connect_to(struct kubelet *k, const char *path, const char *text, struct err *e)
{
    struct own_api *c = k->own;
    const char *files[] = { path };
    int code = kubeconfig_load(files, 1, NULL, &c->arena, &c->api, e);
    if (code == 0)
        code = kubelet_publish_to(k, &c->api, e);
    c->calls = (struct follow_calls){ on_there, on_gone, on_replaced, k };
    if (code == 0)
        code = follower_new(k->loop, &c->api, &c->calls, &c->follower, e);
    return code == 0 ? open_door(k, c, text, e) : code;
}

void own_api_connect(struct kubelet *k)
{
    char path[PATH_MAX];
    struct err e = { 0 };
    if (!k->wants_api || k->own)
        return;
    cleanup_free char *text =
        place_read(place_path(path, k->dir, "api/admin.conf"), KUBECONFIG_MAX);
    if (!text)
        return;
    k->own = xcalloc(1, sizeof *k->own);
    arena_init(&k->own->arena, 4096);
    if (connect_to(k, path, text, &e) < 0)
        log_error("the lab's API: %s", e.text);
}

void own_api_answered(struct kubelet *k)
{
    if (!k->own || k->own->answered)
        return;
    k->own->answered = true;
    kubelet_sync(k);
}

void own_api_put_namespaces(struct kubelet *k)
{
    vec_each (m, &k->manifests.items) {
        if (!*m->namespace || manifests_find(&k->manifests, "Namespace", "", m->namespace))
            continue;
        json_t *made = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace",
                                 "metadata", "name", m->namespace);
        kubelet_write(k, "Namespace", "", m->namespace, made);
    }
}
