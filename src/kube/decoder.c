#include "kube/decoder.h"

#include "base/str.h"
#include "kube/check.h"
#include "kube/decode.h"
#include "kube/timestamp.h"

#include <stdarg.h>
#include <string.h>

/* Nodes do not know their parents, so the path of a wrong one is searched from the root: slow, but
 * only errors pay for it. */
static bool find_path(const struct tree *t, const struct tree *want, struct strbuf *path)
{
    size_t len = path->len;
    unsigned i = 0;
    if (t == want)
        return true;
    if (t->kind != TREE_MAPPING && t->kind != TREE_SEQUENCE)
        return false;
    for (const struct tree *c = t->child; c; c = c->next, i++) {
        if (t->kind == TREE_SEQUENCE)
            strbuf_printf(path, "[%u]", i);
        else
            strbuf_printf(path, "%s%s", len ? "." : "", c->key);
        if (find_path(c, want, path))
            return true;
        path->len = len;
    }
    return false;
}

static void add_subject(const struct decoder *d, struct strbuf *b)
{
    strbuf_puts(b, d->kind ? d->kind : "object");
    if (d->namespace && *d->namespace)
        strbuf_printf(b, " %s/%s", d->namespace, d->name ? d->name : "?");
    else if (d->name)
        strbuf_printf(b, " %s", d->name);
}

/* What does not come from a file has no lines. */
static const char *place_of(struct decoder *d, const struct tree *t)
{
    return t->line ? arena_printf(&d->arena, "%s:%d", d->file, t->line) : d->file;
}

void decode_fail(struct decoder *d, const struct tree *at, const char *key, const char *fmt, ...)
{
    cleanup(strbuf_done) struct strbuf subject = { 0 }, path = { 0 };
    char text[512];
    if (d->failed)
        return;
    d->failed = true;
    strbuf_puts(&path, "");
    (void)find_path(d->root, at, &path);
    path.p[path.len] = 0;
    if (key)
        strbuf_printf(&path, "%s%s", path.len ? "." : "", key);
    if (path.len)
        strbuf_puts(&path, ": ");
    add_subject(d, &subject);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct tree *member = tree_get(at, key ? key : "");
    err_set(d->e, ERR_INVALID, "%s: %s: %s%s", place_of(d, member ? member : at), subject.p, path.p,
            text);
}

static const struct tree *member_of_kind(struct decoder *d, const struct tree *t, const char *key,
                                         enum tree_kind kind, const char *wanted)
{
    const struct tree *m = tree_get(t, key);
    if (!m || m->kind == TREE_NULL)
        return NULL;
    if (m->kind == kind)
        return m;
    decode_fail(d, m, NULL, "must be %s", wanted);
    return NULL;
}

const struct tree *decode_map(struct decoder *d, const struct tree *t, const char *key)
{
    return member_of_kind(d, t, key, TREE_MAPPING, "a mapping");
}

size_t decode_count(const struct tree *list)
{
    size_t n = 0;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next)
        n++;
    return n;
}

const struct tree *decode_list(struct decoder *d, const struct tree *t, const char *key, size_t max)
{
    const struct tree *list = member_of_kind(d, t, key, TREE_SEQUENCE, "a list");
    if (decode_count(list) > max) {
        decode_fail(d, list, NULL, "has more than %zu elements", max);
        return NULL;
    }
    return list;
}

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(s, *words) == 0)
            return true;
    return false;
}

static bool is_number(const char *s)
{
    static const char *const special[] = { ".inf", ".nan", NULL };
    s += *s == '-' || *s == '+';
    if (is_one_of(s, special))
        return true;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o'))
        return s[2] && s[2 + strspn(s + 2, "0123456789abcdefABCDEF")] == 0;
    size_t whole = strspn(s, "0123456789"), part = 0;
    s += whole;
    if (*s == '.') {
        part = strspn(++s, "0123456789");
        s += part;
    }
    if (whole + part == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        size_t exponent = strspn(s, "0123456789");
        return exponent && !s[exponent];
    }
    return !*s;
}

/* Would another reader of this YAML take the scalar for something else than text? */
static const char *other_type(const struct tree *t)
{
    static const char *const booleans[] = { "true", "false", "yes", "no", "on", "off", NULL };
    if (t->quoted)
        return NULL;
    if (is_one_of(t->text, booleans))
        return "truth value";
    return is_number(t->text) ? "number" : NULL;
}

const char *decode_scalar_text(struct decoder *d, const struct tree *t)
{
    if (t->kind == TREE_NULL)
        return "";
    if (t->kind != TREE_SCALAR) {
        decode_fail(d, t, NULL, "must be a text");
        return "";
    }
    const char *other = other_type(t);
    if (other)
        decode_fail(d, t, NULL, "must be a text, but %s is a %s; write \"%s\"", t->text, other,
                    t->text);
    return t->text;
}

const char *decode_text(struct decoder *d, const struct tree *t, const char *key)
{
    const struct tree *m = tree_get(t, key);
    const char *text = m ? decode_scalar_text(d, m) : "";
    return *text ? text : NULL;
}

const char *decode_checked(struct decoder *d, const struct tree *t, const char *key,
                           const char *(*check)(const char *))
{
    const char *text = decode_text(d, t, key);
    const char *wrong = text ? check(text) : NULL;
    if (wrong)
        decode_fail(d, tree_get(t, key), NULL, "\"%.80s\" %s", text, wrong);
    return text;
}

bool decode_bool(struct decoder *d, const struct tree *t, const char *key, bool absent)
{
    const struct tree *m = member_of_kind(d, t, key, TREE_SCALAR, "true or false");
    if (!m)
        return absent;
    if (!m->quoted && strcasecmp(m->text, "true") == 0)
        return true;
    if (m->quoted || strcasecmp(m->text, "false") != 0)
        decode_fail(d, m, NULL, "must be true or false%s", m->quoted ? ", without quotes" : "");
    return false;
}

long decode_int(struct decoder *d, const struct tree *t, const char *key, long min, long max,
                long absent)
{
    const struct tree *m = member_of_kind(d, t, key, TREE_SCALAR, "a number");
    long value = absent;
    if (!m)
        return absent;
    if (m->quoted || str_to_long(m->text, min, max, &value) < 0)
        decode_fail(d, m, NULL, "must be a whole number from %ld to %ld%s", min, max,
                    m->quoted ? ", without quotes" : "");
    return value;
}

unsigned decode_enum(struct decoder *d, const struct tree *t, const char *key,
                     const char *const *names, unsigned n, unsigned absent)
{
    cleanup(strbuf_done) struct strbuf list = { 0 };
    const char *text = decode_text(d, t, key);
    if (!text)
        return absent;
    for (unsigned i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    for (unsigned i = 0; i < n; i++)
        strbuf_printf(&list, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", names[i]);
    decode_fail(d, tree_get(t, key), NULL, "\"%.40s\" must be %s", text, list.p);
    return absent;
}

enum protocol decode_protocol(struct decoder *d, const struct tree *t)
{
    static const char *const names[] = { "TCP", "UDP", "SCTP" };
    return (enum protocol)decode_enum(d, t, "protocol", names, 3, PROTO_TCP);
}

uint16_t decode_labels(struct decoder *d, const struct tree *map,
                       const char *(*check_key)(const char *),
                       const char *(*check_value)(const char *), const struct label **ret)
{
    size_t n = decode_count(map), i = 0;
    if (n > DECODE_LIST_MAX) {
        decode_fail(d, map, NULL, "has more than %d members", DECODE_LIST_MAX);
        return 0;
    }
    struct label *labels = arena_alloc(&d->arena, n * sizeof *labels);
    for (const struct tree *c = map ? map->child : NULL; c; c = c->next, i++) {
        labels[i] = (struct label){ .key = c->key, .value = decode_scalar_text(d, c) };
        const char *wrong = check_key ? check_key(c->key) : NULL;
        if (wrong)
            decode_fail(d, c, NULL, "%s", wrong);
        wrong = check_value ? check_value(labels[i].value) : NULL;
        if (wrong)
            decode_fail(d, c, NULL, "\"%.80s\" %s", labels[i].value, wrong);
    }
    *ret = labels;
    return (uint16_t)n;
}

struct ip decode_ip(struct decoder *d, const struct tree *t)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const char *text = decode_scalar_text(d, t);
    struct ip ip = { 0 };
    if (ip_parse_sloppy(text, &ip) < 0)
        decode_fail(d, t, NULL, "\"%.60s\" must be an IP address", text);
    if (ip.family == 6 && memcmp(ip.bytes, mapped, sizeof mapped) == 0) {
        struct ip v4 = { .family = 4 };
        memcpy(v4.bytes, ip.bytes + 12, 4);
        return v4;
    }
    return ip;
}

uint8_t decode_ips(struct decoder *d, const struct tree *list, const struct ip **ret)
{
    size_t n = 0;
    struct ip *ips = arena_alloc(&d->arena, MIN(decode_count(list), UINT8_MAX) * sizeof *ips);
    for (const struct tree *c = list ? list->child : NULL; c && n < UINT8_MAX; c = c->next)
        ips[n++] = decode_ip(d, c);
    *ret = ips;
    return (uint8_t)n;
}

struct ip_prefix decode_prefix(struct decoder *d, const struct tree *t, const char *text)
{
    struct ip_prefix prefix = { 0 };
    if (ip_prefix_parse(text, &prefix) < 0)
        decode_fail(d, t, NULL, "\"%.60s\" must be an address range such as 10.0.0.0/8", text);
    return prefix;
}

int64_t decode_time(struct decoder *d, const struct tree *t, const char *key)
{
    int64_t ns = 0;
    const char *text = decode_text(d, t, key);
    if (text && timestamp_parse(text, &ns) < 0)
        return 0;
    return ns;
}

const char *decode_namespace_of(enum kind kind, const struct tree *object)
{
    const char *namespace = tree_str(object, "metadata.namespace");
    if (!kind_is_namespaced(kind))
        return "";
    return namespace && *namespace ? namespace : "default";
}

void decode_meta(struct decoder *d, enum kind kind, struct meta *m)
{
    const struct tree *t = decode_map(d, d->root, "metadata");
    bool namespaced = kind_is_namespaced(kind);
    bool label = kind == KIND_NAMESPACE || kind == KIND_SERVICE;
    d->name = tree_str(t, "name");
    d->namespace = decode_namespace_of(kind, d->root);
    m->origin = place_of(d, d->root);
    m->name = decode_checked(d, t, "name", label ? check_dns_label : check_dns_subdomain);
    if (!m->name)
        decode_fail(d, t ? t : d->root, t ? "name" : "metadata.name", "is missing");
    if (namespaced)
        (void)decode_checked(d, t, "namespace", check_dns_label);
    m->namespace = d->namespace;
    const char *uid = decode_text(d, t, "uid");
    m->uid = uid && !(d->without & PART_UID) ? uid : "";
    m->deleting = decode_text(d, t, "deletionTimestamp") != NULL;
    m->n_labels = decode_labels(d, decode_map(d, t, "labels"), check_label_key, check_label_value,
                                &m->labels);
}
