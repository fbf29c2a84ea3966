#include "proxy/chainset.h"

#include "base/hash.h"
#include "base/ht.h"

#include <stdio.h>

struct held_chain {
    char name[CHAIN_NAME_SIZE];
    uint64_t hash; /* of its rules; 0: not known */
    uint32_t rules;
};

/* What the kernel holds of one portal. */
struct held {
    char *shared[SHARED_CHAINS]; /* NULL: nothing there */
    struct held_chain *own;
    size_t n_own, backends;
};

/* A portal's step; NULL: nothing there. */
struct step {
    const char *id; /* the caller's */
    struct held *old, *new;
};

typedef char name_text[CHAIN_NAME_SIZE];

struct chainset {
    struct chain_options options;
    struct ht portals; /* id -> struct held */
    bool comments;
    size_t backends, frame_rules[RULE_TABLES];
    char *node_ports;                 /* the last rules of nat KUBE-SERVICES */
    bool write_shared[SHARED_CHAINS]; /* although nothing has changed */
    struct chainset_counts counts;
    /* staged */
    VEC(struct step) steps;
    char *new_node_ports; /* NULL: as they are */
    size_t new_frame_rules[RULE_TABLES], written[RULE_TABLES];
    bool framed;
    enum stage_parts parts;
};

static void held_free(struct held *h)
{
    if (!h)
        return;
    for (unsigned i = 0; i < SHARED_CHAINS; i++)
        free(h->shared[i]);
    free(h->own);
    free(h);
}

struct chainset *chainset_new(const struct chain_options *o)
{
    struct chainset *c = xcalloc(1, sizeof *c);
    c->options = *o;
    c->comments = true;
    c->node_ports = xstrdup("");
    return c;
}

void chainset_free(struct chainset *c)
{
    if (!c)
        return;
    chainset_discard(c);
    ht_each (e, &c->portals)
        held_free(e->value);
    ht_done(&c->portals);
    vec_done(&c->steps);
    free(c->node_ports);
    free(c);
}

/* ---- from a portal to what is held of it ---- */

static struct held *hold(const struct portal *p, const struct chains *x)
{
    struct held *h = xcalloc(1, sizeof *h);
    for (unsigned i = 0; i < SHARED_CHAINS; i++)
        h->shared[i] = x->shared[i].len > 0 ? xstrdup(x->shared[i].p) : NULL;
    h->own = xcalloc(x->own.n + 1, sizeof *h->own);
    h->n_own = x->own.n;
    h->backends = p->n_backends;
    for (size_t i = 0; i < x->own.n; i++) {
        const struct own_chain *c = &x->own.items[i];
        const char *text = x->text.p + c->at;
        memcpy(h->own[i].name, c->name, CHAIN_NAME_SIZE);
        h->own[i].hash = hash_bytes(text, c->len) | 1;
        for (size_t k = 0; k < c->len; k++)
            h->own[i].rules += text[k] == '\n';
    }
    return h;
}

static int compare_own(const void *a, const void *b)
{
    return strcmp(((const struct held_chain *)a)->name, ((const struct held_chain *)b)->name);
}

static const struct held_chain *find_own(const struct held *h, const char *name)
{
    if (!h || h->n_own == 0)
        return NULL;
    return bsearch(name, h->own, h->n_own, sizeof *h->own, compare_own);
}

/* While only own chains are written: lines that lead to them, and chains that go, stay as they
 * are. */
static void keep_old(struct held *new, const struct held *old)
{
    for (unsigned i = 0; i < SHARED_CHAINS; i++) {
        free(new->shared[i]);
        new->shared[i] = old && old->shared[i] ? xstrdup(old->shared[i]) : NULL;
    }
    size_t n_new = new->n_own;
    for (size_t i = 0; old && i < old->n_own; i++) {
        if (bsearch(old->own[i].name, new->own, n_new, sizeof *new->own, compare_own))
            continue;
        new->own = xrealloc(new->own, (new->n_own + 1) * sizeof *new->own);
        new->own[new->n_own++] = old->own[i];
    }
    qsort(new->own, new->n_own, sizeof *new->own, compare_own);
}

/* ---- the text of one stage ---- */

struct draft {
    struct chainset *c;
    VEC(name_text) names;    /* chains of nat to be made empty */
    struct strbuf own, gone; /* rules of nat, deletions of chains */
    bool dirty[SHARED_CHAINS];
};

static void declare(struct draft *d, const char *name)
{
    vec_reserve(&d->names, d->names.n + 1);
    (void)snprintf(d->names.items[d->names.n++], CHAIN_NAME_SIZE, "%s", name);
}

static void drop_chain(struct draft *d, const char *name, size_t len)
{
    char text[CHAIN_NAME_SIZE];
    (void)snprintf(text, sizeof text, "%.*s", (int)MIN(len, sizeof text - 1), name);
    declare(d, text);
    strbuf_printf(&d->gone, "-X %s\n", text);
}

static void compare_shared(struct draft *d, const struct held *old, const struct held *new)
{
    for (unsigned i = 0; i < SHARED_CHAINS; i++) {
        const char *a = old ? old->shared[i] : NULL, *b = new ? new->shared[i] : NULL;
        d->dirty[i] |= !str_eq(a, b);
    }
}

/* The own chains of one portal that differ; those of `new` still stand in the order of `x`. */
static void write_own(struct draft *d, const struct held *old, const struct held *new,
                      const struct chains *x)
{
    for (size_t i = 0; i < x->own.n; i++) {
        const struct own_chain *c = &x->own.items[i];
        const struct held_chain *before = find_own(old, c->name);
        if (before && before->hash == new->own[i].hash)
            continue;
        declare(d, c->name);
        strbuf_add(&d->own, x->text.p + c->at, c->len);
    }
}

static void drop_old(struct draft *d, const struct held *old, const struct held *new)
{
    for (size_t i = 0; old && i < old->n_own; i++)
        if (!find_own(new, old->own[i].name))
            drop_chain(d, old->own[i].name, CHAIN_NAME_SIZE);
}

static void stage_portal(struct draft *d, const struct portal_change *change)
{
    struct chainset *c = d->c;
    struct step s = { .id = change->id, .old = ht_get_str(&c->portals, change->id) };
    struct chains x = { 0 };
    if (change->new) {
        chains_render(change->new, &c->options, c->comments, &x);
        s.new = hold(change->new, &x);
        write_own(d, s.old, s.new, &x);
        qsort(s.new->own, s.new->n_own, sizeof *s.new->own, compare_own);
    }
    if (c->parts == STAGE_ALL) {
        drop_old(d, s.old, s.new);
        compare_shared(d, s.old, s.new);
    } else if (s.new) {
        keep_old(s.new, s.old);
    }
    if (s.new || c->parts == STAGE_ALL)
        vec_push(&c->steps, s);
    chains_done(&x);
}

/* ---- shared chains, whole ---- */

struct lines_of {
    const char *id;
    const struct held *held;
};

static int compare_lines(const void *a, const void *b)
{
    return strcmp(((const struct lines_of *)a)->id, ((const struct lines_of *)b)->id);
}

typedef VEC(struct lines_of) line_list;

/* All portals as they will be, by id; the steps are sorted by id. */
static void collect_lines(const struct chainset *c, line_list *out)
{
    struct ht staged = { 0 };
    vec_each (s, &c->steps) {
        ht_put_str(&staged, s->id, s);
        if (s->new)
            vec_push(out, (struct lines_of){ s->id, s->new });
    }
    ht_each (e, &c->portals)
        if (!ht_get_str(&staged, e->key))
            vec_push(out, (struct lines_of){ e->key, e->value });
    ht_done(&staged);
    if (out->n > 1)
        qsort(out->items, out->n, sizeof *out->items, compare_lines);
}

static void write_shared(struct draft *d, enum rule_table t, const line_list *all,
                         struct strbuf *out)
{
    for (unsigned i = 0; i < SHARED_CHAINS; i++) {
        if (!d->dirty[i] || shared_chain_table(i) != t)
            continue;
        vec_each (l, all)
            if (l->held->shared[i])
                strbuf_puts(out, l->held->shared[i]);
        if (i == SHARED_SERVICES)
            strbuf_puts(out, d->c->new_node_ports ? d->c->new_node_ports : d->c->node_ports);
    }
}

/* ---- a whole text ---- */

static void put_declarations(struct draft *d, enum rule_table t, const struct chain_names *frame,
                             struct strbuf *out)
{
    for (unsigned i = 0; i < SHARED_CHAINS; i++)
        if (d->dirty[i] && shared_chain_table(i) == t)
            strbuf_printf(out, ":%s - [0:0]\n", shared_chain_name(i));
    vec_each (f, &frame->names)
        strbuf_printf(out, ":%s - [0:0]\n", *f);
    for (size_t i = 0; t == TABLE_NAT && i < d->names.n; i++)
        strbuf_printf(out, ":%s - [0:0]\n", d->names.items[i]);
}

/* Returns how many rules; nothing is written when there is nothing to say. */
static size_t put_table(struct draft *d, enum rule_table t, const line_list *all,
                        const struct chainset_saved *saved, struct strbuf *out)
{
    struct chain_names frame = { 0 };
    struct strbuf names = { 0 }, rules = { 0 };
    size_t hooks = 0;
    if (saved) {
        frame_chains(t, saved->text[t], &frame);
        size_t n = frame_rules(t, &d->c->options, saved->text[t], &rules);
        d->c->new_frame_rules[t] = n;
        hooks = lines_count(rules.p) - n;
    }
    put_declarations(d, t, &frame, &names);
    write_shared(d, t, all, &rules);
    if (t == TABLE_NAT)
        strbuf_add(&rules, d->own.p ? d->own.p : "", d->own.len);
    size_t n_rules = lines_count(rules.p) - hooks;
    if (names.len > 0)
        strbuf_printf(out, "*%s\n%s%s%sCOMMIT\n", rule_table_names[t], names.p,
                      rules.p ? rules.p : "", t == TABLE_NAT && d->gone.p ? d->gone.p : "");
    strbuf_done(&names);
    strbuf_done(&rules);
    vec_done(&frame.names);
    return n_rules;
}

struct stray {
    struct draft *draft;
    struct ht ours;
};

static void on_saved_chain(void *ctx, const char *name, size_t len)
{
    struct stray *s = ctx;
    if (!ht_get(&s->ours, name, len))
        drop_chain(s->draft, name, len);
}

/* Chains of portals that are not in the next picture: of a process before us, or the original's. */
static void drop_strays(struct draft *d, const line_list *all, const char *saved_nat)
{
    struct stray s = { .draft = d };
    vec_each (l, all)
        for (size_t i = 0; i < l->held->n_own; i++)
            ht_put_str(&s.ours, l->held->own[i].name, d);
    for (size_t i = 0; i < d->names.n; i++) /* on their way out already */
        ht_put_str(&s.ours, d->names.items[i], d);
    frame_each_own(saved_nat, on_saved_chain, &s);
    ht_done(&s.ours);
}

static void note_node_ports(struct draft *d, const struct surroundings *around)
{
    struct strbuf text = { 0 };
    strbuf_puts(&text, "");
    frame_node_ports(&d->c->options, around, &text);
    if (strcmp(text.p, d->c->node_ports) != 0) {
        d->dirty[SHARED_SERVICES] = true;
        d->c->new_node_ports = strbuf_steal(&text);
    }
    strbuf_done(&text);
}

size_t chainset_stage(struct chainset *c, const struct portal_change *changes, size_t n,
                      enum stage_parts parts, const struct surroundings *around,
                      const struct chainset_saved *saved, struct strbuf *out)
{
    struct draft d = { .c = c };
    line_list all = { 0 };
    c->parts = parts;
    c->framed = saved != NULL;
    memset(c->written, 0, sizeof c->written);
    for (size_t i = 0; i < n; i++)
        stage_portal(&d, &changes[i]);
    if (parts == STAGE_ALL) {
        note_node_ports(&d, around);
        for (unsigned i = 0; i < SHARED_CHAINS; i++)
            d.dirty[i] |= saved || c->write_shared[i];
        collect_lines(c, &all);
        if (saved)
            drop_strays(&d, &all, saved->text[TABLE_NAT]);
    }
    if (saved)
        strbuf_puts(out, "*mangle\n:" FRAME_CANARY " - [0:0]\nCOMMIT\n");
    if (parts == STAGE_OWN && d.names.n > 0) { /* what they lead to must be there */
        declare(&d, FRAME_MARK);
        frame_mark(&c->options, &d.own);
    }
    for (unsigned t = 0; t < RULE_TABLES; t++)
        c->written[t] = put_table(&d, t, &all, saved, out);
    vec_done(&all);
    vec_done(&d.names);
    strbuf_done(&d.own);
    strbuf_done(&d.gone);
    return c->written[0] + c->written[1];
}

/* ---- moving the picture ---- */

static void count_held(struct chainset *c, const struct held *h, int sign)
{
    size_t one = sign > 0 ? 1 : (size_t)-1;
    if (!h)
        return;
    for (unsigned i = 0; i < SHARED_CHAINS; i++)
        c->counts.rules[shared_chain_table(i)] += one * lines_count(h->shared[i]);
    for (size_t i = 0; i < h->n_own; i++)
        c->counts.rules[TABLE_NAT] += one * h->own[i].rules;
    c->counts.chains += one * h->n_own;
    c->backends += one * h->backends;
}

static void take_step(struct chainset *c, const struct step *s)
{
    count_held(c, s->old, -1);
    count_held(c, s->new, 1);
    if (s->new)
        ht_put_str(&c->portals, s->id, s->new);
    else
        ht_del_str(&c->portals, s->id);
    held_free(s->old);
}

void chainset_commit(struct chainset *c)
{
    vec_each (s, &c->steps)
        take_step(c, s);
    vec_clear(&c->steps);
    if (c->new_node_ports) {
        free(c->node_ports);
        c->node_ports = c->new_node_ports;
        c->new_node_ports = NULL;
    }
    memcpy(c->counts.written, c->written, sizeof c->written);
    if (c->framed)
        memcpy(c->frame_rules, c->new_frame_rules, sizeof c->frame_rules);
    if (c->parts == STAGE_ALL)
        memset(c->write_shared, 0, sizeof c->write_shared);
}

void chainset_discard(struct chainset *c)
{
    vec_each (s, &c->steps)
        held_free(s->new);
    vec_clear(&c->steps);
    free(c->new_node_ports);
    c->new_node_ports = NULL;
}

void chainset_doubt(struct chainset *c, const struct portal_change *changes, size_t n)
{
    for (unsigned i = 0; i < SHARED_CHAINS; i++)
        c->write_shared[i] |= shared_chain_table(i) == TABLE_FILTER;
    for (size_t i = 0; i < n; i++) {
        struct held *h = ht_get_str(&c->portals, changes[i].id);
        for (size_t k = 0; h && k < h->n_own; k++)
            h->own[k].hash = 0;
    }
}

bool chainset_turns_comments(const struct chainset *c, const struct portal_change *changes,
                             size_t n)
{
    size_t backends = c->backends;
    for (size_t i = 0; i < n; i++) {
        const struct held *h = ht_get_str(&c->portals, changes[i].id);
        backends += changes[i].new ? changes[i].new->n_backends : 0;
        backends -= h ? h->backends : 0;
    }
    return (backends <= CHAINS_COMMENTED_ENDPOINTS) != c->comments;
}

void chainset_turn_comments(struct chainset *c)
{
    c->comments = !c->comments;
}

struct chainset_counts chainset_counts(const struct chainset *c)
{
    struct chainset_counts n = c->counts;
    for (unsigned t = 0; t < RULE_TABLES; t++)
        n.rules[t] += c->frame_rules[t];
    n.rules[TABLE_NAT] += lines_count(c->node_ports);
    n.chains += 12; /* the fixed ones of all tables */
    return n;
}
