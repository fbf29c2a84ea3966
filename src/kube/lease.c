#include "kube/lease.h"

#include "kube/encode.h"
#include "kube/timestamp.h"

#include <string.h>

#define US_PER_S 1000000LL

static const char *text_or_empty(const struct tree *t, const char *key)
{
    const char *s = tree_str(t, key);
    return s ? s : "";
}

static int read_time(const struct tree *spec, const char *key, int64_t *ret_us)
{
    const char *text = tree_str(spec, key);
    int64_t ns = 0;
    if (text && timestamp_parse(text, &ns) < 0)
        return ERR_PARSE;
    *ret_us = ns / 1000;
    return 0;
}

static int read_number(const struct tree *spec, const char *key, int32_t *ret)
{
    const char *text = tree_str(spec, key);
    long value = 0;
    if (text && str_to_long(text, 0, INT32_MAX, &value) < 0)
        return ERR_PARSE;
    *ret = (int32_t)value;
    return 0;
}

int lease_read(const struct tree *t, struct lease *ret)
{
    const struct tree *meta = tree_get(t, "metadata"), *spec = tree_get(t, "spec");
    struct lease l = { .namespace = text_or_empty(meta, "namespace"),
                       .name = text_or_empty(meta, "name"),
                       .version = text_or_empty(meta, "resourceVersion"),
                       .holder = text_or_empty(spec, "holderIdentity") };
    if (!*l.name || read_time(spec, "acquireTime", &l.acquired_us) < 0 ||
        read_time(spec, "renewTime", &l.renewed_us) < 0 ||
        read_number(spec, "leaseDurationSeconds", &l.seconds) < 0 ||
        read_number(spec, "leaseTransitions", &l.transitions) < 0)
        return ERR_PARSE;
    *ret = l;
    return 0;
}

/* Servers take these times with exactly six digits of fraction. */
static void encode_time(struct strbuf *out, const char *key, int64_t us)
{
    char text[TIMESTAMP_TEXT_MAX];
    if (!us)
        return;
    encode_key(out, key);
    size_t seconds = strlen(timestamp_text(us / US_PER_S, 0, text)) - 1;
    strbuf_printf(out, "\"%.*s.%06dZ\"", (int)seconds, text, (int)(us % US_PER_S));
}

static void encode_number(struct strbuf *out, const char *key, int32_t value)
{
    encode_key(out, key);
    strbuf_printf(out, "%d", value);
}

void lease_encode(const struct lease *l, struct strbuf *out)
{
    strbuf_puts(out,
                "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{");
    encode_text(out, "namespace", l->namespace);
    encode_text(out, "name", l->name);
    encode_text(out, "resourceVersion", l->version);
    strbuf_puts(out, "},\"spec\":{");
    encode_key(out, "holderIdentity");
    strbuf_json(out, l->holder);
    encode_number(out, "leaseDurationSeconds", l->seconds);
    encode_time(out, "acquireTime", l->acquired_us);
    encode_time(out, "renewTime", l->renewed_us);
    encode_number(out, "leaseTransitions", l->transitions);
    strbuf_puts(out, "}}");
}
