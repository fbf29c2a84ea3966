#include "cmd/dns_why.h"

#include "base/cursor.h"
#include "kube/pod.h"

#include <string.h>

/* The next word, in place; "" at the end. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " "), *end = word + strcspn(word, " ");
    *at = end + (*end != '\0');
    *end = '\0';
    return word;
}

static bool is_absent(const char *word)
{
    return !*word || strcmp(word, "-") == 0;
}

/* "NS/NAME" */
static int pod_address(const char *text, const struct clusters *all, struct ip *ret, struct err *e)
{
    const char *slash = strchr(text, '/');
    if (!slash)
        return err_set(e, ERR_INVALID, "pod %s: give NAMESPACE/NAME", text);
    cleanup_free char *ns = xstrndup(text, (size_t)(slash - text));
    for (struct cluster *c = clusters_next(all, NULL); c; c = clusters_next(all, c)) {
        const struct object *o = store_get(cluster_store(c), KIND_POD, ns, slash + 1);
        if (!o)
            continue;
        if (!pod_of(o)->n_ips)
            return err_set(e, ERR_NOT_FOUND, "pod %s: it has no address", text);
        *ret = pod_of(o)->ips[0];
        return 0;
    }
    return err_set(e, ERR_NOT_FOUND, "pod %s: there is none of that name among the objects", text);
}

static int read_client(const char *text, const struct clusters *pods, struct why_request *r,
                       struct err *e)
{
    if (is_absent(text))
        return 0;
    if (str_starts(text, "pod:"))
        return pod_address(text + 4, pods, &r->client, e);
    return ip_parse(text, &r->client) < 0
               ? err_set(e, ERR_INVALID, "client %s: not an IP address", text)
               : 0;
}

int dns_why_parse(char *words, const struct clusters *pods, struct why_request *ret, struct err *e)
{
    struct why_request r = { 0 };
    const char *name = next_word(&words), *type = next_word(&words);
    const char *client = next_word(&words), *at = next_word(&words);
    if (!*name || name_from_text(name, &r.name) < 0)
        return err_set(e, ERR_INVALID, "%s: not a domain name", name);
    if (rr_type_from_text(*type ? type : "A", &r.type) < 0 || r.type == RR_AXFR ||
        r.type == RR_IXFR || r.type == RR_OPT)
        return err_set(e, ERR_INVALID, "%s: not a record type that can be asked for", type);
    int ret_code = read_client(client, pods, &r, e);
    if (ret_code < 0)
        return ret_code;
    if (!is_absent(at) && *at == ':')
        return err_set(e, ERR_INVALID, "%s: give IP:PORT, or *:PORT", at);
    if (!is_absent(at) && str_starts(at, "*:")) {
        long port;
        if (str_to_long(at + 2, 1, 65535, &port) < 0)
            return err_set(e, ERR_INVALID, "%s: not a port", at + 2);
        r.port = (uint16_t)port;
    } else if (!is_absent(at) && ip_port_parse(at, 53, &r.at, &r.port) < 0) {
        return err_set(e, ERR_INVALID, "%s: not an address of a listener", at);
    }
    *ret = r;
    return 0;
}

static void add_field(const char *text, char end, struct strbuf *out)
{
    for (; *text; text++)
        strbuf_putc(out, *text == '\t' || *text == '\n' || *text == '\r' ? ' ' : *text);
    strbuf_putc(out, end);
}

void dns_why_rows(const struct why_row *rows, size_t n, struct strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        strbuf_printf(out, "row\t%u\t", rows[i].depth);
        add_field(rows[i].step, '\t', out);
        add_field(rows[i].what, '\t', out);
        add_field(rows[i].detail, '\n', out);
    }
    strbuf_puts(out, "end\n");
}
