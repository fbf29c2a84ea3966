#include "dns/snapshot.h"

#include "base/hash.h"
#include "dns/snapshot_build.h"

#include <string.h>

const struct snap_service *snapshot_service(const struct snapshot *s, const uint8_t *key,
                                            size_t len)
{
    return (const struct snap_service *)rcu_table_find(&s->services, hash_bytes(key, len), key,
                                                       len);
}

uint64_t snapshot_hash(const uint8_t *key, size_t len)
{
    return hash_bytes(key, len);
}

void snapshot_prefetch(const struct snapshot *s, uint64_t hash, bool entry)
{
    if (entry)
        rcu_table_prefetch_entry(&s->services, hash);
    else
        rcu_table_prefetch_place(&s->services, hash);
}

const struct snap_service *snapshot_service_hashed(const struct snapshot *s, uint64_t hash,
                                                   const uint8_t *key, size_t len)
{
    return (const struct snap_service *)rcu_table_find(&s->services, hash, key, len);
}

bool snapshot_namespace(const struct snapshot *s, const uint8_t *label)
{
    size_t len = 1u + label[0];
    return rcu_table_find(&s->namespaces, hash_bytes(label, len), label, len) != NULL;
}

size_t snap_pod_key(const uint8_t *ns_label, const struct ip *ip, uint8_t out[96])
{
    size_t n = 1u + ns_label[0];
    memcpy(out, ns_label, n);
    memcpy(out + n, ip->bytes, ip_len(ip));
    return n + ip_len(ip);
}

bool snapshot_pod(const struct snapshot *s, const uint8_t *ns_label, const struct ip *ip)
{
    uint8_t key[96];
    size_t len = snap_pod_key(ns_label, ip, key);
    return rcu_table_find(&s->pods, hash_bytes(key, len), key, len) != NULL;
}

void snapshot_each_service(const struct snapshot *s,
                           void (*fn)(void *ctx, const struct snap_service *service), void *ctx)
{
    const struct rcu_table_slots *slots = rcu_load(&s->services.slots);
    for (size_t i = 0; i <= slots->mask; i++) {
        const struct rcu_table_entry *e = rcu_load(&slots->slot[i]);
        const struct snap_service *service = (const struct snap_service *)e;
        if (e && e != RCU_TABLE_DELETED && service->visible && !service->hidden_empty)
            fn(ctx, service);
    }
}

bool snapshot_synced(const struct snapshot *s)
{
    return atomic_load_explicit(&s->synced, memory_order_relaxed);
}

uint32_t snapshot_serial(const struct snapshot *s)
{
    return atomic_load_explicit(&s->serial, memory_order_relaxed);
}

void snap_dashed_text(const struct ip *ip, uint8_t out[64])
{
    char text[IP_TEXT_MAX + 1];
    ip_text(ip, text);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        out[1 + i] = (uint8_t)(text[i] == '.' || text[i] == ':' ? '-' : text[i]);
    out[0] = (uint8_t)n;
}

void snap_dashed_label(const struct ip *ip, uint8_t out[64])
{
    snap_dashed_text(ip, out);
    if (out[out[0]] == '-')
        out[++out[0]] = '0';
}

bool snap_dashed_ip(const uint8_t *label, struct ip *ret_ip)
{
    char text[NAME_MAX_LABEL + 1];
    unsigned dashes = 0;
    bool doubled = false;
    for (unsigned i = 0; i < label[0]; i++) {
        char c = (char)label[1 + i];
        if (c == '.' || c == ':' || c == 0)
            return false;
        dashes += c == '-';
        doubled |= c == '-' && i && label[i] == '-';
        text[i] = c;
    }
    text[label[0]] = 0;
    char separator = dashes == 3 && !doubled ? '.' : ':';
    for (char *p = text; *p; p++)
        if (*p == '-')
            *p = separator;
    return ip_parse(text, ret_ip) == 0;
}

const uint8_t *snap_endpoint_label(const struct snap_service *s, const struct snap_endpoint *e,
                                   uint8_t buf[64])
{
    if (e->label)
        return s->pool + e->label;
    struct ip ip = snap_endpoint_ip(s, e);
    snap_dashed_label(&ip, buf);
    return buf;
}
