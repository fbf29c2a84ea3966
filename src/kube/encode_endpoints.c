/* v1 Endpoints as JSON. */
#include "kube/encode.h"

static void encode_address(struct strbuf *out, const struct endpoints_address *a)
{
    char text[IP_TEXT_MAX];
    encode_open(out);
    encode_pair(out, "ip", ip_text(&a->ip, text));
    encode_text(out, "hostname", a->hostname);
    encode_text(out, "nodeName", a->node); /* "" is none: a server refuses it */
    encode_target(out, &a->target);
    strbuf_putc(out, '}');
}

static void encode_addresses(struct strbuf *out, const char *key,
                             const struct endpoints_address *addresses, uint32_t n)
{
    if (!n)
        return;
    encode_key(out, key);
    strbuf_putc(out, '[');
    for (uint32_t i = 0; i < n; i++)
        if (addresses[i].ip.family)
            encode_address(out, &addresses[i]);
    strbuf_putc(out, ']');
}

static void encode_subset(struct strbuf *out, const struct endpoints_subset *s)
{
    encode_open(out);
    encode_addresses(out, "addresses", s->addresses, s->n_addresses);
    encode_addresses(out, "notReadyAddresses", s->not_ready, s->n_not_ready);
    if (s->n_ports)
        encode_ports(out, s->ports, s->n_ports);
    strbuf_putc(out, '}');
}

void encode_endpoints(const struct endpoints *e, struct strbuf *out)
{
    strbuf_puts(out, "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\"");
    encode_meta_open(out, &e->object.meta, NULL, e->version);
    encode_annotations(out, e->annotations, e->n_annotations, e->trigger_time_ns);
    strbuf_putc(out, '}');
    encode_key(out, "subsets");
    strbuf_putc(out, '[');
    for (uint32_t i = 0; i < e->n_subsets; i++)
        encode_subset(out, &e->subsets[i]);
    strbuf_puts(out, "]}");
}
