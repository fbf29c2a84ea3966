#include "dns/chain.h"

#include "dns/why.h"

#include <string.h>

static size_t count_parts(const struct chain_part *parts, size_t n, char which)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += which == 'i'   ? parts[i].in != NULL
                 : which == 'o' ? parts[i].out || parts[i].out_step
                                : parts[i].after != NULL;
    return count;
}

/* A step that ends the chain is followed by the hooks of plugins before it in plugin order. As
 * `out` lists them innermost first, those are its last ones. */
static uint16_t out_from(const struct chain_part *parts, size_t step, size_t n_out)
{
    return (uint16_t)(n_out - count_parts(parts, step, 'o'));
}

/* The step at part i: what the next one promises holds for it when nothing behind i, the next one
 * included, has a hook. */
static at_once_fn *next_at_once(const struct chain_part *parts, size_t i, size_t n)
{
    for (size_t k = i + 1; k < n; k++) {
        if (parts[k].out || parts[k].out_step)
            return NULL;
        if (parts[k].in)
            return parts[k].at_once;
    }
    return NULL;
}

struct chain *chain_build(struct arena *a, const struct chain_part *parts, size_t n,
                          const struct block *block, bool any_class)
{
    size_t n_in = count_parts(parts, n, 'i'), n_out = count_parts(parts, n, 'o');
    size_t n_after = count_parts(parts, n, 'a');
    struct chain_step *in = arena_zalloc(a, n_in * sizeof *in);
    struct chain_hook *out = arena_zalloc(a, n_out * sizeof *out);
    struct chain_hook *after = arena_zalloc(a, n_after * sizeof *after);
    size_t i_in = 0, i_out = n_out, i_after = 0;
    for (size_t i = 0; i < n; i++) {
        const struct chain_part *p = &parts[i];
        if (p->in)
            in[i_in++] = (struct chain_step){ .run = p->in,
                                              .conf = p->in_conf,
                                              .plugin = p->plugin,
                                              .out_from = out_from(parts, i, n_out),
                                              .id = (uint8_t)(i + 1),
                                              .next_at_once = next_at_once(parts, i, n) };
        if (p->out || p->out_step)
            out[--i_out] =
                (struct chain_hook){ p->out, p->out_step, p->out_conf, p->plugin, p->out_always };
        if (p->after)
            after[i_after++] =
                (struct chain_hook){ p->after, NULL, p->after_conf, p->plugin, false };
    }
    struct chain *c = arena_zalloc(a, sizeof *c);
    *c = (struct chain){ .in = in,
                         .out = out,
                         .after = after,
                         .n_in = (uint16_t)n_in,
                         .n_out = (uint16_t)n_out,
                         .n_after = (uint16_t)n_after,
                         .any_class = any_class,
                         .block = block };
    return c;
}

/* The hooks from q->out on; of a bare or dropped reply only those that want to know. */
static inline __attribute__((always_inline)) enum step run_out(const struct chain *c,
                                                               struct query *q, bool traced)
{
    while (q->out < q->out_end) {
        const struct chain_hook *hook = &c->out[q->out++];
        if ((q->bare || q->dropped) && !hook->always)
            continue;
        if (traced)
            why_back_begin(q, hook->plugin);
        enum step step = STEP_DONE;
        if (hook->run)
            hook->run(q, hook->conf);
        else
            step = hook->step(q, hook->conf);
        if (traced)
            why_back_end(q);
        if (step == STEP_WAIT)
            return step;
        q->dropped |= step == STEP_DROP;
    }
    return q->dropped ? STEP_DROP : STEP_DONE;
}

/* The plugin furthest in; NULL: a block that only has keys, or plugins that see no queries. */
static const struct plugin *innermost(const struct chain *c)
{
    if (c->n_in)
        return c->in[c->n_in - 1].plugin;
    if (c->n_out)
        return c->out[0].plugin;
    return c->n_after ? c->after[c->n_after - 1].plugin : NULL;
}

/* Nobody was left to ask. */
static enum step chain_end(const struct chain *c, struct query *q)
{
    const struct plugin *last = innermost(c);
    if (!last)
        return query_fail(q, RCODE_REFUSED, NULL);
    return query_fail(q, RCODE_SERVFAIL, "plugin/%s: no next plugin found", last->name);
}

static inline __attribute__((always_inline)) enum step run_step(const struct chain *c,
                                                                struct query *q, bool traced)
{
    const struct chain_step *s = &c->in[q->step];
    if (!traced)
        return s->run(q, s->conf);
    why_begin(q);
    enum step step = s->run(q, s->conf);
    why_end(q, step);
    return step;
}

/* From the step at q->step on, which has returned `step`. */
static inline __attribute__((always_inline)) enum step go_on(const struct chain *c, struct query *q,
                                                             enum step step, bool traced)
{
    while (step == STEP_NEXT && !q->on_way_back) {
        if (++q->step < c->n_in)
            step = run_step(c, q, traced);
        else
            step = chain_end(c, q);
    }
    if (step == STEP_WAIT)
        return step;
    q->dropped |= step == STEP_DROP;
    if (!q->on_way_back) {
        bool answered = q->step < c->n_in;
        q->answerer = answered ? c->in[q->step].id : 0;
        q->out = answered ? c->in[q->step].out_from : 0;
        q->on_way_back = true;
    }
    return run_out(c, q, traced);
}

enum step chain_continue(const struct chain *c, struct query *q, enum step step)
{
    if (__builtin_expect(q->why == NULL, 1))
        return go_on(c, q, step, false);
    if (!q->on_way_back)
        why_end(q, step);
    return go_on(c, q, step, true);
}

enum step chain_run(const struct chain *c, struct query *q)
{
    q->step = 0;
    q->on_way_back = false;
    q->out_end = c->n_out;
    if (__builtin_expect(q->why == NULL, 1))
        return go_on(c, q, c->n_in ? run_step(c, q, false) : chain_end(c, q), false);
    return go_on(c, q, c->n_in ? run_step(c, q, true) : chain_end(c, q), true);
}

enum step chain_run_below(const struct chain *c, struct query *q, uint16_t base)
{
    const struct chain_step *s = &c->in[base];
    bool has_hook = s->out_from && c->out[s->out_from - 1].plugin == s->plugin;
    q->step = base;
    q->on_way_back = false;
    q->out_end = (uint16_t)(s->out_from - has_hook);
    return q->why ? go_on(c, q, STEP_NEXT, true) : go_on(c, q, STEP_NEXT, false);
}

bool route_has_plugin(const struct route *r, const char *name)
{
    const struct chain *c = r->chain;
    bool found = false;
    for (uint16_t i = 0; i < c->n_in; i++)
        found |= strcmp(c->in[i].plugin->name, name) == 0;
    for (uint16_t i = 0; i < c->n_out; i++)
        found |= strcmp(c->out[i].plugin->name, name) == 0;
    for (uint16_t i = 0; i < c->n_after; i++)
        found |= strcmp(c->after[i].plugin->name, name) == 0;
    return found;
}

bool query_next_at_once(const struct query *q)
{
    const struct chain_step *s = &q->route->chain->in[q->step];
    return s->next_at_once && s->next_at_once(q, s[1].conf);
}

bool query_is_last(const struct query *q)
{
    return q->step + 1 == q->route->chain->n_in;
}
