/* The JSON of one value: {"host": "10.0.0.1", "port": 80, ...}, and the name that its key is. */
#include "config/tree.h"
#include "dns/plugins/etcd.h"
#include "wire/name.h"

#include <errno.h>
#include <string.h>

#define TEXT_CHUNK 255

/* What is read; pointers are into the arena of the parse. */
struct fields {
    const char *host, *text, *group;
    int64_t port, priority, weight, ttl, strip;
    bool mail;
};

enum field_kind { FIELD_TEXT, FIELD_INT, FIELD_SECONDS, FIELD_BOOL };

static const struct field {
    const char *name;
    enum field_kind kind;
    size_t at;
} table[] = {
    { "host", FIELD_TEXT, offsetof(struct fields, host) },
    { "text", FIELD_TEXT, offsetof(struct fields, text) },
    { "group", FIELD_TEXT, offsetof(struct fields, group) },
    { "port", FIELD_INT, offsetof(struct fields, port) },
    { "priority", FIELD_INT, offsetof(struct fields, priority) },
    { "weight", FIELD_INT, offsetof(struct fields, weight) },
    { "ttl", FIELD_SECONDS, offsetof(struct fields, ttl) },
    { "targetstrip", FIELD_INT, offsetof(struct fields, strip) },
    { "mail", FIELD_BOOL, offsetof(struct fields, mail) },
};

static int wrong(const struct tree *t, const char *wanted, struct err *e)
{
    return err_set(e, ERR_PARSE, "\"%s\" is not %s", t->key, wanted);
}

static int read_int(const struct tree *t, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
    char *end;
    if (t->kind != TREE_SCALAR || t->quoted)
        return wrong(t, "a whole number", e);
    errno = 0;
    long long v = strtoll(t->text, &end, 10);
    if (errno || end == t->text || *end || v < min || v > max)
        return wrong(t, min < 0 ? "a whole number" : "a whole number from 0 to 4294967295", e);
    *ret = v;
    return 0;
}

static int read_bool(const struct tree *t, bool *ret, struct err *e)
{
    if (t->kind != TREE_SCALAR || t->quoted ||
        (strcmp(t->text, "true") != 0 && strcmp(t->text, "false") != 0))
        return wrong(t, "true or false", e);
    *ret = *t->text == 't';
    return 0;
}

static int read_field(const struct tree *t, const struct field *f, struct fields *ret,
                      struct err *e)
{
    void *at = (char *)ret + f->at;
    if (t->kind == TREE_NULL)
        return 0;
    switch (f->kind) {
    case FIELD_INT:
        return read_int(t, INT64_MIN, INT64_MAX, at, e);
    case FIELD_SECONDS:
        return read_int(t, 0, UINT32_MAX, at, e);
    case FIELD_BOOL:
        return read_bool(t, at, e);
    case FIELD_TEXT:
        break;
    }
    if (t->kind != TREE_SCALAR || !t->quoted)
        return wrong(t, "a string", e);
    *(const char **)at = t->text;
    return 0;
}

/* Members in any letter case, as the originals' decoder has it; others are left alone. */
static int read_members(const struct tree *t, struct fields *ret, struct err *e)
{
    for (const struct tree *c = t->child; c; c = c->next)
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
            int code =
                strcasecmp(c->key, table[i].name) == 0 ? read_field(c, &table[i], ret, e) : 0;
            if (code < 0)
                return code;
        }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int read_json(const struct etcd_pair *p, struct arena *a, struct fields *ret, struct err *e)
{
    struct tree_doc doc;
    const char *text = p->value;
    size_t n = p->value_len;
    if (n > ETCD_VALUE_MAX)
        return err_set(e, ERR_LIMIT, "the value has %zu bytes; at most %d are read", n,
                       ETCD_VALUE_MAX);
    for (; n && is_blank(*text); n--)
        text++;
    while (n && is_blank(text[n - 1]))
        n--;
    if (n == 4 && memcmp(text, "null", 4) == 0)
        return 0;
    if (!n || *text != '{')
        return err_set(e, ERR_PARSE, "the value is no JSON object");
    int code = tree_parse(text, n, "value", a, &doc, e);
    if (code < 0)
        return code;
    if (doc.n != 1)
        return err_set(e, ERR_PARSE, "the value is not one JSON object");
    return read_members(doc.documents[0], ret, e);
}

/* ---- parts ---- */

/* "::ffff:10.0.0.1" is IPv4. */
static bool read_ip(const char *text, struct ip *ret)
{
    struct sockaddr_storage sa;
    struct ip ip;
    if (ip_parse(text, &ip) < 0)
        return false;
    ip_to_sockaddr(&ip, 0, &sa);
    *ret = ip_of_sockaddr((struct sockaddr *)&sa);
    return true;
}

/* "/skydns/test/example/a" is a.example.test.; the first part is left out, whatever `path` says, as
 * in the reference. */
static bool key_name(const char *key, size_t len, struct name *ret)
{
    char text[ETCD_KEY_MAX + 2];
    size_t at = 0;
    while (len && key[len - 1] == '/')
        len--;
    size_t end = len;
    const char *first = len && *key == '/' ? memchr(key + 1, '/', len - 1) : NULL;
    if (!first || memchr(key, 0, len))
        return false;
    size_t stop = (size_t)(first - key) + 1;
    for (size_t i = len; i-- > stop - 1;) {
        if (key[i] != '/')
            continue;
        memcpy(text + at, key + i + 1, end - i - 1);
        at += end - i - 1;
        text[at++] = '.';
        end = i;
    }
    text[at] = 0;
    return name_from_text(text, ret) == 0;
}

static bool is_digits(const char *p)
{
    return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' && p[2] >= '0' && p[2] <= '9';
}

/* One character string; "\065" and "\"" are read as in a zone file. */
static void put_chunk(struct wbuf *w, const char *p, size_t n)
{
    uint8_t *len = wbuf_take(w, 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t b = (uint8_t)p[i];
        if (b == '\\' && ++i == n)
            break;
        if (b == '\\') {
            b = (uint8_t)p[i];
            if (n - i >= 3 && is_digits(p + i)) {
                b = (uint8_t)((p[i] - '0') * 100 + (p[i + 1] - '0') * 10 + (p[i + 2] - '0'));
                i += 2;
            }
        }
        wbuf_u8(w, b);
    }
    if (len)
        *len = (uint8_t)(w->base + w->pos - len - 1);
}

/* Every 255 bytes a string; an empty one follows when they fill the last exactly, as in the
 * reference. */
static int put_text(struct wbuf *w, const char *text, struct err *e)
{
    size_t n = strlen(text);
    for (; n >= TEXT_CHUNK; n -= TEXT_CHUNK, text += TEXT_CHUNK)
        put_chunk(w, text, TEXT_CHUNK);
    put_chunk(w, text, n);
    return w->bad || w->pos > UINT16_MAX
               ? err_set(e, ERR_LIMIT, "\"text\" is longer than a record can be")
               : 0;
}

/* ---- the whole ---- */

static void *put(struct wbuf *w, const void *p, size_t n)
{
    void *at = wbuf_take(w, n);
    memcpy(at, p, n);
    return at;
}

static enum etcd_host kind_of(const struct fields *f, const struct ip *ip)
{
    if (ip->family)
        return ip->family == 4 ? ETCD_HOST_V4 : ETCD_HOST_V6;
    if (f->text)
        return ETCD_HOST_TEXT;
    return f->host ? ETCD_HOST_NAME : ETCD_HOST_NONE;
}

static void set_numbers(struct etcd_value *v, const struct fields *f)
{
    v->ttl = (uint32_t)f->ttl;
    v->strip = f->strip > 0 ? (uint32_t)MIN(f->strip, NAME_MAX_LABELS + 1) : 0;
    v->weight = (int32_t)MAX(MIN(f->weight, INT32_MAX), INT32_MIN);
    v->priority = f->priority ? (uint16_t)f->priority : ETCD_PRIORITY;
    v->port = (uint16_t)f->port;
    v->no_port = f->port == -1;
    v->mail = f->mail;
}

static uint16_t slashes(const char *key, size_t len)
{
    uint16_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = (uint16_t)(n + (key[i] == '/'));
    return n;
}

static struct etcd_value *build(const struct etcd_pair *p, const struct fields *f,
                                const struct name *host, const struct wbuf *text)
{
    struct name domain;
    bool named = key_name(p->key, p->key_len, &domain);
    size_t group_len = f->group ? strlen(f->group) + 1 : 1;
    size_t size =
        p->key_len + 1 + group_len + (host ? host->len : 0) + (named ? domain.len : 0) + text->pos;
    struct etcd_value *v = xcalloc(1, sizeof *v + size);
    struct wbuf w = wbuf_of(v + 1, size);
    v->key = put(&w, p->key, p->key_len);
    v->key_len = (uint32_t)p->key_len;
    wbuf_u8(&w, 0);
    v->group = put(&w, f->group ? f->group : "", group_len);
    v->host = host ? put(&w, host->wire, host->len) : NULL;
    v->domain = named ? put(&w, domain.wire, domain.len) : NULL;
    v->text = text->pos ? put(&w, text->base, text->pos) : NULL;
    v->text_len = (uint32_t)text->pos;
    v->slashes = slashes(p->key, p->key_len);
    v->lease = etcd_lease_ref(p->lease);
    set_numbers(v, f);
    return v;
}

static int prepare(const struct etcd_pair *p, struct arena *a, struct fields *f, struct ip *ip,
                   struct name *host, struct wbuf *text, struct err *e)
{
    int code = read_json(p, a, f, e);
    if (code < 0)
        return code;
    if (f->host && !*f->host)
        f->host = NULL;
    if (f->text && !*f->text)
        f->text = NULL;
    if (f->host && !read_ip(f->host, ip) && name_from_text(f->host, host) < 0)
        return err_set(e, ERR_INVALID, "\"host\" is neither an address nor a name");
    if (!f->text)
        return 0;
    size_t n = strlen(f->text);
    *text = wbuf_of(arena_alloc(a, n + n / TEXT_CHUNK + 1), n + n / TEXT_CHUNK + 1);
    return put_text(text, f->text, e);
}

struct etcd_value *etcd_value_new(const struct etcd_pair *p, struct err *e)
{
    struct arena a;
    struct fields f = { 0 };
    struct ip ip = { 0 };
    struct name host;
    struct wbuf text = { 0 };
    arena_init(&a, 4096);
    bool good = prepare(p, &a, &f, &ip, &host, &text, e) == 0;
    if (!good) {
        f = (struct fields){ 0 };
        text.pos = 0;
    }
    struct etcd_value *v = build(p, &f, good && f.host && !ip.family ? &host : NULL, &text);
    v->kind = good ? kind_of(&f, &ip) : ETCD_HOST_BAD;
    v->ip = ip;
    arena_done(&a);
    return v;
}

void etcd_value_free(struct etcd_value *v)
{
    if (!v)
        return;
    etcd_lease_unref(v->lease);
    free(v);
}
