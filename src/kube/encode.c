#include "kube/encode.h"

#include "kube/timestamp.h"

#include <string.h>

#define NS_PER_S 1000000000LL

/* Whether something stands in front is seen from what was written last. */
static void separate(struct strbuf *out)
{
    if (out->len && !strchr("{[:", out->p[out->len - 1]))
        strbuf_putc(out, ',');
}

void encode_open(struct strbuf *out)
{
    separate(out);
    strbuf_putc(out, '{');
}

void encode_key(struct strbuf *out, const char *key)
{
    separate(out);
    strbuf_json(out, key);
    strbuf_putc(out, ':');
}

void encode_text(struct strbuf *out, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    encode_key(out, key);
    strbuf_json(out, value);
}

void encode_bool(struct strbuf *out, const char *key, bool value)
{
    encode_key(out, key);
    strbuf_puts(out, value ? "true" : "false");
}

void encode_pair(struct strbuf *out, const char *key, const char *value)
{
    encode_key(out, key);
    strbuf_json(out, value);
}

static void encode_pairs(struct strbuf *out, const struct label *labels, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++)
        encode_pair(out, labels[i].key, labels[i].value);
}

void encode_labels(struct strbuf *out, const char *key, const struct label *labels, uint16_t n)
{
    if (!n)
        return;
    encode_key(out, key);
    encode_open(out);
    encode_pairs(out, labels, n);
    strbuf_putc(out, '}');
}

void encode_annotations(struct strbuf *out, const struct label *annotations, uint16_t n,
                        int64_t trigger_time_ns)
{
    char text[TIMESTAMP_TEXT_MAX];
    if (!n && !trigger_time_ns)
        return;
    encode_key(out, "annotations");
    encode_open(out);
    encode_pairs(out, annotations, n);
    if (trigger_time_ns)
        encode_pair(out, ANNOTATION_TRIGGER_TIME,
                    timestamp_text(trigger_time_ns / NS_PER_S, trigger_time_ns % NS_PER_S, text));
    strbuf_putc(out, '}');
}

static void encode_owner(struct strbuf *out, const struct slice *s)
{
    if (!s->owner_uid || !*s->owner_uid)
        return;
    encode_key(out, "ownerReferences");
    strbuf_puts(out, "[{\"apiVersion\":\"v1\"");
    encode_text(out, "kind", s->owner_kind ? s->owner_kind : "Service");
    encode_text(out, "name", s->service);
    encode_text(out, "uid", s->owner_uid);
    encode_bool(out, "controller", true);
    encode_bool(out, "blockOwnerDeletion", true);
    strbuf_puts(out, "}]");
}

void encode_meta_open(struct strbuf *out, const struct meta *m, const char *generated_from,
                      const char *version)
{
    encode_key(out, "metadata");
    encode_open(out);
    encode_text(out, "namespace", m->namespace);
    encode_text(out, "name", m->name);
    if (generated_from) {
        encode_key(out, "generateName");
        strbuf_printf(out, "\"%s-\"", generated_from); /* names of Services need no escapes */
    }
    encode_text(out, "uid", m->uid);
    encode_text(out, "resourceVersion", version);
    encode_labels(out, "labels", m->labels, m->n_labels);
}

static void encode_meta(struct strbuf *out, const struct slice *s)
{
    const struct meta *m = &s->object.meta;
    /* What is written whole must say again how its name came about. */
    bool generated = !*m->name || s->owner_uid;
    encode_meta_open(out, m, generated ? s->service : NULL, s->version);
    encode_annotations(out, s->annotations, s->n_annotations, s->trigger_time_ns);
    encode_owner(out, s);
    strbuf_putc(out, '}');
}

void encode_target(struct strbuf *out, const struct target_ref *ref)
{
    if (!*ref->kind && !*ref->name && !*ref->uid)
        return;
    encode_key(out, "targetRef");
    encode_open(out);
    encode_text(out, "kind", ref->kind);
    encode_text(out, "namespace", ref->namespace);
    encode_text(out, "name", ref->name);
    encode_text(out, "uid", ref->uid);
    encode_text(out, "apiVersion", ref->api_version);
    encode_text(out, "resourceVersion", ref->version);
    encode_text(out, "fieldPath", ref->field_path);
    strbuf_putc(out, '}');
}

/* Slices that were read without their targets know Pods only. */
static struct target_ref target_of(const struct slice *s, uint32_t i)
{
    const struct endpoint_more more = slice_more(s, &s->endpoints[i]);
    const struct endpoint_target *t = i < s->n_targets ? &s->targets[i] : NULL;
    if (t)
        return (struct target_ref){ slice_str(s, t->kind),        slice_str(s, t->namespace),
                                    slice_str(s, t->name),        slice_str(s, t->uid),
                                    slice_str(s, t->api_version), slice_str(s, t->field_path),
                                    slice_str(s, t->version) };
    return (struct target_ref){ more.pod ? "Pod" : "",
                                slice_str(s, more.pod_namespace),
                                slice_str(s, more.pod),
                                "",
                                "",
                                "",
                                "" };
}

static void encode_hint_list(struct strbuf *out, const char *key, const struct slice *s,
                             uint32_t first, uint8_t n)
{
    if (!n)
        return;
    encode_key(out, key);
    strbuf_putc(out, '[');
    for (uint8_t i = 0; i < n; i++) {
        encode_open(out);
        encode_text(out, "name", slice_str(s, s->hints[first + i]));
        strbuf_putc(out, '}');
    }
    strbuf_putc(out, ']');
}

static void encode_hints(struct strbuf *out, const struct slice *s, const struct endpoint *ep)
{
    if (!ep->n_hints && !ep->n_node_hints)
        return;
    uint32_t first = slice_more(s, ep).first_hint;
    encode_key(out, "hints");
    encode_open(out);
    encode_hint_list(out, "forZones", s, first, ep->n_hints);
    encode_hint_list(out, "forNodes", s, first + ep->n_hints, ep->n_node_hints);
    strbuf_putc(out, '}');
}

/* All of them, unless the endpoint knows which it is to say. */
static void encode_conditions(struct strbuf *out, unsigned conditions)
{
    unsigned said =
        conditions & ENDPOINT_ALL_SAID ? conditions & ENDPOINT_ALL_SAID : ENDPOINT_ALL_SAID;
    if (said & ENDPOINT_READY_SAID)
        encode_bool(out, "ready", conditions & ENDPOINT_READY);
    if (said & ENDPOINT_SERVING_SAID)
        encode_bool(out, "serving", conditions & ENDPOINT_SERVING);
    if (said & ENDPOINT_TERMINATING_SAID)
        encode_bool(out, "terminating", conditions & ENDPOINT_TERMINATING);
}

static void encode_endpoint(struct strbuf *out, const struct slice *s, uint32_t i)
{
    const struct endpoint *ep = &s->endpoints[i];
    const struct target_ref target = target_of(s, i);
    char text[IP_TEXT_MAX];
    encode_open(out);
    encode_key(out, "addresses");
    strbuf_printf(out, "[\"%s\"]", ip_text(&ep->ip, text));
    encode_key(out, "conditions");
    encode_open(out);
    encode_conditions(out, ep->conditions);
    strbuf_putc(out, '}');
    encode_text(out, "hostname", slice_str(s, ep->hostname));
    encode_text(out, "nodeName", slice_str(s, slice_more(s, ep).node));
    encode_text(out, "zone", slice_str(s, ep->zone));
    encode_target(out, &target);
    encode_hints(out, s, ep);
    strbuf_putc(out, '}');
}

static void encode_endpoint_list(struct strbuf *out, const struct slice *s)
{
    encode_key(out, "endpoints");
    strbuf_putc(out, '[');
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        encode_endpoint(out, s, i);
    if (s->fqdn) {
        encode_open(out);
        encode_key(out, "addresses");
        strbuf_putc(out, '[');
        strbuf_json(out, s->fqdn);
        strbuf_puts(out, "]}");
    }
    strbuf_putc(out, ']');
}

void encode_ports(struct strbuf *out, const struct slice_port *ports, uint16_t n)
{
    encode_key(out, "ports");
    strbuf_putc(out, '[');
    for (uint16_t i = 0; i < n; i++) {
        const struct slice_port *p = &ports[i];
        encode_open(out);
        encode_pair(out, "name", p->name);
        encode_text(out, "protocol", protocol_text(p->protocol));
        if (p->port >= 0) {
            encode_key(out, "port");
            strbuf_printf(out, "%d", p->port);
        }
        encode_text(out, "appProtocol", p->app_protocol);
        strbuf_putc(out, '}');
    }
    strbuf_putc(out, ']');
}

void encode_slice(const struct slice *s, struct strbuf *out)
{
    strbuf_puts(out, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\"");
    encode_meta(out, s);
    encode_text(out, "addressType", s->family == 4 ? "IPv4" : s->family == 6 ? "IPv6" : "FQDN");
    encode_endpoint_list(out, s);
    encode_ports(out, s->ports, s->n_ports);
    strbuf_putc(out, '}');
}
