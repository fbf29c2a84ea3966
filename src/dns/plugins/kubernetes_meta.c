/* What `kubernetes` can tell about a name, for `metadata`: "kubernetes/service" and its like. The
 * name is taken apart whether or not anything stands behind it. */
#include "dns/plugins/kubernetes.h"
#include "dns/plugins/metadata.h"

#include <string.h>

static const char *const labels[] = { "endpoint", "kind",    "namespace",  "port-name",
                                      "protocol", "service", "parse-error" };

/* Labels as text without the final dot, odd bytes escaped. */
static const char *labels_text(struct query *q, const uint8_t *wire, size_t len)
{
    uint8_t name[NAME_MAX_WIRE + 1];
    memcpy(name, wire, len);
    name[len] = 0;
    char *text = name_to_text(name, arena_alloc(&q->arena, NAME_TEXT_MAX));
    text[strlen(text) - 1] = 0;
    return text;
}

static const char *label_text(struct query *q, const uint8_t *label)
{
    return label ? labels_text(q, label, 1u + label[0]) : "";
}

/* Ports and protocols are marked with an underscore, which does not count. */
static const char *unmarked(const char *text)
{
    return text + (text[0] == '_');
}

/* "a.b" of a zonal name's zone. */
static const char *zone_text(struct query *q, const struct place *p)
{
    const uint8_t *end = p->zone_first;
    for (uint8_t i = 0; i < p->n_zone; i++)
        end += 1 + end[0];
    return labels_text(q, p->zone_first, (size_t)(end - p->zone_first));
}

static const char *service_text(struct query *q, const struct lookup *l, const struct place *p)
{
    int last = l->name->name.n_labels - (int)zone_set_labels(l->k->zones, l->zone) - 1;
    if (last < 2 || p->kind == PLACE_NONE)
        return "";
    return label_text(q, l->name->lower + l->name->name.off[last - 2]);
}

static const char *kind_text(const struct place *p)
{
    if (!p->namespace && p->kind != PLACE_LEVEL)
        return "";
    return p->pods ? "pod" : "svc";
}

static const char *value_of(struct query *q, const struct lookup *l, const struct place *p,
                            const char *name)
{
    if (strcmp(name, "endpoint") == 0)
        return label_text(q, p->kind == PLACE_POD ? NULL : p->endpoint);
    if (strcmp(name, "kind") == 0)
        return kind_text(p);
    if (strcmp(name, "namespace") == 0)
        return label_text(q, p->namespace);
    if (strcmp(name, "port-name") == 0)
        return unmarked(label_text(q, p->port));
    if (strcmp(name, "protocol") == 0)
        return unmarked(label_text(q, p->protocol));
    return service_text(q, l, p);
}

/* About the pod that asks, whatever it asks for. */
static const char *client_label(struct query *q, const struct kubernetes *k, const char *name)
{
    struct ip ip = query_client(q);
    const struct snap_client *c = snapshot_client(k->snapshot, &ip);
    const char *value = !c                                        ? NULL
                        : strcmp(name, "client-namespace") == 0   ? c->text
                        : strcmp(name, "client-pod-name") == 0    ? snap_client_name(c)
                        : strncmp(name, "client-label/", 13) == 0 ? snap_client_label(c, name + 13)
                                                                  : NULL;
    return value ? arena_strdup(&q->arena, value) : NULL;
}

const char *kubernetes_label(struct query *q, const void *conf, const char *name)
{
    const struct kubernetes *k = conf;
    if (strncmp(name, "client-", 7) == 0)
        return client_label(q, k, name);
    const struct question *asked = query_asked(q);
    struct lookup l = { .q = q, .k = k, .name = asked, .zone = zone_set_find(k->zones, asked) };
    struct place p;
    bool known = strcmp(name, "zone") == 0;
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
        known |= strcmp(name, labels[i]) == 0;
    if (!known || l.zone < 0)
        return NULL;
    place_parse(&l, &p);
    bool bad = p.kind == PLACE_NONE || p.kind == PLACE_DNS_VERSION || p.kind == PLACE_NS_DNS;
    if (bad || strcmp(name, "parse-error") == 0)
        return bad && strcmp(name, "parse-error") == 0 ? "invalid query name" : NULL;
    if (strcmp(name, "zone") == 0)
        return p.kind == PLACE_ZONAL ? zone_text(q, &p) : NULL;
    return value_of(q, &l, &p, name);
}
