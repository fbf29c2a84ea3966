#include "registry/meta.h"

#include "base/clock.h"
#include "base/str.h"
#include "kube/check.h"
#include "kube/timestamp.h"
#include "registry/path.h"

#include <string.h>
#include <sys/random.h>

#define GENERATED_LEN  5  /* letters behind a generateName */
#define GENERATED_BASE 58 /* letters of it that are kept */

/* ---- values ---- */

static void random_bytes(void *p, size_t n)
{
    if (getrandom(p, n, 0) != (ssize_t)n)
        abort(); /* up to 256 bytes never fail (getrandom(2)) */
}

void meta_uid(char out[META_UID_TEXT])
{
    unsigned char b[16];
    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 (RFC 9562 5.4) */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (unsigned i = 0, at = 0; i < sizeof b; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        at += (unsigned)snprintf(out + at, META_UID_TEXT - at, "%02x", b[i]);
    }
}

char *meta_now(char out[48])
{
    return timestamp_text(clock_unix(), 0, out);
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

const char *meta_name(const json_t *doc)
{
    return or_empty(path_text(doc, "metadata.name"));
}

const char *meta_namespace(const json_t *doc)
{
    return or_empty(path_text(doc, "metadata.namespace"));
}

const char *meta_uid_of(const json_t *doc)
{
    return or_empty(path_text(doc, "metadata.uid"));
}

bool meta_deleting(const json_t *doc)
{
    return path_text(doc, "metadata.deletionTimestamp") != NULL;
}

/* ---- filling in ---- */

/* Letters that spell no words. */
static void generate(json_t *doc, const char *base)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    unsigned char dice[GENERATED_LEN];
    char name[META_NAME_MAX + 1];
    int n = snprintf(name, sizeof name - GENERATED_LEN, "%.*s", GENERATED_BASE, base);
    random_bytes(dice, sizeof dice);
    for (unsigned i = 0; i < GENERATED_LEN; i++)
        name[n++] = letters[dice[i] % (sizeof letters - 1)];
    name[n] = 0;
    path_set_text(doc, "metadata.name", name);
}

void meta_fill_new(const struct resource *r, json_t *doc, const char *namespace)
{
    char text[48], uid[META_UID_TEXT];
    json_t *old = path_object(doc, "metadata");
    json_t *meta = json_object();
    static const char *const kept[] = { "name",       "generateName", "namespace",
                                        "labels",     "annotations",  "ownerReferences",
                                        "finalizers", "managedFields" };
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        if (strcmp(kept[i], "labels") == 0) { /* the place of these in the order of fields */
            meta_uid(uid);
            json_object_set_new(meta, "uid", json_string(uid));
            json_object_set_new(meta, "resourceVersion", json_string(""));
            if (r->counts)
                json_object_set_new(meta, "generation", json_integer(1));
            json_object_set_new(meta, "creationTimestamp", json_string(meta_now(text)));
        }
        json_t *v = json_object_get(old, kept[i]);
        if (v)
            json_object_set(meta, kept[i], v);
    }
    json_object_set_new(doc, "metadata", meta);
    const char *base = path_text(meta, "generateName");
    if (!*meta_name(doc) && base && *base)
        generate(doc, base);
    if (r->namespaced)
        path_set_text(doc, "metadata.namespace", namespace);
    else
        json_object_del(meta, "namespace");
}

void meta_fill_old(const struct resource *r, json_t *doc, const json_t *old)
{
    static const char *const fixed[] = {
        "uid",        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "generation", "selfLink"
    };
    json_t *meta = path_object(doc, "metadata");
    const json_t *before = json_object_get(old, "metadata");
    (void)r;
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        json_t *v = json_object_get(before, fixed[i]);
        if (v)
            json_object_set(meta, fixed[i], v);
        else
            json_object_del(meta, fixed[i]);
    }
}

bool meta_spec_differs(const json_t *a, const json_t *b)
{
    static const char *const aside[] = { "metadata", "status" };
    json_t *x = json_copy((json_t *)(uintptr_t)a), *y = json_copy((json_t *)(uintptr_t)b);
    for (size_t i = 0; i < ARRAY_SIZE(aside); i++) {
        json_object_del(x, aside[i]);
        json_object_del(y, aside[i]);
    }
    bool differs = !json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return differs;
}

/* ---- checks ---- */

void meta_check_labels(const json_t *labels, const char *path, struct fault *f)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        const char *text = or_empty(json_string_value(value)), *wrong = check_label_key(key);
        if (wrong)
            fault_text(f, path, key, wrong);
        wrong = check_label_value(text);
        if (wrong)
            fault_text(f, path, text, wrong);
    }
}

static void check_annotations(const json_t *annotations, struct fault *f)
{
    const char *key;
    json_t *value;
    size_t total = 0;
    json_object_foreach((json_t *)(uintptr_t)annotations, key, value)
    {
        char lower[META_NAME_MAX + 128];
        (void)snprintf(lower, sizeof lower, "%s", key);
        const char *wrong = check_label_key(str_lower(lower));
        if (wrong)
            fault_text(f, "metadata.annotations", key, wrong);
        total += strlen(key) + json_string_length(value);
    }
    if (total > META_ANNOTATION_BYTES)
        fault_too_long(f, "metadata.annotations", META_ANNOTATION_BYTES);
}

static void check_owner(const json_t *owner, const char *at, struct fault *f)
{
    static const char *const needed[] = { "apiVersion", "kind", "name", "uid" };
    char field[96];
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        const char *v = path_text(owner, needed[i]);
        (void)snprintf(field, sizeof field, "%s.%s", at, needed[i]);
        if (!v || !*v)
            fault_text(f, field, "", "must not be empty");
    }
}

static void check_owners(const json_t *owners, struct fault *f)
{
    char at[64];
    unsigned controllers = 0;
    for (size_t i = 0; i < json_array_size(owners); i++) {
        const json_t *owner = json_array_get(owners, i);
        (void)snprintf(at, sizeof at, "metadata.ownerReferences");
        check_owner(owner, at, f);
        controllers += json_is_true(json_object_get(owner, "controller"));
    }
    if (controllers > 1)
        fault_value(f, "metadata.ownerReferences", owners,
                    "only one reference can have controller set to true");
}

/* Qualified names; words of the API itself, or with a domain in front. */
static void check_finalizers(const struct resource *r, const json_t *finalizers, struct fault *f)
{
    for (size_t i = 0; i < json_array_size(finalizers); i++) {
        char field[48];
        (void)snprintf(field, sizeof field, "metadata.finalizers[%zu]", i);
        const char *text = or_empty(json_string_value(json_array_get(finalizers, i)));
        const char *wrong = check_label_key(text);
        bool known = strcmp(text, "orphan") == 0 || strcmp(text, "foregroundDeletion") == 0 ||
                     strcmp(text, "kubernetes") == 0;
        if (wrong)
            fault_text(f, "metadata.finalizers", text, wrong);
        else if (!known && !strchr(text, '/') && strcmp(r->kind, "Lease") != 0)
            fault_text(f, field, text,
                       "name is neither a standard finalizer name nor is it fully qualified");
    }
}

static void check_name(const struct resource *r, const json_t *meta, struct fault *f)
{
    const char *name = or_empty(path_text(meta, "name"));
    const char *base = or_empty(path_text(meta, "generateName"));
    char probe[META_NAME_MAX + 8];
    const char *wrong;
    if (*base) { /* a prefix may end in a hyphen */
        (void)snprintf(probe, sizeof probe, "%.*sa", META_NAME_MAX - 1, base);
        wrong = r->name_wrong(probe);
        if (wrong)
            fault_text(f, "metadata.generateName", base, wrong);
    }
    if (!*name)
        fault_required(f, "metadata.name", "name or generateName is required");
    else if ((wrong = r->name_wrong(name)))
        fault_text(f, "metadata.name", name, wrong);
}

static void check_fixed(const json_t *meta, const json_t *before, struct fault *f)
{
    static const char *const fixed[] = { "name", "namespace", "uid" };
    char field[64];
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        const char *now = or_empty(path_text(meta, fixed[i]));
        if (str_eq(now, or_empty(path_text(before, fixed[i]))))
            continue;
        (void)snprintf(field, sizeof field, "metadata.%s", fixed[i]);
        fault_text(f, field, now, "field is immutable");
    }
}

static bool lists_text(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_string_value(json_array_get(list, i)), text))
            return true;
    return false;
}

/* Nobody may take a hold on what is being deleted. */
static void check_held(const json_t *meta, const json_t *before, struct fault *f)
{
    const json_t *list = json_object_get(meta, "finalizers");
    const json_t *old = json_object_get(before, "finalizers");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!lists_text(old, json_string_value(json_array_get(list, i)))) {
            fault_field_forbidden(f, "metadata.finalizers",
                                  "no new finalizers can be added if the object is being deleted");
            return;
        }
}

void meta_check(const struct resource *r, const json_t *doc, const json_t *old, struct fault *f)
{
    const json_t *meta = json_object_get(doc, "metadata");
    const json_t *before = json_object_get(old, "metadata");
    check_name(r, meta, f);
    meta_check_labels(json_object_get(meta, "labels"), "metadata.labels", f);
    check_annotations(json_object_get(meta, "annotations"), f);
    check_owners(json_object_get(meta, "ownerReferences"), f);
    check_finalizers(r, json_object_get(meta, "finalizers"), f);
    if (old)
        check_fixed(meta, before, f);
    if (old && meta_deleting(old))
        check_held(meta, before, f);
}
