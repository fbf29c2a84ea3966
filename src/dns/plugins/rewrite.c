/* `rewrite [continue|stop] FIELD [TYPE] FROM TO ...`: the way in, and what is done to the reply.
 * Reading of rules: rewrite_setup.c. */
#include "dns/plugins/rewrite.h"

#include <string.h>

/* What one rule that applied owes the reply; in the query's arena. */
struct back {
    const struct rewrite_rule *rule;
    struct answer_map automatic; /* its map's from is NULL when there is none */
    struct back *earlier;
};

/* ---- the way in ---- */

static void add_back(struct query *q, const struct rewrite_rule *r, struct answer_map automatic)
{
    struct back *b = arena_alloc(&q->arena, sizeof *b);
    *b = (struct back){ r, automatic, q->rewrites };
    q->rewrites = b;
}

static char *question_text(const struct query *q, char out[NAME_TEXT_MAX])
{
    return name_to_text(q->msg.q.lower, out);
}

static void set_name(struct query *q, const struct name *name)
{
    query_change(q);
    name_from_wire(name->wire, &q->msg.q.name);
    name_lower(q->msg.q.lower, name->wire, name->len);
}

/* Names in the reply that are the new one or lie below it become the one that this rule saw. */
static struct answer_map automatic_map(struct query *q, const char *seen)
{
    char text[NAME_TEXT_MAX];
    struct name_map m = { .kind = MAP_BELOW, .to = arena_strdup(&q->arena, seen) };
    m.from = arena_strdup(&q->arena, name_to_text(q->msg.q.name.wire, text));
    return (struct answer_map){ m, true, true };
}

enum applied { APPLIED_NOT, APPLIED, APPLIED_FAILED };

static enum applied apply_name(struct query *q, const struct rewrite_rule *r)
{
    char seen[NAME_TEXT_MAX], text[NAME_TEXT_MAX];
    struct name name;
    enum map_outcome o = name_map_apply(&r->map, question_text(q, seen), text);
    if (o == MAP_NONE)
        return APPLIED_NOT;
    if (o == MAP_TOO_LONG || name_from_text(text, &name) < 0) {
        query_fail(q, RCODE_SERVFAIL, "invalid name after rewrite: %s",
                   o == MAP_TOO_LONG ? "it is too long" : text);
        return APPLIED_FAILED;
    }
    set_name(q, &name);
    add_back(q, r, r->automatic ? automatic_map(q, seen) : (struct answer_map){ 0 });
    return APPLIED;
}

static enum applied apply_number(struct query *q, const struct rewrite_rule *r, uint16_t *number)
{
    if (*number != r->from)
        return APPLIED_NOT;
    query_change(q);
    *number = r->to;
    return APPLIED;
}

static enum applied apply(struct query *q, const struct rewrite_rule *r)
{
    char text[NAME_TEXT_MAX];
    switch (r->field) {
    case REWRITE_NAME:
        return apply_name(q, r);
    case REWRITE_TYPE:
        return apply_number(q, r, &q->msg.q.type);
    case REWRITE_CLASS:
        return apply_number(q, r, &q->msg.q.class);
    case REWRITE_EDNS0:
        return option_rule_apply(q, &r->option) ? APPLIED : APPLIED_NOT;
    case REWRITE_TTL:
    case REWRITE_RCODE:
        if (!name_map_matches(&r->map, question_text(q, text)))
            return APPLIED_NOT;
        break;
    case REWRITE_CNAME:
        break;
    }
    add_back(q, r, (struct answer_map){ 0 });
    return APPLIED;
}

static enum step rewrite_in(struct query *q, void *conf)
{
    const struct rewrite *w = conf;
    for (size_t i = 0; i < w->n; i++) {
        enum applied a = apply(q, &w->rules[i]);
        if (a == APPLIED_FAILED) {
            query_restore(q);
            return STEP_DONE;
        }
        if (a == APPLIED && !w->rules[i].go_on)
            break;
    }
    return STEP_NEXT;
}

/* ---- the way back ---- */

static void back_name(struct query *q, const struct back *b)
{
    for (size_t i = b->rule->n_answers; i > 0; i--)
        answer_map_apply(q, &b->rule->answers[i - 1]);
    if (b->automatic.map.from)
        answer_map_apply(q, &b->automatic);
}

static void back_ttl(struct query *q, const struct rewrite_rule *r)
{
    for (int s = 0; s < SECTION_COUNT; s++) {
        struct rrset_list *l = &q->reply.section[s];
        for (uint16_t i = 0; i < l->n; i++)
            l->items[i].ttl = MIN(MAX(l->items[i].ttl, r->ttl_min), r->ttl_max);
    }
}

/* The first CNAME of the answer whose target the rule changes, as a set of that one record. */
static bool find_target(struct query *q, const struct rewrite_rule *r, uint16_t *ret_i,
                        struct name *ret)
{
    const struct rrset_list *answer = &q->reply.section[SECTION_ANSWER];
    char text[NAME_TEXT_MAX], out[NAME_TEXT_MAX];
    for (uint16_t i = 0; i < answer->n; i++) {
        const struct rrset *rr = &answer->items[i];
        if (rr->type != RR_CNAME || rr->count == 0)
            continue;
        name_to_text(rr->rdata + (rr->rdlen ? 0 : 2), text);
        *ret_i = i;
        if (name_map_apply(&r->map, text, out) == MAP_DONE && name_from_text(out, ret) == 0)
            return true;
    }
    return false;
}

static enum step run_back(struct query *q);

static enum step cname_done(struct query *q, void *conf, void *data)
{
    const struct query *sub = data;
    const struct rrset_list *answer = &sub->reply.section[SECTION_ANSWER];
    (void)conf;
    for (uint16_t i = 0; i < answer->n; i++) {
        struct rrset rr = answer->items[i];
        if (!rr.owner)
            rr.owner = sub->msg.q.name.wire;
        query_add(q, SECTION_ANSWER, rrset_dup(&q->arena, &rr));
    }
    return run_back(q);
}

/* The alias gets the new target, and what the answer says about the old one makes way for a
 * look-up. */
static enum step back_cname(struct query *q, const struct rewrite_rule *r)
{
    struct rrset_list *answer = &q->reply.section[SECTION_ANSWER];
    struct name name;
    uint16_t i;
    if (q->depth + 1 >= QUERY_DEPTH || !find_target(q, r, &i, &name))
        return run_back(q);
    uint8_t *rdata = rdata_of_name(&q->arena, name.wire);
    answer->items[i].rdata = rdata;
    answer->items[i].rdlen = 0;
    answer->items[i].count = 1;
    answer->n = (uint16_t)(i + 1);
    return query_lookup(q, rdata + 2, q->msg.q.type, cname_done, NULL);
}

/* What the rules owe the reply, the last one first. */
static enum step run_back(struct query *q)
{
    while (q->rewrites) {
        const struct back *b = q->rewrites;
        q->rewrites = b->earlier;
        switch (b->rule->field) {
        case REWRITE_NAME:
            back_name(q, b);
            break;
        case REWRITE_TTL:
            back_ttl(q, b->rule);
            break;
        case REWRITE_RCODE:
            if (q->reply.rcode == b->rule->from)
                q->reply.rcode = b->rule->to;
            break;
        case REWRITE_CNAME:
            if (!q->bare && !q->dropped)
                return back_cname(q, b->rule);
            break;
        default:
            break;
        }
    }
    query_restore(q);
    return STEP_DONE;
}

static enum step rewrite_out(struct query *q, void *conf)
{
    (void)conf;
    return q->rewrites || q->asked ? run_back(q) : STEP_DONE;
}

/* ---- set-up ---- */

/* The words of one rule: on its line, or all those of its block. */
static size_t read_words(struct dispenser *d, struct arena *a, const char ***ret)
{
    const char **words = arena_alloc(a, d->directive->n_tokens * sizeof *words);
    size_t n = 0;
    while (dispenser_next_arg(d))
        words[n++] = dispenser_val(d);
    while (dispenser_next_block(d))
        do
            words[n++] = dispenser_val(d);
        while (dispenser_next_arg(d));
    *ret = words;
    return n;
}

static bool has_class_rule(const struct rewrite *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->rules[i].field == REWRITE_CLASS)
            return true;
    return false;
}

static int rewrite_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct rewrite *w = arena_zalloc(setup_arena(s), sizeof *w);
    w->rules = arena_zalloc(setup_arena(s), d->directive->n_tokens * sizeof *w->rules);
    while (dispenser_next_directive(d)) {
        const char **words;
        size_t n = read_words(d, setup_arena(s), &words);
        struct err why = { 0 };
        if (rewrite_rule_read(s, &w->rules[w->n++], words, n, &why) < 0)
            return dispenser_err(d, e, "%s", why.text);
    }
    if (has_class_rule(w))
        setup_any_class(s);
    setup_in(s, rewrite_in, w);
    setup_out_step_always(s, rewrite_out, w);
    return 0;
}

const struct plugin plugin_rewrite = { .name = "rewrite",
                                       .setup = rewrite_setup,
                                       .repeatable = true };
