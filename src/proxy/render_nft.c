#include "proxy/render_nft.h"

#include "base/ht.h"
#include "base/vec.h"
#include "proxy/skeleton.h"
#include "proxy/slots.h"

#include <stdio.h>

#define STATEMENT_ELEMENTS 1000 /* nft reads a few long statements faster than many short ones */

/* What the kernel has for one key. */
struct placed {
    uint32_t n;
    struct backend slots[];
};

struct staged {
    struct vip_key key;
    struct placed *placed; /* NULL: to be removed */
};

/* A mod chain. */
struct mod {
    uint8_t protocol;
    uint32_t n;
};

struct ruleset {
    struct ruleset_options options;
    struct ht placed;               /* struct vip_key -> struct placed */
    struct ht cluster_ips;          /* 16 bytes -> how many keys have it */
    struct ht hairpin;              /* 16 bytes -> how many slots have it */
    uint64_t mods[PROTOCOLS][1024]; /* bit n: chain mod<n> exists */
    size_t n_mods, n_mod_rules, n_slots;
    VEC(struct staged) staged;
    VEC(struct mod) staged_mods;
    struct ht ip_delta, hairpin_delta; /* 16 bytes -> change of the counts above */
};
_Static_assert(VIP_BACKENDS_MAX < 1024 * 64, "a bit for each count");

/* One nft statement over many elements, cut into several when it gets long. */
struct statement {
    struct strbuf *out;
    const char *verb, *ip, *name;
    size_t n; /* elements so far */
};

static void statement_next(struct statement *s)
{
    if (s->n % STATEMENT_ELEMENTS == 0)
        strbuf_printf(s->out, "%s%s element %s " RULESET_TABLE " %s { ", s->n ? " }\n" : "",
                      s->verb, s->ip, s->name);
    else
        strbuf_puts(s->out, ", ");
    s->n++;
}

static size_t statement_end(struct statement *s)
{
    if (s->n > 0)
        strbuf_puts(s->out, " }\n");
    return s->n;
}

/* ---- counts of shared elements; the value of the table is the number */

static intptr_t count_of(const struct ht *t, const void *ip)
{
    return (intptr_t)ht_get(t, ip, 16);
}

static void count_add(struct ht *t, const void *ip, intptr_t d)
{
    intptr_t n = count_of(t, ip) + d;
    if (n == 0)
        ht_del(t, ip, 16);
    else
        ht_put(t, ip, 16, (void *)n);
}

static bool bit(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

struct ruleset *ruleset_new(const struct ruleset_options *o)
{
    struct ruleset *r = xcalloc(1, sizeof *r);
    r->options = *o;
    return r;
}

void ruleset_free(struct ruleset *r)
{
    if (!r)
        return;
    ruleset_discard(r);
    ht_each (e, &r->placed)
        free(e->value);
    ht_done(&r->placed);
    ht_done(&r->cluster_ips);
    ht_done(&r->hairpin);
    vec_done(&r->staged);
    vec_done(&r->staged_mods);
    free(r);
}

void ruleset_skeleton(const struct ruleset *r, struct strbuf *out)
{
    skeleton_print(&r->options, out);
}

void ruleset_probe(const struct ruleset *r, struct strbuf *out)
{
    strbuf_printf(out, "add chain %s " RULESET_TABLE " services\n", family_word(r->options.family));
}

/* ---- staging: the next picture, and what it changes in the counts */

static void count_placed(struct ruleset *r, const struct vip_key *key, const struct placed *p,
                         intptr_t d)
{
    if (!p)
        return;
    count_add(&r->ip_delta, key->ip, d);
    for (uint32_t i = 0; i < p->n; i++)
        if (p->slots[i].maybe_local)
            count_add(&r->hairpin_delta, p->slots[i].ip, d);
}

static void need_mod(struct ruleset *r, uint8_t protocol, uint32_t n)
{
    if (n == 0 || bit(r->mods[protocol], n))
        return;
    vec_each (m, &r->staged_mods)
        if (m->protocol == protocol && m->n == n)
            return;
    vec_push(&r->staged_mods, (struct mod){ protocol, n });
}

static void stage_one(struct ruleset *r, const struct vip_change *c)
{
    const struct placed *old = ht_get(&r->placed, &c->key, sizeof c->key);
    struct placed *new = NULL;
    if (!old && !c->vip)
        return;
    if (c->vip) {
        uint32_t n = c->vip->n_backends;
        new = xmalloc(sizeof *new + n * sizeof *new->slots);
        new->n = n;
        slots_plan(old ? old->slots : NULL, old ? old->n : 0, c->vip->backends, n, new->slots);
        need_mod(r, c->key.protocol, n);
    }
    count_placed(r, &c->key, old, -1);
    count_placed(r, &c->key, new, 1);
    vec_push(&r->staged, (struct staged){ c->key, new });
}

/* ---- elements as text */

static void print_ip(const struct ruleset *r, const uint8_t bytes[16], struct strbuf *out)
{
    char text[IP_TEXT_MAX];
    struct ip ip = ip_of_bytes(r->options.family, bytes);
    strbuf_puts(out, ip_text(&ip, text));
}

static void print_key(const struct ruleset *r, const struct vip_key *k, struct strbuf *out)
{
    print_ip(r, k->ip, out);
    strbuf_printf(out, " . %s . %u", protocol_word(k->protocol), k->port);
}

static bool has_slot(const struct placed *p, uint32_t i, const struct backend *b)
{
    return p && i < p->n && backend_compare(&p->slots[i], b) == 0;
}

/* Slots of a that b does not have with the same content. */
static void print_slots(const struct ruleset *r, struct statement *s, const struct vip_key *key,
                        const struct placed *a, const struct placed *b, bool with_data)
{
    for (uint32_t i = 0; a && i < a->n; i++) {
        if (has_slot(b, i, &a->slots[i]))
            continue;
        statement_next(s);
        strbuf_printf(s->out, "%u . ", i);
        print_ip(r, key->ip, s->out);
        strbuf_printf(s->out, " . %u", key->port);
        if (!with_data)
            continue;
        strbuf_puts(s->out, " : ");
        print_ip(r, a->slots[i].ip, s->out);
        strbuf_printf(s->out, " . %u", a->slots[i].port);
    }
}

static struct statement statement_of(const struct ruleset *r, struct strbuf *out, const char *verb,
                                     const char *name)
{
    return (struct statement){
        .out = out, .verb = verb, .ip = family_word(r->options.family), .name = name
    };
}

static size_t print_endpoints_of(const struct ruleset *r, uint8_t protocol, bool add,
                                 struct strbuf *out)
{
    char name[32];
    (void)snprintf(name, sizeof name, "endpoints-%s", protocol_word(protocol));
    struct statement s = statement_of(r, out, add ? "add" : "delete", name);
    vec_each (t, &r->staged) {
        if (t->key.protocol != protocol)
            continue;
        const struct placed *old = ht_get(&r->placed, &t->key, sizeof t->key);
        print_slots(r, &s, &t->key, add ? t->placed : old, add ? old : t->placed, add);
    }
    return statement_end(&s);
}

static size_t print_endpoints(const struct ruleset *r, bool add, struct strbuf *out)
{
    size_t n = 0;
    for (uint8_t protocol = 0; protocol < PROTOCOLS; protocol++)
        n += print_endpoints_of(r, protocol, add, out);
    return n;
}

/* Keys with n > 0 live in `services`, keys with n == 0 in `no-endpoints`. */
static bool in_map(const struct placed *p, bool empty)
{
    return p && (p->n == 0) == empty;
}

static size_t print_keys(const struct ruleset *r, bool add, bool empty, struct strbuf *out)
{
    struct statement s =
        statement_of(r, out, add ? "add" : "delete", empty ? "no-endpoints" : "services");
    vec_each (t, &r->staged) {
        const struct placed *old = ht_get(&r->placed, &t->key, sizeof t->key);
        const struct placed *here = add ? t->placed : old, *there = add ? old : t->placed;
        if (!in_map(here, empty) || (in_map(there, empty) && here->n == there->n))
            continue;
        statement_next(&s);
        print_key(r, &t->key, out);
        if (add && empty)
            strbuf_puts(out, " : goto reject-chain");
        else if (add)
            strbuf_printf(out, " : goto mod%u-%s", here->n, protocol_word(t->key.protocol));
    }
    return statement_end(&s);
}

static int compare_ips(const void *a, const void *b)
{
    return memcmp(*(const char *const *)a, *(const char *const *)b, 16);
}

/* The addresses whose count leaves zero (add) or comes to zero, in order. */
static size_t print_counted(const struct ruleset *r, const struct ht *now, const struct ht *delta,
                            bool add, const char *name, struct strbuf *out)
{
    struct statement s = statement_of(r, out, add ? "add" : "delete", name);
    VEC(const char *) ips = { 0 };
    ht_each (e, delta) {
        intptr_t before = count_of(now, e->key), after = before + (intptr_t)e->value;
        if (add ? before == 0 && after > 0 : before > 0 && after == 0)
            vec_push(&ips, e->key);
    }
    if (ips.n > 0)
        qsort(ips.items, ips.n, sizeof *ips.items, compare_ips);
    vec_each (ip, &ips) {
        statement_next(&s);
        print_ip(r, (const uint8_t *)*ip, out);
        if (delta == &r->hairpin_delta) {
            strbuf_puts(out, " . ");
            print_ip(r, (const uint8_t *)*ip, out);
        }
    }
    vec_done(&ips);
    return statement_end(&s);
}

static size_t print_shared(const struct ruleset *r, bool add, struct strbuf *out)
{
    return print_counted(r, &r->cluster_ips, &r->ip_delta, add, "cluster-ips", out) +
           print_counted(r, &r->hairpin, &r->hairpin_delta, add, "hairpin", out);
}

/* Deletions come first, because a changed value is a deletion and an addition of the same key. The
 * order does not matter to packets: they see all of a transaction or nothing. */
size_t ruleset_stage(struct ruleset *r, const struct vip_change *changes, size_t n,
                     struct strbuf *out)
{
    for (size_t i = 0; i < n; i++)
        if (changes[i].key.family == r->options.family)
            stage_one(r, &changes[i]);
    vec_each (m, &r->staged_mods)
        mod_chain_print(&r->options, m->protocol, m->n, out);
    size_t elements = print_keys(r, false, false, out) + print_keys(r, false, true, out) +
                      print_endpoints(r, false, out) + print_shared(r, false, out);
    elements += print_shared(r, true, out) + print_endpoints(r, true, out) +
                print_keys(r, true, false, out) + print_keys(r, true, true, out);
    return elements;
}

static void merge_counts(struct ht *into, struct ht *delta)
{
    ht_each (e, delta)
        count_add(into, e->key, (intptr_t)e->value);
    ht_done(delta);
}

static void tally(struct ruleset *r, const struct placed *p, int sign)
{
    if (!p)
        return;
    r->n_slots += (size_t)(sign * (intptr_t)p->n);
}

void ruleset_commit(struct ruleset *r)
{
    vec_each (t, &r->staged) {
        struct placed *old = t->placed ? ht_put(&r->placed, &t->key, sizeof t->key, t->placed)
                                       : ht_del(&r->placed, &t->key, sizeof t->key);
        tally(r, old, -1);
        tally(r, t->placed, 1);
        free(old);
    }
    vec_each (m, &r->staged_mods) {
        r->mods[m->protocol][m->n / 64] |= 1ull << (m->n % 64);
        r->n_mods++;
        r->n_mod_rules += mod_chain_rules(m->n);
    }
    merge_counts(&r->cluster_ips, &r->ip_delta);
    merge_counts(&r->hairpin, &r->hairpin_delta);
    vec_clear(&r->staged);
    vec_clear(&r->staged_mods);
}

void ruleset_discard(struct ruleset *r)
{
    vec_each (t, &r->staged)
        free(t->placed);
    vec_clear(&r->staged);
    vec_clear(&r->staged_mods);
    ht_done(&r->ip_delta);
    ht_done(&r->hairpin_delta);
}

struct ruleset_counts ruleset_counts(const struct ruleset *r)
{
    bool outside = skeleton_has_outside_rule(&r->options);
    return (struct ruleset_counts){
        .chains = SKELETON_CHAINS + r->n_mods,
        .rules = SKELETON_RULES + (outside ? 1 : 0) + r->n_mod_rules,
        .elements = r->cluster_ips.n + r->hairpin.n + r->placed.n + r->n_slots,
    };
}
