/* Which pod has an address: for labels about the client. */
#include "dns/snapshot_build.h"

#include "base/hash.h"
#include "base/mem.h"
#include "kube/pod.h"

#include <string.h>

#define CLIENT_LABELS_BYTES_MAX 16384 /* of one pod's labels; more are left out */

bool snap_client_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    (void)len;
    return ip_equal(&((const struct snap_client *)e)->ip, key);
}

static uint32_t hash_of(const struct ip *ip)
{
    return (uint32_t)hash_bytes(ip->bytes, ip_len(ip));
}

const struct snap_client *snapshot_client(const struct snapshot *s, const struct ip *ip)
{
    return (const struct snap_client *)rcu_table_find(&s->clients, hash_of(ip), ip, sizeof *ip);
}

const char *snap_client_name(const struct snap_client *c)
{
    return c->text + strlen(c->text) + 1;
}

const char *snap_client_label(const struct snap_client *c, const char *key)
{
    const char *name = snap_client_name(c), *p = name + strlen(name) + 1;
    for (uint16_t i = 0; i < c->n_labels; i++) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, key) == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

static char *put_text(char *at, const char *text)
{
    return (char *)memcpy(at, text, strlen(text) + 1) + strlen(text) + 1;
}

static struct snap_client *new_client(const struct object *pod, const struct ip *ip)
{
    const struct meta *m = &pod->meta;
    size_t bytes = strlen(m->namespace) + strlen(m->name) + 2, labels = 0;
    uint16_t n = 0;
    for (; n < m->n_labels; n++) {
        size_t more = strlen(m->labels[n].key) + strlen(m->labels[n].value) + 2;
        if (labels + more > CLIENT_LABELS_BYTES_MAX)
            break;
        labels += more;
    }
    struct snap_client *c = xcalloc(1, sizeof *c + bytes + labels);
    c->entry.hash = hash_of(ip);
    c->ip = *ip;
    c->n_labels = n;
    char *at = put_text(put_text(c->text, m->namespace), m->name);
    for (uint16_t i = 0; i < n; i++)
        at = put_text(put_text(at, m->labels[i].key), m->labels[i].value);
    return c;
}

void snap_client_put(struct snapshot *s, const struct object *pod)
{
    const struct ip *ip = &pod_of(pod)->ips[0];
    struct snap_client *c = new_client(pod, ip);
    struct rcu_table_entry *old = rcu_table_put(&s->clients, &c->entry, ip, sizeof *ip);
    if (old)
        rcu_retire(old, free);
}

void snap_client_del(struct snapshot *s, const struct ip *ip, const struct meta *pod)
{
    const struct snap_client *c = snapshot_client(s, ip);
    if (!c || strcmp(c->text, pod->namespace) != 0 || strcmp(snap_client_name(c), pod->name) != 0)
        return;
    rcu_retire(rcu_table_del(&s->clients, hash_of(ip), ip, sizeof *ip), free);
}
