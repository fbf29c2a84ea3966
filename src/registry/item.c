#include "registry/item.h"

#include "base/mem.h"
#include "base/str.h"
#include "registry/path.h"

#include <string.h>

/* ---- packing: first everything is measured, then laid behind the struct ---- */

struct packer {
    char *at; /* NULL: only measuring */
    size_t used;
};

static const char *pack(struct packer *p, const char *text)
{
    size_t n = strlen(text) + 1;
    char *place = p->at ? p->at + p->used : NULL;
    if (place)
        memcpy(place, text, n);
    p->used += n;
    return place;
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static const char *pack_owners(struct packer *p, const json_t *owners)
{
    struct strbuf b = { 0 };
    for (size_t i = 0; i < json_array_size(owners); i++)
        strbuf_printf(&b, "%s,", or_empty(path_text(json_array_get(owners, i), "uid")));
    const char *packed = pack(p, b.p ? b.p : "");
    strbuf_done(&b);
    return packed;
}

static void pack_all(struct packer *p, const json_t *doc, struct item *i, struct label *labels)
{
    const json_t *meta = json_object_get(doc, "metadata"), *value;
    const char *key;
    size_t n = 0;
    char number[32];
    i->namespace = pack(p, or_empty(path_text(meta, "namespace")));
    i->name = pack(p, or_empty(path_text(meta, "name")));
    i->uid = pack(p, or_empty(path_text(meta, "uid")));
    json_object_foreach((json_t *)(uintptr_t)json_object_get(meta, "labels"), key, value)
    {
        const char *k = pack(p, key), *v = pack(p, or_empty(json_string_value(value)));
        if (labels)
            labels[n++] = (struct label){ k, v };
    }
    i->owners = pack_owners(p, json_object_get(meta, "ownerReferences"));
    i->deleting = json_object_get(meta, "deletionTimestamp") != NULL;
    for (n = 0; n < RESOURCE_FIELDS_MAX && i->resource->fields[n]; n++)
        i->fields[n] = pack(p, path_show(doc, i->resource->fields[n], number));
}

static struct item *make(const struct resource *r, const json_t *doc, const char *text, size_t len,
                         int64_t revision)
{
    struct item probe = { .resource = r };
    struct packer p = { 0 };
    size_t n = json_object_size(path_get(doc, "metadata.labels"));
    pack_all(&p, doc, &probe, NULL);
    size_t labels = n * sizeof(struct label);
    char *block = xcalloc(1, sizeof(struct item) + labels + p.used + len + 1);
    struct item *i = (struct item *)(void *)block;
    struct label *list = (struct label *)(void *)(block + sizeof *i);
    struct packer q = { .at = block + sizeof *i + labels };
    i->resource = r;
    i->refs = 1;
    i->revision = revision;
    i->labels = list;
    i->n_labels = (uint16_t)n;
    pack_all(&q, doc, i, list);
    memcpy(q.at + q.used, text, len);
    i->text = q.at + q.used;
    i->len = len;
    return i;
}

struct item *item_new(const struct resource *r, const json_t *doc, int64_t revision)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    if (!text)
        abort(); /* out of memory, as xmalloc() has it */
    struct item *i = make(r, doc, text, strlen(text), revision);
    free(text);
    return i;
}

struct item *item_read(const struct resource *r, const char *text, size_t len, int64_t revision)
{
    json_t *doc = json_loadb(text, len, 0, NULL);
    struct item *i = json_is_object(doc) ? make(r, doc, text, len, revision) : NULL;
    json_decref(doc);
    return i;
}

struct item *item_ref(struct item *i)
{
    if (i)
        i->refs++;
    return i;
}

void item_unref(struct item *i)
{
    if (i && --i->refs == 0)
        free(i);
}

json_t *item_doc(const struct item *i)
{
    return json_loadb(i->text, i->len, 0, NULL);
}

int item_compare(const struct item *i, const char *namespace, const char *name)
{
    int c = strcmp(i->namespace, namespace);
    return c ? c : strcmp(i->name, name);
}
