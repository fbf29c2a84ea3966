#include "lab/report.h"

#include "base/str.h"
#include "base/table.h"
#include "lab/manifest.h"
#include "lab/place.h"
#include "lab/status.h"

#include <unistd.h>

static const char *or_none(const char *text)
{
    return text ? text : "-";
}

static void print_nodes(const struct manifests *m, FILE *out)
{
    struct table t;
    table_init(&t, "Nodes");
    table_column(&t, "node", TABLE_LEFT);
    table_column(&t, "address", TABLE_LEFT);
    table_column(&t, "pod network", TABLE_LEFT);
    vec_each (d, &m->items) {
        if (!str_eq(d->kind, "Node"))
            continue;
        json_t *first = json_array_get(json_at(d->json, "status.addresses"), 0);
        table_cell(&t, TABLE_STRONG, "%s", d->name);
        table_cell(&t, TABLE_PLAIN, "%s", or_none(json_text(first, "address")));
        table_cell(&t, TABLE_PLAIN, "%s", or_none(json_text(d->json, "spec.podCIDR")));
    }
    table_print(&t, out);
    table_done(&t);
}

static void print_pod(const struct manifest *d, const char *dir, struct table *t)
{
    char pod[600];
    pid_t pid = 0;
    bool ready = status_is_ready(d->json);
    const char *message = json_text(d->json, "status.message");
    bool ending = json_text(d->json, "metadata.deletionTimestamp") != NULL;
    snprintf(pod, sizeof pod, "%s/%s", d->namespace, d->name);
    place_pod_pid(dir, pod, &pid, NULL);
    table_cell(t, TABLE_STRONG, "%s", pod);
    table_cell(t, TABLE_PLAIN, "%s", or_none(json_text(d->json, "spec.nodeName")));
    table_cell(t, TABLE_PLAIN, "%s", or_none(json_text(d->json, "status.podIP")));
    table_cell(t, ready ? TABLE_GOOD : TABLE_WARN, "%s",
               ending    ? "ending"
               : ready   ? "ready"
               : message ? "not running"
                         : "not ready");
    if (pid)
        table_cell(t, TABLE_DIM, "%d", (int)pid);
    else
        table_cell(t, TABLE_DIM, "-");
    table_cell(t, TABLE_BAD, "%s", message ? message : "");
}

bool report_kubeconfig(const char *dir, char out[PATH_MAX])
{
    return access(place_path(out, dir, "kubeconfig"), R_OK) == 0;
}

int report_status(const char *dir, FILE *out, struct err *e)
{
    char path[PATH_MAX];
    struct manifests m, nothing = { 0 };
    struct table t;
    cleanup_free char *source = place_read(place_path(path, dir, "source"), PATH_MAX);
    int code = manifests_read(place_path(path, dir, "objects"), &nothing, &m, e);
    if (code < 0)
        return code;
    fprintf(out, "Lab in %s, from %s\n", dir, source ? source : "?");
    if (report_kubeconfig(dir, path))
        fprintf(out, "kubectl --kubeconfig %s\n", path);
    fputc('\n', out);
    print_nodes(&m, out);
    fputc('\n', out);
    table_init(&t, "Pods");
    table_column(&t, "pod", TABLE_LEFT);
    table_column(&t, "node", TABLE_LEFT);
    table_column(&t, "address", TABLE_LEFT);
    table_column(&t, "state", TABLE_LEFT);
    table_column(&t, "pid", TABLE_RIGHT);
    table_column(&t, "", TABLE_LEFT);
    vec_each (d, &m.items) {
        if (str_eq(d->kind, "Pod"))
            print_pod(d, dir, &t);
    }
    table_print(&t, out);
    table_done(&t);
    manifests_done(&m);
    return 0;
}
