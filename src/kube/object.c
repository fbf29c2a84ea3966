#include "kube/object.h"

#include "base/mem.h"
#include "base/str.h"
#include "kube/endpoints.h"
#include "kube/layout.h"
#include "kube/pod.h"

#include <netinet/in.h>
#include <string.h>

const char *kind_text(enum kind kind)
{
    static const char *const text[KIND_COUNT] = {
        [KIND_NAMESPACE] = "Namespace",
        [KIND_NODE] = "Node",
        [KIND_POD] = "Pod",
        [KIND_SERVICE] = "Service",
        [KIND_SLICE] = "EndpointSlice",
        [KIND_CONFIGMAP] = "ConfigMap",
        [KIND_ENDPOINTS] = "Endpoints",
        [KIND_SERVICE_CIDR] = "ServiceCIDR",
    };
    return kind < KIND_COUNT ? text[kind] : "?";
}

bool kind_is_namespaced(enum kind kind)
{
    return kind != KIND_NAMESPACE && kind != KIND_NODE && kind != KIND_SERVICE_CIDR;
}

const char *protocol_text(enum protocol p)
{
    return p == PROTO_TCP ? "TCP" : p == PROTO_UDP ? "UDP" : "SCTP";
}

uint8_t protocol_number(enum protocol p)
{
    static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
    return numbers[p];
}

const char *meta_label(const struct meta *m, const char *key)
{
    for (uint16_t i = 0; i < m->n_labels; i++)
        if (strcmp(m->labels[i].key, key) == 0)
            return m->labels[i].value;
    return NULL;
}

bool labels_match(const struct meta *m, const struct label *selector, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        const char *value = meta_label(m, selector[i].key);
        if (!value || strcmp(value, selector[i].value) != 0)
            return false;
    }
    return true;
}

bool labels_equal(const struct label *x, uint16_t n_x, const struct label *y, uint16_t n_y)
{
    const struct meta have = { .labels = y, .n_labels = n_y };
    return n_x == n_y && labels_match(&have, x, n_x);
}

const char *object_version(const struct object *o)
{
    return o->kind == KIND_SLICE       ? slice_of(o)->version
           : o->kind == KIND_ENDPOINTS ? endpoints_of(o)->version
                                       : NULL;
}

void object_free(struct object *o)
{
    free(o);
}

/* Texts that most objects of a cluster carry stay outside the objects. */
static const char *well_known(const char *s, size_t len)
{
#define KNOWN(text)                                                                                \
    {                                                                                              \
        sizeof(text) - 1, text                                                                     \
    }
    static const struct {
        size_t len;
        const char *text;
    } known[] = {
        KNOWN(""),
        KNOWN("default"),
        KNOWN(LABEL_SERVICE_NAME),
        KNOWN(LABEL_MANAGED_BY),
        KNOWN(LABEL_HEADLESS),
        KNOWN(LABEL_ZONE),
        KNOWN(LABEL_METADATA_NAME),
        KNOWN(SLICE_CONTROLLER),
        KNOWN(MIRRORING_CONTROLLER),
        KNOWN("app.kubernetes.io/name"),
        KNOWN("app.kubernetes.io/instance"),
        KNOWN("app.kubernetes.io/component"),
        KNOWN("app.kubernetes.io/part-of"),
        KNOWN("app.kubernetes.io/managed-by"),
        KNOWN("pod-template-hash"),
        KNOWN("kubernetes.io/hostname"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].len == len && memcmp(known[i].text, s, len) == 0)
            return known[i].text;
    return NULL;
}

#define PACK_SEEN 16 /* recently packed texts that are looked at for sharing; a power of two */

/* One walk measures (block NULL), a second one with the sizes known writes. Lists come first, each
 * aligned, then the texts. A text that occurs again soon is stored once. */
struct pack {
    char *block;
    size_t lists, texts; /* next free offset of either part */
    unsigned n_seen;
    struct {
        const char *from;
        size_t len, at;
    } seen[PACK_SEEN];
};

static const char *pack_text(struct pack *p, const char *s)
{
    if (!s)
        return NULL;
    size_t len = strlen(s);
    const char *known = well_known(s, len);
    if (known)
        return known;
    for (unsigned i = 0; i < MIN(p->n_seen, PACK_SEEN); i++)
        if (p->seen[i].len == len && memcmp(p->seen[i].from, s, len) == 0)
            return p->block ? p->block + p->seen[i].at : NULL;
    unsigned i = p->n_seen++ % PACK_SEEN;
    size_t at = p->texts;
    p->seen[i].from = s;
    p->seen[i].len = len;
    p->seen[i].at = at;
    p->texts += len + 1;
    return p->block ? memcpy(p->block + at, s, len + 1) : NULL;
}

static size_t list_count(const struct field *f, const char *record)
{
    const char *p = record + f->count_offset;
    if (f->count_size == 1)
        return *(const uint8_t *)p;
    if (f->count_size == 2)
        return *(const uint16_t *)(const void *)p;
    return *(const uint32_t *)(const void *)p;
}

static void pack_record(struct pack *p, const struct layout *l, const char *from, char *to);

static char *pack_list(struct pack *p, const struct field *f, const char *record)
{
    const char *from = *(const char *const *)(const void *)(record + f->offset);
    size_t n = list_count(f, record), size = f->element->size;
    char *to = p->block ? p->block + p->lists : NULL;
    if (!n)
        return NULL;
    p->lists += (n * size + 7) & ~(size_t)7;
    if (to)
        memcpy(to, from, n * size);
    for (size_t i = 0; i < n && !f->element->flat; i++)
        pack_record(p, f->element, from + i * size, to ? to + i * size : NULL);
    return to;
}

/* The bytes of the record itself are already in place; only its pointers are packed. */
static void pack_record(struct pack *p, const struct layout *l, const char *from, char *to)
{
    for (const struct field *f = l->fields; f < l->fields + l->n_fields; f++) {
        const void *packed = NULL;
        if (f->type == FIELD_PLAIN)
            continue;
        if (f->type == FIELD_LIST)
            packed = pack_list(p, f, from);
        else
            packed = pack_text(p, *(const char *const *)(const void *)(from + f->offset));
        if (to)
            memcpy(to + f->offset, &packed, sizeof packed);
    }
}

struct object *object_copy(const struct object *o)
{
    const struct layout *l = layouts[o->kind];
    size_t head = (l->size + 7) & ~(size_t)7;
    struct pack measure = { .lists = head };
    pack_record(&measure, l, (const char *)o, NULL);
    struct pack p = { .block = xmalloc(measure.lists + measure.texts), .lists = head };
    p.texts = measure.lists;
    memcpy(p.block, o, l->size);
    pack_record(&p, l, (const char *)o, p.block);
    return (struct object *)(void *)p.block;
}

static bool records_equal(const struct layout *l, const char *a, const char *b);

static bool lists_equal(const struct field *f, const char *a, const char *b)
{
    const char *x = *(const char *const *)(const void *)(a + f->offset);
    const char *y = *(const char *const *)(const void *)(b + f->offset);
    size_t n = list_count(f, a), size = f->element->size;
    if (n != list_count(f, b))
        return false;
    if (!f->element->fields)
        return n == 0 || memcmp(x, y, n * size) == 0;
    for (size_t i = 0; i < n; i++)
        if (!records_equal(f->element, x + i * size, y + i * size))
            return false;
    return true;
}

static bool fields_equal(const struct field *f, const char *a, const char *b)
{
    switch ((enum field_type)f->type) {
    case FIELD_PLAIN:
        return memcmp(a + f->offset, b + f->offset, f->size) == 0;
    case FIELD_TEXT:
        return str_eq(*(const char *const *)(const void *)(a + f->offset),
                      *(const char *const *)(const void *)(b + f->offset));
    case FIELD_LIST:
        return lists_equal(f, a, b);
    case FIELD_ORIGIN:
        break;
    }
    return true;
}

static bool records_equal(const struct layout *l, const char *a, const char *b)
{
    for (const struct field *f = l->fields; f < l->fields + l->n_fields; f++)
        if (!fields_equal(f, a, b))
            return false;
    return true;
}

bool object_equal(const struct object *a, const struct object *b)
{
    if (a->kind != b->kind)
        return false;
    return records_equal(layouts[a->kind], (const char *)a, (const char *)b);
}

struct object *namespace_new(const char *name)
{
    const struct label label = { LABEL_METADATA_NAME, name };
    const struct namespace ns = {
        .object = { .kind = KIND_NAMESPACE,
                    .meta = { .namespace = "",
                              .name = name,
                              .uid = "",
                              .origin = "",
                              .labels = &label,
                              .n_labels = 1 } },
    };
    return object_copy(&ns.object);
}
