#include "explain/journey.h"

#include "base/json.h"

static void put_step(const struct journey_step *s, struct strbuf *out)
{
    strbuf_putc(out, '{');
    json_put_member(out, "step", s->title);
    strbuf_printf(out, ",\"observed\":%s,\"blind\":%s,\"lines\":[",
                  s->missing || s->blind || !s->lines.n ? "false" : "true",
                  s->blind ? "true" : "false");
    for (size_t i = 0; i < s->lines.n; i++) {
        const struct journey_line *l = &s->lines.items[i];
        strbuf_puts(out, i ? ",{" : "{");
        json_put_member(out, "text", l->text);
        if (l->at_ns >= 0)
            strbuf_printf(out, ",\"atMs\":%.3f", (double)l->at_ns / 1e6);
        strbuf_putc(out, '}');
    }
    strbuf_puts(out, "]}");
}

static void put_cause(const struct journey_cause *c, struct strbuf *out)
{
    strbuf_putc(out, '{');
    json_put_member(out, "code", c->code);
    strbuf_putc(out, ',');
    json_put_member(out, "text", c->text);
    strbuf_putc(out, ',');
    json_put_member(out, "change", c->change);
    strbuf_printf(out, ",\"seen\":%s}", c->seen ? "true" : "false");
}

void journey_json(const struct journey_report *r, struct strbuf *out)
{
    char cost[OUTCOME_TEXT_MAX];
    strbuf_putc(out, '{');
    json_put_member(out, "from", r->seen->client);
    strbuf_putc(out, ',');
    json_put_member(out, "to", r->seen->typed);
    strbuf_putc(out, ',');
    json_put_member(out, "outcome", outcome_word(outcome_of(r->seen)));
    strbuf_putc(out, ',');
    json_put_member(out, "verdict", r->verdict);
    strbuf_putc(out, ',');
    json_put_member(out, "cost", outcome_cost(r->seen, cost));
    strbuf_printf(out, ",\"totalMs\":%.3f", (double)r->seen->total_ns / 1e6);
    strbuf_puts(out, ",\"causes\":[");
    for (size_t i = 0; i < r->n_causes; i++) {
        if (i)
            strbuf_putc(out, ',');
        put_cause(&r->causes[i], out);
    }
    strbuf_puts(out, "],\"steps\":[");
    for (size_t i = 0; i < r->journey->steps.n; i++) {
        if (i)
            strbuf_putc(out, ',');
        put_step(&r->journey->steps.items[i], out);
    }
    strbuf_puts(out, "]}\n");
}
