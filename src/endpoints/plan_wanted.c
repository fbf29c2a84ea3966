#include "endpoints/plan_wanted.h"

#include "endpoints/pod_offer.h"
#include "endpoints/ports.h"

#include <string.h>

static uint32_t find_group(const struct wanted_set *w, uint8_t family,
                           const struct slice_port *ports, size_t n)
{
    for (uint32_t i = 0; i < w->groups.n; i++) {
        const struct group *g = &w->groups.items[i];
        if (g->family == family && g->n_ports == n && ports_equal(g->ports, ports, n))
            return i;
    }
    return UINT32_MAX;
}

uint32_t wanted_group(const struct wanted_set *w, const struct slice *s)
{
    struct slice_port *sorted = xcalloc(s->n_ports + 1, sizeof *sorted);
    memcpy(sorted, s->ports ? s->ports : sorted, s->n_ports * sizeof *sorted);
    qsort(sorted, s->n_ports, sizeof *sorted, port_compare);
    uint32_t group = find_group(w, s->family, sorted, s->n_ports);
    free(sorted);
    return group;
}

static uint32_t group_of_pod(struct wanted_set *w, const struct service *s, const struct pod *pod,
                             uint8_t family, struct arena *a)
{
    const struct slice_port *ports;
    uint16_t n = pod_ports_for(s, pod, a, &ports);
    uint32_t group = find_group(w, family, ports, n);
    if (group != UINT32_MAX)
        return group;
    vec_push(&w->groups, (struct group){ .ports = ports, .n_ports = n, .family = family });
    return (uint32_t)w->groups.n - 1;
}

static uint8_t conditions_of(const struct service *s, const struct pod *pod)
{
    unsigned bits = 0;
    if (s->publish_not_ready || (pod->ready && !pod->object.meta.deleting))
        bits |= ENDPOINT_READY;
    if (pod->ready)
        bits |= ENDPOINT_SERVING;
    if (pod->object.meta.deleting)
        bits |= ENDPOINT_TERMINATING;
    return (uint8_t)bits;
}

struct builder {
    const struct plan_input *in;
    struct arena *arena;
    struct wanted_set *set;
    const struct pod **pods; /* sorted by name */
    bool named_targets;
};

static void add_pod(struct builder *b, const struct pod *pod, uint8_t family,
                    uint32_t *common_group)
{
    const struct service *s = b->in->service;
    const struct ip *ip = pod_ip_of(pod, family);
    if (pod_is_finished(pod) || !ip)
        return;
    const struct node *node = *pod->node ? b->in->node(b->in->ctx, pod->node) : NULL;
    if (!node && b->in->nodes_required && !s->publish_not_ready) {
        if (!b->set->skipped)
            b->set->skipped = pod;
        return;
    }
    uint32_t group = *common_group;
    if (group == UINT32_MAX || b->named_targets)
        group = *common_group = group_of_pod(b->set, s, pod, family, b->arena);
    b->set->groups.items[group].n++;
    vec_push(&b->set->wanted, (struct wanted){ .pod = pod,
                                               .ip = ip,
                                               .hostname = pod_hostname_in(s, pod),
                                               .zone = node ? node->zone : "",
                                               .group = group,
                                               .conditions = conditions_of(s, pod) });
}

static void add_family(struct builder *b, uint8_t family)
{
    struct wanted_set *set = b->set;
    uint32_t common_group = UINT32_MAX;
    unsigned at = family == 4 ? 0 : 1;
    set->first_of[at] = set->wanted.n;
    for (size_t i = 0; i < b->in->n_pods; i++)
        add_pod(b, b->pods[i], family, &common_group);
    set->n_of[at] = set->wanted.n - set->first_of[at];
    if (b->in->placeholder && !set->n_of[at])
        vec_push(&set->groups, (struct group){ .family = family, .placeholder = true });
}

static int by_name(const void *a, const void *b)
{
    const struct pod *x = *(const struct pod *const *)a, *y = *(const struct pod *const *)b;
    return strcmp(x->object.meta.name, y->object.meta.name);
}

/* The caller mostly has them in order already. */
static void sort_pods(struct builder *b)
{
    size_t n = b->in->n_pods, i = 1;
    b->pods = arena_alloc(b->arena, (n + 1) * sizeof *b->pods);
    for (size_t k = 0; k < n; k++)
        b->pods[k] = b->in->pods[k];
    while (i < n && by_name(&b->pods[i - 1], &b->pods[i]) <= 0)
        i++;
    if (i < n)
        qsort(b->pods, n, sizeof *b->pods, by_name);
}

void wanted_build(const struct plan_input *in, struct arena *a, struct wanted_set *ret)
{
    struct builder b = { .in = in, .arena = a, .set = ret };
    uint8_t families[2];
    unsigned n = service_families(in->service, families);
    memset(ret, 0, sizeof *ret);
    b.named_targets = service_has_named_targets(in->service);
    sort_pods(&b);
    for (unsigned i = 0; i < n; i++)
        add_family(&b, families[i]);
}

void wanted_done(struct wanted_set *w)
{
    vec_done(&w->wanted);
    vec_done(&w->groups);
}

struct wanted *wanted_find(const struct wanted_set *w, uint8_t family, const char *pod)
{
    unsigned at = family == 4 ? 0 : 1;
    size_t low = w->first_of[at], high = low + w->n_of[at];
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int r = strcmp(pod, w->wanted.items[mid].pod->object.meta.name);
        if (r == 0)
            return &w->wanted.items[mid];
        if (r < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}
