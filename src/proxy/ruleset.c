#include "proxy/ruleset.h"

#include "base/hash.h"
#include "base/ht.h"
#include "kernel/nft_elements.h"
#include "proxy/expand.h"
#include "proxy/found.h"
#include "proxy/item.h"
#include "proxy/select.h"
#include "proxy/skeleton.h"
#include "proxy/slots.h"

#include <stdio.h>

#define STATEMENT_ELEMENTS 1000 /* nft reads a few long statements faster than many short ones */
#define NUMBER_MASK        0x3fffffffu
#define LISTS              2
#define AROUND             "=surroundings" /* the id of what belongs to no portal */

/* What the kernel has for one portal. */
struct placed {
    uint32_t number; /* 0: for AROUND */
    uint8_t protocol;
    uint32_t n_elements, n_shared, n_slots[LISTS];
    struct element *elements; /* sorted */
    struct element *shared;
    struct backend *slots[LISTS];
};

struct staged {
    char *id;
    struct placed *placed; /* NULL: to be removed */
    bool new_number;
};

struct ruleset {
    struct ruleset_options options;
    struct ht placed;  /* id -> struct placed */
    struct ht numbers; /* number -> itself */
    struct ht shared;  /* key of an element -> how many portals have it */
    struct ht chains;  /* names of those that came with need */
    size_t n_chain_rules, n_keep_chains, n_elements, n_slots, n_affinity;
    VEC(struct staged) staged;
    struct ht shared_delta, new_chains;
    const struct found *found; /* NULL: the kernel has what our picture has */
    elements add[MAPS], del[MAPS];
    struct expansion expansion; /* room for one portal at a time */
    backends sorted;
};

struct ruleset *ruleset_new(const struct ruleset_options *o)
{
    struct ruleset *r = xcalloc(1, sizeof *r);
    r->options = *o;
    return r;
}

static void free_placed(struct placed *p)
{
    if (!p)
        return;
    free(p->elements);
    free(p->shared);
    for (unsigned i = 0; i < LISTS; i++)
        free(p->slots[i]);
    free(p);
}

void ruleset_free(struct ruleset *r)
{
    if (!r)
        return;
    ruleset_discard(r);
    ht_each (e, &r->placed)
        free_placed(e->value);
    ht_done(&r->placed);
    ht_done(&r->numbers);
    ht_done(&r->shared);
    ht_done(&r->chains);
    vec_done(&r->staged);
    expansion_done(&r->expansion);
    vec_done(&r->sorted);
    free(r);
}

void ruleset_skeleton(const struct ruleset *r, struct strbuf *out)
{
    skeleton_print(&r->options, out);
}

/* ---- counts of shared elements; the value of the table is the number */

static intptr_t count_of(const struct ht *t, const void *key)
{
    return (intptr_t)ht_get(t, key, ELEMENT_KEY_LEN);
}

static void count_add(struct ht *t, const void *key, intptr_t d)
{
    intptr_t n = count_of(t, key) + d;
    if (n == 0)
        ht_del(t, key, ELEMENT_KEY_LEN);
    else
        ht_put(t, key, ELEMENT_KEY_LEN, (void *)n);
}

static void count_shared(struct ruleset *r, const struct placed *p, intptr_t d)
{
    for (uint32_t i = 0; p && i < p->n_shared; i++)
        count_add(&r->shared_delta, &p->shared[i], d);
}

/* ---- numbers: the same portal has the same one in every process, as long as no two collide, so
 * that clients are kept over a restart */

static uint32_t take_number(struct ruleset *r, const char *id)
{
    uint32_t n = (uint32_t)hash_stable(id, strlen(id)) & NUMBER_MASK;
    while (n == 0 || n == NUMBER_MASK || ht_get(&r->numbers, &n, sizeof n))
        n = (n + 1) & NUMBER_MASK;
    ht_put(&r->numbers, &n, sizeof n, r);
    return n;
}

/* ---- staging: the next picture */

static void *copy(const void *from, size_t size)
{
    void *p = size > 0 ? xmalloc(size) : NULL;
    return p ? memcpy(p, from, size) : NULL;
}

/* What sits where until now: as far as we know ourselves, else as the kernel told. */
static uint32_t slots_before(const struct ruleset *r, const struct placed *new,
                             const struct placed *old, unsigned list, struct backend **ret)
{
    if (old)
        *ret = copy(old->slots[list], old->n_slots[list] * sizeof **ret);
    if (old || !r->found)
        return old ? old->n_slots[list] : 0;
    return found_slots(r->found, new->protocol, handle_of(new->number, list), ret);
}

static void place_slots(struct ruleset *r, struct placed *new, const struct placed *old,
                        const struct portal *p, unsigned list)
{
    struct backend *there = NULL;
    uint32_t n_there = slots_before(r, new, old, list, &there);
    uint16_t use = list == LIST_LOCAL ? BACKEND_LOCAL : BACKEND_CLUSTER;
    backends *sorted = &r->sorted;
    vec_clear(sorted);
    for (uint32_t i = 0; i < p->n_backends; i++)
        if (p->backends[i].use & use)
            vec_push(sorted, p->backends[i]);
    new->n_slots[list] = (uint32_t)sorted->n;
    new->slots[list] = xmalloc(sorted->n * sizeof **new->slots + 1);
    slots_plan(there, n_there, sorted->items, new->n_slots[list], new->slots[list]);
    free(there);
}

static struct placed *place(struct ruleset *r, const struct portal *p, uint32_t number,
                            const struct placed *old)
{
    struct expansion *x = &r->expansion;
    struct placed *new = xcalloc(1, sizeof *new);
    portal_expand(p, number, x);
    new->number = number;
    new->protocol = p->protocol;
    new->n_elements = (uint32_t)x->own.n;
    new->n_shared = (uint32_t)x->shared.n;
    new->elements = copy(x->own.items, x->own.n * sizeof *x->own.items);
    new->shared = copy(x->shared.items, x->shared.n * sizeof *x->shared.items);
    for (unsigned i = 0; i < LISTS; i++)
        if (x->has_list[i])
            place_slots(r, new, old, p, i);
    return new;
}

static void push(struct ruleset *r, bool add, const struct element *e)
{
    elements *v = add ? &r->add[e->map] : &r->del[e->map];
    vec_push(v, *e);
}

static void need_chain(struct ruleset *r, const struct element *e)
{
    struct strbuf name = { 0 };
    if (e->verdict != VERDICT_DRAW && e->verdict != VERDICT_REMEMBER)
        return;
    verdict_print(e, &name);
    if (!ht_get_str(&r->chains, name.p) && !ht_get_str(&r->new_chains, name.p)) {
        struct element *of = copy(e, sizeof *e);
        ht_put_str(&r->new_chains, name.p, of);
    }
    strbuf_done(&name);
}

/* Both sorted: what one has and the other has not, or has with another value. */
static void diff_elements(struct ruleset *r, const struct placed *old, const struct placed *new)
{
    uint32_t i = 0, k = 0, n_old = old ? old->n_elements : 0, n_new = new ? new->n_elements : 0;
    while (i < n_old || k < n_new) {
        const struct element *a = i < n_old ? &old->elements[i] : NULL;
        const struct element *b = k < n_new ? &new->elements[k] : NULL;
        int order = !a ? 1 : !b ? -1 : element_compare(a, b);
        bool same = order == 0 && memcmp(a, b, sizeof *a) == 0;
        if (order <= 0 && !same)
            push(r, false, a);
        if (order >= 0 && !same) {
            need_chain(r, b);
            push(r, true, b);
        }
        i += order <= 0;
        k += order >= 0;
    }
}

static struct element slot_element(const struct placed *p, unsigned list, uint32_t slot)
{
    const struct backend *b = &p->slots[list][slot];
    struct element e = { .map = (uint8_t)(MAP_ENDPOINTS_TCP + p->protocol),
                         .handle = handle_of(p->number, list),
                         .slot = slot,
                         .to_port = b->port };
    memcpy(e.to, b->ip, sizeof e.to);
    return e;
}

/* Slots of a that b does not have with the same content. */
static void diff_slots(struct ruleset *r, const struct placed *a, const struct placed *b,
                       unsigned list, bool add)
{
    for (uint32_t i = 0; a && i < a->n_slots[list]; i++) {
        if (b && i < b->n_slots[list] &&
            backend_compare(&a->slots[list][i], &b->slots[list][i]) == 0)
            continue;
        struct element e = slot_element(a, list, i);
        push(r, add, &e);
    }
}

static void stage(struct ruleset *r, const char *id, struct placed *new, bool new_number)
{
    const struct placed *old = ht_get_str(&r->placed, id);
    diff_elements(r, old, new);
    for (unsigned i = 0; i < LISTS; i++) {
        diff_slots(r, old, new, i, false);
        diff_slots(r, new, old, i, true);
    }
    count_shared(r, old, -1);
    count_shared(r, new, 1);
    vec_push(&r->staged, (struct staged){ xstrdup(id), new, new_number });
}

static void stage_portal(struct ruleset *r, const struct portal_change *c)
{
    const struct placed *old = ht_get_str(&r->placed, c->id);
    struct placed *new = NULL;
    if (!old && !c->new)
        return;
    if (c->new)
        new = place(r, c->new, old ? old->number : take_number(r, c->id), old);
    stage(r, c->id, new, new && !old);
}

/* ---- surroundings */

static void add_range(elements *v, const struct ip_prefix *p)
{
    struct element e = { .map = SET_SERVICE_RANGES, .bits = p->bits };
    memcpy(e.ip, p->ip.bytes, sizeof e.ip);
    for (size_t i = 0; i < v->n;) {
        struct ip_prefix other = { ip_of_bytes(p->ip.family, v->items[i].ip),
                                   (uint8_t)v->items[i].bits };
        if (other.bits <= p->bits && ip_prefix_contains(&other, &p->ip))
            return;
        if (ip_prefix_contains(p, &other.ip))
            vec_swap_remove(v, i);
        else
            i++;
    }
    vec_push(v, e);
}

static void stage_around(struct ruleset *r, const struct surroundings *s)
{
    elements ranges = { 0 }, all = { 0 };
    struct placed *new = xcalloc(1, sizeof *new);
    for (size_t i = 0; i < s->n_ranges; i++)
        if (s->ranges[i].ip.family == r->options.family)
            add_range(&ranges, &s->ranges[i]);
    vec_each (e, &ranges)
        vec_push(&all, *e);
    for (size_t i = 0; i < s->n_node_ips; i++) {
        struct element e = { .map = SET_NODE_IPS };
        memcpy(e.ip, s->node_ips[i].bytes, sizeof e.ip);
        if (s->node_ips[i].family == r->options.family)
            vec_push(&all, e);
    }
    elements_sort(&all);
    elements_drop_doubles(&all); /* an address may be on two interfaces */
    new->elements = all.items;
    new->n_elements = (uint32_t)all.n;
    stage(r, AROUND, new, false);
    vec_done(&ranges);
}

/* ---- the text */

static void print_map(const struct ruleset *r, enum map_id map, bool add, struct strbuf *out)
{
    const elements *v = add ? &r->add[map] : &r->del[map];
    for (size_t i = 0; i < v->n; i++) {
        if (i % STATEMENT_ELEMENTS == 0)
            strbuf_printf(out, "%s%s element %s " RULESET_TABLE " %s { ", i ? " }\n" : "",
                          add ? "add" : "delete", family_word(r->options.family), map_name(map));
        else
            strbuf_puts(out, ", ");
        element_print(&v->items[i], r->options.family, add, out);
    }
    if (v->n > 0)
        strbuf_puts(out, " }\n");
}

/* The shared elements whose count leaves zero or comes to zero. */
static void push_shared(struct ruleset *r)
{
    ht_each (d, &r->shared_delta) {
        intptr_t before = count_of(&r->shared, d->key), after = before + (intptr_t)d->value;
        struct element e = { 0 };
        memcpy(&e, d->key, ELEMENT_KEY_LEN);
        if ((before == 0) != (after == 0))
            push(r, before == 0, &e);
    }
    static const enum map_id counted[] = { SET_CLUSTER_IPS, SET_HAIRPIN };
    for (unsigned i = 0; i < ARRAY_SIZE(counted); i++) {
        elements_sort(&r->add[counted[i]]);
        elements_sort(&r->del[counted[i]]);
    }
    elements_sort(&r->add[SET_AFFINITY]);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool ruleset_needs_chains(const struct ruleset *r)
{
    return r->new_chains.n > 0;
}

static unsigned rules_of_chain(const struct element *e)
{
    return e->verdict == VERDICT_REMEMBER ? REMEMBER_RULES : draw_chain_rules(e->n);
}

void ruleset_print_chains(const struct ruleset *r, struct strbuf *out)
{
    VEC(const char *) names = { 0 };
    ht_each (c, &r->new_chains)
        vec_push(&names, c->key);
    if (names.n > 1)
        qsort(names.items, names.n, sizeof *names.items, compare_names);
    vec_each (name, &names) {
        const struct element *e = ht_get_str(&r->new_chains, *name);
        if (e->verdict == VERDICT_REMEMBER)
            remember_chain_print(r->options.family, e->n, out);
        else
            draw_chain_print(r->options.family, (uint8_t)e->to_port, e->n, out);
    }
    vec_done(&names);
}

/* Deletions come first, because a changed value is a deletion and an addition of the same key. To
 * packets the order does not matter as long as it is one transaction; where that is too large and
 * is cut into pieces, nothing leads to what is not there yet. */
static void print_elements(const struct ruleset *r, struct strbuf *out)
{
    for (enum map_id map = 0; map < MAPS; map++)
        print_map(r, map, false, out);
    for (enum map_id map = MAPS; map-- > 0;)
        print_map(r, map, true, out);
}

static void put_map(const struct ruleset *r, enum map_id map, bool add, struct nft_elements *out)
{
    struct nft_item items[ELEMENT_ITEMS_MAX];
    vec_each (e, add ? &r->add[map] : &r->del[map]) {
        unsigned n = element_items(e, r->options.family, items);
        for (unsigned i = 0; i < n; i++)
            nft_elements_put(out, map_name(map), add, &items[i]);
    }
}

void ruleset_put(const struct ruleset *r, struct nft_elements *out)
{
    for (enum map_id map = 0; map < MAPS; map++)
        put_map(r, map, false, out);
    for (enum map_id map = MAPS; map-- > 0;)
        put_map(r, map, true, out);
}

size_t ruleset_stage(struct ruleset *r, const struct portal_change *changes, size_t n,
                     const struct surroundings *around, struct strbuf *out)
{
    char family = r->options.family == 4 ? '4' : '6';
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        if (changes[i].id[0] == family)
            stage_portal(r, &changes[i]);
    if (around)
        stage_around(r, around);
    push_shared(r);
    if (r->found)
        found_subtract(r->found, r->add, r->del);
    for (enum map_id map = 0; map < MAPS; map++)
        total += r->add[map].n + r->del[map].n;
    if (out) {
        ruleset_print_chains(r, out);
        print_elements(r, out);
    }
    return total;
}

/* ---- moving the picture */

static void forget_staging(struct ruleset *r)
{
    vec_each (s, &r->staged)
        free(s->id);
    vec_clear(&r->staged);
    ht_each (c, &r->new_chains)
        free(c->value);
    ht_done(&r->new_chains);
    ht_done(&r->shared_delta);
    r->found = NULL;
    for (enum map_id map = 0; map < MAPS; map++) {
        vec_done(&r->add[map]);
        vec_done(&r->del[map]);
    }
}

static size_t count_affinity(const struct placed *p)
{
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_elements; i++)
        n += p->elements[i].map == SET_AFFINITY;
    return n;
}

static void tally(struct ruleset *r, const struct placed *p, int sign)
{
    size_t d = (size_t)(intptr_t)sign;
    if (!p)
        return;
    r->n_elements += d * p->n_elements;
    r->n_slots += d * (p->n_slots[0] + p->n_slots[1]);
    r->n_affinity += d * count_affinity(p);
}

static void add_chain(struct ruleset *r, const char *name, const struct element *e)
{
    ht_put_str(&r->chains, name, r);
    r->n_keep_chains += e->verdict == VERDICT_REMEMBER;
    r->n_chain_rules += rules_of_chain(e);
}

void ruleset_commit_chains(struct ruleset *r)
{
    ht_each (c, &r->new_chains) {
        add_chain(r, c->key, c->value);
        free(c->value);
    }
    ht_done(&r->new_chains);
}

/* The chains that come with need; the seal vouches for what is in them. */
void ruleset_take_over(struct ruleset *r, const struct found *found)
{
    r->found = found;
    vec_each (name, &found->chains) {
        struct element e = { 0 };
        bool ours = verdict_parse(*name, &e) &&
                    (e.verdict == VERDICT_DRAW || e.verdict == VERDICT_REMEMBER);
        if (ours && !ht_get_str(&r->chains, *name))
            add_chain(r, *name, &e);
    }
}

void ruleset_commit(struct ruleset *r)
{
    vec_each (s, &r->staged) {
        struct placed *old =
            s->placed ? ht_put_str(&r->placed, s->id, s->placed) : ht_del_str(&r->placed, s->id);
        if (old && !s->placed)
            ht_del(&r->numbers, &old->number, sizeof old->number);
        tally(r, old, -1);
        tally(r, s->placed, 1);
        free_placed(old);
    }
    ht_each (d, &r->shared_delta)
        count_add(&r->shared, d->key, (intptr_t)d->value);
    ruleset_commit_chains(r);
    forget_staging(r);
}

void ruleset_discard(struct ruleset *r)
{
    vec_each (s, &r->staged) {
        if (s->new_number)
            ht_del(&r->numbers, &s->placed->number, sizeof s->placed->number);
        free_placed(s->placed);
    }
    forget_staging(r);
}

/* ---- looking at it */

struct ruleset_counts ruleset_counts(const struct ruleset *r)
{
    return (struct ruleset_counts){
        .chains = SKELETON_CHAINS + r->chains.n + r->n_keep_chains,
        .rules = skeleton_rules(&r->options) + r->n_chain_rules,
        .elements = r->n_elements + r->n_slots + r->shared.n,
    };
}

static void each_of(const struct placed *p, void (*fn)(void *ctx, const struct element *e),
                    void *ctx)
{
    for (uint32_t i = 0; i < p->n_elements; i++)
        fn(ctx, &p->elements[i]);
    for (unsigned list = 0; list < LISTS; list++) {
        for (uint32_t i = 0; i < p->n_slots[list]; i++) {
            struct element e = slot_element(p, list, i);
            fn(ctx, &e);
        }
    }
}

void ruleset_each(const struct ruleset *r, void (*fn)(void *ctx, const struct element *e),
                  void *ctx)
{
    ht_each (p, &r->placed)
        each_of(p->value, fn, ctx);
    ht_each (s, &r->shared) {
        struct element e = { 0 };
        memcpy(&e, s->key, ELEMENT_KEY_LEN);
        fn(ctx, &e);
    }
}

static int compare_keys(const void *a, const void *b)
{
    return element_compare(a, b);
}

bool ruleset_keeps(const struct ruleset *r, uint32_t handle, const uint8_t ip[16], uint16_t port)
{
    const elements *v = &r->add[SET_AFFINITY];
    struct element e = { .map = SET_AFFINITY, .handle = handle, .port = port };
    memcpy(e.ip, ip, sizeof e.ip);
    return v->n > 0 && bsearch(&e, v->items, v->n, sizeof e, compare_keys);
}

void ruleset_new_keeps(const struct ruleset *r, void (*fn)(void *ctx, uint32_t seconds), void *ctx)
{
    ht_each (c, &r->new_chains) {
        const struct element *e = c->value;
        if (e->verdict == VERDICT_REMEMBER)
            fn(ctx, e->n);
    }
}

bool ruleset_has_affinity(const struct ruleset *r)
{
    return r->n_affinity > 0;
}

bool ruleset_drops_affinity(const struct ruleset *r)
{
    return r->del[SET_AFFINITY].n > 0;
}
