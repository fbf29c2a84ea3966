#include "registry/fault.h"

#include "base/mem.h"
#include "base/str.h"
#include "registry/resource.h"

#include <stdarg.h>
#include <string.h>

void fault_done(struct fault *f)
{
    free(f->message);
    free(f->name);
    free(f->uid);
    json_decref(f->causes);
    *f = (struct fault){ 0 };
}

static int set(struct fault *f, int code, const char *reason, const char *fmt, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        text = xstrdup(reason);
    free(f->message);
    f->message = text;
    f->code = code;
    f->reason = reason;
    return -1;
}

int fault_set(struct fault *f, int code, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(f, code, reason, fmt, args);
    va_end(args);
    return -1;
}

int fault_bad_request(struct fault *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(f, 400, "BadRequest", fmt, args);
    va_end(args);
    return -1;
}

int fault_gone(struct fault *f, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set(f, 410, reason, fmt, args);
    va_end(args);
    return -1;
}

/* ---- about an object ---- */

static void about(struct fault *f, const struct resource *r, const char *kind, const char *name)
{
    f->group = r->group;
    f->kind = kind;
    free(f->name);
    f->name = name && *name ? xstrdup(name) : NULL;
}

/* "services", "endpointslices.discovery.k8s.io": as messages name a resource. */
static const char *qualified(const struct resource *r, char out[128])
{
    (void)snprintf(out, 128, *r->group ? "%s.%s" : "%s", r->name, r->group);
    return out;
}

int fault_not_found(struct fault *f, const struct resource *r, const char *name)
{
    char what[128];
    about(f, r, r->name, name);
    return fault_set(f, 404, "NotFound", "%s \"%s\" not found", qualified(r, what), name);
}

int fault_exists(struct fault *f, const struct resource *r, const char *name)
{
    char what[128];
    about(f, r, r->name, name);
    return fault_set(f, 409, "AlreadyExists", "%s \"%s\" already exists", qualified(r, what), name);
}

int fault_conflict(struct fault *f, const struct resource *r, const char *name, const char *why)
{
    char what[128];
    about(f, r, r->name, name);
    return fault_set(f, 409, "Conflict", "Operation cannot be fulfilled on %s \"%s\": %s",
                     qualified(r, what), name, why);
}

int fault_forbidden(struct fault *f, const struct resource *r, const char *name, const char *why)
{
    char what[128];
    about(f, r, r->name, name);
    if (!name || !*name)
        return fault_set(f, 403, "Forbidden", "%s is forbidden: %s", qualified(r, what), why);
    return fault_set(f, 403, "Forbidden", "%s \"%s\" is forbidden: %s", qualified(r, what), name,
                     why);
}

int fault_method(struct fault *f)
{
    return fault_set(f, 405, "MethodNotAllowed",
                     "the server does not allow this method on the requested resource");
}

/* ---- causes ---- */

static void cause(struct fault *f, const char *field, const char *reason, const char *fmt, ...)
    printf_like(4, 5);

static void cause(struct fault *f, const char *field, const char *reason, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    if (!f->causes)
        f->causes = json_array();
    if (json_array_size(f->causes) >= FAULT_CAUSES_MAX)
        return;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    json_t *c = json_object();
    json_object_set_new(c, "reason", json_string(reason));
    json_object_set_new(c, "message", json_string(text ? text : ""));
    json_object_set_new(c, "field", json_string(field));
    json_array_append_new(f->causes, c);
    free(text);
}

int fault_ending(struct fault *f, const struct resource *r, const char *namespace)
{
    char why[512];
    (void)snprintf(why, sizeof why,
                   "unable to create new content in namespace %s because it is being terminated",
                   namespace);
    cause(f, "metadata.namespace", FAULT_ENDING, "namespace %s is being terminated", namespace);
    return fault_forbidden(f, r, NULL, why);
}

void fault_required(struct fault *f, const char *field, const char *why)
{
    cause(f, field, "FieldValueRequired", *why ? "Required value: %s" : "Required value%s", why);
}

/* Texts stand in quotes, lists and maps as JSON. */
void fault_value(struct fault *f, const char *field, const json_t *value, const char *why)
{
    cleanup_free char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    cause(f, field, "FieldValueInvalid", "Invalid value: %s: %s", text ? text : "null", why);
}

void fault_text(struct fault *f, const char *field, const char *value, const char *why)
{
    json_t *text = json_string(value);
    fault_value(f, field, text, why);
    json_decref(text);
}

void fault_unsupported(struct fault *f, const char *field, const char *value,
                       const char *const *allowed)
{
    struct strbuf b = { 0 };
    strbuf_json(&b, value);
    strbuf_puts(&b, ": supported values: ");
    for (size_t i = 0; allowed[i]; i++)
        strbuf_printf(&b, "%s\"%s\"", i ? ", " : "", allowed[i]);
    cause(f, field, "FieldValueNotSupported", "Unsupported value: %s", b.p);
    strbuf_done(&b);
}

void fault_duplicate(struct fault *f, const char *field, const json_t *value)
{
    cleanup_free char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    cause(f, field, "FieldValueDuplicate", "Duplicate value: %s", text ? text : "");
}

void fault_field_forbidden(struct fault *f, const char *field, const char *why)
{
    cause(f, field, "FieldValueForbidden", "Forbidden: %s", why);
}

void fault_too_long(struct fault *f, const char *field, size_t max)
{
    cause(f, field, "FieldValueTooLong", "Too long: may not be more than %zu bytes", max);
}

void fault_too_many(struct fault *f, const char *field, size_t n, size_t max)
{
    cause(f, field, "FieldValueTooMany", "Too many: %zu: must have at most %zu item%s", n, max,
          max == 1 ? "" : "s");
}

int fault_option(struct fault *f, const char *kind, const char *field, const char *value,
                 const char *const *allowed)
{
    fault_unsupported(f, field, value, allowed);
    f->group = "meta.k8s.io";
    f->kind = kind;
    return fault_set(f, 422, "Invalid",
                     "%s.meta.k8s.io \"\" is invalid: %s: Unsupported value: \"%s\"", kind, field,
                     value);
}

/* "spec.ports: Required value", or "[a: b, c: d]". */
static char *join(const json_t *causes)
{
    struct strbuf b = { 0 };
    size_t n = json_array_size(causes);
    if (n > 1)
        strbuf_putc(&b, '[');
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(causes, i);
        strbuf_printf(&b, "%s%s: %s", i ? ", " : "", json_string_value(json_object_get(c, "field")),
                      json_string_value(json_object_get(c, "message")));
    }
    if (n > 1)
        strbuf_putc(&b, ']');
    return strbuf_steal(&b);
}

int fault_invalid(struct fault *f, const struct resource *r, const char *name)
{
    if (!f->causes)
        return 0;
    cleanup_free char *list = join(f->causes);
    char what[128];
    about(f, r, r->kind, name);
    (void)snprintf(what, sizeof what, *r->group ? "%s.%s" : "%s", r->kind, r->group);
    return fault_set(f, 422, "Invalid", "%s \"%s\" is invalid: %s", what, name ? name : "", list);
}

/* ---- the Status ---- */

static void put(json_t *o, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(o, key, json_string(text));
}

static json_t *details(const struct fault *f)
{
    json_t *d = json_object();
    put(d, "name", f->name);
    put(d, "group", f->group);
    put(d, "kind", f->kind);
    put(d, "uid", f->uid);
    if (f->causes)
        json_object_set(d, "causes", f->causes);
    if (f->retry_after)
        json_object_set_new(d, "retryAfterSeconds", json_integer(f->retry_after));
    return d;
}

json_t *fault_status(const struct fault *f)
{
    json_t *s = json_object();
    json_object_set_new(s, "kind", json_string("Status"));
    json_object_set_new(s, "apiVersion", json_string("v1"));
    json_object_set_new(s, "metadata", json_object());
    json_object_set_new(s, "status", json_string("Failure"));
    put(s, "message", f->message);
    put(s, "reason", f->reason);
    if (f->kind || f->causes || f->retry_after)
        json_object_set_new(s, "details", details(f));
    bool path = strcmp(f->reason, "NotFound") == 0 && !f->kind; /* about no object */
    if (path || strcmp(f->reason, "MethodNotAllowed") == 0)
        json_object_set_new(s, "details", json_object());
    json_object_set_new(s, "code", json_integer(f->code));
    return s;
}
