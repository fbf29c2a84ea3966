#include "picture.h"

#include "base/vec.h"

#include <string.h>

struct lines {
    VEC(char *) list;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void lines_add(struct lines *l, struct strbuf *b)
{
    vec_push(&l->list, strbuf_steal(b));
}

/* Sorted, each once if wanted, and frees them. */
static void lines_print(struct lines *l, bool once, const char *end, struct strbuf *out)
{
    if (l->list.n)
        qsort(l->list.items, l->list.n, sizeof(char *), by_text);
    for (size_t i = 0; i < l->list.n; i++)
        if (!once || i == 0 || strcmp(l->list.items[i], l->list.items[i - 1]) != 0)
            strbuf_printf(out, "%s%s", l->list.items[i], end);
    vec_each (it, &l->list)
        free(*it);
    vec_done(&l->list);
}

static void put_label(struct strbuf *out, const uint8_t *label)
{
    strbuf_add(out, (const char *)label + 1, label[0]);
}

static void put_ip(struct strbuf *out, uint8_t family, const uint8_t *bytes)
{
    struct ip ip = { .family = family };
    char text[IP_TEXT_MAX];
    memcpy(ip.bytes, bytes, ip_len(&ip));
    strbuf_puts(out, ip_text(&ip, text));
}

static size_t put_label_of(uint8_t *out, const char *text)
{
    size_t n = strlen(text);
    out[0] = (uint8_t)n;
    memcpy(out + 1, text, n);
    return 1 + n;
}

size_t key_of(const char *service, const char *namespace, uint8_t key[128])
{
    size_t n = put_label_of(key, service);
    return n + put_label_of(key + n, namespace);
}

const struct snap_service *find_service(const struct snapshot *s, const char *service,
                                        const char *namespace)
{
    uint8_t key[128];
    size_t len = key_of(service, namespace, key);
    return snapshot_service(s, key, len);
}

static void put_port(const struct snap_service *s, const struct snap_port *p, struct strbuf *out)
{
    strbuf_putc(out, ' ');
    put_label(out, s->pool + p->protocol);
    strbuf_putc(out, '/');
    put_label(out, s->pool + p->name);
    strbuf_printf(out, "=%d", p->number);
}

void endpoint_text(const struct snap_service *s, const struct snap_endpoint *e, struct strbuf *out)
{
    uint8_t buf[64];
    const struct snap_group *g = &s->groups[e->group];
    struct ip ip = snap_endpoint_ip(s, e);
    put_ip(out, ip.family, ip.bytes);
    strbuf_putc(out, ' ');
    put_label(out, snap_endpoint_label(s, e, buf));
    strbuf_puts(out, " zone=");
    put_label(out, s->pool + e->zone);
    for (uint16_t i = 0; i < g->n; i++)
        put_port(s, &s->ports[g->first + i], out);
}

static void put_addresses(const struct snap_service *s, struct strbuf *out)
{
    struct lines l = { 0 };
    struct strbuf b = { 0 };
    for (uint32_t i = 0; i < s->n_a + s->n_aaaa; i++) {
        if (i < s->n_a)
            put_ip(&b, 4, s->a + 4 * (size_t)i);
        else
            put_ip(&b, 6, s->aaaa + 16 * (size_t)(i - s->n_a));
        lines_add(&l, &b);
    }
    lines_print(&l, false, " ", out);
}

static void put_service(const struct snap_service *s, struct strbuf *out)
{
    static const char *const kinds[] = { "orphan", "cluster-ip", "headless", "external" };
    char name[NAME_TEXT_MAX];
    struct lines l = { 0 };
    struct strbuf b = { 0 };
    strbuf_printf(out, "%s%s%s ", kinds[s->kind], s->visible ? "" : " invisible",
                  s->hidden_empty ? " hidden" : "");
    put_addresses(s, out);
    for (uint16_t i = 0; i < s->n_ports; i++)
        put_port(s, &s->ports[i], out);
    if (s->external)
        strbuf_printf(out, " -> %s", name_to_text(s->external, name));
    strbuf_putc(out, '\n');
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        strbuf_puts(&b, "  ");
        endpoint_text(s, &s->endpoints[i], &b);
        lines_add(&l, &b);
    }
    lines_print(&l, false, "\n", out);
}

void owners_text(const struct snapshot *s, const struct ip *ip, struct strbuf *out)
{
    struct snap_owners w = snapshot_owners(s, ip);
    struct lines l = { 0 };
    for (struct snap_owner o; snap_owners_next(&w, &o);) {
        uint8_t name[SNAP_OWNER_NAME];
        size_t len = snap_owner_name(&o, name);
        struct strbuf b = { 0 };
        for (size_t at = 0; at < len; at += 1u + name[at]) {
            strbuf_puts(&b, at ? "." : "");
            put_label(&b, name + at);
        }
        strbuf_puts(&b, o.endpoint ? "" : "!");
        lines_add(&l, &b);
    }
    lines_print(&l, true, " ", out);
}

static void put_pods(const struct snapshot *s, const struct universe *u, const uint8_t *ns,
                     struct strbuf *out)
{
    for (size_t i = 0; i < u->n_ips; i++) {
        if (!snapshot_pod(s, ns, &u->ips[i]))
            continue;
        strbuf_puts(out, " pod ");
        put_ip(out, u->ips[i].family, u->ips[i].bytes);
    }
    strbuf_putc(out, '\n');
}

void picture(const struct snapshot *s, const struct universe *u, struct strbuf *out)
{
    uint8_t label[64];
    char text[IP_TEXT_MAX];
    for (size_t n = 0; n < u->n_namespaces; n++) {
        put_label_of(label, u->namespaces[n]);
        strbuf_printf(out, "%s: %s", u->namespaces[n],
                      snapshot_namespace(s, label) ? "exposed" : "none");
        put_pods(s, u, label, out);
        for (size_t i = 0; i < u->n_services; i++) {
            const struct snap_service *v = find_service(s, u->services[i], u->namespaces[n]);
            if (!v)
                continue;
            strbuf_printf(out, "%s/%s ", u->namespaces[n], u->services[i]);
            put_service(v, out);
        }
    }
    for (size_t i = 0; i < u->n_ips; i++) {
        strbuf_printf(out, "%s: ", ip_text(&u->ips[i], text));
        owners_text(s, &u->ips[i], out);
        strbuf_putc(out, '\n');
    }
}
