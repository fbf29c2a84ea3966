/* Lists: all of a resource or what a selector picks, in pieces when a limit says so. A piece's end
 * is told by a token that names the revision of the first piece and the last key, so that all
 * pieces show the same moment. */
#include "base/str.h"
#include "registry/path.h"
#include "registry/proto_answer.h"
#include "registry/proto_put.h"
#include "registry/rest.h"
#include "registry/table.h"

#include <errno.h>
#include <string.h>

#define TOKEN_MAX 2048

struct listing {
    struct filter filter;
    struct item_list all;
    int64_t revision; /* that the list shows */
    int64_t limit;    /* 0: none */
    size_t first;     /* where this piece begins */
    bool exact;
    char after_namespace[256], after_name[256];
};

/* ---- tokens: "REVISION/NAMESPACE/NAME" in hexadecimal ---- */

static int read_token(const char *token, struct listing *l, struct fault *f)
{
    char text[TOKEN_MAX / 2 + 1];
    size_t n = strlen(token) / 2;
    unsigned byte;
    int end = 0;
    long long revision;
    if (n == 0 || n >= sizeof text || strlen(token) % 2)
        return fault_bad_request(f, "continue key is not valid");
    for (size_t i = 0; i < n; i++) {
        if (sscanf(token + 2 * i, "%2x", &byte) != 1)
            return fault_bad_request(f, "continue key is not valid");
        text[i] = (char)byte;
    }
    text[n] = 0;
    if (sscanf(text, "%lld/%n", &revision, &end) != 1 || !end || revision <= 0)
        return fault_bad_request(f, "continue key is not valid");
    const char *slash = strchr(text + end, '/');
    if (!slash || slash - text - end > 255 || strlen(slash + 1) > 255)
        return fault_bad_request(f, "continue key is not valid");
    (void)snprintf(l->after_namespace, sizeof l->after_namespace, "%.*s", (int)(slash - text - end),
                   text + end);
    (void)snprintf(l->after_name, sizeof l->after_name, "%s", slash + 1);
    l->revision = revision;
    return 0;
}

static void write_token(const struct listing *l, const struct item *last, char out[TOKEN_MAX])
{
    char text[TOKEN_MAX / 2];
    int n = snprintf(text, sizeof text, "%lld/%s/%s", (long long)l->revision, last->namespace,
                     last->name);
    for (int i = 0; i < n; i++)
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", (unsigned char)text[i]);
}

/* ---- what to show ---- */

static int too_new(struct call *c, int64_t asked)
{
    c->fault.retry_after = 1;
    return fault_set(&c->fault, 504, "Timeout", "Too large resource version: %lld, current: %lld",
                     (long long)asked, (long long)registry_revision(c->registry));
}

static int read_version(struct call *c, struct listing *l)
{
    const char *match = request_get(&c->request, "resourceVersionMatch");
    const char *version = request_get(&c->request, "resourceVersion");
    int64_t asked;
    if (rest_check_version(version, "resourceVersion", &asked, &c->fault) < 0)
        return -1;
    if (match && *match && strcmp(match, "Exact") != 0 && strcmp(match, "NotOlderThan") != 0)
        return fault_set(&c->fault, 422, "Invalid",
                         " \"\" is invalid: resourceVersionMatch: Unsupported value: \"%s\": "
                         "supported values: \"Exact\", \"NotOlderThan\"",
                         match);
    if (match && *match && asked < 0)
        return fault_set(&c->fault, 422, "Invalid",
                         " \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "
                         "is forbidden unless resourceVersion is provided");
    if (asked > registry_revision(c->registry))
        return too_new(c, asked);
    l->exact = str_eq(match, "Exact") || (l->limit > 0 && asked > 0 && !(match && *match));
    if (l->exact && asked == 0)
        return fault_set(&c->fault, 422, "Invalid",
                         " \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "
                         "\"exact\" is forbidden for resourceVersion \"0\"");
    if (l->exact)
        l->revision = asked;
    return 0;
}

static int read_options(struct call *c, struct listing *l)
{
    const char *token = request_get(&c->request, "continue");
    const char *version = request_get(&c->request, "resourceVersion");
    if (filter_read(c, &l->filter) < 0 ||
        request_number(&c->request, "limit", 0, &l->limit, &c->fault) < 0)
        return -1;
    if (!token || !*token)
        return read_version(c, l);
    if (version && *version && strcmp(version, "0") != 0)
        return fault_bad_request(&c->fault, "specifying resource version is not allowed when using "
                                            "continue");
    l->exact = true;
    return read_token(token, l, &c->fault);
}

static int load(struct call *c, struct listing *l)
{
    const struct resource *r = c->request.resource;
    if (!l->exact) {
        l->revision = registry_revision(c->registry);
        registry_list(c->registry, r, l->filter.namespace, &l->all);
        return 0;
    }
    if (registry_list_at(c->registry, r, l->filter.namespace, l->revision, &l->all) == 0)
        return 0;
    return fault_gone(&c->fault, "Expired",
                      *l->after_name
                          ? "The provided continue parameter is too old to display a consistent "
                            "list result. Begin the list anew without it."
                          : "The resourceVersion for the provided list is too old.");
}

/* ---- pieces ---- */

struct piece {
    struct strbuf *out;
    json_t *table;
    enum include include;
    unsigned shown;
    const struct item *last;
    int64_t remaining;
    bool more;
};

/* An object's text without what it is: in a list the elements do not say it. */
static const char *bare_text(const struct item *i, size_t *ret_len)
{
    char head[192];
    int n = snprintf(head, sizeof head, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",",
                     i->resource->kind, resource_api_version(i->resource));
    bool there = (size_t)n < i->len && strncmp(i->text, head, (size_t)n) == 0;
    *ret_len = there ? i->len - (size_t)n : i->len - 1;
    return there ? i->text + n : i->text + 1;
}

/* An element as field 2 of a list's message. */
static void show_message(struct call *c, const struct item *i, struct piece *p)
{
    struct strbuf message = { 0 };
    json_t *doc = item_doc(i);
    proto_message_put(c->wish.view == VIEW_OBJECT ? resource_type(i->resource)
                                                  : schema_type("meta.PartialObjectMetadata"),
                      doc, &message);
    proto_put_message(p->out, 2, &message);
    json_decref(doc);
}

static void show(struct call *c, const struct item *i, struct piece *p)
{
    json_t *doc;
    p->shown++;
    p->last = i;
    if (c->wish.form == FORM_PROTO) {
        show_message(c, i, p);
        return;
    }
    if (c->wish.view == VIEW_OBJECT) {
        size_t len;
        const char *text = bare_text(i, &len);
        strbuf_puts(p->out, p->shown > 1 ? ",{" : "{");
        strbuf_add(p->out, text, len);
        return;
    }
    doc = item_doc(i);
    if (p->table) {
        table_add(p->table, c->request.resource, doc, p->include);
    } else {
        json_t *part = partial_metadata(doc, &c->wish);
        cleanup_free char *text = json_dumps(part, JSON_COMPACT);
        strbuf_printf(p->out, "%s%s", p->shown > 1 ? "," : "", text);
        json_decref(part);
    }
    json_decref(doc);
}

static void show_all(struct call *c, struct listing *l, struct piece *p)
{
    for (size_t n = 0; n < l->all.n; n++) {
        const struct item *i = l->all.items[n];
        if (*l->after_name && item_compare(i, l->after_namespace, l->after_name) <= 0)
            continue;
        if (!filter_match(&l->filter, i))
            continue;
        if (l->limit > 0 && p->shown == (uint64_t)l->limit) {
            p->more = true;
            p->remaining++;
        } else {
            show(c, i, p);
        }
    }
}

static json_t *list_meta(const struct listing *l, const struct piece *p)
{
    char token[TOKEN_MAX], revision[24];
    json_t *meta = json_object();
    (void)snprintf(revision, sizeof revision, "%lld", (long long)l->revision);
    json_object_set_new(meta, "resourceVersion", json_string(revision));
    if (!p->more)
        return meta;
    write_token(l, p->last, token);
    json_object_set_new(meta, "continue", json_string(token));
    if (!l->filter.labels && !l->filter.n_fields)
        json_object_set_new(meta, "remainingItemCount", json_integer(p->remaining));
    return meta;
}

static int answer_table(struct call *c, struct listing *l)
{
    const char *include = request_get(&c->request, "includeObject");
    struct piece p = { .table = table_new(c->request.resource, &c->wish) };
    p.include = str_eq(include, "None")     ? INCLUDE_NONE
                : str_eq(include, "Object") ? INCLUDE_OBJECT
                                            : INCLUDE_METADATA;
    show_all(c, l, &p);
    json_object_set_new(p.table, "metadata", list_meta(l, &p));
    c->wish.view = VIEW_OBJECT;
    call_answer(c, 200, p.table);
    return 0;
}

static void put_text_list(const char *version, const char *kind, const json_t *meta,
                          const struct strbuf *items, struct strbuf *out)
{
    cleanup_free char *text = json_dumps(meta, JSON_COMPACT);
    strbuf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":%s,\"items\":[", kind,
                  version, text);
    if (items->len)
        strbuf_add(out, items->p, items->len);
    strbuf_puts(out, "]}");
}

static void put_message_list(const char *version, const char *kind, const json_t *meta,
                             const struct strbuf *items, struct strbuf *out)
{
    struct strbuf message = { 0 }, head = { 0 };
    proto_message_put(schema_type("meta.ListMeta"), meta, &head);
    proto_put_message(&message, 1, &head);
    if (items->len)
        strbuf_add(&message, items->p, items->len);
    proto_envelope_put(version, kind, &message, out);
    strbuf_done(&message);
}

/* Put together from what there is of the objects. */
static int answer_list(struct call *c, struct listing *l)
{
    const struct resource *r = c->request.resource;
    struct strbuf items = { 0 }, b = { 0 };
    struct piece p = { .out = &items };
    bool whole = c->wish.view == VIEW_OBJECT;
    char kind[64];
    const char *version = whole             ? resource_api_version(r)
                          : c->wish.v1beta1 ? "meta.k8s.io/v1beta1"
                                            : "meta.k8s.io/v1";
    (void)snprintf(kind, sizeof kind, "%sList", whole ? r->kind : "PartialObjectMetadata");
    show_all(c, l, &p);
    json_t *meta = list_meta(l, &p);
    if (c->wish.form == FORM_PROTO)
        put_message_list(version, kind, meta, &items, &b);
    else
        put_text_list(version, kind, meta, &items, &b);
    json_decref(meta);
    strbuf_done(&items);
    if (c->wish.form != FORM_YAML) {
        call_answer_text(c, 200, wish_type(&c->wish), &b);
        return 0;
    }
    json_t *doc = json_loadb(b.p, b.len, 0, NULL);
    strbuf_done(&b);
    c->wish.view = VIEW_OBJECT;
    call_answer(c, 200, doc);
    return 0;
}

int rest_list(struct call *c)
{
    struct listing l = { 0 };
    int r = read_options(c, &l);
    if (r == 0)
        r = load(c, &l);
    if (r == 0)
        r = c->wish.view == VIEW_TABLE ? answer_table(c, &l) : answer_list(c, &l);
    item_list_done(&l.all);
    return r;
}
