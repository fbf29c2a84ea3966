#include "dns/why.h"

#include "base/clock.h"
#include "dns/chain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

void why_say(struct why_words *w, const char *what, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (w->n == WHY_WORDS_MAX)
        return;
    if (!w->rows)
        w->rows = arena_zalloc(w->arena, WHY_WORDS_MAX * sizeof *w->rows);
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->rows[w->n++] =
        (struct why_row){ .step = "", .what = what, .detail = arena_strdup(w->arena, text) };
}

static struct why_step *add(struct query *q, const struct plugin *p, const char *name)
{
    struct why *y = q->why;
    y->cut |= y->n_steps == WHY_STEPS_MAX;
    if (y->cut)
        return NULL;
    struct why_step *s = &y->steps[y->n_steps++];
    *s = (struct why_step){ .q = q,
                            .plugin = p,
                            .name = name,
                            .what = "",
                            .detail = "",
                            .words = { .arena = &y->arena },
                            .answers = q->reply.section[SECTION_ANSWER].n,
                            .rcode = q->reply.rcode,
                            .depth = q->depth,
                            .index = q->step,
                            .start_ns = clock_ns() };
    s->asked = arena_memdup(&y->arena, &q->msg.q, sizeof q->msg.q);
    return s;
}

static struct why_step *find(struct query *q, bool back)
{
    struct why *y = q->why;
    for (unsigned i = y->n_steps; i-- > 0;)
        if (y->steps[i].q == q && y->steps[i].back == back && y->steps[i].plugin)
            return back || y->steps[i].index == q->step ? &y->steps[i] : NULL;
    return NULL;
}

/* ---- the way in ---- */

void why_begin(struct query *q)
{
    const struct chain_step *c = &q->route->chain->in[q->step];
    struct why_step *s = add(q, c->plugin, c->plugin->name);
    if (!s)
        return;
    s->conf = c->conf;
    if (c->plugin->why && c->plugin->why->before)
        c->plugin->why->before(q, c->conf, &s->words);
}

static void say_change(struct why_step *s, const struct query *q)
{
    char from[NAME_TEXT_MAX], to[NAME_TEXT_MAX], a[16], b[16];
    const struct question *new = &q->msg.q;
    if (!name_equal(s->asked->lower, new->lower))
        why_say(&s->words, "name", "%s -> %s", name_to_text(s->asked->name.wire, from),
                name_to_text(new->name.wire, to));
    if (s->asked->type != new->type)
        why_say(&s->words, "type", "%s -> %s", rr_type_text(s->asked->type, a),
                rr_type_text(new->type, b));
    if (s->asked->class != new->class)
        why_say(&s->words, "class", "%s -> %s", rr_class_text(s->asked->class, a),
                rr_class_text(new->class, b));
}

static unsigned count_records(const struct rrset_list *l)
{
    unsigned n = 0;
    for (uint16_t i = 0; i < l->n; i++)
        n += l->items[i].count;
    return n;
}

static const char *answer_text(const struct query *q)
{
    char rcode[16];
    unsigned n = count_records(&q->reply.section[SECTION_ANSWER]);
    return arena_printf(&q->why->arena, "%s, %u record%s%s%s%s", rcode_text(q->reply.rcode, rcode),
                        n, n == 1 ? "" : "s", q->error ? " (" : "", q->error ? q->error : "",
                        q->error ? ")" : "");
}

void why_end(struct query *q, enum step step)
{
    static const char *const texts[] = { [STEP_NEXT] = "passed on",
                                         [STEP_DONE] = "answered",
                                         [STEP_DROP] = "dropped",
                                         [STEP_WAIT] = "waits" };
    struct why_step *s = find(q, false);
    if (!s)
        return;
    bool waited = s->what[0];
    s->what = texts[step];
    s->detail = step == STEP_DONE ? answer_text(q) : "";
    if (waited && step != STEP_WAIT)
        why_say(&s->words, "waited", "%.3f ms", (double)(clock_ns() - s->start_ns) / 1e6);
    say_change(s, q);
    if (step != STEP_WAIT && s->plugin->why && s->plugin->why->after)
        s->plugin->why->after(q, (void *)(uintptr_t)s->conf, step, &s->words);
}

/* ---- the way back ---- */

void why_back_begin(struct query *q, const struct plugin *p)
{
    struct why_step *s = add(q, p, p->name);
    if (s)
        s->back = true;
}

void why_back_end(struct query *q)
{
    struct why_step *s = find(q, true);
    char a[16], b[16];
    if (!s)
        return;
    s->what = q->dropped ? "dropped" : "way back";
    say_change(s, q);
    if (s->rcode != q->reply.rcode)
        why_say(&s->words, "rcode", "%s -> %s", rcode_text(s->rcode, a),
                rcode_text(q->reply.rcode, b));
    if (s->answers != q->reply.section[SECTION_ANSWER].n)
        why_say(&s->words, "answer", "%u -> %u sets of records", s->answers,
                q->reply.section[SECTION_ANSWER].n);
}

/* ---- look-ups ---- */

void why_lookup(struct query *q, const struct query *sub)
{
    char name[NAME_TEXT_MAX], type[16];
    struct why_step *s = add(q, NULL, "look-up");
    if (!s)
        return;
    s->depth = sub->depth;
    s->what = "asked";
    s->detail = arena_printf(&q->why->arena, "%s %s", name_to_text(sub->msg.q.name.wire, name),
                             rr_type_text(sub->msg.q.type, type));
}

void why_routed(struct query *q)
{
    if (q->depth == 0) {
        q->why->route = q->route;
        return;
    }
    struct why_step *s = add(q, NULL, "zone");
    if (!s)
        return;
    s->what = q->route ? "chosen" : "none";
    s->detail = q->route ? q->route->zone : "no server block covers the name";
}
