/* `template CLASS TYPE [ZONES...] { match REGEX... ; answer|additional|authority TEXT... ; rcode R
 * ; ederror CODE [TEXT] ; fallthrough [ZONES] }`: records made from patterns. The first template of
 * the block that fits answers. */
#include "dns/plugins/template.h"

#include <stdatomic.h>
#include <string.h>

#define TYPES 258 /* counters of a template and route: types below 257, and all others */
#define OPT_SIZE                                                                                   \
    4096 /* of an OPT that carries an error where the client sent none, as in the reference */

struct texts {
    struct template_text *items;
    size_t n;
};

struct failures {
    _Atomic metric text, rr;
};

struct template
{
    uint16_t class, type; /* ANY: all */
    struct zone_set *zones;
    const char **zone_texts;
    struct regex **regexes;
    size_t n_regexes;
    struct texts section[SECTION_COUNT];
    uint16_t rcode;
    const uint8_t *ede; /* the whole option, or NULL */
    uint16_t ede_len;
    struct zone_set *fallthrough; /* NULL: nothing falls through */
    _Atomic metric *matches;      /* [route id * zones + zone][TYPES] */
    struct failures *failures;    /* [route id * texts + text] */
};

struct templates {
    struct template *items;
    size_t n;
    const struct metadata *metadata;
    struct dns_config *config;
};

/* One query at work; in its arena. */
struct run {
    const struct template *t;
    struct template_data d;
    int zone;
    size_t i; /* next text of the answer section */
};

/* ---- counting ---- */

static size_t count_texts(const struct template *t)
{
    return t->section[0].n + t->section[1].n + t->section[2].n;
}

static int metrics_start(void *conf, struct err *e)
{
    struct templates *all = conf;
    unsigned routes;
    (void)e;
    (void)dns_config_routes(all->config, &routes);
    for (size_t i = 0; i < all->n; i++) {
        struct template *t = &all->items[i];
        t->matches = xcalloc((size_t)routes * zone_set_count(t->zones) * TYPES, sizeof *t->matches);
        t->failures = xcalloc((size_t)routes * count_texts(t) + 1, sizeof *t->failures);
    }
    return 0;
}

static void metrics_stop(void *conf)
{
    struct templates *all = conf;
    for (size_t i = 0; i < all->n; i++) {
        free(all->items[i].matches);
        free(all->items[i].failures);
        all->items[i].matches = NULL;
        all->items[i].failures = NULL;
    }
}

/* text NULL: the labels of matches. */
static void make_labels(const struct run *r, uint16_t type, const char *section, const char *text,
                        struct strbuf *b)
{
    char buf[16];
    const struct query *q = r->d.q;
    metric_label(b, "class", rr_class_text(q->msg.q.class, buf));
    if (text)
        metric_label(b, "section", section);
    metric_label(b, "server", q->route->server);
    if (text)
        metric_label(b, "template", text);
    metric_label(b, "type", type < TYPES - 1 ? rr_type_text(type, buf) : "other");
    metric_label(b, "view", q->route->view);
    metric_label(b, "zone", r->d.zone);
}

static void count_match(const struct run *r)
{
    const struct query *q = r->d.q;
    size_t zones = zone_set_count(r->t->zones), type = MIN(q->msg.q.type, (uint16_t)(TYPES - 1));
    _Atomic metric *slot = &r->t->matches[(q->route->id * zones + (size_t)r->zone) * TYPES + type];
    metric m = atomic_load_explicit(slot, memory_order_acquire);
    if (!m) {
        struct strbuf labels = { 0 };
        make_labels(r, (uint16_t)type, NULL, NULL, &labels);
        m = metric_counter("coredns_template_matches_total", "Counter of template regex matches.",
                           labels.p);
        strbuf_done(&labels);
        atomic_store_explicit(slot, m, memory_order_release);
    }
    metric_add(m, 1);
}

static void count_failure(const struct run *r, enum section s, size_t i, bool rr)
{
    static const char *const sections[] = { "answer", "authority", "additional" };
    const struct template *t = r->t;
    size_t place = i;
    for (int k = 0; k < (int)s; k++)
        place += t->section[k].n;
    struct failures *f = &t->failures[r->d.q->route->id * count_texts(t) + place];
    _Atomic metric *slot = rr ? &f->rr : &f->text;
    metric m = atomic_load_explicit(slot, memory_order_acquire);
    if (!m) {
        struct strbuf labels = { 0 };
        make_labels(r, t->type, sections[s], t->section[s].items[i].source, &labels);
        m = metric_counter(
            rr ? "coredns_template_rr_failures_total" : "coredns_template_template_failures_total",
            rr ? "Counter of mis-templated RRs." : "Counter of go template failures.", labels.p);
        strbuf_done(&labels);
        atomic_store_explicit(slot, m, memory_order_release);
    }
    metric_add(m, 1);
}

/* ---- answering ---- */

/* Adds the record that a text becomes. False: the query has failed. */
static bool add_record(struct run *r, enum section s, size_t i, struct rrset *ret)
{
    char text[TEMPLATE_OUT_MAX];
    const struct template_text *source = &r->t->section[s].items[i];
    struct query *q = r->d.q;
    struct err e = { 0 };
    const char *why;
    if (!template_text_run(source, &r->d, text, &why)) {
        count_failure(r, s, i, false);
        query_fail(q, RCODE_SERVFAIL, "template \"%.200s\": %s", source->source, why);
        return false;
    }
    if (rr_from_text(text, NULL, 3600, &q->arena, ret, &e) < 0) {
        count_failure(r, s, i, true);
        query_fail(q, RCODE_SERVFAIL, "template made \"%.200s\": %.200s", text, e.text);
        return false;
    }
    query_add(q, s, *ret);
    return true;
}

/* An Extended DNS Error (RFC 8914) needs an OPT, whether the client sent one or not. */
static void add_ede(struct query *q, const struct template *t)
{
    struct edns *edns = &q->reply.edns;
    size_t cap = (size_t)edns->options_len + t->ede_len;
    struct wbuf w = wbuf_of(arena_alloc(&q->arena, cap), cap);
    if (!edns->present)
        *edns = (struct edns){ .present = true, .udp_size = OPT_SIZE };
    wbuf_put(&w, edns->options, edns->options_len);
    wbuf_put(&w, t->ede, t->ede_len);
    edns->do_bit = true;
    edns->options = w.base;
    edns->options_len = (uint16_t)w.pos;
}

static enum step finish(struct run *r)
{
    static const enum section rest[] = { SECTION_ADDITIONAL, SECTION_AUTHORITY };
    struct rrset rr;
    for (size_t k = 0; k < ARRAY_SIZE(rest); k++)
        for (size_t i = 0; i < r->t->section[rest[k]].n; i++)
            if (!add_record(r, rest[k], i, &rr))
                return STEP_DONE;
    if (r->t->ede)
        add_ede(r->d.q, r->t);
    return STEP_DONE;
}

static enum step run_answers(struct run *r);

static enum step target_done(struct query *q, void *conf, void *data)
{
    const struct query *sub = data;
    q->reply.tc |= sub->reply.tc;
    query_copy_section(q, sub, SECTION_ANSWER);
    return run_answers(conf);
}

static enum step run_answers(struct run *r)
{
    struct query *q = r->d.q;
    bool address = q->msg.q.type == RR_A || q->msg.q.type == RR_AAAA;
    while (r->i < r->t->section[SECTION_ANSWER].n) {
        struct rrset rr;
        if (!add_record(r, SECTION_ANSWER, r->i++, &rr))
            return STEP_DONE;
        if (address && rr.type == RR_CNAME && q->depth + 1 < QUERY_DEPTH)
            return query_lookup(q, rr.rdata + 2, q->msg.q.type, target_done, r);
    }
    return finish(r);
}

static enum step answer(struct run *r)
{
    struct query *q = r->d.q;
    count_match(r);
    if (r->t->rcode == RCODE_SERVFAIL)
        return query_fail(q, RCODE_SERVFAIL, NULL);
    q->reply.flags |= FLAG_AA;
    q->reply.rcode = r->t->rcode;
    return run_answers(r);
}

/* ---- which template ---- */

static bool concerns(const struct template *t, const struct question *q)
{
    return (t->class == CLASS_ANY || q->class == CLASS_ANY || q->class == t->class) &&
           (t->type == RR_ANY || q->type == RR_ANY || q->type == t->type);
}

/* Groups are kept in the arena: other matches may come before the last text is made. */
static bool find_match(const struct template *t, const char *name, struct template_data *d)
{
    for (size_t i = 0; i < t->n_regexes; i++) {
        if (!regex_match(t->regexes[i], name, strlen(name), &d->match))
            continue;
        d->re = t->regexes[i];
        d->match.places =
            arena_memdup(&d->q->arena, d->match.places, 2 * d->match.n * sizeof *d->match.places);
        return true;
    }
    return false;
}

static enum step template_in(struct query *q, void *conf)
{
    const struct templates *all = conf;
    char *name = NULL;
    for (size_t i = 0; i < all->n; i++) {
        const struct template *t = &all->items[i];
        int zone = concerns(t, &q->msg.q) ? zone_set_find(t->zones, &q->msg.q) : -1;
        if (zone < 0)
            continue;
        if (!name)
            name = name_to_text(q->msg.q.lower, arena_alloc(&q->arena, NAME_TEXT_MAX));
        struct run *r = arena_alloc(&q->arena, sizeof *r);
        *r = (struct run){ .t = t, .zone = zone, .d = { .q = q, .name = name } };
        r->d.metadata = all->metadata;
        r->d.zone = t->zone_texts[zone];
        r->d.type = q->msg.q.type == RR_ANY ? t->type : q->msg.q.type;
        r->d.class = q->msg.q.class == CLASS_ANY ? t->class : q->msg.q.class;
        if (find_match(t, name, &r->d))
            return answer(r);
        if (!zone_set_covers(t->fallthrough, &q->msg.q))
            return query_fail(q, RCODE_SERVFAIL, NULL);
    }
    return STEP_NEXT;
}

/* ---- set-up ---- */

static int read_regexes(struct setup *s, struct template *t, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    const char **args;
    size_t n = dispenser_rest(d, a, &args);
    if (n == 0)
        return dispenser_arg_err(d, e);
    struct regex **regexes = arena_alloc(a, (t->n_regexes + n) * sizeof(struct regex *));
    for (size_t i = 0; i < t->n_regexes; i++)
        regexes[i] = t->regexes[i];
    t->regexes = regexes;
    for (size_t i = 0; i < n; i++) {
        struct err why = { 0 };
        if (regex_compile(args[i], &regexes[t->n_regexes], &why) < 0)
            return dispenser_err(d, e, "%s", why.text);
        setup_stop(s, regex_free, regexes[t->n_regexes++]);
    }
    return 0;
}

static int read_texts(struct setup *s, struct texts *t, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    const char **args;
    size_t n = dispenser_rest(d, a, &args);
    if (n == 0)
        return dispenser_arg_err(d, e);
    struct template_text *items = arena_alloc(a, (t->n + n) * sizeof *items);
    if (t->n)
        memcpy(items, t->items, t->n * sizeof *items);
    t->items = items;
    for (size_t i = 0; i < n; i++) {
        struct err why = { 0 };
        if (template_text_read(a, args[i], &items[t->n++], &why) < 0)
            return dispenser_err(d, e, "%s", why.text);
    }
    return 0;
}

static int read_rcode(struct template *t, struct dispenser *d, struct err *e)
{
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (rcode_from_text(dispenser_val(d), &t->rcode) < 0 || t->rcode > 15)
        return dispenser_err(d, e, "unknown rcode %s", dispenser_val(d));
    return 0;
}

/* "ederror CODE [TEXT]" */
static int read_ede(struct setup *s, struct template *t, struct dispenser *d, struct err *e)
{
    long code;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_long(dispenser_val(d), 0, UINT16_MAX, &code) < 0)
        return dispenser_err(d, e, "error parsing extended DNS error code %s", dispenser_val(d));
    const char *text = dispenser_next_arg(d) ? dispenser_val(d) : "";
    size_t n = strlen(text);
    if (n > 255)
        return dispenser_err(d, e, "the text of an extended DNS error is longer than 255 bytes");
    struct wbuf w = wbuf_of(arena_alloc(setup_arena(s), 6 + n), 6 + n);
    wbuf_u16(&w, EDNS_EDE);
    wbuf_u16(&w, (uint16_t)(2 + n));
    wbuf_u16(&w, (uint16_t)code);
    wbuf_put(&w, text, n);
    t->ede = w.base;
    t->ede_len = (uint16_t)w.pos;
    return 0;
}

static int read_option(struct setup *s, struct template *t, struct dispenser *d, struct err *e)
{
    static const char *const sections[] = { "answer", "authority", "additional" };
    const char *word = dispenser_val(d);
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
        if (strcmp(word, sections[i]) == 0)
            return read_texts(s, &t->section[i], d, e);
    if (strcmp(word, "match") == 0)
        return read_regexes(s, t, d, e);
    if (strcmp(word, "fallthrough") == 0)
        return zone_set_fallthrough(s, d, &t->fallthrough, e);
    int ret;
    if (strcmp(word, "rcode") == 0)
        ret = read_rcode(t, d, e);
    else if (strcmp(word, "ederror") == 0)
        ret = read_ede(s, t, d, e);
    else
        return dispenser_unknown(d, e);
    return ret < 0 ? ret : dispenser_end(d, e);
}

static int read_head(struct setup *s, struct template *t, struct dispenser *d, struct err *e)
{
    struct zone_list zones = { 0 };
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (rr_class_from_text(dispenser_val(d), &t->class) < 0)
        return dispenser_err(d, e, "invalid query class %s", dispenser_val(d));
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (rr_type_from_text(dispenser_val(d), &t->type) < 0)
        return dispenser_err(d, e, "invalid RR type %s", dispenser_val(d));
    while (dispenser_next_arg(d)) {
        int ret = zone_expand(dispenser_val(d), setup_arena(s), &zones, e);
        if (ret < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (zones.n == 0)
        zones = setup_zones(s);
    t->zones = zone_set_new(setup_arena(s), &zones);
    t->zone_texts = zones.items;
    return 0;
}

static int read_template(struct setup *s, struct template *t, struct dispenser *d, struct err *e)
{
    int ret = read_head(s, t, d, e);
    while (ret == 0 && dispenser_next_block(d))
        ret = read_option(s, t, d, e);
    if (ret < 0 || t->n_regexes)
        return ret;
    t->regexes = arena_alloc(setup_arena(s), sizeof(struct regex *));
    ret = regex_compile(".*", &t->regexes[0], e);
    if (ret < 0)
        return ret;
    t->n_regexes = 1;
    setup_stop(s, regex_free, t->regexes[0]);
    return 0;
}

static int template_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct arena *a = setup_arena(s);
    struct templates *all = arena_zalloc(a, sizeof *all);
    all->items = arena_zalloc(a, d->directive->n_tokens * sizeof *all->items);
    all->metadata = metadata_of(s);
    all->config = setup_config(s);
    while (dispenser_next_directive(d)) {
        int ret = read_template(s, &all->items[all->n++], d, e);
        if (ret < 0)
            return ret;
    }
    setup_in(s, template_in, all);
    setup_start(s, metrics_start, all);
    setup_stop(s, metrics_stop, all);
    return 0;
}

/* ---- why ---- */

static void template_why_before(struct query *q, void *conf, struct why_words *w)
{
    const struct templates *all = conf;
    char name[NAME_TEXT_MAX], class[16], type[16];
    (void)name_to_text(q->msg.q.lower, name);
    for (size_t i = 0; i < all->n; i++) {
        const struct template *t = &all->items[i];
        struct template_data d = { .q = q, .name = name };
        if (!concerns(t, &q->msg.q) || zone_set_find(t->zones, &q->msg.q) < 0)
            continue;
        bool fits = find_match(t, name, &d);
        why_say(w, "template", "number %zu (%s %s): the name %s", i + 1,
                rr_class_text(t->class, class), rr_type_text(t->type, type),
                fits ? "fits" : "fits no pattern");
        if (fits || !zone_set_covers(t->fallthrough, &q->msg.q))
            return;
    }
}

static const struct plugin_why template_why = { .before = template_why_before };

const struct plugin plugin_template = {
    .name = "template", .setup = template_setup, .repeatable = true, .why = &template_why
};
