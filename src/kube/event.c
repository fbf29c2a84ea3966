#include "kube/event.h"

#include "kube/encode.h"
#include "kube/timestamp.h"

#include <string.h>

static void encode_about(const struct event *e, struct strbuf *out)
{
    encode_key(out, "involvedObject");
    encode_open(out);
    encode_text(out, "kind", e->kind);
    encode_text(out, "namespace", e->about->namespace);
    encode_text(out, "name", e->about->name);
    encode_text(out, "uid", e->about->uid);
    encode_text(out, "apiVersion", e->api_version);
    encode_text(out, "resourceVersion", e->version);
    strbuf_putc(out, '}');
}

static void encode_time(struct strbuf *out, const char *key, int64_t seconds)
{
    char text[TIMESTAMP_TEXT_MAX];
    encode_text(out, key, timestamp_text(seconds, 0, text));
}

void event_encode(const struct event *e, const char *name, int64_t first, int64_t last, unsigned n,
                  struct strbuf *out)
{
    strbuf_puts(out, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{");
    encode_text(out, "namespace", *e->about->namespace ? e->about->namespace : "default");
    encode_text(out, "name", name);
    strbuf_putc(out, '}');
    encode_about(e, out);
    encode_text(out, "reason", e->reason);
    encode_text(out, "message", e->message);
    encode_key(out, "source");
    encode_open(out);
    encode_text(out, "component", e->component);
    strbuf_putc(out, '}');
    encode_time(out, "firstTimestamp", first);
    encode_time(out, "lastTimestamp", last);
    encode_key(out, "count");
    strbuf_printf(out, "%u", n);
    encode_text(out, "type", e->warning ? "Warning" : "Normal");
    encode_text(out, "reportingComponent", e->component);
    strbuf_putc(out, '}');
}
