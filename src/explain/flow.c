#include "explain/flow.h"

#include <string.h>

#define STAGES_MAX 4

struct frame {
    const struct firewall_chain *chain;
    size_t rule; /* the next one */
};

/* One way through the rules, as far as it has come; copied where ways part. */
struct way {
    struct packet packet;
    uint32_t mark, priority;
    uint32_t keeps; /* for how many seconds a list was asked */
    struct flow_outcome outcome;
    struct frame frames[FLOW_DEPTH_MAX];
    unsigned depth;
    enum hook hook;
    unsigned passed; /* hooks so far */
    size_t base;     /* the next base chain */
    unsigned looked; /* rules */
    bool ended;
};

struct walker {
    const struct firewall *firewall;
    const struct ip *here;
    size_t n_here;
    struct arena *arena;
    struct flow *flow;
    struct ht seen; /* what tells an outcome from others -> its index + 1 */
};

static void go(struct walker *w, struct way *y);

/* ---- what rules look at */

static bool is_here(const struct walker *w, const struct ip *ip)
{
    for (size_t i = 0; i < w->n_here; i++)
        if (ip_equal(&w->here[i], ip))
            return true;
    return ip_is_loopback(ip);
}

static uint32_t raw_number(const struct walker *w, const struct way *y, enum field field)
{
    switch (field) {
    case FIELD_PROTOCOL:
        return y->packet.protocol;
    case FIELD_SOURCE_PORT:
        return y->packet.from_port;
    case FIELD_PORT:
        return y->packet.to_port;
    case FIELD_MARK:
        return y->mark;
    case FIELD_PRIORITY:
        return y->priority;
    case FIELD_STATE:
        return 1u << y->packet.state | (y->outcome.translated ? PACKET_TRANSLATED_BIT : 0);
    case FIELD_TRANSLATED:
        return y->outcome.translated;
    case FIELD_SOURCE_TYPE:
        return is_here(w, &y->packet.from);
    case FIELD_TARGET_TYPE:
        return is_here(w, &y->packet.to);
    default:
        return 0;
    }
}

static uint32_t number_of(const struct walker *w, const struct way *y, const struct term *t)
{
    uint32_t n = raw_number(w, y, t->field);
    switch (t->operation) {
    case OPERATION_AND:
        return n & t->operand;
    case OPERATION_OR:
        return n | t->operand;
    case OPERATION_XOR:
        return n ^ t->operand;
    default:
        return n;
    }
}

/* The expression's bytes; `chance` stands for its random number. */
static size_t key_of(const struct walker *w, const struct way *y, const struct expression *x,
                     uint32_t chance, uint8_t key[FIREWALL_KEY_MAX])
{
    size_t len = 0;
    for (unsigned i = 0; i < x->n; i++) {
        const struct term *t = &x->terms[i];
        enum column c = field_column(t->field, y->packet.to.family);
        if (t->field == FIELD_SOURCE || t->field == FIELD_DESTINATION)
            memcpy(key + len, t->field == FIELD_SOURCE ? y->packet.from.bytes : y->packet.to.bytes,
                   column_len(c));
        else
            column_put(c, t->field == FIELD_RANDOM ? chance : number_of(w, y, t), key + len);
        len += column_len(c);
    }
    return len;
}

/* How many values its random number has; 1: it has none. */
static uint32_t chances_of(const struct expression *x)
{
    for (unsigned i = 0; i < x->n; i++)
        if (x->terms[i].field == FIELD_RANDOM)
            return x->terms[i].operand;
    return 1;
}

static const struct firewall_element *look_up(const struct walker *w, const struct way *y,
                                              const struct expression *x,
                                              const struct firewall_map *map, uint32_t chance)
{
    uint8_t key[FIREWALL_KEY_MAX];
    return firewall_find(map, key, key_of(w, y, x, chance, key));
}

/* ---- steps and ends */

static void note(struct walker *w, struct way *y, const struct rule *rule,
                 const struct firewall_map *map, const struct firewall_element *e)
{
    struct flow_step *s = arena_zalloc(w->arena, sizeof *s);
    *s = (struct flow_step){ .before = y->outcome.last,
                             .chain = y->frames[y->depth - 1].chain,
                             .rule = rule,
                             .map = map,
                             .element = e ? e->text : NULL };
    y->outcome.last = s;
}

/* The same end reached on several ways counts once. */
static void end(struct walker *w, struct way *y, enum flow_end how)
{
    struct {
        struct ip to;
        uint8_t end, translated, masqueraded;
        uint16_t port;
        uint32_t remembered;
    } key;
    memset(&key, 0, sizeof key);
    struct flow_outcome *o = &y->outcome;
    o->end = how;
    o->to = y->packet.to;
    o->to_port = y->packet.to_port;
    y->ended = true;
    key.to = o->to;
    key.end = (uint8_t)how;
    key.translated = o->translated;
    key.masqueraded = o->masqueraded;
    key.port = o->to_port;
    key.remembered = o->remembered;
    size_t at = (size_t)(uintptr_t)ht_get(&w->seen, &key, sizeof key);
    if (at > 0) {
        w->flow->outcomes.items[at - 1].share += o->share;
    } else if (w->flow->outcomes.n < FLOW_OUTCOMES_MAX) {
        vec_push(&w->flow->outcomes, *o);
        ht_put(&w->seen, &key, sizeof key, (void *)(uintptr_t)w->flow->outcomes.n);
    }
}

/* ---- parts of rules */

enum result { PASSED, FAILED, LEFT /* the rule is over, and maybe the way */ };

static bool is_equal(const struct walker *w, const struct way *y, const struct part *p)
{
    uint32_t n = number_of(w, y, &p->expression.terms[0]);
    if (p->any_bit)
        return (n & p->words[0]) != 0;
    for (unsigned i = 0; i < p->n_words; i++)
        if (p->words[i] == n)
            return true;
    return false;
}

static bool has_name(const struct way *y, const struct part *p)
{
    const char *in = y->packet.in;
    if (!in)
        return false;
    return p->name_begins ? strncmp(in, p->name, strlen(p->name)) == 0 : strcmp(in, p->name) == 0;
}

static bool is_true(struct walker *w, const struct way *y, const struct part *p,
                    const struct firewall_element **ret_found)
{
    const struct ip *address =
        p->expression.terms[0].field == FIELD_SOURCE ? &y->packet.from : &y->packet.to;
    switch (p->kind) {
    case PART_EQUAL:
        return is_equal(w, y, p);
    case PART_PREFIX:
        return ip_prefix_contains(&p->prefix, address);
    case PART_NAME:
        return has_name(y, p);
    default:
        *ret_found = look_up(w, y, &p->expression, p->set, 0);
        return *ret_found != NULL;
    }
}

static void translate(struct way *y, const struct ip *to, uint16_t port)
{
    y->packet.to = *to;
    y->packet.to_port = port;
    y->outcome.translated = true;
    y->depth = 0; /* accepted: this base chain is over */
}

static void translate_by(struct walker *w, struct way *y, const struct rule *rule,
                         const struct firewall_map *map, const struct firewall_element *e)
{
    struct ip to = { .family = y->packet.to.family };
    size_t len = ip_len(&to);
    memcpy(to.bytes, e->value, len);
    note(w, y, rule, map, e);
    translate(y, &to, (uint16_t)(e->value[len] << 8 | e->value[len + 1]));
}

/* One way for each endpoint that a number drawn by chance may lead to; what is left over goes on
 * behind the rule. */
static enum result draw(struct walker *w, struct way *y, const struct rule *rule,
                        const struct part *p)
{
    const struct firewall_map *map = p->expression.map;
    uint32_t chances = chances_of(&p->expression), missed = 0;
    double share = y->outcome.share;
    for (uint32_t i = 0; i < chances; i++) {
        const struct firewall_element *e = look_up(w, y, &p->expression, map, i);
        if (!e) {
            missed++;
            continue;
        }
        struct way other = *y;
        other.outcome.share = share / chances;
        translate_by(w, &other, rule, map, e);
        go(w, &other);
    }
    y->outcome.share = share * missed / chances;
    y->ended = missed == 0;
    return missed == 0 ? LEFT : FAILED;
}

/* Does the chain lead to where the client is kept? */
static bool leads_to_kept(const struct way *y, const struct firewall_chain *c)
{
    vec_each (rule, &c->rules)
        for (unsigned i = 0; i < rule->n_parts; i++)
            if (rule->parts[i].kind == PART_TRANSLATE &&
                ip_equal(&rule->parts[i].prefix.ip, &y->packet.kept) &&
                rule->parts[i].words[0] == y->packet.kept_port)
                return true;
    return false;
}

static enum result run_translation(struct walker *w, struct way *y, const struct rule *rule,
                                   const struct part *p)
{
    const struct firewall_map *map = p->expression.map;
    if (p->expression.n == 0) {
        note(w, y, rule, NULL, NULL);
        translate(y, &p->prefix.ip, (uint16_t)p->words[0]);
        return LEFT;
    }
    if (!map || !map->is_dynamic)
        return map ? draw(w, y, rule, p) : FAILED;
    if (!y->packet.kept.family)
        return FAILED;
    note(w, y, rule, map, NULL);
    translate(y, &y->packet.kept, y->packet.kept_port);
    return LEFT;
}

static enum result run_verdict(struct walker *w, struct way *y, const struct firewall_verdict *v)
{
    switch (v->kind) {
    case FIREWALL_CONTINUE:
        return PASSED;
    case FIREWALL_ACCEPT:
        y->depth = 0;
        return LEFT;
    case FIREWALL_RETURN:
        y->depth--;
        return LEFT;
    case FIREWALL_DROP:
    case FIREWALL_REJECT:
        end(w, y, v->kind == FIREWALL_DROP ? FLOW_DROPPED : FLOW_REJECTED);
        return LEFT;
    case FIREWALL_GOTO:
        y->depth--; /* back to where this chain was called from */
        break;
    case FIREWALL_JUMP:
        break;
    }
    if (y->depth == FLOW_DEPTH_MAX)
        end(w, y, FLOW_UNKNOWN);
    else
        y->frames[y->depth++] = (struct frame){ v->chain, 0 };
    return LEFT;
}

static enum result run_setting(struct walker *w, struct way *y, const struct part *p,
                               const struct firewall_element **found,
                               const struct firewall_map **map)
{
    uint32_t n = p->words[0];
    if (p->n_words == 0 && p->expression.map) {
        const struct firewall_element *e = look_up(w, y, &p->expression, p->expression.map, 0);
        if (!e)
            return FAILED;
        *found = e;
        *map = p->expression.map;
        n = (uint32_t)e->value[0] << 24 | (uint32_t)e->value[1] << 16 | (uint32_t)e->value[2] << 8 |
            e->value[3];
    } else if (p->n_words == 0) {
        n = number_of(w, y, &p->expression.terms[0]);
    }
    *(p->kind == PART_SET_MARK ? &y->mark : &y->priority) = n;
    return PASSED;
}

/* The packets to which it does not happen go on behind the rule, as another way. */
static enum result run_chance(struct walker *w, struct way *y, const struct part *p)
{
    struct way other = *y;
    double share = y->outcome.share;
    other.outcome.share = share * (1 - p->chance);
    y->outcome.share = share * p->chance;
    if (p->chance < 1)
        go(w, &other);
    return p->chance > 0 ? PASSED : FAILED;
}

static enum result run_part(struct walker *w, struct way *y, const struct rule *rule,
                            const struct part *p, const struct firewall_element **found,
                            const struct firewall_map **map)
{
    const struct firewall_element *e = NULL;
    switch (p->kind) {
    case PART_EQUAL:
    case PART_PREFIX:
    case PART_NAME:
    case PART_IN_SET:
        if (is_true(w, y, p, &e) == p->negated)
            return FAILED;
        if (e) {
            *found = e;
            *map = p->set;
        }
        return PASSED;
    case PART_CHANCE:
        return run_chance(w, y, p);
    case PART_KEPT:
        y->keeps = p->seconds;
        return leads_to_kept(y, p->verdict.chain) ? PASSED : FAILED;
    case PART_SET_MARK:
    case PART_SET_PRIORITY:
        return run_setting(w, y, p, found, map);
    case PART_LOOK_UP:
        if (!(e = look_up(w, y, &p->expression, p->set, 0)))
            return FAILED;
        note(w, y, rule, p->set, e);
        return run_verdict(w, y, &e->verdict);
    case PART_TRANSLATE:
        return run_translation(w, y, rule, p);
    case PART_MASQUERADE:
        note(w, y, rule, *map, *found);
        y->outcome.masqueraded = true;
        y->depth = 0;
        return LEFT;
    case PART_REMEMBER:
        y->outcome.remembered = p->seconds ? p->seconds : y->keeps;
        return PASSED;
    case PART_VERDICT:
        note(w, y, rule, *map, *found);
        return run_verdict(w, y, &p->verdict);
    }
    return PASSED;
}

/* A rule is noted when it gave a verdict, or when it came to its end having done something. */
static void run_rule(struct walker *w, struct way *y, const struct rule *rule)
{
    const struct firewall_element *found = NULL;
    const struct firewall_map *map = NULL;
    for (unsigned i = 0; i < rule->n_parts; i++)
        if (run_part(w, y, rule, &rule->parts[i], &found, &map) != PASSED)
            return;
    note(w, y, rule, map, found);
}

/* ---- the way through the hooks */

/* Where it goes after this hook; HOOKS: nowhere. */
static enum hook hook_after(const struct walker *w, const struct way *y)
{
    bool here = is_here(w, &y->packet.to);
    switch (y->hook) {
    case HOOK_PREROUTING:
        return here ? HOOK_INPUT : HOOK_FORWARD;
    case HOOK_FORWARD:
    case HOOK_OUTPUT:
        return HOOK_POSTROUTING;
    case HOOK_POSTROUTING:
        return y->packet.from_here && here ? HOOK_PREROUTING : HOOKS;
    default:
        return HOOKS;
    }
}

static bool sees(const struct way *y, const struct firewall_chain *c)
{
    bool again = y->packet.from_here && y->hook == HOOK_PREROUTING;
    if (c->hook != y->hook || c->family != y->packet.to.family)
        return false;
    if (!c->is_nat)
        return true;
    bool done = y->hook == HOOK_POSTROUTING ? y->outcome.masqueraded : y->outcome.translated;
    return y->packet.state == PACKET_NEW && !done && !again;
}

/* Finds the next base chain; false: the way is at its end. */
static bool enter_base(struct walker *w, struct way *y)
{
    while (y->base < w->firewall->base.n) {
        const struct firewall_chain *c = w->firewall->base.items[y->base++];
        if (sees(y, c)) {
            y->frames[y->depth++] = (struct frame){ c, 0 };
            return true;
        }
    }
    enum hook next = hook_after(w, y);
    if (next == HOOKS || ++y->passed > STAGES_MAX) {
        end(w, y, y->hook == HOOK_INPUT ? FLOW_HERE : FLOW_SENT);
        return false;
    }
    y->hook = next;
    y->base = 0;
    return true;
}

static void go(struct walker *w, struct way *y)
{
    while (!y->ended) {
        if (y->depth == 0) {
            (void)enter_base(w, y);
            continue;
        }
        struct frame *f = &y->frames[y->depth - 1];
        if (f->rule == f->chain->rules.n)
            y->depth--;
        else if (++y->looked > FLOW_RULES_MAX)
            end(w, y, FLOW_UNKNOWN);
        else
            run_rule(w, y, &f->chain->rules.items[f->rule++]);
    }
}

/* ---- */

static int compare(const void *a, const void *b)
{
    const struct flow_outcome *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    int order = ip_compare(&x->to, &y->to);
    return order ? order : (x->to_port > y->to_port) - (x->to_port < y->to_port);
}

void flow_walk(const struct firewall *f, const struct ip *here, size_t n_here,
               const struct packet *p, struct arena *a, struct flow *ret)
{
    *ret = (struct flow){ .outcomes = { 0 } };
    struct walker w = { .firewall = f, .here = here, .n_here = n_here, .arena = a, .flow = ret };
    struct way y = { .packet = *p, .hook = p->from_here ? HOOK_OUTPUT : HOOK_PREROUTING };
    y.outcome.share = 1;
    go(&w, &y);
    if (ret->outcomes.n > 1)
        qsort(ret->outcomes.items, ret->outcomes.n, sizeof *ret->outcomes.items, compare);
    ht_done(&w.seen);
}

void flow_done(struct flow *f)
{
    vec_done(&f->outcomes);
}

size_t flow_steps(const struct flow_outcome *o, struct arena *a,
                  const struct flow_step *const **ret)
{
    size_t n = 0;
    for (const struct flow_step *s = o->last; s; s = s->before)
        n++;
    const struct flow_step **steps = arena_zalloc(a, (n + 1) * sizeof *steps);
    size_t at = n;
    for (const struct flow_step *s = o->last; s; s = s->before)
        steps[--at] = s;
    *ret = steps;
    return n;
}

const char *flow_end_text(enum flow_end end)
{
    static const char *const texts[] = { [FLOW_SENT] = "sent",
                                         [FLOW_HERE] = "to the node itself",
                                         [FLOW_REJECTED] = "rejected",
                                         [FLOW_DROPPED] = "dropped",
                                         [FLOW_UNKNOWN] = "unknown" };
    return texts[end];
}

const char *hook_text(enum hook hook)
{
    static const char *const texts[HOOKS] = { "prerouting", "input", "forward", "output",
                                              "postrouting" };
    return texts[hook];
}
