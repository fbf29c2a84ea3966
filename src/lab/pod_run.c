#include "lab/pod_run.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "lab/place.h"
#include "lab/pod_files.h"
#include "lab/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static json_t *full_object(const struct pod_run *p)
{
    struct pod_status s = p->status;
    s.message = p->message;
    return status_of_pod(p->json, &p->kubelet->topology, p->placed ? &p->place : NULL, &s);
}

void pod_run_publish(const struct pod_run *p)
{
    kubelet_write(p->kubelet, "Pod", json_text(p->json, "metadata.namespace"),
                  json_text(p->json, "metadata.name"), full_object(p));
}

static void set_ready(struct pod_run *p)
{
    bool ready = p->pid && p->status.state == POD_STATE_RUNNING && status_allows_ready(p->json);
    for (unsigned i = 0; i < PODSPEC_CONTAINERS_MAX; i++)
        ready &= !p->probers[i] || prober_is_ready(p->probers[i]);
    if (ready != p->status.ready) {
        p->status.ready = ready;
        p->status.changed = clock_unix();
        log_info("pod %s is %s", p->key, ready ? "ready" : "not ready");
    }
}

static void probe_changed(void *ctx)
{
    struct pod_run *p = ctx;
    set_ready(p);
    pod_run_publish(p);
    if (p->kubelet->changed)
        p->kubelet->changed(p->kubelet->ctx);
}

static void start_probers(struct pod_run *p)
{
    for (unsigned i = 0; i < p->spec.n_containers; i++) {
        const struct probe *ready = &p->spec.containers[i].ready;
        struct prober_target t = { .probe = ready,
                                   .netns = p->kubelet->net.nodes[p->place.node].netns,
                                   .ip = ready->ip.family ? ready->ip : p->place.ips[0],
                                   .sandbox = p->pid };
        if (t.probe->kind != PROBE_NONE)
            p->probers[i] = prober_new(p->kubelet->loop, &t, probe_changed, p);
    }
}

static int read_spec(struct pod_run *p, const struct pod_names_text *names, struct err *e)
{
    char pod_ip[IP_TEXT_MAX], second[IP_TEXT_MAX], host_ip[IP_TEXT_MAX], ips[2 * IP_TEXT_MAX];
    const struct topology_node *node = &p->kubelet->topology.nodes.items[p->place.node];
    ip_text(&p->place.ips[0], pod_ip);
    ip_text(&node->address[0], host_ip);
    snprintf(ips, sizeof ips, "%s", pod_ip);
    if (p->place.n_ips > 1)
        snprintf(ips, sizeof ips, "%s,%s", pod_ip, ip_text(&p->place.ips[1], second));
    struct pod_facts facts = { pod_ip, ips, host_ip, node->name, names->hostname };
    int code = podspec_read(p->json, &facts, &p->spec, e);
    p->has_spec = code == 0;
    return code;
}

static int connect_pod(struct pod_run *p, struct err *e)
{
    struct kubelet *k = p->kubelet;
    if (p->place.host_network)
        return 0;
    snprintf(p->link, sizeof p->link, "veth%u", ++k->n_links);
    return net_add_pod(&k->net, &k->topology, &p->place, p->link, &p->netns, e);
}

static int write_pid(const struct pod_run *p, pid_t outer, struct err *e)
{
    char path[PATH_MAX], text[32];
    snprintf(text, sizeof text, "%d\n", (int)outer);
    int code = place_write(place_path(path, p->folder, "pid"), text, strlen(text));
    return code < 0 ? err_set(e, code, "cannot write %s: %s", path, strerror(-code)) : 0;
}

static int start_sandbox(struct pod_run *p, const struct pod_names_text *names, struct err *e)
{
    struct kubelet *k = p->kubelet;
    struct rootfs_bind binds[POD_BINDS_MAX];
    struct arena a;
    size_t n = 0;
    pid_t outer;
    char stage[PATH_MAX];
    arena_init(&a, 8192);
    struct sandbox s = {
        .title = p->key, .nodename = names->nodename, .spec = &p->spec, .log_dir = p->folder
    };
    s.netns = p->place.host_network ? k->net.nodes[p->place.node].netns : p->netns;
    int code = pod_files_binds(k, p, &a, binds, &n, e);
    s.root = (struct rootfs){ .stage = place_path(stage, k->dir, "stage"),
                              .program = k->program,
                              .hostname = names->hostname,
                              .binds = binds,
                              .n_binds = n };
    if (code == 0)
        code = sandbox_start(&s, &p->pid, &outer, e);
    arena_done(&a);
    return code < 0 ? code : write_pid(p, outer, e);
}

static int start(struct pod_run *p, struct err *e)
{
    struct pod_names_text names;
    const struct topology_pod *place;
    int code = topology_add_pod(&p->kubelet->topology, p->json, &place, e);
    if (code < 0)
        return code;
    p->place = *place;
    p->placed = true;
    if ((code = place_mkdir(p->folder, 0755)) < 0)
        return err_set(e, code, "cannot make %s: %s", p->folder, strerror(-code));
    json_t *full = full_object(p);
    code = pod_files_write(p->kubelet, p, full, &names, e);
    json_decref(full);
    if (code == 0)
        code = read_spec(p, &names, e);
    if (code == 0)
        code = pod_files_volumes(p->kubelet, p, e);
    if (code == 0)
        code = connect_pod(p, e);
    if (code == 0)
        code = start_sandbox(p, &names, e);
    return code;
}

struct pod_run *pod_run_new(struct kubelet *k, const struct manifest *m)
{
    struct pod_run *p = xcalloc(1, sizeof *p);
    struct strbuf b = { 0 };
    struct err e = { 0 };
    p->kubelet = k;
    p->netns = -1;
    p->json = json_incref(m->json);
    strbuf_printf(&b, "%s/%s", m->namespace, m->name);
    p->key = strbuf_steal(&b);
    strbuf_printf(&b, "%s/pods/%s_%s", k->dir, m->namespace, m->name);
    p->folder = strbuf_steal(&b);
    p->status.started = p->status.changed = clock_unix();
    if (start(p, &e) < 0) {
        p->message = xstrdup(e.text);
        log_error("%s: Pod %s does not run: %s", m->origin, p->key, e.text);
    } else {
        p->status.state = POD_STATE_RUNNING;
        start_probers(p);
        set_ready(p);
    }
    pod_run_publish(p);
    return p;
}

static void stop_probers(struct pod_run *p)
{
    for (unsigned i = 0; i < PODSPEC_CONTAINERS_MAX; i++) {
        prober_free(p->probers[i]);
        p->probers[i] = NULL;
    }
}

bool pod_run_end(struct pod_run *p)
{
    if (p->status.state != POD_STATE_ENDING) {
        stop_probers(p);
        p->status.state = POD_STATE_ENDING;
        p->status.deleted = clock_unix();
        set_ready(p);
        pod_run_publish(p);
        if (p->pid)
            kill(p->pid, SIGTERM);
        log_info("pod %s ends", p->key);
    }
    return !p->pid;
}

void pod_run_free(struct pod_run *p)
{
    struct kubelet *k = p->kubelet;
    stop_probers(p);
    if (p->netns >= 0) {
        net_remove_pod(&k->net, p->place.node, p->link);
        close(p->netns);
    }
    if (p->placed)
        topology_remove_pod(&k->topology, p->key);
    place_remove(p->folder); /* when its object is gone nothing of it is left */
    kubelet_unwrite(k, "Pod", json_text(p->json, "metadata.namespace"),
                    json_text(p->json, "metadata.name"));
    if (p->has_spec)
        podspec_done(&p->spec);
    json_decref(p->json);
    free(p->message);
    free(p->folder);
    free(p->key);
    free(p);
}

bool pod_run_needs_restart(const struct pod_run *p, const struct manifest *m)
{
    return !json_equal(json_object_get(p->json, "spec"), json_object_get(m->json, "spec")) ||
           !str_eq(json_text(p->json, "status.podIP"), json_text(m->json, "status.podIP"));
}

void pod_run_update(struct pod_run *p, const struct manifest *m)
{
    /* What the spec was read from must stay as long as the spec: only labels and the like change.
     */
    json_t *changed = json_deep_copy(m->json);
    json_object_set(changed, "spec", json_object_get(p->json, "spec"));
    json_t *old = p->json;
    p->json = changed;
    p->spec.namespace = json_text(changed, "metadata.namespace");
    p->spec.name = json_text(changed, "metadata.name");
    json_decref(old);
    set_ready(p);
    pod_run_publish(p);
}
