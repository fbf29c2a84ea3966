/* The file of kind KubeProxyConfiguration, by one table of its fields.
 * Source: kubeproxy.config.k8s.io/v1alpha1, Kubernetes reference. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/proxy_options.h"
#include "config/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX (1 << 20)
#define PATH_SIZE        256

enum field_kind {
    FIELD_TEXT,     /* empty: the default stays */
    FIELD_INT,      /* null: the default stays */
    FIELD_INT_SET,  /* zero, too */
    FIELD_BOOL,     /* null: the default stays */
    FIELD_TIME,     /* null: the default stays */
    FIELD_TIME_SET, /* zero, too */
    FIELD_LIST,
    FIELD_CIDRS, /* a list in one text, joined by commas */
    FIELD_IGNORED,
};

struct field {
    const char *path;
    enum field_kind kind;
    size_t offset;
};

#define AT(m) offsetof(struct proxy_options, m)

static const struct field fields[] = {
    { "bindAddress", FIELD_TEXT, AT(bind_address) },
    { "bindAddressHardFail", FIELD_BOOL, AT(bind_hard_fail) },
    { "clientConnection.burst", FIELD_INT_SET, AT(api_burst) },
    { "clientConnection.kubeconfig", FIELD_TEXT, AT(kubeconfig) },
    { "clientConnection.qps", FIELD_INT_SET, AT(api_qps) },
    { "clusterCIDR", FIELD_CIDRS, AT(cluster_cidr) },
    { "conntrack.maxPerCore", FIELD_INT, AT(tuning.max_per_core) },
    { "conntrack.min", FIELD_INT, AT(tuning.min) },
    { "conntrack.tcpBeLiberal", FIELD_BOOL, AT(tuning.tcp_be_liberal) },
    { "conntrack.tcpCloseWaitTimeout", FIELD_TIME, AT(tuning.tcp_close_wait_ns) },
    { "conntrack.tcpEstablishedTimeout", FIELD_TIME, AT(tuning.tcp_established_ns) },
    { "conntrack.udpStreamTimeout", FIELD_TIME, AT(tuning.udp_stream_ns) },
    { "conntrack.udpTimeout", FIELD_TIME, AT(tuning.udp_ns) },
    { "detectLocal.bridgeInterface", FIELD_TEXT, AT(bridge) },
    { "detectLocal.interfaceNamePrefix", FIELD_TEXT, AT(prefix) },
    { "detectLocalMode", FIELD_TEXT, AT(detect_local) },
    { "healthzBindAddress", FIELD_TEXT, AT(healthz_address) },
    { "hostnameOverride", FIELD_TEXT, AT(hostname_override) },
    { "iptables.localhostNodePorts", FIELD_BOOL, AT(localhost_node_ports) },
    { "iptables.masqueradeAll", FIELD_BOOL, AT(masquerade_all) },
    { "iptables.masqueradeBit", FIELD_INT, AT(masquerade_bit) },
    { "iptables.minSyncPeriod", FIELD_TIME_SET, AT(min_sync) },
    { "iptables.syncPeriod", FIELD_TIME_SET, AT(sync_period) },
    { "metricsBindAddress", FIELD_TEXT, AT(metrics_address) },
    { "mode", FIELD_TEXT, AT(mode) },
    { "nftables.masqueradeAll", FIELD_BOOL, AT(masquerade_all) },
    { "nftables.masqueradeBit", FIELD_INT, AT(masquerade_bit) },
    { "nftables.minSyncPeriod", FIELD_TIME_SET, AT(min_sync) },
    { "nftables.syncPeriod", FIELD_TIME_SET, AT(sync_period) },
    { "nodePortAddresses", FIELD_LIST, AT(node_port_addresses) },
    { "oomScoreAdj", FIELD_INT, AT(oom_score_adj) },
    /* Without effect here, but no mistakes: */
    { "clientConnection.acceptContentTypes", FIELD_IGNORED, 0 },
    { "clientConnection.contentType", FIELD_IGNORED, 0 },
    { "configSyncPeriod", FIELD_IGNORED, 0 },
    { "enableProfiling", FIELD_IGNORED, 0 },
    { "featureGates", FIELD_IGNORED, 0 },
    { "ipvs", FIELD_IGNORED, 0 },
    { "logging", FIELD_IGNORED, 0 },
    { "portRange", FIELD_IGNORED, 0 },
    { "showHiddenMetricsForVersion", FIELD_IGNORED, 0 },
    { "udpIdleTimeout", FIELD_IGNORED, 0 },
    { "windowsRunAsService", FIELD_IGNORED, 0 },
    { "winkernel", FIELD_IGNORED, 0 },
};

struct reader {
    const char *file, *mode;
    struct proxy_options *o;
    void (*warn)(void *ctx, const char *text);
    struct err *e;
};

static int wrong(struct reader *r, const struct tree *t, const char *path, const char *what)
{
    return err_set(r->e, ERR_INVALID, "%s:%d: %s: %s", r->file, t->line, path, what);
}

static void add(struct flag_list *l, const char *text, size_t len)
{
    l->items = xrealloc(l->items, (l->n + 1) * sizeof *l->items);
    l->items[l->n++] = xstrndup(text, len);
}

static int read_list(struct reader *r, const struct tree *t, const char *path, struct flag_list *l)
{
    if (t->kind != TREE_SEQUENCE)
        return wrong(r, t, path, "must be a list");
    for (const struct tree *c = t->child; c; c = c->next) {
        if (c->kind != TREE_SCALAR)
            return wrong(r, t, path, "must be a list of texts");
        add(l, c->text, strlen(c->text));
    }
    return 0;
}

static int read_cidrs(const struct tree *t, struct flag_list *l)
{
    for (const char *p = t->text; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ','))
        add(l, p, strcspn(p, ","));
    return 0;
}

static int read_int(struct reader *r, const struct tree *t, const char *path, bool zero_too,
                    long *ret)
{
    long n;
    if (str_to_long(t->text, INT_MIN, INT_MAX, &n) < 0)
        return wrong(r, t, path, "must be a whole number");
    if (n || !zero_too)
        *ret = n;
    return 0;
}

static int read_bool(struct reader *r, const struct tree *t, const char *path, bool *ret)
{
    if (strcmp(t->text, "true") != 0 && strcmp(t->text, "false") != 0)
        return wrong(r, t, path, "must be true or false");
    *ret = strcmp(t->text, "true") == 0;
    return 0;
}

static int read_time(struct reader *r, const struct tree *t, const char *path, bool zero_too,
                     long long *ret)
{
    long long ns;
    if (str_to_duration(t->text, &ns) < 0 || ns < 0)
        return wrong(r, t, path, "must be a duration like 30s or 1h");
    if (ns || !zero_too)
        *ret = ns;
    return 0;
}

static int read_field(struct reader *r, const struct tree *t, const struct field *f)
{
    void *at = (char *)r->o + f->offset;
    if (f->kind == FIELD_LIST)
        return read_list(r, t, f->path, at);
    if (t->kind != TREE_SCALAR)
        return wrong(r, t, f->path, "must be a single value");
    switch (f->kind) {
    case FIELD_TEXT:
        if (*t->text)
            *(const char **)at = xstrdup(t->text);
        return 0;
    case FIELD_INT:
    case FIELD_INT_SET:
        return read_int(r, t, f->path, f->kind == FIELD_INT_SET, at);
    case FIELD_BOOL:
        return read_bool(r, t, f->path, at);
    case FIELD_CIDRS:
        return read_cidrs(t, at);
    default:
        return read_time(r, t, f->path, f->kind == FIELD_TIME_SET, at);
    }
}

/* Is it a field of another mode than this one? Fields of the two modes share one place. */
static bool is_of_other_mode(const char *path, const char *mode)
{
    bool iptables = str_starts(path, "iptables."), nftables = str_starts(path, "nftables.");
    return strcmp(mode, "iptables") == 0 ? nftables : iptables;
}

/* Does it say anything? Files written from the defaults list every field. */
static bool is_empty(const struct tree *t)
{
    static const char *const nothing[] = { "", "0", "false", "0s" };
    if (t->kind != TREE_SCALAR) {
        for (const struct tree *c = t->child; c; c = c->next)
            if (!is_empty(c))
                return false;
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(nothing); i++)
        if (strcmp(t->text, nothing[i]) == 0)
            return true;
    return false;
}

static void printf_like(3, 4) tell(struct reader *r, const struct tree *t, const char *fmt, ...)
{
    char text[PATH_SIZE + 512], what[PATH_SIZE + 128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(text, sizeof text, "%.300s:%d: %s", r->file, t->line, what);
    r->warn(NULL, text);
}

/* Is there a field below this path? */
static bool is_section(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (strncmp(fields[i].path, path, n) == 0 && fields[i].path[n] == '.')
            return true;
    return false;
}

static const struct field *find_field(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (strcmp(fields[i].path, path) == 0)
            return &fields[i];
    return NULL;
}

static int read_section(struct reader *r, const struct tree *t, const char *above);

static int read_member(struct reader *r, const struct tree *t, const char *path)
{
    const struct field *f = find_field(path);
    if (t->kind == TREE_NULL || strcmp(path, "kind") == 0 || strcmp(path, "apiVersion") == 0)
        return 0;
    if (f && is_of_other_mode(path, r->mode))
        return 0;
    if (f && f->kind != FIELD_IGNORED)
        return read_field(r, t, f);
    if (f && !is_empty(t))
        tell(r, t, "%s is without effect in signpost", path);
    else if (!f && is_section(path))
        return t->kind == TREE_MAPPING ? read_section(r, t, path)
                                       : wrong(r, t, path, "must be a mapping");
    else if (!f)
        tell(r, t, "%s is not a field of KubeProxyConfiguration", path);
    return 0;
}

static int read_section(struct reader *r, const struct tree *t, const char *above)
{
    int ret = 0;
    for (const struct tree *c = t->child; c && ret == 0; c = c->next) {
        char path[PATH_SIZE];
        snprintf(path, sizeof path, "%s%s%s", above, *above ? "." : "", c->key);
        ret = read_member(r, c, path);
    }
    return ret;
}

static const struct tree *find_document(struct reader *r, const struct tree_doc *doc)
{
    for (size_t i = 0; i < doc->n; i++)
        if (str_eq(tree_str(doc->documents[i], "kind"), "KubeProxyConfiguration"))
            return doc->documents[i];
    (void)err_set(r->e, ERR_INVALID, "%s: no document of kind KubeProxyConfiguration in it",
                  r->file);
    return NULL;
}

int proxy_config_read(const char *path, struct proxy_options *o,
                      void (*warn)(void *ctx, const char *text), struct err *e)
{
    struct reader r = { path, "", o, warn, e };
    cleanup(arena_done) struct arena a;
    struct tree_doc doc;
    char *text;
    size_t len;
    arena_init(&a, 4096);
    int ret = file_load(path, CONFIG_BYTES_MAX, &text, &len, e);
    if (ret < 0)
        return ret;
    ret = tree_parse(text, len, path, &a, &doc, e);
    const struct tree *t = ret < 0 ? NULL : find_document(&r, &doc);
    const char *version = tree_str(t, "apiVersion");
    if (t && !str_eq(version, "kubeproxy.config.k8s.io/v1alpha1"))
        ret =
            err_set(e, ERR_UNSUPPORTED, "%s: apiVersion %s is not kubeproxy.config.k8s.io/v1alpha1",
                    path, version ? version : "(none)");
    else if (t) {
        r.mode = tree_str(t, "mode") ? tree_str(t, "mode") : "";
        ret = read_section(&r, t, "");
    } else if (ret == 0)
        ret = ERR_INVALID;
    free(text);
    return ret;
}

/* ---- and back */

static void print_list(const struct flag_list *l, struct strbuf *out)
{
    strbuf_puts(out, "[");
    for (size_t i = 0; i < l->n; i++) {
        strbuf_puts(out, i ? ", " : "");
        strbuf_json(out, l->items[i]);
    }
    strbuf_puts(out, "]\n");
}

static void print_cidrs(const struct flag_list *l, struct strbuf *out)
{
    strbuf_puts(out, "\"");
    for (size_t i = 0; i < l->n; i++)
        strbuf_printf(out, "%s%s", i ? "," : "", l->items[i]);
    strbuf_puts(out, "\"\n");
}

static void print_value(const struct proxy_options *o, const struct field *f, struct strbuf *out)
{
    const void *at = (const char *)o + f->offset;
    switch (f->kind) {
    case FIELD_TEXT:
        strbuf_json(out, *(const char *const *)at);
        strbuf_puts(out, "\n");
        break;
    case FIELD_INT:
    case FIELD_INT_SET:
        strbuf_printf(out, "%ld\n", *(const long *)at);
        break;
    case FIELD_BOOL:
        strbuf_puts(out, *(const bool *)at ? "true\n" : "false\n");
        break;
    case FIELD_LIST:
        print_list(at, out);
        break;
    case FIELD_CIDRS:
        print_cidrs(at, out);
        break;
    default:
        strbuf_printf(out, "%lldms\n", *(const long long *)at / 1000000);
    }
}

/* The table is sorted so that the fields of a section follow one another. */
static void print(const struct proxy_options *o, struct strbuf *out)
{
    size_t section = 0;
    strbuf_puts(out, "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n"
                     "kind: KubeProxyConfiguration\n");
    for (size_t i = 0; i < ARRAY_SIZE(fields) && fields[i].kind != FIELD_IGNORED; i++) {
        const char *path = fields[i].path, *dot = strchr(path, '.');
        if (is_of_other_mode(path, o->mode))
            continue;
        size_t n = dot ? (size_t)(dot - path) : 0;
        if (n && (n != section || strncmp(path, fields[i - 1].path, n + 1) != 0))
            strbuf_printf(out, "%.*s:\n", (int)n, path);
        section = n;
        strbuf_printf(out, "%s%s: ", n ? "  " : "", n ? dot + 1 : path);
        print_value(o, &fields[i], out);
    }
}

int proxy_config_write(const struct proxy_options *o, struct err *e)
{
    struct strbuf text = { 0 };
    print(o, &text);
    int fd = open(o->write_config_to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, text.p, text.len) == (ssize_t)text.len;
    int ret = written ? 0 : err_set(e, -errno, "%s: %s", o->write_config_to, err_str(-errno));
    if (fd >= 0)
        close(fd);
    strbuf_done(&text);
    return ret;
}
