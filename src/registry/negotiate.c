#include "registry/negotiate.h"

#include "base/str.h"
#include "config/tree.h"
#include "registry/proto_answer.h"
#include "registry/proto_body.h"
#include "registry/yaml_scalar.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MEDIA_MAX 256 /* bytes of one media type with its parameters */

/* ---- media types ---- */

bool media_is(const char *type, const char *media)
{
    size_t n = strlen(media);
    return strncasecmp(type, media, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

/* The value of a parameter of one media type; "" when there is none. */
static const char *parameter(const char *media, const char *name, char out[MEDIA_MAX])
{
    size_t n = strlen(name);
    out[0] = 0;
    for (const char *p = strchr(media, ';'); p; p = strchr(p, ';')) {
        p += 1 + strspn(p + 1, " \t");
        if (strncasecmp(p, name, n) == 0 && p[n] == '=') {
            size_t len = strcspn(p + n + 1, "; \t");
            memcpy(out, p + n + 1, len);
            out[len] = 0;
            return out;
        }
    }
    return out;
}

static bool read_form(const char *media, struct wish *w)
{
    if (media_is(media, "application/json") || media_is(media, "*/*") ||
        media_is(media, "application/*"))
        w->form = FORM_JSON;
    else if (media_is(media, "application/yaml"))
        w->form = FORM_YAML;
    else if (media_is(media, PROTO_MEDIA))
        w->form = FORM_PROTO;
    else
        return false;
    return true;
}

static bool read_view(const char *media, struct wish *w)
{
    char as[MEDIA_MAX], version[MEDIA_MAX], group[MEDIA_MAX];
    parameter(media, "as", as);
    w->view = VIEW_OBJECT;
    if (!*as)
        return true;
    parameter(media, "v", version);
    if (strcmp(parameter(media, "g", group), "meta.k8s.io") != 0)
        return false;
    w->v1beta1 = strcmp(version, "v1beta1") == 0;
    if (!w->v1beta1 && strcmp(version, "v1") != 0)
        return false;
    if (strcmp(as, "Table") == 0 && w->form != FORM_PROTO) /* it has no such form */
        w->view = VIEW_TABLE;
    else if (strcmp(as, "PartialObjectMetadata") == 0)
        w->view = VIEW_METADATA;
    else if (strcmp(as, "PartialObjectMetadataList") == 0)
        w->view = VIEW_METADATA_LIST;
    else
        return false;
    return true;
}

int wish_read(const char *accept, struct wish *ret, struct fault *f)
{
    char media[MEDIA_MAX];
    *ret = (struct wish){ 0 };
    if (!accept || !*accept)
        return 0;
    for (const char *p = accept; *p;) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ",");
        struct wish w = { 0 };
        if (n < sizeof media) {
            memcpy(media, p, n);
            media[n] = 0;
            if (read_form(media, &w) && read_view(media, &w)) {
                *ret = w;
                return 0;
            }
        }
        p += n;
    }
    return fault_set(f, 406, "NotAcceptable",
                     "only the following media types are accepted: application/json, "
                     "application/yaml, " PROTO_MEDIA);
}

const char *wish_type(const struct wish *w)
{
    switch (w->form) {
    case FORM_YAML:
        return "application/yaml";
    case FORM_PROTO:
        return PROTO_MEDIA;
    default:
        return "application/json";
    }
}

/* ---- YAML in ---- */

static int read_yaml(const char *body, size_t len, json_t **ret, struct fault *f)
{
    struct arena a;
    struct tree_doc doc;
    struct err e = { 0 };
    arena_init(&a, 65536);
    int r = tree_parse(body, len, "body", &a, &doc, &e);
    if (r < 0)
        r = fault_bad_request(f, "error converting YAML to JSON: %s", e.text);
    else if (doc.n != 1)
        r = fault_bad_request(f, "the body holds %zu documents, and must hold one", doc.n);
    else if (!(*ret = yaml_document(doc.documents[0], &e)))
        r = fault_bad_request(f, "error converting YAML to JSON: %s", e.text);
    arena_done(&a);
    return r;
}

/* ---- bodies ---- */

/* Levels of nesting, strings aside: the library's own limit is far beyond what we walk. */
static bool too_deep(const char *p, size_t n)
{
    unsigned depth = 0;
    bool inside = false;
    for (size_t i = 0; i < n; i++) {
        if (inside && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            inside = !inside;
        else if (!inside && (p[i] == '{' || p[i] == '['))
            depth++;
        else if (!inside && (p[i] == '}' || p[i] == ']') && depth)
            depth--;
        if (depth > BODY_DEPTH_MAX)
            return true;
    }
    return false;
}

static int read_json(const char *body, size_t len, json_t **ret, struct fault *f)
{
    json_error_t error;
    if (too_deep(body, len))
        return fault_bad_request(f, "the body is nested deeper than %d levels", BODY_DEPTH_MAX);
    json_t *doc = json_loadb(body, len, JSON_DECODE_ANY, &error);
    if (!doc)
        return fault_bad_request(f, "the body is no JSON: line %d, column %d: %s", error.line,
                                 error.column, error.text);
    *ret = doc;
    return 0;
}

int body_read(const char *type, const char *body, size_t len, json_t **ret, struct fault *f)
{
    if (!type || !*type || media_is(type, "application/json"))
        return read_json(body, len, ret, f);
    if (media_is(type, "application/yaml"))
        return read_yaml(body, len, ret, f);
    if (media_is(type, PROTO_MEDIA))
        return proto_body_read(body, len, ret, f);
    return fault_set(f, 415, "UnsupportedMediaType",
                     "the body of the request was in an unknown format - accepted media types "
                     "include: application/json, application/yaml, " PROTO_MEDIA);
}

/* ---- YAML out ---- */

/* Plain where no reader takes it for anything but this text. */
static bool is_plain(const char *s)
{
    if (!isalpha((unsigned char)*s) || s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                                                   "UVWXYZ0123456789-_./")])
        return false;
    return yaml_is_text(s);
}

static void put_text(const char *s, struct strbuf *out)
{
    if (is_plain(s))
        strbuf_puts(out, s);
    else
        strbuf_json(out, s);
}

static void put_value(const json_t *v, unsigned indent, struct strbuf *out);

static void put_indent(unsigned n, struct strbuf *out)
{
    strbuf_printf(out, "%*s", (int)n, "");
}

static void put_members(const json_t *v, unsigned indent, bool first_here, struct strbuf *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (!first_here)
            put_indent(indent, out);
        first_here = false;
        put_text(key, out);
        strbuf_putc(out, ':');
        put_value(value, indent + 2, out);
    }
}

static void put_elements(const json_t *v, unsigned indent, struct strbuf *out)
{
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *e = json_array_get(v, i);
        put_indent(indent, out);
        strbuf_puts(out, "-");
        if (json_is_object(e) && json_object_size(e)) {
            strbuf_putc(out, ' ');
            put_members(e, indent + 2, true, out);
        } else {
            put_value(e, indent + 2, out);
        }
    }
}

/* Behind "key:" or "-"; ends the line. */
static void put_value(const json_t *v, unsigned indent, struct strbuf *out)
{
    if (json_is_object(v) && json_object_size(v)) {
        strbuf_putc(out, '\n');
        put_members(v, indent, false, out);
        return;
    }
    if (json_is_array(v) && json_array_size(v)) {
        strbuf_putc(out, '\n');
        put_elements(v, indent - 2, out);
        return;
    }
    strbuf_putc(out, ' ');
    if (json_is_string(v)) {
        put_text(json_string_value(v), out);
    } else {
        cleanup_free char *text = json_dumps(v, JSON_ENCODE_ANY);
        strbuf_puts(out, text ? text : "null");
    }
    strbuf_putc(out, '\n');
}

void yaml_put(const json_t *doc, struct strbuf *out)
{
    if (json_is_object(doc) && json_object_size(doc))
        put_members(doc, 0, false, out);
    else
        put_value(doc, 2, out);
}

/* ---- all forms ---- */

void wish_put(struct wish *w, const json_t *doc, struct strbuf *out)
{
    if (w->form == FORM_PROTO && proto_document_put(doc, out))
        return;
    if (w->form == FORM_YAML) {
        yaml_put(doc, out);
        return;
    }
    w->form = FORM_JSON;
    cleanup_free char *text = json_dumps(doc, JSON_COMPACT);
    strbuf_puts(out, text);
}
