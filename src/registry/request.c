#include "registry/request.h"

#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 12

/* ---- percent-encoding ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A decoded copy; NULL: a broken escape, or a NUL. */
static char *decode(const char *s, size_t n, bool plus, struct arena *a)
{
    char *out = arena_alloc(a, n + 1), *p = out;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '+' && plus) {
            *p++ = ' ';
        } else if (s[i] != '%') {
            *p++ = s[i];
        } else {
            int high = i + 2 < n ? hex(s[i + 1]) : -1;
            int low = i + 2 < n ? hex(s[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                return NULL;
            *p++ = (char)(high << 4 | low);
            i += 2;
        }
    }
    *p = 0;
    return out;
}

static bool read_parameter(const char *s, size_t n, struct arena *a, struct request *r)
{
    const char *equal = memchr(s, '=', n);
    size_t name = equal ? (size_t)(equal - s) : n;
    if (n == 0)
        return true;
    if (r->n_query == REQUEST_QUERY_MAX)
        return false;
    struct request_parameter *p = &r->query[r->n_query++];
    p->name = decode(s, name, true, a);
    p->value = equal ? decode(equal + 1, n - name - 1, true, a) : "";
    return p->name && p->value;
}

static bool read_query(const char *q, struct arena *a, struct request *r)
{
    while (*q) {
        size_t n = strcspn(q, "&");
        if (!read_parameter(q, n, a, r))
            return false;
        q += n + (q[n] == '&');
    }
    return true;
}

/* ---- paths ---- */

static bool read_parts(const char *target, size_t n, struct arena *a, struct request *r)
{
    r->parts = arena_zalloc(a, (PARTS_MAX + 1) * sizeof *r->parts);
    for (size_t at = 0; at < n;) {
        at += target[at] == '/';
        size_t len = 0;
        while (at + len < n && target[at + len] != '/')
            len++;
        if (len == 0)
            continue;
        if (r->n_parts == PARTS_MAX)
            return false;
        r->parts[r->n_parts] = decode(target + at, len, false, a);
        if (!r->parts[r->n_parts++])
            return false;
        at += len;
    }
    return true;
}

/* Behind the version: namespaces/NS/RESOURCE/NAME/SUB, or RESOURCE/NAME/SUB. */
static void read_resource(struct request *r, unsigned at)
{
    char **p = r->parts + at;
    unsigned n = r->n_parts - at;
    bool inside = n >= 3 && strcmp(p[0], "namespaces") == 0 && strcmp(p[2], "status") != 0 &&
                  strcmp(p[2], "finalize") != 0;
    if (inside) {
        r->namespace = p[1];
        p += 2;
        n -= 2;
    }
    if (n == 0 || n > 3)
        return;
    r->resource = resource_find(r->group, r->version, p[0]);
    if (r->resource && r->resource->namespaced != inside && (inside || n > 1))
        r->resource = NULL;
    if (n > 1)
        r->name = p[1];
    if (n > 2)
        r->sub = p[2];
}

int request_read(const char *method, const char *target, struct arena *a, struct request *ret,
                 struct fault *f)
{
    struct request r = {
        .method = method, .group = "", .version = "", .namespace = "", .name = "", .sub = ""
    };
    size_t n = strcspn(target, "?");
    if (*target != '/' || strlen(target) > REQUEST_TARGET_MAX)
        return fault_bad_request(f, "the request's target is no path, or longer than %d bytes",
                                 REQUEST_TARGET_MAX);
    r.path = decode(target, n, false, a);
    if (!r.path || !read_parts(target, n, a, &r) ||
        (target[n] && !read_query(target + n + 1, a, &r)))
        return fault_bad_request(f, "the request's target cannot be read: a broken escape, or too "
                                    "many parts or parameters");
    if (r.n_parts >= 3 && strcmp(r.parts[0], "api") == 0) {
        r.version = r.parts[1];
        read_resource(&r, 2);
    } else if (r.n_parts >= 4 && strcmp(r.parts[0], "apis") == 0) {
        r.group = r.parts[1];
        r.version = r.parts[2];
        read_resource(&r, 3);
    }
    *ret = r;
    return 0;
}

/* ---- options ---- */

const char *request_get(const struct request *r, const char *name)
{
    for (unsigned i = 0; i < r->n_query; i++)
        if (strcmp(r->query[i].name, name) == 0)
            return r->query[i].value;
    return NULL;
}

bool request_is(const struct request *r, const char *name)
{
    const char *v = request_get(r, name);
    return v && strcmp(v, "0") != 0 && strcasecmp(v, "false") != 0;
}

int request_number(const struct request *r, const char *name, int64_t fallback, int64_t *ret,
                   struct fault *f)
{
    const char *v = request_get(r, name);
    char *end;
    if (!v || !*v) {
        *ret = fallback;
        return 0;
    }
    errno = 0;
    long long n = strtoll(v, &end, 10);
    if (errno || *end || end == v)
        return fault_bad_request(f, "strconv.ParseInt: parsing \"%s\": invalid syntax", v);
    *ret = n;
    return 0;
}

/* The kind of options that a verb has, by which its failures are known. */
static const char *options_kind(const struct request *r)
{
    static const struct {
        const char *method, *kind;
    } table[] = { { "POST", "CreateOptions" },
                  { "PUT", "UpdateOptions" },
                  { "PATCH", "PatchOptions" },
                  { "DELETE", "DeleteOptions" } };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(r->method, table[i].method) == 0)
            return table[i].kind;
    return "ListOptions";
}

int request_dry_run(const struct request *r, bool *ret, struct fault *f)
{
    static const char *const allowed[] = { "All", NULL };
    *ret = false;
    for (unsigned i = 0; i < r->n_query; i++) {
        if (strcmp(r->query[i].name, "dryRun") != 0)
            continue;
        if (strcmp(r->query[i].value, "All") != 0)
            return fault_option(f, options_kind(r), "dryRun", r->query[i].value, allowed);
        *ret = true;
    }
    return 0;
}

int request_field_validation(const struct request *r, enum field_validation *ret, struct fault *f)
{
    static const char *const allowed[] = { "", "Ignore", "Strict", "Warn", NULL };
    const char *v = request_get(r, "fieldValidation");
    *ret = FIELDS_WARN;
    if (!v || !*v || strcmp(v, "Warn") == 0)
        return 0;
    if (strcmp(v, "Strict") == 0)
        *ret = FIELDS_STRICT;
    else if (strcmp(v, "Ignore") == 0)
        *ret = FIELDS_IGNORE;
    else
        return fault_option(f, options_kind(r), "fieldValidation", v, allowed);
    return 0;
}
