#include "lab/pod_files.h"

#include "base/log.h"
#include "base/str.h"
#include "client/hostsfile.h"
#include "client/pod_manifest.h"
#include "client/resolvconf.h"
#include "config/tree.h"
#include "lab/own_api.h"
#include "lab/place.h"

#include <errno.h>
#include <string.h>

#define NODE_FILE_MAX (1 << 20)

static int write_text(const char *folder, const char *name, const char *text, struct err *e)
{
    char path[PATH_MAX];
    place_path(path, folder, "%s", name);
    int code = place_write(path, text, strlen(text));
    return code < 0 ? err_set(e, code, "cannot write %s: %s", path, strerror(-code)) : 0;
}

static const char *cluster_dns(const struct kubelet *k)
{
    const struct manifest *m = manifests_find(&k->manifests, "Service", "kube-system", "kube-dns");
    const char *ip = m ? json_text(m->json, "spec.clusterIP") : NULL;
    return ip ? ip : KUBELET_DNS;
}

static int read_pod_dns(json_t *full, const char *origin, struct arena *a, struct pod_dns *ret,
                        struct err *e)
{
    struct tree_doc docs;
    cleanup_free char *text = json_dumps(full, JSON_COMPACT);
    const char *kept = arena_strdup(a, text);
    int code = tree_parse(kept, strlen(kept), origin, a, &docs, e);
    return code < 0 ? code : pod_manifest_read(docs.documents[0], origin, a, ret, e);
}

static int write_resolvconf(const struct kubelet *k, const struct pod_run *p,
                            const struct pod_dns *dns, const char *node_text, struct arena *a,
                            struct err *e)
{
    struct kubelet_dns host = { .host_path = "/etc/resolv.conf",
                                .host_text = node_text,
                                .cluster_domain = KUBELET_DOMAIN };
    struct resolvconf conf;
    struct dns_notes notes = { .n = 0 };
    const struct topology_node *node = &k->topology.nodes.items[p->place.node];
    strlist_add(&host.cluster_dns, a, cluster_dns(k));
    host.node_ips = node->address;
    host.n_node_ips = node->address[1].family ? 2 : 1;
    int code = resolvconf_build(&host, dns, a, &conf, &notes, e);
    for (size_t i = 0; code == 0 && i < notes.n; i++)
        log_warning("%s: %s", p->key, notes.items[i].text);
    return code < 0 ? code : write_text(p->folder, "resolv.conf", resolvconf_text(&conf, a), e);
}

static int write_all(const struct kubelet *k, const struct pod_run *p, json_t *full,
                     struct arena *a, struct pod_names_text *ret, struct err *e)
{
    const char *node = k->topology.nodes.items[p->place.node].name;
    struct pod_dns dns;
    struct pod_names names;
    char path[PATH_MAX];
    cleanup_free char *node_hosts =
        place_read(place_path(path, k->dir, "nodes/%s/hosts", node), NODE_FILE_MAX);
    cleanup_free char *node_resolv =
        place_read(place_path(path, k->dir, "nodes/%s/resolv.conf", node), NODE_FILE_MAX);
    int code = read_pod_dns(full, p->key, a, &dns, e);
    if (code == 0)
        code = pod_names_build(&dns, KUBELET_DOMAIN, a, &names, e);
    if (code == 0)
        code = write_resolvconf(k, p, &dns, node_resolv, a, e);
    if (code == 0)
        code = write_text(p->folder, "hosts", hostsfile_text(&dns, &names, node_hosts, a), e);
    if (code < 0)
        return code;
    snprintf(ret->hostname, sizeof ret->hostname, "%s", names.hostname);
    snprintf(ret->nodename, sizeof ret->nodename, "%s", names.nodename ? names.nodename : node);
    return 0;
}

int pod_files_write(const struct kubelet *k, const struct pod_run *p, json_t *full,
                    struct pod_names_text *ret_names, struct err *e)
{
    struct arena a;
    arena_init(&a, 16384);
    int code = write_all(k, p, full, &a, ret_names, e);
    arena_done(&a);
    return code;
}

int pod_files_node(const char *folder, const char *name, const struct ip *ip, struct err *e)
{
    char hosts[512], text[IP_TEXT_MAX];
    int code = place_mkdir(folder, 0755);
    if (code < 0)
        return err_set(e, code, "cannot make %s: %s", folder, strerror(-code));
    snprintf(hosts, sizeof hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost\n%s\t%s\n",
             ip_text(ip, text), name);
    code = write_text(folder, "hosts", hosts, e);
    return code < 0 ? code
                    : write_text(folder, "resolv.conf", "nameserver " TOPOLOGY_OUTSIDE "\n", e);
}

/* ConfigMap keys as files; by rename, so that readers never see half of one. */
static int write_key(const char *folder, const char *file, json_t *data, const char *key,
                     struct err *e)
{
    const char *text = json_string_value(json_object_get(data, key));
    if (!text || strchr(file, '/'))
        return err_set(e, ERR_INVALID,
                       "ConfigMap: there is no key \"%s\", or \"%s\" is no file name", key, file);
    return write_text(folder, file, text, e);
}

static int write_config_map(const struct kubelet *k, const struct pod_run *p,
                            const struct volume *v, const char *folder, struct err *e)
{
    const struct manifest *m =
        manifests_find(&k->manifests, "ConfigMap", p->spec.namespace, v->source);
    json_t *data = m ? json_object_get(m->json, "data") : NULL, *item;
    const char *key;
    size_t i;
    int code = 0;
    if (!m)
        return v->optional ? 0
                           : err_set(e, ERR_NOT_FOUND, "volume %s: there is no ConfigMap %s/%s",
                                     v->name, p->spec.namespace, v->source);
    if (v->items) {
        json_array_foreach(v->items, i, item)
        {
            const char *from = json_text(item, "key"), *to = json_text(item, "path");
            if (code == 0)
                code = write_key(folder, to ? to : "", data, from ? from : "", e);
        }
        return code;
    }
    json_object_foreach(data, key, item)
    {
        if (code == 0)
            code = write_key(folder, key, data, key, e);
    }
    return code;
}

int pod_files_volumes(const struct kubelet *k, const struct pod_run *p, struct err *e)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < p->spec.n_volumes; i++) {
        const struct volume *v = &p->spec.volumes[i];
        int code = place_mkdir(place_path(path, p->folder, "volumes/%s", v->name), 0755);
        if (code < 0)
            return err_set(e, code, "cannot make %s: %s", path, strerror(-code));
        if (v->kind == VOLUME_CONFIG_MAP && (code = write_config_map(k, p, v, path, e)) < 0)
            return code;
    }
    return 0;
}

void pod_files_refresh(const struct kubelet *k, const struct pod_run *p, const char *config_map)
{
    char path[PATH_MAX];
    struct err e = { 0 };
    for (unsigned i = 0; i < p->spec.n_volumes; i++) {
        const struct volume *v = &p->spec.volumes[i];
        place_path(path, p->folder, "volumes/%s", v->name);
        if (v->kind == VOLUME_CONFIG_MAP && str_eq(v->source, config_map) &&
            write_config_map(k, p, v, path, &e) < 0)
            log_warning("%s: %s", p->key, e.text);
    }
}

static const char *source_of(const struct kubelet *k, const struct pod_run *p,
                             const struct volume *v, struct arena *a)
{
    if (v->kind != VOLUME_HOST_PATH)
        return arena_printf(a, "%s/volumes/%s", p->folder, v->name);
    if (str_eq(v->source, KUBELET_OBJECTS))
        return arena_printf(a, "%s/objects", k->dir);
    if (str_eq(v->source, OWN_API_FOLDER))
        return arena_printf(a, "%s/api", k->dir);
    return v->source;
}

/* This machine's own folders are not. */
static bool is_writable(const struct mount *m)
{
    bool own = m->volume->kind == VOLUME_EMPTY ||
               (m->volume->kind == VOLUME_HOST_PATH && str_eq(m->volume->source, OWN_API_FOLDER));
    return own && !m->read_only;
}

int pod_files_binds(const struct kubelet *k, const struct pod_run *p, struct arena *a,
                    struct rootfs_bind binds[POD_BINDS_MAX], size_t *ret_n, struct err *e)
{
    size_t n = 0;
    binds[n++] = (struct rootfs_bind){ arena_printf(a, "%s/resolv.conf", p->folder),
                                       "/etc/resolv.conf", .file = true, .writable = true };
    binds[n++] = (struct rootfs_bind){ arena_printf(a, "%s/hosts", p->folder), "/etc/hosts",
                                       .file = true, .writable = true };
    for (unsigned c = 0; c < p->spec.n_containers; c++) {
        const struct container *box = &p->spec.containers[c];
        for (unsigned i = 0; i < box->n_mounts; i++) {
            const struct mount *m = &box->mounts[i];
            bool seen = false; /* the containers of a pod share one root here */
            for (size_t b = 0; b < n; b++)
                seen |= str_eq(binds[b].to, m->path);
            if (seen)
                continue;
            if (n == POD_BINDS_MAX)
                return err_set(e, ERR_LIMIT, "more than %d volumeMounts", POD_BINDS_MAX);
            binds[n++] = (struct rootfs_bind){ source_of(k, p, m->volume, a), m->path,
                                               .writable = is_writable(m) };
        }
    }
    *ret_n = n;
    return 0;
}
