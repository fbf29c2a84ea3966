#include "endpoints/subsets.h"

#include "base/str.h"
#include "base/vec.h"
#include "endpoints/ports.h"

#include <string.h>

/* A port and the subsets of the input that have it. */
struct port_use {
    struct slice_port port;
    uint32_t subset;
};

/* Ports that occur in the same subsets have the same addresses. */
struct port_class {
    VEC(struct slice_port) ports;
    const uint32_t *subsets;
    size_t n_subsets;
    struct member *members; /* sorted, each once */
    size_t n_members;
};

/* An address of a class: which, and whether one source at least says that it is not ready. */
struct member {
    uint32_t number;
    bool unready;
};

struct packer {
    const struct endpoints_subset *in;
    uint32_t n;
    struct arena *a;
    VEC(struct port_use) uses;
    VEC(struct port_class) classes;
    uint32_t *first;   /* of each subset of the input: the place of its first address */
    uint32_t *numbers; /* of each place: the number of the address that is there */
    const struct endpoints_address **addresses; /* by number, in order */
    size_t left;                                /* of SUBSETS_ADDRESSES_MAX */
};

/* An address as it is found. */
struct entry {
    const struct endpoints_address *address;
    const char *text;
    uint32_t place; /* of several that are the same the first is told */
};

/* ---- ports ---- */

/* Subsets without ports count as ones with a port of their own, which is not told. */
static const struct slice_port no_port = { .name = "", .port = -1 };

static int compare_ports(const struct slice_port *x, const struct slice_port *y)
{
    int r = port_compare(x, y);
    return r ? r
             : strcmp(x->app_protocol ? x->app_protocol : "",
                      y->app_protocol ? y->app_protocol : "");
}

static int by_port(const void *a, const void *b)
{
    const struct port_use *x = a, *y = b;
    int r = compare_ports(&x->port, &y->port);
    return r ? r : x->subset < y->subset ? -1 : x->subset > y->subset;
}

static bool collect_uses(struct packer *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const struct endpoints_subset *s = &p->in[i];
        if (p->uses.n + s->n_ports + 1 > SUBSETS_PORTS_MAX)
            return false;
        for (uint16_t k = 0; k < s->n_ports; k++)
            vec_push(&p->uses, (struct port_use){ s->ports[k], i });
        if (!s->n_ports)
            vec_push(&p->uses, (struct port_use){ no_port, i });
    }
    if (p->uses.n)
        qsort(p->uses.items, p->uses.n, sizeof *p->uses.items, by_port);
    return true;
}

static bool same_port(const struct port_use *x, const struct port_use *y)
{
    return ports_equal(&x->port, &y->port, 1);
}

static struct port_class *find_class(struct packer *p, const uint32_t *subsets, size_t n)
{
    vec_each (c, &p->classes)
        if (c->n_subsets == n && memcmp(c->subsets, subsets, n * sizeof *subsets) == 0)
            return c;
    vec_push(&p->classes, (struct port_class){ .subsets = subsets, .n_subsets = n });
    return &p->classes.items[p->classes.n - 1];
}

/* The uses are sorted by port: each run of one port is the list of its subsets. */
static void classify(struct packer *p)
{
    for (size_t i = 0, end; i < p->uses.n; i = end) {
        for (end = i; end < p->uses.n && same_port(&p->uses.items[i], &p->uses.items[end]); end++)
            continue;
        uint32_t *subsets = arena_alloc(p->a, (end - i) * sizeof *subsets);
        size_t n = 0;
        for (size_t k = i; k < end; k++)
            if (!n || subsets[n - 1] != p->uses.items[k].subset)
                subsets[n++] = p->uses.items[k].subset;
        struct port_class *c = find_class(p, subsets, n);
        vec_push(&c->ports, p->uses.items[i].port);
    }
}

/* ---- addresses ---- */

static int compare_addresses(const struct entry *x, const struct entry *y)
{
    int r = strcmp(x->text, y->text);
    return r ? r : strcmp(x->address->target.uid, y->address->target.uid);
}

static int by_address(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int r = compare_addresses(x, y);
    return r ? r : x->place < y->place ? -1 : x->place > y->place;
}

static uint32_t add_entries(struct packer *p, struct entry *all, uint32_t at,
                            const struct endpoints_address *addresses, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, at++) {
        char *text = arena_alloc(p->a, IP_TEXT_MAX);
        all[at] = (struct entry){ .address = &addresses[i], .text = "", .place = at };
        if (addresses[i].ip.family)
            all[at].text = ip_text(&addresses[i].ip, text);
    }
    return at;
}

static size_t count_addresses(const struct endpoints_subset *s)
{
    return (size_t)s->n_addresses + s->n_not_ready;
}

/* The same address has the same number wherever it is. */
static bool number_addresses(struct packer *p)
{
    size_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += count_addresses(&p->in[i]);
    if (n > SUBSETS_ADDRESSES_MAX)
        return false;
    struct entry *all = arena_alloc(p->a, n * sizeof *all);
    p->first = arena_alloc(p->a, p->n * sizeof *p->first);
    p->numbers = arena_alloc(p->a, n * sizeof *p->numbers);
    p->addresses = arena_alloc(p->a, n * sizeof(void *));
    uint32_t at = 0, number = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        p->first[i] = at;
        at = add_entries(p, all, at, p->in[i].addresses, p->in[i].n_addresses);
        at = add_entries(p, all, at, p->in[i].not_ready, p->in[i].n_not_ready);
    }
    if (n)
        qsort(all, n, sizeof *all, by_address);
    for (size_t i = 0; i < n; i++) {
        if (i && compare_addresses(&all[i - 1], &all[i]) != 0)
            number++;
        if (!i || compare_addresses(&all[i - 1], &all[i]) != 0)
            p->addresses[number] = all[i].address;
        p->numbers[all[i].place] = number;
    }
    return true;
}

static int by_number(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static size_t drop_doubles(struct member *m, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && m[kept - 1].number == m[i].number)
            m[kept - 1].unready |= m[i].unready;
        else
            m[kept++] = m[i];
    }
    return kept;
}

static bool pack_class(struct packer *p, struct port_class *c)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < c->n_subsets; i++)
        n += count_addresses(&p->in[c->subsets[i]]);
    if (n > p->left)
        return false;
    p->left -= n;
    c->members = arena_zalloc(p->a, n * sizeof *c->members);
    for (size_t i = 0; i < c->n_subsets; i++) {
        const struct endpoints_subset *s = &p->in[c->subsets[i]];
        for (uint32_t k = 0; k < count_addresses(s); k++)
            c->members[at++] = (struct member){ .number = p->numbers[p->first[c->subsets[i]] + k],
                                                .unready = k >= s->n_addresses };
    }
    if (n)
        qsort(c->members, n, sizeof *c->members, by_number);
    c->n_members = drop_doubles(c->members, n);
    return true;
}

/* ---- subsets ---- */

static bool same_members(const struct port_class *x, const struct port_class *y)
{
    if (x->n_members != y->n_members)
        return false;
    for (size_t i = 0; i < x->n_members; i++)
        if (x->members[i].number != y->members[i].number ||
            x->members[i].unready != y->members[i].unready)
            return false;
    return true;
}

/* The class that has the same addresses as class i and comes first. */
static struct port_class *leader_of(struct packer *p, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (p->classes.items[k].ports.n && same_members(&p->classes.items[k], &p->classes.items[i]))
            return &p->classes.items[k];
    return &p->classes.items[i];
}

static void merge_classes(struct packer *p)
{
    for (size_t i = 1; i < p->classes.n; i++) {
        struct port_class *c = &p->classes.items[i], *to = leader_of(p, i);
        if (to == c)
            continue;
        vec_each (port, &c->ports)
            vec_push(&to->ports, *port);
        vec_clear(&c->ports);
    }
}

static void tell_addresses(struct packer *p, const struct port_class *c,
                           struct endpoints_subset *ret)
{
    struct endpoints_address *ready = arena_alloc(p->a, c->n_members * sizeof *ready),
                             *other = arena_alloc(p->a, c->n_members * sizeof *other);
    for (size_t i = 0; i < c->n_members; i++) {
        const struct endpoints_address *a = p->addresses[c->members[i].number];
        if (c->members[i].unready)
            other[ret->n_not_ready++] = *a;
        else
            ready[ret->n_addresses++] = *a;
    }
    ret->addresses = ready;
    ret->not_ready = other;
}

static struct endpoints_subset tell(struct packer *p, const struct port_class *c)
{
    struct endpoints_subset s = { 0 };
    struct slice_port *ports = arena_alloc(p->a, c->ports.n * sizeof *ports);
    vec_each (port, &c->ports)
        if (port->port > 0)
            ports[s.n_ports++] = *port;
    if (s.n_ports)
        qsort(ports, s.n_ports, sizeof *ports, port_compare);
    s.ports = ports;
    tell_addresses(p, c, &s);
    return s;
}

static int by_subset(const void *a, const void *b)
{
    const struct endpoints_subset *x = a, *y = b;
    for (uint16_t i = 0; i < x->n_ports && i < y->n_ports; i++) {
        int r = compare_ports(&x->ports[i], &y->ports[i]);
        if (r)
            return r;
    }
    return x->n_ports < y->n_ports ? -1 : x->n_ports > y->n_ports;
}

static void gather(struct packer *p, struct subsets *ret)
{
    struct endpoints_subset *items = arena_alloc(p->a, p->classes.n * sizeof *items);
    vec_each (c, &p->classes)
        if (c->ports.n && c->n_members)
            items[ret->n++] = tell(p, c);
    if (ret->n)
        qsort(items, ret->n, sizeof *items, by_subset);
    ret->items = items;
}

bool subsets_pack(const struct endpoints_subset *in, uint32_t n, struct arena *a,
                  struct subsets *ret)
{
    struct packer p = { .in = in, .n = n, .a = a, .left = SUBSETS_ADDRESSES_MAX };
    *ret = (struct subsets){ 0 };
    bool fits = collect_uses(&p) && number_addresses(&p);
    if (fits)
        classify(&p);
    for (size_t i = 0; i < p.classes.n && fits; i++)
        fits = pack_class(&p, &p.classes.items[i]);
    if (fits) {
        merge_classes(&p);
        gather(&p, ret);
    }
    vec_each (c, &p.classes)
        vec_done(&c->ports);
    vec_done(&p.uses);
    vec_done(&p.classes);
    return fits;
}

/* ---- comparing ---- */

static bool same_target(const struct target_ref *x, const struct target_ref *y)
{
    return strcmp(x->kind, y->kind) == 0 && strcmp(x->namespace, y->namespace) == 0 &&
           strcmp(x->name, y->name) == 0 && strcmp(x->uid, y->uid) == 0 &&
           strcmp(x->api_version, y->api_version) == 0 && strcmp(x->field_path, y->field_path) == 0;
}

static bool same_addresses(const struct endpoints_address *x, const struct endpoints_address *y,
                           size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!ip_equal(&x[i].ip, &y[i].ip) || strcmp(x[i].hostname, y[i].hostname) != 0 ||
            strcmp(x[i].node, y[i].node) != 0 || !same_target(&x[i].target, &y[i].target))
            return false;
    return true;
}

static bool same_lists(const struct endpoints_subset *x, const struct endpoints_subset *y)
{
    return x->n_addresses == y->n_addresses && x->n_not_ready == y->n_not_ready &&
           same_addresses(x->addresses, y->addresses, x->n_addresses) &&
           same_addresses(x->not_ready, y->not_ready, x->n_not_ready);
}

static const struct endpoints_address *sorted_addresses(struct packer *p,
                                                        const struct endpoints_address *addresses,
                                                        uint32_t n)
{
    struct entry *all = arena_alloc(p->a, n * sizeof *all);
    struct endpoints_address *sorted = arena_alloc(p->a, n * sizeof *sorted);
    (void)add_entries(p, all, 0, addresses, n);
    if (n)
        qsort(all, n, sizeof *all, by_address);
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = *all[i].address;
    return sorted;
}

/* All lists in order, and nothing else done to them. */
static const struct endpoints_subset *sorted_subsets(struct packer *p)
{
    struct endpoints_subset *all = arena_alloc(p->a, p->n * sizeof *all);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct endpoints_subset *s = &p->in[i];
        struct slice_port *ports = arena_memdup(p->a, s->ports, s->n_ports * sizeof *ports);
        if (s->n_ports)
            qsort(ports, s->n_ports, sizeof *ports, port_compare);
        all[i] = *s;
        all[i].ports = ports;
        all[i].addresses = sorted_addresses(p, s->addresses, s->n_addresses);
        all[i].not_ready = sorted_addresses(p, s->not_ready, s->n_not_ready);
    }
    if (p->n)
        qsort(all, p->n, sizeof *all, by_subset);
    return all;
}

bool subsets_equal(const struct endpoints_subset *x, uint32_t n_x, const struct endpoints_subset *y,
                   uint32_t n_y, struct arena *a)
{
    struct packer p = { .in = x, .n = n_x, .a = a }, q = { .in = y, .n = n_y, .a = a };
    if (n_x != n_y)
        return false;
    x = sorted_subsets(&p);
    y = sorted_subsets(&q);
    for (uint32_t i = 0; i < n_x; i++)
        if (x[i].n_ports != y[i].n_ports || !ports_equal(x[i].ports, y[i].ports, x[i].n_ports) ||
            !same_lists(&x[i], &y[i]))
            return false;
    return true;
}
