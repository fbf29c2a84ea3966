#include "registry/rest.h"

#include "base/str.h"
#include "kube/selector.h"
#include "registry/meta.h"
#include "registry/path.h"
#include "registry/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- filters ---- */

/* Selectors name some fields differently from where they lie. */
static const char *field_path(const char *name)
{
    return strcmp(name, "source") == 0 ? "source.component" : name;
}

static int add_field(struct call *c, struct filter *f, const char *name, const char *value,
                     bool equal)
{
    const struct resource *r = c->request.resource;
    const char *path = field_path(name);
    bool known = strcmp(name, "metadata.name") == 0 ||
                 (r->namespaced && strcmp(name, "metadata.namespace") == 0);
    for (unsigned i = 0; i < RESOURCE_FIELDS_MAX && r->fields[i]; i++)
        known |= strcmp(r->fields[i], path) == 0;
    if (!known)
        return fault_bad_request(&c->fault,
                                 "\"%s\" is not a known field selector: only "
                                 "\"metadata.name\", \"metadata.namespace\"",
                                 name);
    if (f->n_fields == ARRAY_SIZE(f->fields))
        return fault_bad_request(&c->fault, "more than %zu field selectors", ARRAY_SIZE(f->fields));
    f->fields[f->n_fields].path = path;
    f->fields[f->n_fields].value = value;
    f->fields[f->n_fields++].equal = equal;
    return 0;
}

/* "a=b,c!=d" */
static int read_fields(struct call *c, const char *text, struct filter *f)
{
    char *rest = arena_strdup(&c->arena, text);
    for (char *term; (term = strsep(&rest, ","));) {
        if (!*term)
            continue;
        char *sign = strpbrk(term, "=!");
        if (!sign || (*sign == '!' && sign[1] != '='))
            return fault_bad_request(&c->fault, "invalid selector: '%s'; can't understand '%s'",
                                     text, term);
        bool equal = *sign == '=';
        const char *value = sign + (equal && sign[1] != '=' ? 1 : 2);
        *sign = 0;
        int r = add_field(c, f, term, value, equal);
        if (r < 0)
            return r;
    }
    return 0;
}

int filter_read(struct call *c, struct filter *ret)
{
    struct err e = { 0 };
    const char *labels = request_get(&c->request, "labelSelector");
    const char *fields = request_get(&c->request, "fieldSelector");
    const char *namespace = c->request.namespace;
    *ret = (struct filter){ .namespace =
                                c->request.resource->namespaced && *namespace ? namespace : NULL };
    if (*c->request.name)
        ret->name = c->request.name;
    if (labels && *labels && selector_parse(labels, &c->arena, &ret->labels, &e) < 0)
        return fault_bad_request(&c->fault, "unable to parse requirement: %s", e.text);
    return fields ? read_fields(c, fields, ret) : 0;
}

static const char *field_value(const struct item *i, const char *path)
{
    if (strcmp(path, "metadata.name") == 0)
        return i->name;
    if (strcmp(path, "metadata.namespace") == 0)
        return i->namespace;
    for (unsigned k = 0; k < RESOURCE_FIELDS_MAX && i->resource->fields[k]; k++)
        if (strcmp(i->resource->fields[k], path) == 0) {
            bool truth =
                strcmp(path, "spec.hostNetwork") == 0 || strcmp(path, "spec.unschedulable") == 0;
            return truth && !*i->fields[k] ? "false" : i->fields[k];
        }
    return "";
}

bool filter_match(const struct filter *f, const struct item *i)
{
    const struct meta meta = { .labels = i->labels, .n_labels = i->n_labels };
    if (f->namespace && strcmp(f->namespace, i->namespace) != 0)
        return false;
    if (f->name && strcmp(f->name, i->name) != 0)
        return false;
    for (unsigned k = 0; k < f->n_fields; k++)
        if ((strcmp(field_value(i, f->fields[k].path), f->fields[k].value) == 0) !=
            f->fields[k].equal)
            return false;
    return selector_match(f->labels, &meta);
}

/* ---- reading one ---- */

struct item *rest_find(struct call *c)
{
    const struct request *q = &c->request;
    struct item *i = registry_find(c->registry, q->resource, q->namespace, q->name);
    if (!i)
        fault_not_found(&c->fault, q->resource, q->name);
    return i;
}

/* Resource versions are numbers here, as in the original. */
int rest_check_version(const char *text, const char *what, int64_t *ret, struct fault *f)
{
    char *end;
    *ret = -1;
    if (!text || !*text)
        return 0;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (*end || errno || n < 0 || !(*text >= '0' && *text <= '9'))
        return fault_set(f, 422, "Invalid",
                         " \"\" is invalid: %s: Invalid value: \"%s\": strconv.ParseUint: parsing "
                         "\"%s\": invalid syntax",
                         what, text, text);
    *ret = n;
    return 0;
}

int rest_get(struct call *c)
{
    struct item *i = rest_find(c);
    if (!i)
        return -1;
    call_answer_item(c, 200, i);
    return 0;
}

/* ---- bodies ---- */

int rest_check_options(struct call *c)
{
    enum field_validation how;
    bool dry;
    if (request_field_validation(&c->request, &how, &c->fault) < 0)
        return -1;
    return request_dry_run(&c->request, &dry, &c->fault);
}

int rest_unknown(struct call *c, const json_t *unknown)
{
    enum field_validation how;
    size_t n = json_array_size(unknown);
    struct strbuf b = { 0 };
    if (request_field_validation(&c->request, &how, &c->fault) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const char *path = json_string_value(json_array_get(unknown, i));
        if (how == FIELDS_WARN)
            call_warn(c, "unknown field \"%s\"", path);
        strbuf_printf(&b, "%sunknown field \"%s\"", i ? ", " : "", path);
    }
    int r = 0;
    if (n && how == FIELDS_STRICT)
        r = fault_bad_request(&c->fault,
                              "%s in version \"%s\" cannot be handled as a %s: strict decoding "
                              "error: %s",
                              c->request.resource->kind, c->request.resource->version,
                              c->request.resource->kind, b.p);
    strbuf_done(&b);
    return r;
}

int rest_check_kind(struct call *c, const json_t *doc, bool must)
{
    const struct resource *r = c->request.resource;
    const char *kind = path_text(doc, "kind"), *version = path_text(doc, "apiVersion");
    if (!json_is_object(doc))
        return fault_bad_request(&c->fault,
                                 "%s in version \"%s\" cannot be handled as a %s: the body is no "
                                 "object",
                                 r->kind, r->version, r->kind);
    if (must && (!version || !*version || !kind || !*kind))
        return fault_bad_request(&c->fault, "the body must say its apiVersion and kind");
    if (version && *version && strcmp(version, resource_api_version(r)) != 0)
        return fault_bad_request(&c->fault,
                                 "the API version in the data (%s) does not match the expected API "
                                 "version (%s)",
                                 version, resource_api_version(r));
    if (kind && *kind && strcmp(kind, r->kind) != 0)
        return fault_bad_request(&c->fault,
                                 "%s in version \"%s\" cannot be handled as a %s: it is another "
                                 "kind",
                                 kind, r->version, r->kind);
    return 0;
}

int rest_body(struct call *c, json_t **ret)
{
    json_t *in = NULL, *unknown = json_array();
    int r = body_read(call_header(c, "content-type"), c->given, c->given_len, &in, &c->fault);
    if (r == 0)
        r = rest_check_kind(c, in, false);
    if (r == 0)
        r = shape_object(c->request.resource, in, unknown, ret, &c->fault);
    if (r == 0 && rest_unknown(c, unknown) < 0) {
        json_decref(*ret);
        r = -1;
    }
    json_decref(in);
    json_decref(unknown);
    return r;
}
