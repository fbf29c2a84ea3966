#include "node/template.h"

#include <ctype.h>
#include <string.h>

#define PREFIX   "__PILLAR__"
#define HOST_OWN "/etc/resolv.conf"
#define STUB_TTL 30 /* seconds that stub domains' answers are kept, as in the original */

struct render {
    const char *p, *end, *file;
    int line;
    const struct template_values *v;
    struct strbuf *out;
    struct err *e;
};

static bool take(struct render *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
        return false;
    r->p += len;
    return true;
}

static void skip_blanks(struct render *r)
{
    while (r->p < r->end && isspace((unsigned char)*r->p))
        r->line += *r->p++ == '\n';
}

/* `{ force_tcp }`, however it is laid out; anything else stays. */
static void drop_force_tcp(struct render *r)
{
    struct render look = *r;
    skip_blanks(&look);
    if (!take(&look, "{"))
        return;
    skip_blanks(&look);
    if (!take(&look, "force_tcp"))
        return;
    skip_blanks(&look);
    if (!take(&look, "}"))
        return;
    r->p = look.p;
    r->line = look.line;
}

static int put_upstreams(struct render *r)
{
    const char *set = r->v->settings->upstreams;
    strbuf_puts(r->out, set ? set : HOST_OWN);
    if (set)
        drop_force_tcp(r);
    return 0;
}

static int put_cluster(struct render *r)
{
    if (!r->v->cluster)
        return err_set(r->e, ERR_NOT_FOUND, "%s:%d: " PREFIX "CLUSTER__DNS__ has no value: %s",
                       r->file, r->line, r->v->cluster_why);
    strbuf_puts(r->out, r->v->cluster);
    return 0;
}

/* The name behind PREFIX, for an error. */
static int refuse(struct render *r)
{
    int n = 0;
    while (r->p + n < r->end && (isalnum((unsigned char)r->p[n]) || r->p[n] == '_') && n < 60)
        n++;
    return err_set(r->e, ERR_INVALID,
                   "%s:%d: " PREFIX "%.*s is not replaced here: write what it stands for, as "
                   "whoever installs the cache would",
                   r->file, r->line, n, r->p);
}

static int put_variable(struct render *r)
{
    if (take(r, "UPSTREAM__SERVERS__"))
        return put_upstreams(r);
    if (take(r, "CLUSTER__DNS__"))
        return put_cluster(r);
    if (take(r, "LOCAL__DNS__")) {
        strbuf_puts(r->out, r->v->local);
        return 0;
    }
    return take(r, "DNS__SERVER__") ? 0 : refuse(r);
}

static void put_stub(struct render *r, const struct stub_domain *s)
{
    strbuf_printf(r->out, "%s:%u {\n    errors\n    cache %d\n    bind %s\n    forward . %s\n}\n",
                  s->domain, r->v->port, STUB_TTL, r->v->local, s->servers);
}

int template_render(const char *text, size_t len, const char *file, const struct template_values *v,
                    struct strbuf *out, struct err *e)
{
    struct render r = {
        .p = text, .end = text + len, .file = file, .line = 1, .v = v, .out = out, .e = e
    };
    while (r.p < r.end) {
        if (!take(&r, PREFIX)) {
            r.line += *r.p == '\n';
            strbuf_putc(out, *r.p++);
            continue;
        }
        int code = put_variable(&r);
        if (code < 0)
            return code;
    }
    if (v->settings->n_stubs && out->len && out->p[out->len - 1] != '\n')
        strbuf_putc(out, '\n');
    for (size_t i = 0; i < v->settings->n_stubs; i++)
        put_stub(&r, &v->settings->stubs[i]);
    return 0;
}
