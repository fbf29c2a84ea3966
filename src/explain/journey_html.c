/* A journey as one page: what the browser shows needs neither scripts nor anything from elsewhere.
 */
#include "explain/journey.h"
#include "explain/journey_draw.h"

static void put_step(struct strbuf *out, const struct journey_step *s, size_t number)
{
    bool missing = s->missing || s->blind || !s->lines.n;
    strbuf_printf(out, "<tr%s><td>%zu</td><th>%s</th><td>", missing ? " class=\"missing\"" : "",
                  number, s->title);
    for (size_t i = 0; i < s->lines.n; i++) {
        const struct journey_line *l = &s->lines.items[i];
        strbuf_puts(out, "<div>");
        if (l->at_ns >= 0)
            strbuf_printf(out, "<i>%.2f ms</i> ", (double)l->at_ns / 1e6);
        if (missing && i + 1 == s->lines.n)
            strbuf_printf(out, "<b>%s:</b> ", s->blind && !s->missing ? "blind" : "not seen");
        journey_put_escaped(out, l->text);
        strbuf_puts(out, "</div>");
    }
    strbuf_puts(out, "</td></tr>\n");
}

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2733;--dim:#5d6b79;--good:#177a45;--bad:#c0312b;"
    "--plain:#8594a3;--paper:#fff;--rule:#dfe5ea;--soft:#f4f7f9}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e3e9ef;--dim:#9aa8b6;--good:#4cc584;"
    "--bad:#ff7b72;--plain:#7d8b99;--paper:#14191f;--rule:#2b343d;--soft:#1b222a}}"
    "*{box-sizing:border-box}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
    "max-width:1080px;margin:2rem auto;padding:0 1.2rem}"
    "h1{font-size:1.3rem;line-height:1.3;overflow-wrap:anywhere}"
    "p,li{overflow-wrap:anywhere}"
    ".verdict{padding:.7rem 1rem;border-left:4px solid var(--bad);background:var(--soft);margin:0}"
    ".verdict.answered{border-color:var(--good)}.cost{color:var(--dim);margin:.6rem 0}"
    ".why{list-style:none;margin:.8rem 0;padding:0}.why li{padding:.3rem 0 .3rem 1.2rem;"
    "border-left:4px solid var(--rule)}.why span{display:block;color:var(--dim);font-size:13px}"
    ".why em{display:block;font-style:normal;font-weight:600}"
    ".way{overflow-x:auto;margin:1.4rem 0}svg{display:block;width:100%;min-width:760px}"
    "svg text{font-size:12px;text-anchor:middle;fill:var(--ink)}"
    "svg .what{font-weight:600;font-size:14px}svg .where{fill:var(--dim)}"
    "svg .at{text-anchor:end;fill:var(--dim);font-variant-numeric:tabular-nums}"
    "svg .label{paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}"
    ".lane{stroke:var(--rule);stroke-width:2}.arrow{stroke-width:1.6;fill:none}"
    ".good{stroke:var(--good)}.plain{stroke:var(--plain)}.bad{stroke:var(--bad)}"
    ".tip{stroke:none}.good.tip{fill:var(--good)}.plain.tip{fill:var(--plain)}"
    ".bad.tip{fill:var(--bad)}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
    "padding:.4rem .6rem;border-top:1px solid var(--rule)}td:first-child{color:var(--dim);"
    "width:2.4rem}th{width:9rem;font-weight:600}"
    "td div{font:13px/1.6 ui-monospace,monospace;overflow-wrap:anywhere}"
    "i{color:var(--dim);font-style:normal}.missing th,.missing b{color:var(--bad)}"
    "@media(max-width:640px){td,th{display:block;width:auto;border:0;padding:0}"
    "td:first-child{display:none}tr{display:block;padding:.6rem 0;"
    "border-top:1px solid var(--rule)}}";

static void put_cause(struct strbuf *out, const struct journey_cause *c)
{
    strbuf_printf(out, "<li><span>%s</span>",
                  c->seen ? "by what was seen" : "by the objects, and what is known of the node");
    journey_put_escaped(out, c->text);
    if (c->change) {
        strbuf_puts(out, "<em>");
        journey_put_escaped(out, c->change);
        strbuf_puts(out, "</em>");
    }
    strbuf_puts(out, "</li>\n");
}

static void put_head(const struct journey_report *r, struct strbuf *out)
{
    strbuf_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    journey_put_escaped(out, r->seen->client);
    strbuf_puts(out, " to ");
    journey_put_escaped(out, r->seen->typed);
    strbuf_printf(out, "</title><style>%s</style></head><body>\n<h1>", style);
    journey_put_escaped(out, r->seen->client);
    strbuf_puts(out, " asks for ");
    journey_put_escaped(out, r->seen->typed);
    strbuf_puts(out, "</h1>\n");
}

static void put_words(const struct journey_report *r, struct strbuf *out)
{
    char cost[OUTCOME_TEXT_MAX];
    strbuf_printf(out, "<p class=\"verdict %s\">", outcome_word(outcome_of(r->seen)));
    journey_put_escaped(out, r->verdict);
    strbuf_puts(out, "</p>\n");
    if (*outcome_cost(r->seen, cost)) {
        strbuf_puts(out, "<p class=\"cost\">");
        journey_put_escaped(out, cost);
        strbuf_puts(out, "</p>\n");
    }
    if (!r->n_causes)
        return;
    strbuf_puts(out, "<ul class=\"why\">\n");
    for (size_t i = 0; i < r->n_causes; i++)
        put_cause(out, &r->causes[i]);
    strbuf_puts(out, "</ul>\n");
}

void journey_html(const struct journey_report *r, struct strbuf *out)
{
    put_head(r, out);
    put_words(r, out);
    journey_draw(r->seen, out);
    strbuf_puts(out, "<table>\n");
    for (size_t i = 0; i < r->journey->steps.n; i++)
        put_step(out, &r->journey->steps.items[i], i + 1);
    strbuf_puts(out, "</table>\n</body></html>\n");
}
