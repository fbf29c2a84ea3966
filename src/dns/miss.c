#include "dns/miss.h"

static const char *const texts[MISS_COUNT] = {
    [MISS_NONE] = "answered",
    [MISS_FORM] = "no cluster name looks like that",
    [MISS_NAMESPACE] = "no such namespace, or not exposed",
    [MISS_NAMESPACE_HIDDEN] = "namespace not exposed",
    [MISS_SERVICE] = "no such Service",
    [MISS_SERVICE_HIDDEN] = "Service left out by labels",
    [MISS_READY] = "no ready endpoint",
    [MISS_EMPTY] = "no ready endpoint, ignored",
    [MISS_PORT] = "no such port",
    [MISS_ENDPOINT] = "no such endpoint",
    [MISS_ZONE] = "no ready endpoint in that zone",
    [MISS_POD] = "no such pod",
    [MISS_NO_PODS] = "pods disabled",
    [MISS_POD_FORM] = "not a pod's address",
    [MISS_OWNER] = "nobody has that address",
    [MISS_TYPE] = "nothing of that type",
    [MISS_TARGET] = "no external name",
    [MISS_SYNC] = "objects are still being read",
};

const char *miss_text(enum miss m)
{
    return texts[m];
}

static const char *known(const char *text)
{
    return text ? text : "?";
}

static void add_not_ready(unsigned n, struct strbuf *out)
{
    if (n == 0)
        strbuf_puts(out, "there are none");
    else
        strbuf_printf(out, "%u %s not", n, n == 1 ? "is" : "are");
}

static void service_sentence(enum miss m, const struct miss_facts *f, struct strbuf *out)
{
    strbuf_printf(out, "the Service %s/%s ", known(f->namespace), known(f->service));
    switch (m) {
    case MISS_SERVICE_HIDDEN:
        strbuf_puts(out, "is there, but its labels do not fit 'labels' of the kubernetes block");
        break;
    case MISS_READY:
        strbuf_puts(out, "is headless and has no ready endpoint (");
        add_not_ready(f->not_ready, out);
        strbuf_putc(out, ')');
        break;
    case MISS_EMPTY:
        strbuf_puts(out, "has no ready endpoint (");
        add_not_ready(f->not_ready, out);
        strbuf_puts(out, ") and 'ignore empty_service' leaves it out");
        break;
    case MISS_PORT:
        strbuf_printf(out, "has no port \"%s\" with protocol \"%s\"", known(f->port),
                      known(f->protocol));
        break;
    case MISS_ENDPOINT:
        strbuf_printf(out, "has no ready endpoint \"%s\"", known(f->endpoint));
        break;
    case MISS_ZONE:
        strbuf_puts(out, "has no ready endpoint in the zone that the name asks for");
        break;
    case MISS_TARGET:
        strbuf_puts(out, "is of type ExternalName, but what it names is no host name");
        break;
    default:
        strbuf_puts(out, texts[m]);
        break;
    }
}

void miss_sentence(enum miss m, const struct miss_facts *f, struct strbuf *out)
{
    switch (m) {
    case MISS_NAMESPACE:
        strbuf_printf(out, "there is no namespace \"%s\"", known(f->namespace));
        break;
    case MISS_NAMESPACE_HIDDEN:
        strbuf_printf(
            out,
            "the namespace \"%s\" is there, but 'namespaces' or 'namespace_labels' of the "
            "kubernetes block does not expose it",
            known(f->namespace));
        break;
    case MISS_SERVICE:
        strbuf_printf(out, "there is no Service \"%s\" in the namespace \"%s\"", known(f->service),
                      known(f->namespace));
        break;
    case MISS_POD:
        strbuf_printf(out, "no pod of the namespace \"%s\" has the address %s ('pods verified')",
                      known(f->namespace), known(f->address));
        break;
    case MISS_NO_PODS:
        strbuf_puts(out, "names of pods are not served ('pods disabled', the default)");
        break;
    case MISS_POD_FORM:
        strbuf_printf(out, "\"%s\" is not a pod's address with dashes, such as 10-244-1-2",
                      known(f->endpoint));
        break;
    case MISS_OWNER:
        strbuf_printf(out, "%s is neither a cluster IP nor the address of a ready endpoint",
                      known(f->address));
        break;
    case MISS_TYPE:
        strbuf_printf(out, "the name is there, but has no %s record", known(f->type));
        break;
    case MISS_FORM:
        strbuf_puts(out,
                    "no cluster name has this form; a Service's is SERVICE.NAMESPACE.svc.ZONE");
        break;
    case MISS_NONE:
    case MISS_SYNC:
        strbuf_puts(out, texts[m]);
        break;
    default:
        service_sentence(m, f, out);
    }
}
