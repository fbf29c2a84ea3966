#include "lab/kubelet.h"

#include "base/log.h"
#include "base/str.h"
#include "lab/own_api.h"
#include "lab/place.h"
#include "lab/pod_files.h"
#include "lab/pod_run.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

/* The text that was written last is kept, so that equal objects cause no events for followers. */
static void write_object(struct kubelet *k, const char *kind, const char *namespace,
                         const char *name, json_t *json)
{
    char file[600], path[PATH_MAX];
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(json);
    status_file_name(kind, namespace, name, file, sizeof file);
    const char *before = ht_get_str(&k->written, file);
    if (!text || str_eq(before, text)) {
        free(text);
        return;
    }
    int code = place_write(place_path(path, k->dir, "objects/%s", file), text, strlen(text));
    if (code < 0)
        log_error("cannot write %s: %s", path, strerror(-code));
    free(ht_put_str(&k->written, file, text));
}

void kubelet_write(struct kubelet *k, const char *kind, const char *namespace, const char *name,
                   json_t *json)
{
    if (!k->publisher || publisher_put(k->publisher, kind, namespace, name, json))
        write_object(k, kind, namespace, name, json);
    else
        json_decref(json);
}

void kubelet_keep(struct kubelet *k, const char *kind, const char *namespace, const char *name,
                  json_t *object)
{
    json_object_del(json_object_get(object, "metadata"), "managedFields");
    write_object(k, kind, namespace, name, json_incref(object));
}

/* What the API server has filled in (clusterIP) is part of the object. Of Pods and Nodes the lab
 * itself knows best. */
static void on_published(void *ctx, const char *kind, const char *namespace, const char *name,
                         json_t *reply)
{
    if (!str_eq(kind, "Pod") && !str_eq(kind, "Node"))
        kubelet_keep(ctx, kind, namespace, name, reply);
    own_api_answered(ctx);
}

static void on_idle(void *ctx)
{
    struct kubelet *k = ctx;
    if (k->changed)
        k->changed(k->ctx);
}

int kubelet_publish_to(struct kubelet *k, const struct api_config *api, struct err *e)
{
    k->publish_calls = (struct publish_calls){ on_published, on_idle, k };
    return publisher_new(k->loop, api, &k->publish_calls, &k->publisher, e);
}

void kubelet_drop(struct kubelet *k, const char *kind, const char *namespace, const char *name)
{
    char file[600], path[PATH_MAX];
    status_file_name(kind, namespace, name, file, sizeof file);
    free(ht_del_str(&k->written, file));
    unlink(place_path(path, k->dir, "objects/%s", file));
}

void kubelet_unwrite(struct kubelet *k, const char *kind, const char *namespace, const char *name)
{
    kubelet_drop(k, kind, namespace, name);
    if (k->publisher)
        publisher_remove(k->publisher, kind, namespace, name);
}

static struct pod_run *find_pod(const struct kubelet *k, const struct manifest *m)
{
    char key[600];
    snprintf(key, sizeof key, "%s/%s", m->namespace, m->name);
    for (size_t i = 0; i < k->pods.n; i++) {
        if (str_eq(k->pods.items[i]->key, key))
            return k->pods.items[i];
    }
    return NULL;
}

static void drop_pod(struct kubelet *k, struct pod_run *p)
{
    for (size_t i = 0; i < k->pods.n; i++) {
        if (k->pods.items[i] == p) {
            vec_swap_remove(&k->pods, i);
            break;
        }
    }
    pod_run_free(p);
}

static int add_node(struct kubelet *k, json_t *node, struct err *e)
{
    char folder[PATH_MAX];
    int code = topology_add_node(&k->topology, node, e);
    if (code < 0)
        return code;
    const struct topology_node *n = &k->topology.nodes.items[k->topology.nodes.n - 1];
    code = net_add_node(&k->net, &k->topology, e);
    if (code == 0)
        code = kubelet_start_node(k, n, place_path(folder, k->dir, "nodes/%s", n->name),
                                  k->net.nodes[k->net.n_nodes - 1].netns, e);
    if (code < 0) {
        k->topology.nodes.n--;
        return code;
    }
    kubelet_write(k, "Node", "", n->name, status_of_node(node, n));
    log_info("node %s is there", n->name);
    return 0;
}

static void sync_nodes(struct kubelet *k)
{
    struct err e = { 0 };
    vec_each (m, &k->manifests.items) {
        const struct topology_node *n;
        if (!str_eq(m->kind, "Node"))
            continue;
        if ((n = topology_find_node(&k->topology, m->name)))
            kubelet_write(k, "Node", "", m->name, status_of_node(m->json, n));
        else if (add_node(k, m->json, &e) < 0)
            log_error("%s: %s", m->origin, e.text);
    }
    if (!k->topology.nodes.n && add_node(k, NULL, &e) < 0)
        log_error("%s", e.text);
}

static void end_pods(struct kubelet *k)
{
    for (size_t i = k->pods.n; i-- > 0;) {
        struct pod_run *p = k->pods.items[i];
        const char *ns = json_text(p->json, "metadata.namespace");
        const struct manifest *m =
            manifests_find(&k->manifests, "Pod", ns, json_text(p->json, "metadata.name"));
        if ((!m || pod_run_needs_restart(p, m)) && pod_run_end(p))
            drop_pod(k, p);
    }
}

static void start_pods(struct kubelet *k)
{
    k->n_held = 0;
    vec_each (m, &k->manifests.items) {
        struct pod_run *p = str_eq(m->kind, "Pod") ? find_pod(k, m) : NULL;
        if (p && p->status.state != POD_STATE_ENDING && !json_equal(p->json, m->json))
            pod_run_update(p, m);
        else if (!p && str_eq(m->kind, "Pod") && own_api_holds_back(k, m->json))
            k->n_held++;
        else if (!p && str_eq(m->kind, "Pod"))
            vec_push(&k->pods, pod_run_new(k, m));
    }
}

/* Pods that were started before there was an API server. */
static void publish_pods(struct kubelet *k)
{
    for (size_t i = 0; k->publisher && i < k->pods.n; i++)
        pod_run_publish(k->pods.items[i]);
}

static bool is_workload(const char *kind)
{
    static const char *const kinds[] = { "Deployment", "StatefulSet", "DaemonSet",
                                         "ReplicaSet", "Job",         "CronJob" };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (str_eq(kind, kinds[i]))
            return true;
    }
    return false;
}

static void config_map_changed(struct kubelet *k, const struct manifest *m)
{
    for (size_t i = 0; i < k->pods.n; i++) {
        struct pod_run *p = k->pods.items[i];
        if (p->has_spec && str_eq(p->spec.namespace, m->namespace))
            pod_files_refresh(k, p, m->name);
    }
}

/* Everything that the lab does not act on itself goes on as it is. */
static void sync_others(struct kubelet *k, const struct manifests *before)
{
    vec_each (m, &k->manifests.items) {
        if (str_eq(m->kind, "Pod") || str_eq(m->kind, "Node"))
            continue;
        const struct manifest *old = manifests_find(before, m->kind, m->namespace, m->name);
        if (!old && is_workload(m->kind))
            log_warning("%s: the lab has no controller for %s: write the Pods themselves",
                        m->origin, m->kind);
        if (str_eq(m->kind, "ConfigMap") && old && !json_equal(old->json, m->json))
            config_map_changed(k, m);
        kubelet_write(k, m->kind, m->namespace, m->name, json_incref(m->json));
    }
    vec_each (m, &before->items) {
        if (!str_eq(m->kind, "Pod") && !str_eq(m->kind, "Node") &&
            !manifests_find(&k->manifests, m->kind, m->namespace, m->name))
            kubelet_unwrite(k, m->kind, m->namespace, m->name);
        if (str_eq(m->kind, "Node") &&
            !manifests_find(&k->manifests, m->kind, m->namespace, m->name))
            log_warning("Node %s stays: a lab's nodes go only with the lab", m->name);
    }
}

static void tell_problems(const struct manifests *now, const struct manifests *before)
{
    vec_each (p, &now->problems) {
        bool told = false;
        vec_each (old, &before->problems)
            told |= str_eq(*p, *old);
        if (!told)
            log_error("%s", *p);
    }
}

void kubelet_sync(struct kubelet *k)
{
    struct manifests now, before = k->manifests;
    struct err e = { 0 };
    char broken[PATH_MAX];
    if (manifests_read(k->source, &before, &now, &e) < 0) {
        log_error("%s", e.text);
        return;
    }
    if (manifests_add(place_path(broken, k->dir, "broken"), &before, &now, &e) < 0)
        log_error("%s", e.text);
    tell_problems(&now, &before);
    k->manifests = now;
    k->wants_api |= !k->api && own_api_is_wanted(k);
    own_api_connect(k);
    sync_nodes(k);
    end_pods(k);
    if (k->wants_api)
        own_api_put_namespaces(k);
    sync_others(k, &before);
    if (k->wants_api)
        publish_pods(k);
    start_pods(k);
    manifests_done(&before);
    if (k->changed)
        k->changed(k->ctx);
}

int kubelet_init(struct kubelet *k, struct err *e)
{
    struct manifests nothing = { 0 };
    int code = net_init(&k->net, e);
    if (code == 0)
        code = k->api ? kubelet_publish_to(k, k->api, e) : 0;
    if (code == 0)
        code = manifests_read(k->source, &nothing, &k->manifests, e);
    if (code == 0)
        manifests_done(&k->manifests);
    k->manifests = nothing;
    if (code == 0)
        code = kubelet_start_outside(k, e);
    if (code == 0)
        kubelet_sync(k);
    return code;
}

void kubelet_reaped(struct kubelet *k, pid_t pid, int wait_status)
{
    for (size_t i = 0; i < k->pods.n; i++) {
        struct pod_run *p = k->pods.items[i];
        for (unsigned c = 0; c < PODSPEC_CONTAINERS_MAX; c++) {
            if (prober_reaped(p->probers[c], pid, wait_status))
                return;
        }
        if (p->pid != pid)
            continue;
        if (p->status.state != POD_STATE_ENDING)
            log_error("pod %s: its first process ended; it is made anew", p->key);
        drop_pod(k, p);
        kubelet_sync(k);
        return;
    }
    log_error("process %d of the lab ended with status %d", (int)pid, wait_status);
}

size_t kubelet_waiting(const struct kubelet *k, struct strbuf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < k->pods.n; i++) {
        const struct pod_run *p = k->pods.items[i];
        if (!p->pid || p->status.ready || !status_allows_ready(p->json))
            continue;
        strbuf_printf(out, "%s%s", n++ ? ", " : "", p->key);
    }
    if (k->n_held)
        strbuf_printf(out, "%s%u pods that wait for the lab's API", n ? ", " : "", k->n_held);
    n += k->n_held;
    size_t waiting = k->publisher ? publisher_waiting(k->publisher) : 0;
    if (waiting)
        strbuf_printf(out, "%s%zu objects that the API server has not taken yet", n ? ", " : "",
                      waiting);
    return n + waiting;
}
