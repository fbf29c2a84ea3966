/* The first line is a key, the rest its value: what can be read gives names and a TXT record that
 * are whole, and is found again in a tree. */
#include "dns/plugins/etcd.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right)
{
    if (!right)
        abort();
}

static void check_name(const uint8_t *wire)
{
    struct cursor c = cursor_of(wire, NAME_MAX_WIRE);
    struct name name;
    must(!wire || name_parse_plain(&c, &name) == 0);
}

static void check_text(const struct etcd_value *v)
{
    size_t at = 0;
    while (v->text && at < v->text_len)
        at += 1u + v->text[at];
    must(at == v->text_len);
}

static void check(const struct etcd_value *v, const struct err *e)
{
    check_name(v->host);
    check_name(v->domain);
    check_text(v);
    if (v->kind == ETCD_HOST_BAD)
        must(e->text[0] && !v->host && !v->text);
    if (v->kind == ETCD_HOST_NAME)
        must(v->host && !v->text);
    if (v->kind == ETCD_HOST_V4 || v->kind == ETCD_HOST_V6)
        must(v->ip.family && !v->host);
    must(strlen(v->group) < ETCD_VALUE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t key_len = end ? (size_t)(end - data) : 0;
    struct err e = { 0 };
    if (!key_len || key_len > ETCD_KEY_MAX)
        return 0;
    struct etcd_pair p = { .key = (const char *)data,
                           .key_len = key_len,
                           .value = (const char *)end + 1,
                           .value_len = size - key_len - 1 };
    struct etcd_value *v = etcd_value_new(&p, &e);
    struct etcd_tree t = { 0 };
    check(v, &e);
    etcd_tree_put(&t, v);
    must(etcd_find(t.root, p.key, p.key_len) == v);
    etcd_tree_del(&t, p.key, p.key_len);
    must(!etcd_find(t.root, p.key, p.key_len));
    etcd_tree_drop(&t);
    if (++inputs % 512 == 0) /* it is slow */
        rcu_barrier_all();
    return 0;
}
